"""Frames: sealed, signed, immutable runs of one lane.

A frame is a COSE_Sign1 message whose payload is the CBOR array ``[0, header, columns]``.
The header is a map with small integer keys (see ``protocol/README.md``); unknown keys are
kept. The same bytes lie on flash, go over the air and are committed by the journal.

Sealing and opening touch the header only; nobody here looks into the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import cborform, cose
from .cborform import Reader
from .errors import FieldError, LocalProtocolError, ProtocolError, RemoteProtocolError
from .keys import PrivateKey, PublicKey
from .lanes import LANE_NUMBERS, LANES, ClockQuality, GapReason, Order
from .limits import (
    MAX_FRAME_EVENTS,
    MAX_FRAME_RAW_BYTES,
    MAX_INNER_GAPS,
    MAX_PAYLOAD_BYTES,
    MAX_SPAN,
    MAX_ZONES_PER_FRAME,
)
from .names import Address, check_name
from .sequences import MAX_SEQUENCE

PROTOCOL_VERSION: Final = 1
FRAME_KIND: Final = 0
BOOT_ID_BYTES: Final = 8
DIGEST_BYTES: Final = 8
"""How much of a frame's SHA-256 names it in receipts and indexes."""

_STORED_CODECS: Final = frozenset({0, 4})
"""Codecs that keep the columns as they are (none, row): their size need not be said again."""

MAX_EPOCH: Final = 2**63 - 1
MAX_TIME_NS: Final = 2**63 - 1


class UnsupportedVersionError(RemoteProtocolError):
    """The message speaks a protocol version that this program does not."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"protocol version {version} is not supported (this program speaks up to "
            f"{PROTOCOL_VERSION}); upgrade the receiver first"
        )
        self.version = version


@dataclass(frozen=True, slots=True)
class InnerGap:
    """``count`` sequences from ``first + offset`` on that carry no event, and why."""

    offset: int
    count: int
    reason: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """What a frame says about itself, under its signature.

    Attributes:
        address: tenant, region, store and device.
        lane: one of :data:`LANES`.
        order: the lane's order mode.
        epoch: the numbering these sequences belong to.
        first: first sequence covered, from 1.
        span: how many sequences are covered; events + gapped = span.
        count: events inside.
        gaps: what of the span carries no event, rising, not overlapping.
        time_min_ns: least event time, Unix nanoseconds as the device had it.
        time_max_ns: greatest event time.
        mono_ns: monotonic time since boot when the first event was accepted.
        boot_id: 8 bytes that change with every boot of the device.
        clock: what was known about the wall clock then.
        zones: zones that occur inside, sorted.
        codec: number of the columns' codec.
        raw_size_bytes: size of the columns before compression.
        dictionary: content address of the dictionary needed, or empty.
        extra: unknown optional fields, kept as they came.
    """

    address: Address
    lane: str
    order: Order = Order.IN_ORDER
    epoch: int
    first: int
    span: int
    count: int
    gaps: tuple[InnerGap, ...] = ()
    time_min_ns: int = 0
    time_max_ns: int = 0
    mono_ns: int = 0
    boot_id: bytes = bytes(BOOT_ID_BYTES)
    clock: ClockQuality = ClockQuality.UNKNOWN
    zones: tuple[str, ...] = ()
    codec: int = 0
    raw_size_bytes: int = 0
    dictionary: bytes = b""
    extra: Mapping[int, Any] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The last sequence covered."""
        return self.first + self.span - 1

    def sequences(self) -> Iterator[int]:
        """Yield the sequence of each event, in the events' order."""
        at = self.first
        for gap in self.gaps:
            yield from range(at, self.first + gap.offset)
            at = self.first + gap.offset + gap.count
        yield from range(at, self.last + 1)


