"""Configuration: a TOML file and the command line, validated whole, as each room's own settings.

Glossary
    setting    one key of a section: its kind, default and meaning stand in `vna.config.table`
    document   settings as plain data, as parsed from TOML or sent to a worker process
    option     an option of `vna serve` that wins over the file
    problem    one thing that is wrong, with file, key, value and what is allowed
"""

from vna.config.environment import notify_socket
from vna.config.model import Config, ListenSettings, ProcessSettings
from vna.config.reading import ConfigError, Problem, load, parse, validate
from vna.config.render import settings_page, toml

__all__ = [
    "Config",
    "ConfigError",
    "ListenSettings",
    "Problem",
    "ProcessSettings",
    "load",
    "notify_socket",
    "parse",
    "settings_page",
    "toml",
    "validate",
]
