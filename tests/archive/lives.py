"""Archives of small packs that are closed and opened again, and images to put into them."""

import random

from vna.archive import Archive, ArchiveSettings
from vna.testing.images import ct_image
from vna.testing.rebuilt import rebuilds_alike


class Life:
    """An archive that can be closed and opened again, which seals its packs."""

    def __init__(self, folder, clock=None, **others):
        self.folder = folder
        self.clock = clock
        self.settings = ArchiveSettings(
            data=folder / "data",
            index_map_bytes=1 << 20,
            threads=2,
            pack_size_bytes=60_000,
            stream_threshold_bytes=40_000,
            min_free_bytes=0,
            **others,
        )
        self.archive = Archive.open(self.settings, clock=clock)

    @property
    def packs(self):
        return sorted((self.settings.data / "packs").glob("*.pack"))

    def again(self):
        self.archive.close()
        self.archive = Archive.open(self.settings, clock=self.clock)
        self.archive.recover()
        return self.archive

    async def fill(self, numbers, **given):
        files = {number: image(number, **given) for number in numbers}
        for file in files.values():
            await self.archive.store(file, source="test")
        return files

    async def purge(self, level, uid):
        await self.archive.delete(level, uid, "test")
        return await self.archive.purge(uid, "for good")

    def content(self, number):
        (stored,) = self.archive.objects(f"1.2.{number % 3}", None, f"1.2.3.{number}")
        return b"".join(self.archive.file(stored, "TEST")[1])

    def must_be_whole(self):
        """Nothing is damaged, and a rebuild from the packs gives the same index."""
        assert self.archive.check().damage == []
        assert self.archive.recover().damage == []
        assert rebuilds_alike(self.archive, self.settings.data, self.folder / "rebuilt")


def image(number, content=None, size=5000, study=None, sop=None):
    pixels = random.Random(content or number).randbytes(size)
    study = study or f"1.2.{number % 3}"
    return ct_image(
        sop or f"1.2.3.{number}",
        StudyInstanceUID=study,
        SeriesInstanceUID=f"{study}.1",
        Rows=1,
        Columns=size // 2,
        PixelData=pixels,
    )
