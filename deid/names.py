"""Are two spellings the name of one person? Hospitals write a name in many ways, and two people under one number must still be told apart.

Alike are: the same words in any order, case, accents or punctuation (`SMITH^JOHN`, `Smith^John^^`, `SMITH JOHN`, `SMITHJOHN`); one name within the other
(`SMITH^JOHN PAUL`); a slip of one letter; a shared given name with another family name (marriage); a shared family name with an initial or a short form
(`SMITH^J`). Unlike is the rest, two given names under one family name too: those may be siblings. What cannot be compared (an empty or masked name,
two writing systems) contradicts nothing. PS3.5 6.2.1 (components of PN, groups by writing system).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from deid.pseudonyms import fold, is_placeholder

__all__ = ["Name", "alike", "parse", "script", "vouches"]

_WORD = re.compile(r"[^\W_]+")
_TITLES = frozenset(["dr", "jr", "md", "mr", "mrs", "ms", "phd", "prof", "sr"])
SLIP_FROM = 4  # letters; in shorter words one other letter makes another name


@dataclass(frozen=True, slots=True)
class Name:
    """The words of a name. family, given: where the spelling says which is which (both empty where it does not); words: all of them."""

    words: frozenset[str]
    family: frozenset[str]
    given: frozenset[str]


@lru_cache(maxsize=8192)  # read only: the files of a series share it
def parse(text: str) -> list[Name]:
    """The names in a PN value, one per writing system; none where it is empty or masked."""
    out = []
    for group in text.split("="):
        if is_placeholder(group.replace("^", "")):
            continue
        parts = [_words(part) for part in (group.replace(",", "^", 1) if "^" not in group else group).split("^")]
        words = frozenset(word for part in parts[:3] for word in part)
        if words:
            split = len(parts) > 1 and any(parts[1:3])
            out.append(Name(words, frozenset(parts[0]) if split else frozenset(), frozenset(w for p in parts[1:3] for w in p) if split else frozenset()))
    return out


def _words(text: str) -> list[str]:
    plain = "".join(c for c in unicodedata.normalize("NFKD", fold(text)) if not unicodedata.combining(c))
    return [word for word in _WORD.findall(plain) if word not in _TITLES or len(word) == 1]


def vouches(name: Name) -> bool:
    """Whether a name is a person's full one: two words or more, none of them a stand-in (`Test^Regression` and `HFS` say nothing about who it is)."""
    return len(name.words) > 1 and not any(is_placeholder(word) for word in name.words)


def alike(one: list[Name], other: list[Name]) -> bool:
    """Whether two values (as `parse` gives them) may name one person: some pair of their spellings is alike, or no pair can be compared."""
    pairs = [(a, b) for a in one for b in other if script(a) == script(b)]
    return not pairs or any(_alike(a, b) for a, b in pairs)


def script(name: Name) -> str:
    """The writing system of a name, by the first word of the Unicode name of its first letter."""
    letter = next((c for word in sorted(name.words) for c in word if c.isalpha()), "")
    return unicodedata.name(letter, "").split(" ")[0] if letter else ""


def _alike(a: Name, b: Name) -> bool:
    small, large = sorted((a.words, b.words), key=len)
    if all(_near(word, large) for word in small) or sorted("".join(a.words)) == sorted("".join(b.words)):
        return True
    shared = {word for word in a.words if len(word) > 1 and _near(word, b.words)} | {word for word in b.words if len(word) > 1 and _near(word, a.words)}
    if shared & (a.given | b.given) - (a.family & b.family):
        return True
    return bool(shared & a.family and shared & b.family) and _short_form(a.given, b.given)


def _short_form(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether a given name on one side is the beginning of one on the other (`j`, `jon` and `jonathan`)."""
    return any(x.startswith(y) or y.startswith(x) for x in one for y in other)


def _near(word: str, words: frozenset[str]) -> bool:
    return word in words or any(one_slip(word, other) for other in words)


def one_slip(a: str, b: str) -> bool:
    """Whether two words of four letters or more differ by one letter more, less or other, or by two neighbours in the wrong order."""
    if min(len(a), len(b)) < SLIP_FROM or abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    x, y = a[start:], b[start:]
    return x[1:] == y[1:] or x[1:] == y or x == y[1:] or (x[:2] == y[:2][::-1] and x[2:] == y[2:])
