"""What every answer has in common: health, problems, request ids, cross-origin rules, the log."""

from __future__ import annotations

import asyncio
import json
import logging
from urllib.parse import urlsplit

import pytest

from vna.errors import Unavailable
from vna.web import WebSettings
from vna.web.addresses import Addresses

STUDY = "/studies/1.2.3"


async def test_health_and_readiness(front):
    assert (await front.get(f"{front.root}/healthz")).status == 200
    answer = await front.get(f"{front.root}/readyz")
    assert (answer.status, answer.json()) == (200, {"state": "ready"})
    front.state["ready"] = False
    answer = await front.get(f"{front.root}/readyz")
    assert (answer.status, answer.json()) == (503, {"state": "not ready"})
    assert answer.headers["Retry-After"]
    assert (await front.get(f"{front.root}/healthz")).status == 200


async def test_readiness_names_what_is_wrong_with_the_archive(front, ct, tmp_path):
    packs, away = tmp_path / "data/packs", tmp_path / "away"
    packs.rename(away)
    answer = await front.get(f"{front.root}/readyz")
    assert (answer.status, answer.json()["state"]) == (503, "broken")
    assert "No such file or directory" in answer.json()["reason"]
    assert (await front.stow([ct()])).status == 503
    away.rename(packs)
    answer = await front.get(f"{front.root}/readyz")
    assert (answer.status, answer.json()) == (200, {"state": "ready"})
    assert (await front.stow([ct()])).status == 200


async def test_the_landing_page_names_the_services(serving):
    front = await serving(prefix="/pacs")
    answer = await front.get(f"{front.root}/")
    assert "/pacs/studies" in answer.json()["services"].values()
    assert (await front.get(f"{front.root}/pacs/studies")).status == 200


async def test_problems_name_the_request(front):
    answer = await front.get("/studies/9.9", X_Request_Id="abc-1")
    assert answer.headers["X-Request-Id"] == "abc-1"
    assert answer.json()["instance"] == "urn:request:abc-1"
    answer = await front.get("/studies/9.9", X_Request_Id="no spaces, please")
    assert answer.headers["X-Request-Id"] in answer.json()["instance"]
    assert " " not in answer.headers["X-Request-Id"]


async def test_a_method_that_is_not_there_is_405_with_allow(front):
    answer = await front.request("PUT", "/studies")
    assert "POST" in await front.is_problem(answer, 405)
    assert "POST" in answer.headers["Allow"]


async def test_an_unexpected_error_is_500_under_an_id_that_the_log_has(
    front, ct, monkeypatch, caplog
):
    def broken(*_args):
        raise RuntimeError("Doe^Jane was here")

    monkeypatch.setattr(front.archive, "soon", broken)
    answer = await front.get(STUDY)
    detail = await front.is_problem(answer, 500)
    assert "Doe" not in detail
    request_id = answer.headers["X-Request-Id"]
    assert request_id in detail
    assert any(request_id in record.getMessage() and record.exc_info for record in caplog.records)


async def test_busy_says_when_to_come_back(front, monkeypatch):
    def down(*_args):
        raise Unavailable("the index is down")

    monkeypatch.setattr(front.archive, "soon", down)
    answer = await front.get(STUDY)
    assert await front.is_problem(answer, 503) == "the index is down"
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "accept", ["application/dicom", 'multipart/related; type="application/dicom"']
)
async def test_damage_found_late_cuts_the_connection(front, ct, tmp_path, accept):
    await front.stow([ct(frames=[bytes([n]) * (1 << 19) for n in range(8)])])
    (pack,) = [
        path
        for path in tmp_path.glob("data/packs/*.pack")
        if bytes([7]) * 4096 in path.read_bytes()
    ]
    damaged = bytearray(pack.read_bytes())
    damaged[damaged.rindex(bytes([7]) * 4096)] ^= 1
    pack.write_bytes(damaged)
    with pytest.raises(Exception, match=r"(?i)payload|closed|reset|disconnect"):
        await front.get(f"{STUDY}/series/1.2.3.1/instances/1.2.3.1.1", accept)
    assert (await front.get("/studies")).status == 200


