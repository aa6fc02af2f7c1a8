"""One CT slice of 0.5 MB, and an index of 2,000 instances, for all micro benchmarks."""

import itertools

import pytest

from vna.bench import prepare
from vna.dicom.keys import keys_of
from vna.dicom.scan import ObjectScan
from vna.index import Index, IndexSettings
from vna.testing.commits import store

INSTANCES = 2_000
PER_STUDY = 20


@pytest.fixture(scope="session")
def template():
    return prepare("CT")[0]


@pytest.fixture(scope="session")
def scanned(template):
    scan = ObjectScan("dataset", template.transfer_syntax)
    scan.feed(template.data)
    return scan.finish()


@pytest.fixture(scope="session")
def pixels(template):
    return template.data[-512 * 512 * 2 :]


def stores(first, count):
    """Return stores of instances, twenty to a study."""
    groups = ((n, n // PER_STUDY) for n in range(first, first + count))
    return [store(n + 1, n, series=g, study=g, patient=g, said=n) for n, g in groups]


@pytest.fixture(scope="session")
def commits():
    """Make stores: `commits(first, count)`."""
    return stores


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    settings = IndexSettings(tmp_path_factory.mktemp("index"), sync=False)
    found = Index.open(settings, keys_of)
    found.apply(stores(0, INSTANCES), {})
    yield found
    found.close()


@pytest.fixture(scope="session")
def fresh():
    """Numbers of instances that are not in the index yet."""
    return itertools.count(INSTANCES, 1_000)
