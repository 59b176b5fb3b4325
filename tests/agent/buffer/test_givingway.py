"""The order in which things give way."""

from __future__ import annotations

import pytest

from whimbrel_agent.buffer.givingway import How, OverflowInputs, decide_overflow
from whimbrel_agent.buffer.values import Overflow, default_lanes
from whimbrel_protocol.lanes import LANES

DEFAULTS = tuple(default_lanes()[lane].overflow for lane in LANES)


def steps(
    lane: str, *, at_cap: bool = True, policies: tuple[Overflow, ...] = DEFAULTS
) -> list[str]:
    decision = decide_overflow(OverflowInputs(lane, at_cap, policies))
    assert decision.reason
    return [f"{one.how.name.lower()} {one.lane}".strip() for one in decision.steps]


def test_detail_goes_before_events_and_the_least_urgent_first() -> None:
    assert steps("critical") == [
        "receipted", "thin bulk", "drop bulk", "drop normal", "drop high",
    ]  # fmt: skip


def test_nothing_more_urgent_than_the_new_events_gives_way() -> None:
    assert steps("bulk") == ["receipted", "thin bulk", "drop bulk"]
    assert steps("normal") == ["receipted", "thin bulk", "drop bulk", "drop normal"]


@pytest.mark.parametrize("lane", LANES)
def test_lanes_that_refuse_lose_nothing(lane: str) -> None:
    assert steps(lane, policies=(Overflow.REFUSE,) * 4) == ["receipted"]


@pytest.mark.parametrize("lane", LANES)
def test_a_full_disk_takes_only_what_the_region_has(lane: str) -> None:
    decision = decide_overflow(OverflowInputs(lane, at_cap=False, policies=DEFAULTS))
    assert [one.how for one in decision.steps] == [How.RECEIPTED]
    assert "disk" in decision.reason
