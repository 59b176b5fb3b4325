"""The header of a frame: whose it is, which sequences it covers, when, and what is inside.

On the wire an array: what every frame says stands at fixed places, what few say in a map at its
end that is left out when empty (see ``protocol/README.md``). Unknown keys of the map are kept.
Nobody here knows how a frame is signed or compressed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .cborform import Reader
from .errors import FieldError, ProtocolError, RemoteProtocolError
from .lanes import LANE_NUMBERS, LANES, ClockQuality, GapReason, Order
from .limits import MAX_FRAME_EVENTS, MAX_INNER_GAPS, MAX_NAMED_ZONES, MAX_SPAN
from .names import Address, check_name
from .sequences import MAX_SEQUENCE

PROTOCOL_VERSION: Final = 1
BOOT_ID_BYTES: Final = 4
"""Tells the boots of one device apart: two that follow each other are the same once in 2^32."""

MAX_EPOCH: Final = 2**63 - 1
MAX_TIME_NS: Final = 2**63 - 1
MIN_TIME_S: Final = -(2**63) // 10**9
MAX_TIME_S: Final = MAX_TIME_NS // 10**9

_FIXED: Final = 13
"""Places of the header that every frame fills; the map of the others comes after them."""

_ORDER_STEP: Final = 4
"""The lane's place holds the lane's number plus this times its order mode."""

_MANY_ZONES: Final = True
"""Stands for more zones than are named."""


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
        time_min_s: whole Unix second in which the least event time lies, as the device had it;
            the events themselves have nanoseconds.
        time_max_s: the second of the greatest.
        mono_ms: monotonic milliseconds since boot when the first event was accepted.
        boot_id: 4 bytes that change with every boot of the device.
        clock: what was known about the wall clock then.
        zones: zones that occur inside, as :func:`name_zones` gives them.
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
    time_min_s: int = 0
    time_max_s: int = 0
    mono_ms: int = 0
    boot_id: bytes = bytes(BOOT_ID_BYTES)
    clock: ClockQuality = ClockQuality.UNKNOWN
    zones: tuple[str, ...] | None = ()
    dictionary: bytes = b""
    extra: Mapping[int, Any] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The last sequence covered."""
        return self.first + self.span - 1

    @property
    def time_min_ns(self) -> int:
        """No event is earlier; Unix nanoseconds, a signed number of 64 bits."""
        return max(-(2**63), self.time_min_s * 10**9)

    @property
    def time_max_ns(self) -> int:
        """No event is later."""
        return min(MAX_TIME_NS, self.time_max_s * 10**9 + 10**9 - 1)

    def sequences(self) -> Iterator[int]:
        """Yield the sequence of each event, in the events' order."""
        at = self.first
        for gap in self.gaps:
            yield from range(at, self.first + gap.offset)
            at = self.first + gap.offset + gap.count
        yield from range(at, self.last + 1)


def name_zones(zones: Iterable[str | None]) -> tuple[str, ...] | None:
    """Return the zones of a frame's events as its header has them.

    Sorted, each once; None stands for more than ``MAX_NAMED_ZONES``: whoever wants one zone has
    to look inside. An event without zone adds nothing.
    """
    named = sorted({zone for zone in zones if zone is not None})
    return tuple(named) if len(named) <= MAX_NAMED_ZONES else None


@dataclass(frozen=True, slots=True)
class FrameRange:
    """What the header of a frame says in every version of the protocol: whose, and which."""

    address: Address
    lane: str
    order: Order
    epoch: int
    first: int
    span: int


def header_array(header: FrameHeader) -> list[object]:
    """Return the header as it stands in a frame's payload."""
    address = header.address
    rest: dict[int, object] = {}
    if header.count != header.span:
        rest[1] = header.count
        rest[2] = [[gap.offset, gap.count, gap.reason] for gap in header.gaps]
    if header.time_max_s != header.time_min_s:
        rest[3] = header.time_max_s - header.time_min_s
    if header.zones is None:
        rest[4] = _MANY_ZONES
    elif header.zones:
        rest[4] = header.zones[0] if len(header.zones) == 1 else list(header.zones)
    if header.dictionary:
        rest[5] = header.dictionary
    rest.update(header.extra)
    fixed: list[object] = [
        PROTOCOL_VERSION,
        *(address.tenant, address.region, address.store, address.device),
        LANE_NUMBERS[header.lane] + _ORDER_STEP * int(header.order),
        *(header.epoch, header.first, header.span),
        *(header.time_min_s, header.mono_ms, header.boot_id, int(header.clock)),
    ]
    return [*fixed, rest] if rest else fixed


