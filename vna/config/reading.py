"""From a TOML file and the command line to a whole, validated configuration."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vna.archive import TierSettings
from vna.config.build import build
from vna.config.kinds import NotAllowedError, written
from vna.config.model import Config
from vna.config.section import Section, Setting
from vna.config.table import SECTIONS, TABLES
from vna.errors import Invalid

__all__ = ["ConfigError", "Problem", "load", "parse", "validate"]

Values = dict[str, dict[str, object]]
Tables = dict[str, list[dict[str, object]]]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where it stands, what stands there, and what may."""

    source: str
    key: str
    value: str
    allowed: str

    def __str__(self) -> str:
        given = f" = {self.value}" if self.value else ""
        return f"{self.source}: {self.key}{given}; {self.allowed}"


class ConfigError(Invalid):
    """The configuration cannot be used; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def load(file: Path | None = None, options: Mapping[str, object] | None = None) -> Config:
    """Return the configuration of `file` (defaults alone when None), overridden by `options`.

    `options` maps an option of `vna serve`, such as `--bind`, to its value. Raises ConfigError
    with every problem of the file and of the options at once.
    """
    document = parse(file) if file is not None else {}
    return validate(document, str(file or "defaults"), options or {})


def parse(file: Path) -> dict[str, object]:
    """Return the document in a TOML file. Raises ConfigError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([Problem(str(file), "file", "", f"{error.strerror}")]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(str(file), "file", "", f"is not TOML: {error}")]) from error


def validate(
    document: Mapping[str, object], source: str, options: Mapping[str, object] | None = None
) -> Config:
    """Return the configuration that a parsed document describes. Raises ConfigError."""
    check = _Check(source)
    values: Values = {section.name: _defaults(section) for section in SECTIONS}
    for section in SECTIONS:
        values[section.name] |= check.table(
            section, f"[{section.name}]", document.get(section.name, {})
        )
    known = [*(section.name for section in SECTIONS), *(section.name for section, _ in TABLES)]
    check.unknown("", document, known)
    tables = {
        section.name: check.tables(section, unique, document.get(section.name, []))
        for section, unique in TABLES
    }
    check.options(values, options or {})
    if not check.problems:
        check.whole(values, tables)
    if check.problems:
        raise ConfigError(check.problems)
    return build(values, tables)


def _defaults(section: Section) -> dict[str, object]:
    return {
        setting.name: setting.kind.take(setting.default)
        for setting in section.settings
        if setting.default is not None
    }