async def test_the_access_log_has_templates_and_no_values(front, caplog):
    caplog.set_level(logging.INFO)
    await front.get("/studies?PatientName=Doe%5EJane")
    await front.get("/studies/1.2.3.4.5.6.7/metadata")
    lines = [record.getMessage() for record in caplog.records if record.name == "vna.web.access"]
    assert lines[0].startswith("GET /dicom-web/studies 200 ")
    assert lines[1].startswith("GET /dicom-web/studies/{study}/metadata 404 ")
    logged = "\n".join(
        record.getMessage() for record in caplog.records if record.name.startswith("vna")
    )
    assert "Doe" not in logged


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("GET /dicom-web/studies?PatientName=Doe-Jörg HTTP/1.1\r\nHost: x\r\n\r\n", "Invalid char in url query"),
        ("POST /dicom-web/studies HTTP/1.0\r\nContent-Type: application/dicom\r\n\r\n" + "Doe" * 9000, "Data after"),
        ("GET /Doe HTTP/1.1\r\nHost: x\r\nDoe\r\n\r\n", "Invalid"),
        ("GET /" + "Doe" * 9000 + " HTTP/1.1\r\nHost: x\r\n\r\n", "more than"),
    ],
    ids=["query", "body", "field", "line"],
)  # fmt: skip
async def test_what_cannot_be_read_is_a_problem_and_quoted_nowhere(connect, caplog, request_, said):
    caplog.set_level(logging.INFO)
    reader, writer = await connect()
    writer.write(request_.encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400 ")
    assert b"application/problem+json" in head
    assert b"Server: vna\r\n" in head
    problem = json.loads(body)
    assert said in problem["detail"]
    assert len(body) < 1000
    assert problem["instance"].removeprefix("urn:request:") in caplog.text
    assert "Doe" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


async def test_other_origins_are_refused_by_default_and_allowed_by_setting(serving):
    front = await serving()
    answer = await front.get("/studies", Origin="https://viewer.example")
    assert "Access-Control-Allow-Origin" not in answer.headers
    front = await serving(allowed_origins=("https://viewer.example",))
    answer = await front.get("/studies/9.9/metadata", Origin="https://viewer.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://viewer.example"
    assert "Origin" in answer.headers.getall("Vary")
    answer = await front.get("/studies", Origin="https://other.example")
    assert "Access-Control-Allow-Origin" not in answer.headers
    preflight = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "POST"}
    answer = await front.request("OPTIONS", "/studies", headers=preflight)
    assert answer.status == 204
    assert "Content-Type" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Access-Control-Allow-Origin"] == "https://viewer.example"
    preflight["Origin"] = "https://other.example"
    assert (await front.request("OPTIONS", "/studies", headers=preflight)).status == 405


async def test_an_origin_that_is_no_text_is_not_repeated(serving, ct):
    front = await serving(allowed_origins=("*",))
    await front.stow([ct()])
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(front.root).port)
    writer.write(
        f"GET /dicom-web{STUDY}/series/1.2.3.1/instances/1.2.3.1.1 HTTP/1.1\r\nHost: x\r\n".encode()
        + b"Origin: http://\xff\r\nConnection: close\r\n\r\n"
    )
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Access-Control-Allow-Origin" not in answer


@pytest.mark.parametrize(
    ("settings", "headers", "root"),
    [
        ({}, {"Host": "pacs.example"}, "http://pacs.example/dicom-web"),
        ({}, {"X-Forwarded-Host": "evil.example"}, None),
        ({"trust_proxy": True}, {"X-Forwarded-Host": "a.example, b", "X-Forwarded-Proto": "https"}, "https://a.example/dicom-web"),
        ({"trust_proxy": True}, {"Forwarded": 'for=1.2.3.4;host="a.example:8443";proto=https'}, "https://a.example:8443/dicom-web"),
        ({"base_url": "https://fixed.example/pacs", "prefix": "/dw"}, {"Host": "other"}, "https://fixed.example/pacs/dw"),
    ],
)  # fmt: skip
async def test_addresses_are_those_that_the_client_sees(serving, ct, settings, headers, root):
    front = await serving(**settings)
    files = [ct()]
    prefix = settings.get("prefix", "/dicom-web")
    await front.stow(files, f"{front.root}{prefix}/studies")
    answer = await front.request("GET", f"{front.root}{prefix}/studies", headers=headers)
    assert answer.json()[0]["00081190"]["Value"] == [f"{root or front.url}/studies/1.2.3"]


async def test_a_malformed_host_is_400(front):
    assert "Host" in await front.problem("/studies", 400, Host='x"><script>')


def test_odd_uids_are_quoted_in_addresses():
    assert Addresses("http://x").study("1.2/3 ?").endswith("/studies/1.2%2F3%20%3F")


def test_settings_are_values():
    assert WebSettings() == WebSettings()


@pytest.mark.parametrize("path", ["/studies", "/nothing/here"])
async def test_an_expectation_that_cannot_be_met_is_a_problem_with_an_id(front, caplog, path):
    caplog.set_level("INFO")
    answer = await front.get(path, Expect="foo", X_Request_Id="mine")
    assert "100-continue" in await front.is_problem(answer, 417)
    assert answer.headers["X-Request-Id"] == "mine"
    assert " 417 " in caplog.text
    assert "id=mine" in caplog.text
