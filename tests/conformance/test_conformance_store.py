"""Conformance lines 7 and 13 to 17: an object goes in by C-STORE and STOW-RS alike."""

import errno
import os
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.pdu_primitives import A_ASSOCIATE

from vna.dicom.sop_classes import NON_PATIENT
from vna.dicom.uids import STORAGE_CLASSES, TRANSFER_SYNTAXES
from vna.dimse.association import Association
from vna.index import Index
from vna.storage.tiers import directory

STUDY = "/studies/1.2.3"
EXPLICIT = [str(ExplicitVRLittleEndian)]
MOST_CONTEXTS = 128


def test_c13_success_leaves_once_the_object_is_durable_and_findable(
    site: Any, sample: Callable[..., Path], identifier: Callable[..., Any], monkeypatch: Any
) -> None:
    order: list[str] = []

    def noted(what: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **named: Any) -> Any:
            if what == "answered":  # noted on its way out; the others once they are done
                order.append(what)
                return act(*args, **named)
            done = act(*args, **named)
            order.append(what)
            return done

        return noting

    synced = noted("durable", directory._File._end_sync)
    monkeypatch.setattr(directory._File, "_end_sync", synced)
    monkeypatch.setattr(Index, "apply", noted("findable", Index.apply))
    monkeypatch.setattr(Association, "answer", noted("answered", Association.answer))
    (answer,) = site.c_store(sample())
    assert answer.Status == 0
    assert order == ["durable", "findable", "answered"]
    _, found = site.c_find(identifier("STUDY", StudyInstanceUID="1.2.3"))
    assert len(found) == 1
    assert len(site.search("/studies", StudyInstanceUID="1.2.3").json()) == 1


