from collections.abc import Iterator

import pytest

from vna.index import Index, IndexSettings
from vna.testing.commits import plain_keyer


@pytest.fixture
def settings(tmp_path) -> IndexSettings:
    return IndexSettings(tmp_path / "index", map_size_bytes=16 << 20, sync=False)


@pytest.fixture
def index(settings) -> Iterator[Index]:
    index = Index.open(settings, plain_keyer)
    yield index
    index.close()