def _places(header: object) -> Reader:
    if type(header) is not list:
        raise RemoteProtocolError("frame header is not an array")
    return Reader(dict(enumerate(header)), "frame header")


def read_range(header: object) -> FrameRange:
    """Read the places that a header has in every version.

    Raises:
        RemoteProtocolError: not even these can be read.
    """
    return _range_of(_places(header))


def _range_of(places: Reader) -> FrameRange:
    try:
        address = Address(
            tenant=places.text(1, "tenant"),
            region=places.text(2, "region"),
            store=places.text(3, "store"),
            device=places.text(4, "device"),
        )
    except FieldError as error:
        raise RemoteProtocolError(f"frame header: {error}") from error
    order, lane = divmod(places.integer(5, "lane", low=0, high=7), _ORDER_STEP)
    epoch = places.integer(6, "epoch", low=1, high=MAX_EPOCH)
    first = places.integer(7, "first", low=1, high=MAX_SEQUENCE)
    most = min(MAX_SPAN, MAX_SEQUENCE - first + 1)
    span = places.integer(8, "span", low=1, high=most)
    return FrameRange(address, LANES[lane], Order(order), epoch, first, span)


def read_header(value: object) -> FrameHeader:
    """Read a header of this version; :func:`check_header` ties its fields together.

    Raises:
        UnsupportedVersionError: it is of another version.
        RemoteProtocolError: a field is missing or not of its form.
    """
    places = _places(value)
    version = places.integer(0, "version", low=0, high=2**31)
    if version != PROTOCOL_VERSION:
        raise UnsupportedVersionError(version)
    covered = _range_of(places)
    rest = Reader(places.rest.pop(_FIXED, {}), "frame header's map")
    time_min_s = places.integer(9, "least time", low=MIN_TIME_S, high=MAX_TIME_S)
    header = FrameHeader(
        address=covered.address,
        lane=covered.lane,
        order=covered.order,
        epoch=covered.epoch,
        first=covered.first,
        span=covered.span,
        count=rest.integer(1, "count", low=0, high=MAX_FRAME_EVENTS, default=covered.span),
        gaps=_read_gaps(rest.items(2, "gaps", most=MAX_INNER_GAPS)),
        time_min_s=time_min_s,
        time_max_s=time_min_s
        + rest.integer(3, "time range", low=0, high=MAX_TIME_S - MIN_TIME_S, default=0),
        mono_ms=places.integer(10, "monotonic time", low=0, high=MAX_TIME_NS),
        boot_id=places.octets(11, "boot id", size=BOOT_ID_BYTES),
        clock=ClockQuality(places.integer(12, "clock quality", low=0, high=4)),
        zones=_read_zones(rest.rest.pop(4, [])),
        dictionary=rest.octets(5, "dictionary", size=32, default=b""),
        extra=rest.rest,
    )
    if places.rest:
        raise RemoteProtocolError(f"frame header has {len(value)} places")  # type: ignore[arg-type]
    return header


def _read_zones(value: object) -> tuple[str, ...] | None:
    if value is _MANY_ZONES:
        return None
    zones = value if type(value) is list else [value]
    if len(zones) > MAX_NAMED_ZONES:
        raise RemoteProtocolError(
            f"frame header names {len(zones)} zones, at most {MAX_NAMED_ZONES} are"
        )
    try:
        return tuple(check_name("zone", zone) for zone in zones)
    except FieldError as error:
        raise RemoteProtocolError(f"frame header: {error}") from error


def _read_gaps(items: list[Any]) -> tuple[InnerGap, ...]:
    gaps = []
    for item in items:
        if type(item) is not list or len(item) != 3 or not all(type(n) is int for n in item):
            raise RemoteProtocolError(
                f"frame header: gap {item!r:.60} is not [offset, count, reason]"
            )
        gaps.append(InnerGap(*item))
    return tuple(gaps)


def check_header(header: FrameHeader, error: type[ProtocolError]) -> None:
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
    if len(header.boot_id) != BOOT_ID_BYTES:
        raise error(f"frame's boot id has {len(header.boot_id)} bytes, must be {BOOT_ID_BYTES}")
    if not MIN_TIME_S <= header.time_min_s <= header.time_max_s <= MAX_TIME_S:
        raise error(f"frame's times run from {header.time_min_s} s to {header.time_max_s} s")


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
