"""The importer over real files, against a target that can fail after or before it is durable."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from whimbrel_agent.intake import bulk
from whimbrel_agent.intake.bulk import BadRowError, Importer, ImportMismatchError, Summary
from whimbrel_agent.intake.importslice import SLICE_BYTES, Checkpoint, SliceToAccept
from whimbrel_agent.intake.mapping import RowMapping
from whimbrel_agent.intake.sources import NdjsonSource
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.event import Event
from whimbrel_protocol.importdigest import ImportDigest
from whimbrel_protocol.rows import pack_event

MAPPING = RowMapping(type="t")


class LostError(Exception):
    """The import program is killed here."""


class Ledger:
    """Keeps what a buffer would; ``dies`` says at which slices, and whether after the commit."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.value: bytes | None = None
        self.slices = 0
        self.dies: dict[int, bool] = {}

    def checkpoint(self, _import_id: str) -> bytes | None:
        return self.value

    def accept(self, _import_id: str, part: SliceToAccept) -> None:
        unpacked = SliceToAccept.unpack(part.pack())
        assert unpacked == part
        assert unpacked.expected == self.value
        self.slices += 1
        durable = self.dies.pop(self.slices, None)
        if durable is False:
            raise LostError
        self.events += unpacked.events
        self.value = unpacked.checkpoint
        if durable is True:
            raise LostError


def write(path: Path, rows: int) -> NdjsonSource:
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(rows)))
    return NdjsonSource(path)


def bring_over(
    source: NdjsonSource, target: Ledger, *, skip: bool = False, mapping: RowMapping = MAPPING
) -> Summary:
    importer = Importer("imp", source, mapping, target, skip=skip, now_ns=5)
    return importer.run(lambda _: None)


def digest_of(events: list[Event]) -> bytes:
    digest = ImportDigest()
    for event in events:
        digest.add(event)
    return digest.digest


def test_every_row_arrives_with_its_place_and_the_digest_is_of_these(tmp_path: Path) -> None:
    ledger = Ledger()
    summary = bring_over(write(tmp_path / "a", 1_234), ledger)
    assert [event.data["n"] for event in ledger.events] == list(range(1_234))
    assert [event.extensions["importrow"] for event in ledger.events] == list(range(1_234))
    assert summary.checkpoint.count == summary.checkpoint.rows == 1_234
    assert summary.checkpoint.digest == digest_of(ledger.events)
    assert summary.checkpoint.done


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 120), st.dictionaries(st.integers(1, 12), st.booleans(), max_size=6))
def test_kills_before_and_after_commits_lose_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, dies: dict[int, bool]
) -> None:
    monkeypatch.setattr(bulk, "SLICE_EVENTS", 20)  # as many slices as large files have
    ledger = Ledger()
    ledger.dies = dict(dies)
    source = write(tmp_path / "a", rows)
    for _ in range(len(dies) + 1):
        try:
            summary = bring_over(source, ledger)
        except LostError:
            continue
        break
    assert [event.data["n"] for event in ledger.events] == list(range(rows))
    assert summary.checkpoint.digest == digest_of(ledger.events)


def test_a_finished_import_is_not_done_again(tmp_path: Path) -> None:
    ledger, source = Ledger(), write(tmp_path / "a", 10)
    first = bring_over(source, ledger)
    again = bring_over(source, ledger)
    assert again.checkpoint == first.checkpoint
    assert again.resumed_at == 10
    assert len(ledger.events) == 10


def test_another_file_or_mapping_under_the_same_id_is_refused(tmp_path: Path) -> None:
    ledger, source = Ledger(), write(tmp_path / "a", 10)
    bring_over(source, ledger)
    with pytest.raises(ImportMismatchError, match="another --id"):
        bring_over(source, ledger, mapping=RowMapping(type="other"))


def test_a_bad_row_stops_after_everything_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text('{"n": 1}\n{"n": 2}\n{bad\n{"n": 3}\n')
    ledger = Ledger()
    with pytest.raises(BadRowError, match="row 3: row is"):
        bring_over(NdjsonSource(path), ledger)
    assert [event.data["n"] for event in ledger.events] == [1, 2]
    path.write_text('{"n": 1}\n{"n": 2}\n{"n": 9}\n{"n": 3}\n')
    assert bring_over(NdjsonSource(path), ledger).resumed_at == 2
    assert [event.data["n"] for event in ledger.events] == [1, 2, 9, 3]


def test_skipped_rows_are_counted_named_and_take_no_place(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text('{"n": 1}\n{bad\n{"n": "' + "x" * 70_000 + '"}\n{"n": 3}\n')
    ledger = Ledger()
    summary = bring_over(NdjsonSource(path), ledger, skip=True)
    assert (summary.checkpoint.count, summary.checkpoint.skipped) == (2, 2)
    assert [problem.place for problem in summary.problems] == [2, 3]
    assert [event.extensions["importrow"] for event in ledger.events] == [0, 1]


def test_no_slice_is_larger_than_the_smallest_transaction(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("".join(f'{{"n": "{"x" * size}"}}\n' for size in range(100, 60_000, 1_999)))
    sizes: list[int] = []

    class Scales(Ledger):
        def accept(self, import_id: str, part: SliceToAccept) -> None:
            sizes.append(sum(len(pack_event(event)) for event in part.events))
            super().accept(import_id, part)

    bring_over(NdjsonSource(path), Scales())
    assert max(sizes) <= SLICE_BYTES
    assert len(sizes) > 5


@given(st.binary(max_size=80))
def test_any_bytes_are_a_slice_or_refused(data: bytes) -> None:
    for kind in (SliceToAccept, Checkpoint):
        try:
            value = kind.unpack(data)
        except RemoteProtocolError:
            continue
        assert kind.unpack(value.pack()) == value
