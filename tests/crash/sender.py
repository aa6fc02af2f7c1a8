# ruff: noqa: T201  # the ledger is what it prints
"""A sender that keeps a ledger: it prints the number of each object once its store was acknowledged.

    python sender.py storescu|dcmsend|stow PORT FIRST FOLDER

It outlives the archive: what was not acknowledged is sent again, until it is, by a new connection.
Objects are made from their numbers alone, which count up from FIRST: whoever reads the ledger can
make them again.
"""

import http.client
import itertools
import subprocess
import sys
import time
from pathlib import Path

from vna.testing.large import large_object

BATCH = 6
SMALL, LARGE = 20_000, 300_000
LARGE_EVERY = 16
PAUSE_S = 0.15
STOW = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}


def make(number):
    """Return the object with this number; some are large enough to go to a pack of their own."""
    return large_object("native", SMALL if number % LARGE_EVERY else LARGE, number)


def acknowledged(lines):
    """Yield the UIDs of the success responses in what a program of DCMTK says with --debug."""
    incoming, uid = False, ""
    for line in lines:
        if "DIMSE MESSAGE ===" in line:
            incoming = "INCOMING" in line
        elif incoming and "Affected SOP Instance UID" in line:
            uid = line.split()[-1]
        elif incoming and "DIMSE Status" in line and "0x0000" in line:
            yield uid


def send_by_dcmtk(program, port, numbers, folder):
    """Send with an SCU of DCMTK. Yields numbers as they are acknowledged."""
    files = {make(number).sop_uid: number for number in numbers}
    for number in numbers:
        (folder / f"{number}.dcm").write_bytes(b"".join(make(number).file()))
    paths = [folder / f"{number}.dcm" for number in numbers]
    command = [f"/usr/bin/{program}", "--debug", "-to", "2", "-td", "10", "-aec", "VNA"]
    with subprocess.Popen(
        [*command, "127.0.0.1", str(port), *paths],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="latin-1",
    ) as scu:
        for uid in acknowledged(scu.stdout):
            yield files[uid]
    for path in paths:
        path.unlink()


def send_by_stow(port, numbers):
    """Send in one request. Yields numbers as they are acknowledged."""
    parts = b"".join(
        b"--b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % b"".join(make(number).file())
        for number in numbers
    )
    to = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        to.request("POST", "/dicom-web/studies", parts + b"--b--", STOW)
        response = to.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return
    finally:
        to.close()
    if response.status == 200:
        yield from numbers


def main(kind, port, first, folder):
    counter = itertools.count(int(first))
    while True:
        left = list(itertools.islice(counter, BATCH))
        while left:
            if kind == "stow":
                taken = send_by_stow(int(port), left)
            else:
                taken = send_by_dcmtk(kind, int(port), left, Path(folder))
            for number in taken:
                print(number, flush=True)
                left = [other for other in left if other != number]
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
