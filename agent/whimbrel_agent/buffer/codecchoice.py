"""How hard a batch is compressed, and with what: a pure function of data, processor, power and link.

Levels of zstd change the writer's work only; what is written, any reader reads. Measured on one x86-64
core with the store's mix in batches of 1,000 events, by byte of the columns before compression:

=====  ===========  ===============
level  nanoseconds  bytes that stay
=====  ===========  ===============
full   44           0.444
light  12           0.452
fast   4            0.458
=====  ===========  ===============

On mains bytes count and the processor is free. On battery the encoder takes at most half of its time,
and of the levels that do, the one whose work and bytes take the least energy by the profile: on LTE a
byte is dear, on Wi-Fi the work is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import log2
from typing import Final

from whimbrel_agent.power.modes import CodecEffort
from whimbrel_protocol.zstdcodec import SMALL_BYTES, Level

__all__ = ["CodecDecision", "CodecInputs", "CodecTerms", "choose_codec", "sampled_bits"]

SAMPLE_SLICES: Final = 16
SLICE_BYTES: Final = 128
"""Two kilobytes of a body are looked at, in slices that are evenly spaced."""

NOISE_BITS: Final = 7.85
"""Bits a byte of a sample of so many: random bytes have 7.91 in the mean (Miller and Madow's bias,
255 / (2 * 2048 ln 2) below 8), and no text or plane of numbers comes near."""

BOARD_TIMES: Final = 4.0
"""A small board's core is taken to be as many times slower than the one of the table; assumed."""


@dataclass(frozen=True, slots=True)
class _LevelCost:
    cpu_s_per_byte: float
    bytes_per_byte: float


COSTS: Final[Mapping[Level, _LevelCost]] = {
    Level.FULL: _LevelCost(44e-9, 0.444),
    Level.LIGHT: _LevelCost(12e-9, 0.452),
    Level.FAST: _LevelCost(4e-9, 0.458),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecTerms:
    """What holds for every batch until the power mode changes.

    Attributes:
        effort: the mode's.
        cpu_j_per_core_s: what a second of a core costs, by the profile; 0 where it is not known.
        up_j_per_byte: what a byte sent costs, the same.
        metered: a link has a monthly budget: bytes count before joules.
    """

    effort: CodecEffort = CodecEffort.FULL
    cpu_j_per_core_s: float = 0.0
    up_j_per_byte: float = 0.0
    metered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecInputs:
    """What the choice is made from.

    Attributes:
        size_bytes: of the columns before compression.
        bits_per_byte: entropy of a sample of them; None where they are too few to look.
        terms: what holds for every batch.
    """

    size_bytes: int
    bits_per_byte: float | None
    terms: CodecTerms


@dataclass(frozen=True, slots=True)
class CodecDecision:
    """Codec (``auto``: what is smallest for the size) and level, and why."""

    codec: str
    level: Level
    reason: str


def choose_codec(inputs: CodecInputs) -> CodecDecision:
    """Return how to compress one batch."""
    bits, terms = inputs.bits_per_byte, inputs.terms
    if bits is None:
        return CodecDecision("auto", Level.FULL, "a small batch: every codec is tried")
    if bits >= NOISE_BITS:
        return CodecDecision("lz4", Level.FAST, "noise: only long repeats could make it smaller")
    if terms.effort is CodecEffort.FULL:
        return CodecDecision("auto", Level.FULL, "full effort: the fewest bytes")
    if terms.metered:
        return CodecDecision("auto", Level.LIGHT, "light effort: bytes of a metered link count")
    # where no costs are known both are 0, and the first one stands: fewer bytes
    level = min((Level.LIGHT, Level.FAST), key=lambda one: _joules(one, terms))
    dear = "a byte sent costs more" if level is Level.LIGHT else "the work costs more"
    return CodecDecision("auto", level, f"light effort: {dear} by the profile")


def sampled_bits(body: bytes) -> float | None:
    """Return the entropy of a sample of a body, bits a byte; None for a small body."""
    size = len(body)
    if size < SMALL_BYTES:
        return None
    step = (size - SLICE_BYTES) / (SAMPLE_SLICES - 1)
    starts = (int(number * step) for number in range(SAMPLE_SLICES))
    sample = b"".join(body[start : start + SLICE_BYTES] for start in starts)
    counts = Counter(sample).values()
    return log2(len(sample)) - sum(count * log2(count) for count in counts) / len(sample)


def _joules(level: Level, terms: CodecTerms) -> float:
    cost = COSTS[level]
    work = cost.cpu_s_per_byte * BOARD_TIMES * terms.cpu_j_per_core_s
    return work + cost.bytes_per_byte * terms.up_j_per_byte
