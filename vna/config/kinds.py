"""What a setting's value may be: each kind says what it allows, takes a value or refuses it."""

from __future__ import annotations

import ipaddress
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = [
    "AE_TITLE",
    "BASE_URL",
    "BODY_PART",
    "BODY_PART_OR_SAME",
    "BUCKET",
    "HOST",
    "MODALITY",
    "MODALITY_OR_SAME",
    "ORIGIN",
    "PATH_PREFIX",
    "STATION",
    "TIER_NAME",
    "UID",
    "Address",
    "File",
    "Flag",
    "Folder",
    "Kind",
    "NotAllowedError",
    "Optional",
    "Pattern",
    "Real",
    "Several",
    "Text",
    "Whole",
    "Word",
    "written",
]


class NotAllowedError(ValueError):
    """The value is none of the kind."""


class Kind(Protocol):
    """One kind of value. `take` returns it as rooms want it, or raises NotAllowedError."""

    @property
    def allowed(self) -> str:
        """What a value may be, as the end of the sentence "allowed: ..."."""

    def take(self, value: object) -> object:
        """Return the value for the room's settings; NotAllowedError when it is none of this kind."""


def written(value: object) -> str:
    """Return a value in TOML, as a file of settings would hold it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}" if abs(value) > 99_999 else str(value)
        case float():
            return repr(value)
        case list() | tuple():
            return "[" + ", ".join(written(each) for each in value) + "]"
        case _:
            return json.dumps(str(value), ensure_ascii=False)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    allowed: str = "true or false"

    def take(self, value: object) -> bool:
        """Return the flag, or raise NotAllowedError."""
        if not isinstance(value, bool):
            raise NotAllowedError
        return value


@dataclass(frozen=True)
class Whole:
    """A whole number in a closed range."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        """What a value may be."""
        return f"a whole number from {written(self.low)} to {written(self.high)}"

    def take(self, value: object) -> int:
        """Return the number, or raise NotAllowedError."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise NotAllowedError
        if not self.low <= value <= self.high:
            raise NotAllowedError
        return value


