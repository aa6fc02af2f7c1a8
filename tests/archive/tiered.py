"""An archive of three tiers, and images to move between them."""

import random

from vna.archive import Archive, ArchiveSettings, TierSettings
from vna.testing.images import ct_image
from vna.testing.rebuilt import rebuilds_alike

SIZE = 6000


class Life:
    """An archive with three tiers in a folder."""

    def __init__(self, folder, cold=None):
        self.folder = folder
        tiers = (
            TierSettings("hot", path=folder / "data/packs"),
            TierSettings("warm", path=folder / "warm"),
            cold or TierSettings("cold", path=folder / "cold", codec="zstd"),
        )
        self.settings = ArchiveSettings(
            data=folder / "data",
            index_map_bytes=1 << 20,
            threads=2,
            pack_size_bytes=60_000,
            min_free_bytes=0,
            tiers=tiers,
        )
        self.files = {}
        self.archive = Archive.open(self.settings)

    def again(self):
        self.archive.close()
        self.archive = Archive.open(self.settings)
        self.archive.recover()
        return self.archive

    async def fill(self, numbers=range(12)):
        for number in numbers:
            self.files[number] = image(number)
            await self.archive.store(self.files[number], source="test")

    def content(self, number):
        (stored,) = self.archive.objects(f"1.2.{number % 2}", None, f"1.2.3.{number}")
        return b"".join(self.archive.file(stored, "TEST")[1])

    def objects(self):
        return {name: state.objects for name, state in self.archive.tier_states().items()}

    def packs(self, tier):
        return sorted((self.folder / tier).glob("*.pack"))

    def must_be_whole(self):
        """All reads back, nothing is damaged, and the hot tier alone makes the same index."""
        for number, file in self.files.items():
            assert self.content(number) == file
        assert self.archive.check().damage == []
        assert self.archive.recover().damage == []
        assert rebuilds_alike(self.archive, self.settings.data, self.folder / "rebuilt")


def image(number, size=SIZE, **changes):
    """Two studies of two series; instance numbers run against the order of arrival."""
    study = number % 2
    elements = {
        "StudyInstanceUID": f"1.2.{study}",
        "SeriesInstanceUID": f"1.2.{study}.{number // 2 % 2}",
        "InstanceNumber": 100 - number,
        "Rows": 1,
        "Columns": size // 2,
        "PixelData": random.Random(number).randbytes(size // 2) + bytes(size // 2),
    }
    return ct_image(f"1.2.3.{number}", **elements | changes)
