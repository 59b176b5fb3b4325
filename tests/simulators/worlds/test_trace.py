from __future__ import annotations

import asyncio
from pathlib import Path

from whimbrel_sim.worlds.cardport import described
from whimbrel_sim.worlds.loop import VirtualTimeLoop
from whimbrel_sim.worlds.running import run_named
from whimbrel_sim.worlds.timeline import MARK_AT, NOTED, REMARKED, Timeline

SHORT = str(Path(__file__).parent / "scenarios" / "short.toml")


def digest_and_lines(
    *, noted: str = "", remarked: str = "", hidden: tuple[str, ...] = ()
) -> tuple[str, list[str]]:
    lines: list[str] = []

    async def speak() -> str:
        timeline = Timeline(lines.append)
        timeline.hidden = hidden
        timeline.tell("till", "ended", error="cannot open /somewhere/x")
        if noted:
            timeline.note("till", noted)
        if remarked:
            timeline.remark("till", remarked)
        return timeline.digest

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(speak()), lines


def test_a_noted_line_counts_and_is_marked() -> None:
    plain, _ = digest_and_lines()
    noted, lines = digest_and_lines(noted="message")
    assert noted != plain
    assert [line[MARK_AT] for line in lines] == [" ", NOTED]


def test_a_remark_is_written_and_does_not_count() -> None:
    plain, _ = digest_and_lines()
    remarked, lines = digest_and_lines(remarked="a warning")
    assert remarked == plain
    assert lines[-1][MARK_AT] == REMARKED
    assert lines[-1].endswith("a warning")


def test_hidden_text_is_in_no_line() -> None:
    _, lines = digest_and_lines(hidden=("/somewhere", "open "))
    assert lines[0].endswith("error=cannot /x")


def test_a_trace_has_messages_answers_and_crashes() -> None:
    lines: list[str] = []
    outcome = run_named(SHORT, 2, lines.append)
    noted = [line for line in lines if line[MARK_AT] == NOTED]
    assert sum(" <- " in line for line in noted) == outcome.counts["messages"]
    assert any(" -> " in line and "/receipt " in line for line in noted)
    assert any(" accepted to " in line for line in noted)
    assert (
        sum("buffer.db " in line or "journal.db " in line for line in noted)
        == (outcome.counts["kills"])
    )


def test_a_card_is_described_by_sizes_and_its_databases_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"abc")
    (tmp_path / "a.db-wal").write_bytes(b"salted")
    (tmp_path / "folder").mkdir()
    assert described(tmp_path) == "a.db 3 ba7816bf, a.db-wal 6"


def test_the_digits_of_a_process_s_id_are_no_part_of_a_card(tmp_path: Path) -> None:
    lock = tmp_path / "a.db.lock"
    for process_id in (b"9999\n", b"10000\n"):
        lock.write_bytes(process_id)
        assert described(tmp_path) == "a.db.lock"
