"""STOW-RS (PS3.18 10.5) over a real socket and archive."""

from __future__ import annotations

import asyncio
import io
import tracemalloc
import zlib
from xml.etree import ElementTree as ET

import pytest

from vna import errors
from vna.errors import Busy, Conflict, Full, Invalid, Unavailable, VnaError
from vna.types import Level, Query
from vna.web.problems import STATUS_OF, TooLarge, status_of
from vna.web.storereport import FAILURE_REASON, Fate, failure_reason, overall_status

FAILED, STORED, OTHER = "00081198", "00081199", "0008119A"
REASON, SOP_UID, URL = "00081197", "00081155", "00081190"


def values(module, sequence, tag):
    return [item[tag]["Value"][0] for item in module.get(sequence, {"Value": []})["Value"]]


def instances(front):
    return sorted(match.sop_uid for match in front.archive.query(Query(Level.INSTANCE)))


async def test_c33_all_stored_is_200_and_they_can_be_retrieved_where_the_answer_says(front, ct):
    files = {f"1.2.3.1.{n}": ct(f"1.2.3.1.{n}") for n in range(20)}
    response = await front.stow(files.values())
    assert response.status == 200
    assert response.content_type == "application/dicom+json"
    module = response.json()
    assert sorted(values(module, STORED, SOP_UID)) == sorted(files)
    assert FAILED not in module
    assert module[URL]["Value"] == [f"{front.url}/studies/1.2.3"]
    assert instances(front) == sorted(files)
    for uid, url in zip(values(module, STORED, SOP_UID), values(module, STORED, URL), strict=True):
        back = await front.get(url, "application/dicom; transfer-syntax=*")
        assert back.body == files[uid]


async def test_c33_the_same_again_is_200_and_stored_once(front, ct):
    assert (await front.stow([ct()])).status == 200
    assert (await front.stow([ct(), ct()])).status == 200
    assert instances(front) == ["1.2.3.1.1"]


async def test_c33_some_refused_is_202(front, ct):
    response = await front.stow([ct("1.2.3.1.1"), b"not DICOM at all", ct("1.2.3.1.2")])
    assert response.status == 202
    module = response.json()
    assert values(module, STORED, SOP_UID) == ["1.2.3.1.1", "1.2.3.1.2"]
    assert values(module, OTHER, REASON) == [0xC000]
    assert "299 vna" in response.headers["Warning"]


async def test_c33_none_stored_is_409(front):
    response = await front.stow([b"not DICOM at all"])
    assert response.status == 409
    assert values(response.json(), OTHER, REASON) == [0xC000]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary here",
        b"--limit--\r\n",
        b"--limit\r\nno header\r\n\r\n",
        b"--limit\r\n\r\nDICM",
    ],
)
async def test_c33_a_malformed_body_is_400(front, body):
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=limit'}
    response = await front.request("POST", "/studies", data=body, headers=headers)
    assert "multipart" in await front.is_problem(response, 400) or body == b"--limit--\r\n"


async def test_c33_a_boundary_is_needed(front, ct):
    headers = {"Content-Type": 'multipart/related; type="application/dicom"'}
    response = await front.request("POST", "/studies", data=ct(), headers=headers)
    assert "boundary" in await front.is_problem(response, 400)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/octet-stream",
        'multipart/related; type="application/dicom+json"; boundary=limit',
        'multipart/related; type="application/dicom+xml"; boundary=limit',
        "multipart/form-data; boundary=limit",
    ],
)
async def test_c33_another_media_type_is_415(front, ct, content_type):
    response = await front.request(
        "POST", "/studies", data=ct(), headers={"Content-Type": content_type}
    )
    assert "application/dicom" in await front.is_problem(response, 415)


async def test_a_media_type_that_is_no_text_is_415_too(connect):
    reader, writer = await connect()
    writer.write(
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Type: application/\xff\r\n"
        b"Content-Length: 1\r\nConnection: close\r\n\r\n."
    )
    answer = await reader.read()
    assert b" 415 " in answer
    assert b"(got application/?)" in answer


async def test_a_part_of_another_media_type_is_refused_alone(front, ct):
    body = (
        b"--limit\r\nContent-Type: image/jpeg\r\n\r\nabc\r\n"
        b"--limit\r\nContent-Type: application/dicom\r\n\r\n" + ct() + b"\r\n--limit--"
    )
    headers = {"Content-Type": "multipart/related; type=application/dicom; boundary=limit"}
    response = await front.request("POST", "/studies", data=body, headers=headers)
    assert response.status == 202
    assert values(response.json(), OTHER, REASON) == [0x0122]


