"""Words that may stay: descriptors are cleaned and kept, not deleted.

A descriptor loses, in this order: mail and web addresses, UIDs, dates and clock times in their usual forms, telephone numbers, long numbers, every part of
every value that the file's own identifying elements carry (in any order and case, accents folded, initials with a surname), and at last every word that is
not vocabulary of imaging. The rest stays: `T1 mprage for John SMITH 1962-03-04` becomes `T1 mprage for`. A word that nobody could place is taken out and
counted; the count stands in the account under `review`, so that a steward sees it, and blocks nothing.

Matching is done on a folded copy of the same length as the text (one character per character: decomposed, first base letter, lower case), so that what is
found there is cut here. Two tempers: **free text** (what people typed; a name wins over the vocabulary) and **facts** (what machines say: maker, model,
coil; the vocabulary wins over a name, or a patient called Philips would cost us the maker).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from deid.identifying import initials_pattern, number_pattern, value_pattern
from deid.manners import Manner
from deid.spellings import fold_same_length, name_parts
from deid.vocabulary import is_common, is_term, is_vocabulary, short_terms, vocabulary

__all__ = [
    "Cleaned", "Scrubber", "fold_same_length", "is_term", "is_vocabulary", "name_parts", "short_terms", "vocabulary",
]  # fmt: skip

SHORTEST = 3  # letters: a run of so many must be vocabulary

_ADDRESS = re.compile(r"[^\s_,;:()<>\[\]]+@[^\s,;:()<>\[\]]+|(?:https?|ftp|file)://\S+|www\.\S+|(?:[a-z]:)?\\\\\S+|(?<!\w)(?:/[\w.-]+){3,}", re.I)
_UID = re.compile(r"\d+(?:\.\d+){4,}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.I)
_ENGLISH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
# German, Dutch, Danish, French, Spanish, Italian; some mean something else in imaging (mag, set, dic), so they count only beside a year.
_OTHER = (
    r"(?:januari?|februari?|m(?:ä|a|ae)rz|maart|mrt|mai|mei|maj|juni|juli|okt(?:ober)?|dez(?:ember)?|janv(?:ier)?|f[ée]v(?:rier)?|mars|avr(?:il)?|juin|"
    r"juil(?:let)?|ao[uû]t|septembre|octobre|novembre|d[ée]c(?:embre)?|ene(?:ro)?|febrero|marzo|abr(?:il)?|mayo|junio|julio|ago(?:sto)?|septiembre|octubre|"
    r"noviembre|dic(?:iembre|embre)?|gen(?:naio)?|febbraio|aprile|mag(?:gio)?|giu(?:gno)?|lug(?:lio)?|set(?:tembre)?|ott(?:obre)?)\.?"
)
_YEAR = r"(?:18|19|20)\d{2}"
_DAY = r"(?:3[01]|[12]\d|0?[1-9])"
_GAP_OF_DATE = r"[ ,._/\-']{0,3}"
_DATE = re.compile(
    rf"(?<![\d.]){_YEAR}[-./ _]\d{{1,2}}[-./ _]\d{{1,2}}(?!\d)|(?<![\d.]){_YEAR}:[01]\d:[0-3]\d(?!\d)|(?<![\d.])\d{{1,2}}[-./ _]\d{{1,2}}[-./ _]{_YEAR}(?!\d)"
    rf"|{_YEAR}\u5e74\d{{1,2}}\u6708(?:\d{{1,2}}\u65e5)?"
    rf"|(?<![^\W_])(?<!\.){_DAY}(?:st|nd|rd|th)?{_GAP_OF_DATE}(?:of )?{_ENGLISH}(?!{_GAP_OF_DATE}{_DAY}(?:st|nd|rd|th)?[ ,.\-_]+{_YEAR}){_GAP_OF_DATE}"
    rf"(?:\d{{4}}|\d{{2}})?(?![^\W_])"
    rf"|(?<![^\W_]){_ENGLISH}[ .\-_]*(?:\d{{1,2}}(?:st|nd|rd|th)?[ ,.\-_]+)?(?:{_YEAR}|'\d\d)(?![^\W_])"
    rf"|(?<![^\W_]){_DAY}(?:er|o|\.)?{_GAP_OF_DATE}(?:de |di |d')?{_OTHER}{_GAP_OF_DATE}(?:de |del )?(?:{_YEAR}|(?<!mag )(?<!set )(?<!gen )\d\d)(?![^\W_])"
    rf"|(?<![^\W_]){_OTHER}[ .\-_]*{_YEAR}(?![^\W_])|(?<![^\W_]){_YEAR}[ .\-_]+(?:{_ENGLISH}|{_OTHER})(?:[ .\-_]+\d{{1,2}})?(?![^\W_])",
    re.I,
)
_SHORT_DATE = re.compile(r"(?<![^\W_])(?<!\d[-./])\d{1,2}([-./])\d{1,2}\1\d{2}(?![^\W_])(?![-./]\d)|(?<![\d.])(?:0?[1-9]|1[0-2])[-/](?:19|20)\d\d(?!\d)")
# In what machines say, where 2.11.20 is a version: only what can be no month before a month, and a year that no version reaches.
_BIRTHDAY = re.compile(r"(?<![\w.])(?:1[3-9]|2\d|3[01])([-./])(?:0?[1-9]|1[0-2])\1[3-9]\d(?![\w.])")
# A patient's number with its check letter: A4711-K. But b1000-M is a diffusion weighting, and TE2000-M a time.
_CHECKED_NUMBER = re.compile(r"(?<![^\W_])(?!b\d*[05]0-|t[ierd]\d)[a-z]{1,3}\d{4,}-[a-z](?![^\W_])", re.I)
_LONE_YEAR = re.compile(r"(?<![\w.])(?<!te )(?<!tr )(?<!ti )(?<!b )(?<!b=)(?<!te=)(?<!tr=)(?<!ti=)(?:19[0-9][1-9]|20[0-3][1-9])(?![\w.])", re.I)
_BORN = re.compile(r"(?<![^\W_])(?:\*|born|geb|dob|n[ée]e?|f[oø]dt|nato|nata)[.:]?[ _]*(?:19|20)\d\d(?!\d)", re.I)
_CLOCK = re.compile(r"(?<![\d:])\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?![\d:])(?:[ _]?[ap]m\b)?", re.I)
_PHONE = re.compile(
    r"(?<![^\W_])(?:tel|phone|fon|telefon|mob|mobile|fax|tlf)[.:]?[ _]*\+?\d[\d ()/.-]{3,}\d"
    r"|(?<![^\W_])(?<!\.)(?:\+\d{1,3}[ /.-]?|\(?0)\(?\d{1,5}\)?(?:[ /.-]?\d{2,}){1,5}(?!\w)"
    r"|(?<![^\W_])(?<!\.)\(?\d{3}\)?[-./ ]{1,2}\d{3,4}[-./ ]\d{4}(?!\w)|(?<![^\W_])(?<!\.)\d{3}-\d{4}(?![\w-])",
    re.I,
)
_PAIR_OF_FOURS = re.compile(r"(?<![^\W_])(?<![.=])\d{4}[ -]\d{4}(?![\w.])")
_LONG_NUMBER = re.compile(r"(?<![\d.])\d{5,}(?:\.\d+)?|(?<=\.)\d{8,}")
# In what machines say: but the middle of a part number, which has three, five and two digits (coils are named by it; a lost CoilString costs conversion).
_LONG_WHOLE_NUMBER = re.compile(r"(?<![\d.])(?!(?<=(?<!\d)\d{3}-)\d{5}-\d{2}(?![\d-]))\d{5,}(?:\.\d+)?")
_FOUR_DIGITS = re.compile(r"(?<![\d.])\d{4}|\d[-./ ]\d+[-./ ]\d")
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"[^\W_]+")
# Letters that stand before or after a long number in a sequence name.
_UNITS = frozenset(
    ("b", "te", "tr", "ti", "td", "t", "p", "x", "s", "ms", "mm", "us", "hz", "fov", "mb", "pe", "dir", "sl", "vol", "nex", "r", "v", "bw", "fa", "ste")
)
# Where something was cut there stands a NUL until the gaps are closed: brackets around nothing go, and of the signs beside it one stays.
CUT = "\0"
_SIGNS = r" ^_,;:/|=.'\"&\-"
_EMPTY = re.compile(rf"[(\[{{<][{_SIGNS}\0]*\0[{_SIGNS}\0]*[)\]}}>]")
_GAP = re.compile(rf"([{_SIGNS}]*)\0[\0{_SIGNS}]*")
_EDGES = " ^_-,;:/|=&'\""
_OF_FREE_TEXT = (_DATE, _BORN, _SHORT_DATE, _CLOCK, _PHONE, _PAIR_OF_FOURS, _CHECKED_NUMBER, _LONG_NUMBER, _LONE_YEAR)
_OF_FACTS = (_DATE, _BIRTHDAY, _CLOCK, _CHECKED_NUMBER, _LONG_WHOLE_NUMBER)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """`text`: what stays; `gone`: the pieces taken out; `unknown`: how many of them were words nobody could place."""

    text: str
    gone: tuple[str, ...]
    unknown: int


class Scrubber:
    """Cleans text of the values that one file's (or one participant's) identifying elements carry. Remembers what it cleaned, so a series costs as much as
    a slice."""

    def __init__(self, names: frozenset[str], others: frozenset[str] = frozenset(), sought: Callable[[str, Manner], bool] | None = None) -> None:
        """names: person names as they stand in PN elements; others: identifiers, places, numbers, dates; sought: whether the last gate would find a removed
        value in a text read in that manner."""
        self._sought = sought
        self._numbers = tuple(filter(None, [number_pattern(others)]))
        self._names = tuple(filter(None, [initials_pattern(names), value_pattern(names, others)]))
        self._done: dict[tuple[str, bool], Cleaned] = {}

    def clean(self, text: str, *, free: bool = True) -> Cleaned:
        """Clean one value. `free`: people's text, where a name wins over the vocabulary; else a machine's, where the vocabulary wins."""
        key = (text, free)
        found = self._done.get(key)
        if found is None:
            if len(self._done) > 20000:
                self._done.clear()
            found = self._done[key] = self._clean(text, free)
        return found

    def _clean(self, text: str, free: bool) -> Cleaned:
        text = "".join(_plain(c) for c in unicodedata.normalize("NFC", text))
        gone: list[str] = []
        for pattern in (_ADDRESS, _UID):
            text = _cut(text, pattern, gone)
        text = _own(text, self._numbers, gone, free)  # before dates and telephones, or half of an identifier would stay
        for pattern in _OF_FREE_TEXT if free else _OF_FACTS:
            text = _cut(text, pattern, gone)
        text = _own(text, self._names, gone, free)
        text, unknown = _unknown_words(text, gone, free)
        return Cleaned(_tidy(text) if gone else text.strip(), tuple(piece for piece in (g.strip(" \0") for g in gone) if piece), unknown)

    def is_sought(self, number: str, manner: Manner = "bytes") -> bool:
        """Whether the last gate would find a removed value in a number (or several, or a word) of a machine: then that number goes, and not the file.

        A number of fewer than four digits before its point is none that the gate looks for, nor a day.
        """
        return self._sought is not None and _FOUR_DIGITS.search(number) is not None and self._sought(number, manner)

    def carries(self, text: str) -> bool:
        """Whether any identifying value stands in the text."""
        folded = fold_same_length(text)
        return any(pattern.search(folded) for pattern in (*self._numbers, *self._names))


def _own(text: str, patterns: tuple[re.Pattern[str], ...], gone: list[str], free: bool) -> str:
    """Take out the file's own identifying values; of facts only what is no word of the vocabulary."""
    for pattern in patterns:
        folded = fold_same_length(text)
        found = [m for m in pattern.finditer(folded) if m.end() > m.start() and (free or not (is_vocabulary(m.group()) or is_common(m.group())))]
        spans = [m.span() for m in found if not _is_piece_of_a_term(folded, *m.span())]
        for start, end in reversed(spans):
            gone.append(text[start:end])
            text = text[:start] + CUT * (end - start) + text[end:]
    return text


