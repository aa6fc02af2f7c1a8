import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.dicom.times import DAY, END, date, date_range, datetime_range, span, time, time_range

HOUR = 3_600_000_000
MINUTE = 60_000_000
SECOND = 1_000_000


@pytest.mark.parametrize("text", ["20240229", "2024.02.29"])
def test_dates(text):
    assert date(text) == 20240229


@pytest.mark.parametrize(
    "text", ["", "2024", "20241301", "20240132", "2024-01-01", "2024010\uff11", "x"]
)
def test_no_dates(text):
    assert date(text) is None


@pytest.mark.parametrize(
    ("text", "first", "length"),
    [
        ("10", 10 * HOUR, HOUR),
        ("1030", 10 * HOUR + 30 * MINUTE, MINUTE),
        ("103015", 10 * HOUR + 30 * MINUTE + 15 * SECOND, SECOND),
        ("10:30:15", 10 * HOUR + 30 * MINUTE + 15 * SECOND, SECOND),
        ("103015.25", 10 * HOUR + 30 * MINUTE + 15 * SECOND + 250_000, 10_000),
        ("103015.000001", 10 * HOUR + 30 * MINUTE + 15 * SECOND + 1, 1),
        ("235960", 24 * HOUR, SECOND),
    ],
)
def test_times_cover_their_precision(text, first, length):
    assert time(text) == (first, first + length - 1)


@pytest.mark.parametrize(
    "text", ["", "1", "24", "1060", "103", "10.5", "103015.", "103015.1234567"]
)
def test_no_times(text):
    assert time(text) is None


def test_datetimes():
    assert span("2024") == (20240101 * DAY, 20241231 * DAY + DAY - 1)
    assert span("202402") == (20240201 * DAY, 20240231 * DAY + DAY - 1)
    assert span("20240229") == (20240229 * DAY, 20240229 * DAY + DAY - 1)
    assert span("2024022910") == (20240229 * DAY + 10 * HOUR, 20240229 * DAY + 11 * HOUR - 1)
    assert span("20240301003000+0100") == span("20240229233000")
    assert span("20240301003000+0100") == span("20240229183000-0500")
    assert span("garbage") is None
    assert span("20240230101010+0100") is None


def test_date_ranges():
    assert date_range("20240101") == (20240101, 20240101)
    assert date_range("20240101-20240201") == (20240101, 20240201)
    assert date_range(" 20240101 - 20240201 ") == (20240101, 20240201)
    assert date_range("20240101-") == (20240101, END)
    assert date_range("-20240101") == (0, 20240101)


@pytest.mark.parametrize("text", ["-", "", "*", "2024*", "20240101-x", "x-20240101", "1-2-3"])
def test_no_date_ranges(text):
    assert date_range(text) is None


def test_time_ranges_end_with_the_precision_of_the_upper_value():
    assert time_range("10-12") == (10 * HOUR, 13 * HOUR - 1)
    assert time_range("10-") == (10 * HOUR, END)
    assert time_range("-1030") == (0, 10 * HOUR + 31 * MINUTE - 1)
    assert time_range("10") == (10 * HOUR, 11 * HOUR - 1)
    assert time_range("-") is None
    assert time_range("10-x") is None


def test_a_hyphen_in_a_datetime_is_an_offset_where_it_can_be_one():
    assert datetime_range("2024010110-0500") == span("2024010110-0500")
    assert datetime_range("2019-2020") == (20190101 * DAY, 20201231 * DAY + DAY - 1)
    assert datetime_range("2024010110-0500-2024010112-0500") == (
        span("2024010115")[0],
        span("2024010117")[1],
    )
    assert datetime_range("20240101-") == (20240101 * DAY, END)
    assert datetime_range("-20240101") == (0, 20240101 * DAY + DAY - 1)
    assert datetime_range("-") is None
    assert datetime_range("20240101*") is None


@given(st.datetimes(), st.datetimes())
def test_order_is_kept(one, other):
    earlier, later = sorted([one, other])
    spans = [span(moment.strftime("%Y%m%d%H%M%S.%f").zfill(21)) for moment in (earlier, later)]
    assert spans[0] <= spans[1]
    assert (spans[0] == spans[1]) is (earlier == later)


@given(st.text("0123456789.:-+ *", max_size=30))
def test_any_text_parses_or_is_none(text):
    for parse in (date, time, span, date_range, time_range, datetime_range):
        parse(text)
