"""From what the operating system says to the archive's own errors."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from vna.errors import Full, Unavailable
from vna.storage.format import pack_name
from vna.storage.tierset import HOT, tier_of

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@contextmanager
def reading(pack: PackId) -> Iterator[None]:
    """Turn an OSError of reading `pack` into Unavailable, MissingPack where there is none."""
    try:
        yield
    except FileNotFoundError as error:
        raise MissingPack(f"pack {pack_name(pack)} is missing") from error
    except TierAway as error:
        raise AwayPack(str(error)) from error
    except OSError as error:
        away = isinstance(error, ConnectionError | TimeoutError | PermissionError)
        kind = AwayPack if away and tier_of(pack) != HOT else Unavailable
        reason = error.strerror or error
        raise kind(f"pack {pack_name(pack)} cannot be read: {reason}") from error