@dataclass(frozen=True, slots=True)
class Frame:
    """A parsed frame: its bytes, header and columns. Verify before trusting it."""

    signed: cose.Signed
    header: FrameHeader
    columns: bytes

    @property
    def data(self) -> bytes:
        """The frame's bytes, the same everywhere."""
        return self.signed.data

    @property
    def key_id(self) -> bytes:
        """Which key claims to have signed it."""
        return self.signed.key_id

    @property
    def digest(self) -> bytes:
        """The first 8 bytes of SHA-256 over :attr:`data`."""
        return self.signed.digest[:DIGEST_BYTES]

    def verify(self, key: PublicKey) -> None:
        """Check the signature.

        Raises:
            BadSignatureError: it is not this key's.
        """
        self.signed.verify(key)


def seal_frame(header: FrameHeader, columns: bytes, key: PrivateKey) -> bytes:
    """Return the signed bytes of a frame; the same input gives the same bytes.

    Raises:
        LocalProtocolError: the header breaks a rule, or the frame would be longer than
            ``MAX_PAYLOAD_BYTES``.
    """
    _check_header(header, LocalProtocolError)
    payload = cborform.dump([FRAME_KIND, _header_map(header, len(columns)), columns])
    data = cose.sign(payload, key)
    if len(data) > MAX_PAYLOAD_BYTES:
        raise LocalProtocolError(
            f"frame of {len(data)} bytes is longer than {MAX_PAYLOAD_BYTES}; seal fewer events"
        )
    return data


def open_frame(data: bytes) -> Frame:
    """Parse a frame and check its structure and limits, not its signature.

    Raises:
        UnsupportedVersionError: it speaks another protocol version.
        RemoteProtocolError: any rule of the frame format is broken.
    """
    signed = cose.parse(data)
    parts = cborform.load(signed.payload, "frame")
    if type(parts) is not list or len(parts) != 3 or parts[0] != FRAME_KIND:
        raise RemoteProtocolError("message is not a frame")
    columns = parts[2]
    if type(columns) is not bytes:
        raise RemoteProtocolError("frame: columns are not a byte string")
    header = _read_header(parts[1], len(columns))
    _check_header(header, RemoteProtocolError)
    return Frame(signed, header, columns)


def _header_map(header: FrameHeader, columns_bytes: int) -> dict[int, object]:
    address = header.address
    stored_bytes = columns_bytes if header.codec in _STORED_CODECS else 0
    fields: dict[int, object] = {
        1: PROTOCOL_VERSION,
        2: address.tenant,
        3: address.region,
        4: address.store,
        5: address.device,
        6: LANE_NUMBERS[header.lane],
        8: header.epoch,
        9: header.first,
        13: header.time_min_ns,
        15: header.mono_ns,
        16: header.boot_id,
        17: int(header.clock),
    }
    if header.span != 1:
        fields[10] = header.span
    if header.time_max_ns != header.time_min_ns:
        fields[14] = header.time_max_ns - header.time_min_ns
    if header.codec:
        fields[19] = header.codec
    if header.raw_size_bytes != stored_bytes:
        fields[21] = header.raw_size_bytes
    if header.order is not Order.IN_ORDER:
        fields[7] = int(header.order)
    if header.count != header.span:
        fields[11] = header.count
        fields[12] = [[gap.offset, gap.count, gap.reason] for gap in header.gaps]
    if header.zones:
        fields[18] = list(header.zones)
    if header.dictionary:
        fields[20] = header.dictionary
    fields.update(header.extra)
    return fields


