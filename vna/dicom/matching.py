"""Attribute matching (PS3.4 C.2.2.2): a query compiled to one predicate per level.

    universal      no value, or `*` alone where wildcards are known: every entity matches, also one
                   without the attribute; any other key needs a value to match
    single value   equal: text exactly (case matters), numbers by value, dates and times within the
                   precision that was given, names folded (see `names`)
    wildcard       `*` and `?` in AE CS LO LT PN SH ST UC UR UT
    range          DA TM DT, open at either end; date and time as one moment when asked
    UID list       and lists of other values alike: any of them
    sequence       a path key: any item has a value that matches. The index runs the items of a
                   sequence together, so two keys may be met by different items
    multi-valued   any value of the entity matches

In DA TM DT and the numbers a wildcard is no value, hence Invalid; in UI and AS it is a character
like others, which no stored value has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from vna.dicom.attributes import BY_PATH, SPECIFIC_CHARACTER_SET, Attribute
from vna.dicom.names import groups, words
from vna.dicom.patterns import TextTest, has_wildcard, name_body, name_test, text_test
from vna.dicom.times import DAY, Span, date, date_range, datetime_range, span, time, time_range
from vna.errors import Invalid
from vna.types import Attributes, Key, Level, Query, Value

__all__ = [
    "TIMEZONE_OFFSET_FROM_UTC",
    "CompiledQuery",
    "alternatives",
    "compile_query",
    "matchable",
]

Test: TypeAlias = Callable[[Value], bool]
Predicate: TypeAlias = Callable[[Attributes], bool]

TIMEZONE_OFFSET_FROM_UTC = 0x0008_0201
MAX_PATTERN_CHARACTERS: Final = 16_384
"""Characters of all wildcard patterns of a query: each takes 6 us and 600 bytes to compile."""
NEVER_MATCHED = frozenset({SPECIFIC_CHARACTER_SET, TIMEZONE_OFFSET_FROM_UTC})
"""They say how the request is written (PS3.4 C.2.2.2), they are no keys."""

WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
SINGLE_VALUED_VRS = frozenset({"LT", "ST", "UR", "UT"})
"""A backslash in these is a character of the value (PS3.5 6.2)."""

_INTEGER = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][+-]?\d{1,3})?", re.ASCII)

_TIME_OF_DATE = {
    0x0008_0012: 0x0008_0013,  # Instance Creation
    0x0008_0020: 0x0008_0030,  # Study
    0x0008_0021: 0x0008_0031,  # Series
    0x0008_0022: 0x0008_0032,  # Acquisition
    0x0008_0023: 0x0008_0033,  # Content
    0x0010_0030: 0x0010_0032,  # Patient's Birth
    0x0040_0244: 0x0040_0245,  # Performed Procedure Step Start
    0x0040_0250: 0x0040_0251,  # Performed Procedure Step End
}


class CompiledQuery:
    """The keys of a query, ready to be asked of entities level by level.

    `unsupported` are keys with a value that this archive does not match on: not indexed, below
    the query's level, or worked out only for the answer. They count as universal; the front
    tells (FF01, Warning 299).
    """

    __slots__ = ("_predicates", "unsupported")

    def __init__(
        self, predicates: Mapping[Level, Sequence[Predicate]], unsupported: tuple[int, ...]
    ) -> None:
        self._predicates = tuple(tuple(predicates.get(level, ())) for level in Level)
        self.unsupported = unsupported

    def asks(self, level: Level) -> bool:
        """Return whether any key restricts entities of `level`."""
        return bool(self._predicates[level])

    def matches(self, level: Level, attributes: Attributes) -> bool:
        """Return whether an entity of `level` meets every key of that level.

        `attributes` include the computed ones of levels below PATIENT.
        """
        for predicate in self._predicates[level]:  # noqa: SIM110 a generator costs more than the tests
            if not predicate(attributes):
                return False
        return True


def compile_query(query: Query) -> CompiledQuery:
    """Compile the keys of `query`. Raises Invalid, naming keyword and value, for a malformed one."""
    predicates: dict[Level, list[Predicate]] = {}
    unsupported: list[int] = []
    asked = [(key, values) for key in query.keys if (values := alternatives(key))]
    if query.combine_datetime:
        asked = _combine(asked, query.level, predicates)
    patterns = 0
    for key, values in asked:
        row = matchable(key.path, query.level)
        if row is not None:
            patterns += sum(len(value) for value in values if _is_pattern(row, value))
            if patterns > MAX_PATTERN_CHARACTERS:
                raise Invalid(
                    f"{row.keyword}: patterns of over {MAX_PATTERN_CHARACTERS} characters in all"
                )
            test = _test(row, values, query.fuzzy)
            predicates.setdefault(row.level, []).append(_predicate(row.path, test))
        elif key.path not in NEVER_MATCHED:
            unsupported.append(key.path)
    return CompiledQuery(predicates, tuple(unsupported))


def matchable(path: int, level: Level) -> Attribute | None:
    """Return the attribute behind a path key if a query at `level` can match on it."""
    row = BY_PATH.get(path)
    if row is None or row.level > level or path in NEVER_MATCHED:
        return None
    if row.computed and row.level is Level.PATIENT:
        return None  # known when the answer is made
    return row


def alternatives(key: Key) -> list[str]:
    """Return the values of a key of which one has to match; none for universal matching."""
    row = BY_PATH.get(key.path)
    vr = row.vr if row is not None else "UN"
    parts = [key.value] if vr in SINGLE_VALUED_VRS else key.value.split("\\")
    values = [value for part in parts if (value := part.strip(" \0"))]
    return [] if any(_is_universal(vr, value) for value in values) else values


def _is_universal(vr: str, value: str) -> bool:
    if vr == "PN":
        return all(map(_is_any_name, groups(value)))
    return vr in WILDCARD_VRS and value.strip("*") == ""


def _is_any_name(group: str) -> bool:
    """Say whether every group of a name matches: `*^*` does as `*` does, `^*` has no family name."""
    body, free = name_body(group)
    return body.strip("*") == "" and not (free and not body)


def _predicate(path: int, test: Test) -> Predicate:
    def predicate(attributes: Attributes) -> bool:
        for value in attributes.get(path, ()):  # noqa: SIM110 a generator costs more than the test
            if test(value):
                return True
        return False

    return predicate


def _test(row: Attribute, values: list[str], fuzzy: bool) -> Test:
    """Return what says whether a stored value matches any of a key's values."""
    if row.vr not in _SPECIAL_VRS and not any(_is_pattern(row, value) for value in values):
        literals = frozenset(values)
        return lambda held: str(held).strip(" ") in literals
    tests = [_value_test(row, value, fuzzy) for value in values]
    return tests[0] if len(tests) == 1 else lambda held: any(test(held) for test in tests)


