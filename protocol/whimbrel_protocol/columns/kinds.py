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

MIXED: Final = 8
"""Columns of the kinds above without their own kind bytes; read, but no longer written."""

PARTS: Final = 9
OPTIONAL: Final = 10
"""Several columns in one, and one column with nulls in between."""

TEXT_ONE: Final = 11
TEXT_NEW: Final = 12
TEXT_FEW: Final = 13
"""TEXT of which all is known but the texts, their number, their codes: short heads for the
most frequent columns, which in small frames cost more than their values."""

FLOAT_DECIMAL: Final = 16
"""FLOAT of form DECIMAL without exceptions; the exponent is added to this kind."""
