"""Which extents leave the cache: S3-FIFO, as a pure function of what was seen and read again.

S3-FIFO (Yang et al., SOSP 2023): a small queue takes what is new, the main queue what was read
again while it was in the small one, or came back soon after it left. Both are first in, first out;
in the main queue, what was read since its last turn gets another. So a single pass over much
data goes through the small queue, and what is in use stays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Entry", "Queues"]

SMALL_SHARE = 0.1
"""Share of the cache that the small queue may fill."""


@dataclass(slots=True)
class Entry:
    """An extent in the cache: its name, its bytes, when it came, and if it was read since its turn."""

    name: str
    size: int
    came: float
    read: bool


@dataclass(slots=True)
class Queues:
    """What is remembered from one eviction to the next: names, oldest first.

    `main` is the main queue; all other extents are in the small one, in the order they came.
    `ghosts` left the small queue unread; as many are remembered as the cache has extents.
    """

    main: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)

    def evict(self, entries: Iterable[Entry], limit_bytes: int) -> list[str]:
        """Return the names that leave, so that at most `limit_bytes` stay; note where others are."""
        known = {entry.name: entry for entry in sorted(entries, key=lambda each: each.came)}
        most = max(len(known), 1)
        main = OrderedDict((name, known[name]) for name in self.main if name in known)
        ghosts = OrderedDict.fromkeys(self.ghosts)
        small: OrderedDict[str, Entry] = OrderedDict()
        for name, entry in known.items():
            if name not in main:
                (main if name in ghosts else small)[name] = entry
                ghosts.pop(name, None)
        held = sum(entry.size for entry in known.values())
        small_held = sum(entry.size for entry in small.values())
        gone: list[str] = []
        while held > limit_bytes:
            from_small = small_held > SMALL_SHARE * limit_bytes or not main
            name, entry = (small if from_small else main).popitem(last=False)
            if from_small:
                small_held -= entry.size
            if entry.read:
                entry.read = False
                main[name] = entry
                continue
            held -= entry.size
            gone.append(name)
            if from_small:
                ghosts[name] = None
        self.main = list(main)
        self.ghosts = list(ghosts)[-most:]
        return gone
