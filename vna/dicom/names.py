"""Person names folded for comparison (PS3.5 6.2.1, PS3.4 C.2.2.2.1).

A PN has up to three groups (alphabetic, ideographic, phonetic) of up to five components. Two names
are the same here when they differ only in case, in diacritics, in spaces around components or in
empty components at the end of a group.
"""

from __future__ import annotations

import re
from unicodedata import normalize

__all__ = ["fold", "fold_group", "groups", "words"]

# Only these combining marks are dropped: the marks of other scripts (the dakuten of kana, vowel
# signs) make other letters, not the same letter with an accent.
_DIACRITICS = re.compile("[\u0300-\u036f]+")
_SPACES = re.compile(r"\s+")
_AROUND_CARET = re.compile(r"\s*\^\s*")
_WORD_BREAK = re.compile(r"[\s,.\-]+")


def fold(text: str) -> str:
    """Return `text` without case and diacritics."""
    if text.isascii():
        return text.lower()
    folded = _DIACRITICS.sub("", normalize("NFD", text)).casefold()
    return normalize("NFC", _DIACRITICS.sub("", normalize("NFD", folded)))


def fold_group(group: str) -> str:
    """Return one group of a name folded: single spaces, none around components, no empty tail."""
    folded = fold(group)
    if " " in folded or not folded.isascii() or not folded.isprintable():
        folded = _AROUND_CARET.sub("^", _SPACES.sub(" ", folded).strip())
    return folded.rstrip("^")


def groups(name: str) -> list[str]:
    """Return the folded groups of a name, at least one, at most three; absent ones are empty."""
    if "=" not in name:
        return [fold_group(name)]
    return [fold_group(group) for group in name.split("=")[:3]]


def words(component: str) -> list[str]:
    """Return the words of a folded component."""
    return [word for word in _WORD_BREAK.split(component) if word]
