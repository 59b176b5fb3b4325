"""Trees of expressions to functions of an event. Pure; no text of a user is ever executed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from whimbrel_agent.rules.expression import (
    And,
    Compare,
    Condition,
    Field,
    Has,
    In,
    Literal,
    Match,
    Not,
    Or,
    parse,
)
from whimbrel_protocol.event import Event

__all__ = ["MISSING", "Getter", "Selector", "compile_condition", "getter_of", "selector_of"]

Selector = Callable[[Event], bool]
Getter = Callable[[Event], Any]

MISSING: Final = object()
"""What a getter gives for a field that is not there: equal to nothing."""

_NUMBERS: Final = frozenset({int, float, Decimal})
_SIGNS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def selector_of(text: str) -> Selector:
    """Compile an expression.

    Raises:
        ExpressionError: with the place, what is wrong and what would be right.
    """
    return compile_condition(parse(text))


def compile_condition(condition: Condition) -> Selector:
    """Compile a tree."""
    match condition:
        case Compare(sign, left, right):
            return _comparison(sign, left, right)
        case In(field, choices):
            return _any([_comparison("==", field, choice) for choice in choices], field, choices)
        case Match(how, field, text):
            return _match(how, getter_of(field), text)
        case Has(field):
            get = getter_of(field)
            return lambda event: get(event) is not MISSING
        case Not(inner):
            wanted = compile_condition(inner)
            return lambda event: not wanted(event)
        case And(parts):
            return _all([compile_condition(part) for part in parts])
        case Or(parts):
            return _either([compile_condition(part) for part in parts])


def getter_of(field: Field) -> Getter:
    """Give the function that takes a field out of an event; MISSING where there is none."""
    name, *keys = field.path
    if name in ("type", "source", "lane"):
        return operator.attrgetter(name)
    if not keys:
        whole = operator.attrgetter(name)

        def optional(event: Event) -> Any:
            value = whole(event)
            return MISSING if value is None else value

        return optional
    if name == "data" and len(keys) == 1:
        key = keys[0]
        return lambda event: event.data.get(key, MISSING)
    return _walker(operator.attrgetter(name), keys)


def _walker(whole: Getter, keys: list[str]) -> Getter:
    def walk(event: Event) -> Any:
        value = whole(event)
        for key in keys:
            if type(value) is not dict:
                return MISSING
            value = value.get(key, MISSING)
        return value

    return walk


def _all(parts: list[Selector]) -> Selector:
    if len(parts) == 2:
        first, second = parts
        return lambda event: first(event) and second(event)

    def every(event: Event) -> bool:
        for part in parts:  # noqa: SIM110  a generator costs more than the parts
            if not part(event):
                return False
        return True

    return every


def _either(parts: list[Selector]) -> Selector:
    if len(parts) == 2:
        first, second = parts
        return lambda event: first(event) or second(event)

    def one(event: Event) -> bool:
        for part in parts:  # noqa: SIM110  as above
            if part(event):
                return True
        return False

    return one


def _any(parts: list[Selector], field: Field, choices: tuple[Literal, ...]) -> Selector:
    texts = frozenset(choice.value for choice in choices if type(choice.value) is str)
    if len(texts) < len({choice.value for choice in choices}) or not texts:
        return _either(parts)
    get = getter_of(field)

    def among(event: Event) -> bool:
        value = get(event)
        return type(value) is str and value in texts

    return among


def _match(how: str, get: Getter, text: str) -> Selector:
    def begins(event: Event) -> bool:
        value = get(event)
        return type(value) is str and value.startswith(text)

    def ends(event: Event) -> bool:
        value = get(event)
        return type(value) is str and value.endswith(text)

    def holds(event: Event) -> bool:
        value = get(event)
        return type(value) is str and text in value

    return {"startswith": begins, "endswith": ends, "contains": holds}[how]


def _comparison(sign: str, left: Field | Literal, right: Field | Literal) -> Selector:
    if isinstance(left, Literal):
        assert isinstance(right, Field)
        return _comparison(_MIRRORED.get(sign, sign), right, left)
    get = getter_of(left)
    compare = _SIGNS[sign]
    if isinstance(right, Field):
        other = getter_of(right)
        return lambda event: _compared(compare, get(event), other(event))
    value = right.value
    if type(value) is str:
        return _with_text(compare, get, value)
    if type(value) is bool or value is None:
        kind = type(value)
        if sign == "==":
            return lambda event: get(event) is value

        def differs(event: Event) -> bool:
            found = get(event)
            return type(found) is kind and found is not value

        return differs
    return _with_number(compare, get, value)


def _with_text(compare: Callable[[Any, Any], bool], get: Getter, text: str) -> Selector:
    if compare is operator.eq:
        return lambda event: bool(get(event) == text)

    def compared(event: Event) -> bool:
        value = get(event)
        return type(value) is str and compare(value, text)

    return compared


def _with_number(compare: Callable[[Any, Any], bool], get: Getter, number: Any) -> Selector:
    def compared(event: Event) -> bool:
        value = get(event)
        # a literal is finite, and so is a decimal: no comparison of these can fail
        return type(value) in _NUMBERS and compare(value, number)

    return compared


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """Compare two fields: within one kind of scalars only."""
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        # a decimal refuses to be ordered against a float that is not a number
        odd = any(type(side) is float and math.isnan(side) for side in (left, right))
        return compare is operator.ne if odd else compare(left, right)
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is str:
        return compare(left, right)
    return (
        kind in (bool, type(None))
        and compare in (operator.eq, operator.ne)
        and (compare(left, right))
    )
