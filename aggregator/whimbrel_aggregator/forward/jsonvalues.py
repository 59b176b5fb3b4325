"""Event values as JSON, exactly: what JSON cannot carry gets a tagged form.

The rule (also in ``aggregator/README.md``; a reader that ignores it still sees valid JSON):

====================================  ==============================================
value                                 JSON
====================================  ==============================================
null, bool, text, list                the same
integer within +-(2**53 - 1)          number
any other integer                     ``{"$int": "9007199254740993"}``
finite float                          shortest number that reads back the same
NaN, infinities                       ``{"$float": "nan"}``, ``"inf"``, ``"-inf"``
decimal                               ``{"$decimal": "19.90"}``
bytes                                 ``{"$bytes": "<base64>"}``
map                                   object
map with one key that starts with $   the key gets one more ``$``
====================================  ==============================================

2**53 - 1 is where RFC 8259 section 6 ends interoperable integers. A NaN's payload bits are the
one thing that does not come back.
"""

from __future__ import annotations

import base64
import json
import math
from decimal import Decimal
from typing import Any, Final

MAX_SAFE_INTEGER: Final = 2**53 - 1

_ENCODER: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False
)
"""Made once: ``json.dumps`` would make one for every event."""

_PLAIN: Final = frozenset({str, bool, type(None)})


def to_json_value(value: Any) -> Any:
    """Return ``value`` (any type an event may carry) as what ``json.dumps`` keeps exactly."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if abs(value) <= MAX_SAFE_INTEGER else {"$int": str(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if kind is list:
        return [to_json_value(item) for item in value]
    if kind is dict:
        return _object(value)
    if kind is Decimal:
        return {"$decimal": str(value)}
    return {"$bytes": base64.b64encode(value).decode()}


def from_json_value(value: Any) -> Any:
    """Undo :func:`to_json_value` on what ``json.loads`` gave.

    Raises:
        ValueError: a tagged form does not hold what its tag says.
    """
    if type(value) is list:
        return [from_json_value(item) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key.startswith("$$"):
            return {key[1:]: from_json_value(inner)}
        if key.startswith("$"):
            return _untagged(key, inner)
    return {key: from_json_value(item) for key, item in value.items()}


def compact_json(value: Any) -> str:
    """Return JSON text without spaces on one line, text kept as UTF-8 characters."""
    return _ENCODER.encode(value)


def _object(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key.startswith("$"):
            return {f"${key}": to_json_value(inner)}
    return {key: to_json_value(item) for key, item in value.items()}


def _untagged(tag: str, inner: Any) -> Any:
    if type(inner) is not str:
        raise ValueError(f"{tag} holds {type(inner).__name__}, must hold text")
    match tag:
        case "$int":
            return int(inner)
        case "$float":
            return float(inner)
        case "$decimal":
            return Decimal(inner)
        case "$bytes":
            return base64.b64decode(inner, validate=True)
        case _:
            raise ValueError(f"{tag} is not one of $int, $float, $decimal, $bytes")
