"""DCMTK's programs against the daemon."""

import io
import re
from collections import Counter

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.sop_class import _STORAGE_CLASSES

pytestmark = pytest.mark.interop

SETTINGS = """
[dimse]
artim_timeout_s = 3600  # a peer that is left waiting shall be seen to wait
[[remote]]
ae_title = "MOVESCU"
host = "127.0.0.1"
port = {movescu}
[[remote]]
ae_title = "STORESCP"
host = "127.0.0.1"
port = {storescp}
"""
STUDY = "1.3.12.2.1107.5.2.32.35131.30000014022817282751500000052"
"""Nine MR images in seven transfer syntaxes: `dcm_qa_ts`."""
BRAIN = "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.133"
ANGIO = "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.1"
NECK = "1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.427"
SPINE = "1.3.6.1.4.1.5962.1.1.0.0.0.1196527414.5534.0.1"
HEAD = "1.3.6.1.4.1.5962.1.1.0.0.0.1196530851.28319.0.1"
LUNGS = "1.3.6.1.4.1.5962.1.1.0.0.0.1194734704.16302.0.1"


@pytest.fixture(scope="module")
def ports(free_port):
    return {"movescu": free_port(), "storescp": free_port()}


@pytest.fixture(scope="module")
def archive(start_daemon, tmp_path_factory, ports):
    folder = tmp_path_factory.mktemp("dcmtk")
    config = folder / "vna.toml"
    config.write_text(SETTINGS.format(**ports))
    daemon = start_daemon(folder / "data", "--config", str(config))
    yield daemon
    assert daemon.stop() == 0, daemon.log.read_text()


@pytest.fixture(scope="module")
def peer(archive):
    """What every program is told about the archive."""
    return ("-aec", archive.ae_title, "127.0.0.1", archive.dimse_port)


@pytest.fixture(scope="module")
def images(corpus):
    """The images of STUDY, by SOP Instance UID."""
    paths = sorted((corpus / "dcm_qa_ts").glob("*.dcm"))
    assert len(paths) == 9
    return {dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID: path for path in paths}


@pytest.fixture(scope="module")
def filled(archive, take, corpus, query_files, images):
    take(archive, *query_files, *images.values(), *sorted(corpus.glob(f"{CHARSETS}/chr[!SQ]*.dcm")))


CHARSETS = "pydicom/charset_files"


def test_c4_echoscu_proposes_all_that_an_association_holds(tool, peer):
    tool("echoscu", "-pts", "38", "-ppc", "128", "--repeat", "3", *peer)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["-xi"], "pydicom/test_files/MR_small_implicit.dcm"),
        (["-xe"], "pydicom/test_files/CT_small.dcm"),
        (["-xb"], "pydicom/test_files/ExplVR_BigEnd.dcm"),
        (["-xd"], "pydicom/test_files/image_dfl.dcm"),
        (["--propose-lossless"], "dcm_qa_ts/5.dcm"),
        (["--propose-jpeg8"], "pydicom/test_files/SC_rgb_jpeg_dcmtk.dcm"),
        (["--propose-jpeg12"], "pydicom/test_files/JPEG-lossy.dcm"),
        (["--propose-j2k-lossless"], "pydicom/test_files/GDCMJ2K_TextGBR.dcm"),
        (["--propose-j2k-lossy"], "pydicom/test_files/JPEG2000.dcm"),
        (["--propose-jls-lossless"], "dcm_qa_ts/7.dcm"),
        (["--propose-jls-lossy"], "pylibjpeg-data/JPEGLS/CT1_JLSN.dcm"),
        (["--propose-rle"], "dcm_qa_ts/4.dcm"),
        (["--propose-rle", "--required"], "pydicom/test_files/MR_small_RLE.dcm"),
        (["--propose-lossless", "--combine"], "dcm_qa_ts/6.dcm"),
        (["--max-send-pdu", "4096"], "pydicom/test_files/CT_small.dcm"),
    ],
    ids=lambda value: "".join(value).strip("-") if isinstance(value, list) else None,
)
def test_c16_storescu_sends_in_the_transfer_syntax_of_the_file(
    tool, peer, archive, corpus, fetch, content, options, name
):
    path = corpus / name
    tool("storescu", *options, *peer, path)
    stored, sent = content(fetch(archive, path)), content(path)
    assert stored == sent
    assert stored.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID


