"""What can happen to an element: one function per action of a profile, each taking an element and giving what is written, or None.

Every action checks the form of what it keeps: a number is a number and none of the file's own identifiers, a term is a term of the vocabulary, words are
words of imaging. What fails is removed, or emptied or replaced where the object requires the attribute (`by_type`). Nothing is edited in place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from deid import ages, coding, colour, dates, descriptors, figures, identity, picture, uids, values
from deid.account import CLEANED, EMPTIED, KEPT, MOVED, REMOVED, REPLACED
from deid.profile import Rule
from deid.tree import PIXEL_DATA, Element, Item

if TYPE_CHECKING:
    from deid.rewriting import Work

_PAIRS = {
    0x00080020: 0x00080030,
    0x00080021: 0x00080031,
    0x00080022: 0x00080032,
    0x00080023: 0x00080033,
    0x00080012: 0x00080013,
    0x00400244: 0x00400245,
    0x00400250: 0x00400251,
}
MOST_DIGITS = 5  # in a term
_CODED = frozenset(["AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "ViewCodeSequence"])  # code sequences that are not called so
ICC_PROFILE = 0x00282000
_IMAGE_TYPES = frozenset(["ImageType", "FrameType"])
_DUMMIES = dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "PN", "AE"), b"REMOVED") | {"CS": b"OTHER", "DS": b"0", "IS": b"0"}
_VERSION = re.compile(r"[0-9][0-9.]{0,4}\Z")


def keep(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Kept as it is, after a check of its form."""
    return (number if rule.vr in ("DS", "IS") else term)(work, element, rule, parent)


