import os
import zlib
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vna.dicom import attributes as a
from vna.dicom.scan import ObjectScan, header_json, inflated
from vna.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN, MEDIA_STORAGE_DIRECTORY, is_uid
from vna.errors import Invalid

CORPUS = Path(os.environ.get("VNA_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))

UIDS = {0x0008_0016: "1.2.840.10008.5.1.4.1.1.2", 0x0008_0018: "1.2.3.4"}
UIDS |= {0x0020_000D: "1.2.3", 0x0020_000E: "1.2.3.1"}


def element(tag, vr, value):
    value = value.encode() + b"\0" * (len(value) % 2)
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    return head + vr.encode() + len(value).to_bytes(2, "little") + value


def dataset(**changed):
    """Return a minimal data set; `changed` gives other UIDs by tag ("t0020000D"), None for none."""
    uids = UIDS | {int(name[1:], 16): uid for name, uid in changed.items()}
    return b"".join(
        element(tag, "UI", uid) if tag != 0x0010_0020 else element(tag, "LO", uid)
        for tag, uid in sorted({**uids, 0x0010_0020: "P1"}.items())
        if uid is not None
    )


def scanned(data, form="dataset", transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN):
    scan = ObjectScan(form, transfer_syntax)
    scan.feed(data)
    return scan.finish()


def identified(data, form="dataset", transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN):
    found = scanned(data, form, transfer_syntax)
    if found.refusal:
        raise Invalid(found.refusal)
    return found


def test_an_object_is_identified_and_dealt_out():
    found = identified(dataset())
    assert (found.sop_class, found.sop_uid) == (UIDS[0x0008_0016], "1.2.3.4")
    assert (found.study_uid, found.series_uid) == ("1.2.3", "1.2.3.1")
    assert found.patient_key == "\0P1"
    assert found.patient == {a.PATIENT_ID: ["P1"]}
    assert found.study == {a.STUDY_INSTANCE_UID: ["1.2.3"]}
    assert found.instance[a.SOP_INSTANCE_UID] == ["1.2.3.4"]
    assert (found.header, found.length, found.problem) == (dataset(), len(dataset()), "")


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("t00080016", r"^\(0008,0016\) SOP Class UID is missing$"),
        ("t00080018", r"^\(0008,0018\) SOP Instance UID is missing$"),
        ("t0020000D", r"^\(0020,000D\) Study Instance UID is missing$"),
        ("t0020000E", r"^\(0020,000E\) Series Instance UID is missing$"),
    ],
)
def test_a_missing_uid_is_named(tag, message):
    for absent in (None, "", "  "):
        with pytest.raises(Invalid, match=message):
            identified(dataset(**{tag: absent}))


@pytest.mark.parametrize("uid", ["1.2 3", "1/2", "9" * 65, "1.2\n"])
def test_an_unusable_uid_is_named(uid):
    with pytest.raises(Invalid, match=r"\(0020,000D\) Study Instance UID .* is not a UID"):
        identified(dataset(t0020000D=uid))


def test_odd_uids_of_real_objects_are_taken():
    assert identified(dataset(t0020000D="1.02.abc ")).study_uid == "1.02.abc"


def test_where_reading_stopped_is_told_with_what_is_missing():
    broken = dataset()[: -len(element(0x0020_000E, "UI", "1.2.3.1"))] + b"\x20\0\x0e\0UI\xff\x00"
    with pytest.raises(Invalid, match=r"\(0020,000E\) .* is missing \(reading stopped .+\)"):
        identified(broken)


def test_an_object_broken_further_on_is_whole_and_has_a_problem():
    data = dataset() + b"\x28\0\x10\0US\xff\x7f"
    found = identified(data)
    assert found.problem
    assert found.header == data


def test_what_is_known_of_an_object_that_cannot_be_filed_is_told():
    found = scanned(dataset(t0020000D=None))
    assert (found.sop_uid, found.study_uid) == ("1.2.3.4", "")
    assert found.refusal
    assert found.patient == {a.PATIENT_ID: ["P1"]}


def test_what_is_not_dicom_is_refused():
    with pytest.raises(Invalid, match=r".+"):
        identified(b"%PDF-1.7 " + bytes(range(256)) * 8, "part10", None)


def test_a_dicomdir_is_named_as_one():
    path = CORPUS / "dcm_qa_ct/In/Philips/S21610/S3010/DIRFILE"
    assert pydicom.dcmread(path).file_meta.MediaStorageSOPClassUID == MEDIA_STORAGE_DIRECTORY
    with pytest.raises(Invalid, match="DICOMDIR"):
        identified(path.read_bytes(), "part10", None)


@given(st.binary(max_size=300), st.sampled_from(["dataset", "part10"]))
def test_any_bytes_are_scanned_or_refused(data, form):
    try:
        found = identified(data, form, EXPLICIT_VR_LITTLE_ENDIAN if form == "dataset" else None)
    except Invalid as refused:
        assert str(refused)  # noqa: PT017 either outcome is right, a refusal has to say why
    else:
        assert is_uid(found.study_uid)


@settings(max_examples=30)
@given(st.integers(0, 3 << 20), st.integers(0, 9), st.integers(1 << 12, 1 << 20))
def test_inflating_gives_the_whole_in_bounded_pieces(size, level, cut):
    data = bytes(range(251)) * (size // 251 + 1)
    deflater = zlib.compressobj(level, wbits=-15)
    deflated = deflater.compress(data) + deflater.flush() + b"\0"
    arriving = [deflated[at : at + cut] for at in range(0, len(deflated), cut)]
    pieces = list(inflated(arriving, len(data)))
    assert max(map(len, pieces)) <= 1 << 20
    assert b"".join(pieces) == data
    with pytest.raises(ValueError, match="more than"):
        list(inflated(arriving, len(data) - 1))
    with pytest.raises(ValueError, match="cut short"):
        list(inflated([deflated[: len(deflated) // 2]], len(data)))


def test_what_is_not_deflated_is_named():
    with pytest.raises(ValueError, match=r".+"):
        list(inflated([b"\x00\x01\x02"], 100))


def corpus_files():
    assert CORPUS.is_dir(), f"no corpus at {CORPUS}: set VNA_CORPUS"
    rows = (CORPUS / "MANIFEST.tsv").read_text().splitlines()[1:]
    sizes = ((row.split("\t")[0], int(row.split("\t")[8])) for row in rows)
    return [CORPUS / path for path, size in sizes if size < 4_000_000]


def test_corpus_identity_equals_what_pydicom_reads():
    """Every object that pydicom can name is named alike; every refusal says what is wrong."""
    outcome = Counter()
    for path in corpus_files():
        data = path.read_bytes()
        try:
            found = identified(data, "part10", None)
        except Invalid as refused:
            outcome["refused"] += 1
            assert str(refused), path  # noqa: PT017 the same file may be taken or refused
            continue
        outcome["taken"] += 1
        try:
            theirs = pydicom.dcmread(path, force=True, stop_before_pixels=True)
            uids = [theirs[tag].value for tag in UIDS]
        except Exception:  # noqa: BLE001 what pydicom cannot read is no measure
            outcome["not read by pydicom"] += 1
            continue
        ours = [found.sop_class, found.sop_uid, found.study_uid, found.series_uid]
        assert ours == [str(uid).strip(" \0") for uid in uids], path
        holes = sum(hole.length for hole in found.holes)
        assert len(found.header) + holes == len(data), path
        json = header_json(found.header, found.prefix, found.transfer_syntax, found.holes, "b")
        assert json.startswith(b"{"), path
    assert outcome["taken"] > 400
    assert outcome["not read by pydicom"] < 5
