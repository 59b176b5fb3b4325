from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from whimbrel_aggregator.forward.port import SinkConfigError, SinkError
from whimbrel_aggregator.forward.sinks.ndjson import NdjsonFolder
from whimbrel_aggregator.journal.port import PartitionKey
from whimbrel_aggregator.reading import Position

GENERATION = b"\x01" * 8
HOUR_NS = 3_600 * 10**9
STORE = PartitionKey("acme", "store-1")


def line(number: int) -> str:
    text = "€" * (number % 7)
    fields = {"tenant": "acme", "store": "store-1", "position": f"{number}.0", "text": text}
    return json.dumps(fields, ensure_ascii=False)


def folder_at(path: Path, rotate_bytes: int = 100_000) -> NdjsonFolder:
    folder = NdjsonFolder(path, rotate_bytes=rotate_bytes, rotate_s=3_600)
    folder.open(GENERATION)
    return folder


def write(folder: NdjsonFolder, first: int, count: int, now_ns: int = 0) -> None:
    lines = [(Position(number, 1), line(number)) for number in range(first, first + count)]
    folder.append(lines, STORE, now_ns=now_ns)


def numbers(path: Path) -> list[int]:
    return [
        int(json.loads(text)["position"].split(".")[0])
        for file in sorted(path.glob("*.ndjson"))
        for text in file.read_text().splitlines()
    ]


def finished(path: Path) -> list[str]:
    return sorted(file.name for file in path.glob("[0-9]*.ndjson"))


def test_a_torn_tail_at_any_byte_costs_only_lines_that_were_not_whole(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    write(folder, 1, 5)
    folder.close()
    [current] = tmp_path.glob("current.*")
    whole = current.read_bytes()
    for cut in range(len(whole) + 1):
        current.write_bytes(whole[:cut])
        folder = folder_at(tmp_path)
        ends = [at + 1 for at, byte in enumerate(whole[:cut]) if byte == 10]
        assert numbers(tmp_path) == list(range(1, len(ends) + 1))
        expected = Position(len(ends), 1) if ends else None
        assert folder.positions.get(STORE) == expected
        write(folder, len(ends) + 1, 5 - len(ends)) if len(ends) < 5 else None
        folder.close()
        [current] = tmp_path.glob("current.*")
        assert current.read_bytes() == whole


@pytest.mark.parametrize("junk", [bytes(3_000), b"\xff" * 100, b'{"tenant": "acme"}\n', b"\n\n"])
def test_junk_after_the_last_whole_line_is_cut_off(tmp_path: Path, junk: bytes) -> None:
    folder = folder_at(tmp_path)
    write(folder, 1, 5)
    folder.close()
    [current] = tmp_path.glob("current.*")
    whole = current.read_bytes()
    current.write_bytes(whole + junk)
    folder = folder_at(tmp_path)
    folder.close()
    assert current.read_bytes() == whole


def test_files_are_finished_by_size_and_never_exceed_it(tmp_path: Path) -> None:
    folder = folder_at(tmp_path, rotate_bytes=1_000)
    for first in range(1, 61, 4):
        write(folder, first, 4)
    write(folder, 61, 40)
    folder.close()
    assert numbers(tmp_path) == list(range(1, 101))
    assert len(finished(tmp_path)) > 5
    assert all(file.stat().st_size <= 1_000 for file in tmp_path.glob("*.ndjson"))


def test_files_are_finished_when_their_hour_is_over(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    write(folder, 1, 2, now_ns=5 * HOUR_NS + 17)
    folder.rotate(6 * HOUR_NS - 1)
    assert finished(tmp_path) == []
    folder.rotate(6 * HOUR_NS)
    assert finished(tmp_path) == ["19700101T050000Z-00000001.ndjson"]
    write(folder, 3, 2, now_ns=6 * HOUR_NS)
    write(folder, 5, 2, now_ns=7 * HOUR_NS)
    folder.close()
    assert finished(tmp_path)[1] == "19700101T060000Z-00000002.ndjson"
    assert numbers(tmp_path) == [1, 2, 3, 4, 5, 6]


def test_positions_survive_when_finished_files_are_taken_away(tmp_path: Path) -> None:
    folder = folder_at(tmp_path, rotate_bytes=200)
    for number in range(1, 10):
        write(folder, number, 1)
    folder.close()
    for name in finished(tmp_path):
        (tmp_path / name).unlink()
    folder = folder_at(tmp_path)
    assert folder.positions == {STORE: Position(9, 1)}
    folder.close()


def test_a_stop_between_the_steps_of_finishing_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_at(tmp_path)
    write(folder, 1, 5)
    real_rename = Path.rename

    def stop(self: Path, target: Path) -> Path:
        if target.name[0].isdigit():
            raise KeyboardInterrupt
        return real_rename(self, target)

    monkeypatch.setattr(Path, "rename", stop)
    with pytest.raises(KeyboardInterrupt):
        folder.rotate(HOUR_NS)
    monkeypatch.undo()
    folder.close()
    folder = folder_at(tmp_path)
    assert folder.positions == {STORE: Position(5, 1)}
    folder.rotate(HOUR_NS)
    folder.close()
    assert numbers(tmp_path) == [1, 2, 3, 4, 5]
    assert len(finished(tmp_path)) == 1


def test_two_writers_cannot_share_a_folder(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    with pytest.raises(SinkError, match="another process"):
        folder_at(tmp_path)
    folder.close()


def test_damaged_positions_are_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "positions.json").write_text("{")
    with pytest.raises(SinkConfigError, match="move it away"):
        folder_at(tmp_path)


def test_a_file_where_the_folder_should_be_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(SinkConfigError, match="cannot be used"):
        folder_at(tmp_path / "out")


def test_random_stops_lose_and_double_nothing(tmp_path: Path) -> None:
    chance = random.Random(7)
    at = 1
    for _ in range(60):
        folder = folder_at(tmp_path, rotate_bytes=2_000)
        at = folder.positions[STORE].offset + 1 if folder.positions else 1
        for _ in range(chance.randint(0, 4)):
            count = chance.randint(1, 9)
            write(folder, at, count, now_ns=chance.randint(0, 3) * HOUR_NS)
            at += count
        folder.close()
        for current in tmp_path.glob("current.*"):
            size_bytes = current.stat().st_size
            with current.open("r+b") as file:
                file.truncate(max(0, size_bytes - chance.randint(0, 120)))
    folder = folder_at(tmp_path)
    end = folder.positions[STORE].offset
    folder.close()
    assert end > 50
    assert sorted(numbers(tmp_path)) == list(range(1, end + 1))
