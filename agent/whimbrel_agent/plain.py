"""Values as plain JSON, for status answers, exports and ``--json``.

Meant for reading: bytes become hexadecimal text, decimals text, and floats without a JSON form
``"NaN"``, ``"Infinity"``, ``"-Infinity"``. Epochs become decimal text, since they have more
bits than JavaScript's numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Give a value made of what JSON has; dataclasses become objects by field name."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return value.name.lower().replace("_", "-")
    if isinstance(value, int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _odd_float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _field(field.name, getattr(value, field.name)) for field in fields(value)
        }
    if isinstance(value, Decimal | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no plain form")


def _field(name: str, value: Any) -> Any:
    return str(value) if name == "epoch" else plain(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else str(plain(key))


def _odd_float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
