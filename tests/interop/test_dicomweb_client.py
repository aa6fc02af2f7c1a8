"""dicomweb-client against the daemon and its two workers: what one stores the other serves."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from io import BytesIO

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import JPEGBaseline8Bit, JPEGLSLossless, RLELossless

pytestmark = pytest.mark.interop

ANY = (("application/dicom", "*"),)
STORED = [
    "pydicom/test_files/CT_small.dcm",
    "pydicom/test_files/MR_small_implicit.dcm",
    "pydicom/test_files/rtplan.dcm",
    "pydicom/test_files/waveform_ecg.dcm",
    "pydicom-data/emri_small_jpeg_ls_lossless.dcm",
    "pydicom/charset_files/chrH31.dcm",
    "pydicom-data/OBXXXX1A_rle_2frame.dcm",
    "pydicom/test_files/examples_ybr_color.dcm",
]
LEVELS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


@pytest.fixture(scope="module")
def client(daemon):
    return DICOMwebClient(daemon.dicomweb)


@pytest.fixture(scope="module")
def samples(corpus):
    return {(corpus / name).name: dcmread(corpus / name) for name in STORED}


@pytest.fixture(scope="module")
def stored(client, samples, query_files):
    """Store everything, a study with each request, several at once; return all data sets."""
    datasets = [*samples.values(), *(dcmread(path) for path in query_files)]
    studies = {}
    for ds in datasets:
        studies.setdefault(ds.StudyInstanceUID, []).append(ds)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(client.store_instances, studies.values()))
    for sent, answer in zip(studies.values(), answers, strict=True):
        assert "FailedSOPSequence" not in answer
        assert {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence} == {
            ds.SOPInstanceUID for ds in sent
        }
    return datasets


def names(ds):
    return tuple(ds[keyword].value for keyword in LEVELS)


def uids(answers, tag):
    return {answer[tag]["Value"][0] for answer in answers}


@pytest.mark.parametrize(
    ("filters", "keep"),
    [
        ({"PatientID": "98890234"}, lambda ds: ds.get("PatientID") == "98890234"),
        ({"PatientName": "doe^p*"}, lambda ds: ds.get("PatientName") == "Doe^Peter"),
        ({"PatientName": "*山田*"}, lambda ds: ds.get("PatientID") == "H31EXAMPLE"),
        (
            {"PatientName": "Doe*", "StudyDate": "20010101-20010101"},
            lambda ds: str(ds.get("PatientName")).startswith("Doe") and ds.StudyDate == "20010101",
        ),
        (
            {"ModalitiesInStudy": "CT", "PatientName": "Doe*"},
            lambda ds: ds.Modality == "CT" and str(ds.get("PatientName")).startswith("Doe"),
        ),
        ({"PatientID": "nobody"}, lambda ds: False),
    ],
)
def test_search_for_studies(client, stored, filters, keep):
    found = client.search_for_studies(search_filters=filters)
    assert uids(found, "0020000D") == {ds.StudyInstanceUID for ds in stored if keep(ds)}


def test_search_below_a_study_page_by_page(client, stored, query_files):
    doe = [ds for ds in stored if ds.get("PatientName") == "Doe^Peter"]
    series = client.search_for_series(search_filters={"PatientID": "98890234"})
    assert uids(series, "0020000E") == {ds.SeriesInstanceUID for ds in doe}
    for study in {ds.StudyInstanceUID for ds in doe}:
        expected = {ds.SOPInstanceUID for ds in doe if ds.StudyInstanceUID == study}
        found = client.search_for_instances(study, limit=2, get_remaining=True)
        assert uids(found, "00080018") == expected
        assert len(found) == len(expected)


def test_search_with_fields(client, stored):
    filters = {"SOPInstanceUID": stored[0].SOPInstanceUID}
    (found,) = client.search_for_instances(search_filters=filters, fields=["ImageType", "00280010"])
    assert found["00080008"]["Value"] == list(stored[0].ImageType)
    assert found["00280010"]["Value"] == [stored[0].Rows]


def test_instances_come_back_as_they_were(client, stored):
    with ThreadPoolExecutor(4) as pool:
        got = list(
            pool.map(lambda ds: client.retrieve_instance(*names(ds), media_types=ANY), stored)
        )
    for ds, back in zip(stored, got, strict=True):
        assert back == ds
        assert back.file_meta.TransferSyntaxUID == ds.file_meta.TransferSyntaxUID


def test_studies_and_series_come_back_whole(client, stored):
    for keyword, iterate in (
        ("StudyInstanceUID", lambda ds: client.iter_study(names(ds)[0], media_types=ANY)),
        ("SeriesInstanceUID", lambda ds: client.iter_series(*names(ds)[:2], media_types=ANY)),
    ):
        for uid in {ds[keyword].value for ds in stored}:
            expected = {ds.SOPInstanceUID: ds for ds in stored if ds[keyword].value == uid}
            back = {ds.SOPInstanceUID: ds for ds in iterate(next(iter(expected.values())))}
            assert back == expected


@pytest.mark.parametrize("name", [name.rsplit("/", 1)[1] for name in STORED])
def test_metadata_and_bulk_data_make_up_the_object(client, stored, samples, name):
    """DICOM JSON, its BulkDataURIs resolved, is the data set; compressed pixels come by frame."""
    ds = samples[name]
    metadata = client.retrieve_instance_metadata(*names(ds))
    compressed = ds.file_meta.TransferSyntaxUID.is_encapsulated

    def resolve(tag, vr, uri):
        if tag == "7FE00010" and compressed:
            return b""
        (value,) = client.retrieve_bulkdata(uri)
        return bytes(value)

    back = Dataset.from_json(metadata, resolve)
    expected = deepcopy(ds)
    if compressed:
        for one in (back, expected):
            del one.PixelData
    for one in (back, expected):
        one.pop("SpecificCharacterSet", None)  # JSON is in UTF-8
        one.pop("DataSetTrailingPadding", None)
    assert back.to_json_dict() == expected.to_json_dict()


@pytest.mark.parametrize(
    ("name", "media", "syntax"),
    [
        ("OBXXXX1A_rle_2frame.dcm", "image/dicom-rle", RLELossless),
        ("emri_small_jpeg_ls_lossless.dcm", "image/jls", JPEGLSLossless),
        ("examples_ybr_color.dcm", "image/jpeg", JPEGBaseline8Bit),
    ],
)
def test_compressed_frames(client, stored, samples, name, media, syntax):
    ds = samples[name]
    assert ds.file_meta.TransferSyntaxUID == syntax
    frames = list(generate_frames(BytesIO(ds.PixelData), number_of_frames=ds.NumberOfFrames))
    asked = list(range(len(frames), 0, -1))
    got = client.retrieve_instance_frames(*names(ds), asked, media_types=((media, syntax),))
    assert got == frames[::-1]


def test_a_native_frame(client, stored, samples):
    ds = samples["CT_small.dcm"]
    (frame,) = client.retrieve_instance_frames(*names(ds), [1])
    assert frame == ds.PixelData
