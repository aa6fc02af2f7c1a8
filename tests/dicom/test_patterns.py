import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.dicom.patterns import has_wildcard, literal_prefix, name_test, text_test

PATTERNS = st.text("ab.*?^\n", max_size=8)
TEXTS = st.text("ab.^\n", max_size=10)


@given(PATTERNS, TEXTS)
def test_it_is_the_plain_meaning_of_wildcards(pattern, text):
    regex = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)
    assert text_test(pattern)(text) is (re.fullmatch(regex, text, re.DOTALL) is not None)


@given(PATTERNS, TEXTS)
def test_what_matches_begins_with_the_literal_prefix(pattern, text):
    if text_test(pattern)(text):
        assert text.startswith(literal_prefix(pattern))
    assert has_wildcard(pattern) is (literal_prefix(pattern) != pattern)


@given(st.text("ab*?^", max_size=8), st.text("ab^", max_size=8).map(lambda t: t.rstrip("^")))
def test_a_name_pattern_takes_what_the_text_pattern_takes(pattern, text):
    if text_test(pattern)(text):
        assert name_test(pattern)(text)


@pytest.mark.parametrize("pattern", ["doe^*", "doe^*^*", "doe*", "doe*^*"])
def test_missing_components_are_empty_ones(pattern):
    assert name_test(pattern)("doe")
    assert name_test(pattern)("doe^jane")
    assert not name_test(pattern)("do")


def test_a_component_ends_at_its_caret():
    assert not name_test("doe^*")("doering^jane")
    assert not name_test("doe?")("doe")


def test_many_stars_take_no_time_to_speak_of():
    """With backtracking this would not end in this century."""
    assert not text_test("*a" * 40 + "b")("a" * 1024)