def _is_piece_of_a_term(folded: str, start: int, end: int) -> bool:
    """Whether what was found is only a piece of one longer word of the vocabulary: `philip` in `philips`, `east` in `breast`."""
    if not folded[start:end].isalpha():
        return False
    first, stop = start, end
    while first and folded[first - 1].isalpha():
        first -= 1
    while stop < len(folded) and folded[stop].isalpha():
        stop += 1
    return (first, stop) != (start, end) and folded[first:stop] in vocabulary()


def _plain(char: str) -> str:
    """A character as it may stand in a descriptor: signs of no width go, what cannot be printed is a blank."""
    if char.isprintable() or char in "\r\n\t":
        return char
    return "" if unicodedata.category(char) == "Cf" else " "


def _cut(text: str, pattern: re.Pattern[str], gone: list[str]) -> str:
    def blank(match: re.Match[str]) -> str:
        found = match.group()
        digits = "".join(c for c in found if c.isdecimal())
        if (pattern is _PHONE and len(digits) < 7) or (pattern is _PAIR_OF_FOURS and digits[3] == "0" == digits[7]):  # 1000 2000 are milliseconds
            return found
        gone.append(found)
        return CUT

    return pattern.sub(blank, text)


def _unknown_words(text: str, gone: list[str], free: bool) -> tuple[str, int]:
    """Take out every token with a run of letters that is no vocabulary, and every token that mixes a number of four digits with letters that are no unit."""
    count = 0

    def judge(match: re.Match[str]) -> str:
        nonlocal count
        token = match.group()
        runs = _WORD.findall(token)
        if all(_may_stay(run) for run in runs) and not _looks_like_a_number_of_somebody(token, runs, free):
            return token
        count += 1
        gone.append(token)
        return CUT

    return _TOKEN.sub(judge, text), count


def _may_stay(run: str) -> bool:
    if run.isascii():
        return len(run) < SHORTEST or is_vocabulary(run)
    return is_vocabulary(run) or (len(run) == 1 and run in "µμ°ΩβγαΔ")


def _looks_like_a_number_of_somebody(token: str, runs: list[str], free: bool) -> bool:
    """`AB1234` does, `b1000` and `TR2500` do not; in what machines write a single letter may stand beside a number (`2004V`)."""
    if sum(c.isdecimal() for c in token) < 4:
        return False
    return any((free or len(run) > 1) and run.lower() not in _UNITS and not is_vocabulary(run) for run in runs)


def _tidy(text: str) -> str:
    """Close the gaps that removals leave; what else stands in the text is not touched."""
    while (closed := _EMPTY.sub(CUT, text)) != text:
        text = closed

    def close(match: re.Match[str]) -> str:
        if " " in match.group():
            return " "
        return match[1][:1] or match.group().strip(CUT)[:1]

    return " ".join(_GAP.sub(close, text).split()).strip(_EDGES).strip()