@pytest.mark.parametrize("door", ["C-STORE", "STOW-RS"])
def test_c13_what_the_disk_does_not_keep_is_refused_and_invisible(
    site: Any, sample: Callable[..., Path], monkeypatch: Any, door: str
) -> None:
    def fail(_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    assert site.stow(sample()).status == 200
    monkeypatch.setattr(directory._File, "_end_sync", fail)
    for failures in ("00081198", "0008119A"):  # the second is refused before its UIDs are read
        if door == "C-STORE":
            assert [answer.Status for answer in site.c_store(sample())] == [0xA700]
        else:
            answer = site.stow(sample())
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            (failed,) = answer.json()[failures]["Value"]
            assert failed["00081197"]["Value"] == [0xA700]
    listed = site.search("/instances").json()
    assert [one["00080018"]["Value"] for one in listed] == [["1.2.3.1.1"]]
    assert len(site.parts(STUDY)) == 1


def test_c07_a_large_object_cut_short_leaves_nothing_in_the_packs(
    start_site: Callable[..., Any], data_set: Callable[..., bytes]
) -> None:
    from vna._native import pdata
    from vna.dimse import commands
    from vna.dimse.commands import Command, CommandField

    site = start_site(archive={"stream_threshold_bytes": 1 << 16})
    context = (CTImageStorage, EXPLICIT)
    association = site.associate(context)
    pixels = os.urandom(8 << 18)  # which zstd does not make shorter
    frames = {"Rows": 512, "Columns": 256, "NumberOfFrames": 8}
    data = data_set(1, ExplicitVRLittleEndian, PixelData=pixels, **frames)
    command = Command(
        field=CommandField.C_STORE,
        message_id=1,
        affected_sop_class=CTImageStorage,
        affected_sop_uid="1.2.3.1.1",
        priority=0,
        data_set_type=1,
    )
    number = association.accepted_contexts[0].context_id
    store = site.archive._store
    out = pdata(number, commands.encode(command), command=True, last=True, max_pdu_length=0)
    out += pdata(number, data[:-2], command=False, last=False, max_pdu_length=16384)
    wire: socket.socket = association.dul.socket.socket
    wire.sendall(b"".join(out))
    while not any(pack.size > len(data) // 4 for pack in store.packs()):
        site.run(_tick())  # until the pixel data is on its way to a pack
    association.abort()
    site.idle()
    assert site.instances == 0
    assert sum(pack.size for pack in store.packs()) < 1 << 16
    assert site.archive.check().damage == []


async def _tick() -> None:
    import asyncio

    await asyncio.sleep(0.005)


def test_c15_every_storage_sop_class_is_taken_and_no_other_of_the_standard(site: Any) -> None:
    classes = [*STORAGE_CLASSES, *NON_PATIENT]
    results: dict[str, int] = {}
    for at in range(0, len(classes), MOST_CONTEXTS):
        asked = [(uid, EXPLICIT) for uid in classes[at : at + MOST_CONTEXTS]]
        association = site.associate(*asked)
        answer: A_ASSOCIATE = association.acceptor.primitive
        by_id = {
            context.context_id: context.abstract_syntax
            for context in association.requestor.requested_contexts
        }
        for context in answer.presentation_context_definition_results_list:
            results[by_id[context.context_id]] = context.result
        if association.is_established:
            association.release()
    assert results == dict.fromkeys(STORAGE_CLASSES, 0) | dict.fromkeys(NON_PATIENT, 3)


@pytest.mark.parametrize("door", ["C-STORE", "STOW-RS"])
def test_c15_a_private_sop_class_is_stored_found_and_retrieved(
    site: Any, sample: Callable[..., Path], door: str
) -> None:
    file = sample(SOPClassUID="1.3.12.2.1107.5.9.1")
    if door == "C-STORE":
        assert [answer.Status for answer in site.c_store(file)] == [0]
    else:
        assert site.stow(file).status == 200
    found = site.search("/instances", SOPClassUID="1.3.12.2.1107.5.9.1").json()
    assert [one["00080018"]["Value"] for one in found] == [["1.2.3.1.1"]]
    assert len(site.parts(STUDY)) == 1


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_c16_every_transfer_syntax_of_the_standard_comes_back_as_it_went_in(
    site: Any,
    sample: Callable[..., Path],
    data_set: Callable[..., bytes],
    data_of: Callable[[bytes], bytes],
    identifier: Callable[..., Any],
) -> None:
    sent: dict[str, tuple[str, bytes]] = {}
    files = []
    for number, (uid, syntax) in enumerate(TRANSFER_SYNTAXES.items(), 1):
        data = data_set(number, uid)
        if syntax.encapsulated:
            ds = pydicom.dcmread(sample(InstanceNumber=number, SOPInstanceUID=f"1.2.3.1.{number}"))
            ds.PixelData = encapsulate([b"\xff\xd8 one of %d" % number, b"and another"])
            ds.NumberOfFrames = 2
            ds["PixelData"].VR = "OB"
            ds["PixelData"].is_undefined_length = True
            data = _written(ds)
        if syntax.deflated:
            squeezed = zlib.compressobj(wbits=-15)
            data = squeezed.compress(data) + squeezed.flush()
            data += b"\0" * (len(data) % 2)
        sent[f"1.2.3.1.{number}"] = uid, data
        files.append(sample(uid, data, SOPInstanceUID=f"1.2.3.1.{number}"))
    assert {answer.Status for answer in site.c_store(*files)} == {0}
    assert site.instances == len(TRANSFER_SYNTAXES)
    contexts = [(CTImageStorage, [uid]) for uid in TRANSFER_SYNTAXES]
    answers, got = site.c_get(identifier("STUDY", StudyInstanceUID="1.2.3"), *contexts)
    assert (answers[-1].Status, answers[-1].NumberOfCompletedSuboperations) == (0, len(sent))
    assert got == {sop_uid: data for sop_uid, (_, data) in sent.items()}
    by_wado = [data_of(part) for part in site.parts(STUDY)]
    assert by_wado == [data for _, data in sent.values()]
    listed = site.search("/instances", includefield="AvailableTransferSyntaxUID").json()
    assert [one["00083002"]["Value"][0] for one in listed] == [uid for uid, _ in sent.values()]


def test_c16_a_transfer_syntax_that_nobody_knows_is_kept(
    start_site: Callable[..., Any], sample: Callable[..., Path], data_of: Callable[[bytes], bytes]
) -> None:
    files = [sample("1.2.3.4.5"), sample("1.2.3.4.5")]
    site = start_site(dimse={"extra_transfer_syntaxes": ("1.2.3.4.5",)})
    assert [answer.Status for answer in site.c_store(files[0])] == [0]
    assert site.stow(files[1]).status == 200
    assert [data_of(part) for part in site.parts(STUDY)] == [
        data_of(file.read_bytes()) for file in files
    ]
    kept = site.get(
        f"{STUDY}/series/1.2.3.1/instances/1.2.3.1.2", "application/dicom; transfer-syntax=*"
    )
    assert kept.headers["Content-Type"] == "application/dicom; transfer-syntax=1.2.3.4.5"


def _written(ds: pydicom.Dataset) -> bytes:
    from pydicom.filewriter import write_dataset

    out = pydicom.filebase.DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, True
    write_dataset(out, ds)
    return out.getvalue()


@pytest.mark.parametrize(
    ("policy", "status", "code", "kept"),
    [("replace", 0, 200, 1), ("keep", 0, 200, 0), ("reject", 0xA900, 409, 0)],
)
@pytest.mark.parametrize("first", ["C-STORE", "STOW-RS"])
def test_c17_the_duplicate_policy_is_one_for_both_doors(
    start_site: Callable[..., Any],
    sample: Callable[..., Path],
    data_of: Callable[[bytes], bytes],
    policy: str,
    status: int,
    code: int,
    kept: int,
    first: str,
) -> None:
    site = start_site(archive={"duplicates": policy})
    files = [sample(SOPInstanceUID="1.2.3.1.1"), sample(SOPInstanceUID="1.2.3.1.1", Rows=8)]
    for again in (files[0], files[0]):  # the same bytes, whichever door they come to
        assert [answer.Status for answer in site.c_store(again)] == [0]
        assert site.stow(again).status == 200
    if first == "C-STORE":
        assert [answer.Status for answer in site.c_store(files[1])] == [status]
    else:
        assert site.stow(files[1]).status == code
    assert site.instances == 1
    (part,) = site.parts(STUDY)
    assert data_of(part) == data_of(files[kept].read_bytes())
    (stored,) = site.archive.objects("1.2.3")
    with site.archive._index.read() as reader:
        older = [version.digest for version in reader.instance(stored.sop_uid).older]
    assert len(older) == (1 if policy == "replace" else 0)


@pytest.mark.parametrize(
    ("missing", "named"),
    [("StudyInstanceUID", "0020,000D"), ("SeriesInstanceUID", "0020,000E")],
)
def test_c14_an_object_that_cannot_be_filed_is_refused_and_the_element_named(
    site: Any, sample: Callable[..., Path], missing: str, named: str
) -> None:
    file = sample(**{missing: None})
    (answer,) = site.c_store(file)
    assert answer.Status == 0xC000
    assert named in answer.ErrorComment
    refused = site.stow(file)
    assert refused.status == 409
    assert named in refused.headers["Warning"]
    (reason,) = refused.json()["00081198"]["Value"]
    assert reason["00081197"]["Value"] == [0xC000]
    assert site.instances == 0


def test_c14_a_broken_data_set_is_kept_with_the_same_warning_by_both_doors(
    site: Any,
    sample: Callable[..., Path],
    data_set: Callable[..., bytes],
    data_of: Callable[[bytes], bytes],
) -> None:
    broken = [data_set(number, ExplicitVRLittleEndian)[:-5] for number in (1, 2)]
    files = [sample(data=data, SOPInstanceUID=f"1.2.3.1.{n}") for n, data in enumerate(broken, 1)]
    (answer,) = site.c_store(files[0])
    assert answer.Status == 0xB007
    assert answer.ErrorComment
    stowed = site.stow(files[1])
    assert stowed.status == 202
    (item,) = stowed.json()["00081199"]["Value"]
    assert item["00081196"]["Value"] == [0xB007]
    assert [data_of(part) for part in site.parts(STUDY)] == broken
