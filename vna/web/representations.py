"""Names for versions of what is sent: entity tags (RFC 9110 8.8.3)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from vna.archive import StoredObject

__all__ = ["entity_tag", "resource_tag"]


def entity_tag(objects: Iterable[StoredObject], *form: str) -> str:
    """Return a strong tag: equal as long as the same versions are sent in the same form.

    `form` is whatever else the bytes depend on. A store, an update and a delete change it.
    """
    parts = ["\0".join((*form, "")).encode()]
    for stored in objects:
        version = stored.version
        parts.append(f"{stored.study_uid}/{stored.series_uid}/{stored.sop_uid}\0".encode())
        parts += version.stamp.to_bytes(8, "big"), version.digest
    return f'"{blake2b(b"".join(parts), digest_size=16).hexdigest()}"'


def resource_tag(state: str, *form: str) -> str:
    """Return a strong tag of a study or series: equal as long as its `state` is."""
    digest = blake2b("\0".join((state, *form)).encode(), digest_size=16)
    return f'"{digest.hexdigest()}"'
