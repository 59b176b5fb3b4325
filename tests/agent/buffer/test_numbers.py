"""The numbers file: bounds that survive what the database does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from whimbrel_agent.buffer.numbers import (
    MAX_BLOCK,
    MAX_NUMBERS_BYTES,
    MIN_BLOCK,
    RECORD_BYTES,
    NumbersFile,
    next_block,
    read_numbers,
    window_block,
)
from whimbrel_protocol.epoch import make_epoch

BOOT = b"bt01"


def epochs(count: int) -> list[int]:
    return [make_epoch(ordinal, ordinal) for ordinal in range(1, count + 1)]


def test_reservations_and_starts_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    (epoch,) = epochs(1)
    file = NumbersFile(path)
    file.start(epoch, BOOT)
    file.reserve(2, epoch, 256)
    file.reserve(2, epoch, 512)
    state = NumbersFile(path).before
    assert (state.reserved, state.last_ordinal, state.clean, state.boot_id) == (
        {(epoch, 2): 512},
        1,
        False,
        BOOT,
    )
    file.stop()
    assert NumbersFile(path).before.clean


def test_a_window_is_remembered_with_its_bound_until_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    first, second = epochs(2)
    file = NumbersFile(path)
    file.start(first, BOOT)
    file.reserve(1, first, 256)
    for through in (64, 128):
        file.reserve(2, first, through, windowed=True)
    file.abandon()
    file = NumbersFile(path)
    assert file.before.windowed == {(first, 2)}
    assert file.before.reserved == {(first, 1): 256, (first, 2): 128}
    file.start(second, BOOT)
    for through in range(1, 2 * MAX_NUMBERS_BYTES // RECORD_BYTES):
        file.reserve(3, second, through, windowed=True)
    file.abandon()
    assert NumbersFile(path).before.windowed == {(second, 3)}


def test_a_lane_with_a_window_reserves_by_what_it_writes() -> None:
    assert [window_block(events) for events in (0, 5, 10, 1_000)] == [64, 80, 160, 1_024]


def test_missing_file_is_a_first_start(tmp_path: Path) -> None:
    state = NumbersFile(tmp_path / "numbers").before
    assert (state.last_ordinal, state.clean, state.reserved) == (0, True, {})


def test_restarts_keep_former_bounds_and_stay_within_the_size(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    for epoch in epochs(1_000):
        file = NumbersFile(path)
        file.start(epoch, BOOT)
        file.reserve(0, epoch, 256)
        file.stop()
    state = NumbersFile(path).before
    assert state.last_ordinal == 1_000
    assert len(state.reserved) >= 900
    assert path.stat().st_size <= MAX_NUMBERS_BYTES


def test_log_is_rewritten_before_it_outgrows_its_room(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    (epoch,) = epochs(1)
    file = NumbersFile(path)
    file.start(epoch, BOOT)
    for through in range(1, 2 * MAX_NUMBERS_BYTES // RECORD_BYTES):
        file.reserve(0, epoch, through)
    file.abandon()
    assert path.stat().st_size <= MAX_NUMBERS_BYTES
    assert NumbersFile(path).before.reserved[epoch, 0] == through


@pytest.mark.parametrize("bit", range(0, 8 * RECORD_BYTES, 7))
def test_flipped_bit_costs_one_record(tmp_path: Path, bit: int) -> None:
    path = tmp_path / "numbers"
    first, second = epochs(2)
    file = NumbersFile(path)
    file.start(first, BOOT)
    file.reserve(1, first, 100)
    file.reserve(1, first, 200)
    file.abandon()
    data = bytearray(path.read_bytes())
    data[RECORD_BYTES + bit // 8] ^= 1 << bit % 8
    state = read_numbers(bytes(data))
    assert state.damaged_records == 1
    assert state.reserved == {(first, 1): 200}
    assert second > first


def test_blocks_grow_with_use_within_bounds() -> None:
    assert next_block(0) == MIN_BLOCK
    assert next_block(1_000) == 1_000
    assert next_block(10**6) == MAX_BLOCK
