"""Checking and packing a whole group of events by columns, many times faster than one by one.

What this is: the quick way of ``rows.pack_events``. It looks at all types, all keys and all values
of a group at once, in a few calls that loop inside the interpreter. What it is not: a second
opinion. Whatever it does not understand at a glance, and whatever breaks a limit, it leaves to
``validate_event``, which names the event's field, its value and the rule. The rule it keeps: it
packs nothing that ``validate_event`` refuses, and packs the rest into the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any, Final

import cbor2

from whimbrel_protocol.cbor import dump_plain, dump_value
from whimbrel_protocol.errors import FieldError
from whimbrel_protocol.event import Event, event_row, make_event
from whimbrel_protocol.limits import MAX_DATA_KEYS, MAX_DEDUP_KEY_BYTES, MAX_KEY_BYTES
from whimbrel_protocol.names import is_name
from whimbrel_protocol.values import check_key, check_text, check_value

__all__ = ["MIN_GROUP", "array_head", "pack_group"]

MIN_GROUP: Final = 6
"""Below this many events the fixed cost of the columns is more than the checks one by one."""

_KNOWN_MAX: Final = 512
"""Bound of what is remembered. Fewer than ``MAX_DATA_KEYS``: a map all of whose keys are known
has not too many of them."""
assert _KNOWN_MAX <= MAX_DATA_KEYS

_INT64: Final = 2**63
_PLAIN: Final = frozenset({str, float, bool, type(None)})
"""Values whose only limits are those of the whole event (and well-formed text: packing tells)."""

_BORDER: Final = b"\xff\xfe\x00\xff\xfd\x01"
_PACKED_BORDER: Final = dump_plain(_BORDER)
"""Stands before each event's time and data, which are packed in one call for all events, so that
they can be told apart again. Packed it begins with a byte that is nowhere else in it, so no two of
them overlap, and no text holds such bytes; where data does, there are more pieces than events."""

_Head = tuple[Any, Any, Any, Any]
"""Type, source, zone, lane."""

_known_heads: dict[_Head, tuple[bytes, bytes]] = {}
"""Heads that passed the checks: what comes before an event's time, and after its data."""


class _Keys:
    """Keys of maps that passed the checks; what is equal to a known text is one, as in a map.

    The set is replaced whole, never changed: threads that learn keys at once may lose each other's,
    but no set is ever over the bound that a map's size rests on.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: frozenset[str] = frozenset()


_keys: Final = _Keys()


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
    around = _around(list(zip(types, sources, zones, lanes, strict=True)))
    some = _check_texts("subject", subjects, MAX_KEY_BYTES)
    some |= _check_texts("dedup_key", dedup_keys, MAX_DEDUP_KEY_BYTES)
    some |= any(extensions)
    plain = _check_maps(chain(data, extensions) if some else data)
    dump = dump_plain if plain else dump_value
    if not some:
        middles = chain.from_iterable(zip(repeat(_BORDER), times, data))
        _, *pieces = dump(list(middles)).split(_PACKED_BORDER)
        if len(pieces) == len(around):
            before, after = zip(*around, strict=True)
            rows = zip(before, pieces, after, strict=True)
            return array_head(len(pieces)) + b"".join(chain.from_iterable(rows))
    return dump(list(map(event_row, events)))


def _columns(events: Sequence[Event]) -> Iterable[tuple[Any, ...]]:
    fields = [
        (e.type, e.source, e.time_ns, e.data, e.lane, e.zone, e.subject, e.dedup_key, e.extensions)
        for e in events
    ]
    return zip(*fields, strict=True)


def array_head(count: int) -> bytes:
    """Return the head of a CBOR array (RFC 8949, major type 4) of less than 65,536 items."""
    if count < 24:
        return bytes((0x80 | count,))
    if count < 256:
        return bytes((0x98, count))
    return b"\x99" + count.to_bytes(2, "big")


def _around(heads: Sequence[_Head]) -> list[tuple[bytes, bytes]]:
    """Give what stands around each event's time and data; new heads are checked first."""
    known = list(map(_known_heads.get, heads))
    if None in known:
        fresh = {head: _checked(*head) for head in set(heads)}
        if len(_known_heads) + len(fresh) > _KNOWN_MAX:
            _known_heads.clear()  # start over rather than grow past the bound
        if len(fresh) <= _KNOWN_MAX:
            _known_heads.update(fresh)
        return [fresh[head] for head in heads]
    return known  # type: ignore[return-value]  # it holds no None


def _checked(name: Any, source: Any, zone: Any, lane: Any) -> tuple[bytes, bytes]:
    check_text("type", name, MAX_KEY_BYTES)
    check_text("source", source, MAX_KEY_BYTES)
    if zone is not None and (type(zone) is not str or not is_name(zone)):
        raise FieldError("zone", zone, "must be a name")
    row = event_row(make_event(name, source, 0, {}, zone, None, lane, None, {}))
    before = array_head(len(row)) + dump_plain(name) + dump_plain(source)
    return before, b"".join(map(dump_plain, row[4:]))


def _check_texts(field: str, texts: Sequence[Any], limit: int) -> bool:
    """Check the texts that are there; say whether any is."""
    if texts.count(None) == len(texts):
        return False
    for text in texts:
        if text is not None:
            check_text(field, text, limit)
    return True


def _check_maps(maps: Iterable[dict[Any, Any]]) -> bool:
    """Check keys and values; say whether all values are numbers, texts, booleans and null."""
    maps = list(maps)
    if not _keys.known.issuperset(chain.from_iterable(maps)):
        _check_keys(set(chain.from_iterable(maps)))
    kinds = set(map(type, chain.from_iterable(map(dict.values, maps)))) - _PLAIN
    if not kinds:
        return True
    others = [v for v in chain.from_iterable(map(dict.values, maps)) if type(v) in kinds]
    if kinds == {int} and min(others) >= -_INT64 and max(others) < _INT64:
        return True
    _check_values(others)
    return kinds == {int}


def _check_keys(keys: set[Any]) -> None:
    if len(keys) > _KNOWN_MAX:
        raise FieldError("data", f"{len(keys)} keys", "may be too many for one map")
    known = _keys.known
    for key in keys - known:
        check_key("data", key)
    more = known | keys
    _keys.known = more if len(more) <= _KNOWN_MAX else frozenset(keys)


def _check_values(values: Iterable[Any]) -> None:
    for value in values:
        check_value("data", value)
