"""Staged rows: exact round trips, joined packs, and no flipped bit unnoticed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buffers.harness import sale, sales
from whimbrel_agent.buffer.staging import (
    CLAIM_BYTES,
    HEAD_BYTES,
    MAX_ROW_BYTES,
    MAX_ROW_EVENTS,
    DamagedRowError,
    RowClaim,
    Stamp,
    claim_of,
    join_packs,
    pack_lane,
    read_row,
    size_claimed,
    write_row,
)
from whimbrel_protocol.lanes import ClockQuality

STAMP = Stamp(5, -7, ClockQuality.SYNCED)
NORMAL = 2


@pytest.mark.parametrize("count", [1, 23, 24, 250])
def test_row_gives_back_its_events_and_stamp(count: int) -> None:
    (pack,) = pack_lane(NORMAL, sales(count))
    data = write_row(pack, epoch=9, first=77, stamp=STAMP)
    row = read_row(data)
    assert (row.epoch, row.lane, row.first, row.last) == (9, NORMAL, 77, 76 + count)
    assert row.stamp == STAMP
    assert row.events() == sales(count)
    assert claim_of(data[:CLAIM_BYTES]) == RowClaim(9, NORMAL, 77, count)
    assert claim_of(data[: CLAIM_BYTES - 1]) is None
    assert size_claimed(data[:HEAD_BYTES]) == len(data)


def test_every_flipped_bit_is_noticed() -> None:
    (pack,) = pack_lane(NORMAL, sales(3))
    data = write_row(pack, epoch=9, first=77, stamp=STAMP)
    for place in range(len(data)):
        for bit in range(8):
            broken = bytearray(data)
            broken[place] ^= 1 << bit
            with pytest.raises(DamagedRowError):
                read_row(bytes(broken))


@settings(deadline=None, max_examples=30)
@given(counts=st.lists(st.integers(1, 300), min_size=1, max_size=20))
def test_joined_packs_hold_the_same_events_in_the_same_order(counts: list[int]) -> None:
    packs = []
    number = 0
    for count in counts:
        packs += pack_lane(NORMAL, sales(count, number))
        number += count
    joined = join_packs(packs)
    assert all(pack.count <= MAX_ROW_EVENTS for pack in joined)
    found = [
        event.data["number"]
        for pack in joined
        for event in read_row(write_row(pack, epoch=1, first=1, stamp=STAMP)).events()
    ]
    assert found == list(range(number))


def test_big_events_are_cut_into_rows_that_fit_a_frame() -> None:
    packs = pack_lane(NORMAL, [sale(n, note="x" * 40_000) for n in range(4)])
    assert [pack.count for pack in packs] == [1, 1, 1, 1]
    assert all(len(pack.rows) <= MAX_ROW_BYTES for pack in packs)
