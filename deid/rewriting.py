"""Second pass over a file: each element goes through the action that its rule names; what has no rule is left behind.

Nothing of the source is edited in place: the output is built from nothing, so an element nobody thought of cannot slip through, at any depth. Most elements
of a series repeat from slice to slice: what came of a value is remembered with all its consequences (`_Memory`), for as long as the same person, study,
character set and identifying values are at work, so that a series costs little more than its differences.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from deid import actions, coding, descriptors, identity, values, vendor, writing
from deid.account import CLEANED, KEPT, REMOVED, Account
from deid.dates import Shift, clock_shift, parse_date, parse_time
from deid.gathering import codecs_of, gather, own_numbers
from deid.needles import Needles
from deid.profile import Profile, Rule
from deid.sought import UID
from deid.subject import Subject
from deid.tree import COMPRESSED, EXPLICIT, IMPLICIT, TRAILING_PADDING, Buffer, Element, File, Item

_META = frozenset([0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013])
_REMEMBERED = 512  # bytes; longer values seldom repeat
_SPELLINGS = ("iso8859",)
_NUMBER = re.compile(r"\d{4}")


class _Memory(dict[tuple[Any, ...], tuple[Element | None, tuple[Any, ...], frozenset[str], tuple[Any, ...]]]):
    """(tag, VR, value, place, character set, the time beside a date) -> what is written, the notes, what was taken out, and what a person should look at."""


@lru_cache(maxsize=16)
def _memory(*context: Any) -> _Memory:
    return _Memory()


@lru_cache(maxsize=128)
def _scrubber(names: frozenset[str], others: frozenset[str], removed: frozenset[str] = frozenset()) -> descriptors.Scrubber:
    """One scrubber for all files with the same identifying values. removed: what else the last gate will look for in numbers."""

    @lru_cache(maxsize=1)
    def needles() -> Needles:
        return Needles(removed | names | others)

    return descriptors.Scrubber(names, others, lambda text, manner: bool(needles().hits(text, manner)))


class Work:
    """One file on its way: the parsed input, whose it is, the growing account, and what was taken out (`removed`, identifying)."""

    def __init__(self, file: File, sop: str, subject: Subject, profile: Profile) -> None:
        self.file, self.sop, self.subject, self.profile = file, sop, subject, profile
        self.key, self.rules = subject.pseudonym_key, profile.rules
        self.iod = profile.classes.get(sop, "mr-image")
        self.top = file.top()
        self.codecs = codecs_of(file.elements, _SPELLINGS)
        self.signed = int(values.number(self.top.get(0x00280103))) == 1
        self.declared = file.syntax != IMPLICIT  # whether the input declared its VRs (else US and SS are told apart by the pixel representation)
        self.account = Account()
        self.who = identity.of(file)
        self.sop_uid = self.key.uid(self.who.sop_uid)
        self.shift = self._shift()
        self.syntax = file.syntax if file.syntax in COMPRESSED else EXPLICIT
        self.fragments: list[Buffer] | None = None
        self.level: list[Element] = file.elements
        self.removed: set[str] = set()
        self.names: frozenset[str] = frozenset()
        self.others: frozenset[str] = frozenset()
        self.counted: frozenset[str] = frozenset()
        self.numbers: frozenset[int] = frozenset()
        self.scrub = _scrubber(frozenset(), frozenset())
        self.own: re.Pattern[str] | None = None
        self._done = _Memory()

    def _shift(self) -> Shift:
        start = self.subject.starts.get(self.who.study_uid)
        micro = start.micro if start else parse_time(self.first(identity.STUDY_TIME))
        day = start.date if start else self.who.study_date
        return Shift(self.key.offset_days(self.subject.code), clock_shift(micro, self.key.shift_ms(self.who.study_uid)), day)

    def first(self, tag: int) -> str:
        """The first value of a top-level attribute as text, "" where there is none."""
        return values.texts(self.top[tag], self.codecs)[0] if tag in self.top and self.top[tag].items is None else ""

    def gather(self) -> None:
        """Collect what identifies, so that text which is kept can be searched for it."""
        said = {*self.subject.identifiers, *(() if self.who.placeholder else (self.who.patient_id,))}
        self.own = own_numbers(said)
        found = gather([*self.file.elements, *self.file.duplicates], self.rules, self.codecs, said)
        self.removed |= found.removed
        self.names, self.numbers = frozenset(found.names), found.numbers
        others = frozenset(found.others)
        self.others, self.counted = others, _numbers_of(found.removed)
        self.scrub = _scrubber(self.names, others, self.counted)
        known = (self.names, others, self.numbers, self.own, self.counted)
        self._done = _memory(self.profile, self.key, self.subject.code, self.iod, self.shift, self.signed, self.declared, *known)

    def note_surroundings(self) -> None:
        """Account for what is not in the data set: preamble, file meta information, elements that stood twice, bytes behind the end."""
        if self.file.preamble.strip(b"\0"):
            self.account.note(REMOVED, 0, "", "the preamble is written as zeros")
        for element in self.file.meta:
            if element.tag not in _META:
                self.account.note(REMOVED, element.tag, "", "file meta information is written anew")
        for element in self.file.duplicates:
            self.account.note(REMOVED, element.tag, "", "it stood there twice")
        if self.file.trailing:
            self.account.note(REMOVED, TRAILING_PADDING, "", "bytes behind the data set")

    def dataset(self, source: list[Element], parent: str) -> list[Element]:
        """The elements that are written of a data set or an item; `parent`: the keyword of the sequence, "" at the top."""
        out: list[Element] = []
        private: list[Element] = []
        outer, self.level = self.level, source
        rules, note = self.rules, self.account.note
        last, ascending = -1, True
        for element in source:
            tag = element.tag
            if tag > last:
                last = tag
            elif any(e.tag == tag for e in out):
                note(REMOVED, tag, parent, "it stood there twice")
                continue
            else:
                ascending = False
            if tag >> 16 & 1:
                private.append(element)
                continue
            rule = rules.get(tag)
            if rule is None:
                note(REMOVED, tag, parent)
            elif element.vr != rule.vr and not self._fits(element, rule):
                note(REMOVED, tag, parent, "the value is not of the attribute's kind")
            elif (kept := self._act(element, rule, parent)) is not None:
                out.append(kept)
        if private:
            out.extend(self._private(private, parent))
        if private or not ascending:
            out.sort(key=lambda e: e.tag)
        self.level = outer
        return out

    def _act(self, element: Element, rule: Rule, parent: str) -> Element | None:
        """What the rule's action makes of an element, from memory where the same was asked before."""
        action, value = rule.action, element.value
        if value is None or len(value) > _REMEMBERED or action in actions.WITH_ITEMS:
            return actions.ACTIONS[action](self, element, rule, parent)
        question = (element.tag, element.vr, value, parent, self.codecs, actions.time_beside(self, element.tag) if action == "date" else b"")
        answer = self._done.get(question)
        if answer is None:
            answer = self._ask(question, element, rule, parent)
        kept, notes, taken, asked = answer
        self.account.noted.extend(notes)
        if taken:
            self.removed |= taken
        if asked:
            self.account.asked.extend(asked)
        return kept

    def _ask(self, question: tuple[Any, ...], element: Element, rule: Rule, parent: str) -> tuple[Any, ...]:
        """Act for the first time, and remember all that came of it."""
        removed, account = self.removed, self.account
        self.removed, self.account = set(), Account()
        try:
            kept = actions.ACTIONS[rule.action](self, element, rule, parent)
            answer = (kept, tuple(self.account.noted), frozenset(self.removed), tuple(self.account.asked))
        finally:
            self.removed, self.account = removed, account
        if kept is not None and kept.items is None:
            kept.encoded = writing.one(kept)
        if len(self._done) > 5_000:
            self._done.clear()
        self._done[question] = answer
        return answer

    def _fits(self, element: Element, rule: Rule) -> bool:
        """Whether an element declared with another VR than the dictionary's can be read as what it should be; it is then re-declared."""
        choices = _choices(element.tag)
        if element.vr in choices:
            if element.vr == "US" and "SS" in choices and self.signed and not self.declared:
                element.vr = "SS"
            return True
        if (element.items is None) != ("SQ" not in choices):
            return False
        if element.vr in values.STRINGS and choices[0] in values.STRINGS:
            element.vr = choices[0]
            return True
        return False

    def item(self, item: Item, parent: str) -> Item | None:
        """One item cleaned, or None where nothing of it may stay: all of it was removed, or it is a code of no public scheme."""
        code = coding.of(item)
        if code is not None and not (coding.is_public(*code) and not self._coincides(*code)):
            self.account.note(REMOVED, coding.VALUE, parent, "no code of a public scheme")
            return None
        outer, self.codecs = self.codecs, codecs_of(item.elements, self.codecs)
        kept = self.dataset(item.elements if code is None else coding.judged(item), parent)
        self.codecs = outer
        if code is not None:
            kept = _meant(kept, coding.meaning(*code))
        return Item(kept, item.undefined) if kept or not item.elements else None

    def _coincides(self, scheme: str, value: str) -> bool:
        """Whether a code that only has a scheme's form is one of the file's identifiers."""
        return not coding.meaning(scheme, value) and len(value) > 2 and self.scrub.carries(value)

    def clean_items(self, element: Element, place: str) -> list[Item]:
        """The items of a (private) sequence, each cleaned by the profile; those that lose everything stay as empty ones."""
        return [self.item(item, place) or Item([], item.undefined) for item in element.items or ()]

    def _private(self, source: list[Element], parent: str) -> list[Element]:
        """Safe private elements by creator; the creator's own element only where one of its elements stays. They come last, when all else that this file
        loses is known.
        """
        self.scrub = _scrubber(self.names, self.others, self.counted | _numbers_of(self.removed))
        creators: dict[tuple[int, int], Element] = {}
        kept: dict[tuple[int, int], list[Element]] = {}
        for element in source:
            group, low = element.tag >> 16, element.tag & 0xFFFF
            if 0x10 <= low <= 0xFF:
                creators.setdefault((group, low), element)
                continue
            block = (group, low >> 8)
            creator = creators.get(block)
            safe = vendor.keep(values.text(creator), group, low & 0xFF, element, self) if creator is not None else None
            self.account.note(REMOVED if safe is None else CLEANED if safe is not element else KEPT, element.tag, parent)
            if safe is not None:
                kept.setdefault(block, []).append(safe)
        out = []
        for block, found in kept.items():
            out.append(Element(creators[block].tag, "LO", values.text(creators[block]).encode("ascii", "replace")))
            out.extend(found)
        return out


def _numbers_of(removed: set[str]) -> frozenset[str]:
    """Of what was taken out, that which says a number or a day. A series shares it: UIDs say neither, and of a date with its time the day counts."""
    return frozenset(value[:8] if parse_date(value[:8]) else value for value in removed if _NUMBER.search(value) and not UID.fullmatch(value))


def _meant(kept: list[Element], words: str) -> list[Element]:
    """A code item whose meaning did not survive gets the standard's own, where the standard lists the code."""
    if not words or not any(e.tag == coding.MEANING and e.bytes.strip() == b"REMOVED" for e in kept):
        return kept
    return [Element(e.tag, "LO", words[:64].encode()) if e.tag == coding.MEANING else e for e in kept]


@lru_cache(maxsize=8192)
def _choices(tag: int) -> tuple[str, ...]:
    from deid.dictionary import DicomDictionary

    return tuple(DicomDictionary[tag][0].split(" or "))
