"""Signed numbers of 64 bits: what is beyond them comes round, and zigzag makes them unsigned."""

from __future__ import annotations

from typing import Final

__all__ = ["fold", "unzigzag", "zigzag"]

_INT64: Final = 2**63
_UINT64: Final = 2**64


def fold(values: list[int]) -> list[int]:
    """Give at least one value modulo 2^64 as signed 64 bits; a writer's values are there already.

    So any reader may compute in registers of 64 bits, and all give the same for any bytes.
    """
    if min(values) >= -_INT64 and max(values) < _INT64:
        return values
    return [(value + _INT64) % _UINT64 - _INT64 for value in values]


def zigzag(value: int) -> int:
    """Give the unsigned number that stands for a signed one: small for what is near zero."""
    return value << 1 if value >= 0 else ~(value << 1)


def unzigzag(number: int) -> int:
    """Give the signed number that an unsigned one stands for."""
    return (number >> 1) ^ -(number & 1)
