import random
import tracemalloc

import lz4.block
import pytest
import zstandard

from whimbrel_protocol.codecs import CODEC_NAMES, CODECS, NAMING, compress, decompress
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_FRAME_RAW_BYTES

RAW = b"temperature" + b"abc" * 500 + random.Random(1).randbytes(300)

ALONE = sorted(set(CODEC_NAMES) - NAMING)
"""A dictionary compresses for itself: see test_dictionaries."""

each_codec = pytest.mark.parametrize("codec", ALONE, ids=CODEC_NAMES.get)


@each_codec
def test_bytes_come_back_with_and_without_cuts(codec: int) -> None:
    for cuts in ([], [1500], [3, 700, 1500, 1799]):
        packed = compress(codec, RAW, cuts)
        assert decompress(codec, packed, len(RAW)) == RAW
        assert compress(codec, RAW, cuts) == packed


@each_codec
def test_any_other_size_or_length_is_refused(codec: int) -> None:
    packed = compress(codec, RAW)
    for data, size_bytes in [
        (packed, len(RAW) - 1),
        (packed, len(RAW) + 1),
        (packed + b"x", len(RAW)),
        (packed + packed, len(RAW)),
        (packed[:-1], len(RAW)),
        (b"", len(RAW)),
        (packed, 0),
    ]:
        with pytest.raises(RemoteProtocolError):
            decompress(codec, data, size_bytes)


def test_a_size_beyond_the_limit_is_refused_for_every_codec() -> None:
    for codec in CODEC_NAMES:
        with pytest.raises(RemoteProtocolError, match="at most"):
            decompress(codec, b"", MAX_FRAME_RAW_BYTES + 1)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="codec id is 9"):
        decompress(9, b"", 0)
    with pytest.raises(RemoteProtocolError, match="codec id is 3"):
        decompress(CODECS["zstd-dictionary"], b"", 0)


def _bombs() -> dict[str, tuple[int, bytes]]:
    plain = bytes(200_000_000)
    sized = zstandard.ZstdCompressor(level=1).compress(plain)
    stream = zstandard.ZstdCompressor(level=1, write_content_size=False).compressobj()
    unsized = stream.compress(plain) + stream.flush()
    return {
        "zstd that states its size": (CODECS["zstd"], sized[4:]),
        "zstd that does not": (CODECS["zstd"], unsized[4:]),
        "lz4": (CODECS["lz4"], lz4.block.compress(plain, store_size=False)),
    }


def test_bombs_are_refused_within_bounded_memory() -> None:
    for name, (codec, data) in _bombs().items():
        tracemalloc.start()
        with pytest.raises(RemoteProtocolError):
            decompress(codec, data, MAX_FRAME_RAW_BYTES)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * MAX_FRAME_RAW_BYTES, name
