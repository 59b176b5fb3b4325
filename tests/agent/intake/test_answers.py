import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.buffer.places import Places, Run
from whimbrel_agent.buffer.values import (
    Accepted,
    BufferBrokenError,
    BufferError,  # noqa: A004  ours
    BufferFullError,
    GroupTooBigError,
    TooManyWaitingError,
)
from whimbrel_agent.intake.answers import MAX_LISTED_PROBLEMS, Outcome, refusal_of
from whimbrel_agent.intake.bodies import Problem

PLACES = st.builds(
    Accepted,
    st.integers(1, 2),
    st.sampled_from(["high", "normal"]),
    st.integers(1, 4),
    st.booleans(),
)


@given(st.lists(st.lists(PLACES, max_size=8), max_size=4))
def test_ranges_spell_out_to_exactly_what_was_accepted(groups: list[list[Accepted]]) -> None:
    outcome = Outcome("line")
    for group in groups:
        outcome.accept(Places([Run(*place[:3], 1, place.repeated) for place in group]))
    members = outcome.members()
    spelt = [
        Accepted(int(shown["epoch"]), shown["lane"], number, shown.get("repeated", False))
        for shown in members["accepted"]
        for number in range(shown["first"], shown["first"] + shown["count"])
    ]
    flat = [place for group in groups for place in group]
    assert spelt == flat
    assert members["count"] == len(flat)
    assert members["repeated"] == sum(place.repeated for place in flat)
    assert "refused" not in members


def test_problems_are_listed_in_order_up_to_a_bound_and_all_counted() -> None:
    outcome = Outcome("line")
    outcome.refuse([Problem(place, "f", "v", "r") for place in range(300, 0, -1)])
    members = outcome.members()
    assert members["refused_count"] == 300
    assert len(members["refused"]) == MAX_LISTED_PROBLEMS
    assert [bad["line"] for bad in members["refused"]] == list(range(201, 301))


@pytest.mark.parametrize(
    ("error", "status", "retries"),
    [
        (BufferFullError("x"), 507, False),
        (TooManyWaitingError("x"), 429, True),
        (GroupTooBigError("x"), 413, False),
        (BufferBrokenError("x"), 503, True),
        (BufferError("x"), 503, False),
    ],
)
def test_each_refusal_of_the_buffer_has_its_status(
    error: BufferError, status: int, retries: bool
) -> None:
    refusal = refusal_of(error)
    assert refusal.status == status
    assert ("retry-after" in dict(refusal.headers)) == retries
