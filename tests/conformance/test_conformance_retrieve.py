"""Conformance lines 28, 31 and 46: what went in by one door comes out by the others, and is counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove

from vna.types import Remote

CT = (CTImageStorage, [str(ExplicitVRLittleEndian)])
KINDS = ("Remaining", "Completed", "Failed", "Warning")


def counters(answer: Any) -> list[int | None]:
    return [answer.get(f"NumberOf{kind}Suboperations") for kind in KINDS]


@pytest.mark.parametrize("verb", ["C-MOVE", "C-GET"])
def test_c28_pending_responses_count_up_to_the_total(
    start_site: Callable[..., Any],
    sample: Callable[..., Path],
    identifier: Callable[..., Any],
    free_port: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
) -> None:
    monkeypatch.setattr("vna.dimse.retrieval.PENDING_INTERVAL_S", 0.0)
    port = free_port()
    site = start_site(dimse={"remotes": (Remote("SINK", "127.0.0.1", port),)})
    files = [sample(), sample(), sample(str(ImplicitVRLittleEndian)), sample()]
    assert {site.stow(file).status for file in files} == {200}  # apart: they come in this order
    query = identifier("STUDY", StudyInstanceUID="1.2.3")
    if verb == "C-GET":
        answers, got = site.c_get(query, CT)
    else:
        answers, got = c_move(site, query, port)
        assert answers[0].Status == 0xFF00  # as it connects
        assert counters(answers.pop(0)) == [4, 0, 0, 0]
    assert [answer.Status for answer in answers] == [0xFF00] * 3 + [0xB000]
    assert [counters(answer) for answer in answers] == [
        [3, 1, 0, 0],
        [2, 2, 0, 0],
        [1, 2, 1, 0],
        [None, 3, 1, 0],
    ]
    assert sorted(got) == ["1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.4"]


def c_move(site: Any, query: Any, port: int) -> tuple[list[Any], dict[str, bytes]]:
    """Return the responses of a C-MOVE to SINK, and what SINK received."""
    got: dict[str, bytes] = {}

    def keep(event: evt.Event) -> int:
        got[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0

    sink = AE(ae_title="SINK")
    sink.add_supported_context(*CT)
    server = sink.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)]
    )
    try:
        model = StudyRootQueryRetrieveInformationModelMove
        association = site.associate((model, CT[1]))
        answers = [status for status, _ in association.send_c_move(query, "SINK", model)]
        association.release()
    finally:
        server.shutdown()
    return answers, got


@pytest.mark.parametrize("door", ["C-STORE", "STOW-RS"])
def test_c46_one_object_is_the_same_through_every_door_out(
    start_site: Callable[..., Any],
    sample: Callable[..., Path],
    identifier: Callable[..., Any],
    data_of: Callable[[bytes], bytes],
    free_port: Callable[[], int],
    door: str,
) -> None:
    port = free_port()
    site = start_site(dimse={"remotes": (Remote("SINK", "127.0.0.1", port),)})
    file = sample()
    if door == "C-STORE":
        assert [answer.Status for answer in site.c_store(file)] == [0]
    else:
        assert site.stow(file).status == 200
    data = data_of(file.read_bytes())
    query = identifier("STUDY", StudyInstanceUID="1.2.3")
    assert site.c_get(query, CT)[1] == {"1.2.3.1.1": data}
    assert c_move(site, query, port)[1] == {"1.2.3.1.1": data}
    path = "/studies/1.2.3/series/1.2.3.1/instances/1.2.3.1.1"
    assert [data_of(part) for part in site.parts(path)] == [data]
    alone = site.get(path, "application/dicom; transfer-syntax=*")
    assert data_of(alone.body) == data
    assert alone.headers["Content-Type"] == (
        f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    )
    (metadata,) = site.get(f"{path}/metadata", "application/dicom+json").json()
    uri = metadata["7FE00010"].get("BulkDataURI", "")
    assert uri.endswith("/bulkdata/7FE00010")
    pixels = site.get(uri.partition("/dicom-web")[2], "application/octet-stream").body
    assert pixels == bytes(range(32))
    assert site.get(f"{path}/frames/1", "application/octet-stream").body == pixels
