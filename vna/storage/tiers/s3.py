"""A tier in a bucket of an S3-compatible store: a pack is one object, read by ranges."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import obstore
from obstore import exceptions
from obstore.store import S3Store

from vna.storage.format import pack_name

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

    from vna._native import Buffer
    from vna.types import PackId

__all__ = ["S3Settings", "S3Tier"]

PART: Final = 16 << 20
"""Bytes of a part of an upload; 10,000 parts at most make 156 GiB."""
PARTS_AT_ONCE: Final = 4
READ_PIECE: Final = 4 << 20
FORBIDDEN: Final = 403
NO_BUCKET: Final = "NoSuchBucket"
BEHIND_THE_END: Final = 416
"""Of a range that begins there."""
_MARKER: Final = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n")
_NAME: Final = re.compile(r"([0-9a-f]{8})-([0-9a-f]{8})\.pack")
_STATUS: Final = re.compile(r"status code: (\d{3}) ([^:\n]*)")
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_FAILED: Final = re.compile(r"HttpError \{\s+kind: (\w+)")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where the bucket is, and how it is asked.

    `endpoint` is empty for AWS itself. A request is tried again, with growing pauses and jitter,
    up to `retries` times and `retry_for_s` in all; the first pause is of `pause_s`. An answer must
    begin within `read_timeout_s`, and go on; an upload has `upload_timeout_s` for each part, and its
    answer.
    `server_side_encryption` is empty, "AES256" or "aws:kms" (with `kms_key_id`); `storage_class`
    empty or one of the store's.
    """

    bucket: str
    endpoint: str = ""
    region: str = "us-east-1"
    prefix: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    allow_http: bool = False
    storage_class: str = ""
    server_side_encryption: str = ""
    kms_key_id: str = ""
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 20.0
    upload_timeout_s: float = 120.0
    retries: int = 3
    retry_for_s: float = 30.0
    pause_s: float = 0.1


