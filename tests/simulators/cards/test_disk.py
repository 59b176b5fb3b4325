from __future__ import annotations

import random
from pathlib import Path

import pytest

from whimbrel_sim.cards.disk import Disk, ModelError
from whimbrel_sim.cards.images import image_after_kill, image_after_power_cut
from whimbrel_sim.cards.oplog import Flag, Kind, Operation

Left = dict[str, bytes | None]


def op(
    kind: Kind,
    *,
    file: int = 0,
    path: str = "",
    target: str = "",
    data: bytes = b"",
    length: int = 0,
    flags: Flag = Flag(0),  # noqa: B008  a constant
) -> Operation:
    return Operation(kind, flags, 0, file, 0, length, path, target, data, 0)


def made(path: str, file: int, data: bytes) -> list[Operation]:
    return [
        op(Kind.OPEN, file=file, path=path, flags=Flag.CREATED),
        op(Kind.WRITE, file=file, data=data),
        op(Kind.SYNC, file=file),
    ]


def cuts(operations: list[Operation], base: Path | None = None, count: int = 200) -> list[Left]:
    disk = Disk() if base is None else Disk.of(base)
    disk.apply_all(operations)
    return [disk.after_power_cut(random.Random(seed)) for seed in range(count)]


def test_a_synced_file_may_lack_its_name_until_the_folder_is_synced() -> None:
    operations = made("file", 1, b"x")
    assert {tuple(left) for left in cuts(operations)} == {(), ("file",)}
    operations.append(op(Kind.SYNC_DIR))
    assert {left.get("file") for left in cuts(operations)} == {b"x"}


def test_a_rename_is_old_or_new(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    operations = [*made("fresh", 1, b"new"), op(Kind.RENAME, path="fresh", target="file")]
    for left in cuts(operations, tmp_path):
        assert left["file"] in (b"old", b"new")
        assert (left["file"], left.get("fresh")) != (b"new", b"new")
    operations.append(op(Kind.SYNC_DIR))
    assert all(left == {"file": b"new"} for left in cuts(operations, tmp_path))


def test_renames_of_one_name_survive_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0")
    operations = []
    for number in (1, 2):
        fresh = f"fresh-{number}"
        operations += made(fresh, number, b"%d" % number)
        operations.append(op(Kind.RENAME, path=fresh, target="file"))
    for left in cuts(operations, tmp_path):
        if left["file"] == b"2":
            assert "fresh-1" not in left
    assert {left["file"] for left in cuts(operations, tmp_path)} == {b"0", b"1", b"2"}


def test_an_unlink_may_be_undone_with_the_whole_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    assert {left.get("file") for left in cuts([op(Kind.UNLINK, path="file")], tmp_path)} == {
        b"kept",
        None,
    }


def test_a_lost_folder_takes_along_what_was_synced_in_it() -> None:
    operations = [
        op(Kind.MKDIR, path="sub"),
        *made("sub/file", 1, b"x"),
        op(Kind.SYNC_DIR, path="sub"),
    ]
    assert {tuple(left) for left in cuts(operations)} == {(), ("sub", "sub/file")}
    operations.append(op(Kind.SYNC_DIR))
    assert {tuple(left) for left in cuts(operations)} == {("sub", "sub/file")}


def test_a_linked_file_has_one_content() -> None:
    operations = [
        *made("file", 1, b"x"),
        op(Kind.LINK, path="file", target="other"),
        op(Kind.SYNC_DIR),
        op(Kind.WRITE, file=1, data=b"y"),
    ]
    for left in cuts(operations):
        assert left["file"] == left["other"]


def test_a_lying_card_keeps_nothing_for_sure() -> None:
    honest = [*made("file", 1, b"x"), op(Kind.SYNC_DIR)]
    lying = [
        op(one.kind, file=one.file, path=one.path, data=one.data, flags=Flag.LIED)
        if one.kind in (Kind.SYNC, Kind.SYNC_DIR)
        else one
        for one in honest
    ]
    assert {left.get("file") for left in cuts(honest)} == {b"x"}
    assert None in {left.get("file") for left in cuts(lying)}


def test_the_logs_index_is_never_relied_on_after_a_power_cut() -> None:
    operations = [
        op(Kind.OPEN, file=1, path="db-shm", flags=Flag.CREATED),
        op(Kind.INDEX, file=1, data=b"head"),
        op(Kind.SYNC_DIR),
    ]
    found = {left.get("db-shm") for left in cuts(operations)}
    assert None in found
    assert len(found) > 3
    disk = Disk()
    disk.apply_all(operations)
    index = disk.after_kill()["db-shm"]
    assert index is not None
    assert index.startswith(b"head\0")


def test_after_a_kill_everything_written_is_there(tmp_path: Path) -> None:
    operations = [*made("file", 1, b"synced"), op(Kind.WRITE, file=1, data=b"newest")]
    image_after_kill(Disk(), operations, tmp_path / "image")
    assert (tmp_path / "image" / "file").read_bytes() == b"newest"


def test_an_image_is_the_same_for_the_same_chance(tmp_path: Path) -> None:
    operations = [*made("file", 1, b"x"), op(Kind.MKDIR, path="sub"), *made("sub/b", 2, b"y")]
    for seed in range(20):
        found = []
        for name in ("one", "two"):
            image = tmp_path / name
            image_after_power_cut(Disk(), operations, image, random.Random(seed))
            found.append({str(p.relative_to(image)) for p in image.rglob("*")})
        assert found[0] == found[1]


def test_a_folder_that_is_renamed_is_not_modelled() -> None:
    disk = Disk()
    disk.apply(op(Kind.MKDIR, path="sub"))
    with pytest.raises(ModelError, match="only files"):
        disk.apply(op(Kind.RENAME, path="sub", target="other"))
