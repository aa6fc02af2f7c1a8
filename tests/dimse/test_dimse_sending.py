"""Sending for ourselves: what a receiver takes, what it does not, and when that is to be tried again."""

import threading

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage

from vna.dimse import send_objects
from vna.errors import Corrupt, Unavailable
from vna.types import Remote

CT = (CTImageStorage, [ExplicitVRLittleEndian])
STUDY = "1.2.3.1"


@pytest.fixture
def filled(node, store, instance):
    """An archive with three CT objects and one MR of a study."""
    classes = [CTImageStorage, CTImageStorage, MRImageStorage, CTImageStorage]
    objects = [instance(sop_class=each, PixelData=bytes(1 << 20)) for each in classes]
    assert store(node, *objects) == [0, 0, 0, 0]
    node.idle()
    return node


@pytest.fixture
def send(filled):
    def send(remote, stop=None):
        archive = filled.archive
        return filled.run(
            send_objects(
                archive, archive.objects(STUDY), remote, filled.settings, stop or threading.Event()
            )
        )

    return send


def test_what_is_accepted_arrives_byte_for_byte(filled, send, destination):
    there = destination("WS", [CT])
    assert send(there.remote) == 1, "the MR"
    expected = [
        filled.dataset(stored)
        for stored in filled.archive.objects(STUDY)
        if stored.sop_class == CTImageStorage
    ]
    assert there.data == expected
    assert there.peers == ["VNA"] * 3


def test_a_refused_instance_does_not_keep_others_back(send, destination):
    there = destination("WS", [CT, (MRImageStorage, [ExplicitVRLittleEndian])])
    there.status = {1: 0xC000, 2: 0xB000, 3: 0x0107, 4: 0}.__getitem__
    assert send(there.remote) == 1
    assert len(there.data) == 4


def test_a_receiver_without_resources_or_without_answer_is_tried_again(
    send, destination, free_port
):
    there = destination("WS", [CT])
    there.status = {1: 0, 2: 0xA700}.__getitem__
    with pytest.raises(Unavailable, match="WS answers A700"):
        send(there.remote)
    with pytest.raises(Unavailable, match="GONE at"):
        send(Remote("GONE", "127.0.0.1", free_port()))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Unavailable, match="we stop"):
        send(there.remote, stop)


def test_what_cannot_be_read_does_not_keep_others_back(filled, send, destination, monkeypatch):
    there = destination("WS", [CT])
    first, *_ = filled.archive.objects(STUDY)
    whole = filled.archive.dataset_runs

    async def runs(stored):
        async for run in whole(stored):
            yield run
            if stored.sop_uid == first.sop_uid:
                raise Corrupt("a chunk is damaged")

    monkeypatch.setattr(filled.archive, "dataset_runs", runs)
    assert send(there.remote) == 2
    assert len(there.data) == 2
