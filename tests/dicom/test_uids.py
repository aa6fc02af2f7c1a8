import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from pynetdicom import sop_class

from vna.dicom.sop_classes import CURRENT, NON_PATIENT, RETIRED
from vna.dicom.uids import (
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
    is_uid,
    transfer_syntax,
    uid_name,
)

PYDICOM = dict(UID_dictionary)
NOT_STORED = {  # named "Storage" and no objects
    "1.2.840.10008.1.3.10",  # the DICOMDIR
    "1.2.840.10008.1.20.1",  # storage commitment
    "1.2.840.10008.1.20.2",
}


def test_every_transfer_syntax_of_pydicom_is_known_by_the_same_name():
    theirs = {uid: row[0] for uid, row in PYDICOM.items() if row[1] == "Transfer Syntax"}
    assert theirs.items() <= {uid: syntax.name for uid, syntax in TRANSFER_SYNTAXES.items()}.items()
    newest = {f"1.2.840.10008.1.2.{n}" for n in ("4.110", "4.111", "4.112", "8.1")}
    assert newest <= set(TRANSFER_SYNTAXES)


def test_properties_agree_with_pydicom():
    odd = {"1.2.840.10008.1.20", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
    odd |= {"1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.204"}
    odd |= {f"1.2.840.10008.1.2.{n}" for n in ("6.1", "6.2", "7.1", "7.2", "7.3")}
    for uid, syntax in TRANSFER_SYNTAXES.items():
        theirs = UID(uid)
        if uid not in PYDICOM or uid in odd:
            continue
        assert syntax.explicit is not theirs.is_implicit_VR, uid
        assert syntax.big_endian is not theirs.is_little_endian, uid
        assert syntax.deflated is theirs.is_deflated, uid
        assert syntax.encapsulated is theirs.is_encapsulated, uid
        assert syntax.retired is theirs.is_retired, uid


@pytest.mark.parametrize(
    ("uid", "media_type", "lossy"),
    [
        ("1.2.840.10008.1.2", "application/octet-stream", False),
        ("1.2.840.10008.1.2.4.50", "image/jpeg", True),
        ("1.2.840.10008.1.2.4.70", "image/jpeg", False),
        ("1.2.840.10008.1.2.4.80", "image/jls", False),
        ("1.2.840.10008.1.2.4.91", "image/jp2", True),
        ("1.2.840.10008.1.2.4.92", "image/jpx", False),
        ("1.2.840.10008.1.2.4.110", "image/jxl", False),
        ("1.2.840.10008.1.2.4.202", "image/jphc", False),
        ("1.2.840.10008.1.2.5", "image/dicom-rle", False),
        ("1.2.840.10008.1.2.4.101.1", "video/mpeg", True),
        ("1.2.840.10008.1.2.4.103", "video/mp4", True),
        ("1.2.840.10008.1.2.4.107", "video/H265", True),
    ],
)
def test_media_types(uid, media_type, lossy):
    syntax = TRANSFER_SYNTAXES[uid]
    assert (syntax.media_type, syntax.lossy) == (media_type, lossy)


def test_an_unknown_transfer_syntax_is_none():
    assert transfer_syntax("1.2.3") is None
    assert uid_name("1.2.3") == "1.2.3"


def test_no_storage_class_of_pydicom_is_missing():
    ours = {**STORAGE_CLASSES, **NON_PATIENT}
    for uid, (name, kind, _, retired, _) in PYDICOM.items():
        if kind == "SOP Class" and "Storage" in name and uid not in NOT_STORED:
            assert ours[uid] == name.removesuffix(" SOP Class")
            assert (uid in RETIRED) is (retired == "Retired")


def test_no_storage_class_of_pynetdicom_is_missing():
    assert set(sop_class._STORAGE_CLASSES.values()) <= set(STORAGE_CLASSES)
    assert set(sop_class._NON_PATIENT_OBJECT_CLASSES.values()) == set(NON_PATIENT)


def test_the_three_tables_share_nothing():
    assert len(CURRENT) + len(RETIRED) + len(NON_PATIENT) == len({**STORAGE_CLASSES, **NON_PATIENT})
    assert all(is_uid(uid) and UID(uid).is_valid for uid in {**STORAGE_CLASSES, **NON_PATIENT})


@pytest.mark.parametrize("text", ["1.2.840", "1", "0.0", "1.02.3", "abc", "1.2.3_4", "9" * 64])
def test_lenient_uids(text):
    assert is_uid(text)


@pytest.mark.parametrize(
    "text", ["", "9" * 65, "1.2 3", "1.2\0", "1.2\\3", "1/2", "1.2\n", "\t", "1.2é", "\x7f"]
)
def test_unusable_uids(text):
    assert not is_uid(text)
