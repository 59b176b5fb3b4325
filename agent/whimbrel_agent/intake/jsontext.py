"""JSON text to values, never changed on the way: what Python would bend is refused by field.

Python's reader takes ``NaN`` and ``Infinity``, which are no JSON, and turns 1e999, which is JSON,
into infinity. A till that sends either has a fault, and a sum over its sales would hide it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.values import join_path

__all__ = ["OddNumber", "OddNumberError", "decode_json", "odd_number", "parse_json", "scan_json"]

RULE: Final = "must be a finite number that a 64-bit float holds (within 1.8e308 of zero)"

_MAX: Final = sys.float_info.max


class OddNumber:
    """Stands in a value where the text has a number that no 64-bit float holds."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class OddNumberError(FieldError):
    """A JSON text holds an odd number.

    Attributes:
        whole: the decoded value, with an ``OddNumber`` in place of each.
    """

    def __init__(self, first: FieldError, whole: Any) -> None:
        super().__init__(first.field, None, first.rule)
        self.value = first.value
        self.args = first.args
        self.whole = whole


class _FoundOddError(ValueError):
    """The quick reader met an odd number; where it stands is for the slow one to say."""


def _finite(text: str) -> float:
    value = float(text)
    if -_MAX <= value <= _MAX:
        return value
    raise _FoundOddError(text)


def _finite_or_odd(text: str) -> float | OddNumber:
    value = float(text)
    return value if -_MAX <= value <= _MAX else OddNumber(text)


def _refuse_word(text: str) -> NoReturn:
    raise _FoundOddError(text)


_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_word)
_MARKING: Final = json.JSONDecoder(parse_float=_finite_or_odd, parse_constant=OddNumber)

scan_json: Final[Callable[[str, int], tuple[Any, int]]] = _DECODER.scan_once  # type: ignore[attr-defined]
"""Decode the value that begins at a place of a text, and say where it ends; StopIteration,
ValueError or RecursionError where it cannot, for ``decode_json`` to explain."""


def decode_json(text: str) -> Any:
    """Decode a text that is one JSON value.

    Raises:
        OddNumberError: it holds a number that no float holds; names the first.
        ValueError, RecursionError: it is no JSON, or nests too deep.
    """
    try:
        return _DECODER.decode(text)
    except _FoundOddError:
        whole = _MARKING.decode(text)
    found = odd_number(whole)
    assert found is not None, "both readers see the same numbers"
    raise OddNumberError(found, whole)


def parse_json(body: bytes) -> Any:
    """Decode one JSON text in UTF-8.

    Raises:
        FieldError: it is none; an ``OddNumberError`` for its numbers.
    """
    try:
        return decode_json(body.decode("utf-8-sig"))
    except RecursionError:
        raise FieldError("body", body, "must not nest so deep") from None
    except ValueError as exc:
        raise FieldError("body", body, f"must be JSON in UTF-8 ({exc})") from exc


def odd_number(value: Any) -> FieldError | None:
    """Name the first odd number in a decoded value; None when it has none."""
    # a stack of our own: the value may nest as deep as the reader goes
    waiting: list[tuple[str, Any]] = [("", value)]
    while waiting:
        path, item = waiting.pop()
        if type(item) is OddNumber:
            return FieldError(path or "event", item, RULE)
        if type(item) is dict:
            inner = [(join_path(path, key) if path else key, one) for key, one in item.items()]
        elif type(item) is list:
            inner = [(f"{path}[{place}]", one) for place, one in enumerate(item)]
        else:
            continue
        waiting += reversed(inner)
    return None
