"""Cards of simulated devices, in a child that runs under the recorder."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from whimbrel_sim.cards import preload

pytestmark = pytest.mark.usefixtures("recorder")

BEGIN = """
import os, random
from pathlib import Path
from whimbrel_sim.cards import card
from whimbrel_sim.cards.card import Card
side = Path({side!r})
def contents(folder):
    return {{p.name: p.read_bytes() for p in folder.iterdir()}}
"""


def run(script: str, side: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN.format(side=str(side)) + textwrap.dedent(script)],
        env=preload.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_card_gives_images_while_its_device_goes_on(tmp_path: Path) -> None:
    run(
        """
        (side / "one").mkdir()
        (side / "one" / "before").write_bytes(b"was there")
        with Card(side / "one") as one:
            fd = os.open(side / "one" / "file", os.O_RDWR | os.O_CREAT)
            os.write(fd, b"synced"); os.fsync(fd)
            folder = os.open(side / "one", os.O_RDONLY); os.fsync(folder)
            os.pwrite(fd, b"newest", 0)
            one.image_after_kill(side / "killed")
            assert contents(side / "killed") == {"before": b"was there", "file": b"newest"}
            found = set()
            for seed in range(20):
                one.image_after_power_cut(side / "cut", random.Random(seed))
                found.add(contents(side / "cut")["file"])
            assert found == {b"synced", b"newest"}, found
            os.fsync(fd)
            one.image_after_power_cut(side / "cut", random.Random(1))
            assert contents(side / "cut")["file"] == b"newest"
        """,
        tmp_path,
    )


def test_a_long_run_keeps_the_log_and_the_memory_small(tmp_path: Path) -> None:
    run(
        """
        card.LOG_BYTES = 50_000
        with Card(side / "one") as one:
            for round in range(300):
                with open(side / "one" / f"file{round % 3}", "wb", buffering=0) as file:
                    file.write(random.Random(round).randbytes(2000))
                    os.fsync(file.fileno())
                if round % 7 == 0:
                    (side / "one" / "file1").unlink(missing_ok=True)
                    os.fsync(os.open(side / "one", os.O_RDONLY))
                one.tick()
                assert one._log.stat().st_size < 60_000
            one.compact()
            assert one._log.stat().st_size == 0
            assert len(one._disk._files) < 12
            os.fsync(os.open(side / "one", os.O_RDONLY))
            one.image_after_power_cut(side / "cut", random.Random(1))
            assert contents(side / "cut") == contents(side / "one")
        assert not list(side.glob("card-*"))
        """,
        tmp_path,
    )


def test_a_lying_card_may_lose_what_it_said_was_durable(tmp_path: Path) -> None:
    run(
        """
        with Card(side / "one") as one:
            one.faults.lie()
            fd = os.open(side / "one" / "file", os.O_RDWR | os.O_CREAT)
            os.write(fd, b"data"); os.fsync(fd)
            folder = os.open(side / "one", os.O_RDONLY); os.fsync(folder)
            found = set()
            for seed in range(30):
                one.image_after_power_cut(side / "cut", random.Random(seed))
                found.add(contents(side / "cut").get("file"))
            assert {None, b"data"} <= found, found
            one.faults.clear()
            os.fsync(fd); os.fsync(folder)
            one.image_after_power_cut(side / "cut", random.Random(1))
            assert contents(side / "cut") == {"file": b"data"}
        """,
        tmp_path,
    )


def test_a_thousand_cards_are_cheap(tmp_path: Path) -> None:
    run(
        """
        cards = [Card(side / f"c{n}", side) for n in range(1000)]
        for number, one in enumerate(cards):
            (one.folder / "file").write_bytes(b"%d" % number)
            one.mark(b"written")
        assert [o.data for o in cards[500].operations()] == [b"", b"500", b"written"]
        for one in cards:
            one.close()
        """,
        tmp_path,
    )
