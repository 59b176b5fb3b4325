"""The journal keeps changes, of each decider apart, and not too many."""

from __future__ import annotations

from dataclasses import dataclass

from whimbrel_agent.decisions.journal import KEPT, DecisionJournal


@dataclass(frozen=True)
class Chosen:
    what: int
    reason: str


def test_only_changes_are_kept() -> None:
    journal = DecisionJournal()
    for now_s, reason in enumerate(["a", "a", "b", "b", "b", "a"]):
        journal.note("radio", Chosen(now_s, reason), None, float(now_s))
    assert [(one.mono_s, one.decision.reason) for one in journal.last()] == [
        (0.0, "a"), (2.0, "b"), (5.0, "a"),
    ]  # fmt: skip


def test_what_makes_a_change_may_be_said() -> None:
    journal = DecisionJournal()
    for what in (1, 1, 2):
        journal.note("retry", Chosen(what, "refused"), None, 0.0, said=what)
    assert [one.decision for one in journal.last()] == [Chosen(1, "refused"), Chosen(2, "refused")]


def test_a_restless_decider_pushes_out_nobody_else() -> None:
    journal = DecisionJournal()
    journal.note("power", Chosen(0, "on battery"), "inputs", 0.0)
    for number in range(1000):
        journal.note("send", Chosen(number, str(number)), None, 1.0 + number)
    kept = journal.last()
    assert (len(kept), kept[0].by, kept[0].inputs) == (1 + KEPT, "power", "inputs")
    assert kept[-1].mono_s == 1000.0
