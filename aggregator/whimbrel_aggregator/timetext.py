"""Times as text: RFC 3339 in UTC to the nanosecond, and times relative to now.

Event times are signed 64-bit nanoseconds; ``datetime`` keeps microseconds only, so the
fraction is handled here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from whimbrel_protocol.errors import FieldError

NS_PER_S: Final = 1_000_000_000
MIN_TIME_NS: Final = -(2**63)
MAX_TIME_NS: Final = 2**63 - 1

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2}))?",
    re.ASCII,
)
_RELATIVE: Final = re.compile(r"-(\d{1,9})([smhdw])", re.ASCII)
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_RULE: Final = (
    "must be RFC 3339 such as 2026-11-22T10:00:00Z, a date, 'now', or relative such as -2h "
    "(s, m, h, d, w)"
)


def format_time(time_ns: int) -> str:
    """Return Unix nanoseconds as RFC 3339 in UTC with 0, 3, 6 or 9 digits of a second."""
    seconds, fraction = divmod(time_ns, NS_PER_S)
    text = _whole_seconds(seconds)
    if not fraction:
        return f"{text}Z"
    digits = f"{fraction:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"


@lru_cache(maxsize=4_096)
def _whole_seconds(seconds: int) -> str:
    # events of one frame mostly share a few seconds
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def parse_time(field: str, text: str, *, now_ns: int) -> int:
    """Return Unix nanoseconds of an RFC 3339 time, a UTC date, ``now`` or ``-2h``.

    A moment before 1677 or after 2262 becomes the first or last that an event can have: as the
    bound of a search it means the same.

    Raises:
        FieldError: it is none of these.
    """
    if text == "now":
        return now_ns
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        time_ns = now_ns - int(relative[1]) * _UNITS_S[relative[2]] * NS_PER_S
    else:
        time_ns = _absolute(field, text)
    return max(MIN_TIME_NS, min(time_ns, MAX_TIME_NS))


def _absolute(field: str, text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise FieldError(field, text, _RULE)
    day, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone is None or zone in "Zz" else zone
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone}")
        since = moment - _EPOCH
    except (ValueError, OverflowError) as error:
        raise FieldError(field, text, _RULE) from error
    seconds = since.days * 86_400 + since.seconds
    return seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))
