"""Wildcard patterns (PS3.4 C.2.2.2.4): `*` for any run of characters, `?` for any one.

A pattern runs in time linear in the text for any number of `*`: what a `*` skipped is never tried
again (atomic groups), so that no query can stall the archive.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["TextTest", "has_wildcard", "literal_prefix", "name_body", "name_test", "text_test"]

TextTest: TypeAlias = Callable[[str], bool]

_WILDCARD = re.compile(r"[*?]")
_OPEN_TAIL = re.compile(r"\^[\^*]*\Z")


def has_wildcard(pattern: str) -> bool:
    """Return whether `pattern` is more than a literal."""
    return _WILDCARD.search(pattern) is not None


def literal_prefix(pattern: str) -> str:
    """Return what every text that matches `pattern` begins with."""
    return _WILDCARD.split(pattern, maxsplit=1)[0]


def text_test(pattern: str) -> TextTest:
    """Return a function that says whether a whole text matches `pattern`."""
    if not has_wildcard(pattern):
        return pattern.__eq__
    if pattern[-1] == "*" and not has_wildcard(pattern[:-1]):
        prefix = pattern[:-1]
        return lambda text: text.startswith(prefix)
    return _regex_test(_regex(pattern))


def name_body(pattern: str) -> tuple[str, bool]:
    """Part a folded name pattern into its body and whether further components are free.

    Components that a name lacks are the same as empty ones: `doe^*` and `doe^*^*` match `doe`.
    """
    tail = _OPEN_TAIL.search(pattern)
    if tail is None or "*" not in tail[0]:
        return pattern, False
    return pattern[: tail.start()], True


def name_test(pattern: str) -> TextTest:
    """Return a function that says whether one folded group of a name matches a folded pattern."""
    body, free = name_body(pattern)
    return _regex_test(_regex(body) + r"(?:\^.*)?") if free else text_test(body)


def _regex(pattern: str) -> str:
    first, *rest = re.split(r"\*+", pattern)
    if not rest:
        return _literal(first)
    *middle, last = rest
    skips = "".join(f"(?>.*?{_literal(part)})" for part in middle if part)
    return f"{_literal(first)}{skips}.*{_literal(last)}"


def _literal(part: str) -> str:
    return ".".join(re.escape(piece) for piece in part.split("?"))


def _regex_test(regex: str) -> TextTest:
    fullmatch = re.compile(regex, re.DOTALL).fullmatch
    return lambda text: fullmatch(text) is not None
