"""The kinds of columns: the byte that begins each column."""

from __future__ import annotations

from typing import Final

NULL: Final = 0
BOOL: Final = 1
INT: Final = 2
FLOAT: Final = 3
TEXT: Final = 4
BYTES: Final = 5
DECIMAL: Final = 6
CBOR: Final = 7

PARTS: Final = 8
OPTIONAL: Final = 9
"""Several columns in one, and one column with nulls in between."""

TEXT_ONE: Final = 10
TEXT_NEW: Final = 11
TEXT_FEW: Final = 12
"""TEXT of which all is known but the texts, their number, their codes: short heads for the
most frequent columns, which in small frames cost more than their values."""

FLOAT_DECIMAL: Final = 13
"""FLOAT of form DECIMAL without exceptions; the exponent is added to this kind, so it is
the last of its row."""

FOLLOWS: Final = 64
COMPUTED: Final = 65
"""Columns that follow from another column by a table (see ``following``), and from two others by a
formula (see ``computing``). Only for keys of data."""
