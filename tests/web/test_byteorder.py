"""Bulk values leave as little endian octets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vna.web.byteorder import little_endian

BIG = "1.2.840.10008.1.2.2"
SIZES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


@given(
    value=st.binary(max_size=70),
    vr=st.sampled_from(sorted(SIZES)),
    places=st.lists(st.integers(0, 70), max_size=5),
)
def test_words_are_turned_however_the_value_is_cut(value, vr, places):
    size = SIZES[vr]
    whole = len(value) - len(value) % size
    words = b"".join(value[i : i + size][::-1] for i in range(0, whole, size))
    edges = [0, *sorted(min(place, len(value)) for place in places), len(value)]
    pieces = [value[a:b] for a, b in pairwise(edges)]
    assert b"".join(little_endian(iter(pieces), BIG, vr)) == words + value[whole:]


@pytest.mark.parametrize(
    ("stored", "vr"), [(BIG, "OB"), (BIG, "UN"), ("1.2.840.10008.1.2.1", "OW")]
)
def test_bytes_and_little_endian_words_stay(stored, vr):
    assert list(little_endian(iter([b"abcd"]), stored, vr)) == [b"abcd"]
