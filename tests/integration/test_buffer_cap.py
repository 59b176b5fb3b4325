"""A day without a link under a cap of 8 MB: never over it, and every evicted event is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest

from whimbrel_agent.buffer.store import Buffer
from whimbrel_agent.buffer.values import BufferConfig
from whimbrel_protocol.batch import decode_events
from whimbrel_protocol.event import Event
from whimbrel_protocol.frame import open_frame
from whimbrel_protocol.header import BOOT_ID_BYTES
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import ClockQuality, GapReason
from whimbrel_protocol.names import Address

T = TypeVar("T")

CAP_BYTES = 8_000_000
ALLOWED_BYTES = CAP_BYTES * 101 // 100
HOURS = 24
GROUP_EVENTS = 50
GROUPS_PER_HOUR = 60
ADDRESS = Address(tenant="acme", region="eu-1", store="store-1", device="till-1")
START_NS = 1_795_000_000_000_000_000
MINUTE_NS = 60_000_000_000


@dataclass
class SimulatedClock:
    """A clock that the test moves."""

    at_ns: int = 0
    boot_id: bytes = bytes(BOOT_ID_BYTES)

    def wall_ns(self) -> int:
        return START_NS + self.at_ns

    def mono_ns(self) -> int:
        return self.at_ns

    def quality(self) -> ClockQuality:
        return ClockQuality.SYNCED


class DirectRunner:
    """Runs database work at once, in the caller's thread."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    async def close(self) -> None:
        return


def used_bytes(folder: Path) -> int:
    """What the buffer's files take, as the file system has them."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_day_offline_stays_under_the_cap_and_accounts_for_every_event(
    tmp_path: Path,
) -> None:
    clock, random = SimulatedClock(), Random(5)
    config = BufferConfig(path=tmp_path / "buffer.db", max_bytes=CAP_BYTES)
    buffer = await Buffer.open(
        config, ADDRESS, PrivateKey(bytes(32)), clock=clock, random=random, runner=DirectRunner()
    )
    accepted: dict[tuple[int, int], int] = {}
    most_bytes = number = 0
    for _ in range(HOURS * GROUPS_PER_HOUR):
        clock.at_ns += MINUTE_NS
        events = []
        for _ in range(GROUP_EVENTS):
            number += 1
            data = {"n": number, "text": random.randbytes(150).hex()}
            events.append(Event(type="t", source="s", time_ns=clock.wall_ns(), data=data))
        for place, event in zip(await buffer.accept(events), events, strict=True):
            accepted[place.epoch, place.sequence] = event.data["n"]
        await buffer.seal_due(clock.mono_ns())
        most_bytes = max(most_bytes, used_bytes(tmp_path))
    await buffer.seal_all()
    most_bytes = max(most_bytes, used_bytes(tmp_path))
    assert most_bytes <= ALLOWED_BYTES

    kept, evicted = await contents_of(buffer)
    assert kept.keys().isdisjoint(evicted)
    assert kept.keys() | evicted.keys() == accepted.keys()
    assert all(accepted[place] == number for place, number in kept.items())
    assert set(evicted.values()) == {GapReason.EVICTED}
    assert len(evicted) > 1000  # the day did not fit
    assert len(kept) > 1000
    assert max(evicted) < min(kept)  # the oldest gave way

    ledger = (await buffer.stats()).lane("normal").ledger
    assert ledger.balanced
    assert ledger.accepted == len(accepted)
    assert ledger.pending == len(kept)
    assert ledger.gapped == {GapReason.EVICTED: len(evicted)}
    assert not (await buffer.verify()).problems
    await buffer.close()


async def contents_of(
    buffer: Buffer,
) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], int]]:
    """The number of each event that is still there, and the reason of each gap, by place."""
    kept: dict[tuple[int, int], int] = {}
    gapped: dict[tuple[int, int], int] = {}
    after = 0
    while frames := await buffer.pending("normal", after, 100):
        for ref in frames:
            after = ref.id
            data = await buffer.load(ref.id)
            assert data is not None
            frame = open_frame(data)
            header = frame.header
            for gap in header.gaps:
                first = header.first + gap.offset
                for sequence in range(first, first + gap.count):
                    assert (header.epoch, sequence) not in gapped
                    gapped[header.epoch, sequence] = gap.reason
            events = decode_events(frame.columns) if header.count else []
            for event, sequence in zip(events, header.sequences(), strict=True):
                assert (header.epoch, sequence) not in kept
                kept[header.epoch, sequence] = event.data["n"]
    return kept, gapped
