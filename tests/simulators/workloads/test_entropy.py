"""No general compressor goes below the entropy, and a false entropy is found out."""

import lzma
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import islice

import pytest

from whimbrel_sim.workloads import KINDS, StoreDay, least_bytes
from whimbrel_sim.workloads.distributions import UniformInteger
from whimbrel_sim.workloads.entropy import Share, mix_bits
from whimbrel_sim.workloads.plain import plain_bytes
from whimbrel_sim.workloads.record import Fields, Switch

SEED = 11
XZ = 9 | lzma.PRESET_EXTREME  # some tenths of a percent smaller than -9 alone


class BeatenError(AssertionError):
    """A compressor went below what was said to be the least."""


@cache
def xz_bytes(name: str | None, events: int) -> int:
    """The size of events of a kind, or of the mix, as bare columns packed by xz -9e."""
    store_day = store_day_of(name)
    return len(lzma.compress(plain_bytes(islice(store_day.events(), events)), preset=XZ))


def store_day_of(name: str | None) -> StoreDay:
    return StoreDay(SEED, counts=None if name is None else {name: KINDS[name].count})


def check_not_beaten(shares: list[Share], events: int, packed_bytes: int) -> None:
    least = least_bytes(shares, events)
    if packed_bytes < least:
        raise BeatenError(f"xz needs {packed_bytes} bytes, the least was {least:.0f}")


def with_derived_field(shares: list[Share]) -> list[Share]:
    """Sabotage: tills count the price too, which follows from the article."""
    record = KINDS["till"].record
    assert isinstance(record, Switch)
    price = Fields(price=UniformInteger(0, 399))
    false_bits = Switch("act", record.which, record.cases, always=price).entropy_bits
    return [
        replace(share, bits_per_event=false_bits) if share.name == "till" else share
        for share in shares
    ]


def too_high(shares: list[Share]) -> list[Share]:
    """Sabotage: everything is a fifth too high."""
    return [replace(share, bits_per_event=1.2 * share.bits_per_event) for share in shares]


def test_the_mix_weights_its_kinds_by_their_events() -> None:
    shares = [
        Share(name="a", devices=1, events=300, bits_per_event=8, most_bits=9),
        Share(name="b", devices=2, events=100, bits_per_event=16, most_bits=20),
    ]
    assert mix_bits(shares) == pytest.approx(10)
    bits = 10 * 1_000 - 2 * (9 + 2 * 20)
    assert least_bytes(shares, 1_000) == pytest.approx(
        (bits - math.log2(bits + 1) - math.log2(math.e)) / 8
    )
    assert least_bytes(shares, 3) == 0
    with pytest.raises(ValueError, match="no events"):
        mix_bits([])


@pytest.mark.parametrize("name", KINDS)
def test_xz_does_not_beat_a_kind_and_comes_near(name: str) -> None:
    events = 40_000
    shares = store_day_of(name).shares()
    packed = xz_bytes(name, events)
    check_not_beaten(shares, events, packed)
    # so near that the bound is no empty word: a field counted twice would be noticed
    assert packed < 1.25 * mix_bits(shares) / 8 * events


@pytest.mark.parametrize("name", KINDS)
def test_a_figure_that_is_too_high_is_found_for_each_kind(name: str) -> None:
    events = 40_000
    false = [
        replace(share, bits_per_event=1.3 * share.bits_per_event)
        for share in store_day_of(name).shares()
    ]
    with pytest.raises(BeatenError):
        check_not_beaten(false, events, xz_bytes(name, events))


@pytest.mark.slow
def test_xz_does_not_beat_a_million_events_of_the_mix() -> None:
    """Eleven seconds on a quiet machine, nearly all of them to make the events."""
    shares = store_day_of(None).shares()
    packed = xz_bytes(None, 1_000_000)
    check_not_beaten(shares, 1_000_000, packed)
    assert packed < 1.15 * mix_bits(shares) / 8 * 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", [with_derived_field, too_high])
def test_a_false_entropy_is_beaten(sabotage: Callable[[list[Share]], list[Share]]) -> None:
    """The same million, so it costs nothing after the test before."""
    with pytest.raises(BeatenError):
        check_not_beaten(
            sabotage(store_day_of(None).shares()), 1_000_000, xz_bytes(None, 1_000_000)
        )