@dataclass(frozen=True)
class Real:
    """A number in a closed range."""

    low: float
    high: float

    @property
    def allowed(self) -> str:
        """What a value may be."""
        return f"a number from {self.low:g} to {self.high:g}"

    def take(self, value: object) -> float:
        """Return the number as a float, or raise NotAllowedError."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise NotAllowedError
        if not self.low <= value <= self.high:  # refuses NaN too
            raise NotAllowedError
        return float(value)


@dataclass(frozen=True)
class Word:
    """One of a few words."""

    choices: tuple[str, ...]

    @property
    def allowed(self) -> str:
        """What a value may be."""
        return "one of " + ", ".join(map(written, self.choices))

    def take(self, value: object) -> str:
        """Return the text, or raise NotAllowedError."""
        if value not in self.choices:
            raise NotAllowedError
        return str(value)


@dataclass(frozen=True)
class Pattern:
    """Text that a regular expression matches as a whole."""

    expression: str
    allowed: str

    def take(self, value: object) -> str:
        """Return the text, or raise NotAllowedError."""
        if not isinstance(value, str) or not re.fullmatch(self.expression, value):
            raise NotAllowedError
        return value


@dataclass(frozen=True)
class Several:
    """A list of values of one kind, each at most once."""

    each: Kind

    @property
    def allowed(self) -> str:
        """What a value may be."""
        return f"a list, no value twice, each value {self.each.allowed}"

    def take(self, value: object) -> tuple[object, ...]:
        """Return the values, or raise NotAllowedError."""
        if not isinstance(value, list | tuple):
            raise NotAllowedError
        taken = tuple(map(self.each.take, value))
        if len(set(taken)) < len(taken):
            raise NotAllowedError
        return taken


@dataclass(frozen=True)
class Address:
    """A numeric IP address to listen on."""

    allowed: str = 'an IP address, such as "127.0.0.1", "::1" or "0.0.0.0"'

    def take(self, value: object) -> str:
        """Return the text, or raise NotAllowedError."""
        if not isinstance(value, str):
            raise NotAllowedError
        try:
            return str(ipaddress.ip_address(value))
        except ValueError as error:
            raise NotAllowedError from error


@dataclass(frozen=True)
class Folder:
    """A folder; need not exist yet."""

    allowed: str = "the path of a folder"

    def take(self, value: object) -> Path:
        """Return the path, or raise NotAllowedError when something else than a folder is there."""
        path = _path(value)
        with suppress(OSError):  # who may not look there is told by what uses it
            if path.exists() and not path.is_dir():
                raise NotAllowedError
        return path


@dataclass(frozen=True)
class File:
    """A file that can be read; need not exist yet."""

    allowed: str = "the path of a file"

    def take(self, value: object) -> Path:
        """Return the path, or raise NotAllowedError when a folder is there."""
        path = _path(value)
        with suppress(OSError):
            if path.is_dir():
                raise NotAllowedError
        return path


@dataclass(frozen=True)
class Text:
    """Any text on one line."""

    allowed: str = "text on one line"

    def take(self, value: object) -> str:
        """Return the text, or raise NotAllowedError."""
        if not isinstance(value, str) or not value.isprintable():
            raise NotAllowedError
        return value


@dataclass(frozen=True)
class Optional:
    """A value of a kind, or empty text for none."""

    kind: Kind

    @property
    def allowed(self) -> str:
        """What a value may be."""
        return f"empty, or {self.kind.allowed}"

    def take(self, value: object) -> object:
        """Return the value, None for empty text, or raise NotAllowedError."""
        return None if value in ("", None) else self.kind.take(value)


def _path(value: object) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise NotAllowedError
    try:
        str(value).encode()  # LMDB and JSON take no other names
        return Path(value).expanduser()
    except (RuntimeError, UnicodeEncodeError) as error:  # the home of a user who is not there
        raise NotAllowedError from error


AE_TITLE = Pattern(
    r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?",
    "an AE title: 1 to 16 characters of printable ASCII, no backslash, no space at either end",
)
"""An application entity title (PS3.5 6.2, VR AE; PS3.8 9.3.2)."""
UID = Pattern(
    r"(?=.{1,64}$)(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+",
    "a UID: numbers without leading zeros, joined by dots, up to 64 characters",
)
"""A unique identifier (PS3.5 9.1)."""
TIER_NAME = Pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", "1 to 32 letters, digits, _ or -")
MODALITY = Pattern(r"[A-Z0-9][A-Z0-9_ ]{0,15}", 'a Modality (0008,0060), such as "CT"')
MODALITY_OR_SAME = Pattern(
    r"same|[A-Z0-9][A-Z0-9_ ]{0,15}", 'a Modality (0008,0060), or "same" as that which arrives'
)
BODY_PART = Pattern(
    r"[A-Z0-9][A-Z0-9_ ]{0,15}", 'a Body Part Examined (0018,0015), such as "CHEST"'
)
BODY_PART_OR_SAME = Pattern(
    r"same|[A-Z0-9][A-Z0-9_ ]{0,15}",
    'a Body Part Examined (0018,0015), or "same" as of that which arrives',
)
STATION = Pattern(r"[^\\\x00-\x1f]{1,16}", "a Station Name (0008,1010)")
BUCKET = Pattern(r"|[A-Za-z0-9][A-Za-z0-9._-]{1,62}", "empty, or the name of a bucket")
HOST = Pattern(r"[0-9A-Za-z._:%-]{1,253}", "a host name or IP address")
PATH_PREFIX = Pattern(r"(/[0-9A-Za-z._~-]+)+", 'a path such as "/dicom-web", no slash at its end')
ORIGIN = Pattern(r"\*|https?://[^/?#\s]+", '"*" or an origin such as "https://viewer.example"')
BASE_URL = Pattern(
    r"|https?://[^/?#\s]+(/[^?#\s]*[^/?#\s])?",
    "empty, or an http or https URL without query, no slash at its end",
)
