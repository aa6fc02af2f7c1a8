"""From settings to tiers: which there are, what their numbers are, and who they are.

`DATA/tiers.toml` remembers for ever what was used: each tier's name, number and identity. So a
tier that is renamed away keeps its number, and a disk or bucket in the place of another is told.
"""

from __future__ import annotations

import fcntl
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from vna.clock import Clock
from vna.errors import Invalid, Unavailable
from vna.folders import write_durably
from vna.storage import (
    HOT,
    BreakerTier,
    CachedTier,
    CodecName,
    DirectoryTier,
    ExtentCache,
    HotTier,
    MarkedTier,
    MeteredTier,
    QueuedTier,
    S3Settings,
    S3Tier,
    Tier,
)

__all__ = [
    "TIERS_FILE",
    "TierSettings",
    "Tiers",
    "hot_path",
    "lower_tiers",
    "open_tiers",
    "tier_numbers",
    "tiers_moved",
]

TIERS_FILE = "tiers.toml"
HOT_NAME = "hot"
MOST_TIERS = 127


@dataclass(frozen=True, slots=True)
class TierSettings:
    """One tier. `path` is of a directory, relative to the data folder; the rest of a bucket.

    The key files hold a credential each, on one line. `requests_at_once` bounds the operations
    under way; a hard disk is fastest with few. A request to a bucket without an answer for
    `timeout_s` has failed; one that failed before is made again, up to `retries` times. `codec` is
    how chunks are stored when they come.
    It lets go of a blob when `copies` tiers below it keep the blob. When its disk is fuller than
    `high_watermark_percent` (0: never), series that were not read for longest go one tier down,
    until it is at `low_watermark_percent`.
    What is read from a bucket is kept in the cache, from a directory if it is `cached`.

    The rest is for simulations alone: bytes of its disk, what a GB costs in a month, how long the
    first byte takes and how quick the others are. 0 of them is as is usual for its kind.
    """

    name: str
    kind: Literal["directory", "s3"] = "directory"
    path: Path | None = None
    endpoint: str = ""
    bucket: str = ""
    region: str = "us-east-1"
    prefix: str = ""
    access_key_file: Path | None = None
    secret_key_file: Path | None = None
    allow_http: bool = False
    storage_class: str = ""
    server_side_encryption: str = ""
    kms_key_id: str = ""
    codec: CodecName = "raw"
    requests_at_once: int = 16
    timeout_s: float = 10.0
    retries: int = 3
    copies: int = 1
    high_watermark_percent: float = 0.0
    low_watermark_percent: float = 0.0
    cached: bool = False
    capacity_bytes: int = 0
    cost_per_gb_month: float = 0.0
    first_byte_ms: float = 0.0
    bytes_per_s: float = 0.0

    @property
    def far(self) -> bool:
        """Whether the cache is before it."""
        return self.kind == "s3" or self.cached


@dataclass(frozen=True, slots=True)
class Tiers:
    """The tiers of an archive: the hot one, and those below it by number, as `names` has them.

    `folders` are those of the tiers that are directories.
    """

    hot: HotTier
    lower: dict[int, Tier]
    names: dict[int, TierSettings]
    folders: dict[int, Path]
    cache: ExtentCache | None
    breakers: dict[str, BreakerTier]

    @property
    def copies(self) -> dict[int, int]:
        """How many tiers below a tier must keep what it lets go of."""
        return {number: settings.copies for number, settings in self.names.items()}

    def number(self, name: str) -> int:
        """Return the number of a tier. Raises Invalid, with the names there are."""
        for number, settings in self.names.items():
            if settings.name == name:
                return number
        known = ", ".join(settings.name for settings in self.names.values())
        raise Invalid(f"there is no tier {name}; there are {known}")


def hot_path(data: Path, settings: Sequence[TierSettings]) -> Path:
    """Return the folder of the hot tier: the first of the tiers, or DATA/packs without any."""
    if not settings or settings[0].path is None:
        return data / "packs"
    return data / settings[0].path


def open_tiers(
    data: Path,
    settings: Sequence[TierSettings],
    cache_bytes: int,
    clock: Clock,
    hot: HotTier | None = None,
    *,
    directory: Callable[[Path], HotTier] = DirectoryTier,
    min_free_bytes: int = 0,
) -> Tiers:
    """Return the tiers of the archive at `data`; `hot` in the place of the first, if given.

    Else `directory` opens that. It is there or Unavailable is raised; the others may be away. Their
    cache leaves twice `min_free_bytes` of its disk free. Raises Invalid for settings that do not
    fit together, or that are not those of the packs there are.
    """
    _check(settings)
    path = hot_path(data, settings)
    if path.resolve() != (data / "packs").resolve() and any((data / "packs").glob("*.pack")):
        raise Invalid(f"{data / 'packs'} holds packs: name it as the path of the first tier")
    book = _Book(data / TIERS_FILE)
    if hot is None:
        try:
            hot = directory(path)
        except (OSError, ValueError) as error:
            raise Unavailable(f"the pack directory {path} cannot be used: {error}") from error
        book.meet(HOT_NAME, hot.identity)
    first = settings[0] if settings else TierSettings(HOT_NAME)
    far = any(each.far for each in settings[1:])
    cache = None
    if far and cache_bytes:
        cache = ExtentCache(data / "cache", cache_bytes, 2 * min_free_bytes)
    tiers = Tiers(hot, {}, {HOT: first}, {HOT: path}, cache, {})
    last = HOT
    for each in settings[1:]:
        number, known = book.entry(each.name)
        if number < last:  # copies are served, and let go of, by number
            raise Invalid(
                f"tier {each.name} was there before {tiers.names[last].name}: it must come first"
            )
        last = number
        marked = MarkedTier(
            partial(_opened, data, each, new=not known), known, partial(book.meet_lower, each.name)
        )
        tier: Tier = MeteredTier(QueuedTier(marked, each.requests_at_once))
        if each.kind == "s3":  # a directory that is away says so at once
            tier = tiers.breakers[each.name] = BreakerTier(tier, each.name, clock)
        tiers.lower[number] = CachedTier(tier, cache) if each.far and cache else tier
        tiers.names[number] = each
        if each.kind == "directory" and each.path is not None:
            tiers.folders[number] = data / each.path
    return tiers


