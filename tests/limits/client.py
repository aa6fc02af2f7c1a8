"""A client of a daemon that is in trouble: stores, reads, asks how it is, waits."""

import asyncio
import http.client
import json
import time

from vna.dimse import DimseSettings, Scu
from vna.testing.large import stored_object
from vna.types import Remote

DEADLINE_S = 60


def request(daemon, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", daemon.http_port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def stow(daemon, made):
    status, _ = request(
        daemon,
        "POST",
        "/dicom-web/studies",
        b"".join(made.file()),
        **{"Content-Type": "application/dicom", "Accept": "application/dicom+json"},
    )
    return status


def c_store(daemon, made):
    remote = Remote(daemon.ae_title, "127.0.0.1", daemon.dimse_port)

    async def runs():
        for piece in made.pieces():
            yield [piece]

    async def send():
        async with Scu(remote, DimseSettings(), [(made.sop_class, [made.transfer_syntax])]) as scu:
            return await scu.c_store(stored_object(made), runs())

    return asyncio.run(send())


def readyz(daemon):
    status, body = request(daemon, "GET", "/readyz")
    return status, json.loads(body)


def whole(daemon, made):
    accept = {"Accept": "application/dicom; transfer-syntax=*"}
    status, body = request(daemon, "GET", f"/dicom-web{made.path}", **accept)
    return status == 200 and body.endswith(b"".join(made.pieces()))


def listening(daemon):
    try:
        request(daemon, "GET", "/healthz")
    except OSError:
        return False
    return True


def eventually(condition, what):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.1)
