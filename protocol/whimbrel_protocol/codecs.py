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

from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_FRAME_RAW_BYTES

__all__ = ["CODECS", "CODEC_NAMES", "compress", "decompress"]

CODECS: Final = {"none": 0, "lz4": 1, "zstd": 2, "row": 4}
"""Codec names and their ids on the wire; ``row`` is one event as its CBOR row, uncompressed."""

CODEC_NAMES: Final = {number: name for name, number in CODECS.items()}

_WINDOW_LOG: Final = 22
"""4 MiB, as much as a whole frame may hold: no input can make the reader keep more."""

_SMALL_CUT_BYTES: Final = 64
"""A block of its own costs at least 3 bytes and mostly a table: too dear for less than this."""

_SMALL_BYTES: Final = 4 * 1024
"""Below this the thorough search gains 1 to 2 per cent at a cost of microseconds a frame; above
it costs a third more time for mostly less."""


def _parameters(strategy: int) -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters(
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        window_log=17,
        chain_log=14,
        hash_log=13,
        search_log=4,
        min_match=4,
        target_length=64,
        strategy=strategy,
        write_content_size=False,
        write_checksum=False,
        write_dict_id=False,
    )


_ZSTD: Final = _parameters(zstandard.STRATEGY_BTOPT)
"""Close to level 16 with small tables: 750 KiB of working memory and about 0.7 us an event.
Measured on frames of 500 events: level 19's search gains 1 per cent for 1.5 times the time, a
lazy search costs 1 to 5 per cent for half. The window of 128 KiB is more than a frame needs, but
below it the library does not split blocks, which costs up to 5 per cent."""

_SMALL_ZSTD: Final = _parameters(zstandard.STRATEGY_BTULTRA)

_compressors: Final[tuple[list[zstandard.ZstdCompressor], ...]] = ([], [])
"""Idle compressors, for usual and for small bodies: one is not safe in two threads at once, and
making one costs more than compressing a small frame. Taking and giving back are single list
operations."""


def compress(codec: int, raw: bytes, cuts: Sequence[int] = ()) -> bytes:
    """Compress column bytes.

    Args:
        codec: an id of ``CODECS``.
        raw: the bytes.
        cuts: ascending offsets at which the kind of content changes; zstd starts a block there.

    Returns:
        Compressed bytes without size or checksum; always the same for the same arguments and
        library version.
    """
    if codec == CODECS["zstd"]:
        return _compress_zstd(raw, cuts)
    if codec == CODECS["lz4"]:
        packed: bytes = lz4.block.compress(
            raw, mode="high_compression", compression=9, store_size=False
        )
        return packed
    return raw


def decompress(codec: int, data: bytes, raw_size_bytes: int) -> bytes:
    """Give back exactly ``raw_size_bytes`` bytes.

    Raises:
        RemoteProtocolError: unknown codec, a size beyond ``MAX_FRAME_RAW_BYTES``, damaged
            bytes, or a size other than the declared one.
    """
    if raw_size_bytes > MAX_FRAME_RAW_BYTES:
        raise RemoteProtocolError(
            f"declared size is {raw_size_bytes} bytes: must be at most {MAX_FRAME_RAW_BYTES}"
        )
    reader = _READERS.get(codec)
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


def _compress_zstd(raw: bytes, cuts: Sequence[int]) -> bytes:
    small = len(raw) < _SMALL_BYTES
    idle = _compressors[small]
    try:
        compressor = idle.pop()
    except IndexError:
        compressor = zstandard.ZstdCompressor(compression_params=_SMALL_ZSTD if small else _ZSTD)
    try:
        stream = compressor.compressobj()
        parts = []
        start = 0
        for cut in cuts:
            if cut - start >= _SMALL_CUT_BYTES and len(raw) - cut >= _SMALL_CUT_BYTES:
                parts.append(stream.compress(raw[start:cut]))
                parts.append(stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
                start = cut
        parts.append(stream.compress(raw[start:]))
        parts.append(stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
    finally:
        idle.append(compressor)
    return b"".join(parts)


def _read_none(data: bytes, _raw_size_bytes: int) -> bytes:
    return data


def _read_lz4(data: bytes, raw_size_bytes: int) -> bytes:
    raw: bytes = lz4.block.decompress(data, uncompressed_size=raw_size_bytes)
    return raw


def _read_zstd(data: bytes, raw_size_bytes: int) -> bytes:
    head = zstandard.get_frame_parameters(data, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    # the library believes a size inside the frame more than the bound it is given
    if head.content_size not in (raw_size_bytes, zstandard.CONTENTSIZE_UNKNOWN):
        raise ValueError(f"inner size is {head.content_size}: {raw_size_bytes} were declared")
    if head.dict_id or raw_size_bytes == 0:
        raise ValueError("names a dictionary" if head.dict_id else "nothing needs no codec")
    decompressor = zstandard.ZstdDecompressor(
        format=zstandard.FORMAT_ZSTD1_MAGICLESS, max_window_size=1 << _WINDOW_LOG
    )
    return decompressor.decompress(data, max_output_size=raw_size_bytes, allow_extra_data=False)


_READERS: Final[dict[int, Callable[[bytes, int], bytes]]] = {
    CODECS["none"]: _read_none,
    CODECS["row"]: _read_none,
    CODECS["lz4"]: _read_lz4,
    CODECS["zstd"]: _read_zstd,
}