def _read_header(value: object, columns_bytes: int) -> FrameHeader:
    fields = Reader(value, "frame header")
    version = fields.integer(1, "version", low=0, high=2**31)
    if version != PROTOCOL_VERSION:
        raise UnsupportedVersionError(version)
    try:
        address = Address(
            tenant=fields.text(2, "tenant"),
            region=fields.text(3, "region"),
            store=fields.text(4, "store"),
            device=fields.text(5, "device"),
        )
        zones = tuple(
            check_name("zone", zone) for zone in fields.items(18, "zones", most=MAX_ZONES_PER_FRAME)
        )
    except FieldError as error:
        raise RemoteProtocolError(f"frame header: {error}") from error
    span = fields.integer(10, "span", low=1, high=MAX_SPAN, default=1)
    codec = fields.integer(19, "codec", low=0, high=255, default=0)
    stored_bytes = columns_bytes if codec in _STORED_CODECS else 0
    time_min_ns = fields.integer(13, "least time", low=-(2**63), high=MAX_TIME_NS)
    return FrameHeader(
        address=address,
        lane=LANES[fields.integer(6, "lane", low=0, high=len(LANES) - 1)],
        order=Order(fields.integer(7, "order", low=0, high=1, default=0)),
        epoch=fields.integer(8, "epoch", low=1, high=MAX_EPOCH),
        first=fields.integer(9, "first", low=1, high=MAX_SEQUENCE),
        span=span,
        count=fields.integer(11, "count", low=0, high=MAX_FRAME_EVENTS, default=span),
        gaps=_read_gaps(fields.items(12, "gaps", most=MAX_INNER_GAPS)),
        time_min_ns=time_min_ns,
        time_max_ns=time_min_ns + fields.integer(14, "time range", low=0, high=2**64, default=0),
        mono_ns=fields.integer(15, "monotonic time", low=0, high=MAX_TIME_NS),
        boot_id=fields.octets(16, "boot id", size=BOOT_ID_BYTES),
        clock=ClockQuality(fields.integer(17, "clock quality", low=0, high=4)),
        zones=zones,
        codec=codec,
        raw_size_bytes=fields.integer(
            21, "columns' size", low=0, high=MAX_FRAME_RAW_BYTES, default=stored_bytes
        ),
        dictionary=fields.octets(20, "dictionary", size=32, default=b""),
        extra=fields.rest,
    )


def _read_gaps(items: list[Any]) -> tuple[InnerGap, ...]:
    gaps = []
    for item in items:
        if type(item) is not list or len(item) != 3 or not all(type(n) is int for n in item):
            raise RemoteProtocolError(
                f"frame header: gap {item!r:.60} is not [offset, count, reason]"
            )
        gaps.append(InnerGap(*item))
    return tuple(gaps)


def _check_header(header: FrameHeader, error: type[ProtocolError]) -> None:
    """Check what ties fields together: the gaps tile the span, times are ordered."""
    if not 1 <= header.first <= header.last <= MAX_SEQUENCE:
        raise error(f"frame covers {header.first}..{header.last}, beyond {MAX_SEQUENCE}")
    if not 0 <= header.count <= min(header.span, MAX_FRAME_EVENTS):
        raise error(f"frame has {header.count} events in a span of {header.span}")
    if len(header.gaps) > MAX_INNER_GAPS:
        raise error(f"frame has {len(header.gaps)} gaps, more than {MAX_INNER_GAPS}")
    at = gapped = 0
    for gap in header.gaps:
        if (
            gap.offset < at
            or gap.count < 1
            or gap.reason < 1
            or gap.offset + gap.count > header.span
        ):
            raise error(f"frame's gaps do not rise within its span of {header.span}")
        at = gap.offset + gap.count
        gapped += gap.count
    if header.count + gapped != header.span:
        raise error(
            f"frame has {header.count} events and {gapped} gapped, together not its span {header.span}"
        )
    if header.time_max_ns < header.time_min_ns or header.time_max_ns > MAX_TIME_NS:
        raise error(f"frame's times run from {header.time_min_ns} to {header.time_max_ns}")
    if not 0 <= header.raw_size_bytes <= MAX_FRAME_RAW_BYTES:
        raise error(
            f"frame's columns claim {header.raw_size_bytes} bytes, at most {MAX_FRAME_RAW_BYTES}"
        )


def gap_header(
    address: Address,
    *,
    lane: str,
    order: Order,
    epoch: int,
    first: int,
    span: int,
    reason: GapReason,
) -> FrameHeader:
    """Return the header of a frame without events: ``span`` sequences gapped for one reason."""
    return FrameHeader(
        address=address,
        lane=lane,
        order=order,
        epoch=epoch,
        first=first,
        span=span,
        count=0,
        gaps=(InnerGap(0, span, int(reason)),),
    )
