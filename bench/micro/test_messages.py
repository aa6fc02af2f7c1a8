"""What happens to each message: P-DATA-TF in both directions, command sets."""

from vna import _native
from vna.bench.templates import store_message
from vna.dimse.commands import decode

MAX_PDU = 131_072
READ = 655_360


def test_reassembly_of_a_c_store(benchmark, template):
    wire = bytes(store_message(template, 1, MAX_PDU).buffer)
    pieces = [wire[at : at + READ] for at in range(0, len(wire), READ)]
    deframer, landing = _native.Deframer(MAX_PDU), _native.Landing()

    def receive():
        events = []
        for piece in pieces:
            landing.room()[: len(piece)] = piece
            events += deframer.received(landing, len(piece))
        return events

    events = benchmark(receive)
    assert sum(len(data) for kind, _, data in events if kind > 1) == len(template.data)


def test_p_data_of_a_ct_slice(benchmark, template):
    parts = benchmark(_native.pdata, 1, template.data, False, True, MAX_PDU)
    assert sum(map(len, parts)) > len(template.data)


def test_decoding_a_command_set(benchmark, template):
    wire = bytes(store_message(template, 1, MAX_PDU).buffer)[:READ]
    landing = _native.Landing()
    landing.room()[: len(wire)] = wire
    events = _native.Deframer(MAX_PDU).received(landing, len(wire))
    command = next(bytes(data) for kind, _, data in events if kind == 1)
    assert benchmark(decode, command)


def test_taking_a_stow_body_apart(benchmark, template):
    file = template.part10()
    body = b"--limit\r\nContent-Type: application/dicom\r\n\r\n%s\r\n--limit--\r\n" % file

    def taken_apart():
        reader = _native.Multipart(b"limit")
        return [
            event for at in range(0, len(body), READ) for event in reader.feed(body[at : at + READ])
        ]

    events = benchmark(taken_apart)
    assert b"".join(event for event in events[1:-1]) == file
