"""Checking and packing a whole group of events by columns, many times faster than one by one.

What this is: the quick way of ``rows.pack_events``. It looks at all types, all keys and all values
of a group at once, in a few calls that loop inside the interpreter. What it is not: a second
opinion. Whatever it does not understand at a glance, and whatever breaks a limit, it leaves to
``validate_event``, which names the event's field, its value and the rule. The rule it keeps: it
packs nothing that ``validate_event`` refuses, and packs the rest into the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

import cbor2

from whimbrel_protocol.cbor import dump_plain, dump_value
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, event_row
from whimbrel_protocol.lanes import LANE_NUMBERS
from whimbrel_protocol.limits import MAX_DATA_KEYS, MAX_DEDUP_KEY_BYTES, MAX_KEY_BYTES
from whimbrel_protocol.names import is_name
from whimbrel_protocol.values import check_key, check_text, check_value

__all__ = ["MIN_GROUP", "pack_group"]

MIN_GROUP: Final = 6
"""Below this many events the fixed cost of the columns is more than the checks one by one."""

_KNOWN_MAX: Final = 512
"""Bound of what is remembered. Fewer than ``MAX_DATA_KEYS``: a map all of whose keys are known
has not too many of them."""
assert _KNOWN_MAX <= MAX_DATA_KEYS

_INT64: Final = 2**63
_PLAIN: Final = frozenset({str, float, bool, type(None)})
"""Values whose only limits are those of the whole event (and well-formed text: packing tells)."""

_known_heads: set[tuple[str, str, str | None]] = set()
_known_keys: set[str] = set()
"""What passed the checks before: (type, source, zone), and the keys of maps."""


def pack_group(events: Sequence[Event]) -> bytes | None:
    """Give the rows of a group of events as one array, when it can see that they are good.

    Every limit is checked but one: the bytes of a single event (``MAX_EVENT_BYTES``). A group that
    packs into no more than one event may have has none that is too big.

    Returns:
        The array, or None: check the events one by one.
    """
    try:
        return _pack(events)
    except (FieldError, TypeError, KeyError, ValueError, cbor2.CBORError):
        return None


def _pack(events: Sequence[Event]) -> bytes | None:
    types, sources, times, data, lanes, zones, subjects, dedup_keys, extensions = _columns(events)
    if set(map(type, chain(data, extensions))) != {dict} or set(map(type, times)) != {int}:
        return None
    if min(times) < -_INT64 or max(times) >= _INT64:
        return None
    _check_heads(set(zip(types, sources, zones, strict=True)))
    numbers = [LANE_NUMBERS[lane] for lane in lanes]
    alike = zones.count(None) == 0
    for name, texts, limit in (
        ("subject", subjects, MAX_KEY_BYTES),
        ("dedup_key", dedup_keys, MAX_DEDUP_KEY_BYTES),
    ):
        if texts.count(None) != len(texts):
            alike = False
            for text in texts:
                if text is not None:
                    check_text(name, text, limit)
    maps = data
    if any(extensions):
        alike = False
        maps += extensions
    plain = _check_maps(maps)
    rows: Sequence[Any] = (
        list(zip(types, sources, times, data, numbers, zones, strict=True))
        if alike
        else list(map(event_row, events))
    )
    return dump_plain(rows) if plain else dump_value(rows)


def _columns(events: Sequence[Event]) -> Iterable[tuple[Any, ...]]:
    fields = [
        (e.type, e.source, e.time_ns, e.data, e.lane, e.zone, e.subject, e.dedup_key, e.extensions)
        for e in events
    ]
    return zip(*fields, strict=True)


def _check_heads(heads: set[tuple[str, str, str | None]]) -> None:
    """Check the combinations of type, source and zone that did not come before."""
    if heads <= _known_heads:
        return
    fresh = heads - _known_heads
    for name, source, zone in fresh:
        check_text("type", name, MAX_KEY_BYTES)
        check_text("source", source, MAX_KEY_BYTES)
        if zone is not None and (type(zone) is not str or not is_name(zone)):
            raise FieldError("zone", zone, "must be a name")
    _remember(_known_heads, fresh)


def _check_maps(maps: Sequence[dict[Any, Any]]) -> bool:
    """Check keys and values; say whether all values are numbers, texts, booleans and null."""
    if not _known_keys.issuperset(chain.from_iterable(maps)):
        _check_keys(set(chain.from_iterable(maps)))
    others = [v for v in chain.from_iterable(map(dict.values, maps)) if type(v) not in _PLAIN]
    kinds = set(map(type, others))
    if kinds <= {int}:
        if others and (min(others) < -_INT64 or max(others) >= _INT64):
            _check_values(others)
        return True
    _check_values(others)
    return False


def _check_keys(keys: set[Any]) -> None:
    fresh = keys - _known_keys
    if len(keys) > _KNOWN_MAX:
        raise FieldError("data", f"{len(keys)} keys", "may be too many for one map")
    for key in fresh:
        check_key("data", key)
    _remember(_known_keys, fresh)


def _check_values(values: Iterable[Any]) -> None:
    for value in values:
        check_value("data", value)


def _remember(known: set[Any], fresh: set[Any]) -> None:
    """Add what passed the checks; start over rather than grow past the bound."""
    if len(known) + len(fresh) > _KNOWN_MAX:
        known.clear()
    if len(fresh) <= _KNOWN_MAX:
        known |= fresh
