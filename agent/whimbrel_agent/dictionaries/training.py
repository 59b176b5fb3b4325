"""Training what zstd refers to, on samples of what it is to compress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import zstandard

from whimbrel_protocol.dictionaries import Dictionary
from whimbrel_protocol.errors import ProtocolError

SIZES_BYTES: Final = (4 * 1024, 16 * 1024, 32 * 1024)
"""Sizes tried. Readings repeat little but their names: 4 KiB do as much for them as 16, at a third
of the cost. Lines with article descriptions take a sixth less with 16, and 5 per cent less again
with 32, the most that a dictionary may have."""

LEARNED_BYTES: Final = max(SIZES_BYTES)

_SEGMENT_BYTES: Final = 200
_DMER_BYTES: Final = 8
"""Parameters of the "cover" training; chosen once, since searching for them costs eight times as
much. 64 and 6 gave frames 5 to 50 per cent larger."""

_COUNTS_LOG: Final = 17
"""The training counts in a table of 2 to this. The library's 20 takes 11 MB, a third of what the
whole agent may have, and four times as long; its dictionaries are as good within 1 per cent. 14
gave frames up to a tenth larger."""

_LEVEL: Final = 1
"""At which the training learns its entropies: half a megabyte less than 3, within 1 per cent."""


def train(samples: Sequence[bytes], size_bytes: int = LEARNED_BYTES) -> Dictionary:
    """Return a dictionary of at most so many bytes; raw content where none can be trained."""
    pieces: list[bytes | bytearray | memoryview[int]] = [*samples]
    try:
        trained = zstandard.train_dictionary(
            size_bytes,
            pieces,
            k=_SEGMENT_BYTES,
            d=_DMER_BYTES,
            f=_COUNTS_LOG,
            accel=1,
            level=_LEVEL,
        )
        dictionary = Dictionary(trained.as_bytes())
        dictionary.compress(samples[-1])
    except (zstandard.ZstdError, ProtocolError):  # too few samples, or all of them alike
        return Dictionary(b"".join(samples)[-size_bytes:])
    return dictionary