class S3Tier:
    """Packs as objects below the prefix of a bucket, beside the object `tier`."""

    def __init__(self, settings: S3Settings, *, new: bool = True) -> None:
        self._new = new
        self._settings = settings
        self._prefix = f"{settings.prefix.strip('/')}/" if settings.prefix.strip("/") else ""
        self._identity = ""
        self._store = _store(settings, settings.read_timeout_s)
        self._uploads = _store(settings, settings.upload_timeout_s)

    @property
    def identity(self) -> str:
        """The UUID in the object `tier`; made where there are no packs yet, if the tier may be new.

        Else that is ConnectionError: the bucket is another one, or was emptied.
        """
        if not self._identity:
            self._identity = self._known_identity()
        return self._identity

    def put(self, pack: PackId, pieces: Iterable[Buffer]) -> int:
        """Upload a pack in parts; it appears when the last one is there."""
        key = self._key(pack)
        counted = _Counted(pieces)
        attributes = self._settings.storage_class
        with self._asking(f"{key} cannot be uploaded"):
            if self._there(key):
                raise FileExistsError(17, "the bucket has a pack of that name", key)
            obstore.put(
                self._uploads,
                key,
                iter(counted),
                chunk_size=PART,
                max_concurrency=PARTS_AT_ONCE,
                attributes={"Storage-Class": attributes} if attributes else None,
            )
        return counted.size

    def open(self, pack: PackId) -> S3Reader:
        """Return a reader of a pack; asks for its size only where that is needed."""
        return S3Reader(self, self._key(pack))

    def list(self) -> list[tuple[PackId, int]]:
        """Return the packs below the prefix, ascending by id."""
        found = []
        with self._asking("the bucket cannot be listed"):
            for batch in obstore.list(self._store, self._prefix or None):
                for entry in batch:
                    if name := _NAME.fullmatch(entry["path"].removeprefix(self._prefix)):
                        pack = int(name[1], 16) << 32 | int(name[2], 16)
                        found.append((pack, entry["size"]))
        return sorted(found)

    def remove(self, pack: PackId) -> None:
        """Delete the object of a pack."""
        key = self._key(pack)
        with self._asking(f"{key} cannot be removed"):
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError as error:
                if _code(error) == NO_BUCKET:
                    raise

    def size(self, key: str) -> int:
        """Return the size of an object. FileNotFoundError where there is none."""
        with self._asking(f"{key} cannot be asked for"):
            return obstore.head(self._store, key)["size"]

    def stream(self, key: str, start: int, stop: int) -> Iterator[Buffer]:
        """Yield bytes `[start, stop)` of an object, from one GET; fewer only where it ends."""
        with self._asking(f"{key} cannot be read"):
            try:
                answer = obstore.get(self._store, key, options={"range": (start, stop)})
            except exceptions.BaseError as error:
                if _status(error) == BEHIND_THE_END:
                    return
                raise
            yield from answer.stream(min_chunk_size=READ_PIECE)

    def _there(self, key: str) -> bool:
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        return True

    def _known_identity(self) -> str:
        key = f"{self._prefix}tier"
        with self._asking("the bucket's marker cannot be read"):
            if not self._there(key):
                if not self._new:
                    raise ConnectionError(f"bucket {self._settings.bucket} is no tier: no {key}")
                if self.list():
                    raise OSError(5, "packs without the marker `tier`", key)
                made = str(uuid.uuid4())
                with suppress(exceptions.AlreadyExistsError):  # another process was first
                    obstore.put(self._store, key, f"{made}\n".encode(), mode="create")
                    return made
            held = bytes(obstore.get(self._store, key).bytes())
        if not _MARKER.fullmatch(held):
            raise ConnectionError(f"bucket {self._settings.bucket}: {key} is no marker of a tier")
        return held.decode("ascii").strip()

    def _key(self, pack: PackId) -> str:
        return f"{self._prefix}{pack_name(pack)}.pack"

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Turn what the client raises into the errors of the contract."""
        where = f"bucket {self._settings.bucket}"
        try:
            yield
        except FileNotFoundError as error:
            if _code(error) == NO_BUCKET:
                raise ConnectionError(f"{where}: {what}: there is no such bucket") from error
            raise FileNotFoundError(2, f"{where}: {what}: there is no such object") from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise _refused(error, f"{where}: {what}") from error
        except exceptions.BaseError as error:
            if _status(error) == FORBIDDEN:  # of a list request the client makes no more than that
                raise _refused(error, f"{where}: {what}") from error
            raise _away(str(error), f"{where}: {what}") from error


class S3Reader:
    """A pack in a bucket; each read is one GET of that range."""

    def __init__(self, tier: S3Tier, key: str) -> None:
        self._tier = tier
        self._key = key
        self._size: int | None = None

    def size(self) -> int:
        """Return the pack's size, asked for once: a pack here never changes."""
        if self._size is None:
            self._size = self._tier.size(self._key)
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Return a range of the pack."""
        return b"".join(self.stream(offset, length))

    def read_present(self, offset: int, length: int) -> bytes | None:  # noqa: ARG002
        """Return None: it is far away."""
        return None

    def stream(self, offset: int, length: int) -> Iterator[Buffer]:
        """Yield a range of the pack piece by piece, from one GET."""
        if length <= 0:
            return
        yield from self._tier.stream(self._key, offset, offset + length)

    def close(self) -> None:
        """Nothing is held."""


class _Counted:
    """Passes buffers on, and counts their bytes."""

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._pieces = pieces
        self.size = 0

    def __iter__(self) -> Iterator[Buffer]:
        for piece in self._pieces:
            self.size += len(piece)
            yield piece


def _store(settings: S3Settings, timeout_s: float) -> S3Store:
    return S3Store(
        settings.bucket,
        config=_config(settings),
        client_options=_client(settings, timeout_s),
        retry_config=_retry(settings),
    )


def _config(settings: S3Settings) -> S3Config:
    config: S3Config = {
        "region": settings.region,
        "virtual_hosted_style_request": False,
        "disable_bulk_delete": True,
    }
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    if settings.access_key:
        config["access_key_id"] = settings.access_key
        config["secret_access_key"] = settings.secret_key
    if settings.server_side_encryption:
        config["server_side_encryption"] = settings.server_side_encryption
    if settings.kms_key_id:
        config["sse_kms_key_id"] = settings.kms_key_id
    return config


def _client(settings: S3Settings, timeout_s: float) -> ClientConfig:
    return {
        "allow_http": settings.allow_http,
        "connect_timeout": timedelta(seconds=settings.connect_timeout_s),
        "read_timeout": timedelta(seconds=timeout_s),
        "timeout": timedelta(hours=1),  # of a whole body; the read timeout finds what stalls
    }


def _retry(settings: S3Settings) -> RetryConfig:
    return {
        "max_retries": settings.retries,
        "retry_timeout": timedelta(seconds=settings.retry_for_s),
        "backoff": {
            "init_backoff": timedelta(seconds=settings.pause_s),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }


def _status(error: exceptions.BaseError) -> int:
    """Return the HTTP status that an error is about, or 0."""
    told = _STATUS.search(str(error))
    return int(told[1]) if told else 0


def _code(error: Exception) -> str:
    """Return the code of the store's error, or nothing: the answer to a HEAD has none."""
    told = _CODE.search(str(error))
    return told[1] if told else ""


def _refused(error: Exception, what: str) -> PermissionError:
    code = _code(error)
    return PermissionError(13, f"{what}: refused{f', {code}' if code else ''}")


def _away(text: str, what: str) -> OSError:
    """Return the error that what the client says is: it says it in words alone, and in many."""
    if told := _STATUS.search(text):
        code = _CODE.search(text)
        return ConnectionError(
            f"{what}: the store answers {told[1]} {code[1] if code else told[2]}"
        )
    failed = _FAILED.search(text)
    if failed and failed[1] == "Timeout":
        return TimeoutError(f"{what}: no answer in time")
    if failed and failed[1] == "Connect":
        return ConnectionError(f"{what}: no connection")
    if failed:
        return ConnectionError(f"{what}: the connection broke")
    return ConnectionError(f"{what}: {text.strip().splitlines()[0][:200]}")
