"""Codecs: what turns column bytes into fewer bytes, and back within bounds.

The rule it keeps: nothing is allocated on the word of the input. The uncompressed size is
declared beside the compressed bytes, checked against its limit first, and must then be met
exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import lz4.block
import zstandard

from whimbrel_protocol import zstdcodec
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_FRAME_RAW_BYTES
from whimbrel_protocol.words import PREFIX

__all__ = ["CODECS", "CODEC_NAMES", "NAMING", "compress", "decompress"]

CODECS: Final = {
    "none": 0,
    "lz4": 1,
    "zstd": 2,
    "zstd-dictionary": 3,
    "row": 4,
    "row-words": 5,
    "zstd-words": 6,
    "zstd-tables": 7,
}
"""Codec names and their ids on the wire. ``row`` is one event as its CBOR row, as it is;
``row-words`` the same as an LZ4 block whose matches may reach back into the words (see
``words``); ``zstd-words`` the columns, with the words before them; ``zstd-dictionary`` the same
with a dictionary (see ``dictionaries``, which compresses and reads those itself), ``zstd-tables`` with
one that has tables, to which the columns refer."""

NAMING: Final = frozenset({CODECS["zstd-dictionary"], CODECS["zstd-tables"]})
"""Codecs whose lead names a dictionary."""

BodyReading = Callable[[bytes, int], bytes]
"""Gives back a body of the declared size, or raises what its library raises."""

CODEC_NAMES: Final = {number: name for name, number in CODECS.items()}


def compress(
    codec: int, raw: bytes, cuts: Sequence[int] = (), level: zstdcodec.Level = zstdcodec.Level.FULL
) -> bytes:
    """Compress column bytes.

    Args:
        codec: an id of ``CODECS``.
        raw: the bytes.
        cuts: ascending offsets at which the kind of content changes; zstd starts a block there.
        level: how hard zstd searches.

    Returns:
        Compressed bytes without size or checksum; always the same for the same arguments and
        library version.
    """
    if codec == CODECS["zstd"]:
        return zstdcodec.compress(raw, cuts, level)
    if codec == CODECS["zstd-words"]:
        return zstdcodec.compress_with_words(raw)
    if codec == CODECS["lz4"]:
        packed: bytes = lz4.block.compress(
            raw, mode="high_compression", compression=9, store_size=False
        )
        return packed
    if codec == CODECS["row-words"]:
        worded: bytes = lz4.block.compress(
            raw, mode="high_compression", compression=9, store_size=False, dict=PREFIX
        )
        return worded
    return raw


def decompress(
    codec: int, data: bytes, raw_size_bytes: int, *, reader: BodyReading | None = None
) -> bytes:
    """Give back exactly ``raw_size_bytes`` bytes.

    Args:
        codec: an id of ``CODECS``.
        data: compressed bytes.
        raw_size_bytes: the declared size.
        reader: a dictionary's own, for the codec that needs one.

    Raises:
        RemoteProtocolError: unknown codec, a size beyond ``MAX_FRAME_RAW_BYTES``, damaged
            bytes, or a size other than the declared one.
    """
    if raw_size_bytes > MAX_FRAME_RAW_BYTES:
        raise RemoteProtocolError(
            f"declared size is {raw_size_bytes} bytes: must be at most {MAX_FRAME_RAW_BYTES}"
        )
    reader = _READERS.get(codec) if reader is None else reader
    if reader is None:
        raise RemoteProtocolError(f"codec id is {codec}: must be one of {sorted(_READERS)}")
    try:
        raw = reader(data, raw_size_bytes)
    except (zstandard.ZstdError, lz4.block.LZ4BlockError, ValueError) as exc:
        raise RemoteProtocolError(f"{CODEC_NAMES[codec]} bytes are damaged: {exc}") from exc
    if len(raw) != raw_size_bytes:
        raise RemoteProtocolError(
            f"{CODEC_NAMES[codec]} bytes hold {len(raw)} bytes: {raw_size_bytes} were declared"
        )
    return raw


def _read_none(data: bytes, _raw_size_bytes: int) -> bytes:
    return data


def _read_lz4(data: bytes, raw_size_bytes: int) -> bytes:
    raw: bytes = lz4.block.decompress(data, uncompressed_size=raw_size_bytes)
    return raw


def _read_lz4_with_words(data: bytes, raw_size_bytes: int) -> bytes:
    raw: bytes = lz4.block.decompress(data, uncompressed_size=raw_size_bytes, dict=PREFIX)
    return raw


_READERS: Final[dict[int, BodyReading]] = {
    CODECS["none"]: _read_none,
    CODECS["row"]: _read_none,
    CODECS["lz4"]: _read_lz4,
    CODECS["zstd"]: zstdcodec.decompress,
    CODECS["row-words"]: _read_lz4_with_words,
    CODECS["zstd-words"]: zstdcodec.decompress_with_words,
}
