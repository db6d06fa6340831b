"""What the last gate looks for: the removed values, sorted once by how they are looked for.

A value becomes a *substring* (four characters or more), a whole *word* (shorter, or vocabulary: then in free text only), a whole *number*, a *day*, a *UID*,
or *bytes* (what is not ASCII, in the character sets of DICOM); mostly several of these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from deid import dates
from deid.dates_in_text import Day
from deid.manners import OWN_CODE
from deid.spellings import fold, is_ideographic, is_written_like_a_name, spelled, telling_parts, whole_names
from deid.uids import is_well_known
from deid.vocabulary import is_common, is_vocabulary

NUMBER_MIN = 5  # a number of fewer digits is looked for in free text only, one of fewer than three nowhere
UID = re.compile(r"\d+(?:\.\d+){3,}")
DIGIT_GROUPS = re.compile(r"\d(?:[ \-./()]{0,2}\d){5,}")
_WORD = re.compile(r"[^\W\d_]+")
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[ap]m)?")
# The character sets of DICOM (PS3.3 C.12.1.1.2), those of Windows that files lie with, and the wide ones.
_CODECS = (
    *("utf-8", "latin-1", *(f"iso8859-{part}" for part in range(2, 10)), "cp874", *(f"cp125{part}" for part in (0, 1, 2, 3, 5, 6)), "koi8-r"),
    *("gb18030", "big5", "shift_jis", "euc_jp", "euc_kr", "iso2022_jp", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"),
)


class Sought:
    """The removed values by how they are looked for. removed: the values; those of persons carry a caret."""

    def __init__(self, removed: Iterable[str]) -> None:
        self.uids: set[str] = set()
        self.long: set[str] = set()  # substrings, everywhere
        self.people: set[str] = set()  # those of them that are of persons
        self.words: set[str] = set()  # whole words, everywhere
        self.free_words: set[str] = set()  # whole words or phrases, in free text
        self.numbers: set[str] = set()  # whole numbers, as they were and without leading zeros, everywhere
        self.free_numbers: set[str] = set()
        self.days: set[Day] = set()
        self.raw: set[bytes] = set()  # what is not ASCII, encoded
        for value in {piece for whole in removed for piece in whole.split("\0")}:  # what hides behind a NUL is a value of its own
            self._add(value.strip(" \t\r\n"))

    def _add(self, value: str) -> None:
        if not value or OWN_CODE.match(value):
            return
        if UID.fullmatch(value):
            self.uids |= set() if is_well_known(value) else {value}
            return
        if "^" not in value and self._add_date(value):
            return
        if not value.isascii():
            self._add_bytes(value)
        if "^" in value:
            self._add_person(value)
        else:
            self._add_text(value)

    def _add_date(self, value: str) -> bool:
        """Whether the value is a date (or a date and a time) and nothing else; then it is kept as a day."""
        head = value[:8] if value[:8].isdecimal() and not re.fullmatch(r"\d{9,11}|\d{13}", value) else value
        found = dates.parse_date(head)
        if found is None:
            return False
        self.days |= {(found.year, found.month, found.day), (found.year % 100, found.month, found.day)}
        if len(value) == 8 or not value.isdecimal():
            return True
        return len(value) in (12, 14)

    def _add_bytes(self, value: str) -> None:
        groups = [re.split(r"[\s^]+", group.strip("^ ")) for group in value.split("=")]
        words = {value, *(w for group in groups for w in (*group, "".join(group), " ".join(group)) if not w.isascii())}
        for word in {case for w in words for case in (w, w.upper(), w.lower(), w.title())}:
            for codec in _CODECS:
                try:
                    raw = word.encode(codec)
                except UnicodeEncodeError:
                    continue
                raw = raw.removeprefix(b"\x1b$B").removesuffix(b"\x1b(B")
                if len(raw) >= 4:
                    self.raw.add(raw)

    def _add_person(self, value: str) -> None:
        for part in telling_parts(value):
            if part.isdecimal():
                self._add_number(part)
            elif len(part) >= 4 and not is_common(part):
                self.long.add(part)
                self.people.add(part)
            elif is_ideographic(part):
                (self.long if len(part) > 1 else self.words).add(part)
            else:
                (self.free_words if is_common(part) else self.words).add(part)
        # Glued names are needed only where no part of them is looked for by itself.
        self.long |= {word for word in whole_names(value) if not is_common(word) and not any(part in word for part in self.long)}
        whole = fold(value.strip("^= "))
        if "^" in whole and len(whole) >= 5:
            self.long.add(whole)
        self._add_runs(fold(value))

    def _add_text(self, value: str) -> None:
        folded = fold(value)
        words = _WORD.findall(folded)
        if folded.isdecimal():
            self._add_number(folded)
        elif _CLOCK.fullmatch(folded):
            return
        elif not words and sum(c.isdecimal() for c in folded) < NUMBER_MIN:
            if sum(c.isdecimal() for c in folded) >= 3:
                self.free_words.add(folded)
        elif is_common(folded):
            if is_written_like_a_name(value):
                self.free_words.add(folded)
        elif len(folded) < 4:
            (self.long if is_ideographic(folded) and len(folded) > 1 else self.free_words).add(folded)
        elif len(folded) <= 64 and not _says_nothing(folded, words):
            self.long |= {folded} | (spelled(value) if len(words) == 1 else set())
        for word in words:
            if (len(word) >= 4 or is_ideographic(word)) and not is_vocabulary(word):
                self.long |= {form for form in spelled(word) if len(form) >= 4 or is_ideographic(form)}
        self._add_runs(folded)

    def _add_runs(self, folded: str) -> None:
        """The numbers in a value: each run of five digits or more, and the digits of a telephone number or the like taken together."""
        for run in re.findall(r"\d{5,}", folded):
            self._add_number(run)
        for groups in DIGIT_GROUPS.findall(folded):
            digits = re.sub(r"\D", "", groups)
            if len(digits) >= 7:
                self._add_number(digits)
            if len(digits) >= 9 and folded.startswith(("+", "00")):  # a telephone number without its country's
                bare = digits.lstrip("0")
                self.numbers |= {bare[lead:] for lead in (1, 2, 3) if len(bare) - lead >= 7}

    def _add_number(self, digits: str) -> None:
        bare = digits.lstrip("0")
        if len(digits) >= NUMBER_MIN and len(bare) >= 3:
            self.numbers.add(digits)
        if len(bare) >= NUMBER_MIN:
            self.numbers.add(bare)
        elif len(bare) >= 3:
            self.free_numbers.add(bare)


def _says_nothing(folded: str, words: list[str]) -> bool:
    """Whether several words are all vocabulary, with no number among them to speak of: nobody's."""
    return bool(words) and all(is_common(w) or len(w) < 3 for w in words) and sum(c.isdecimal() for c in folded) < 3
