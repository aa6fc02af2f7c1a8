"""From what the operating system says to the archive's own errors."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vna.errors import Full, Unavailable
from vna.storage.format import pack_name
from vna.storage.tierset import HOT, tier_of

if TYPE_CHECKING:
    from types import TracebackType

    from vna.types import PackId

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class MissingPack(Unavailable):
    """A pack is not there. If it was compacted away, the index names another place by now."""


class AwayPack(Unavailable):
    """A pack is on a lower tier that cannot be reached, or refuses us: nothing is known of it now."""


class TierAway(ConnectionError):
    """A lower tier cannot be reached for now; the text begins with its name."""


def no_space(error: OSError) -> bool:
    """Say whether an error means that space or quota is used up."""
    return error.errno in _NO_SPACE


def write_error(error: OSError, what: str) -> Full | Unavailable:
    """Return Full for want of space, else Unavailable."""
    kind = Full if no_space(error) else Unavailable
    return kind(f"{what}: {error.strerror or error}")


class reading:  # noqa: N801  # stands in `with` as a word
    """Turn an OSError of reading `pack` into Unavailable, MissingPack where there is none.

    A class, as every read passes here: a generator takes three times as long.
    """

    __slots__ = ("_pack",)

    def __init__(self, pack: PackId) -> None:
        self._pack = pack

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            raise _read_error(self._pack, error) from error


def _read_error(pack: PackId, error: OSError) -> Unavailable:
    if isinstance(error, FileNotFoundError):
        return MissingPack(f"pack {pack_name(pack)} is missing")
    if isinstance(error, TierAway):
        return AwayPack(str(error))
    away = isinstance(error, ConnectionError | TimeoutError | PermissionError)
    kind = AwayPack if away and tier_of(pack) != HOT else Unavailable
    return kind(f"pack {pack_name(pack)} cannot be read: {error.strerror or error}")