class _Check:
    """Collects problems while a document is taken apart."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def table(self, section: Section, label: str, given: object) -> dict[str, object]:
        """Return the good values of one table."""
        if not isinstance(given, Mapping):
            self._wrong(label, given, "allowed: a table")
            return {}
        self.unknown(label, given, [setting.name for setting in section.settings])
        values = {}
        for name, value in given.items():
            setting = section.setting(name)
            if setting is None:
                continue
            try:
                values[name] = setting.kind.take(value)
            except NotAllowedError:
                self._wrong(f"{label} {name}", value, f"allowed: {setting.kind.allowed}")
        return values

    def unknown(self, label: str, given: Mapping[str, object], known: list[str]) -> None:
        """Report keys that do not exist, with the one that was meant where that can be told."""
        for name, value in given.items():
            if name in known:
                continue
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            key = f"{label} {name}" if label else f"[{name}]"
            self._wrong(key, "" if isinstance(value, dict | list) else value, f"unknown; {meant}")

    def tables(self, section: Section, unique: str, given: object) -> list[dict[str, object]]:
        """Return the good tables of a section of which there may be several."""
        if not isinstance(given, list):
            self._wrong(section.name, "", f"allowed: [[{section.name}]] tables")
            return []
        tables = []
        seen: dict[object, int] = {}
        for number, table in enumerate(given, 1):
            label = f"[[{section.name}]] {number}"
            values = _defaults(section) | self.table(section, label, table)
            for setting in section.settings:
                if (
                    isinstance(table, Mapping)
                    and setting.default is None
                    and setting.name not in table
                ):
                    self._wrong(
                        f"{label} {setting.name}", "", f"is missing; {setting.kind.allowed}"
                    )
            name = values.get(unique)
            if name is not None and name in seen:
                self._wrong(
                    f"{label} {unique}",
                    name,
                    f"allowed: one that [[{section.name}]] {seen[name]} does not have already",
                )
            seen.setdefault(name, number)
            tables.append(values)
        return tables

    def options(self, values: Values, options: Mapping[str, object]) -> None:
        """Put options of the command line in the place of what the file says."""
        self.source, file = "command line", self.source
        for section, setting in _with_option():
            if setting.option not in options:
                continue
            value = options[setting.option]
            try:
                values[section.name][setting.name] = setting.kind.take(value)
            except NotAllowedError:
                self._wrong(setting.option, value, f"allowed: {setting.kind.allowed}")
        self.source = file

    def whole(self, values: Values, tables: Tables) -> None:
        """Check what concerns several settings."""
        config = build(values, tables)
        listen = config.listen
        if listen.dimse_port == listen.http_port != 0:
            self._wrong("[listen] http_port", listen.http_port, "allowed: another than dimse_port")
        self._tiers(config.archive.tiers)
        self._policies(config)
        self._prefetches(config)
        if listen.loopback:
            return
        if not listen.allow_insecure:
            self._wrong(
                "[listen] bind",
                listen.bind,
                "allowed: a loopback address, or any with [listen] allow_insecure = true "
                "(nothing is encrypted)",
            )
        if values["dimse"]["accept_unknown_callers"]:
            self._wrong(
                "[listen] bind",
                listen.bind,
                "allowed: a loopback address, or any with [dimse] accept_unknown_callers = false "
                "and a [[remote]] table for each AE title that may call",
            )

    def _tiers(self, tiers: Sequence[TierSettings]) -> None:
        for number, tier in enumerate(tiers, 1):
            label = f"[[tier]] {number}"
            if tier.kind == "s3" and not tier.bucket:
                self._wrong(f"{label} bucket", "", 'is missing; a tier of kind "s3" needs one')
            if tier.kind == "s3" and number == 1:
                self._wrong(f"{label} kind", tier.kind, 'allowed: "directory" for the first tier')
            if tier.kind == "directory" and number > 1 and tier.path is None:
                self._wrong(f"{label} path", "", 'is missing; a tier of kind "directory" needs one')
            self._watermarks(label, tier, last=number == len(tiers))

    def _watermarks(self, label: str, tier: TierSettings, *, last: bool) -> None:
        high, low = tier.high_watermark_percent, tier.low_watermark_percent
        if not high and not low:
            return
        if tier.kind == "s3" or last:
            why = "an S3 store is never full" if tier.kind == "s3" else "there is no tier below"
            self._wrong(f"{label} high_watermark_percent", high, f"allowed: 0; {why}")
        elif not 0 < low < high:
            self._wrong(
                f"{label} low_watermark_percent",
                low,
                "allowed: more than 0 and less than high_watermark_percent",
            )

    def _policies(self, config: Config) -> None:
        lower = [tier.name for tier in config.archive.tiers[1:]]
        for number, policy in enumerate(config.policies, 1):
            label = f"[[policy]] {number}"
            if policy.to not in lower:
                names = ", ".join(lower) or "there is none below the first"
                self._wrong(f"{label} to", policy.to, f"allowed: a tier below the first: {names}")
            if 0 < policy.max_bytes < policy.min_bytes:
                self._wrong(
                    f"{label} max_bytes", policy.max_bytes, "allowed: 0, or min_bytes and more"
                )
            if policy.since == "accessed" and not config.archive.access_log_bytes:
                self._wrong(
                    f"{label} since",
                    policy.since,
                    "allowed: another, or [archive] access_log_bytes above 0",
                )

    def _prefetches(self, config: Config) -> None:
        known = [each.ae_title for each in config.remotes if "move_destination" in each.may]
        for number, rule in enumerate(config.prefetches, 1):
            if rule.send_to and rule.send_to not in known:
                names = ", ".join(known) or "there is none"
                allowed = f"allowed: a [[remote]] that may be a move_destination: {names}"
                self._wrong(f"[[prefetch]] {number} send_to", rule.send_to, allowed)

    def _wrong(self, key: str, value: object, allowed: str) -> None:
        shown = "" if value == "" else written(value)
        self.problems.append(Problem(self.source, key, shown, allowed))


def _with_option() -> Iterator[tuple[Section, Setting]]:
    for section in SECTIONS:
        for setting in section.settings:
            if setting.option:
                yield section, setting
