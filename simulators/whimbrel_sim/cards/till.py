"""What the workloads and their judges share: one till's address, key, clocks and events."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from whimbrel_protocol.event import Event
from whimbrel_protocol.keys import PrivateKey
from whimbrel_protocol.lanes import ClockQuality
from whimbrel_protocol.messages import Credit, Receipt, ReceiptEntry
from whimbrel_protocol.names import Address

ADDRESS: Final = Address(tenant="acme", region="eu-1", store="store-12", device="till-3")
KEY: Final = PrivateKey(bytes(range(32)))
SECOND_NS: Final = 1_000_000_000
START_NS: Final = 1_700_000_000 * SECOND_NS
GENERATION: Final = b"gen-0001"


class BrokenPromiseError(Exception):
    """What was found breaks a promise of the product."""


class OpeningError(Exception):
    """A store could not be opened, since the system said so."""


def boot_id(boot: int) -> bytes:
    """Return the id of a boot: another one after every power cut."""
    return b"b%03d" % boot


@dataclass
class HandClock:
    """Clocks that stand still until they are moved; for agent and aggregator."""

    boot: int = 1
    mono: int = 5 * SECOND_NS
    wall: int = START_NS

    @property
    def boot_id(self) -> bytes:
        """Four bytes that change with every boot."""
        return boot_id(self.boot)

    def wall_ns(self) -> int:
        """Unix time in nanoseconds."""
        return self.wall

    def mono_ns(self) -> int:
        """Nanoseconds since boot."""
        return self.mono

    def quality(self) -> ClockQuality:
        """Return that the clock is right."""
        return ClockQuality.SYNCED

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.mono += int(seconds * SECOND_NS)
        self.wall += int(seconds * SECOND_NS)


@lru_cache(maxsize=8192)
def sale(number: int, lane: str) -> Event:
    """Return the event of a number, unlike any other; some hold a note that does not compress well."""
    chance = random.Random(number)
    data: dict[str, object] = {
        "sku": f"A{chance.randrange(5000):05d}",
        "price": chance.randrange(99, 9999) / 100,
        "number": number,
    }
    if number % 4 == 0:
        data["note"] = chance.randbytes(chance.randrange(100, 4_000)).hex()
    return Event(
        type="pos.line",
        source=f"till-{number % 3}",
        time_ns=START_NS + number * 37_000_000,
        data=data,
        zone="front",
        lane=lane,
    )


def receipt(entries: tuple[ReceiptEntry, ...]) -> Receipt:
    """Return the region's word on some frames, as if verified."""
    return Receipt(
        address=ADDRESS,
        generation=GENERATION,
        entries=entries,
        received_ns=START_NS,
        sent_ns=START_NS,
        credit=Credit(1 << 20, 60),
    )
