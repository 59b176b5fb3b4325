"""The columns of one frame as self-describing bytes: the two public functions.

First the lead (see ``lead``), then the body, compressed. Codec ids: 0 none, 1 lz4, 2 zstd, 3 zstd
with a dictionary (see ``dictionaries``), 6 zstd with the words (see ``words``), 7 zstd with a
dictionary whose tables or formulas the columns refer to (see ``shared``). Codecs 4 and 5 are for one event that is smaller so: its row (see ``rows``), as it is
or compressed with the words. The same events and library versions always give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from whimbrel_protocol.cbor import dump_value
from whimbrel_protocol.codecs import CODEC_NAMES, CODECS, NAMING, compress, decompress
from whimbrel_protocol.columns.reading import read_body
from whimbrel_protocol.columns.writing import Body, write_body
from whimbrel_protocol.dictionaries import (
    NO_DICTIONARIES,
    Dictionaries,
    Dictionary,
    UnknownDictionaryError,
)
from whimbrel_protocol.errors import FieldError, LocalProtocolError
from whimbrel_protocol.event import Event, event_row, validate_event
from whimbrel_protocol.lanes import LANE_NUMBERS
from whimbrel_protocol.lead import read_lead, write_lead
from whimbrel_protocol.limits import MAX_FRAME_EVENTS, MAX_FRAME_RAW_BYTES
from whimbrel_protocol.rows import unpack_event
from whimbrel_protocol.shared import NOTHING_SHARED, Shared
from whimbrel_protocol.zstdcodec import SMALL_BYTES, Level

__all__ = ["columns_info", "decode_events", "encode_events", "uncompressed"]

_CHOICES: Final = ("auto", "none", "lz4", "zstd")
_ROW: Final = CODECS["row"]
_WORDS: Final = CODECS["row-words"]
_DICTIONARY: Final = CODECS["zstd-dictionary"]
_TABLES: Final = CODECS["zstd-tables"]

_LZ4_BODY_BYTES: Final = 512
"""Below this the fixed costs of zstd (heads, tables) can lose against lz4; above it lz4 never
won on real events, so it is not tried."""


class Picked(Protocol):
    """How one body is to be compressed."""

    @property
    def codec(self) -> str:
        """As the argument of :func:`encode_events`."""
        ...

    @property
    def level(self) -> Level:
        """How hard zstd searches."""
        ...


def encode_events(
    events: Sequence[Event],
    *,
    codec: str = "auto",
    pick: Callable[[bytes], Picked] | None = None,
    dictionary: Dictionary | None = None,
    light: bool = False,
) -> bytes:
    """Turn the events of one frame into columns and compress them.

    Args:
        events: 0 to 10,000 events of one lane, in the order of their sequences.
        codec: ``none``, ``lz4``, ``zstd``, or ``auto`` for the smallest, which may use the
            words, and for a single event its row. Where a codec does not make the bytes fewer
            they are kept as with ``none``.
        pick: chooses codec and level from the columns instead; the bytes are the same again
            for the same choice.
        dictionary: one that ``auto`` may use too. Whoever reads needs it then.
        light: columns are planned with a tenth less work, for a thousandth more bytes.

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
        lane = LANE_NUMBERS.get(lanes.pop(), 0) if lanes else 0
        shared = NOTHING_SHARED
        if dictionary is not None and codec == "auto":
            shared = dictionary.shared
        body = write_body(events, lane, light=light, shared=shared)
    except (TypeError, AttributeError, ValueError):
        for event in events:
            validate_event(event)  # names what is wrong with which field
        raise
    if len(body.raw) > MAX_FRAME_RAW_BYTES:
        raise LocalProtocolError(
            f"columns are {len(body.raw)} bytes: must be at most {MAX_FRAME_RAW_BYTES},"
            " seal fewer events at once"
        )
    level = Level.FULL
    if pick is not None:
        picked = pick(body.raw)
        codec, level = picked.codec, picked.level
    if body.following and codec != "auto":
        body = write_body(events, lane, light=light)
    columns = _smallest(body, codec, level, dictionary)
    if codec == "auto" and len(events) == 1:
        return min(columns, *_rows_of(events[0]), key=len)
    return columns


