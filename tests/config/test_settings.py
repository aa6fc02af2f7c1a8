"""The table of settings, the sample file and the page agree with the rooms and with each other."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from vna.archive import (
    ArchiveSettings,
    CompactionSettings,
    RetentionSettings,
    ScrubSettings,
)
from vna.config import (
    ConfigError,
    ListenSettings,
    ProcessSettings,
    load,
    settings_page,
    toml,
    validate,
)
from vna.config.table import SECTIONS, TABLES
from vna.dimse import DimseSettings
from vna.observe import LogSettings
from vna.web import WebSettings
from vna.workflow import PolicySettings, PrefetchingSettings, PrefetchRule, TieringSettings

ROOMS = {
    "listen": ListenSettings,
    "process": ProcessSettings,
    "log": LogSettings,
    "archive": ArchiveSettings,
    "scrub": ScrubSettings,
    "compaction": CompactionSettings,
    "retention": RetentionSettings,
    "tiering": TieringSettings,
    "prefetching": PrefetchingSettings,
    "dimse": DimseSettings,
    "web": WebSettings,
}
TIERS = "[[tier]]\nname = 'hot'\n[[tier]]\nname = 'cold'\npath = '/cold'\n"
"""Tiers for the policy of the sample to name."""
DERIVED = {("archive", "tiers"), ("dimse", "remotes"), ("web", "ae_title")}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_each_field_of_a_room_is_a_setting(section):
    wanted = {field.name for field in fields(ROOMS[section.name])}
    known = {setting.name for setting in section.settings}
    assert known == wanted - {name for room, name in DERIVED if room == section.name}


def test_tiers_reach_the_archive(tmp_path):
    file = tmp_path / "vna.toml"
    file.write_text(
        "[archive]\ncodec = 'raw'\n"
        "[[tier]]\nname = 'ssd'\npath = '/ssd'\ncodec = 'zstd'\n"
        "[[tier]]\nname = 's3'\nkind = 's3'\nbucket = 'images'\naccess_key_file = '/run/key'\n"
    )
    config = load(file)
    first, second = config.archive.tiers
    assert config.archive.codec == "zstd"
    assert config.archive.packs == first.path == Path("/ssd")
    assert (second.bucket, second.access_key_file) == ("images", Path("/run/key"))
    assert second.path is None
    assert validate(config.document(), "again") == config


def test_policies_name_tiers_below_the_first(tmp_path):
    file = tmp_path / "vna.toml"
    rule = "[[policy]]\nname = 'old'\ndays = 30.5\nmodalities = ['CT', 'MR']\nto = "
    file.write_text(f"{TIERS}{rule}'cold'\n")
    (policy,) = load(file).policies
    assert policy == PolicySettings("old", "cold", 30.5, "received", ("CT", "MR"))
    for name in ("hot", "icy"):
        file.write_text(f"{TIERS}{rule}'{name}'\n")
        with pytest.raises(ConfigError, match="allowed: a tier below the first: cold"):
            load(file)


def test_prefetch_rules_send_to_remotes_that_take_it(tmp_path):
    file = tmp_path / "vna.toml"
    file.write_text(
        "[[remote]]\nae_title = 'WS'\nhost = 'ws'\nport = 104\n"
        "[[remote]]\nae_title = 'CT'\nhost = 'ct'\nport = 104\nmay = ['store']\n"
        "[[prefetch]]\nname = 'chest'\nmodalities = ['CT']\nprior_modalities = ['same', 'CR']\n"
        "[[prefetch]]\nname = 'any'\nsend_to = 'WS'\nat_most = 1\n"
    )
    config = load(file)
    assert config.prefetches == (
        PrefetchRule("chest", ("CT",), prior_modalities=("same", "CR")),
        PrefetchRule("any", send_to="WS", at_most=1),
    )
    assert config.prefetches_in_background
    assert validate(config.document(), "again") == config
    file.write_text(file.read_text().replace("send_to = 'WS'", "send_to = 'CT'"))
    with pytest.raises(ConfigError, match=r"send_to = \"CT\"; allowed: a \[\[remote\]\] .*: WS"):
        load(file)


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        (
            "high_watermark_percent = 90\n{cold}",
            "[[tier]] 1 low_watermark_percent = 0.0; allowed: more than 0 and less than high",
        ),
        (
            "high_watermark_percent = 80\nlow_watermark_percent = 80\n{cold}",
            "[[tier]] 1 low_watermark_percent = 80.0; allowed: more than 0 and less than high",
        ),
        (
            "{cold}high_watermark_percent = 90\nlow_watermark_percent = 80\n",
            "[[tier]] 2 high_watermark_percent = 90.0; allowed: 0; there is no tier below",
        ),
        (
            "[[tier]]\nname = 's3'\nkind = 's3'\nbucket = 'b12'\nhigh_watermark_percent = 9\n{cold}",
            "[[tier]] 2 high_watermark_percent = 9.0; allowed: 0; an S3 store is never full",
        ),
        ("copies = 0\n{cold}", "[[tier]] 1 copies = 0; allowed: a whole number from 1 to 127"),
        (
            "{cold}{policy}min_bytes = 10\nmax_bytes = 9\n",
            "[[policy]] 1 max_bytes = 9; allowed: 0, or min_bytes and more",
        ),
        (
            "{cold}{policy}since = 'accessed'\n[archive]\naccess_log_bytes = 0\n",
            '[[policy]] 1 since = "accessed"; allowed: another, or [archive] access_log_bytes above 0',
        ),
        ("{cold}{policy}departments = 'ER'\n", '[[policy]] 1 departments = "ER"; allowed: a list'),
        ("{cold}{policy}age = 3\n", "[[policy]] 1 age = 3; unknown; known here: name, to, days"),
    ],
)
def test_policies_and_watermarks_that_cannot_be_say_why(tmp_path, tables, problem):
    cold = "[[tier]]\nname = 'cold'\npath = '/cold'\n"
    policy = "[[policy]]\nname = 'old'\nto = 'cold'\ndays = 3\n"
    file = tmp_path / "vna.toml"
    file.write_text("[[tier]]\nname = 'hot'\n" + tables.format(cold=cold, policy=policy))
    with pytest.raises(ConfigError, match=re.escape(problem)):
        load(file)


def test_defaults_are_the_rooms_own():
    config = load()
    assert config.listen == ListenSettings()
    assert config.process == ProcessSettings()
    assert config.log == LogSettings()
    assert config.archive == ArchiveSettings(data=Path("data"))
    assert config.dimse == DimseSettings()
    assert config.web == WebSettings()


def test_sample_file_is_complete_and_holds_the_defaults(root):
    sample = root / "config/vna.toml"
    assert sample.read_text() == toml(load()), "run `make docs`"
    document = tomllib.loads(sample.read_text())
    assert document == {
        section.name: {
            setting.name: document[section.name][setting.name] for setting in section.settings
        }
        for section in SECTIONS
    }
    assert load(sample) == load()


@pytest.mark.parametrize(("section", "unique"), TABLES)
def test_commented_tables_of_the_sample_are_valid(root, tmp_path, section, unique):
    text = (root / "config/vna.toml").read_text()
    head, mark, tail = text.partition(f"# [[{section.name}]]\n")
    assert mark
    settings = [
        line
        for line in tail.partition("\n\n")[0].splitlines()
        if " = " in line and not line.startswith("# Allowed")
    ]
    file = tmp_path / "vna.toml"
    lines = "\n".join(line.removeprefix("# ") for line in settings)
    others = TIERS if section.name == "policy" else ""
    file.write_text(f"{head}[[{section.name}]]\n{lines}\n{others}")
    (table,) = load(file).tables[section.name]
    assert table[unique]
    assert len(settings) == len(section.settings)


def test_page_is_up_to_date_and_names_every_setting(root):
    page = (root / "docs/settings.md").read_text()
    assert page == settings_page(), "run `make docs`"
    for section in (*SECTIONS, *(section for section, _ in TABLES)):
        for setting in section.settings:
            assert f"| `{setting.name}` |" in page


def test_a_document_makes_an_equal_configuration(tmp_path):
    file = tmp_path / "vna.toml"
    file.write_text(
        '[listen]\nbind = "::1"\n[web]\nallowed_origins = ["https://a.example"]\n'
        '[[remote]]\nae_title = "A"\nhost = "h"\nport = 104\nmay = ["store", "echo"]\n'
    )
    config = load(file, {"--data": tmp_path / "d", "--workers": 3})
    again = validate(config.document(), "again")
    assert again == config
    assert again.archive.data == tmp_path / "d"
    assert again.dimse.remotes[0].may == {"store", "echo"}
    assert again.web.allowed_origins == ("https://a.example",)
    assert again.process.worker_count == 3


def test_printed_settings_load_again(tmp_path):
    first = tmp_path / "first.toml"
    first.write_text('[dimse]\nae_title = "PACS"\n[archive]\ndata = "/d \\"q\\""\n')
    config = load(first)
    second = tmp_path / "second.toml"
    second.write_text(toml(config))
    assert load(second) == config
