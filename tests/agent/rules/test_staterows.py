"""Rows of rules: exact, checked, and of programs that know more."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from edgerules.series import rule
from whimbrel_agent.rules.staterows import (
    CountsRow,
    DefinitionRow,
    RuleRow,
    StateRow,
    pack_row,
    unpack_row,
)
from whimbrel_protocol.cbor import dump_value

ROWS: list[RuleRow] = [
    DefinitionRow("r", rule("deadband", fields=["v"], band=0.5)),
    CountsRow("r", {"taken": 5, "suppressed within-band": 3}),
    StateRow("r", "source", [[1.5, None, b"x"], 7]),
    StateRow("r", b"\x81", None),
]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_comes_back_as_it_was_and_a_flipped_bit_never(row: RuleRow) -> None:
    data = pack_row(row)
    assert unpack_row(data) == row
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 0x10
        assert unpack_row(bytes(flipped)) is None


@pytest.mark.parametrize(
    "value", [[9, "r", 1], [0, "r", {"name": "r", "do": "new"}], [2, 5, "k", 1], 5]
)
def test_what_a_newer_program_wrote_is_left_out(value: Any) -> None:
    body = dump_value(value)
    assert unpack_row(body + zlib.crc32(body).to_bytes(4, "big")) is None


def test_no_bytes_are_no_row() -> None:
    assert unpack_row(b"") is None
