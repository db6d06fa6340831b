"""Words that may stay: descriptors are cleaned and kept, not deleted.

A descriptor loses, in this order: mail and web addresses, UIDs, dates and clock times in their usual forms, telephone numbers, long numbers, every part of
every
value that the file's own identifying elements carry (in any order and case, accents folded, initials with a surname), and at last every word that is not
vocabulary of imaging. The rest stays: `T1 mprage for John SMITH 1962-03-04` becomes `T1 mprage for`.

Matching is done on a folded copy of the same length as the text (one character per character: decomposed, first base letter, lower case), so that what is
found
there is cut here. Two tempers: **free text** (what people typed; a name wins over the vocabulary) and **facts** (what machines say: maker, model, coil;
the vocabulary wins over a name, or a patient called Philips would cost us the maker).
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).resolve().parent / "profiles"

_ADDRESS = re.compile(r"\S+@\S+|(?:https?|ftp|file)://\S+|www\.\S+|(?:[a-z]:)?\\\\\S+|(?:/[\w.-]+){3,}", re.I)
_UID = re.compile(r"\d+(?:\.\d+){4,}")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]{0,6}\.?"
_YEAR = r"(?:18|19|20)\d{2}"
_DATE = re.compile(
    rf"(?<![\d.]){_YEAR}[-./ ]\d{{1,2}}[-./ ]\d{{1,2}}(?!\d)|(?<![\d.])\d{{1,2}}[-./ ]\d{{1,2}}[-./ ]{_YEAR}(?!\d)"
    rf"|(?<![\w.])\d{{1,2}}(?:st|nd|rd|th)?[ .\-]*{_MONTH}[ ,.\-]*(?:\d{{4}}|\d{{2}})?(?!\w)"
    rf"|(?<!\w){_MONTH}[ .\-]*(?:\d{{1,2}}(?:st|nd|rd|th)?[ ,.\-]+)?\d{{4}}(?!\w)",
    re.I,
)
_SHORT_DATE = re.compile(r"(?<![\w.])\d{1,2}([-./])\d{1,2}\1\d{2}(?![\w.])")
_LONE_YEAR = re.compile(r"(?<![\w.])(?<!te )(?<!tr )(?<!ti )(?<!b )(?<!b=)(?<!te=)(?<!tr=)(?<!ti=)(?:19[0-9][1-9]|20[0-3][1-9])(?![\w.])", re.I)
_CLOCK = re.compile(r"(?<![\d:])\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?![\d:])")
_PHONE = re.compile(
    r"(?<![\w.])(?:\+\d{1,3}[ /-]?|\(?0)\(?\d{1,5}\)?(?:[ /.-]?\d{2,}){1,5}(?!\w)|(?<![\w.])\d{3}-\d{4}(?!\w)|(?<![\w.])\d{3}[-./ ]\d{3}[-./ ]\d{4}(?!\w)"
)
_LONG_NUMBER = re.compile(r"(?<![\d.])\d{5,}(?:\.\d+)?|(?<=\.)\d{8,}")
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"[^\W_]+")
# Letters that stand before or after a long number in a sequence name.
_UNITS = frozenset(
    {"b", "te", "tr", "ti", "td", "t", "p", "x", "s", "ms", "mm", "us", "hz", "fov", "mb", "pe", "dir", "sl", "vol", "nex", "r", "v", "bw", "fa"}
)
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LETTER = r"[^\W\d_]"
_GAP = re.compile(r"[ ^_,;:/|<>()\[\]{}=+*#-]{2,}")
_EDGE_LEFT = " ^_-,;:/|=+&'\""
_EDGE_RIGHT = " ^_-,;:/|=&'\"(["

FREE, FACT, SEQUENCE = 3, 4, 6  # the shortest run of letters that must be vocabulary, by temper


def _fold_char(char: str) -> str:
    plain = unicodedata.normalize("NFKD", char)[0].casefold()
    return plain[0] if plain else " "


def fold_same_length(text: str) -> str:
    """The text, letter for letter, without accents and case."""
    return text.lower() if text.isascii() else "".join(_fold_char(char) for char in text)


@lru_cache(maxsize=1)
def vocabulary() -> frozenset[str]:
    """Every word that may stay in a descriptor (vocabulary.toml and terms.json), folded."""
    words = tomllib.loads((HERE / "vocabulary.toml").read_text(encoding="utf-8"))["words"]
    terms = json.loads((HERE / "terms.json").read_text())["words"]
    return frozenset(w for group in words.values() for w in group.split()) | frozenset(terms.lower().split())


@lru_cache(maxsize=65536)
def is_vocabulary(word: str) -> bool:
    """Whether a run of letters is vocabulary, as a whole or in its camelCase parts (`ColFA`, `SaveBySlc`)."""
    known = vocabulary()
    if fold_same_length(word) in known:
        return True
    parts = _CAMEL.findall(word) if word.isascii() else []
    return len(parts) > 1 and all(len(p) < FREE or p.lower() in known for p in parts) and any(len(p) >= FREE for p in parts)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """`text`: what stays; `gone`: the pieces taken out; `unknown`: how many of them were words nobody could place."""

    text: str
    gone: tuple[str, ...]
    unknown: int


class Scrubber:
    """Cleans text of the values one file's (or one participant's) identifying elements carry. Remembers what it cleaned, so a series costs as much as a
    slice."""

    def __init__(self, names: frozenset[str], others: frozenset[str] = frozenset()) -> None:
        """names: person names as they stand in PN elements; others: identifiers, places, numbers, dates."""
        self._patterns = _patterns(names, others)
        self._done: dict[tuple[str, int, bool], Cleaned] = {}

    def clean(self, text: str, shortest: int = FREE, free: bool = True) -> Cleaned:
        """Clean one value. `shortest`: runs of letters from this length must be vocabulary. `free`: people's text, where a name wins over the vocabulary."""
        key = (text, shortest, free)
        found = self._done.get(key)
        if found is None:
            if len(self._done) > 20000:
                self._done.clear()
            found = self._done[key] = self._clean(text, shortest, free)
        return found

    def _clean(self, text: str, shortest: int, free: bool) -> Cleaned:
        text = "".join(c if c.isprintable() or c in "\r\n\t" else " " for c in unicodedata.normalize("NFC", text))
        gone: list[str] = []
        for pattern in (_ADDRESS, _UID, _DATE, _SHORT_DATE, _CLOCK, _PHONE, _LONG_NUMBER, _LONE_YEAR) if free else (_ADDRESS, _UID, _DATE, _LONG_NUMBER):
            text = _cut(text, pattern, gone)
        text = self._names(text, gone, free)
        text, unknown = _unknown_words(text, gone, shortest)
        return Cleaned(_tidy(text) if gone else text.strip(), tuple(piece.strip() for piece in gone if piece.strip()), unknown)

    def _names(self, text: str, gone: list[str], free: bool) -> str:
        for pattern in self._patterns:
            folded = fold_same_length(text)
            spans = [m.span() for m in pattern.finditer(folded) if m.end() > m.start() and (free or not is_vocabulary(m.group()))]
            for start, end in reversed(spans):
                gone.append(text[start:end])
                text = text[:start] + " " * (end - start) + text[end:]
        return text

    def carries(self, text: str) -> bool:
        """Whether any identifying value stands in the text."""
        folded = fold_same_length(text)
        return any(pattern.search(folded) for pattern in self._patterns)


