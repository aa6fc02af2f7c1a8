# ruff: noqa: T201  # the ledger is what it prints
"""A sender that keeps a ledger: it prints the UID of each object once its store was acknowledged.

    python sender.py c-store|stow PORT PREFIX TEMPLATE

Every object is made from its UID alone, so that whoever reads the ledger can make it again.
"""

import http.client
import io
import itertools
import random
import sys
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

STUDY, SERIES = "1.2.826.0.1.3680043.10.99.1", "1.2.826.0.1.3680043.10.99.1.1"
STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
BATCH = 3


def make(template: Path, uid: str) -> bytes:
    """Return the Part 10 file of the object with this UID: a CT image with pixels of its own."""
    ds = dcmread(template)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, SERIES
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.Rows = ds.Columns = 128
    ds.PixelData = random.Random(uid).randbytes(128 * 128 * 2)
    out = io.BytesIO()
    ds.save_as(out, enforce_file_format=True)
    return out.getvalue()


def send_by_c_store(port: int, uids, template: Path) -> None:
    ae = AE(ae_title="SENDER")
    ae.dimse_timeout = 2
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", port, ae_title="VNA")
    while association.is_established:
        uid = next(uids)
        status = association.send_c_store(dcmread(io.BytesIO(make(template, uid))))
        if "Status" in status and status.Status == 0:
            print(uid, flush=True)


def send_by_stow(port: int, uids, template: Path) -> None:
    to = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while True:
        batch = list(itertools.islice(uids, BATCH))
        parts = b"".join(
            b"--b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % make(template, uid)
            for uid in batch
        )
        to.request("POST", "/dicom-web/studies", parts + b"--b--", STOW)
        response = to.getresponse()
        response.read()
        if response.status == 200:
            print(*batch, sep="\n", flush=True)


def main(kind: str, port: str, prefix: str, template: str) -> None:
    uids = (f"{SERIES}.{prefix}.{number}" for number in itertools.count(1))
    send = {"c-store": send_by_c_store, "stow": send_by_stow}[kind]
    send(int(port), uids, Path(template))


if __name__ == "__main__":
    main(*sys.argv[1:])
