"""Devices that speak and are not enrolled: listed, and told to wait at a bounded rate. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from whimbrel_protocol.names import Address

MAX_STRANGERS: Final = 1_000
"""Devices remembered; the one not heard for longest goes. Anybody on the broker can fill it."""

MAX_HOLDS_PER_S: Final = 20
"""Holds signed for strangers in a second: a flood of them must not cost more than 2 % of a core."""

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Stranger:
    """A device that was heard and not taken, and why; ``key_id`` is what it claims."""

    address: Address
    key_id: bytes
    why: str
    messages: int
    first_ns: int
    last_ns: int


class Strangers:
    """What was seen and not enrolled, newest last."""

    def __init__(self, *, hold_s: int) -> None:
        self._hold_ns = hold_s * _NS
        self._seen: OrderedDict[Address, Stranger] = OrderedDict()
        self._told: OrderedDict[Address, int] = OrderedDict()
        self._second = 0
        self._holds = 0

    def list(self) -> list[Stranger]:
        """Return them, the one heard last at the end."""
        return list(self._seen.values())

    def note(self, address: Address, key_id: bytes, why: str, *, now_ns: int) -> None:
        """Remember that a device was heard."""
        known = self._seen.pop(address, None)
        messages, first_ns = (1, now_ns) if known is None else (known.messages + 1, known.first_ns)
        self._seen[address] = Stranger(address, key_id, why, messages, first_ns, now_ns)
        if len(self._seen) > MAX_STRANGERS:
            self._seen.popitem(last=False)

    def forget(self) -> None:
        """Forget all: devices were enrolled or removed."""
        self._seen.clear()
        self._told.clear()

    def may_hold(self, address: Address, *, now_ns: int) -> bool:
        """Say whether to answer this device now: once per hold time, few in all."""
        last = self._told.get(address)
        if last is not None and 0 <= now_ns - last < self._hold_ns:
            return False
        second = now_ns // _NS
        if second != self._second:
            self._second, self._holds = second, 0
        if self._holds >= MAX_HOLDS_PER_S:
            return False
        self._holds += 1
        self._told[address] = now_ns
        self._told.move_to_end(address)
        if len(self._told) > MAX_STRANGERS:
            self._told.popitem(last=False)
        return True