def test_storescu_sends_a_folder_of_several_modalities_twice(
    tool, peer, archive, corpus, fetch, content, query_files
):
    for _ in range(2):
        said = tool("storescu", "-v", "+sd", "+r", *peer, *sorted(folders(query_files)))
        assert said.stderr.count("Received Store Response (Success)") == len(query_files)
    for path in query_files:
        assert content(fetch(archive, path)) == content(path)


def folders(paths):
    return {path.parent for path in paths}


def test_dcmsend_scans_a_folder(tool, peer, archive, query_files, fetch, content):
    said = tool("dcmsend", "-v", "+sd", "+r", *peer, *sorted(folders(query_files)))
    assert f"with status SUCCESS  : {len(query_files)}" in said.stderr
    for path in query_files:
        assert content(fetch(archive, path)) == content(path)


def test_dcmsend_needs_more_associations_than_one(tool, peer, archive, tmp_path, fetch, content):
    paths = [
        write_object(tmp_path / f"{number}.dcm", sop_class, number)
        for number, sop_class in enumerate(sorted(_STORAGE_CLASSES.values())[:130], 1)
    ]
    said = tool("dcmsend", "-v", "+ma", "+sd", *peer, tmp_path)
    assert "Number of associations   : 2" in said.stderr
    assert f"with status SUCCESS  : {len(paths)}" in said.stderr
    for path in (paths[0], paths[-1]):
        assert content(fetch(archive, path)) == content(path)


def write_object(path, sop_class, number):
    ds = Dataset()
    ds.SOPClassUID = sop_class
    ds.StudyInstanceUID = "1.2.826.0.1.3680043.10.98.1"
    ds.SeriesInstanceUID = "1.2.826.0.1.3680043.10.98.2"
    ds.SOPInstanceUID = f"1.2.826.0.1.3680043.10.98.3.{number}"
    ds.PatientID = "130"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def find(tool, peer, filled, tmp_path):
    """C-FIND by findscu: the answers as data sets."""

    def run(root, level, *keys):
        said = tool(
            *("findscu", root, "-X", "-od", tmp_path, "-k", f"QueryRetrieveLevel={level}"),
            *(word for key in keys for word in ("-k", key)),
            *peer,
        )
        assert "E: " not in said.stderr
        answers = []
        for path in sorted(tmp_path.glob("rsp*.dcm")):
            answers.append(dcmread(io.BytesIO(path.read_bytes())))
            path.unlink()
        assert {answer.QueryRetrieveLevel for answer in answers} <= {level}
        return answers

    return run


@pytest.mark.parametrize(
    ("root", "keys", "expected"),
    [
        ("-P", ["PatientID=98890234"], {"98890234"}),
        ("-P", ["PatientName=doe^*"], {"98890234", "77654033"}),
        ("-P", ["PatientName=D?e^P*"], {"98890234"}),
        ("-P", ["PatientName=Doe"], set()),
    ],
)
def test_c20_findscu_patients(find, root, keys, expected):
    answers = find(root, "PATIENT", "PatientID", "PatientName", *keys)
    assert {answer.PatientID for answer in answers} == expected
    assert len(answers) == len(expected)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["PatientID=98890234"], {BRAIN, ANGIO, NECK, LUNGS}),
        (["StudyDate=20030505"], {BRAIN, ANGIO, NECK}),
        (["PatientName=Doe^*", "StudyDate=-19991231"], {HEAD}),
        (["PatientName=Doe^*", "StudyDate=20010101-20030504"], {SPINE, LUNGS}),
        (["PatientName=Doe^*", "StudyDate=20010102-"], {BRAIN, ANGIO, NECK}),
        (["StudyDate=20030505", "StudyTime=045357-"], {ANGIO, NECK}),
        (["StudyDate=20030505", "StudyTime=-0300"], {BRAIN}),
        (["StudyDescription=*BRAIN*", "PatientName=Doe*"], {HEAD}),
        (["StudyDescription=Brain*", "PatientName=Doe*"], {BRAIN, ANGIO}),
        (["PatientName=Doe*", "ModalitiesInStudy=CT"], {HEAD, LUNGS}),
        ([f"StudyInstanceUID={HEAD}\\{SPINE}\\1.2.3"], {HEAD, SPINE}),
        (["StudyInstanceUID=1.2.3"], set()),
    ],
)
def test_c21_findscu_studies(find, keys, expected):
    answers = find("-S", "STUDY", "StudyInstanceUID", "StudyDate", *keys)
    assert {answer.StudyInstanceUID for answer in answers} == expected
    assert len(answers) == len(expected)


