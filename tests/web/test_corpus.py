"""Every file of the corpus through STOW-RS, and back through WADO-RS, byte for byte."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import UID

from vna.types import Level, Query

STORED, FAILED, OTHER = "00081199", "00081198", "0008119A"


def objects_of(corpus):
    """Return the paths of the manifest."""
    lines = (corpus / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [line.split("\t")[0] for line in lines]


@pytest.fixture
async def taken(front, corpus):
    """Store the corpus, a request per file; return {url: path} and {path: reason}."""
    kept, refused = {}, {}  # the last file of a SOP Instance UID is the one that stays
    for path in objects_of(corpus):
        answer = await front.request(
            "POST",
            "/studies",
            data=io.BytesIO((corpus / path).read_bytes()),
            headers={"Content-Type": "application/dicom"},
        )
        module = answer.json()
        if STORED in module:
            assert answer.status in (200, 202)
            item = module[STORED]["Value"][0]
            kept[item["00081155"]["Value"][0]] = (item["00081190"]["Value"][0], path)
        else:
            assert answer.status == 409
            refused[path] = answer.headers["Warning"]
    return dict(kept.values()), refused


def bulk_uris(dataset):
    for tag, element in dataset.items():
        if "BulkDataURI" in element:
            yield tag, element["BulkDataURI"]
        if element["vr"] == "SQ":
            for item in element.get("Value", []):
                yield from bulk_uris(item or {})


@pytest.mark.timeout(300)
async def test_the_corpus_goes_in_and_comes_back(front, corpus, taken):
    kept, refused = taken
    assert len(kept) > 350
    for path, reason in refused.items():
        assert "299 vna" in reason, path
    stored = {match.sop_uid for match in front.archive.query(Query(Level.INSTANCE))}
    assert len(stored) == len(kept)
    wrong = []
    for url, path in kept.items():
        answer = await front.get(url, "application/dicom; transfer-syntax=*")
        file = (corpus / path).read_bytes()
        if answer.status != 200 or not (answer.body == file or answer.body.endswith(file)):
            wrong.append((path, answer.status))
    assert not wrong


@pytest.mark.timeout(300)
async def test_c45_every_bulk_data_uri_of_the_corpus_resolves(front, taken):
    for url, path in taken[0].items():
        answer = await front.get(f"{url}/metadata")
        assert answer.status == 200, (path, answer.body)
        (dataset,) = answer.json()
        for _, uri in bulk_uris(dataset):
            answer = await front.get(uri)
            assert answer.status == 200, (path, uri, answer.body)


@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of odd files
async def test_c45_frames_of_the_corpus_equal_those_of_pydicom(front, corpus, taken):
    compared = 0
    for url, path in taken[0].items():
        ds = pydicom.dcmread(corpus / path, force=True)
        wanted = frames_by_pydicom(ds)
        for number in sorted({1, 2, len(wanted)} & set(range(1, len(wanted) + 1))):
            ((_, frame),) = await front.parts(f"{url}/frames/{number}")
            assert frame == wanted[number - 1], (path, number)
            compared += 1
    assert compared > 300


def frames_by_pydicom(ds):
    """Return the frames as pydicom's parser cuts them; none where it has no rule for that."""
    syntax = UID(ds.file_meta.get("TransferSyntaxUID", ""))
    if "PixelData" not in ds or not syntax.is_transfer_syntax:
        return []
    count = int(ds.get("NumberOfFrames") or 1)
    if syntax.is_encapsulated:
        return list(generate_frames(ds.PixelData, number_of_frames=count))
    if not syntax.is_little_endian or ds.BitsAllocated < 8 or "422" in ds.PhotometricInterpretation:
        return []
    size = ds.Rows * ds.Columns * ds.SamplesPerPixel * ds.BitsAllocated // 8
    frames = [ds.PixelData[n * size : (n + 1) * size] for n in range(count)]
    return frames if len(frames[-1]) == size else []
