"""A file's identifying values as patterns: how a name, an identifier or a place may stand in a descriptor.

Patterns are matched on text folded letter for letter (`spellings.fold_same_length`). A name is cut in every spelling and order, glued together, with its
particles (van der) and titles, with initials before or behind; an identifier with or without its leading zeros and whatever single signs stand between its
letters and digits. A value that is a word of the vocabulary, or short, is cut only where it stands as a word of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from deid import dates
from deid.spellings import PARTICLES, TITLES, fold_same_length, is_ideographic, is_written_like_a_name, spelled, telling_parts, whole_names
from deid.vocabulary import is_common, is_vocabulary

_LETTER = r"[^\W\d_]"
_WORD = re.compile(r"[^\W\d_]+")
_PIECES = re.compile(r"[^\W\d_]+|\d+")
_POSSESSIVE = r"(?:['\u2019]s(?![^\W\d_]))?"
_SIGN = r"[\s\-_./:'#]?"
_BESIDE = sorted((TITLES | PARTICLES) - {"no", "id", "na", "i", "e", "y", "the", "st", "san", "mr", "mrs", "ms", "md"})
_BEFORE = r"(?:(?<![^\W\d_])(?:" + "|".join(_BESIDE) + r")\.?(?:[\s_^]+|'))*"


def number_pattern(others: frozenset[str]) -> re.Pattern[str] | None:
    """A pattern of every identifier with digits in it, the longest first; None where there is none."""
    numbers = sorted({form for other in others for form in _numbered(other)}, key=lambda t: (-len(t), t))
    return re.compile("|".join(numbers)) if numbers else None


def value_pattern(names: frozenset[str], others: frozenset[str]) -> re.Pattern[str] | None:
    """A pattern of every name and word that identifies, the longest first; None where nothing does. names: as in PN elements; others: any other value."""
    parts = {part for name in names for part in telling_parts(name)} | {word for name in names for word in whole_names(name)}
    words = {form for other in others for form in _wordings(other)}
    people = [_BEFORE + _alternative(part) + _POSSESSIVE for part in _longest_first(parts)]
    spread = [_BEFORE + form for form in _longest_first({form for name in names for form in _spread(name)})]
    lettered = [_lettered(part) for part in _longest_first(parts) if len(part) >= 4 and part.isalpha()]
    things = [_alternative(word) for word in _longest_first(words)]
    return re.compile("|".join([*spread, *lettered, *people, *things])) if people or things else None


def initials_pattern(names: frozenset[str]) -> re.Pattern[str] | None:
    """A pattern of a surname with the initials of the other words beside it: `J. Smith`, `SMITH_J`, `jsmith`, `SmithJA`."""
    parts = {part for name in names for part in telling_parts(name)}
    initials = sorted({re.escape(part[0]) for part in parts if part[0].isascii()})
    people = [part for part in parts if len(part) > 1]
    if not initials or not people:
        return None
    letters = "".join(initials)
    single = rf"(?:(?<![^\W_])[{letters}](?![^\W_])\.?)"
    spread = sorted({form for name in names for form in _spread(name)})
    surname = "(?:" + "|".join([*spread, *(_alternative(t) for t in _longest_first(people))]) + ")"
    patterns = [rf"(?:{single}[\s_^,.]*)+{_BEFORE}{surname}(?:[\s_^,.]*{single})*", rf"{_BEFORE}{surname}(?:[\s_^,.]*{single})+"]
    if long := [re.escape(t) for t in _longest_first(people) if len(t) > 2 and not is_common(t)]:
        glued = "(?:" + "|".join(long) + ")"
        patterns += [rf"(?<!{_LETTER})[{letters}]{{1,2}}{glued}(?!{_LETTER})", rf"(?<!{_LETTER}){glued}[{letters}]{{1,2}}(?!{_LETTER})"]
    return re.compile("|".join(patterns))


def _longest_first(words: Iterable[str]) -> list[str]:
    return sorted(words, key=lambda word: (-len(word), word))


def _spread(name: str) -> set[str]:
    """Components of several words (O'Brien, García-López, van der Berg) with any signs between the words."""
    out = set()
    for component in re.split(r"[\^=]", fold_same_length(unicodedata.normalize("NFC", name))):
        words = _WORD.findall(component)
        if len(words) > 1 and any(len(word) > 2 and word not in TITLES for word in words):
            form = r"[\s'\u2019`.\-_]*".join(map(re.escape, words))
            out.add(form if sum(map(len, words)) >= 5 else rf"(?<!{_LETTER}){form}(?!{_LETTER})")
    return out


def _alternative(token: str) -> str:
    raw = re.sub(r"\\?\s+", r"\\s+", re.escape(token))
    if token.isdecimal():
        return rf"(?<![^\W_]){raw}(?![^\W_])" if len(token) < 5 else raw
    if is_ideographic(token):
        return raw
    if len(token) < 4 or is_common(token):
        return rf"(?<!{_LETTER}){raw}(?!{_LETTER})"
    return raw


def _lettered(part: str) -> str:
    """A name letter by letter: `S M I T H`, `s.m.i.t.h`."""
    return r"(?<![^\W_])" + r"[\s._\-]".join(map(re.escape, part)) + r"(?![^\W_])"


def _wordings(value: str) -> set[str]:
    """How an identifier may stand in text: whole; and its unusual words. What is vocabulary throughout says nothing, unless written as a name is."""
    folded = fold_same_length(unicodedata.normalize("NFC", value)).strip()
    words = _WORD.findall(folded)
    out: set[str] = set()
    if is_common(folded):
        return {folded} if is_written_like_a_name(value.strip()) else out
    nobodys = bool(words) and all(is_common(w) or len(w) < 3 for w in words) and sum(c.isdecimal() for c in folded) < 3
    if len(folded) >= 3 and not nobodys:
        out.add(folded)
    for word in words:
        if len(word) >= 4 and not is_vocabulary(word):
            out |= {form for form in spelled(word) if len(form) >= 4}
    return out


def _numbered(value: str) -> set[str]:
    """Patterns of a value with digits: signs between its pieces may be others or none, leading zeros may be missing, a day's year may stand alone."""
    folded = fold_same_length(unicodedata.normalize("NFC", value)).strip()
    out = set()
    date = dates.parse_date(folded)
    if date is not None:
        out.add(rf"(?<![^\W_])(?<!te )(?<!tr )(?<!ti ){date.year}(?![^\W_])")
        day, month, year = f"0?{date.day}", f"0?{date.month}", f"{date.year % 100:02}"
        orders = ((day, month, year), (month, day, year), (year, month, day))
        out |= {r"(?<![^\W_])(?<!\d[-./])" + r"[-./]".join(order) + r"(?![^\W_])(?![-./]\d)" for order in orders}
    pieces = _PIECES.findall(folded)
    digits = sum(len(p) for p in pieces if p.isdecimal())
    if digits >= 3 and any(p.isalpha() for p in pieces) and sum(map(len, pieces)) >= 5 and len(pieces) <= 8:
        bare = _SIGN.join("0*" + p.lstrip("0") if p.isdecimal() and p.strip("0") else re.escape(p) for p in pieces)
        out.add(rf"(?<![^\W_]){bare}(?![^\W_])")
    if digits >= 7 and not any(p.isalpha() for p in pieces):
        out.add(r"(?<!\d)0*" + r"[\s\-./()]{0,2}".join("".join(pieces).lstrip("0")) + r"(?!\d)")
    for run in re.findall(r"\d{5,}", folded):
        out.add("0*" + (run.lstrip("0") or run))
    return out
