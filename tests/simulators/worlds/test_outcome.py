from __future__ import annotations

import json

from whimbrel_sim.worlds.outcome import (
    Breach,
    Outcome,
    Totals,
    digest_of,
    replay_of,
    totals,
    worst_first,
)

BREACH = Breach(what="once", at_s=1.5, text="till 1 is in the journal twice")
ORDER = Breach(what="order", at_s=2, text="till 2 was committed after 3")


def outcome(seed: int, *breaches: Breach, error: str = "") -> Outcome:
    return Outcome(
        scenario="smoke",
        seed=seed,
        digest=f"{seed:064x}",
        breaches=breaches,
        error=error,
        virtual_s=100.0,
        device_s=7200.0,
        cpu_s=0.5,
        counts={"accepted": 10, "kills": seed},
        faults={"link.cut": 2},
    )


def test_what_broke_is_named_once_in_order() -> None:
    broken = outcome(1, ORDER, BREACH, ORDER, error="StalledError").broken
    assert broken == ("order", "once", "StalledError")


def test_an_outcome_fails_by_a_breach_or_an_error() -> None:
    assert not outcome(1).failed
    assert outcome(1, BREACH).failed
    assert outcome(1, error="ValueError").failed


def test_the_replaying_command_can_be_given_to_a_shell() -> None:
    assert outcome(7).replay == "whimbrel-sim world smoke --seed 7"
    assert replay_of("my worlds/a.toml", 7) == "whimbrel-sim world 'my worlds/a.toml' --seed 7"


def test_json_has_everything_once() -> None:
    given = json.loads(json.dumps(outcome(3, BREACH).to_json()))
    assert given["broken"] == ["once"]
    assert given["breaches"] == [{"what": "once", "at_s": 1.5, "text": BREACH.text}]
    assert given["accepted"] == 10
    assert given["faults"] == {"link.cut": 2}
    assert given["replay"] == outcome(3).replay


def test_totals_add_up() -> None:
    added = totals([outcome(1), outcome(2, BREACH), outcome(3, error="ValueError")])
    assert (added.worlds, added.failed) == (3, 2)
    assert added.counts == {"accepted": 30, "kills": 6}
    assert added.faults == {"link.cut": 6}
    assert added.device_hours_per_s == 4.0
    assert added.cpu_s_per_world == 0.5
    assert added.to_json()["virtual_s"] == 300


def test_nothing_at_all_has_totals_too() -> None:
    assert totals([]) == Totals()
    assert Totals().device_hours_per_s == Totals().cpu_s_per_world == 0.0


def test_the_digest_of_many_does_not_depend_on_their_order() -> None:
    assert digest_of([outcome(1), outcome(2)]) == digest_of([outcome(2), outcome(1)])
    assert digest_of([outcome(1)]) != digest_of([outcome(2)])


def test_failures_come_first_and_the_worst_of_them_before_others() -> None:
    mixed = [outcome(1), outcome(2, BREACH), outcome(3, BREACH, ORDER), outcome(0)]
    assert [one.seed for one in worst_first(mixed)] == [3, 2, 0, 1]


def test_a_breach_reads_as_when_what_and_how() -> None:
    assert str(BREACH) == "1.500 s: once: till 1 is in the journal twice"
