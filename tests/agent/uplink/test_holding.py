"""The bounds on one frame, asked without a window."""

from __future__ import annotations

from dataclasses import replace

import pytest

from whimbrel_agent.uplink.holding import (
    Held,
    HoldInputs,
    InFlight,
    Limits,
    Traffic,
    holds,
    sooner,
)

FREE_WAY = HoldInputs(
    now_s=100.0, size_bytes=10_000, traffic=Traffic.BACKGROUND, replay=True,
    flying=InFlight(2, 20_000, 2, 20_000), probing="", probe_at_s=0.0, credit_bytes=10**6,
    frames=64, second_bytes=1e6, max_bytes=1e6, loss_bytes=1e6, background_bytes=1e6,
    pace_ready_s=0.0, limits=Limits(name="uplink"),
)  # fmt: skip


def test_nothing_holds_a_frame_on_a_free_way() -> None:
    assert holds(FREE_WAY) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"probing": "the region gives no credit"}, "no credit"),
        ({"credit_bytes": 29_999}, "credit is used"),
        ({"frames": 2}, "enough frames"),
        ({"second_bytes": 39_999}, "a second of the measured rate"),
        ({"max_bytes": 29_999}, "the most that may be in flight"),
        ({"loss_bytes": 20_000}, "the window is full"),
        ({"background_bytes": 20_000}, "gives way"),
        ({"pace_ready_s": 100.1}, "paced"),
        ({"limits": Limits(name="lte", budget_left_bytes=0)}, "the month's bytes of lte"),
        (
            {
                "limits": Limits(
                    name="lte", cap_bytes_per_s=1e3, cap_reason="a cap", cap_ready_s=101
                )
            },
            "8 kbit/s, a cap",
        ),
        (
            {"limits": Limits(name="lte", replay_bytes_per_s=1e3, replay_ready_s=101)},
            "8 kbit/s, the replay limit of lte",
        ),
    ],
)
def test_each_bound_holds_by_itself(change: dict[str, object], why: str) -> None:
    held = holds(replace(FREE_WAY, **change))  # type: ignore[arg-type]
    assert held is not None
    assert why in held.reason


def test_the_replay_limit_is_for_replay_alone_and_lets_others_pass() -> None:
    limits = Limits(name="lte", replay_bytes_per_s=1e3, replay_ready_s=101.0)
    held = holds(replace(FREE_WAY, limits=limits))
    assert held is not None
    assert (held.until_s, held.for_all, held.backlog) == (101.0, False, True)
    assert holds(replace(FREE_WAY, limits=limits, replay=False)) is None
    assert holds(replace(FREE_WAY, limits=limits, traffic=Traffic.URGENT)) is None


def test_of_two_holds_the_first_reason_and_the_sooner_moment_stay() -> None:
    both = sooner(Held("a", 5.0), Held("b", 3.0, for_all=True))
    assert both == Held("a", 3.0, for_all=True)
    assert sooner(None, both) is both
