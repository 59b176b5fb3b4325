"""The order of a frame's events where their times tell most of it.

One byte, then: BY_TIME: events lie series by series, and sorted by time (stably: at one time the
earlier series comes first) they are in the order of the frame, but for swaps: ``varint`` their number and,
where there are any, a stream of places, ascending; at each the event there and the next one change
places, one after the other. AS_GIVEN: a stream of the number of each event's series.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from whimbrel_protocol.columns.integers import read_integers, read_places, write_integers
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint
from whimbrel_protocol.errors import RemoteProtocolError

__all__ = ["read_given", "read_order", "write_order"]

BY_TIME: Final = 0
AS_GIVEN: Final = 1

_EVENTS_A_SWAP: Final = 8
"""More swaps than one in so many events cost more than the order itself."""


def write_order(
    out: BodyWriter, order: Sequence[int], counts: Sequence[int], times: Sequence[int]
) -> None:
    """Append an order.

    Args:
        out: the body.
        order: the number of each event's series.
        counts: events of each series.
        times: of the events, series by series.
    """
    swaps = _swaps(_by_time(times), _by_series(order, counts))
    if swaps is None:
        out.head.append(AS_GIVEN)
        write_integers(out, order)
        return
    out.head.append(BY_TIME)
    put_varint(out.head, len(swaps))
    if swaps:
        write_integers(out, swaps)


def read_order(body: BodyReader, counts: Sequence[int], times: Sequence[int]) -> list[list[int]]:
    """Give, for each series, the places of its events among all.

    Args:
        body: the body.
        counts: events of each series, at least 1 each.
        times: of the events, series by series.

    Raises:
        RemoteProtocolError: malformed.
    """
    how, count = body.head.byte(), len(times)
    if how == AS_GIVEN:
        places = read_given(body, count, len(counts))
        if [len(part) for part in places] != [*counts]:
            raise RemoteProtocolError("series have other numbers of events than they should")
        return places
    if how != BY_TIME:
        raise RemoteProtocolError(f"order is {how}: must be 0 or 1")
    rows = _by_time(times)
    for place in read_places(body, body.head.varint(count - 1, "swaps"), count - 1):
        rows[place], rows[place + 1] = rows[place + 1], rows[place]
    at_row = [0] * count
    for place, row in enumerate(rows):
        at_row[row] = place
    ends = [0]
    for size in counts:
        ends.append(ends[-1] + size)
    return [at_row[start:end] for start, end in pairwise(ends)]


def read_given(body: BodyReader, count: int, series: int) -> list[list[int]]:
    """Give, for each series, the places of its events among all, from the numbers of their series.

    Raises:
        RemoteProtocolError: malformed.
    """
    order = read_integers(body, count)
    if min(order) < 0 or max(order) >= series:
        raise RemoteProtocolError(f"a series number is outside {series} series")
    places: list[list[int]] = [[] for _ in range(series)]
    for at, number in enumerate(order):
        places[number].append(at)
    return places


def _by_time(times: Sequence[int]) -> list[int]:
    return sorted(range(len(times)), key=times.__getitem__)


def _by_series(order: Sequence[int], counts: Sequence[int]) -> list[int]:
    """Return which row, series by series, each event of the frame is."""
    next_row = [0] * len(counts)
    for number in range(1, len(counts)):
        next_row[number] = next_row[number - 1] + counts[number - 1]
    rows = []
    for number in order:
        rows.append(next_row[number])
        next_row[number] += 1
    return rows


def _swaps(rows: list[int], wanted: list[int]) -> list[int] | None:
    """Return where neighbours change places, so that rows come as wanted; None: that is not enough."""
    if rows == wanted:
        return []
    swaps: list[int] = []
    most, last = len(rows) // _EVENTS_A_SWAP, len(rows) - 1
    for place, row in enumerate(wanted):
        if rows[place] == row:
            continue
        if place == last or rows[place + 1] != row or len(swaps) >= most:
            return None
        rows[place], rows[place + 1] = row, rows[place]
        swaps.append(place)
    return swaps
