"""Epochs: the numbering of one agent process.

An agent opens a new epoch at every start, so (device, epoch, lane, sequence) names one
accepted event in every life of a buffer file: restored images and cloned cards cannot give
one identity to two events. The upper 23 bits count the starts, which lets the region fold
the oldest epochs of a device into one floor; the lower 40 bits are random, which keeps two
clones that start equally often apart.
"""

from __future__ import annotations

import hashlib
from typing import Final

from .errors import LocalProtocolError

ORDINAL_BITS: Final = 23
RANDOM_BITS: Final = 40
MAX_ORDINAL: Final = 2**ORDINAL_BITS - 1
"""8.3 million starts: one every minute for sixteen years."""


def make_epoch(ordinal: int, random_bits: int) -> int:
    """Return the epoch with a start count and 40 random bits.

    Raises:
        LocalProtocolError: the ordinal is not in 1..MAX_ORDINAL or the rest not 40 bits.
    """
    if not 1 <= ordinal <= MAX_ORDINAL or not 0 <= random_bits < 2**RANDOM_BITS:
        raise LocalProtocolError(
            f"epoch ordinal {ordinal} must be in 1..{MAX_ORDINAL} with 40 random bits"
        )
    return ordinal << RANDOM_BITS | random_bits


def ordinal_of(epoch: int) -> int:
    """Return the start count inside an epoch."""
    return epoch >> RANDOM_BITS


def fork_epoch(digest: bytes, ordinal: int) -> int:
    """Return the epoch under which the region commits a forked frame.

    It keeps the ordinal of the frame's own epoch and takes its low bits from the frame's
    digest, so that the same frame, sent again, is recognised as the same.
    """
    low = int.from_bytes(hashlib.sha256(b"whimbrel fork" + digest).digest()[:5], "big")
    return ordinal << RANDOM_BITS | low
