"""Times as text (RFC 3339) to nanoseconds since 1970 UTC, exactly.

The standard library stops at microseconds and cuts the rest off silently; a till that writes
nine digits keeps all nine here.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from whimbrel_protocol.errors import FieldError

__all__ = ["time_ns_of_text"]

_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)
_PLAIN: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{3}(?:\d{3})?)?(?:Z|[+-]\d\d:\d\d)",
    re.ASCII,
)
"""What the standard library reads exactly, and five times faster than we do."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RULE: Final = "must be RFC 3339 text with an offset, such as 2026-11-22T09:30:00.250Z"
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MICROSECOND: Final = timedelta(microseconds=1)
_NS: Final = 1_000_000_000
_INT64: Final = 2**63


def time_ns_of_text(field: str, text: object) -> int:
    """Give the nanoseconds since 1970 UTC that an RFC 3339 text means.

    Raises:
        FieldError: not such a text, no such moment (leap seconds included: they have no number
            in Unix time), or outside 64 bits (years 1677 to 2262).
    """
    if type(text) is str and _PLAIN.fullmatch(text) is not None:
        try:
            since = datetime.fromisoformat(text) - _EPOCH
        except (ValueError, OverflowError):
            pass  # no such moment: below it is said why
        else:
            time_ns = since // _MICROSECOND * 1_000
            if -_INT64 <= time_ns < _INT64:
                return time_ns
    match = _RFC3339.fullmatch(text) if type(text) is str else None
    if match is None:
        raise FieldError(field, text, _RULE)
    year, month, day, hour, minute, second, fraction, _, sign, off_hour, off_minute = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError as exc:
        raise FieldError(field, text, f"{_RULE} ({exc})") from exc
    seconds = days * 86_400 + _clock(field, text, hour, minute, second)
    if sign is not None:
        offset = _clock(field, text, off_hour, off_minute, "00")
        seconds += offset if sign == "-" else -offset
    time_ns = seconds * _NS
    if fraction is not None:
        time_ns += int(fraction.ljust(9, "0"))
    if not -_INT64 <= time_ns < _INT64:
        raise FieldError(field, text, "must be between the years 1678 and 2261")
    return time_ns


def _clock(field: str, text: object, hour: str, minute: str, second: str) -> int:
    hours, minutes, seconds = int(hour), int(minute), int(second)
    if hours > 23 or minutes > 59 or seconds > 59:
        raise FieldError(field, text, "must have hours to 23, minutes and seconds to 59")
    return hours * 3_600 + minutes * 60 + seconds