@pytest.mark.parametrize("chunked", [False, True])
async def test_c33_a_body_over_the_limit_is_413(serving, ct, chunked):
    front = await serving(max_body_bytes=2000)
    big = ct(PatientComments="x" * 4000)

    async def pieces():
        for at in range(0, len(big), 500):
            yield big[at : at + 500]

    response = await front.request(
        "POST",
        "/studies",
        data=pieces() if chunked else big,
        headers={"Content-Type": "application/dicom"},
    )
    assert "2000" in await front.is_problem(response, 413)
    assert instances(front) == []


@pytest.mark.parametrize(
    ("fates", "status"),
    [
        ([Fate(sop_uid="1")], 200),
        ([Fate(sop_uid="1", warning="odd")], 202),
        ([Fate(sop_uid="1"), Fate(error=Full("x"))], 202),
        ([Fate(error=Full("x")), Fate(error=Full("x"))], 507),
        ([Fate(error=Busy("x"))], 503),
        ([Fate(error=Unavailable("x"))], 503),
        ([Fate(error=TooLarge("x"))], 413),
        ([Fate(error=Full("x")), Fate(error=Conflict("x"))], 409),
        ([Fate(error=Invalid("x"))], 409),
    ],
)
def test_c33_the_status_of_the_whole(fates, status):
    assert overall_status(fates) == status


def test_every_kind_of_error_is_in_both_tables():
    kinds = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, VnaError)
    }
    assert kinds <= set(STATUS_OF)
    assert all(status_of(kind("x")) for kind in kinds)
    assert all(failure_reason(kind("x")) for kind in kinds)
    assert failure_reason(Full("x")) == 0xA700
    assert FAILURE_REASON[Conflict] == 0xA900


async def test_c34_failure_reasons_name_the_instance_in_json_and_xml(front, ct):
    files = [ct("1.2.3.1.1"), ct("1.2.9.1", study="1.2.9"), b"junk"]
    response = await front.stow(files, "/studies/1.2.3")
    module = response.json()
    assert values(module, FAILED, SOP_UID) == ["1.2.9.1"]
    assert values(module, FAILED, REASON) == [0xA900]
    assert values(module, OTHER, REASON) == [0xC000]
    response = await front.stow(files, "/studies/1.2.3", Accept="application/dicom+xml")
    assert response.content_type == "application/dicom+xml"
    root = ET.fromstring(response.body)
    failed = next(e for e in root if e.get("keyword") == "FailedSOPSequence")
    texts = {e.get("keyword"): e[0].text for e in failed[0]}
    assert texts["ReferencedSOPInstanceUID"] == "1.2.9.1"
    assert texts["FailureReason"] == str(0xA900)


async def test_c34_an_answer_that_cannot_be_given_is_406_before_the_body_is_taken(front, ct):
    response = await front.stow([ct()], Accept="text/html")
    await front.is_problem(response, 406)
    assert instances(front) == []


async def test_c35_another_study_fails_that_instance(front, ct):
    response = await front.stow([ct("1.2.9.1", study="1.2.9")], "/studies/1.2.3")
    assert response.status == 409
    assert values(response.json(), FAILED, REASON) == [0xA900]
    assert instances(front) == []


async def test_a_broken_data_set_is_kept_with_a_warning(front, ct):
    file = ct()[:-100]  # the pixel data says it is longer
    response = await front.stow([file])
    assert response.status == 202
    module = response.json()
    assert values(module, STORED, "00081196") == [0xB007]
    back = await front.get(values(module, STORED, URL)[0], "application/dicom; transfer-syntax=*")
    assert back.body == file


async def test_one_instance_as_the_whole_body(front, ct):
    response = await front.request(
        "POST", "/studies", data=ct(), headers={"Content-Type": "application/dicom"}
    )
    assert response.status == 200
    assert instances(front) == ["1.2.3.1.1"]


async def test_a_body_that_ends_early_keeps_what_was_whole(front, ct):
    whole = b"--limit\r\n\r\n" + ct("1.2.3.1.1") + b"\r\n--limit\r\n\r\n" + ct("1.2.3.1.2")[:-10]
    headers = {"Content-Type": "multipart/related; type=application/dicom; boundary=limit"}
    response = await front.request("POST", "/studies", data=whole, headers=headers)
    assert response.status == 202
    module = response.json()
    assert values(module, STORED, SOP_UID) == ["1.2.3.1.1"]
    assert instances(front) == ["1.2.3.1.1"]