def test_c26_findscu_counts(find, query_files):
    objects = [dcmread(path, stop_before_pixels=True) for path in query_files]
    instances = Counter(ds.StudyInstanceUID for ds in objects)
    series = Counter(
        study for study, _ in {(d.StudyInstanceUID, d.SeriesInstanceUID) for d in objects}
    )
    keys = ("StudyInstanceUID", "NumberOfStudyRelatedInstances", "NumberOfStudyRelatedSeries")
    answers = find("-S", "STUDY", "PatientName=Doe*", "ModalitiesInStudy", *keys)
    assert {a.StudyInstanceUID: a.NumberOfStudyRelatedInstances for a in answers} == instances
    assert {a.StudyInstanceUID: a.NumberOfStudyRelatedSeries for a in answers} == series
    assert {a.RetrieveAETitle for a in answers} == {"VNA"}
    assert {a.InstanceAvailability for a in answers} == {"ONLINE"}


@pytest.mark.parametrize(("root", "above"), [("-S", []), ("-P", ["PatientID=98890234"])])
def test_c20_findscu_series_and_images(find, query_files, root, above):
    objects = [dcmread(path, stop_before_pixels=True) for path in query_files]
    objects = [ds for ds in objects if ds.StudyInstanceUID == ANGIO]
    study = [*above, f"StudyInstanceUID={ANGIO}"]
    series = find(root, "SERIES", *study, "SeriesInstanceUID", "Modality=MR", "SeriesNumber")
    assert {(a.SeriesInstanceUID, a.SeriesNumber) for a in series} == {
        (ds.SeriesInstanceUID, ds.SeriesNumber) for ds in objects
    }
    for answer in series:
        uid = answer.SeriesInstanceUID
        keys = (f"SeriesInstanceUID={uid}", "SOPInstanceUID", "InstanceNumber", "SOPClassUID")
        found = find(root, "IMAGE", *study, *keys)
        assert {(a.SOPInstanceUID, a.InstanceNumber, a.SOPClassUID) for a in found} == {
            (d.SOPInstanceUID, d.InstanceNumber, d.SOPClassUID)
            for d in objects
            if d.SeriesInstanceUID == uid
        }


def test_c24_findscu_without_the_unique_key_above(tool, peer, filled):
    keys = ("-k", "QueryRetrieveLevel=SERIES", "-k", "SeriesInstanceUID")
    said = tool("findscu", "-v", "-S", *keys, *peer)
    assert "Error: DataSetDoesNotMatchSOPClass" in said.stderr


@pytest.mark.parametrize(
    ("charset", "name", "expected"),
    [
        ("ISO_IR 192", "*山田*".encode(), {"H31EXAMPLE", "H32EXAMPLE"}),
        ("ISO_IR 192", "*=*=やまだ^*".encode(), {"H31EXAMPLE", "H32EXAMPLE"}),
        ("ISO_IR 192", "wang^*=王^小東".encode(), {"X1EXAMPLE"}),
        ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030"), {"X2EXAMPLE"}),
        ("ISO_IR 100", "buc^j?rôme".encode("latin-1"), {"SCSFREN"}),
        ("ISO_IR 144", "Люк*".encode("iso8859_5"), {"SCSRUSS"}),
        ("ISO_IR 192", "Δ*".encode(), {"SCSGREEK"}),
        ("\\ISO 2022 IR 149", b"Hong*=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7", {"I2EXAMPLE"}),
    ],
)
def test_c25_findscu_names_in_many_character_sets(find, charset, name, expected):
    name = b"PatientName=" + name
    answers = find("-P", "PATIENT", f"SpecificCharacterSet={charset}", name, "PatientID")
    assert {answer.PatientID for answer in answers} == expected


def test_c25_dcmdump_reads_the_character_set_of_answers(tool, peer, filled, tmp_path, corpus):
    keys = ("-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=*EXAMPLE", "-k", "PatientName")
    tool("findscu", "-P", "-X", "-od", tmp_path, *keys, *peer)
    dumped = {}
    for path in tmp_path.glob("rsp*.dcm"):
        said = tool("dcmdump", "+P", "0008,0005", "+P", "0010,0010", path).stdout
        dumped[dcmread(path).PatientID] = said
    names = {}
    for path in corpus.glob(f"{CHARSETS}/chr[!SQ]*.dcm"):
        ds = dcmread(path)
        names[ds.PatientID] = str(ds.PatientName)
    assert dumped.keys() == {name for name in names if name.endswith("EXAMPLE")}
    for patient, said in dumped.items():
        assert "CS [ISO_IR 192]" in said
        assert f"PN [{names[patient]}" in said