def _cut(text: str, pattern: re.Pattern[str], gone: list[str]) -> str:
    def blank(match: re.Match[str]) -> str:
        gone.append(match.group())
        return " "

    return pattern.sub(blank, text)


def _unknown_words(text: str, gone: list[str], shortest: int) -> tuple[str, int]:
    """Take out every token with a run of letters that is no vocabulary, and every token that mixes a number of four digits with letters that are no unit."""
    count = 0

    def judge(match: re.Match[str]) -> str:
        nonlocal count
        token = match.group()
        runs = _WORD.findall(token)
        if all(_may_stay(run, shortest) for run in runs) and not _looks_like_a_number_of_somebody(token, runs, shortest):
            return token
        count += 1
        gone.append(token)
        return " "

    return _TOKEN.sub(judge, text), count


def _may_stay(run: str, shortest: int) -> bool:
    if run.isascii():
        return len(run) < shortest or is_vocabulary(run)
    return is_vocabulary(run) or (len(run) == 1 and run in "µμ°ΩβγαΔ")


def _looks_like_a_number_of_somebody(token: str, runs: list[str], shortest: int) -> bool:
    """`AB1234` does, `b1000` and `TR2500` do not; what machines write (model and build numbers) may."""
    if shortest != FREE or sum(c.isdecimal() for c in token) < 4:
        return False
    return any(run.lower() not in _UNITS and not is_vocabulary(run) for run in runs)


