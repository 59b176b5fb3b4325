"""Column bodies as zstd frames, alone, with the words before them or with a dictionary.

The frames have no magic bytes, no size and no checksum: the columns' lead and the frame's
signature say that already.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

import zstandard

from whimbrel_protocol.words import PREFIX

__all__ = [
    "SMALL_BYTES",
    "ByLevel",
    "Level",
    "compress",
    "compress_with_words",
    "decompress",
    "decompress_with_words",
]

_WINDOW_LOG: Final = 22
"""4 MiB, as much as a whole frame may hold: no input can make the reader keep more."""

_SMALL_CUT_BYTES: Final = 64
"""A block of its own costs at least 3 bytes and mostly a table: too dear for less than this."""

SMALL_BYTES: Final = 4 * 1024
"""Below this the thorough search gains 1 to 2 per cent at a cost of microseconds a frame; above
it costs a third more time for mostly less."""


class Level(Enum):
    """How hard the writer searches; a reader need not know."""

    FULL = auto()
    """For the fewest bytes."""
    LIGHT = auto()
    """A quarter of the time, 2 per cent more bytes."""
    FAST = auto()
    """A tenth of the time, 3 per cent more bytes."""


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

_WORDS: Final = zstandard.ZstdCompressionDict(PREFIX, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


class Compressors:
    """Compressors of one kind.

    One is not safe in two threads at once, and making one costs more than compressing a small
    frame: idle ones are kept. Taking and giving back are single list operations.
    """

    def __init__(
        self,
        parameters: zstandard.ZstdCompressionParameters,
        words: zstandard.ZstdCompressionDict | None = None,
    ) -> None:
        self._parameters = parameters
        self._words = words
        self._idle: list[zstandard.ZstdCompressor] = []

    def rest(self) -> None:
        """Let go of the idle ones: each holds up to 750 KiB."""
        self._idle.clear()

    def run(self, raw: bytes, cuts: Sequence[int]) -> bytes:
        """Compress a body, with a block of its own from each cut that is worth one."""
        try:
            compressor = self._idle.pop()
        except IndexError:
            compressor = zstandard.ZstdCompressor(
                compression_params=self._parameters, dict_data=self._words
            )
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
            self._idle.append(compressor)
        return b"".join(parts)


_PARAMETERS: Final = {
    Level.FULL: _ZSTD,
    Level.LIGHT: _parameters(zstandard.STRATEGY_LAZY),
    Level.FAST: _parameters(zstandard.STRATEGY_DFAST),
}


class ByLevel:
    """Compressors of all kinds, without a dictionary or with one."""

    def __init__(self, dictionary: zstandard.ZstdCompressionDict | None = None) -> None:
        self._small = Compressors(_SMALL_ZSTD, dictionary)
        self._by_level = {
            level: Compressors(parameters, dictionary) for level, parameters in _PARAMETERS.items()
        }

    def run(self, raw: bytes, cuts: Sequence[int], level: Level) -> bytes:
        """Compress a body; a small one takes so little time that the level does not matter."""
        if len(raw) < SMALL_BYTES:
            return self._small.run(raw, cuts)
        return self._by_level[level].run(raw, cuts)

    def rest(self) -> None:
        """Let go of the idle ones."""
        for one in (self._small, *self._by_level.values()):
            one.rest()


_plain: Final = ByLevel()
_worded: Final = Compressors(_SMALL_ZSTD, _WORDS)


def compress(raw: bytes, cuts: Sequence[int], level: Level = Level.FULL) -> bytes:
    """Compress a body; ``cuts`` are the offsets at which the kind of content changes."""
    return _plain.run(raw, cuts, level)


def compress_with_words(raw: bytes) -> bytes:
    """Compress a small body that may refer to the words."""
    return _worded.run(raw, ())


def decompress(
    data: bytes, raw_size_bytes: int, dictionary: zstandard.ZstdCompressionDict | None = None
) -> bytes:
    """Give back the body; with the dictionary that it was compressed with, if any.

    Raises:
        ZstdError, ValueError: damaged, or it says another size than the one declared.
    """
    head = zstandard.get_frame_parameters(data, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    # the library believes a size inside the frame more than the bound it is given
    if head.content_size not in (raw_size_bytes, zstandard.CONTENTSIZE_UNKNOWN):
        raise ValueError(f"inner size is {head.content_size}: {raw_size_bytes} were declared")
    if head.dict_id or raw_size_bytes == 0:
        raise ValueError("names a dictionary" if head.dict_id else "nothing needs no codec")
    decompressor = zstandard.ZstdDecompressor(
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        max_window_size=1 << _WINDOW_LOG,
        dict_data=dictionary,
    )
    return decompressor.decompress(data, max_output_size=raw_size_bytes, allow_extra_data=False)


def decompress_with_words(data: bytes, raw_size_bytes: int) -> bytes:
    """Give back a body that may refer to the words; raises as :func:`decompress` does."""
    return decompress(data, raw_size_bytes, _WORDS)
