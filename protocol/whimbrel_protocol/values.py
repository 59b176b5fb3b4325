"""The value types an event may carry, and the exact check of each.

Allowed: null, bool, integers up to 256 bits, floats (NaN, infinities and -0.0 included),
finite decimals, text without lone surrogates, bytes, lists, and maps with text keys, nested
to a bounded depth. Types are matched exactly: a subclass (an enum, a named tuple) would not
come back as itself, so it is refused rather than changed silently.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.limits import (
    MAX_BIG_INT_BITS,
    MAX_DATA_KEYS,
    MAX_DECIMAL_DIGITS,
    MAX_DECIMAL_EXPONENT,
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MAX_KEY_BYTES,
)

__all__ = ["SHORT_TEXT", "check_key", "check_text", "check_value", "join_path"]

SHORT_TEXT: Final = 1_024
"""Text below this many ASCII characters is accepted without a closer look."""

_HOPELESS_BYTES: Final = 16 * MAX_EVENT_BYTES
"""An upper bound past this means a real size past the limit (the bound is at most 9 times the
size); stopping here keeps a list that holds itself many times from costing hours."""

_ALLOWED: Final = "must be null, bool, int, float, Decimal, str, bytes, list or dict"


def check_text(path: str, text: Any, max_bytes: int, *, min_bytes: int = 1) -> int:
    """Check one text field; give its UTF-8 length in bytes.

    Raises:
        FieldError: not a text, a lone surrogate, or a length outside the limits.
    """
    if type(text) is not str:
        raise FieldError(path, text, "must be text")
    size_bytes = _utf8_size(path, text)
    if not min_bytes <= size_bytes <= max_bytes:
        raise FieldError(path, text, f"must be {min_bytes} to {max_bytes} bytes of UTF-8")
    return size_bytes


def check_key(path: str, key: Any) -> int:
    """Check one map key (any text of 1 to 256 UTF-8 bytes); give its length in bytes."""
    if type(key) is not str:
        raise FieldError(path, key, "must have text keys only")
    if key.isascii() and 0 < len(key) <= MAX_KEY_BYTES:
        return len(key)
    return check_text(join_path(path, key), key, MAX_KEY_BYTES)


def check_value(path: str, value: Any, depth: int = 1) -> int:
    """Check one value of any allowed type; give an upper bound of its packed bytes.

    Args:
        path: dotted path for the error, such as ``data.lines[2].price``.
        value: the value.
        depth: how many maps and lists are around it, the event's own ``data`` included.

    Raises:
        FieldError: the value, or one inside it, breaks a rule.
    """
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return 9
    if kind is str:
        size_bytes = _utf8_size(path, value)
        _check_length(path, size_bytes)
        return 5 + size_bytes
    if kind is int:
        return _check_int(path, value)
    if kind is bytes:
        _check_length(path, len(value))
        return 5 + len(value)
    if kind is Decimal:
        return _check_decimal(path, value)
    if kind is not list and kind is not dict:
        raise FieldError(path, value, _ALLOWED)
    if depth >= MAX_DEPTH:
        raise FieldError(path, kind.__name__, f"must nest at most {MAX_DEPTH} deep")
    return _check_list(path, value, depth) if kind is list else _check_dict(path, value, depth)


def join_path(path: str, key: str) -> str:
    """Give the path of a key inside a map, printable whatever the key holds."""
    return f"{path}.{key}" if key.isprintable() else f"{path}.{key!r}"


def _utf8_size(path: str, text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as exc:
        raise FieldError(path, text, "must not hold a lone surrogate") from exc


def _check_length(path: str, size_bytes: int) -> None:
    if size_bytes > MAX_EVENT_BYTES:
        raise FieldError(path, f"{size_bytes} bytes", f"must be at most {MAX_EVENT_BYTES} bytes")


def _check_int(path: str, value: int) -> int:
    bits = value.bit_length() if value >= 0 else (~value).bit_length()
    if bits > MAX_BIG_INT_BITS:
        # the value itself may be too long for the interpreter to print
        raise FieldError(path, f"{bits} bits", f"must have at most {MAX_BIG_INT_BITS} bits")
    return 9 if bits <= 64 else 3 + (bits + 7) // 8


def _check_decimal(path: str, value: Decimal) -> int:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise FieldError(path, value, "must be a finite decimal (use a float for nan and inf)")
    if len(digits) > MAX_DECIMAL_DIGITS:
        raise FieldError(
            path, f"{len(digits)} digits", f"must have at most {MAX_DECIMAL_DIGITS} digits"
        )
    if not -MAX_DECIMAL_EXPONENT <= exponent <= MAX_DECIMAL_EXPONENT:
        raise FieldError(
            path,
            f"exponent {exponent}",
            f"must have an exponent within {MAX_DECIMAL_EXPONENT} of zero",
        )
    return 8 + len(digits)


def _check_list(path: str, values: list[Any], depth: int) -> int:
    bound = 5
    for place, value in enumerate(values):
        if value is None or type(value) is float or type(value) is bool:
            bound += 9
        else:
            bound += check_value(f"{path}[{place}]", value, depth + 1)
        if bound > _HOPELESS_BYTES:
            raise _too_big(path)
    return bound


def _check_dict(path: str, values: dict[Any, Any], depth: int) -> int:
    if len(values) > MAX_DATA_KEYS:
        raise FieldError(path, f"{len(values)} keys", f"must have at most {MAX_DATA_KEYS} keys")
    bound = 5
    for key, value in values.items():
        bound += 3 + check_key(path, key)
        bound += check_value(join_path(path, key), value, depth + 1)
        if bound > _HOPELESS_BYTES:
            raise _too_big(path)
    return bound


def _too_big(path: str) -> FieldError:
    return FieldError(path, "a big value", f"must pack into at most {MAX_EVENT_BYTES} bytes")
