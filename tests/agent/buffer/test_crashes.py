"""``kill -9`` at any point: whatever was answered is there, numbered as it was answered."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from buffers.harness import Shop, all_pending, assert_sound, receipt_for

KILLS = int(os.environ.get("WHIMBREL_KILLS", "12"))
"""In every run; more by the environment."""

CHILD = """
import asyncio, sys
from pathlib import Path
from buffers.harness import Shop, all_pending, receipt_for, sales
from whimbrel_agent.buffer.runner import ThreadRunner

async def main() -> None:
    shop = Shop(Path(sys.argv[1]), runner=ThreadRunner())
    shop.chance.seed(int(sys.argv[2]))
    buffer = await shop.start(max_bytes=8 * 1024 * 1024)
    number = int(sys.argv[2])
    while True:
        for answer in await buffer.accept(sales(7, number)):
            print(number, answer.epoch, answer.sequence, flush=False)
            number += 1
        sys.stdout.flush()
        if number % 5 == 0:
            await buffer.seal_all()
        if number % 11 == 0:
            refs = (await all_pending(buffer))[:2]
            if refs:
                await buffer.load_to_send([refs[-1]])
                await buffer.settle(receipt_for(refs))

asyncio.run(main())
"""


def run_and_kill(path: Path, kill: int, *, lines: int) -> list[str]:
    """Let a process accept until it has answered some events, kill it; return its answers."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(kill * 1_000_000)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
    ) as child:
        assert child.stdout is not None
        read = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        return read + child.stdout.readlines()


async def found_in(buffer_shop: Shop) -> dict[int, tuple[int, int]]:
    """Every event in the file, receipted ones included: number -> (epoch, sequence)."""
    found: dict[int, tuple[int, int]] = {}
    async with buffer_shop.buffer(max_bytes=8 * 1024 * 1024) as buffer:
        assert (await buffer.stats()).damage is None
        await assert_sound(buffer)
        async for exported in buffer.export():
            number = exported.event.data["number"]
            assert number not in found
            found[number] = (exported.epoch, exported.sequence)
        refs = await all_pending(buffer)
        if refs:
            await buffer.settle(receipt_for(refs[:1]))
    return found


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_every_answered_event_survives_kill_9(tmp_path: Path) -> None:
    chance = random.Random(5)
    shop = Shop(tmp_path / "buffer.db")
    answered: dict[int, tuple[int, int]] = {}
    for kill in range(KILLS):
        read = run_and_kill(shop.path, kill, lines=chance.randrange(1, 2_000))
        for line in read:
            if line.endswith("\n"):
                number, epoch, sequence = map(int, line.split())
                answered[number] = (epoch, sequence)
        found = await found_in(shop)
        for number, place in answered.items():
            assert found.get(number) == place
    assert len(answered) > KILLS
