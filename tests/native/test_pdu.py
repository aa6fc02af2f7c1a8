"""The deframer through Python: its buffer, its events, and PDUs made by `pdata` and pynetdicom."""

import gc
import random

import pytest
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import P_DATA

from vna._native import Deframer, Landing, ProtocolError, message, pdata

Event = tuple[int, int, bytes]


def receive(deframer: Deframer, stream: bytes, capacity: int = 262_144) -> list[Event]:
    """Have `stream` received, `capacity` at a time; each time over what was received before."""
    landing = Landing()
    events = []
    while stream:
        count = min(capacity, len(stream))
        landing.room()[:count] = stream[:count]
        received = deframer.received(landing, count)
        landing.room()[:count] = bytes(count)
        events += [(kind, which, bytes(data)) for kind, which, data in received]
        stream = stream[count:]
    return events


def merged(events: list[Event]) -> list[Event]:
    """Put the parts of a data set together."""
    result: list[Event] = []
    for kind, context, data in events:
        joins = result and result[-1][:2] == (2, context)
        begun = result.pop()[2] if joins else b""
        result.append((kind, context, begun + data))
    return result


@pytest.mark.parametrize("capacity", [1, 7, 4096, 262_144, 400_000, 655_360])
def test_a_message_comes_back(capacity: int) -> None:
    command, data = bytes(range(100)), random.Random(1).randbytes(900_000)
    parts = pdata(5, command, True, True, 16_384) + pdata(5, data, False, True, 16_384)
    events = receive(Deframer(16_384), b"".join(parts), capacity)
    assert merged(events) == [(1, 5, command), (3, 5, data)]


def test_adjacent_fragments_are_one_event() -> None:
    stream = b"".join(pdata(1, b"c" * 10, True, True, 50) + pdata(1, b"d" * 500, False, True, 50))
    assert receive(Deframer(0), stream) == [(1, 1, b"c" * 10), (3, 1, b"d" * 500)]


def test_other_pdus_come_whole() -> None:
    release, abort = b"\x05\0\0\0\0\x04\0\0\0\0", b"\x07\0\0\0\0\x04\0\0\2\1"
    assert receive(Deframer(0), release + abort, 3) == [(0, 5, release), (0, 7, abort)]


def test_pynetdicom_reads_what_we_send() -> None:
    data = bytes(range(250))
    stream = b"".join(pdata(3, data, False, True, 106))
    received = b""
    while stream:
        length = 6 + int.from_bytes(stream[2:6], "big")
        pdu, stream = P_DATA_TF(), stream[length:] if (head := stream[:length]) else b""
        pdu.decode(head)
        for context, value in pdu.to_primitive().presentation_data_value_list:
            assert context == 3
            assert (value[0] == 2) == (not stream)
            received += value[1:]
    assert received == data


def test_we_read_what_pynetdicom_sends() -> None:
    primitive = P_DATA()
    primitive.presentation_data_value_list = [
        [1, b"\x03command!"],
        [1, b"\x00data"],
        [1, b"\x02!"],
    ]
    pdu = P_DATA_TF()
    pdu.from_primitive(primitive)
    assert receive(Deframer(0), pdu.encode()) == [(1, 1, b"command!"), (3, 1, b"data!")]


def test_data_are_not_copied_for_sending() -> None:
    data = bytearray(b"d" * 100)
    parts = pdata(1, data, False, False, 50)
    data[0:1] = b"X"
    assert bytes(parts[1])[:1] == b"X"
    assert len(parts) == 6


def test_a_whole_message_lends_long_pieces_and_fills_pdus() -> None:
    long = bytearray(b"d" * 50_000)
    parts = message(3, b"command!", [b"head", long, b"tail"], 16_384)
    long[0:1] = b"X"
    stream = b"".join(parts)
    events = receive(Deframer(0), stream)
    assert events == [(1, 3, b"command!"), (3, 3, b"headX" + b"d" * 49_999 + b"tail")]
    assert len(stream) == 12 + 8 + 4 * 12 + 50_008
    assert receive(Deframer(0), b"".join(message(3, b"c", None, 0))) == [(1, 3, b"c")]
    with pytest.raises(ValueError, match="no message fits"):
        message(3, b"c", [b""], 7)


def test_a_breach_stays() -> None:
    deframer = Deframer(100)
    with pytest.raises(ProtocolError, match="agreed are 100"):
        receive(deframer, b"\x04\0\0\0\1\0")
    with pytest.raises(ProtocolError):
        receive(deframer, b"\x05\0\0\0\0\x04\0\0\0\0")


def test_received_data_last_as_long_as_a_view_of_them() -> None:
    """Memory is used again, but never under a view, nor a slice of one."""
    views = []
    landing = Landing()
    for number in range(50):
        size = 40_000 + 95_000 * (number % 7)  # copied, or handed on with the memory
        stream = b"".join(
            pdata(1, b"c", True, True, 0) + pdata(1, bytes([number]) * size, False, True, 0)
        )
        landing.room()[: len(stream)] = stream
        ((_, _, _), (kind, _, data)) = Deframer(0).received(landing, len(stream))
        assert (kind, len(data)) == (3, size)
        assert data.readonly
        if number % 3:
            views.append((number, data[10:]))
        del data
    gc.collect()
    for number, view in views:
        assert bytes(view) == bytes([number]) * len(view)


def test_the_data_of_two_messages_may_land_at_once() -> None:
    """The end of one and the beginning of the next, between them a command; both are handed on."""
    data = [random.Random(seed).randbytes(250_000) for seed in (1, 2)]
    messages = [
        b"".join(pdata(3, b"c", True, True, 0) + pdata(3, part, False, True, 16_384))
        for part in data
    ]
    found = receive(Deframer(0), b"".join(messages), 640 << 10)
    assert found == [(1, 3, b"c"), (3, 3, data[0]), (1, 3, b"c"), (3, 3, data[1])]


def test_misuse_is_refused() -> None:
    landing = Landing()
    with pytest.raises(ValueError, match="more than there is room for"):
        Deframer(0).received(landing, len(landing.room()) + 1)
    with pytest.raises(ValueError, match="no message fits"):
        pdata(1, b"x", True, True, 7)