def lower_tiers(data: Path) -> str:
    """Return what is remembered of the tiers below the hot one, as the file has it, for a backup.

    The hot tier of a restored archive is another one.
    """
    known = _Book(data / TIERS_FILE).known()
    return _text({name: each for name, each in known.items() if each[0] != HOT})


def tiers_moved(text: str, identities: Mapping[int, str]) -> str:
    """Return what `lower_tiers` returned, with other identities for some numbers. Raises Invalid.

    Old backups have the hot tier, too; it is left out.
    """
    known = {
        name: (number, identities.get(number, identity))
        for name, (number, identity) in _parsed(text).items()
        if number != HOT
    }
    return _text(known)


def tier_numbers(text: str) -> dict[int, str]:
    """Return the names of tiers by number, from what `lower_tiers` returned. Raises Invalid."""
    return {number: name for name, (number, _) in _parsed(text).items()}


def _check(settings: Sequence[TierSettings]) -> None:
    """Raise Invalid for tiers that cannot be, naming the tier."""
    seen: set[str] = set()
    for place, each in enumerate(settings):
        if each.name in seen:
            raise Invalid(f"tier {each.name} is there twice")
        seen.add(each.name)
        if place == 0 and each.kind != "directory":
            raise Invalid(f"tier {each.name} is the first, the hot one: it must be a directory")
        if each.kind == "directory" and place and each.path is None:
            raise Invalid(f"tier {each.name} is a directory: it needs a path")
        if each.kind == "s3" and not each.bucket:
            raise Invalid(f"tier {each.name} is an S3 store: it needs a bucket")


def _opened(data: Path, settings: TierSettings, *, new: bool) -> Tier:
    if settings.kind == "directory":
        assert settings.path is not None, "checked"
        return DirectoryTier(data / settings.path, new=new)
    return S3Tier(
        S3Settings(
            settings.bucket,
            settings.endpoint,
            settings.region,
            settings.prefix,
            access_key=_secret(settings.access_key_file),
            secret_key=_secret(settings.secret_key_file),
            allow_http=settings.allow_http,
            storage_class=settings.storage_class,
            server_side_encryption=settings.server_side_encryption,
            kms_key_id=settings.kms_key_id,
            read_timeout_s=settings.timeout_s,
            retries=settings.retries,
            retry_for_s=settings.timeout_s,  # what had no answer in time is not waited for again
        ),
        new=new,
    )


def _secret(path: Path | None) -> str:
    """Return the credential of a key file, read whenever the tier is opened: it may be replaced.

    PermissionError where there is none just now, as of one that the store refuses.
    """
    if path is None:
        return ""
    try:
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PermissionError(13, f"the key file {path} cannot be read: {error}") from error
    if not secret:  # without one the client would look for others, in this machine's surroundings
        raise PermissionError(13, f"the key file {path} is empty")
    return secret


class _Book:
    """The file of tiers that were used. Safe beside other processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entry(self, name: str) -> tuple[int, str]:
        """Return the number of a tier, given to it now if it has none, and its known identity."""
        with self._locked():
            known = self.known()
            if name not in known:
                number = max((number for number, _ in known.values()), default=HOT) + 1
                if number > MOST_TIERS:
                    raise Invalid(f"an archive has at most {MOST_TIERS} tiers in its life")
                known[name] = (number, "")
                self._write(known)
            return known[name]

    def meet(self, name: str, identity: str) -> None:
        """Remember the identity of a tier. Raises Invalid where it is another than before."""
        with self._locked():
            known = self.known()
            number, before = known.get(name, (HOT, ""))
            if before not in ("", identity):
                raise Invalid(f"tier {name} was {before} until now, and is {identity}")
            if not before:
                known[name] = (number, identity)
                self._write(known)

    def meet_lower(self, name: str, identity: str) -> None:
        """Do the same for a tier that may be away: then ConnectionError is raised."""
        try:
            self.meet(name, identity)
        except Invalid as error:
            raise ConnectionError(str(error)) from error

    def known(self) -> dict[str, tuple[int, str]]:
        """Return number and identity of the tiers by name. Raises Invalid."""
        try:
            return _parsed(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise Invalid(f"{self._path} cannot be read: {error}") from error

    def _write(self, known: dict[str, tuple[int, str]]) -> None:
        write_durably(self._path, _text(known).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _parsed(text: str) -> dict[str, tuple[int, str]]:
    try:
        tables = tomllib.loads(text)
        return {name: (each["number"], each["identity"]) for name, each in tables.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid(f"what is remembered of tiers cannot be read: {error}") from error


def _text(known: dict[str, tuple[int, str]]) -> str:
    return "\n".join(
        f"[{json.dumps(name)}]\nnumber = {number}\nidentity = {json.dumps(identity)}\n"
        for name, (number, identity) in known.items()
    )