def test_c25_an_answer_in_ascii_names_no_character_set(find):
    (answer,) = find("-P", "PATIENT", "PatientID=98890234", "PatientName")
    assert "SpecificCharacterSet" not in answer


def test_c23_findscu_cancels(tool, peer, filled, find):
    keys = ("-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID")
    said = tool("findscu", "-v", "--cancel", "1", "-P", *keys, *peer).stderr
    assert "Sending Cancel Request" in said
    # an answer that is complete before the cancel comes is complete
    ends = ("(Cancel: MatchingTerminatedDueToCancelRequest)", "(Success)")
    assert any(f"Received Final Find Response {end}" in said for end in ends)
    assert "Releasing Association" in said
    assert find("-P", "PATIENT", "PatientID=98890234")


def identical(folder, images, dataset):
    """Assert that a folder holds the images of the study, byte for byte."""
    got = {dcmread(path, stop_before_pixels=True).SOPInstanceUID: path for path in folder.iterdir()}
    assert got.keys() == images.keys()
    for uid, path in got.items():
        assert dataset(path) == dataset(images[uid]), images[uid]
        syntaxes = {dcmread(p).file_meta.TransferSyntaxUID for p in (path, images[uid])}
        assert len(syntaxes) == 1


def test_movescu_receives_itself(tool, peer, filled, ports, tmp_path, images, dataset):
    wanted = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
    own = ("-aet", "MOVESCU", "-aem", "MOVESCU", "+P", ports["movescu"])
    # with +B it writes where it stands
    said = tool("movescu", "-v", "-S", "+xa", "+B", *own, *wanted, *peer, cwd=tmp_path)
    assert "Received Final Move Response (Success)" in said.stderr
    identical(tmp_path, images, dataset)


def test_movescu_has_a_storescp_receive(
    tool, start_tool, peer, filled, ports, tmp_path, images, dataset
):
    start_tool("storescp", "+B", "+xa", "-aet", "STORESCP", "-od", tmp_path, ports["storescp"])
    patient = ("-k", "PatientID=crlab")
    wanted = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
    said = tool("movescu", "-v", "-P", "-aem", "STORESCP", *wanted, *patient, *peer)
    assert "Received Final Move Response (Success)" in said.stderr
    identical(tmp_path, images, dataset)


def test_c27_movescu_to_nobody_known(tool, peer, filled):
    wanted = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
    said = tool("movescu", "-v", "-S", "-aem", "NOBODY", *wanted, *peer, code=None)
    assert "Refused: MoveDestinationUnknown" in said.stderr


def test_getscu_gets_a_study_of_many_transfer_syntaxes(
    tool, peer, filled, tmp_path, images, dataset
):
    """getscu offers each SOP class in one context, of which one transfer syntax comes: what is
    stored in another fails alone, until it is asked for with another option. None asks for Implicit
    VR Little Endian first. getscu does not read the list of what failed, aborts, and then waits for
    the archive to close.
    """
    wanted = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}")
    options = ("-v", "-ta", "3600", "-S", "+B", "-od", tmp_path)
    failed = {"+xe": 8, "+xb": 8, "+xr": 8, "+xs": 7, "+xt": 7, "+xv": 8}
    for option, count in failed.items():
        said = tool("getscu", *options, option, *wanted, *peer)
        counted = dict(re.findall(r"Number of (\w+) Suboperations +: (\d+)", said.stderr))
        assert counted["Failed"] == str(count), option
        assert counted["Completed"] == str(9 - count), option
    implicit = {
        uid
        for uid, path in images.items()
        if dcmread(path).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    }
    assert len(implicit) == 1
    expected = {uid: path for uid, path in images.items() if uid not in implicit}
    identical(tmp_path, expected, dataset)


def test_getscu_gets_single_images(tool, peer, filled, tmp_path, query_files, dataset):
    path = query_files[0]
    ds = dcmread(path)
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    keys = [word for name in names for word in ("-k", f"{name}={ds[name].value}")]
    level = ("-k", "QueryRetrieveLevel=IMAGE")
    tool("getscu", "-S", "+B", "-od", tmp_path, *level, *keys, *peer)
    (got,) = tmp_path.iterdir()
    assert dataset(got) == dataset(path)
