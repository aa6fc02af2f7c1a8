"""Whatever is wrong with a configuration is reported at once: file, key, value, what is allowed."""

import os
from pathlib import Path

import pytest

from vna.config import ConfigError, load


@pytest.fixture
def problems(tmp_path):
    """Return the lines that a file of settings (or options) is refused with."""

    def of(text, **options):
        file = tmp_path / "vna.toml"
        file.write_text(text)
        with pytest.raises(ConfigError) as refused:
            load(file, {"--" + name.replace("_", "-"): value for name, value in options.items()})
        lines = str(refused.value).splitlines()
        assert len(lines) == len(refused.value.problems)
        return [line.replace(str(file), "FILE") for line in lines]

    return of


def test_all_problems_at_once(problems):
    lines = problems(
        '[listen]\nbind = "nowhere"\nhttp_port = 70000\n'
        '[dimse]\nae_title = "SEVENTEEN-LETTERS"\nidle_timeout_s = "long"\n'
        '[web]\ncompat_204 = 1\n[[remote]]\nae_title = "A"\nport = 0\n',
        workers=-1,
    )
    starts = [
        'FILE: [listen] bind = "nowhere"; allowed: an IP address',
        "FILE: [listen] http_port = 70000; allowed: a whole number from 0 to 65535",
        'FILE: [dimse] ae_title = "SEVENTEEN-LETTERS"; allowed: an AE title: 1 to 16 characters',
        'FILE: [dimse] idle_timeout_s = "long"; allowed: a number from 1 to 86400',
        "FILE: [web] compat_204 = 1; allowed: true or false",
        "FILE: [[remote]] 1 port = 0; allowed: a whole number from 1 to 65535",
        "FILE: [[remote]] 1 host; is missing; a host name or IP address",
        "command line: --workers = -1; allowed: a whole number from 0 to 64",
    ]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[dimse]\nae_titel = 'A'\n",
            'FILE: [dimse] ae_titel = "A"; unknown; did you mean ae_title?',
        ),
        ("[lisen]\nbind = '::1'\n", "FILE: [lisen]; unknown; did you mean listen?"),
        ("[zzz]\n", "FILE: [zzz]; unknown; known here: listen, process,"),
        ("[[remote]]\nae_title='A'\nhost='h'\nport=1\nprot=2\n", "did you mean port?"),
        ("listen = 5\n", "FILE: [listen] = 5; allowed: a table"),
        ("remote = 5\n", "allowed: [[remote]] tables"),
        ("[listen\n", "FILE: file; is not TOML:"),
        ("[process]\ndrain_s = nan\n", "drain_s = nan; allowed: a number from 0 to 3600"),
        ("[process]\nworkers = true\n", "workers = true; allowed: a whole number"),
        ("[dimse]\nextra_sop_classes = ['1.02']\n", "no value twice, each value a UID"),
        ("[dimse]\nextra_sop_classes = ['1.2', '1.2']\n", "allowed: a list, no value twice"),
        ("[archive]\nduplicates = 'merge'\n", 'allowed: one of "keep", "replace", "reject"'),
        ("[listen]\nhttp_port = 11112\n", "allowed: another than dimse_port"),
        ("[archive]\ndata = '~nobody-is-called-so/x'\n", "allowed: the path of a folder"),
    ],
)
def test_one_problem(problems, text, says):
    (line,) = problems(text)
    assert says in line


def test_paths_that_cannot_be_looked_at_are_left_to_what_uses_them(monkeypatch):
    def denied(path, *, follow_symlinks=True):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", denied)
    assert load(None, {"--data": "/secret/vna"}).archive.data == Path("/secret/vna")


def test_a_folder_whose_name_lmdb_does_not_take_is_refused(problems):
    (line,) = problems("", data=os.fsdecode(b"/tmp/\xfc"))
    assert line.startswith("command line: --data")


@pytest.mark.parametrize("title", ["", "A\\B", " A", "A ", "\u00c4", "A\tB", "A" * 17])
def test_ae_titles_refused(problems, title):
    (line,) = problems("", ae_title=title)
    assert line.startswith("command line: --ae-title")


@pytest.mark.parametrize("title", ["A", "A B", "VNA-1_x", "A" * 16, "~!"])
def test_ae_titles_taken(title):
    assert load(None, {"--ae-title": title}).dimse.ae_title == title


def test_remote_titles_are_unique(problems):
    remote = "[[remote]]\nae_title='A'\nhost='h'\nport=104\n"
    (line,) = problems(remote + remote)
    assert (
        line
        == 'FILE: [[remote]] 2 ae_title = "A"; allowed: one that [[remote]] 1 does not have already'
    )


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ("[[tier]]\nname = 'a'\n[[tier]]\nname = 'a'\npath = 'b'\n", "[[tier]] 2 name"),
        ("[[tier]]\nname = 'a'\n[[tier]]\nname = 'b'\n", "[[tier]] 2 path: is missing"),
        ("[[tier]]\nname = 'a'\n[[tier]]\nname = 'b'\nkind = 's3'\n", "[[tier]] 2 bucket"),
        ("[[tier]]\nname = 'a'\nkind = 's3'\nbucket = 'bbb'\n", "[[tier]] 1 kind"),
        ("[[tier]]\npath = 'a'\n", "[[tier]] 1 name: is missing"),
        ("[[tier]]\nname = 'a b'\n", "1 to 32 letters"),
        ("[[tier]]\nname = 'a'\ncodec = 'lzma'\n", "codec"),
    ],
)
def test_tiers_that_cannot_be(problems, tables, says):
    (line,) = problems(tables)
    assert says in line.replace(";", ":")


def test_listening_beyond_this_machine_needs_two_explicit_words(problems, tmp_path):
    assert len(problems("", bind="0.0.0.0")) == 2
    assert (
        "accept_unknown_callers" in problems("[listen]\nallow_insecure = true\n", bind="0.0.0.0")[0]
    )
    assert (
        "allow_insecure" in problems("[dimse]\naccept_unknown_callers = false\n", bind="0.0.0.0")[0]
    )
    file = tmp_path / "open.toml"
    file.write_text(
        '[listen]\nbind = "::"\nallow_insecure = true\n[dimse]\naccept_unknown_callers = false\n'
    )
    assert not load(file).listen.loopback
    assert load(None, {"--bind": "127.9.9.9"}).listen.loopback


def test_options_win_over_the_file(tmp_path):
    file = tmp_path / "vna.toml"
    file.write_text("[listen]\ndimse_port = 104\n")
    assert load(file).listen.dimse_port == 104
    assert load(file, {"--dimse-port": 4242}).listen.dimse_port == 4242


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml: file; No such file"):
        load(tmp_path / "absent.toml")


def test_data_may_not_be_a_file(problems, tmp_path):
    (tmp_path / "f").write_text("")
    (line,) = problems("", data=tmp_path / "f")
    assert line.endswith("allowed: the path of a folder")
