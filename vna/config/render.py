"""Settings as text: a commented TOML file, and the page of the manual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from vna.config.kinds import written
from vna.config.model import Config
from vna.config.section import Setting
from vna.config.table import SECTIONS, TABLES

__all__ = ["settings_page", "toml"]


EXAMPLES: Mapping[str, Mapping[str, object]] = {
    "remote": {"ae_title": "WORKSTATION", "host": "127.0.0.1", "port": 11113},
    "tier": {"name": "hot", "path": "packs"},
    "policy": {"name": "old", "to": "cold", "days": 365.0},
    "prefetch": {"name": "priors"},
}
"""What a file of settings shows, as a comment, where there is no such table."""


def toml(config: Config) -> str:
    """Return a file of settings that says what `config` says, with a comment for each key."""
    return "\n".join(_toml(config.document())) + "\n"


def _toml(document: Mapping[str, object]) -> Iterator[str]:
    yield "# Settings of the archive. Every setting is listed; those left out keep their defaults."
    yield "# `vna config check FILE` validates a file; docs/settings.md is the same list as a page."
    for section in SECTIONS:
        yield ""
        yield f"# {section.about}"
        yield f"[{section.name}]"
        values = cast("Mapping[str, object]", document[section.name])
        for number, setting in enumerate(section.settings):
            if number:
                yield ""
            yield from _comment(setting)
            yield f"{setting.name} = {written(values[setting.name])}"
    for section, _ in TABLES:
        yield ""
        yield from (f"# {line}" for line in section.about.split("\n"))
        tables = cast("list[Mapping[str, object]]", document[section.name])
        for table in tables or [EXAMPLES[section.name]]:
            mark = "" if tables else "# "
            yield f"{mark}[[{section.name}]]"
            for setting in section.settings:
                yield from _comment(setting)
                yield f"{mark}{setting.name} = {written(table.get(setting.name, setting.default))}"


def _comment(setting: Setting) -> Iterator[str]:
    yield from (f"# {line}" for line in setting.about.split("\n"))
    yield f"# Allowed: {setting.kind.allowed}."


def settings_page() -> str:
    """Return docs/settings.md."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "`vna serve --config FILE` reads a file of settings (TOML). Keys that are left out keep their"
    yield "defaults, and an option of the command line wins over the file. `config/vna.toml` lists every"
    yield "setting; `vna config check FILE` validates a file and names each problem with file, key, value"
    yield "and what is allowed; `vna config show --config FILE` prints what is in effect."
    yield ""
    yield "This page is written by `make docs`; a test fails when it is out of date."
    several = [section for section, _ in TABLES]
    for section in (*SECTIONS, *several):
        heading = f"[[{section.name}]]" if section in several else f"[{section.name}]"
        yield ""
        yield f"## {heading}"
        yield section.about.replace("\n", " ")
        yield ""
        yield "| key | default | allowed | meaning |"
        yield "|---|---|---|---|"
        for setting in section.settings:
            default = "" if setting.default is None else f"`{written(setting.default)}`"
            about = setting.about.replace("\n", " ")
            option = f" Option: `{setting.option}`." if setting.option else ""
            yield f"| `{setting.name}` | {default} | {setting.kind.allowed} | {about}{option} |"
