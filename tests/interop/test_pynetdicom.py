"""pynetdicom's application entities against the daemon: large and small PDUs, many contexts, many
associations.
"""

import threading
from contextlib import contextmanager

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.sop_class import (
    _STORAGE_CLASSES,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

pytestmark = pytest.mark.interop

PDU_SIZES = [0, 4096, 16_384, 1 << 20]
FIND = PatientRootQueryRetrieveInformationModelFind
QUERY_RETRIEVE = {
    "patient": (
        PatientRootQueryRetrieveInformationModelGet,
        PatientRootQueryRetrieveInformationModelMove,
    ),
    "study": (
        StudyRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelMove,
    ),
}
ASSOCIATIONS = 8
WAIT_S = 60


@pytest.fixture(scope="module")
def port(free_port):
    return free_port()


@pytest.fixture(scope="module")
def archive(start_daemon, tmp_path_factory, port):
    folder = tmp_path_factory.mktemp("pynetdicom")
    config = folder / "vna.toml"
    config.write_text(f'[[remote]]\nae_title = "SINK"\nhost = "127.0.0.1"\nport = {port}\n')
    daemon = start_daemon(folder / "data", "--config", str(config))
    yield daemon
    assert daemon.stop() == 0, daemon.log.read_text()


@pytest.fixture(autouse=True)
def files_as_they_are(monkeypatch):
    """pynetdicom shall send a file's own bytes, not pydicom's rewriting."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)


@pytest.fixture(scope="module")
def samples(corpus):
    """The images of one study in seven transfer syntaxes, and one that has many PDUs' worth."""
    paths = [*sorted((corpus / "dcm_qa_ts").glob("*.dcm")), corpus / LARGE]
    return {path: dcmread(path, stop_before_pixels=True) for path in paths}


LARGE = "cornerstone3D/CTImage.dcm"


@pytest.fixture
def associate(archive):
    """Associate: `associate([(SOP class, transfer syntaxes)], pdu, ...)`."""

    @contextmanager
    def run(contexts, pdu=0, **options):
        ae = AE(ae_title="PYNETDICOM")
        ae.maximum_pdu_size = pdu
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = WAIT_S
        for context in contexts:
            ae.add_requested_context(*context)
        options = {"ae_title": archive.ae_title, "max_pdu": pdu, **options}
        association = ae.associate("127.0.0.1", archive.dimse_port, **options)
        assert association.is_established
        try:
            yield association
        finally:
            association.release()

    return run


def storage(samples):
    """Return a context for each pair of SOP class and transfer syntax."""
    return sorted({(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in samples.values()})


def identifier(level, **keys):
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(ds, name, value)
    return ds


class Received(dict):
    """Data sets that came by C-STORE, by SOP Instance UID."""

    def keep(self, event):
        self[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return 0x0000


@pytest.mark.parametrize("pdu", PDU_SIZES)
def test_c5_store_with_pdus_of_any_size(associate, archive, samples, fetch, dataset, pdu):
    with associate(storage(samples), pdu) as association:
        statuses = [association.send_c_store(path).Status for path in samples]
    assert statuses == [0] * len(samples)
    for path in samples:
        assert dataset(fetch(archive, path)) == dataset(path)


def test_c4_store_over_128_presentation_contexts(associate, archive, samples, fetch, dataset):
    used = storage(samples)
    others = set(_STORAGE_CLASSES.values()) - {sop_class for sop_class, _ in used}
    contexts = [*((uid, None) for uid in sorted(others)), *used][-128:]
    with associate(contexts) as association:
        assert len(association.accepted_contexts) == 128
        assert [context.context_id for context in association.accepted_contexts] == list(
            range(1, 256, 2)
        )
        statuses = [association.send_c_store(path).Status for path in samples]
    assert statuses == [0] * len(samples)
    for path in samples:
        assert dataset(fetch(archive, path)) == dataset(path)


@pytest.fixture(scope="module")
def filled(archive, take, samples, query_files):
    take(archive, *samples, *query_files)


@pytest.mark.parametrize("pdu", PDU_SIZES)
def test_find(associate, filled, query_files, pdu):
    expected = {dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in query_files}
    found = set()
    with associate([(FIND,)], pdu) as association:

        def ask(level, **keys):
            *pending, last = association.send_c_find(identifier(level, **keys), FIND)
            assert last[0].Status == 0x0000
            assert {status.Status for status, _ in pending} <= {0xFF00}
            return [answer for _, answer in pending]

        for patient in ask("PATIENT", PatientID="", PatientName="Doe^*"):
            keys = {"PatientID": patient.PatientID}
            for study in ask("STUDY", StudyInstanceUID="", **keys):
                keys["StudyInstanceUID"] = study.StudyInstanceUID
                for series in ask("SERIES", SeriesInstanceUID="", **keys):
                    images = {**keys, "SeriesInstanceUID": series.SeriesInstanceUID}
                    found |= {
                        image.SOPInstanceUID for image in ask("IMAGE", SOPInstanceUID="", **images)
                    }
    assert found == expected


def wanted(samples, root):
    """Return the identifier of the study of many transfer syntaxes, and its data sets."""
    first = next(iter(samples.values()))
    keys = {"StudyInstanceUID": first.StudyInstanceUID}
    if root == "patient":
        keys["PatientID"] = first.PatientID
    return identifier("STUDY", **keys), {
        ds.SOPInstanceUID: path
        for path, ds in samples.items()
        if ds.StudyInstanceUID == first.StudyInstanceUID
    }


@pytest.mark.parametrize("pdu", PDU_SIZES)
@pytest.mark.parametrize("root", ["patient", "study"])
def test_get(associate, filled, samples, dataset, root, pdu):
    model = QUERY_RETRIEVE[root][0]
    query, expected = wanted(samples, root)
    received = Received()
    roles = [build_role(uid, scp_role=True) for uid in {uid for uid, _ in storage(samples)}]
    options = {"ext_neg": roles, "evt_handlers": [(evt.EVT_C_STORE, received.keep)]}
    with associate([(model,), *storage(samples)], pdu, **options) as association:
        *_, (final, _) = association.send_c_get(query, model)
    assert final.Status == 0x0000
    assert final.NumberOfCompletedSuboperations == len(expected)
    assert received == {uid: dataset(path) for uid, path in expected.items()}


@contextmanager
def sink(port, contexts, received, pdu):
    """Run a storage SCP that takes PDUs of that size."""
    ae = AE(ae_title="SINK")
    ae.maximum_pdu_size = pdu
    for sop_class in {uid for uid, _ in contexts}:
        ae.add_supported_context(sop_class, [ts for uid, ts in contexts if uid == sop_class])
    server = ae.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, received.keep)]
    )
    try:
        yield
    finally:
        server.shutdown()