def number(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Kept where it is a number, none that reads as a day, and none of the file's identifiers."""
    why = figures.why_not(work, element)
    if why:
        work.removed |= {part for part in values.texts(element, work.codecs) if len(part) >= 6} if element.vr in ("DS", "IS") else set()
        work.account.note(REMOVED, element.tag, parent, why)
        return by_type(work, element, rule, parent, note=False)
    work.account.note(KEPT, element.tag, parent)
    return element


def term(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Kept value by value where each is a term of the imaging vocabulary."""
    parts = values.texts(element, work.codecs)
    good = [part if descriptors.is_term(part) and not _names_someone(work, part) else "" for part in parts]
    if good == parts:
        work.account.note(KEPT, element.tag, parent)
        return element if b"\0" not in element.bytes else Element(element.tag, "CS", "\\".join(good).encode("ascii"))
    work.removed |= set(parts) - set(good)
    work.account.note(CLEANED, element.tag, parent, "a value is not a term of the vocabulary")
    if rule.keyword in _IMAGE_TYPES:
        good = [g or "OTHER" for g in good]
    if not any(good):
        return by_type(work, element, rule, parent, note=False)
    return Element(element.tag, "CS", "\\".join(good).encode("ascii", "replace"))


def _names_someone(work: Work, part: str) -> bool:
    """Whether a term says a name, an identifier, a day or a number too long to count anything, in a word that is no vocabulary."""
    if len(part) < 3 or part.upper() in descriptors.short_terms() or descriptors.is_vocabulary(part):
        return False
    if work.own is not None and work.own.search(part):
        return True
    gone = work.scrub.clean(part, free=False).gone
    return sum(c.isdecimal() for c in part) > MOST_DIGITS or any(piece.upper() not in descriptors.short_terms() for piece in gone)


def clean(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """A descriptor, cleaned and kept."""
    return words(work, element, rule, parent, free=True)


def fact(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """What a machine says, cleaned and kept."""
    return words(work, element, rule, parent, free=False)


def words(work: Work, element: Element, rule: Rule, parent: str, *, free: bool) -> Element | None:
    """Text without names, numbers, dates and unknown words, or what hides behind a NUL. free: as in `descriptors.Scrubber.clean`."""
    parts, gone, unknown = [], [], 0
    for text in values.texts(element, work.codecs):
        part, _, hidden = text.partition("\0")
        gone += [hidden] if hidden.strip(" \0") else []
        if values.ESCAPE in part:  # an escape that no character set explains: nobody can read what follows
            gone.append(part)
            parts.append("")
            continue
        told = [pattern for pattern in (work.own, ages.OLD_IN_TEXT if free else None) if pattern is not None and pattern.search(part)]
        for pattern in told:
            gone += [match.group() for match in pattern.finditer(part)]
            part = " ".join(pattern.sub(" ", part).split())
        cleaned = work.scrub.clean(part, free=free)
        gone += cleaned.gone
        unknown += cleaned.unknown
        parts.append(cleaned.text)
    if not gone and element.bytes.isascii() and "\\".join(parts) == element.bytes.decode("ascii").strip(" "):
        work.account.note(KEPT, element.tag, parent)
        return element
    work.removed.update(gone)
    if unknown:
        work.account.ask(f"{rule.keyword}: words that nobody could place were taken out", unknown)
    work.account.note(CLEANED if gone else KEPT, element.tag, parent)
    if not any(parts) and gone:
        return by_type(work, element, rule, parent, note=False)
    return Element(element.tag, element.vr, values.encode_text(parts))


def coded(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Part of a code item, of which `rewriting.Work.item` has made sure that its scheme is public and its value one of the scheme's."""
    if rule.keyword == "CodeMeaning":
        return words(work, element, rule, parent, free=False)
    good = bool(parent) and (rule.keyword != "CodingSchemeVersion" or _VERSION.match(values.text(element)) is not None)
    work.account.note(KEPT if good else REMOVED, element.tag, parent)
    return element if good else None


def code(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Replaced by the participant's code at the top; gone below."""
    work.account.note(REPLACED if not parent else REMOVED, element.tag, parent)
    return Element(element.tag, rule.vr, work.subject.code.encode("ascii")) if not parent else None


def uid(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Every UID but the standard's own replaced."""
    fresh, gone = uids.replace(element.bytes, work.key)
    work.removed.update(uid for uid in gone if len(uid) >= 8)
    work.account.note(REPLACED if gone else KEPT, element.tag, parent)
    return Element(element.tag, "UI", fresh)


def date(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Moved back by the participant's offset; with the clock where its pair stood on another day than the study's start."""
    carried = _carry(work, element)
    return _moved(work, element, rule, parent, lambda text: dates.move_date(text, work.shift, carry_days=carried))


def time_beside(work: Work, tag: int) -> bytes:
    """The time that stands beside a date of a DA/TM pair on the same level, on which hangs what the date becomes; b"" where nothing hangs on a time."""
    paired = _PAIRS.get(tag)
    if paired is None or tag == identity.STUDY_DATE or work.shift.start is None:
        return b""
    if work.level is work.file.elements:
        beside = work.top.get(paired)
    else:
        beside = next((e for e in work.level if e.tag == paired), None)
    return beside.bytes if beside is not None else b""


def _carry(work: Work, element: Element) -> int:
    """Days the clock carries the date of a DA/TM pair over (dates.carry); StudyDate is the study's own day and never carried."""
    beside = time_beside(work, element.tag)
    return dates.carry(values.texts(element)[0], values.texts(Element(_PAIRS[element.tag], "TM", beside))[0], work.shift) if beside else 0


def time(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Moved by the study's clock."""
    return _moved(work, element, rule, parent, lambda text: dates.move_time(text, work.shift))


def datetime(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Moved by both."""
    return _moved(work, element, rule, parent, lambda text: dates.move_datetime(text, work.shift))


def _moved(work: Work, element: Element, rule: Rule, parent: str, move: Callable[[str], str | None]) -> Element | None:
    """Each value moved; what does not parse is taken out and counted, its neighbours stay."""
    old = values.texts(element, work.codecs)
    new = [move(part) if part else "" for part in old]
    work.removed |= {part for part, fresh in zip(old, new, strict=True) if part and (fresh is None or (rule.vr != "TM" and len(part) >= 8))}
    if any(part is None for part in new):
        work.account.note(REMOVED, element.tag, parent, "the date or time does not parse")
        if not any(new):
            return by_type(work, element, rule, parent, note=False)
    work.account.note(MOVED, element.tag, parent)
    return Element(element.tag, rule.vr, "\\".join(part or "" for part in new).encode("ascii"))


def items(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """A sequence, each item cleaned by the same rules; items that lose everything go."""
    if element.items is None:
        return remove(work, element, rule, parent)
    fresh = [kept for item in element.items if (kept := work.item(item, rule.keyword)) is not None]
    work.account.note(KEPT, element.tag, parent)
    if not fresh and element.items:
        fresh = _required_codes(work, rule, parent)
        if not fresh:
            return by_type(work, element, rule, parent, note=False)
    return Element(element.tag, "SQ", None, fresh, element.undefined)


def _required_codes(work: Work, rule: Rule, parent: str) -> list[Item]:
    """What stands where an object requires a code and none of the given ones may stay: no unit, or a code that says nothing."""
    if rule.keyword == "MeasurementUnitsCodeSequence":
        return [coding.item("1", "no units", "UCUM")]
    required = rule.keyword.endswith("CodeSequence") or rule.keyword in _CODED
    return [coding.item("REMOVED", "removed", "99MYELIN")] if required and work.profile.type_of(work.iod, parent, rule.keyword) in ("1", "1C") else []


def bulk(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Picture values and lookup tables."""
    if element.tag == ICC_PROFILE:
        profile = colour.rewrite(element.bytes)
        if profile is None:
            return by_type(work, element, rule, parent)
        work.account.note(CLEANED, element.tag, parent)
        return Element(element.tag, "OB", profile)
    if element.tag != PIXEL_DATA:
        good = picture.is_table(element, work.scrub.carries)
        work.account.note(KEPT if good else REMOVED, element.tag, parent, "" if good else "text where a table belongs")
        return element if good else None
    if parent:
        work.account.note(REMOVED, element.tag, parent)
        return None
    if work.file.fragments is not None:
        work.fragments, left_out = picture.compressed(work.file, work.top)
        work.account.note(CLEANED if left_out else KEPT, element.tag, parent, "comments inside the compressed picture, or padding" if left_out else "")
        return element
    fresh, done = picture.native(element, work.top)
    work.account.note(CLEANED if done else KEPT, element.tag, parent, done)
    return fresh


def set_anew(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Left behind; `signing` writes it anew."""
    return None


def age(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Left behind; `signing` writes it anew, at the top."""
    work.account.note(REPLACED if not parent else REMOVED, element.tag, parent)
    return None


def empty(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Emptied at the top; gone below."""
    work.account.note(EMPTIED if not parent else REMOVED, element.tag, parent)
    return Element(element.tag, rule.vr, b"") if not parent else None


def remove(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Gone."""
    work.account.note(REMOVED, element.tag, parent)
    return None


def dummy(work: Work, element: Element, rule: Rule, parent: str) -> Element | None:
    """Replaced by a value that says nothing."""
    work.account.note(REPLACED, element.tag, parent)
    return Element(element.tag, rule.vr, _DUMMIES[rule.vr]) if rule.vr in _DUMMIES else None


def by_type(work: Work, element: Element, rule: Rule, parent: str, note: bool = True) -> Element | None:
    """X, Z or D: what the table allows and the object requires here (Type 3: gone; 2: empty; 1: a value that says nothing)."""
    way = rule.resolve(work.profile.type_of(work.iod, parent, rule.keyword))
    if way == "D" and rule.vr in _DUMMIES:
        done, out = REPLACED, Element(element.tag, rule.vr, _DUMMIES[rule.vr])
    elif way in ("D", "Z"):
        done, out = EMPTIED, Element(element.tag, rule.vr, None, []) if rule.vr == "SQ" else Element(element.tag, rule.vr, b"")
    else:
        done, out = REMOVED, None
    if note:
        work.account.note(done, element.tag, parent)
    return out


Action = Callable[["Work", Element, Rule, str], Element | None]
ACTIONS: dict[str, Action] = {
    "keep": keep,
    "clean": clean,
    "fact": fact,
    "coded": coded,
    "code": code,
    "age": age,
    "uid": uid,
    "date": date,
    "time": time,
    "datetime": datetime,
    "number": number,
    "term": term,
    "items": items,
    "bulk": bulk,
    "set": set_anew,
    "empty": empty,
    "dummy": dummy,
    "remove": remove,
    "by_type": by_type,
}
WITH_ITEMS = frozenset(["items", "bulk", "set"])  # their outcome hangs on more than the value
