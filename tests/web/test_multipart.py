"""The multipart reader: any split gives the same parts; nothing makes it hang or misbehave."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.errors import Invalid
from vna.web.multipart import MultipartReader, MultipartWriter, Part


def read(pieces, boundary="B"):
    """Return [(headers, content)] of a message given in pieces."""
    reader = MultipartReader(boundary)
    parts, ended = [], []
    for piece in pieces:
        for event in reader.feed(piece):
            match event:
                case dict() as headers:
                    assert len(parts) == len(ended)
                    parts.append((headers, bytearray()))
                case None:
                    ended.append(True)
                    assert len(parts) == len(ended)
                case content:
                    parts[-1][1].extend(content)
    reader.close()
    assert len(parts) == len(ended)
    return [(headers, bytes(content)) for headers, content in parts]


def cut(message, places):
    edges = [0, *sorted(place % (len(message) + 1) for place in places), len(message)]
    return [message[a:b] for a, b in pairwise(edges)]


TRICKY = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"-", b"--", b"--B", b"\r\n--Bx", b"--b", b"\0", b"data", b" "]
    ),
    max_size=12,
).map(b"".join)


def clean(content, newline):
    """Whether a sender may choose boundary B for this content."""
    return newline + b"--B" not in newline + content.replace(newline + b"--Bx", b"")


@settings(max_examples=300)
@given(
    contents=st.lists(TRICKY, min_size=1, max_size=4),
    newline=st.sampled_from([b"\r\n", b"\n"]),
    preamble=st.sampled_from([b"", b"preamble", b"--", b"a\r\nb"]),
    epilogue=st.sampled_from([b"", b"\r\n", b"\r\n--B\r\nnot a part"]),
    padding=st.sampled_from([b"", b" ", b"\t "]),
    places=st.lists(st.integers(0, 10_000), max_size=12),
)
def test_any_split_gives_the_same_parts(*, contents, newline, preamble, epilogue, padding, places):
    contents = [content for content in contents if clean(content, newline)]
    if not contents:
        contents = [b"x"]
    message = preamble + (newline if preamble else b"")
    for content in contents:
        message += (
            b"--B" + padding + newline + b"Content-Type: a/b" + newline * 2 + content + newline
        )
    message += b"--B--" + epilogue
    expected = [({"content-type": "a/b"}, content) for content in contents]
    assert read([message]) == expected
    assert read(cut(message, places)) == expected
    assert read([message[i : i + 1] for i in range(len(message))]) == expected


@settings(max_examples=300)
@given(
    message=st.one_of(
        st.binary(max_size=400),
        st.lists(
            st.sampled_from(
                [b"--B", b"\r\n", b"\n", b"--", b"A: b", b":", b"\r", b" ", b"x", b"\xff"]
            ),
            max_size=40,
        ).map(b"".join),
    ),
    places=st.lists(st.integers(0, 10_000), max_size=8),
)
def test_random_bytes_give_parts_or_invalid_however_they_are_cut(message, places):
    def outcome(pieces):
        try:
            return read(pieces)
        except Invalid as error:
            return str(error)

    assert outcome([message]) == outcome(cut(message, places))


def test_what_the_writer_writes_the_reader_reads():
    contents = [b"", b"one", b"\r\n--not-it\r\n" * 100]
    parts = [
        Part([("Content-Type", "x/y")], lambda content=content: iter([content]), len(content))
        for content in contents
    ]
    writer = MultipartWriter("x/y", "limit", parts)
    message = b"".join(writer.pieces())
    assert writer.length == len(message)
    assert [content for _, content in read([message], "limit")] == contents


def test_a_writer_does_not_know_the_length_when_a_part_does_not():
    assert MultipartWriter("x/y", "b", [Part([], lambda: iter([b"1"]), None)]).length is None


def test_a_part_without_headers_and_one_without_content():
    assert read([b"--B\r\n\r\nhello\r\n--B\r\nA: b\r\n\r\n--B--"]) == [
        ({}, b"hello"),
        ({"a": "b"}, b""),
    ]


def test_content_that_ends_in_carriage_return_survives_lf_only_lines():
    assert read([b"--B\n\nabc\r\n--B--\n"]) == [({}, b"abc\r")]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"--B\r\n\r\ncut", "ends inside part 1"),
        (b"--B\r\nA: b\r\n\r\nx\r\n--B", "ends inside part 1"),
        (b"nothing", "boundary does not occur"),
        (b"", "boundary does not occur"),
        (b"--B\r\nno header\r\n\r\nx\r\n--B--", "no header"),
        (b"--B\r\n" + b"A: b\r\n" * 5000, "exceed"),
        (b"--B\r\nA: " + b"b" * 20_000, "exceed"),
    ],
)
def test_malformed_messages_are_invalid(message, reason):
    with pytest.raises(Invalid, match=reason):
        read([message])


@pytest.mark.parametrize("size", [100, 7, 1])
def test_what_came_before_a_fault_is_told_first(size):
    message = b"--B\r\n\r\none\r\n--B\r\nno header\r\n\r\n"
    reader, events = MultipartReader("B"), []
    for at in range(0, len(message), size):
        events += reader.feed(message[at : at + size])
    begin, *content, end = events
    assert (begin, b"".join(content), end) == ({}, b"one", None)
    for further in (reader.close, lambda: reader.feed(b"more")):
        with pytest.raises(Invalid, match="part 2 has a line that is no header"):
            further()


@pytest.mark.parametrize("boundary", ["", "x" * 300, "böse"])
def test_unusable_boundaries_are_invalid(boundary):
    with pytest.raises(Invalid, match="boundary"):
        MultipartReader(boundary)


def test_memory_stays_bounded_while_a_large_part_passes():
    reader = MultipartReader("B")
    reader.feed(b"--B\r\n\r\n")
    for _ in range(200):
        reader.feed(b"\r\n--" * 16_384)
        assert reader.kept < 64
