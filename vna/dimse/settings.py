"""Settings of the DIMSE room."""

from __future__ import annotations

from dataclasses import dataclass

from vna.types import Remote

__all__ = ["DimseSettings"]


@dataclass(frozen=True, slots=True)
class DimseSettings:
    """How the archive speaks DIMSE.

    Who: `ae_title` is ours; with `check_called_ae` a caller must name it. `remotes` are the known
    application entities, what each may do and where each listens; with `accept_unknown_callers`
    others may do everything but be the destination of a C-MOVE.

    What: `store_private_sop_classes` takes C-STORE of private SOP classes and of standard storage
    SOP classes newer than this program, `extra_sop_classes` those named; `extra_transfer_syntaxes`
    are stored beside those of PS3.6.

    How much: `max_pdu_length_bytes` is what we announce; `max_associations` counts per process;
    `receive_ahead_bytes` is held per association before its TCP window is closed, and
    `receive_buffer_bytes` sets SO_RCVBUF (0 leaves it to the kernel).

    How long: `artim_timeout_s` for a peer to say A-ASSOCIATE or to close, `idle_timeout_s` between
    operations, `dimse_timeout_s` within one, `connect_timeout_s` to reach a C-MOVE destination.
    """

    ae_title: str = "VNA"
    check_called_ae: bool = True
    accept_unknown_callers: bool = True
    remotes: tuple[Remote, ...] = ()
    store_private_sop_classes: bool = True
    extra_sop_classes: tuple[str, ...] = ()
    extra_transfer_syntaxes: tuple[str, ...] = ()
    max_pdu_length_bytes: int = 131_072
    max_associations: int = 1024
    receive_ahead_bytes: int = 1 << 20
    receive_buffer_bytes: int = 0
    artim_timeout_s: float = 30.0
    idle_timeout_s: float = 600.0
    dimse_timeout_s: float = 60.0
    connect_timeout_s: float = 10.0

    def remote(self, ae_title: str) -> Remote | None:
        """Return the known application entity of that title."""
        return next((known for known in self.remotes if known.ae_title == ae_title), None)
