from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from whimbrel_sim.records.making import world_slice
from whimbrel_sim.records.slices import Record, RecordError, Slice, added_up
from whimbrel_sim.worlds.outcome import Breach, Outcome


def outcomes(first: int, count: int, *, broken: int | None = None) -> list[Outcome]:
    breach = Breach(what="once", at_s=1, text="twice")
    return [
        Outcome(
            scenario="smoke",
            seed=seed,
            digest=f"{seed:04x}" * 16,
            breaches=(breach,) if seed == broken else (),
            virtual_s=0.1,
            cpu_s=0.25,
            counts={"accepted": seed},
            faults={"link.cut": 1},
        )
        for seed in reversed(range(first, first + count))
    ]


def worlds(first: int, count: int, *, broken: int | None = None, program: str = "p1") -> Slice:
    return world_slice(outcomes(first, count, broken=broken), program=program, commit="c1")


IMAGES = Slice(
    kind="images", of="buffer", first=1, count=100, program="p1", commit="c1", digest="d",
    sums={"writes": 1234},
)  # fmt: skip


def test_a_slice_sums_up_its_outcomes() -> None:
    one = worlds(1, 3, broken=2)
    assert (one.first, one.count, one.seeds) == (1, 3, range(1, 4))
    assert one.failures == ((2, ("once",)),)
    assert one.sums["accepted"] == 6
    assert one.sums["virtual_s"] == 0.3
    assert one.faults == {"link.cut": 3}
    assert str(one) == "worlds of smoke, seeds 1..3"


def test_each_seed_can_be_compared_alone() -> None:
    one = worlds(10, 3)
    assert [one.mark_of(seed) for seed in one.seeds] == ["000a", "000b", "000c"]
    assert IMAGES.mark_of(5) == ""


def test_a_world_that_was_never_made_has_an_empty_mark() -> None:
    first, second = outcomes(1, 2)
    one = world_slice([replace(first, digest=""), second], program="p", commit="c")
    assert (one.mark_of(1), one.mark_of(2)) == ("0001", "0000")


def test_a_record_is_written_at_once_and_read_again(tmp_path: Path) -> None:
    record = Record(tmp_path / "record.json")
    record.append(worlds(1, 3, broken=2))
    record.append(IMAGES)
    again = Record(tmp_path / "record.json")
    assert again.slices == record.slices
    assert again.totals == added_up(again.slices)
    assert again.totals["images"] == {"count": 100, "failed": 0, "writes": 1234}
    assert again.problems() == []
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_slices_of_another_program_do_not_count_as_there(tmp_path: Path) -> None:
    record = Record(tmp_path / "record.json")
    record.append(worlds(1, 3))
    assert record.has(series=("worlds", "smoke", "p1"), seeds=range(1, 4))
    for series in (("worlds", "smoke", "p2"), ("worlds", "other", "p1"), ("x", "smoke", "p1")):
        assert not record.has(series=series, seeds=range(1, 4))
    assert not record.has(series=("worlds", "smoke", "p1"), seeds=range(4, 7))


def test_no_seed_is_counted_twice(tmp_path: Path) -> None:
    record = Record(tmp_path / "record.json")
    record.append(worlds(1, 3))
    with pytest.raises(RecordError, match=r"seeds 3\.\.6 would be counted twice.*slices of 3"):
        record.append(worlds(3, 4))
    with pytest.raises(RecordError, match=r"has worlds of smoke, seeds 1\.\.3 already"):
        record.append(worlds(1, 3))
    assert len(Record(tmp_path / "record.json").slices) == 1


def test_a_record_that_was_tampered_with_does_not_add_up(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    Record(path).append(worlds(1, 3))
    given = json.loads(path.read_text())
    given["slices"][0]["sums"]["accepted"] += 1
    given["slices"] += given["slices"]
    path.write_text(json.dumps(given))
    problems = Record(path).problems()
    assert "the slices make" in problems[0]
    assert "have seeds in common" in problems[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "is no record of runs"),
        ("[]", "is no record of runs"),
        ('{"format": 9, "slices": []}', "has format 9"),
        ('{"format": 1, "slices": [{"kind": "worlds", "colour": 1}]}', "colour"),
        ('{"format": 1, "totals": {}, "slices": [{"failures": []}]}', "is no record of runs"),
    ],
)
def test_what_is_no_record_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=said):
        Record(path)
