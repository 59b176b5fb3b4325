"""The recorder against the real system, in children that run under it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from whimbrel_sim.cards import preload
from whimbrel_sim.cards.disk import Disk
from whimbrel_sim.cards.oplog import Flag, Kind, Operation, read_log

pytestmark = pytest.mark.usefixtures("recorder")


def run(script: str, folder: Path, *, watched: bool = True) -> list[Operation]:
    """Run a script with ``root`` and ``side`` in a child; return what was recorded of ``root``."""
    root, log = folder / "root", folder / "log"
    root.mkdir(exist_ok=True)
    begin = f"import os\nfrom pathlib import Path\nroot, side = Path({str(root)!r}), Path({str(folder)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + textwrap.dedent(script)],
        env=preload.environment(folder=root if watched else None, log=log), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read_log(log) if log.exists() else []


def told(operations: list[Operation]) -> list[str]:
    return [one.kind.name for one in operations]


def test_calls_are_recorded_in_their_order_with_their_data(tmp_path: Path) -> None:
    operations = run(
        """
        fd = os.open(root / "file", os.O_RDWR | os.O_CREAT, 0o600)
        os.write(fd, b"one")
        os.pwrite(fd, b"two", 10)
        os.pwritev(fd, [b"th", b"ree"], 20)
        os.posix_fallocate(fd, 0, 100)
        os.ftruncate(fd, 50)
        os.fdatasync(fd)
        copy = os.dup(fd)
        os.close(fd)
        os.write(copy, b"four")
        os.fsync(copy)
        os.mkdir(root / "sub")
        os.rename(root / "file", root / "sub" / "moved")
        os.link(root / "sub" / "moved", root / "linked")
        os.unlink(root / "sub" / "moved")
        os.truncate(root / "linked", 5)
        folder = os.open(root, os.O_RDONLY)
        os.fsync(folder)
        """,
        tmp_path,
    )
    assert told(operations) == [
        *("OPEN", "WRITE", "WRITE", "WRITE", "ALLOCATE", "TRUNCATE", "SYNC", "WRITE", "SYNC"),
        *("MKDIR", "RENAME", "LINK", "UNLINK", "TRUNCATE", "SYNC_DIR"),
    ]
    writes = [(one.offset, one.data) for one in operations if one.kind is Kind.WRITE]
    assert writes == [(0, b"one"), (10, b"two"), (20, b"three"), (3, b"four")]
    assert operations[0].flags == Flag.CREATED
    assert (operations[10].path, operations[10].target) == ("file", "sub/moved")
    assert [one.sequence for one in operations] == list(range(1, 16))


def test_what_is_elsewhere_is_not_recorded(tmp_path: Path) -> None:
    operations = run("(side / 'other').write_bytes(b'x'); (side / 'rooted').mkdir()", tmp_path)
    assert operations == []


def test_the_model_of_the_record_is_what_lies_on_the_disk(tmp_path: Path) -> None:
    operations = run(
        """
        import random, shutil, sqlite3
        chance = random.Random(4)
        for name in "abcd":
            (root / name).write_bytes(chance.randbytes(3000))
        with open(root / "a", "ab") as file:
            file.write(b"appended")
        with open(root / "b", "w") as file:
            file.write("anew")
        shutil.copyfile(root / "c", root / "copied")
        os.replace(root / "d", root / "c")
        os.chdir(root)
        Path("sub").mkdir()
        Path("sub/../sub/./deep").write_bytes(b"deep")
        connection = sqlite3.connect(root / "db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        for number in range(50):
            connection.execute("INSERT INTO t VALUES (randomblob(2000))")
        connection.close()
        """,
        tmp_path,
    )
    disk = Disk()
    disk.apply_all(operations)
    root = tmp_path / "root"
    there = {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }
    assert disk.after_kill() == there


def test_threads_lose_no_record(tmp_path: Path) -> None:
    operations = run(
        """
        import threading
        def work(name):
            fd = os.open(root / name, os.O_RDWR | os.O_CREAT, 0o600)
            for number in range(500):
                os.write(fd, b"%06d" % number)
            os.close(fd)
        threads = [threading.Thread(target=work, args=[f"f{n}"]) for n in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """,
        tmp_path,
    )
    assert Counter(told(operations)) == {"OPEN": 6, "WRITE": 3000}
    assert [one.sequence for one in operations] == list(range(1, 3007))


def test_a_started_child_is_not_taken_for_its_parent(tmp_path: Path) -> None:
    operations = run(
        """
        import subprocess
        file = open(root / "file", "wb", buffering=0)
        subprocess.run(["true"], check=True)
        file.write(b"still seen")
        """,
        tmp_path,
    )
    assert told(operations) == ["OPEN", "WRITE"]


def test_hundreds_of_folders_each_have_their_log(tmp_path: Path) -> None:
    run(
        """
        from whimbrel_sim.cards import preload
        for number in range(400):
            (side / f"card{number}").mkdir()
            preload.watch(side / f"card{number}", side / f"log{number}")
        for number in range(400):
            (side / f"card{number}" / "file").write_bytes(b"%d" % number)
            preload.mark(side / f"card{number}", b"mark %d" % number)
            preload.unwatch(side / f"card{number}")
            (side / f"card{number}" / "file").write_bytes(b"unseen")
        """,
        tmp_path,
        watched=False,
    )
    for number in (0, 77, 399):
        operations = read_log(tmp_path / f"log{number}")
        assert told(operations) == ["OPEN", "WRITE", "MARK"]
        assert operations[1].data == b"%d" % number
        assert operations[2].data == b"mark %d" % number


def test_faults_strike_where_they_should_and_go(tmp_path: Path) -> None:
    run(
        """
        import errno
        from whimbrel_sim.cards.faults import ALWAYS, Faults
        from whimbrel_sim.cards.oplog import Kind
        faults = Faults(root)
        fd = os.open(root / "file", os.O_RDWR | os.O_CREAT, 0o600)
        def error_of(call, *given):
            try:
                call(*given)
            except OSError as error:
                return error.errno
        faults.fail(Kind.WRITE, after=1, times=2)
        found = [error_of(os.pwrite, fd, b"data", 0) for _ in range(4)]
        assert found == [None, errno.EIO, errno.EIO, None], found
        faults.fail(Kind.SYNC, error=errno.ENOSPC, times=ALWAYS)
        assert [error_of(os.fsync, fd), error_of(os.fdatasync, fd)] == [errno.ENOSPC] * 2
        faults.clear()
        assert error_of(os.fsync, fd) is None
        faults.shorten()
        assert [os.pwrite(fd, b"12345678", 0), os.pwrite(fd, b"12345678", 0)] == [4, 8]
        faults.flip()
        assert sum((one ^ two).bit_count() for one, two in zip(os.pread(fd, 8, 0), b"12345678")) == 1
        assert os.pread(fd, 8, 0) == b"12345678"
        faults.fail(Kind.OPEN, ending="-wal")
        assert error_of(os.open, root / "file", os.O_RDONLY) is None
        assert error_of(os.open, root / "db-wal", os.O_RDWR | os.O_CREAT) == errno.EIO
        assert faults.hits == 7, faults.hits
        assert faults.count(Kind.SYNC) == 3
        faults.lie(times=1)
        os.fsync(fd)
        """,
        tmp_path,
    )
    syncs = [one.flags for one in read_log(tmp_path / "log") if one.kind is Kind.SYNC]
    assert syncs == [Flag.FAILED, Flag.FAILED, Flag(0), Flag.LIED]


def test_a_log_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    operations = run("(root / 'file').write_bytes(b'x' * 100)", tmp_path)
    log = tmp_path / "log"
    log.write_bytes(log.read_bytes()[:-1])
    assert read_log(log) == operations[:-1]


def test_without_the_recorder_the_error_names_the_remedy(tmp_path: Path) -> None:
    assert not preload.loaded()
    with pytest.raises(preload.PreloadError, match="environment"):
        preload.watch(tmp_path, tmp_path / "log")


def test_without_a_compiler_the_error_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(preload.PreloadError, match="gcc"):
        preload.build(tmp_path)
