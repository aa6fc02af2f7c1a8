"""C-MOVE and C-GET of what is on a far tier that is slow, or away."""

import asyncio
import io
import random
import time

import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import build_role
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.testing.faultproxy import Hang, Slow
from vna.testing.objectstore import bucket_tier
from vna.types import Remote

CT = (CTImageStorage, [ExplicitVRLittleEndian])
STUDY, COLD, HOT = "1.2.3.1", "1.2.3.2", "1.2.3.3"
WAIT_S = 30
SLOW_S = 3.5
PATIENCE_S = 2


@pytest.fixture
def objects(instance):
    """Two objects of a series that is going to be far away, and one of another."""

    def one(number, series):
        pixels = random.Random(number).randbytes(8192)
        return instance(SeriesInstanceUID=series, Rows=64, Columns=64, PixelData=pixels)

    return [one(1, COLD), one(2, COLD), one(3, HOT)]


@pytest.fixture
def far(tmp_path, proxied, objects):
    """Settings of an archive that has a series in a bucket alone."""
    settings = ArchiveSettings(
        data=tmp_path / "far",
        threads=2,
        cache_bytes=1 << 20,
        tiers=(TierSettings("hot"), bucket_tier(proxied, tmp_path, timeout_s=WAIT_S)),
    )
    archive = Archive.open(settings)
    for each in objects:
        file = io.BytesIO()
        pydicom.dcmwrite(file, each, enforce_file_format=True)
        asyncio.run(archive.store(file.getvalue(), source="test"))
    archive.move("cold", None, COLD)
    archive.close()
    archive = Archive.open(settings)
    assert archive.compact(1).packs
    archive.close()
    return settings


def series_of(identifier, uid):
    return identifier("SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID=uid)


@pytest.mark.parametrize("verb", ["move", "get"])
def test_a_tier_that_is_away_fails_what_is_on_it_alone(
    verb, start_node, far, proxy, objects, destination, move, get, identifier
):
    there = destination("THERE", [CT])
    node = start_node(far, remotes=(there.remote,))

    def retrieved(query):
        if verb == "get":
            answers, received = get(node, "study", query, CT)
            return answers[-1], len(received)
        before = len(there.data)
        answers = move(node, "study", "THERE", query)
        return answers[-1], len(there.data) - before

    proxy.refuse()
    (answer, failed), sent = retrieved(identifier("STUDY", StudyInstanceUID=STUDY))
    assert (answer.Status, sent) == (0xB000, 1)
    assert (answer.NumberOfCompletedSuboperations, answer.NumberOfFailedSuboperations) == (1, 2)
    assert set(failed.FailedSOPInstanceUIDList) == {each.SOPInstanceUID for each in objects[:2]}
    assert answer.ErrorComment.startswith("tier cold is away")
    (answer, failed), sent = retrieved(series_of(identifier, COLD))
    assert (answer.Status, sent) == (0xA702, 0)
    assert len(failed.FailedSOPInstanceUIDList) == 2
    proxy.heal()
    deadline = time.monotonic() + WAIT_S
    while answer.Status:
        assert time.monotonic() < deadline
        (answer, failed), sent = retrieved(series_of(identifier, COLD))
    assert (sent, failed) == (2, None)


@pytest.mark.parametrize("verb", ["move", "get"])
def test_who_waits_for_a_far_tier_hears_that_it_goes_on(
    verb, start_node, far, proxy, destination, move, get, identifier
):
    there = destination("THERE", [CT])
    node = start_node(far, remotes=(there.remote,))
    proxy.fail(Slow(after_s=SLOW_S), method="GET")
    query = series_of(identifier, COLD)
    answers = (
        get(node, "study", query, CT)[0] if verb == "get" else move(node, "study", "THERE", query)
    )
    waiting = [answer for answer, _ in answers if answer.get("NumberOfCompletedSuboperations") == 0]
    assert len(waiting) >= 3
    assert {answer.Status for answer in waiting} == {0xFF00}
    assert {answer.NumberOfRemainingSuboperations for answer in waiting} == {2}
    assert answers[-1][0].Status == 0


def test_dcmtk_with_little_patience_gets_what_is_far_away(
    start_node, far, proxy, objects, tool, identifier, tmp_path, free_port
):
    port = free_port()
    node = start_node(far, remotes=(Remote("MOVESCU", "127.0.0.1", port),))
    keys = ["-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={STUDY}"]
    keys += ["-k", f"SeriesInstanceUID={COLD}", "127.0.0.1", node.port]
    for name, command in {
        "moved": ["movescu", "-aet", "MOVESCU", "-aem", "MOVESCU", "+P", port],
        "got": ["getscu"],
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        node.archive.drop_cache()
        proxy.fail(Slow(after_s=SLOW_S), method="GET")
        tool(*command, "-td", PATIENCE_S, "-S", "-aec", "VNA", "-od", folder, *keys)
        arrived = {pydicom.dcmread(path).SOPInstanceUID for path in folder.iterdir()}
        assert arrived == {each.SOPInstanceUID for each in objects[:2]}


def test_a_cancel_in_the_middle_of_a_wait(start_node, far, proxy, associate, identifier):
    node = start_node(far)
    proxy.fail(Hang(), method="GET", times=None)
    model = StudyRootQueryRetrieveInformationModelGet
    role = build_role(CTImageStorage, scp_role=True)
    association = associate(node, model, CT, ext_neg=[role])
    statuses = []
    for answer, _ in association.send_c_get(series_of(identifier, COLD), model, msg_id=7):
        statuses.append(answer.Status)
        if answer.Status == 0xFF00:
            association.send_c_cancel(7, query_model=model)
    assert statuses[0] == 0xFF00
    assert statuses[-1] == 0xFE00
    assert answer.NumberOfRemainingSuboperations == 2
    proxy.heal()
    association.release()
