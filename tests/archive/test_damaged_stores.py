"""Damage of every kind, to a golden store: detected, named, survived; what is intact stays served."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from vna.archive import Archive, rebuild_index
from vna.errors import Corrupt, Deleted, NotFound, Unavailable

GOLDEN = Path(__file__).parents[1] / "golden" / "store_v1"


def load():
    spec = importlib.util.spec_from_file_location("make_store_v1", GOLDEN / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = load()
LIVING = {
    golden.CT,
    golden.SHARES,
    golden.REPLACED,
    golden.CINE,
    golden.LARGE,
    golden.LATER,
}
LOST = {
    "front of a header": {golden.CT},
    "header": {golden.CT},
    "front of a bulk value": {golden.CT, golden.SHARES},
    "chunk table of a bulk value": {golden.CT, golden.SHARES},
    "bulk value": {golden.CT, golden.SHARES},
    "missing pack": LIVING - {golden.LATER},
    "missing last pack": {golden.LATER},
}
"""What cannot be served while the index is there; where nothing stands, everything can."""
UNSAFE = {"truncated pack"}
"""Damage that takes a part of a pack: what it took is told by the error alone."""


@pytest.fixture
def data(tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(GOLDEN, copy, ignore=shutil.ignore_patterns("make.py", "__pycache__"))
    return copy


def opened(data):
    archive = Archive.open(golden.settings(data))
    archive.recover()
    return archive


def read(archive, sop):
    try:
        [stored] = archive.objects(golden.STUDY, sop_uid=sop)
        return b"".join(archive.dataset(stored))
    except (Corrupt, Unavailable, NotFound) as error:
        return error


def contents(data):
    archive = opened(data)
    try:
        return {sop: read(archive, sop) for sop in LIVING}
    finally:
        archive.close()


def damage_named(data):
    archive = opened(data)
    try:
        return archive.check().damage
    finally:
        archive.close()


def test_the_golden_store_is_whole(data):
    intact = contents(data)
    assert all(isinstance(found, bytes) for found in intact.values()), intact
    assert damage_named(data) == []
    archive = opened(data)
    with pytest.raises(Deleted):
        archive.objects(golden.STUDY, sop_uid=golden.DELETED)
    assert len(next(archive.histories(golden.REPLACED)).versions) == 2
    [cine] = archive.objects(golden.STUDY, sop_uid=golden.CINE)
    assert cine.version.frames.table is not None
    archive.close()
    assert rebuild_index(golden.settings(data)).different == 0


@pytest.mark.parametrize("kind", golden.DAMAGES)
def test_damage_under_an_index_is_named_and_survived(data, kind):
    intact = contents(data)
    golden.DAMAGES[kind](data)
    found = contents(data)
    lost = {sop for sop, read in found.items() if not isinstance(read, bytes)}
    assert {sop: found[sop] for sop in LIVING - lost} == {s: intact[s] for s in LIVING - lost}
    if kind in UNSAFE:
        assert lost
        assert golden.LATER not in lost
    else:
        assert lost == LOST.get(kind, set())
    assert all("00000001-0000000" in str(found[sop]) for sop in lost), "errors name the pack"
    named = damage_named(data)
    assert lost <= {each.sop_uid for each in named}
    assert any("00000001-0000000" in each.reason for each in named)


@pytest.mark.parametrize("kind", golden.DAMAGES)
def test_damage_without_an_index_is_survived(data, kind):
    intact = contents(data)
    golden.DAMAGES[kind](data)
    rebuilt = rebuild_index(golden.settings(data))
    unread = {"header", "chunk table of a bulk value", "bulk value", "frame table", "seal"}
    assert rebuilt.recovered.damage or rebuilt.different or kind in unread
    found = contents(data)
    lost = {sop for sop, read in found.items() if not isinstance(read, bytes)}
    assert {sop: found[sop] for sop in LIVING - lost} == {s: intact[s] for s in LIVING - lost}
    expected = LOST.get(kind, set())
    if "commit" in kind:
        expected = {golden.SHARES}
    if kind in UNSAFE:
        assert golden.LATER not in lost
    else:
        assert lost == expected


def test_a_damaged_frame_table_costs_the_frames_alone(data):
    golden.DAMAGES["frame table"](data)
    archive = opened(data)
    [cine] = archive.objects(golden.STUDY, sop_uid=golden.CINE)
    with pytest.raises(Corrupt, match="00000001-00000001"):
        archive.frame(cine, 3)
    assert b"".join(archive.dataset(cine))
    archive.close()


@pytest.mark.parametrize("kind", ["bulk value", "missing pack"])
def test_a_daemon_serves_what_is_intact(data, kind, start_daemon):
    contents(data)
    golden.DAMAGES[kind](data)
    lost = {sop for sop, read in contents(data).items() if not isinstance(read, bytes)}
    daemon = start_daemon(data, workers=1)
    try:
        for sop in sorted(LIVING):
            url = (
                f"{daemon.dicomweb}/studies/{golden.STUDY}/series/{golden.STUDY}.1/instances/{sop}"
            )
            accept = "Accept: application/dicom; transfer-syntax=*"
            command = ["curl", "-sS", "--fail", "-o", "/dev/null", "-H", accept, url]
            code = subprocess.run(command, capture_output=True, check=False).returncode
            assert (code != 0) == (sop in lost), (sop, code)
    finally:
        assert daemon.stop() == 0
