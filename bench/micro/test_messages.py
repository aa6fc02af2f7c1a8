"""What happens to each message: P-DATA-TF in both directions, command sets."""

from vna import _native
from vna.bench.templates import store_message
from vna.dimse.commands import decode

MAX_PDU = 131_072
READ = 262_144


def test_reassembly_of_a_c_store(benchmark, template):
    wire = bytes(store_message(template, 1, MAX_PDU).buffer)
    pieces = [wire[at : at + READ] for at in range(0, len(wire), READ)]
    deframer = _native.Deframer(MAX_PDU)

    def receive():
        return [event for piece in pieces for event in deframer.received(piece)]

    events = benchmark(receive)
    assert sum(len(data) for kind, _, data in events if kind > 1) == len(template.data)


def test_p_data_of_a_ct_slice(benchmark, template):
    parts = benchmark(_native.pdata, 1, template.data, False, True, MAX_PDU)
    assert sum(map(len, parts)) > len(template.data)


def test_decoding_a_command_set(benchmark, template):
    wire = bytes(store_message(template, 1, MAX_PDU).buffer)
    events = _native.Deframer(MAX_PDU).received(wire)
    command = next(bytes(data) for kind, _, data in events if kind == 1)
    assert benchmark(decode, command)
