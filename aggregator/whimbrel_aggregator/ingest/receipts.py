"""What the region says after a commit: receipts, wants and credit, as values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from whimbrel_aggregator.journal.values import StreamKey
from whimbrel_protocol.limits import MAX_RECEIPT_ENTRIES, MAX_RESUME_STREAMS
from whimbrel_protocol.messages import (
    Credit,
    Receipt,
    ReceiptEntry,
    StreamState,
    Want,
)
from whimbrel_protocol.names import Address
from whimbrel_protocol.sequences import RangeSet

from .admission import ParsedFrame
from .verdict import Decision


@dataclass(frozen=True, slots=True)
class Settled:
    """A frame and its verdict, after the commit that it may have needed."""

    frame: ParsedFrame
    decision: Decision


CreditOf = Callable[[Address], Credit]
"""What each device may have in flight."""


def entry_for(settled: Settled) -> ReceiptEntry | None:
    """Return the region's word on a frame, None when the device keeps it.

    A fork is named under the epoch of its own header: the device knows no other.
    """
    status = settled.decision.status
    if status is None:
        return None
    frame = settled.frame.candidate
    return ReceiptEntry(
        epoch=frame.key.epoch,
        lane=frame.key.lane,
        first=frame.first,
        span=frame.span,
        digest=frame.digest,
        status=status,
        reason=settled.decision.reason,
    )


def receipts_for(
    settled: Iterable[Settled], *, generation: bytes, credit_of: CreditOf, sent_ns: int
) -> list[Receipt]:
    """Return receipts for a group: one a device, more past ``MAX_RECEIPT_ENTRIES`` frames."""
    entries: dict[Address, list[tuple[ReceiptEntry, int]]] = {}
    for one in settled:
        entry = entry_for(one)
        if entry is not None:
            entries.setdefault(one.frame.address, []).append((entry, one.frame.received_ns))
    receipts = []
    for address, named in entries.items():
        for start in range(0, len(named), MAX_RECEIPT_ENTRIES):
            part = named[start : start + MAX_RECEIPT_ENTRIES]
            receipts.append(
                Receipt(
                    address=address,
                    generation=generation,
                    entries=tuple(entry for entry, _ in part),
                    received_ns=max(received_ns for _, received_ns in part),
                    sent_ns=sent_ns,
                    credit=credit_of(address),
                )
            )
    return receipts


def no_room_receipts(
    frames: Iterable[ParsedFrame], *, generation: bytes, credit_of: CreditOf, sent_ns: int
) -> list[Receipt]:
    """Return receipts that name no frame: they only tell the devices' credit."""
    newest: dict[Address, int] = {}
    for frame in frames:
        newest[frame.address] = max(newest.get(frame.address, 0), frame.received_ns)
    return [
        Receipt(address, generation, (), received_ns, sent_ns, credit_of(address))
        for address, received_ns in newest.items()
    ]


def wants_for(
    held: Mapping[Address, Sequence[StreamKey]],
    settled: Mapping[StreamKey, RangeSet | None],
    *,
    generation: bytes,
) -> list[Want]:
    """Return, for each device, what the region holds of the streams it must fill first."""
    return [
        Want(
            address,
            generation,
            tuple(
                StreamState(key.epoch, key.lane, tuple(settled.get(key) or RangeSet()))
                for key in list(dict.fromkeys(keys))[:MAX_RESUME_STREAMS]
            ),
        )
        for address, keys in held.items()
    ]