def _tidy(text: str) -> str:
    """Close the gaps that removals leave."""
    text = _GAP.sub(lambda m: " " if " " in m.group() else m.group()[0], text)
    return " ".join(text.split()).strip(_EDGE_LEFT).rstrip(_EDGE_RIGHT).strip()


def name_parts(name: str) -> list[str]:
    """The single words of a person name in all its component groups, folded, two characters or more (PS3.5 6.2.1.1: = between groups, ^ between
    components)."""
    return [
        part
        for part in re.split(r"[\s^=,.;_\-'\"/\\()*\d]+", fold_same_length(unicodedata.normalize("NFC", name)))
        if len(part) > 1 or (part and not part.isascii())
    ]


def _patterns(names: frozenset[str], others: frozenset[str]) -> tuple[re.Pattern[str], ...]:
    parts = {part for name in names for part in name_parts(name)} - {
        "dr",
        "mr",
        "mrs",
        "ms",
        "prof",
        "md",
        "phd",
        "msc",
        "van",
        "von",
        "de",
        "la",
        "le",
        "der",
        "den",
        "del",
        "di",
        "da",
        "el",
        "al",
        "na",
        "no",
        "id",
    }
    initials = sorted({re.escape(part[0]) for part in parts if part[0].isascii()})
    alternatives = []
    words = {o for other in others for o in _wordings(other)}
    for token in sorted(parts | words, key=lambda t: (-len(t), t)):
        alternatives.append(_alternative(token))
    if not alternatives:
        return ()
    core = "(?:" + "|".join(alternatives) + ")"
    if initials:
        single = f"(?:(?<!{_LETTER})[{''.join(initials)}](?!{_LETTER})\\.?)"
        people = [t for t in parts if len(t) > 2]
        if people:
            surname = "(?:" + "|".join(_alternative(t) for t in sorted(people, key=lambda t: (-len(t), t))) + ")"
            return re.compile(rf"(?:{single}[\s_^,]*)+{surname}|{surname}(?:[\s_^,]*{single})+"), re.compile(core)
    return (re.compile(core),)


def _alternative(token: str) -> str:
    raw = re.sub(r"\\?\s+", r"\\s+", re.escape(token))
    if token.isdecimal():
        return rf"(?<!\d){raw}(?!\d)" if len(token) < 6 else raw
    if len(token) < 4 or token in vocabulary():
        return rf"(?<!{_LETTER}){raw}(?!{_LETTER})"
    return raw


def _wordings(value: str) -> set[str]:
    """How an identifier may stand in text: whole; and its unusual words. Short bare numbers say too little to be looked for."""
    folded = fold_same_length(unicodedata.normalize("NFC", value)).strip()
    out = set()
    if len(folded) >= 3 and not (folded.isdecimal() and len(folded) < 3) and folded not in vocabulary():
        out.add(folded)
    for word in _WORD.findall(folded):
        if len(word) >= 4 and word not in vocabulary():
            out.add(word)
    out.update(run for run in re.findall(r"\d{5,}", folded))
    return out


@lru_cache(maxsize=1)
def short_terms() -> frozenset[str]:
    """Whole coded terms of three characters or fewer."""
    return frozenset(json.loads((HERE / "terms.json").read_text())["short"].split())


@lru_cache(maxsize=65536)
def is_term(value: str) -> bool:
    """Whether a coded string (VR CS) says only what the imaging vocabulary says: every run of four letters or more is known, and no run of digits is
    longer than four."""
    if len(value) > 16 or not re.fullmatch(r"[A-Z0-9_ \-+./]*", value, re.I):
        return False
    if any(not is_vocabulary(run) and run.upper() not in short_terms() for run in re.findall(r"[A-Za-z]{3,}", value)):
        return False
    return not re.search(r"\d{5,}", value) and all(sum(c.isdecimal() for c in t) < 4 or t.isdecimal() for t in _TOKEN.findall(value))
