"""How hard a batch is compressed."""

from __future__ import annotations

import random

import pytest

from whimbrel_agent.buffer.codecchoice import (
    NOISE_BITS,
    CodecInputs,
    CodecTerms,
    choose_codec,
    sampled_bits,
)
from whimbrel_agent.power.modes import CodecEffort
from whimbrel_agent.profiles.library import shipped_profiles
from whimbrel_protocol.zstdcodec import SMALL_BYTES, Level

TEXT_BITS = 4.5


def chosen(terms: CodecTerms, bits: float | None = TEXT_BITS) -> tuple[str, Level]:
    decision = choose_codec(CodecInputs(size_bytes=16_000, bits_per_byte=bits, terms=terms))
    assert decision.reason
    return decision.codec, decision.level


def terms_of(profile: str) -> CodecTerms:
    found = shipped_profiles()[profile]
    return CodecTerms(
        effort=CodecEffort.LIGHT,
        cpu_j_per_core_s=found.power.cpu_j_per_core_s.value,
        up_j_per_byte=found.radio.up_j_per_byte.value,
    )


@pytest.mark.parametrize(
    ("profile", "level"),
    [("battery-sensor-hub-lte", Level.LIGHT), ("solar-box", Level.LIGHT),
     ("pi-zero-2w", Level.FAST), ("pi-4", Level.FAST)],
)  # fmt: skip
def test_on_battery_the_profile_says_which_is_dearer(profile: str, level: Level) -> None:
    assert chosen(terms_of(profile)) == ("auto", level)


def test_a_metered_link_counts_bytes_whatever_the_work_costs() -> None:
    costly = CodecTerms(
        effort=CodecEffort.LIGHT, cpu_j_per_core_s=2.0, up_j_per_byte=1e-9, metered=True
    )
    assert chosen(costly) == ("auto", Level.LIGHT)


def test_on_mains_the_fewest_bytes_and_where_nothing_is_known_too() -> None:
    assert chosen(CodecTerms()) == ("auto", Level.FULL)
    assert chosen(CodecTerms(effort=CodecEffort.LIGHT)) == ("auto", Level.LIGHT)


def test_noise_is_not_searched_and_a_small_batch_always_is() -> None:
    for effort in CodecEffort:
        terms = CodecTerms(effort=effort)
        assert chosen(terms, 7.9)[0] == "lz4"
        assert chosen(terms, None) == ("auto", Level.FULL)


@pytest.mark.parametrize("seed", range(20))
def test_a_sample_tells_noise_from_everything_else(seed: int) -> None:
    chance = random.Random(seed)
    size = chance.randrange(SMALL_BYTES, 200_000)
    noise = sampled_bits(chance.randbytes(size))
    assert noise is not None
    assert noise >= NOISE_BITS
    half = sampled_bits(chance.randbytes(size // 2) + bytes(size - size // 2))
    digits = sampled_bits(bytes(chance.choices(b"0123456789", k=size)))
    assert half is not None
    assert digits is not None
    assert max(half, digits) < NOISE_BITS


def test_a_small_body_is_not_sampled() -> None:
    assert sampled_bits(b"x" * (SMALL_BYTES - 1)) is None
    assert sampled_bits(b"x" * SMALL_BYTES) == 0.0
