"""Dates and times as numbers: DA, TM, DT values and the ranges that queries write.

A date is the integer YYYYMMDD. A time is microseconds since midnight, and a value of less than full
precision is the span it covers: "10" is 10:00:00.000000 to 10:59:59.999999. A datetime is the same
on one axis: date times DAY plus time. The axis has gaps, order is all that is asked of it.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final, TypeAlias

__all__ = [
    "DAY",
    "END",
    "Span",
    "date",
    "date_range",
    "datetime_range",
    "span",
    "time",
    "time_range",
]

Span: TypeAlias = tuple[int, int]
"""First and last moment, both included."""

SECOND: Final = 1_000_000
DAY: Final = 100 * 3600 * SECOND
"""Over 24 hours, so that a leap second stays within its day."""
END: Final = 1 << 62

_DATE = re.compile(r"(\d{4})\.?(0[1-9]|1[0-2])\.?(0[1-9]|[12]\d|3[01])", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3])(?::?([0-5]\d)(?::?([0-5]\d|60)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_DATETIME = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>0[1-9]|1[0-2])(?:(?P<day>0[1-9]|[12]\d|3[01])(?P<time>\d{2}"
    r"(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?)?)?(?P<zone>[+-](?:0\d|1[0-4])[0-5]\d)?",
    re.ASCII,
)


def date(text: str) -> int | None:
    """Return a DA value, the form YYYY.MM.DD of ACR-NEMA too; None for what is no date."""
    found = _DATE.fullmatch(text)
    return int(found[1] + found[2] + found[3]) if found else None


def time(text: str) -> Span | None:
    """Return a TM value, the form HH:MM:SS of ACR-NEMA too; None for what is no time."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second, fraction = found.groups()
    first = int(hour) * 3600 * SECOND
    if minute is None:
        return first, first + 3600 * SECOND - 1
    first += int(minute) * 60 * SECOND
    if second is None:
        return first, first + 60 * SECOND - 1
    first += int(second) * SECOND
    if fraction is None:
        return first, first + SECOND - 1
    step = 10 ** (6 - len(fraction))
    first += int(fraction) * step
    return first, first + step - 1


def span(text: str) -> Span | None:
    """Return a DT value; None for what is no datetime.

    A value with an offset from UTC is moved to UTC; one without is taken to be in UTC.
    """
    found = _DATETIME.fullmatch(text)
    if found is None:
        return None
    clock = time(found["time"]) if found["time"] else (0, DAY - 1)
    if clock is None:
        return None
    day = int(found["year"] + (found["month"] or "01") + (found["day"] or "01"))
    last = int(found["year"] + (found["month"] or "12") + (found["day"] or "31"))
    if found["zone"] and found["time"]:
        return _utc(day, clock, found["zone"])
    return day * DAY + clock[0], last * DAY + clock[1]


def _utc(day: int, clock: Span, zone: str) -> Span | None:
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
    try:
        midnight = datetime(day // 10000, day // 100 % 100, day % 100)  # noqa: DTZ001 the zone is applied below
        start = (
            midnight + timedelta(microseconds=clock[0]) - (offset if zone[0] == "+" else -offset)
        )
    except (ValueError, OverflowError):
        return None
    moved = start - start.replace(hour=0, minute=0, second=0, microsecond=0)
    first = (start.year * 10000 + start.month * 100 + start.day) * DAY + moved // timedelta(
        microseconds=1
    )
    return first, first + clock[1] - clock[0]


def date_range(text: str) -> Span | None:
    """Return the first and last date of a DA key: one date, or a range open at either end."""
    low, dash, high = text.partition("-")
    first, last = date(low.strip()), date(high.strip())
    if not dash:
        return (first, first) if first is not None else None
    return _joined(
        low,
        high,
        (first, first) if first is not None else None,
        (last, last) if last is not None else None,
    )


def time_range(text: str) -> Span | None:
    """Return the first and last moment of a TM key. A single value covers its precision."""
    low, dash, high = text.partition("-")
    if not dash:
        return time(low.strip())
    return _joined(low, high, time(low.strip()), time(high.strip()))


def datetime_range(text: str) -> Span | None:
    """Return the first and last moment of a DT key.

    A hyphen that begins a valid offset from UTC (-0000 to -1459) is one, others make a range
    (PS3.4 C.2.2.2.5).
    """
    single = span(text.strip())
    if single is not None:
        return single
    for hyphen in re.finditer("-", text):
        low, high = text[: hyphen.start()], text[hyphen.end() :]
        found = _joined(low, high, span(low.strip()), span(high.strip()))
        if found is not None:
            return found
    return None


def _joined(low: str, high: str, first: Span | None, last: Span | None) -> Span | None:
    """Return the range from `first` to `last`; a side that was left empty is open."""
    if first is None and (low.strip() or last is None):
        return None
    if last is None and high.strip():
        return None
    return (first[0] if first else 0), (last[1] if last else END)
