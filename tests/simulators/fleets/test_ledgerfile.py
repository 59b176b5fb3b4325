from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_sim.fleets.ledgerfile import LedgerFile, LedgerFileError, PlaceRun, read_ledger
from whimbrel_sim.ledger import LedgerError, Outcome, Place

SENDER = "r/store-1/till-1"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "part-0.ledger"


def test_what_was_written_is_read_back(file: Path) -> None:
    ledger = LedgerFile(file)
    first = ledger.begin(SENDER, "normal", ["till 1"] * 3)
    ledger.accept(first, [PlaceRun(7, "normal", 5, 2), PlaceRun(8, "normal", 1, 1)])
    ledger.refuse(ledger.begin(SENDER, "bulk", ["till 1"] * 1))
    ledger.begin(SENDER, "normal", ["till 1"] * 1)
    ledger.close()
    found = read_ledger(file.parent)
    assert [(entry.event_id, entry.lane, entry.place) for entry in found] == [
        (f"{SENDER}-1", "normal", Place(7, "normal", 5)),
        (f"{SENDER}-2", "normal", Place(7, "normal", 6)),
        (f"{SENDER}-3", "normal", Place(8, "normal", 1)),
        (f"{SENDER}-4", "bulk", None),
        (f"{SENDER}-5", "normal", None),
    ]
    assert [found.count(outcome) for outcome in Outcome] == [1, 3, 1]


def test_a_killed_writer_is_followed_by_one_that_knows_what_is_unsure(file: Path) -> None:
    ledger = LedgerFile(file)
    ledger.accept(ledger.begin(SENDER, "normal", ["till 1"] * 2), [PlaceRun(7, "normal", 1, 2)])
    unsure = ledger.begin(SENDER, "normal", ["till 1", "room,2", "till 1", "ü"])
    ledger.close()
    with file.open("ab") as torn:
        torn.write(b"P " + SENDER.encode() + b" normal 7 1 till")  # no end: its post never left
    again = LedgerFile(file)
    assert again.unsure(SENDER) == [unsure]
    assert again.unsure(SENDER) == []
    assert again.begin(SENDER, "normal", ["till 1"] * 1).first == 7
    again.accept(unsure, [PlaceRun(7, "normal", 3, 4)])
    again.close()
    assert read_ledger(file.parent).count(Outcome.ACCEPTED) == 6


def test_senders_of_several_files_make_one_ledger(tmp_path: Path) -> None:
    for part in range(2):
        ledger = LedgerFile(tmp_path / f"part-{part}.ledger")
        ledger.begin(f"r/store-{part}/till", "normal", ["till 1"] * 2)
        ledger.close()
    assert len(read_ledger(tmp_path)) == 4


def test_an_answer_about_something_else_is_refused(file: Path) -> None:
    ledger = LedgerFile(file)
    post = ledger.begin(SENDER, "normal", ["till 1"] * 2)
    with pytest.raises(LedgerFileError, match="posted 2"):
        ledger.accept(post, [PlaceRun(7, "normal", 1, 3)])
    with pytest.raises(LedgerFileError, match="lane high"):
        ledger.accept(post, [PlaceRun(7, "high", 1, 2)])


def test_two_answers_that_contradict_each_other_are_an_error(file: Path) -> None:
    ledger = LedgerFile(file)
    post = ledger.begin(SENDER, "normal", ["till 1"] * 1)
    ledger.accept(post, [PlaceRun(7, "normal", 1, 1)])
    ledger.accept(post, [PlaceRun(7, "normal", 2, 1)])
    with pytest.raises(LedgerError, match="was accepted"):
        read_ledger(file.parent)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("something else\n", "does not begin with"),
        ("whimbrel-ledger 1\nX a 1\n", "line 2 is"),
        ("whimbrel-ledger 1\nP a normal 2 1 x\n", "posted 2 twice"),
        ("whimbrel-ledger 1\nA a 1 1 7 1\n", "never posted"),
    ],
)
def test_a_file_that_is_no_ledger_says_why(file: Path, text: str, problem: str) -> None:
    file.write_text(text)
    with pytest.raises(LedgerFileError, match=problem):
        read_ledger(file.parent)


def test_a_folder_without_a_ledger_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerFileError, match=r"holds no \*\.ledger"):
        read_ledger(tmp_path)
