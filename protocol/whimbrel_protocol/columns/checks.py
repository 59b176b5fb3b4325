"""Checking the limits of events by whole columns, many times faster than event by event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from whimbrel_protocol.columns.budget import Budget
from whimbrel_protocol.columns.series import MAPS, Shape
from whimbrel_protocol.limits import MAX_DEDUP_KEY_BYTES, MAX_EVENT_BYTES, MAX_KEY_BYTES
from whimbrel_protocol.values import check_text, check_value, join_path

__all__ = ["ShapeColumns", "check_columns"]

_INT64: Final = 2**63
_SMALL: Final = frozenset([type(None), bool, float])
_NAMES_BYTES: Final = 64 + 5 * (MAX_KEY_BYTES + 3)
"""More than type, source, zone, subject, dedup key and the heads of a row can take."""


class ShapeColumns(NamedTuple):
    """The values of all events of one shape, column by column."""

    subjects: Sequence[Any]
    dedup_keys: Sequence[Any]
    data: Sequence[Sequence[Any]]
    extensions: Sequence[Sequence[Any]]


def check_columns(shape: Shape, columns: ShapeColumns, budget: Budget) -> bool:
    """Check the values of one shape; its names and keys are checked with its first event.

    Returns:
        Whether that was enough. If not, an event may be too big, or the columns are maps whose
        inside was not looked at: run ``validate_event`` on each event.

    Raises:
        FieldError: as ``validate_event`` says it.
        ProtocolError: the budget is spent.
    """
    if shape.flags & MAPS:
        return False
    for subject in columns.subjects:
        check_text("subject", subject, MAX_KEY_BYTES)
    for dedup_key in columns.dedup_keys:
        check_text("dedup_key", dedup_key, MAX_DEDUP_KEY_BYTES)
    bound = _NAMES_BYTES
    for part, keys, group in (
        ("data", shape.keys, columns.data),
        ("extensions", shape.extension_keys, columns.extensions),
    ):
        budget.spend_rows(shape.size * len("".join(keys)))
        for key, values in zip(keys, group, strict=True):
            bound += len(key) * 4 + 3 + _check_column(join_path(part, key), values, budget)
    return bound <= MAX_EVENT_BYTES


def _check_column(path: str, values: Sequence[Any], budget: Budget) -> int:
    """Check one column; give an upper bound of the packed bytes of any value in it."""
    types = set(map(type, values))
    if types <= _SMALL:
        return 9
    bound = 9
    if str in types:
        texts = values if len(types) == 1 else [v for v in values if type(v) is str]
        budget.spend_rows(sum(map(len, texts)))
        distinct = set(texts)
        longest = max(map(len, distinct))
        if longest <= MAX_EVENT_BYTES and "".join(distinct).isascii():
            bound = 5 + longest
        else:
            bound = max(check_value(path, text) for text in distinct)
    if int in types:
        numbers = values if len(types) == 1 else [v for v in values if type(v) is int]
        if not (min(numbers) >= -_INT64 and max(numbers) < _INT64):
            bound = max(bound, *(check_value(path, number) for number in numbers))
    if types - _SMALL - {str, int}:
        bound = max(bound, *(check_value(path, value) for value in values))
    return bound
