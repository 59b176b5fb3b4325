"""Whose turn it is among the lanes."""

from __future__ import annotations

from collections import Counter

from whimbrel_agent.uplink.turns import SHARES, Turns
from whimbrel_protocol.lanes import LANES


def deal(turns: Turns, lanes: list[str], count: int) -> list[str]:
    dealt = []
    for _ in range(count):
        lane = turns.order(lanes)[0]
        turns.sent(lane, 1_000)
        dealt.append(lane)
    return dealt


def test_busy_lanes_get_their_shares() -> None:
    dealt = Counter(deal(Turns(), list(LANES), 8_500))
    for lane, weight in SHARES.items():
        assert abs(dealt[lane] - 100 * weight) <= 2


def test_shares_may_be_set_and_the_others_stay() -> None:
    turns = Turns({"normal": 16, "bulk": 16})
    assert turns.shares == {"critical": 64, "high": 16, "normal": 16, "bulk": 16}
    dealt = Counter(deal(turns, ["high", "normal", "bulk"], 3_000))
    assert all(abs(count - 1_000) <= 2 for count in dealt.values())


def test_a_lane_that_wakes_up_goes_next_when_it_is_urgent() -> None:
    turns = Turns()
    deal(turns, ["bulk"], 1_000)
    assert turns.order(["bulk", "critical"]) == ["critical", "bulk"]


def test_a_lane_does_not_save_up_turns_while_it_sleeps() -> None:
    turns = Turns()
    deal(turns, ["critical"], 5_000)
    assert Counter(deal(turns, ["critical", "bulk"], 650))["bulk"] <= 11


def test_nobody_waiting_is_nobodys_turn() -> None:
    assert Turns().order([]) == []