def gzipped(data, form=31):
    coder = zlib.compressobj(6, zlib.DEFLATED, form)
    return coder.compress(data) + coder.flush(zlib.Z_SYNC_FLUSH), coder.flush()


@pytest.mark.parametrize(
    ("coding", "form"), [("gzip", 31), ("x-gzip", 31), ("GZIP", 31), ("deflate", 15), ("identity", 0)]
)  # fmt: skip
async def test_a_body_in_a_content_coding_is_stored_as_it_was(front, ct, coding, form):
    file = ct(frames=[bytes(1 << 20)])
    body = b"".join(gzipped(file, form)) if form else file
    for sent in (body, body + b"".join(gzipped(b"", form)) if form else body):
        headers = {"Content-Type": "application/dicom", "Content-Encoding": coding}
        answer = await front.request("POST", "/studies", data=io.BytesIO(sent), headers=headers)
        assert answer.status == 200, answer.body
    url = answer.json()[STORED]["Value"][0][URL]["Value"][0]
    assert (await front.get(url, "application/dicom")).body == file


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("coding", "form", "status", "detail"),
    [
        ("gzip", 31, 400, "its gzip ends early"),
        ("deflate", 15, 400, "its deflate ends early"),
        ("gzip", 15, 400, "it is no gzip"),
        ("br", 31, 415, "not in br"),
        ("gzip, gzip", 31, 415, "not in gzip, gzip"),
    ],
)
async def test_a_content_coding_that_breaks_off_stores_nothing(
    front, ct, coding, form, status, detail, chunked
):
    file = ct()
    whole = file[: file.index(b"\xe0\x7f\x10\x00")]  # for all that can be seen
    begun, _ = gzipped(whole, form)
    headers = {"Content-Type": "application/dicom", "Content-Encoding": coding}
    if not chunked:
        headers["Content-Length"] = str(len(begun))
    sent = aiter_of(begun) if chunked else begun
    answer = await front.request("POST", "/studies", data=sent, headers=headers)
    assert detail in await front.is_problem(answer, status)
    assert instances(front) == []


async def aiter_of(*pieces):
    for piece in pieces:
        yield piece


async def test_what_a_body_decodes_to_is_bounded(serving, ct):
    front = await serving(max_body_bytes=1 << 20)
    headers = {"Content-Type": "application/dicom", "Content-Encoding": "gzip"}
    bomb = b"".join(gzipped(ct() + bytes(1 << 26)))
    answer = await front.request("POST", "/studies", data=bomb, headers=headers)
    assert "over 1048576 bytes" in await front.is_problem(answer, 413)
    assert instances(front) == []


async def test_a_client_that_hangs_up_leaves_nothing_half_stored(front, ct):
    host, port = front.root.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/dicom\r\n\r\n"
    )
    piece = ct()[:600]
    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    await writer.drain()
    writer.transport.abort()
    response = await front.stow([ct("1.2.3.1.2")])
    assert response.status == 200
    assert instances(front) == ["1.2.3.1.2"]


async def test_a_body_under_way_ends_when_the_server_does(serving, ct):
    front = await serving()
    file = ct()
    host, port = front.root.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
        b"Content-Type: application/dicom\r\n\r\n" % len(file)
    )
    writer.write(file[:600])
    await writer.drain()
    while not front.requests.under_way:
        await asyncio.sleep(0)
    ending = asyncio.create_task(front.runner.cleanup())
    while not front.requests.ending:
        await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
    writer.write(file[600:])
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in answer
    await ending
    writer.close()
    assert instances(front) == ["1.2.3.1.1"]


async def test_a_body_that_stalls_is_given_up(serving, ct):
    front = await serving(read_timeout_s=0.2)
    host, port = front.root.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
        b"Content-Type: application/dicom\r\n\r\n" + ct()[:500]
    )
    assert b" 408 " in await reader.readline()
    writer.close()


