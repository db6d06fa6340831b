"""How one piece of text or bytes is searched for the removed values. Text of a series repeats from file to file, so answers are remembered."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ahocorasick_rs import BytesAhoCorasick

from deid import asc_protocol, csa, dates, dates_in_text, decoding, printable
from deid.manners import OWN_UID, Buffer, Manner
from deid.sought import DIGIT_GROUPS, UID, Sought
from deid.spellings import fold
from deid.uids import is_well_known
from deid.vocabulary import listed, vocabulary

VOXEL_MIN = 8
REMEMBERED = 100_000  # answers
LONG_TEXT = 4096  # answers about longer texts are not remembered
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"(?<![\d.])\d{3,}(?![\d.]*\d)")
_FREE_NUMBER = re.compile(r"(?<![\w.])\d{3,}(?!\w|\.\d)")
_SEPARATORS = re.compile(r"[\s\-_./:+]+")


class Needles:
    """The removed values, ready to be looked for. days: how far the participant's dates were moved back; with it a date that a product rightly carries
    (some removed day, moved) is told from one that was left."""

    def __init__(self, removed: Iterable[str], days: int | None = None) -> None:
        self.sought = Sought(removed)
        self.moved = days
        long = sorted(self.sought.long)
        self._long = long
        # One pass over a picture finds all of them; one pass for each of some hundred values was a fifth of the pipeline's time.
        self._voxels = BytesAhoCorasick([v.encode("ascii") for v in long if len(v) >= VOXEL_MIN and v.isascii()])  # runs are ASCII
        self._raw_voxels = BytesAhoCorasick([raw for raw in self.sought.raw if len(raw) >= VOXEL_MIN])
        squeezed = {_SEPARATORS.sub("", v) for v in long}
        self._squeezed = sorted(s for s in squeezed if len(s) >= 6 and not s.isalpha() and not s.isdecimal())
        self._phrases = sorted(v for v in self.sought.free_words if not v.isalnum())
        self._joined = {n for n in self.sought.numbers if len(n) >= 7}
        self._done: dict[tuple[str | Buffer, str], tuple[str, ...]] = {}

    def hits(self, text: str | Buffer, manner: Manner) -> tuple[str, ...]:
        """The kinds of values found in one piece of a product (empty: none).

        text: a string, or bytes for the manners `bytes` and `voxels`. Kinds: text, word, number, date, uid, bytes, voxels, base64, hexadecimal, escaped.
        """
        if not isinstance(text, str) and (manner == "voxels" or len(text) > LONG_TEXT):
            return tuple(sorted(set(self._in_bytes(text, manner))))
        key = (text, manner)
        found = self._done.get(key)
        if found is None:
            found = tuple(sorted(set(self._look(text, manner) if isinstance(text, str) else self._in_bytes(text, manner))))
            if len(text) <= LONG_TEXT:
                if len(self._done) >= REMEMBERED:
                    self._done.clear()
                self._done[key] = found
        return found

    def _in_bytes(self, data: Buffer, manner: Manner) -> Iterator[str]:
        if manner == "voxels":
            plain = fold(printable.runs(data)).encode("ascii")
            if self._voxels.find_matches_as_indexes(plain) or self._raw_voxels.find_matches_as_indexes(bytes(data)):
                yield "voxels"
            return
        raw = bytes(data)
        for run in printable.pieces(raw):  # one by one, for the pieces of a series repeat
            yield from self.hits(run, "bytes")
        if any(value in raw for value in self.sought.raw):
            yield "bytes"

    def _look(self, text: str, manner: Manner) -> Iterator[str]:
        if manner == "uid":
            yield from self._in_uids(text)
            return
        if manner == "day":
            yield from self._in_day(text)
            return
        folded = fold(text)
        if manner == "clock":
            yield from self._strings(folded, "text")
            return
        if manner != "numbers":
            yield from self._strings(folded, manner)
            yield from self._encoded(text, manner)
        if any(c.isdecimal() for c in folded):
            yield from self._digits(text, folded, manner)

    def _strings(self, folded: str, manner: Manner) -> Iterator[str]:
        for value in self._long:
            if value in folded and _stands(value, folded) and (manner != "sequence" or len(value) >= 6 or value in self.sought.people):
                yield "text"
                break
        if manner == "label":
            if folded in self.sought.words or folded in self.sought.free_words or folded.lstrip("0") in self.sought.numbers | self.sought.free_numbers:
                yield "word"
            return
        if manner == "bytes":
            return
        found = set(_TOKEN.findall(folded)) | set(_WORD.findall(folded))
        if not self.sought.words.isdisjoint(found):
            yield "word"
        if manner == "free" and (not self.sought.free_words.isdisjoint(found) or any(phrase in folded for phrase in self._phrases)):
            yield "word"
        if self._squeezed and sum(c.isdecimal() for c in folded) >= 2:
            close = _SEPARATORS.sub("", folded)
            if any(v in close for v in self._squeezed):
                yield "text"

    def _digits(self, text: str, folded: str, manner: Manner) -> Iterator[str]:
        if self.sought.uids and "." in text and not self.sought.uids.isdisjoint(UID.findall(text)):
            yield "uid"
        runs = _NUMBER.findall(folded)
        found = {*runs, *(run.lstrip("0") for run in runs)}
        if not self.sought.numbers.isdisjoint(found):
            yield "number"
        if manner == "free":
            if not self.sought.free_numbers.isdisjoint({t.lstrip("0") for t in _FREE_NUMBER.findall(folded)}):
                yield "number"
            joined = [re.sub(r"\D", "", run) for run in DIGIT_GROUPS.findall(folded)] if self._joined else []
            if any(number in run for run in joined for number in self._joined):
                yield "number"
        if self.sought.days and manner != "numbers" and self._says_a_day(folded, loose=manner == "free"):
            yield "date"

    def _says_a_day(self, folded: str, *, loose: bool) -> bool:
        return any(day in self.sought.days for day in dates_in_text.said(folded, loose=loose))

    def _in_day(self, text: str) -> Iterator[str]:
        for value in text.split("\\"):
            found = dates.parse_date(value[:8] if value[:8].isdecimal() else value[:10])
            if found is None:
                yield from self._look(value, "free")
            elif (found.year, found.month, found.day) in self.sought.days and not self._moved_there(found):
                yield "date"

    def _moved_there(self, found: datetime.date) -> bool:
        if self.moved is None:
            return False
        was = found + datetime.timedelta(days=self.moved)
        return (was.year, was.month, was.day) in self.sought.days

    def _in_uids(self, text: str) -> Iterator[str]:
        for value in text.split("\\"):
            if value in self.sought.uids:
                yield "uid"
            elif not OWN_UID.match(value) and not is_well_known(value):
                yield from self._look(value.replace(".", " | "), "text")

    def _encoded(self, text: str, manner: Manner) -> Iterator[str]:
        # A name of the vendor's protocol is nobody's code, whatever its letters decode to.
        for how, plain in () if asc_protocol.is_known(text) else decoding.readings(text):
            folded = fold(plain)
            if any(value in folded and _stands(value, folded) for value in self._long):
                yield how
            elif any(c.isdecimal() for c in folded):
                yield from (how for _ in self._digits(plain, folded, "bytes"))
        if self.sought.raw:
            for how, data in decoding.blobs(text):
                if any(raw in data for raw in self.sought.raw):
                    yield how


def _stands(value: str, folded: str) -> bool:
    """Whether a value stands in a text otherwise than as a piece of a longer word of the vocabulary (`east` in `breast`)."""
    longer = _longer_words(value)
    at = folded.find(value)
    while at >= 0:
        if not any(_around(word, value, folded, at) for word in longer):
            return True
        at = folded.find(value, at + 1)
    return False


def _around(word: str, value: str, folded: str, at: int) -> bool:
    lead = word.find(value)
    while lead >= 0:
        if at >= lead and folded.startswith(word, at - lead):
            return True
        lead = word.find(value, lead + 1)
    return False


@lru_cache(maxsize=8192)
def _longer_words(value: str) -> tuple[str, ...]:
    if not value.isalpha():
        return ()
    return tuple(sorted(word for word in vocabulary() | _key_words() if value in word and word != value))


@lru_cache(maxsize=1)
def _key_words() -> frozenset[str]:
    """The words that names of fields are made of, and the names that we write ourselves: of vendors' entries, and of what was kept."""
    written = {"patientsex", "patientage", "patientsize", "patientweight", "dcm2niix"}
    for names in (*csa.names().all(), asc_protocol.names()):
        written |= {name.lower() for name in names}
    return frozenset(part.lower() for key in listed("keys") for part in re.findall(r"[A-Z]?[a-z]{3,}", key)) | written
