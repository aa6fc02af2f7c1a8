"""The one tree of errors, grouped by what a handler does with them.

    VnaError
    ├── NotFound      the thing asked for is not here          404   A900 / C-MOVE count
    │   └── Deleted   it was here and was deleted              410
    ├── Conflict      it collides with what is stored          409   A9xx
    ├── Invalid       the input is wrong; do not retry         400   C000 / A900
    ├── Unsupported   understood, but this archive cannot      406/415  0122 / A900
    ├── Denied        the caller may not                       403   0124
    ├── Busy          not now; retry later                     503   A700
    │   └── Full      no space to store it                     507   A700
    ├── Unavailable   a part of the archive is down            503   A700
    └── Corrupt       stored bytes failed their check          500   C000

Each front keeps one table from kind to its own status; a test proves that every kind is mapped.
A message names the object and the reason, and carries no patient data beyond UIDs.

`WouldWait` is none of them: it never leaves the archive, which asks a thread then.
"""

from __future__ import annotations

__all__ = [
    "Busy",
    "Conflict",
    "Corrupt",
    "Deleted",
    "Denied",
    "Full",
    "Invalid",
    "NotFound",
    "Unavailable",
    "Unsupported",
    "VnaError",
    "WouldWait",
]


class VnaError(Exception):
    """Any error that this project raises on purpose."""


class NotFound(VnaError):
    """The thing asked for is not in the archive."""


class Deleted(NotFound):
    """The thing asked for was in the archive and has been deleted."""


class Conflict(VnaError):
    """The request collides with what is already stored."""


class Invalid(VnaError):
    """The input is wrong and will stay wrong; the message says where and why."""


class Unsupported(VnaError):
    """The request is well formed, but the archive cannot do it."""


class Denied(VnaError):
    """The caller is known and may not do this, or is not known."""


class Busy(VnaError):
    """The archive cannot take this now; the same request may succeed later."""


class Full(Busy):
    """There is no space (or quota) left to store the object."""


class Unavailable(VnaError):
    """A part of the archive that the request needs is down."""


class Corrupt(VnaError):
    """Stored bytes failed a check; they are never served."""


class WouldWait(Exception):
    """An answer needs a disk, a lock or a core for longer than an event loop may stand still."""