def _is_pattern(row: Attribute, value: str) -> bool:
    return row.vr in WILDCARD_VRS and has_wildcard(value)


def _value_test(row: Attribute, value: str, fuzzy: bool) -> Test:
    if row.vr == "PN":
        return _name_test(value, fuzzy)
    if row.vr in _RANGES:
        parse_key, parse_value, _ = _RANGES[row.vr]
        return _within(parse_key, parse_value, row, value)
    if row.vr in NUMBER_VRS:
        return _number_test(row, value)
    test = text_test(value) if _is_pattern(row, value) else value.__eq__
    return lambda held: test(str(held).strip(" "))


def _within(
    parse_key: Callable[[str], Span | None],
    parse_value: Callable[[str], Span | None],
    row: Attribute,
    value: str,
) -> Test:
    """Return a range test: a stored value matches when its first moment is in the key's span."""
    wanted = parse_key(value)
    if wanted is None:
        raise _malformed(row, value)
    low, high = wanted

    def test(held: Value) -> bool:
        found = parse_value(str(held).strip(" "))
        return found is not None and low <= found[0] <= high

    return test


def _day(text: str) -> Span | None:
    found = date(text)
    return None if found is None else (found, found)


def _number_test(row: Attribute, value: str) -> Test:
    wanted = _number(value)
    if wanted is None:
        raise _malformed(row, value)
    return lambda held: (_number(held) if isinstance(held, str) else held) == wanted


