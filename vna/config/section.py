"""What a setting and a table of settings are."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any

from vna.config.kinds import Kind

__all__ = ["Section", "Setting", "defaults_of"]


@dataclass(frozen=True)
class Setting:
    """One key of a section. `option` is the option of `vna serve` that overrides it, if any.

    A default of None means that the key must be given.
    """

    name: str
    kind: Kind
    default: object
    about: str
    option: str = ""


@dataclass(frozen=True)
class Section:
    """One table of a file of settings."""

    name: str
    about: str
    settings: tuple[Setting, ...]

    def setting(self, name: str) -> Setting | None:
        """Return the setting of that name, or None."""
        return next((each for each in self.settings if each.name == name), None)


def defaults_of(room: type[Any]) -> dict[str, object]:
    """Return the defaults of a room's settings."""
    return {
        field.name: field.default_factory()
        if field.default_factory is not MISSING
        else field.default
        for field in fields(room)
    }
