"""QIDO-RS (PS3.18 10.6) over a real socket and archive."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from pydicom.dataset import Dataset

from vna.archive import glances
from vna.archive.offload import Offload
from vna.dicom.paths import parse_path
from vna.types import Key, Level, Query
from vna.web.routes import qido

STUDY_TAGS = [
    "00080020",
    "00080030",
    "00080050",
    "00080056",
    "00080061",
    "00080090",
    "00081190",
    "00100010",
    "00100020",
    "00100030",
    "00100040",
    "0020000D",
    "00200010",
    "00201206",
    "00201208",
]
SERIES_TAGS = ["00080060", "00081190", "0020000E", "00200011", "00201209"]
INSTANCE_TAGS = [
    "00080016",
    "00080018",
    "00080056",
    "00081190",
    "00200013",
    "00280010",
    "00280011",
    "00280100",
]


@pytest.fixture
async def filled(front, ct):
    """Two studies: 1.2.3 with a CT series of 2 and an MR series of 1, 1.2.4 with one instance."""
    files = [
        ct("1.2.3.1.1", RequestAttributesSequence=[request("SPS1")]),
        ct("1.2.3.1.2", InstanceNumber=2, RequestAttributesSequence=[request("SPS1")]),
        ct("1.2.3.2.1", series="1.2.3.2", Modality="MR", SeriesNumber=2, SeriesDescription="T2"),
        ct("1.2.4.1.1", "1.2.4", "1.2.4.1", PatientID="P2", PatientName="Doe^Jane", StudyDate="20250505",
           AccessionNumber="A2", StudyDescription="Head, plain"),
    ]  # fmt: skip
    assert (await front.stow(files)).status == 200
    return front


def request(step):
    item = Dataset()
    item.ScheduledProcedureStepID = step
    item.RequestedProcedureID = f"R{step}"
    return item


def uids(answers, tag="0020000D"):
    return [answer[tag]["Value"][0] for answer in answers]


async def test_c39_no_match_is_200_with_an_empty_list(filled):
    response = await filled.get("/studies?PatientID=nobody")
    assert response.status == 200
    assert response.body == b"[]"


async def test_c39_no_match_is_204_by_a_switch_and_in_xml(serving):
    front = await serving(compat_204=True)
    response = await front.get("/studies?PatientID=nobody")
    assert (response.status, response.body) == (204, b"")
    response = await front.get("/studies", 'multipart/related; type="application/dicom+xml"')
    assert response.status == 204


async def test_c40_studies_carry_the_attributes_of_the_table(filled):
    first, second = await filled.json("/studies")
    assert set(STUDY_TAGS) <= set(first)
    assert first["00080061"]["Value"] == ["CT", "MR"]
    assert first["00201206"]["Value"] == [2]
    assert first["00201208"]["Value"] == [3]
    assert first["00100010"]["Value"] == [{"Alphabetic": "Müller^Jörg"}]
    assert first["00081190"]["Value"] == [f"{filled.url}/studies/1.2.3"]
    assert first["00080056"]["Value"] == ["ONLINE"]
    assert second["0020000D"]["Value"] == ["1.2.4"]


async def test_c40_required_attributes_without_value_are_there_and_empty(front, ct):
    await front.stow([ct(StudyID=None, ReferringPhysicianName=None)])
    (study,) = await front.json("/studies")
    assert study["00200010"] == {"vr": "SH"}
    assert study["00080090"] == {"vr": "PN"}


async def test_c40_every_resource_path(filled):
    series = await filled.json("/studies/1.2.3/series")
    assert uids(series, "0020000E") == ["1.2.3.1", "1.2.3.2"]
    assert set(SERIES_TAGS) <= set(series[0])
    assert series[0]["00201209"]["Value"] == [2]
    assert series[0]["00081190"]["Value"] == [f"{filled.url}/studies/1.2.3/series/1.2.3.1"]
    assert "00100010" not in series[0]
    instances = await filled.json("/studies/1.2.3/series/1.2.3.1/instances")
    assert sorted(uids(instances, "00080018")) == ["1.2.3.1.1", "1.2.3.1.2"]
    assert set(INSTANCE_TAGS) <= set(instances[0])
    address = (
        f"{filled.url}/studies/1.2.3/series/1.2.3.1/instances/{uids(instances, '00080018')[0]}"
    )
    assert instances[0]["00081190"]["Value"] == [address]
    of_study = await filled.json("/studies/1.2.3/instances")
    assert len(of_study) == 3
    assert set(INSTANCE_TAGS) | set(SERIES_TAGS) <= set(of_study[0])
    every_series = await filled.json("/series")
    assert len(every_series) == 3
    assert set(SERIES_TAGS) | set(STUDY_TAGS) <= set(every_series[0])
    every_instance = await filled.json("/instances")
    assert len(every_instance) == 4
    assert set(INSTANCE_TAGS) | set(SERIES_TAGS) | set(STUDY_TAGS) <= set(every_instance[0])
    assert await filled.json("/studies/9.9/series") == []


async def test_c40_a_series_uid_in_two_studies_is_found_in_each(filled, ct):
    await filled.stow([ct("1.2.4.1.9", "1.2.4", "1.2.3.1")])
    for study in ("1.2.3", "1.2.4"):
        (series,) = await filled.json(f"/studies/{study}/series?SeriesInstanceUID=1.2.3.1")
        assert uids([series], "0020000D") == [study]
    instances = await filled.json("/studies/1.2.4/series/1.2.3.1/instances")
    assert uids(instances, "00080018") == ["1.2.4.1.9"]
    assert len(await filled.json("/series?SeriesInstanceUID=1.2.3.1")) == 2


@pytest.mark.parametrize("modality", [None, ""])
async def test_c26_a_series_without_modality_adds_none_to_its_study(front, ct, modality):
    await front.stow([ct("1.1"), ct("1.2", series="1.2.3.2", Modality=modality)])
    (study,) = await front.json("/studies")
    assert study["00080061"]["Value"] == ["CT"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("PatientID=P2", ["1.2.4"]),
        ("00100020=P2", ["1.2.4"]),
        ("PatientName=M*", ["1.2.3"]),
        ("PatientName=m%C3%BCller*", ["1.2.3"]),
        ("StudyDate=20250101-20251231", ["1.2.4"]),
        ("StudyDate=-20260102", ["1.2.4", "1.2.3"]),  # a range: in the order of dates
        ("StudyInstanceUID=1.2.4,1.2.3", ["1.2.3", "1.2.4"]),
        ("StudyInstanceUID=1.2.4&StudyInstanceUID=1.2.3", ["1.2.3", "1.2.4"]),
        ("StudyInstanceUID=1.2.3%5C9.9", ["1.2.3"]),
        ("ModalitiesInStudy=MR", ["1.2.3"]),
        ("AccessionNumber=A1&PatientID=P1", ["1.2.3"]),
        ("AccessionNumber=A1&PatientID=P2", []),
        ("StudyDescription=Head,%20plain", ["1.2.4"]),
        ("PatientID=", ["1.2.3", "1.2.4"]),
    ],
)
async def test_c40_matching_by_keyword_and_tag(filled, query, found):
    assert uids(await filled.json(f"/studies?{query}")) == found


@pytest.mark.parametrize(
    "key",
    [
        "RequestAttributesSequence.ScheduledProcedureStepID",
        "00400275.00400009",
        "RequestAttributesSequence.00400009",
    ],
)
async def test_c40_dotted_sequence_paths(filled, key):
    series = await filled.json(f"/series?{key}=SPS1")
    assert uids(series, "0020000E") == ["1.2.3.1"]
    item = series[0]["00400275"]["Value"][0]
    assert item["00400009"]["Value"] == ["SPS1"]
    assert item["00401001"]["Value"] == ["RSPS1"]


async def test_c41_includefield_repeated_list_and_all(filled):
    plain = (await filled.json("/studies/1.2.3/series/1.2.3.1/instances"))[0]
    assert "00080008" not in plain
    assert "00280004" not in plain
    both = await filled.json(
        "/instances?includefield=PhotometricInterpretation&includefield=00080060"
    )
    assert {"00280004", "00080060"} <= set(both[0])
    listed = await filled.json("/instances?includefield=PhotometricInterpretation,PatientID")
    assert {"00280004", "00100020"} <= set(listed[0])
    everything = await filled.json("/studies/1.2.3/series/1.2.3.1/instances?includefield=all")
    assert "00280004" in everything[0]
    lower = await filled.json("/studies?includefield=Rows,Modality")
    assert not {"00280010", "00080060"} & set(lower[0])
    whole = await filled.json("/studies/1.2.3/series?includefield=RequestAttributesSequence")
    assert "00400275" in whole[0]


async def test_c41_limit_offset_and_a_warning_where_there_is_more(filled):
    first = await filled.get("/instances?limit=3")
    assert len(first.json()) == 3
    assert "additional results" in first.headers["Warning"]
    rest = await filled.get("/instances?limit=3&offset=3")
    assert len(rest.json()) == 1
    assert "Warning" not in rest.headers
    exact = await filled.get("/instances?limit=4")
    assert "Warning" not in exact.headers
    none = await filled.get("/instances?limit=0")
    assert none.json() == []
    assert "additional results" in none.headers["Warning"]
    beyond = await filled.get("/instances?offset=99")
    assert beyond.json() == []


async def test_c41_the_archives_own_limit_warns_too(serving, ct):
    front = await serving(qido_max_results=2)
    await front.stow([ct(f"1.2.3.1.{n}") for n in range(3)])
    for path in ("/instances", "/instances?limit=50"):
        response = await front.get(path)
        assert len(response.json()) == 2
        assert "additional results" in response.headers["Warning"]


async def test_c41_pages_stay_in_order_while_ingest_runs(front, ct):
    for n in range(6):
        await front.stow([ct(f"1.2.3.1.{n}")])
    seen = []
    for page in range(4):
        seen += uids(await front.json(f"/instances?limit=2&offset={2 * page}"), "00080018")
        await front.stow([ct(f"1.2.3.1.{100 + page}")])
    assert seen[:6] == [f"1.2.3.1.{n}" for n in range(6)]
    assert len(set(seen)) == len(seen)


async def test_c41_a_long_list_is_streamed_whole_and_warns_before_it_begins(front, ct):
    count = 1500
    for start in range(0, count, 500):
        await front.stow([ct(f"1.2.3.1.{n}") for n in range(start, start + 500)])
    path = "/instances?includefield=PatientComments,ContentDescription,ImageType,StudyDescription"
    response = await front.get(path)
    assert response.headers.get("Transfer-Encoding") == "chunked"
    assert "Warning" not in response.headers
    assert len(response.json()) == count
    response = await front.get(f"{path}&limit={count - 1}")
    assert "additional results" in response.headers["Warning"]
    assert len(response.json()) == count - 1


async def test_c42_fuzzy_matching(filled):
    assert uids(await filled.json("/studies?PatientName=jane%20doe&fuzzymatching=true")) == [
        "1.2.4"
    ]
    assert uids(await filled.json("/studies?PatientName=jane%20doe&fuzzymatching=false")) == []


async def test_c42_what_is_not_supported_is_said(filled):
    response = await filled.get("/studies?PixelSpacing=1&emptyvaluematching=true")
    assert len(response.json()) == 2
    notes = response.headers.getall("Warning")
    assert any("PixelSpacing" in note for note in notes)
    assert any("emptyvaluematching" in note for note in notes)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("NoSuchKeyword=1", "NoSuchKeyword"),
        ("0010002=1", "0010002"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=1.5", "offset"),
        ("fuzzymatching=maybe", "fuzzymatching"),
        ("includefield=NoSuchKeyword", "NoSuchKeyword"),
        ("includefield=all,PatientID", "includefield"),
        ("StudyDate=yesterday", "StudyDate"),
        ("PatientID=1&00100020=2", "PatientID"),
        ("PatientName=" + "x" * 5000, "PatientName"),
    ],
)
async def test_c43_a_bad_parameter_is_400_and_named(front, query, named):
    assert named in await front.problem(f"/studies?{query}", 400)


@pytest.mark.parametrize("uid", ["%20", "%00", "1.2.3%5C1.2.4"])
async def test_c43_a_path_names_one_study(filled, uid):
    assert "no UID" in await filled.problem(f"/studies/{uid}/series", 400)
    assert "no UID" in await filled.problem(f"/studies/1.2.3/series/{uid}/instances", 400)


async def test_c43_a_key_that_the_path_gives_already_is_400(front):
    assert "StudyInstanceUID" in await front.problem(
        "/studies/1.2/series?StudyInstanceUID=1.3", 400
    )


@pytest.mark.parametrize("query", ["PatientID=P1", "PatientName=*o*", "StudyDate=20260101-"])
async def test_c43_the_same_answers_as_the_archives_one_query(filled, query):
    keyword, value = query.split("=")
    asked = Query(Level.STUDY, (Key(parse_path(keyword).key, value),))
    found = [match.study_uid for match in filled.archive.query(asked)]
    assert found
    assert uids(await filled.json(f"/studies?{query}")) == found


@pytest.mark.parametrize("query", ["", "?limit=1", "?limit=0", "?PatientID=P2", "?PatientID=P3"])
async def test_a_long_answer_is_what_a_short_one_is(filled, query, monkeypatch):
    short = await filled.get(f"/instances{query}")
    monkeypatch.setattr(qido, "HELD", 0)
    long = await filled.get(f"/instances{query}")
    assert (long.status, long.body) == (short.status, short.body)
    assert long.headers.getall("Warning", []) == short.headers.getall("Warning", [])


async def test_a_short_answer_asks_no_thread(filled, monkeypatch):
    turns = []
    begin = Offload.begin

    def counted(offload, work, *args, **kwargs):
        turns.append(work)
        return begin(offload, work, *args, **kwargs)

    monkeypatch.setattr(Offload, "begin", counted)
    monkeypatch.delattr(Offload, "stream")
    assert len(await filled.json("/studies?StudyDate=20000101-")) == 2
    assert not turns
    monkeypatch.setattr(glances, "ROWS", 2)
    assert len(await filled.json("/studies?StudyDate=20000101-")) == 2
    assert len(turns) == 1


async def test_answers_in_xml(filled):
    parts = await filled.parts("/studies", 'multipart/related; type="application/dicom+xml"')
    assert len(parts) == 2
    headers, body = parts[0]
    assert headers["content-type"] == "application/dicom+xml"
    root = ET.fromstring(body)
    names = {element.get("keyword"): element for element in root}
    assert names["StudyInstanceUID"][0].text == "1.2.3"
    assert names["NumberOfStudyRelatedInstances"][0].text == "3"


async def test_head_has_the_headers_of_get(filled):
    response = await filled.request("HEAD", "/studies")
    assert response.status == 200
    assert int(response.headers["Content-Length"]) == len((await filled.get("/studies")).body)


async def test_html_is_not_acceptable(front):
    await front.problem("/studies", 406, "text/html")
