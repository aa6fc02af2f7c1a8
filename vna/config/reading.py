"""From a TOML file and the command line to a whole, validated configuration."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vna.config.build import build
from vna.config.kinds import NotAllowedError, written
from vna.config.model import Config
from vna.config.table import REMOTE, SECTIONS, Section, Setting
from vna.errors import Invalid

__all__ = ["ConfigError", "Problem", "load", "validate"]

Values = dict[str, dict[str, object]]


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
    document: Mapping[str, object] = {}
    if file is not None:
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError([Problem(str(file), "file", "", f"{error.strerror}")]) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError([Problem(str(file), "file", "", f"is not TOML: {error}")]) from error
    return validate(document, str(file or "defaults"), options or {})


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
    check.unknown("", document, [*(section.name for section in SECTIONS), REMOTE.name])
    remotes = check.remotes(document.get(REMOTE.name, []))
    check.options(values, options or {})
    if not check.problems:
        check.whole(values, remotes)
    if check.problems:
        raise ConfigError(check.problems)
    return build(values, remotes)


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

    def remotes(self, given: object) -> list[dict[str, object]]:
        """Return the good `[[remote]]` tables."""
        if not isinstance(given, list):
            self._wrong("remote", "", "allowed: [[remote]] tables")
            return []
        remotes = []
        seen: dict[object, int] = {}
        for number, table in enumerate(given, 1):
            label = f"[[remote]] {number}"
            values = _defaults(REMOTE) | self.table(REMOTE, label, table)
            for setting in REMOTE.settings:
                if (
                    isinstance(table, Mapping)
                    and setting.default is None
                    and setting.name not in table
                ):
                    self._wrong(
                        f"{label} {setting.name}", "", f"is missing; {setting.kind.allowed}"
                    )
            ae_title = values.get("ae_title")
            if ae_title is not None and ae_title in seen:
                self._wrong(
                    f"{label} ae_title",
                    ae_title,
                    f"allowed: a title that [[remote]] {seen[ae_title]} does not have already",
                )
            seen.setdefault(ae_title, number)
            remotes.append(values)
        return remotes

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

    def whole(self, values: Values, remotes: list[dict[str, object]]) -> None:
        """Check what concerns several settings."""
        listen = build(values, remotes).listen
        if listen.dimse_port == listen.http_port != 0:
            self._wrong("[listen] http_port", listen.http_port, "allowed: another than dimse_port")
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

    def _wrong(self, key: str, value: object, allowed: str) -> None:
        shown = "" if value == "" else written(value)
        self.problems.append(Problem(self.source, key, shown, allowed))


def _with_option() -> Iterator[tuple[Section, Setting]]:
    for section in SECTIONS:
        for setting in section.settings:
            if setting.option:
                yield section, setting
