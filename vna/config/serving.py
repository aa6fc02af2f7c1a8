"""Settings of the processes that serve, and of the fronts."""

from __future__ import annotations

from vna.config.kinds import (
    AE_TITLE,
    BASE_URL,
    ORIGIN,
    PATH_PREFIX,
    UID,
    Address,
    Flag,
    Real,
    Several,
    Whole,
    Word,
)
from vna.config.model import ListenSettings, ProcessSettings
from vna.config.section import Section, Setting, defaults_of
from vna.dimse import DimseSettings
from vna.observe import LogSettings
from vna.web import WebSettings

__all__ = ["SERVING"]

GIB = 1 << 30

listen = defaults_of(ListenSettings)
process = defaults_of(ProcessSettings)
log = defaults_of(LogSettings)
dimse = defaults_of(DimseSettings)
web = defaults_of(WebSettings)
PORT = Whole(0, 65_535)

SERVING: tuple[Section, ...] = (
    Section(
        "listen",
        "Where the archive listens.",
        (
            Setting(
                "bind",
                Address(),
                listen["bind"],
                "Address of both fronts. Any other than a loopback address needs allow_insecure = true\n"
                "and [dimse] accept_unknown_callers = false.",
                "--bind",
            ),
            Setting(
                "dimse_port",
                PORT,
                listen["dimse_port"],
                "TCP port for DIMSE associations; 0 takes a free one.",
                "--dimse-port",
            ),
            Setting(
                "http_port",
                PORT,
                listen["http_port"],
                "TCP port for DICOMweb; 0 takes a free one.",
                "--http-port",
            ),
            Setting(
                "allow_insecure",
                Flag(),
                listen["allow_insecure"],
                "Listen beyond this machine although nothing is encrypted and HTTP has no log-in.\n"
                "Say true only on a network that you trust.",
            ),
        ),
    ),
    Section(
        "process",
        "The processes that serve.",
        (
            Setting(
                "workers",
                Whole(0, 64),
                process["workers"],
                "Worker processes; 0 means one for each processor, up to four.",
                "--workers",
            ),
            Setting(
                "drain_s",
                Real(0, 3600),
                process["drain_s"],
                "Seconds that associations and requests may take to end after SIGTERM.",
            ),
        ),
    ),
    Section(
        "log",
        "What is logged to standard error.",
        (
            Setting(
                "level",
                Word(("debug", "info", "warning", "error")),
                log["level"],
                "The least severe event that is logged.",
            ),
            Setting(
                "form",
                Word(("text", "json")),
                log["form"],
                "A line of text per event, or a JSON object per line.",
            ),
        ),
    ),
    Section(
        "dimse",
        "DIMSE associations (PS3.7, PS3.8).",
        (
            Setting(
                "ae_title",
                AE_TITLE,
                dimse["ae_title"],
                "The archive's own AE title.",
                "--ae-title",
            ),
            Setting(
                "check_called_ae",
                Flag(),
                dimse["check_called_ae"],
                "A caller must name our AE title.",
            ),
            Setting(
                "accept_unknown_callers",
                Flag(),
                dimse["accept_unknown_callers"],
                "Callers that no [[remote]] names may do everything but be the destination of a C-MOVE.",
            ),
            Setting(
                "store_private_sop_classes",
                Flag(),
                dimse["store_private_sop_classes"],
                "Take C-STORE of private SOP classes, and of standard ones newer than this program.",
            ),
            Setting(
                "extra_sop_classes",
                Several(UID),
                dimse["extra_sop_classes"],
                "SOP classes taken beside those known.",
            ),
            Setting(
                "extra_transfer_syntaxes",
                Several(UID),
                dimse["extra_transfer_syntaxes"],
                "Transfer syntaxes taken beside those of PS3.6.",
            ),
            Setting(
                "max_pdu_length_bytes",
                Whole(4096, 16 << 20),
                dimse["max_pdu_length_bytes"],
                "The largest P-DATA-TF PDU that a peer may send.",
            ),
            Setting(
                "max_associations",
                Whole(1, 65_535),
                dimse["max_associations"],
                "Associations of each worker; more are refused for now (local limit exceeded).",
            ),
            Setting(
                "receive_ahead_bytes",
                Whole(1 << 16, GIB),
                dimse["receive_ahead_bytes"],
                "Bytes held per association before its TCP window closes.",
            ),
            Setting(
                "receive_buffer_bytes",
                Whole(0, GIB),
                dimse["receive_buffer_bytes"],
                "SO_RCVBUF of an association; 0 leaves it to the kernel.",
            ),
            Setting(
                "artim_timeout_s",
                Real(1, 3600),
                dimse["artim_timeout_s"],
                "Seconds for a peer to send A-ASSOCIATE-RQ, or to close after release (ARTIM).",
            ),
            Setting(
                "idle_timeout_s",
                Real(1, 86_400),
                dimse["idle_timeout_s"],
                "Seconds between operations, after which a forgotten association is aborted.",
            ),
            Setting(
                "dimse_timeout_s",
                Real(1, 86_400),
                dimse["dimse_timeout_s"],
                "Seconds that a peer may be silent within an operation.",
            ),
            Setting(
                "connect_timeout_s",
                Real(1, 3600),
                dimse["connect_timeout_s"],
                "Seconds to reach a C-MOVE destination.",
            ),
        ),
    ),
    Section(
        "web",
        "DICOMweb (PS3.18).",
        (
            Setting(
                "prefix",
                PATH_PREFIX,
                web["prefix"],
                "Path below which DICOMweb lives.",
            ),
            Setting(
                "base_url",
                BASE_URL,
                web["base_url"],
                "What begins every address that is given out; empty: made from each request.",
            ),
            Setting(
                "trust_proxy",
                Flag(),
                web["trust_proxy"],
                "Believe Forwarded and X-Forwarded-* of requests; only behind a proxy that sets them.",
            ),
            Setting(
                "allowed_origins",
                Several(ORIGIN),
                web["allowed_origins"],
                'Web pages of these origins may use the answers (CORS); "*" is all.',
            ),
            Setting(
                "compat_204",
                Flag(),
                web["compat_204"],
                "Answer a search without matches with 204 instead of an empty list.",
            ),
            Setting(
                "qido_max_results",
                Whole(1, 10_000_000),
                web["qido_max_results"],
                "Most answers that one search gives; the rest is paged.",
            ),
            Setting(
                "max_body_bytes",
                Whole(0, 1024 * GIB),
                web["max_body_bytes"],
                "A larger request body is refused; 0 is any size.",
            ),
            Setting(
                "read_timeout_s",
                Real(1, 3600),
                web["read_timeout_s"],
                "Seconds that a request body may stall.",
            ),
            Setting(
                "keepalive_timeout_s",
                Real(1, 3600),
                web["keepalive_timeout_s"],
                "Seconds that an idle connection is kept.",
            ),
            Setting(
                "stow_commits",
                Whole(1, 1024),
                web["stow_commits"],
                "Instances of one STOW-RS request that commit at once.",
            ),
            Setting(
                "stow_commit_bytes",
                Whole(1 << 20, 4 * GIB),
                web["stow_commit_bytes"],
                "Bytes that those may hold in memory.",
            ),
            Setting(
                "metadata_cache_bytes",
                Whole(0, 64 * GIB),
                web["metadata_cache_bytes"],
                "Bytes of each worker in which metadata of studies and series is kept ready.",
            ),
        ),
    ),
)