@pytest.mark.parametrize("pdu", PDU_SIZES)
@pytest.mark.parametrize("root", ["patient", "study"])
def test_move(associate, filled, samples, dataset, port, root, pdu):
    model = QUERY_RETRIEVE[root][1]
    query, expected = wanted(samples, root)
    received = Received()
    with sink(port, storage(samples), received, pdu), associate([(model,)], pdu) as association:
        *_, (final, _) = association.send_c_move(query, "SINK", model)
    assert final.Status == 0x0000
    assert final.NumberOfCompletedSuboperations == len(expected)
    assert received == {uid: dataset(path) for uid, path in expected.items()}


def test_many_associations_at_once(associate, archive, samples, query_files, fetch, dataset):
    """Each thread stores, echoes and finds over an association of its own, all at the same time."""
    objects = {path: dcmread(path, stop_before_pixels=True) for path in query_files}
    contexts = [*storage({**samples, **objects}), (Verification,), (FIND,)]
    together = threading.Barrier(ASSOCIATIONS, timeout=WAIT_S)
    faults = []

    def work(number):
        try:
            with associate(contexts, PDU_SIZES[number % 4]) as association:
                together.wait()
                for path in [*query_files[number::ASSOCIATIONS], *samples]:
                    assert association.send_c_store(path).Status == 0
                assert association.send_c_echo().Status == 0
                query = identifier("PATIENT", PatientName="Doe^*", PatientID="")
                statuses = [status.Status for status, _ in association.send_c_find(query, FIND)]
                assert statuses[-1] == 0
        except BaseException as error:  # noqa: BLE001  # raised below, in the test's own thread
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(ASSOCIATIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for path in [*query_files, *samples]:
        assert dataset(fetch(archive, path)) == dataset(path)
