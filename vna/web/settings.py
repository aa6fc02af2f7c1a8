"""Settings of the HTTP front."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WebSettings"]


@dataclass(frozen=True, slots=True)
class WebSettings:
    """How the HTTP front answers.

    `prefix` is where DICOMweb lives. `base_url` ("https://host/path", no trailing slash) begins
    every address that is given out; empty, it is made from each request, and from Forwarded or
    X-Forwarded-* only with `trust_proxy`. `compat_204` answers a search without matches with 204
    instead of an empty list. `qido_max_results` is the most that one search returns; the rest is
    paged. A body over `max_body_bytes` (0: any size) is refused, one that stalls for
    `read_timeout_s` is given up. Up to `stow_commits` instances of a request commit at once,
    holding up to `stow_commit_bytes`. Metadata of studies and series is kept ready in up to
    `metadata_cache_bytes`. `ae_title` is named in the file meta information of files
    made here. Browsers of `allowed_origins` ("*": all) may use the answers.
    """

    prefix: str = "/dicom-web"
    base_url: str = ""
    trust_proxy: bool = False
    ae_title: str = "VNA"
    allowed_origins: tuple[str, ...] = ()
    compat_204: bool = False
    qido_max_results: int = 100_000
    max_body_bytes: int = 0
    read_timeout_s: float = 60.0
    keepalive_timeout_s: float = 75.0
    stow_commits: int = 16
    stow_commit_bytes: int = 64 << 20
    metadata_cache_bytes: int = 64 << 20
