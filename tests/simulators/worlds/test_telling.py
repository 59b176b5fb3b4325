from __future__ import annotations

import io

from rich.console import Console

from whimbrel_sim.worlds.invariants.violation import Invariant
from whimbrel_sim.worlds.outcome import Breach, Outcome
from whimbrel_sim.worlds.telling import MAX_ROWS, is_main, outcomes_table, told, verdict

TOLD = "      0.115875   broker-1               connected client=till"
NOTED = "      0.115875 . broker-1               <- till topic 01020304"
REMARK = "      0.115875 # whimbrel_agent.app     info: ready"
START = "      0.000001   store-1-1/till-1       start"


def shown(what: object) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(what)
    return text.getvalue()


def test_only_main_lines_are_for_people() -> None:
    assert [is_main(line) for line in (TOLD, NOTED, REMARK, START)] == [False, False, False, True]


def test_a_line_keeps_its_words_and_has_a_colour_by_who_it_is_about() -> None:
    text = told(START)
    assert text.plain == START
    assert told(START.replace("till-1 ", "till-1~")).plain != START
    styles = {
        who: str(told(f"      0.000001   {who:<22} start").spans[-1].style)
        for who in ("audit", "world", "broker-1", "eu-1", "store-1-1/till-1")
    }
    assert len(set(styles.values())) == 5


def test_a_verdict_names_each_promise_and_counts_its_breaches() -> None:
    breach = Breach(what="once", at_s=1, text="till 1 is there twice")
    said = shown(verdict(Outcome(scenario="smoke", seed=4, breaches=(breach, breach))))
    assert "broken, 2 times" in said
    assert "till 1 is there twice" in said
    assert "replay: whimbrel-sim world smoke --seed 4" in said
    assert said.count("held") == len(Invariant) - 1


def test_a_traceback_is_shown() -> None:
    failed = Outcome(scenario="smoke", seed=4, error="ValueError", traceback="Traceback ... x = 1")
    assert "Traceback ... x = 1" in shown(outcomes_table([failed]))


def test_a_long_table_is_cut_and_says_so() -> None:
    many = [Outcome(scenario="smoke", seed=seed) for seed in range(MAX_ROWS + 3)]
    assert "... and 3 more" in shown(outcomes_table(many))
