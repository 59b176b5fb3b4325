from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whimbrel_aggregator.journal.errors import JournalDamagedError
from whimbrel_aggregator.journal.rows import (
    check_row,
    frame_id,
    offset_of,
    pack_ranges,
    partition_of_row,
    row_crc,
    unpack_ranges,
)
from whimbrel_aggregator.journal.schema import MAX_OFFSET
from whimbrel_protocol.sequences import RangeSet

WHERE = (3, 2**40, 1)


@given(st.integers(1, 2**22), st.integers(1, MAX_OFFSET))
def test_a_rowid_holds_partition_and_offset(partition: int, offset: int) -> None:
    rowid = frame_id(partition, offset)
    assert (partition_of_row(rowid), offset_of(rowid)) == (partition, offset)
    assert rowid < 2**63


@given(st.integers(0, 10_000))
def test_every_flipped_bit_of_a_ranges_column_is_found(bit: int) -> None:
    column = bytearray(pack_ranges(WHERE, RangeSet([(1, 500), (700, 2**40)])))
    column[bit // 8 % len(column)] ^= 1 << bit % 8
    with pytest.raises(JournalDamagedError):
        unpack_ranges(WHERE, bytes(column))


def test_ranges_of_another_stream_are_not_taken() -> None:
    column = pack_ranges(WHERE, RangeSet([(1, 5)]))
    assert list(unpack_ranges(WHERE, column)) == [(1, 5)]
    for other in ((4, 2**40, 1), (3, 2**41, 1), (3, 2**40, 2)):
        with pytest.raises(JournalDamagedError, match="checksum"):
            unpack_ranges(other, column)
    with pytest.raises(JournalDamagedError, match="checksum"):
        unpack_ranges(WHERE, None)


def test_a_rows_checksum_tells_types_and_places_apart() -> None:
    assert len({row_crc(1, 2), row_crc(2, 1), row_crc("1", 2), row_crc(12), row_crc(1, None)}) == 5
    check_row("row", row_crc(1, b"x"), 1, b"x")
    with pytest.raises(JournalDamagedError, match="row 9"):
        check_row("row 9", row_crc(1), 2)