async def test_a_refused_part_in_which_the_body_breaks_off_is_one_failure(front, ct):
    body = (
        b"--limit\r\nContent-Type: application/dicom\r\n\r\n"
        + ct()
        + b"\r\n--limit\r\nContent-Type: text/plain\r\n\r\nnot so much as an ob"
    )
    headers = {"Content-Type": "multipart/related; type=application/dicom; boundary=limit"}
    answer = await front.request("POST", "/studies", data=body, headers=headers)
    assert answer.status == 202
    assert [item["00081155"]["Value"] for item in answer.json()["00081199"]["Value"]] == [
        ["1.2.3.1.1"]
    ]
    assert "00081198" not in answer.json()
    (failure,) = answer.json()["0008119A"]["Value"]
    assert failure["00081197"]["Value"] == [0x0122]
    assert "text/plain" in answer.headers["Warning"]


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"x-odd,chunked"])
async def test_a_transfer_coding_that_is_not_understood_is_501(front, connect, ct, coding):
    reader, writer = await connect()
    body = b"".join(gzipped(ct()))
    writer.write(
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Type: application/dicom\r\n"
        b"Connection: close\r\nTransfer-Encoding: %s\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
        % (coding, len(body), body)
    )
    answer = await asyncio.wait_for(reader.read(), 5)
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"application/problem+json" in answer
    assert instances(front) == []


@pytest.mark.parametrize("behind", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_chunks_that_cannot_be_read_end_the_body_at_once(connect, caplog, behind):
    reader, writer = await connect()
    writer.write(
        behind
        + b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Type: application/dicom\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nDoe\r\n"
    )
    await asyncio.sleep(0.1)
    writer.write(b"Doe^Jane\r\n")
    answers = await asyncio.wait_for(reader.read(), 5)
    assert b" 400 " in answers
    assert b"the body is broken: Invalid character in chunk size" in answers
    assert answers.count(b"HTTP/1.") == 1 + bool(behind)
    assert "Doe" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_whole_body_is_stored_whatever_comes_behind_it(front, connect, ct):
    body = ct()
    reader, writer = await connect()
    writer.write(
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Type: application/dicom\r\n"
        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body + b"\0junk\r\n\r\n")
    answers = await asyncio.wait_for(reader.read(), 5)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.0 400 " in answers
    assert instances(front) == ["1.2.3.1.1"]


async def test_c38_a_large_chunked_body_passes_in_bounded_memory(front, ct):
    size = 48 << 20
    small = ct(frames=[b"\1" * 512])
    at = small.rindex(b"\xe0\x7f\x10\x00OW\0\0") + 8  # the length of Pixel Data, last in the file
    large_head = small[:at] + size.to_bytes(4, "little")
    piece = bytes(range(256)) * 1024

    async def pieces():
        yield b"--limit\r\nContent-Type: application/dicom\r\n\r\n" + large_head
        for _ in range(size // len(piece)):
            yield piece
        yield b"\r\n--limit--\r\n"

    headers = {"Content-Type": "multipart/related; type=application/dicom; boundary=limit"}
    tracemalloc.start()
    try:
        response = await front.request("POST", "/studies", data=pieces(), headers=headers)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert response.status == 200, response.body
    assert peak < 24 << 20
    url = f"{front.url}/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"
    got = 0
    tracemalloc.start()
    try:
        async with front.http.get(
            url, headers={"Accept": "application/dicom;transfer-syntax=*"}
        ) as answer:
            assert answer.content_length == len(large_head) + size
            async for data in answer.content.iter_any():
                got += len(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got == len(large_head) + size
    assert peak < 24 << 20


async def test_c38_instances_of_one_request_share_commits(front, ct):
    response = await front.stow(
        [ct(f"1.2.3.1.{n}", PatientComments="x" * 5000) for n in range(200)]
    )
    assert response.status == 200
    assert len(instances(front)) == 200


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"--limi\r\n" * 30_000, 400, "boundary does not occur"),
        (b"--limit\r\n" + b"A: b\r\n" * 30_000, 400, "headers of part 1 exceed"),
        (b"--limit\r\nA: " + b" b\r\n" * 30_000, 400, "headers of part 1 exceed"),
        (b"--limit\r\n\r\n" + b"\r\n--limi" * 30_000, 400, "ends inside part 1"),
        (b"--limit" + b" " * 200_000, 400, "boundary does not occur"),
    ],
    ids=["preamble", "headers", "folded header", "all but boundaries", "padding"],
)
async def test_bodies_made_to_hurt_are_refused(front, body, status, detail):
    response = await front.request(
        "POST",
        "/studies",
        data=io.BytesIO(body),
        headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=limit'},
    )
    assert detail in await front.is_problem(response, status)


async def test_very_many_empty_parts_are_told_one_by_one(front):
    response = await front.stow([b""] * 2000)
    assert response.status == 409
    assert values(response.json(), OTHER, REASON) == [0xC000] * 2000
