from hypothesis import given
from hypothesis import strategies as st

from whimbrel_agent.buffer.places import PlaceCollector, Places, Run
from whimbrel_agent.buffer.values import Accepted

RUNS = st.lists(
    st.builds(
        Run,
        st.integers(1, 2),
        st.sampled_from(["high", "normal"]),
        st.integers(1, 4),
        st.integers(0, 3),
        st.booleans(),
    ),
    max_size=12,
)


def spelt(runs: list[Run]) -> list[Accepted]:
    return [
        Accepted(run.epoch, run.lane, run.first + offset, run.repeated)
        for run in runs
        for offset in range(run.events)
    ]


@given(RUNS)
def test_places_are_the_sequence_that_their_runs_spell_out(runs: list[Run]) -> None:
    places = Places(runs)
    assert list(places) == spelt(runs)
    assert len(places) == len(spelt(runs))
    assert places == spelt(runs)
    assert places == Places(runs)
    assert places[1:3] == spelt(runs)[1:3]
    assert [places[index] for index in range(len(places))] == spelt(runs)
    assert places[::-1] == spelt(runs)[::-1]


@given(RUNS)
def test_collected_neighbours_become_one_run_and_spell_out_the_same(runs: list[Run]) -> None:
    collector = PlaceCollector()
    for run in runs:
        collector.add(run)
    places = collector.places()
    assert places == spelt(runs)
    assert all(run.events for run in places.runs)
    for one, after in zip(places.runs, places.runs[1:], strict=False):
        joined = (one.epoch, one.lane, one.first + one.events, one.repeated)
        assert joined != (after.epoch, after.lane, after.first, after.repeated)


def test_a_group_in_one_lane_is_one_run() -> None:
    collector = PlaceCollector()
    for sequence in range(5, 105):
        collector.add(Run(7, "normal", sequence, 1))
    assert collector.places().runs == (Run(7, "normal", 5, 100),)