def _number(text: str) -> int | float | None:
    text = text.strip(" ")
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else None


_RANGES: dict[str, tuple[Callable[[str], Span | None], Callable[[str], Span | None], str]] = {
    "DA": (date_range, _day, "a date or a range of dates"),
    "TM": (time_range, time, "a time or a range of times"),
    "DT": (datetime_range, span, "a datetime or a range of datetimes"),
}
_SPECIAL_VRS = frozenset({"PN", *_RANGES, *NUMBER_VRS})


def _malformed(row: Attribute, value: str) -> Invalid:
    what = _RANGES[row.vr][2] if row.vr in _RANGES else "a number"
    return Invalid(f"{row.keyword}: {value[:80]!r} is not {what}")


# names --------------------------------------------------------------------------------------------
def _name_test(value: str, fuzzy: bool) -> Test:
    """Match names group by group.

    A key of one group is looked for in every group of the stored name, so that `YAMADA` and the
    ideographic form both find a patient; a key of more groups matches each group it fills with
    its counterpart.
    """
    asked = groups(value)
    tests = [_group_test(group, fuzzy) if group.strip("*") else None for group in asked]
    if len(asked) == 1:
        (only,) = tests
        assert only is not None, "a name without text is universal"
        any_group = only
        return lambda held: any(any_group(group) for group in groups(str(held)))

    def test(held: Value) -> bool:
        found = groups(str(held))
        found += [""] * (len(tests) - len(found))
        return all(test is None or test(group) for test, group in zip(tests, found, strict=False))

    return test


def _group_test(group: str, fuzzy: bool) -> TextTest:
    plain = name_test(group)
    if not fuzzy:
        return plain
    asked = [words(component) for component in group.replace("*", "").split("^")]
    if "?" in group or not any(asked):
        return plain
    return lambda held: plain(held) or _sounds_like(asked, held)


def _sounds_like(asked: list[list[str]], group: str) -> bool:
    """Fuzzy semantic matching: every word asked for begins a word of the same component.

    Words without a caret may be in any component.
    """
    components = [words(component) for component in group.split("^")]
    if len(asked) == 1:
        components = [[word for component in components for word in component]]
    components += [[]] * (len(asked) - len(components))
    return all(
        any(word.startswith(prefix) for word in component)
        for prefixes, component in zip(asked, components, strict=False)
        for prefix in prefixes
    )


# date and time as one -----------------------------------------------------------------------------
def _combine(
    asked: list[tuple[Key, list[str]]], level: Level, predicates: dict[Level, list[Predicate]]
) -> list[tuple[Key, list[str]]]:
    """Turn pairs of date and time keys into predicates; return the other keys (PS3.4 C.2.2.2.5)."""
    single = {key.path: values[0] for key, values in asked if len(values) == 1}
    done: set[int] = set()
    for date_path, time_path in _TIME_OF_DATE.items():
        row = matchable(date_path, level)
        if row is not None and date_path in single and time_path in single:
            moment = _moment_predicate(
                row, single[date_path], BY_PATH[time_path], single[time_path]
            )
            predicates.setdefault(row.level, []).append(moment)
            done |= {date_path, time_path}
    return [(key, values) for key, values in asked if key.path not in done]


def _moment_predicate(
    dates: Attribute, date_key: str, times: Attribute, time_key: str
) -> Predicate:
    days, clock = date_range(date_key), time_range(time_key)
    if days is None:
        raise _malformed(dates, date_key)
    if clock is None:
        raise _malformed(times, time_key)
    low, high = days[0] * DAY + clock[0], days[1] * DAY + min(clock[1], DAY - 1)
    date_path, time_path = dates.path, times.path

    def predicate(attributes: Attributes) -> bool:
        days, clocks = attributes.get(date_path), attributes.get(time_path)
        if not days or not clocks:
            return False
        day, clock = date(str(days[0]).strip(" ")), time(str(clocks[0]).strip(" "))
        return day is not None and clock is not None and low <= day * DAY + clock[0] <= high

    return predicate