def decode_events(data: bytes, dictionaries: Dictionaries = NO_DICTIONARIES) -> list[Event]:
    """Give back exactly the events that were encoded, in order.

    Args:
        data: bytes from ``encode_events``.
        dictionaries: those at hand.

    Raises:
        UnknownDictionaryError: it needs one that is not at hand.
        RemoteProtocolError: anything else than bytes from ``encode_events`` of a known version;
            within memory bounded by the limits, whatever the bytes are.
    """
    codec, raw, shared = _read(data, dictionaries)
    return [unpack_event(raw)] if codec in {_ROW, _WORDS} else read_body(raw, shared)


def uncompressed(data: bytes, dictionaries: Dictionaries = NO_DICTIONARIES) -> bytes:
    """Give back what was compressed: the body, or of a single event perhaps its row.

    Raises:
        UnknownDictionaryError: it needs a dictionary that is not at hand.
        RemoteProtocolError: as ``decode_events``.
    """
    return _read(data, dictionaries)[1]


def _read(data: bytes, dictionaries: Dictionaries) -> tuple[int, bytes, Shared]:
    codec, raw_size_bytes, start, name = read_lead(data)
    if codec == _ROW:
        return codec, data[start:], NOTHING_SHARED
    if codec not in NAMING:
        return codec, decompress(codec, data[start:], raw_size_bytes), NOTHING_SHARED
    dictionary = dictionaries.get(name)
    if dictionary is None:
        raise UnknownDictionaryError(name)
    raw = decompress(codec, data[start:], raw_size_bytes, reader=dictionary.decompress)
    return codec, raw, dictionary.shared if codec == _TABLES else NOTHING_SHARED


def columns_info(data: bytes) -> tuple[str, int]:
    """Give the codec's name and the size in bytes before compression.

    That is the declared size of the body, or all of ``data`` where nothing was compressed.

    Raises:
        RemoteProtocolError: unknown version or codec, or a size beyond the limit.
    """
    lead = read_lead(data)
    stored = lead.codec in {CODECS["none"], _ROW}
    return CODEC_NAMES[lead.codec], len(data) if stored else lead.raw_size_bytes


def _rows_of(event: Event) -> tuple[bytes, bytes]:
    row = dump_value(event_row(event))
    return (
        write_lead(_WORDS, len(row)) + compress(_WORDS, row),
        write_lead(_ROW, len(row)) + row,
    )


def _smallest(body: Body, codec: str, level: Level, dictionary: Dictionary | None) -> bytes:
    raw, cuts, following = body
    if following:
        assert dictionary is not None
        packed = dictionary.compress(raw, cuts, level)
        return write_lead(_TABLES, len(raw), dictionary.name) + packed
    tried = [CODECS[codec]] if codec != "auto" else _worth_trying(len(raw))
    best, best_bytes = CODECS["none"], raw
    for number in tried:
        packed = compress(number, raw, cuts, level)
        if len(packed) < len(best_bytes):
            best, best_bytes = number, packed
    columns = write_lead(best, len(raw)) + best_bytes
    if dictionary is None or codec != "auto" or not raw:
        return columns
    packed = dictionary.compress(raw, cuts, level)
    return min(columns, write_lead(_DICTIONARY, len(raw), dictionary.name) + packed, key=len)


def _worth_trying(size_bytes: int) -> list[int]:
    if size_bytes < _LZ4_BODY_BYTES:
        return [CODECS["lz4"], CODECS["zstd"], CODECS["zstd-words"]]
    if size_bytes < SMALL_BYTES:
        return [CODECS["zstd"], CODECS["zstd-words"]]
    return [CODECS["zstd"]]
