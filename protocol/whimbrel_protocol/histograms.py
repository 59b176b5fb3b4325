"""Histograms in a dictionary, as bytes (see ``columns.histograms``).

In the head of a body: ``varint`` their number, 1 to 128, and of each: the names of the events' type and of
the key of data (each may be none), ``varint`` number of the stream; a byte, 0 values, 1 differences, and with
these a zigzag: what comes before the first; a zigzag, the base; ``varint``, the step; ``varint``, number of bins,
at most 1,024, and where there are any three streams: of the gaps before each bin (before the first, from
0), of their bits, and of their shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from operator import sub
from typing import Final

from whimbrel_protocol.columns.histograms import (
    MAX_BIN_BITS,
    SHARE_BITS,
    Bin,
    Histogram,
    Histograms,
)
from whimbrel_protocol.columns.integers import read_integers, write_integers
from whimbrel_protocol.columns.names import NameReader, NameWriter
from whimbrel_protocol.columns.regions import BodyReader, BodyWriter, put_varint, put_zigzag
from whimbrel_protocol.errors import RemoteProtocolError
from whimbrel_protocol.limits import MAX_BINS, MAX_HISTOGRAM_BINS, MAX_HISTOGRAMS, MAX_STREAM_NUMBER

__all__ = ["put_histograms", "read_histograms"]

_MAX_NUMBER: Final = 2**64 - 1


def put_histograms(out: BodyWriter, names: NameWriter, histograms: Histograms) -> None:
    """Append a dictionary's histograms, at least one."""
    put_varint(out.head, len(histograms.all))
    for one in histograms.all:
        event_type, key, nth = one.place
        names.put(event_type or None)
        names.put(key or None)
        put_varint(out.head, nth)
        out.head.append(int(one.differences))
        if one.differences:
            put_zigzag(out.head, one.before)
        put_zigzag(out.head, one.base)
        put_varint(out.head, one.step)
        put_varint(out.head, len(one.bins))
        if one.bins:
            starts, widths, shares = zip(*one.bins, strict=True)
            ends = [0, *(start + (1 << bits) for start, bits, _ in one.bins)]
            write_integers(out, list(map(sub, starts, ends)))
            write_integers(out, widths)
            write_integers(out, shares)


def read_histograms(body: BodyReader, names: NameReader) -> Histograms:
    """Give back a dictionary's histograms.

    Raises:
        RemoteProtocolError: malformed, or beyond a limit.
    """
    found: list[Histogram] = []
    left = MAX_BINS
    for _ in range(body.head.varint(MAX_HISTOGRAMS, "number of histograms")):
        found.append(_read_histogram(body, names, min(left, MAX_HISTOGRAM_BINS)))
        left -= len(found[-1].bins)
    histograms = Histograms(found)
    if not found or len(histograms.by_place) != len(found):
        raise RemoteProtocolError("a dictionary names no histograms, or two of one place")
    return histograms


def _read_histogram(body: BodyReader, names: NameReader, most_bins: int) -> Histogram:
    head = body.head
    event_type, key = names.name_or_none() or "", names.name_or_none() or ""
    nth = head.varint(MAX_STREAM_NUMBER, "number of a stream")
    differences = head.varint(1, "kind of a histogram")
    before = head.zigzag() if differences else 0
    base = head.zigzag()
    step = head.varint(_MAX_NUMBER, "step of a histogram")
    if not step:
        raise RemoteProtocolError("step of a histogram is 0: must be at least 1")
    count = head.varint(most_bins, "bins of a histogram")
    bins = _read_bins(body, count) if count else ()
    return Histogram((event_type, key, nth), bool(differences), before, base, step, bins)


def _read_bins(body: BodyReader, count: int) -> tuple[Bin, ...]:
    gaps, widths, shares = (read_integers(body, count) for _ in range(3))
    if min(gaps) < 0 or not (min(widths) >= 0 and max(widths) <= MAX_BIN_BITS):
        raise RemoteProtocolError("bins of a histogram overlap, or one is too wide")
    if min(shares) < 1 or sum(shares) >= 1 << SHARE_BITS:
        raise RemoteProtocolError(
            f"shares of a histogram are {sum(shares)} together: must be below {1 << SHARE_BITS},"
            " and 1 each at least"
        )
    starts = _starts(gaps, widths)
    if starts[-1] + (1 << widths[-1]) > _MAX_NUMBER:
        raise RemoteProtocolError("bins of a histogram reach beyond 64 bits")
    return tuple(map(Bin, starts, widths, shares))


def _starts(gaps: Sequence[int], widths: Sequence[int]) -> list[int]:
    steps = [gaps[0], *(gap + (1 << bits) for gap, bits in zip(gaps[1:], widths, strict=False))]
    return list(accumulate(steps))
