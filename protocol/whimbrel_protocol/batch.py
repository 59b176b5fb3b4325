"""The columns of one frame as self-describing bytes: the two public functions.

::

    byte      format version (high four bits, 1) and codec id (low four bits)
    varint    size of the body in bytes before compression, at most MAX_FRAME_RAW_BYTES
    bytes     the body, compressed

Codec ids: 0 none, 1 lz4, 2 zstd; 3 is kept for zstd with a dictionary, whose id will follow
the size. Codec 4, row, is for one event that is smaller so: the first byte and then the row of
``rows``, without size. The same events and library versions always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.codecs import CODEC_NAMES, CODECS, compress, decompress
from whimbrel_protocol.columns.reading import read_body
from whimbrel_protocol.columns.regions import put_varint, read_varint
from whimbrel_protocol.columns.writing import write_body
from whimbrel_protocol.errors import FieldError, LocalProtocolError, RemoteProtocolError
from whimbrel_protocol.event import Event, event_row, validate_event
from whimbrel_protocol.lanes import LANE_NUMBERS
from whimbrel_protocol.limits import MAX_FRAME_EVENTS, MAX_FRAME_RAW_BYTES
from whimbrel_protocol.rows import unpack_event

__all__ = ["columns_info", "decode_events", "encode_events"]

_VERSION: Final = 1
_CHOICES: Final = ("auto", "none", "lz4", "zstd")
_ROW: Final = CODECS["row"]

_TINY_BODY_BYTES: Final = 160
"""Below this, one event mostly, zstd seldom wins, and then a byte: its heads want repetition."""

_SMALL_BODY_BYTES: Final = 512
"""Below this the fixed costs of zstd (heads, tables) can lose against lz4; above it lz4 never
won on real events, so it is not tried."""


def encode_events(events: Sequence[Event], *, codec: str = "auto") -> bytes:
    """Turn the events of one frame into columns and compress them.

    Args:
        events: 0 to 10,000 events of one lane, in the order of their sequences.
        codec: ``none``, ``lz4``, ``zstd``, or ``auto`` for the smallest, which for a single
            event may be its row. Where a codec does not make the bytes fewer they are kept as
            with ``none``.

    Returns:
        Self-describing bytes for ``decode_events``.

    Raises:
        FieldError: an event breaks a limit.
        LocalProtocolError: unknown codec, mixed lanes, or more events, values or bytes than a
            frame may hold (seal fewer at once).
    """
    if codec not in _CHOICES:
        raise LocalProtocolError(f"codec is {codec!r}: must be one of {', '.join(_CHOICES)}")
    if len(events) > MAX_FRAME_EVENTS:
        raise LocalProtocolError(
            f"frame has {len(events)} events: must be at most {MAX_FRAME_EVENTS}"
        )
    try:
        lanes = {event.lane for event in events}
        if len(lanes) > 1:
            raise FieldError("lane", sorted(lanes), "must be the same for all events of a frame")
        raw, cuts = write_body(events, LANE_NUMBERS.get(lanes.pop(), 0) if lanes else 0)
    except (TypeError, AttributeError, ValueError):
        for event in events:
            validate_event(event)  # names what is wrong with which field
        raise
    if len(raw) > MAX_FRAME_RAW_BYTES:
        raise LocalProtocolError(
            f"columns are {len(raw)} bytes: must be at most {MAX_FRAME_RAW_BYTES},"
            " seal fewer events at once"
        )
    columns = _smallest(raw, cuts, codec)
    if codec == "auto" and len(events) == 1:
        row = bytes([_VERSION << 4 | _ROW]) + dump_value(event_row(events[0]))
        return row if len(row) < len(columns) else columns
    return columns


def decode_events(data: bytes) -> list[Event]:
    """Give back exactly the events that were encoded, in order.

    Raises:
        RemoteProtocolError: anything else than bytes from ``encode_events`` of a known version;
            within memory bounded by the limits, whatever the bytes are.
    """
    codec, raw_size_bytes, start = _read_lead(data)
    if codec == _ROW:
        return [unpack_event(data[start:])]
    return read_body(decompress(codec, data[start:], raw_size_bytes))


def columns_info(data: bytes) -> tuple[str, int]:
    """Give the codec's name and the size in bytes before compression.

    That is the declared size of the body, or all of ``data`` where nothing was compressed.

    Raises:
        RemoteProtocolError: unknown version or codec, or a size beyond the limit.
    """
    codec, raw_size_bytes, _ = _read_lead(data)
    return CODEC_NAMES[codec], len(data) if codec == CODECS["none"] else raw_size_bytes


def _read_lead(data: bytes) -> tuple[int, int, int]:
    if not data:
        raise RemoteProtocolError("columns are empty: at least 2 bytes are needed")
    version, codec = data[0] >> 4, data[0] & 0x0F
    if version != _VERSION:
        raise RemoteProtocolError(f"columns have version {version}: this program reads {_VERSION}")
    if codec not in CODEC_NAMES:
        raise RemoteProtocolError(f"codec id is {codec}: must be one of {sorted(CODEC_NAMES)}")
    if codec == _ROW:
        return codec, len(data), 1
    raw_size_bytes, start = read_varint(data, 1)
    if raw_size_bytes > MAX_FRAME_RAW_BYTES:
        raise RemoteProtocolError(
            f"declared size is {raw_size_bytes} bytes: must be at most {MAX_FRAME_RAW_BYTES}"
        )
    return codec, raw_size_bytes, start


def _smallest(raw: bytes, cuts: list[int], codec: str) -> bytes:
    if codec != "auto":
        tried = [CODECS[codec]]
    elif len(raw) < _TINY_BODY_BYTES:
        tried = [CODECS["lz4"]]
    elif len(raw) < _SMALL_BODY_BYTES:
        tried = [CODECS["lz4"], CODECS["zstd"]]
    else:
        tried = [CODECS["zstd"]]
    best, best_bytes = CODECS["none"], raw
    for number in tried:
        packed = compress(number, raw, cuts)
        if len(packed) < len(best_bytes):
            best, best_bytes = number, packed
    lead = bytearray([_VERSION << 4 | best])
    put_varint(lead, len(raw))
    return bytes(lead) + best_bytes
