"""First pass over a file: every value that identifies, at any depth, so that what is kept can be searched for it.

Three kinds come out. *Names*: person names in every component group and every reading of the character set. *Others*: identifiers, places and numbers of the
elements that go. *Removed*: all that was taken out, for the last gate. A sequence item may declare a character set of its own (PS3.3 C.12.1.1.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from deid import values
from deid.profile import Rule
from deid.tree import CHARSET, Element

_WORTH = frozenset(["PN", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE", "DA", "DT"])
_SHORT = frozenset(["LO", "SH", "ST", "AE", "UC"])
_GONE = frozenset(["remove", "by_type", "code", "empty"])
_DIGITS = re.compile(r"\d{6,18}")


@dataclass(slots=True)
class Found:
    """names: as they stand in PN; others: identifiers of 3 to 64 characters; removed: everything taken out; numbers: runs of 6 digits or more in them."""

    names: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    numbers: frozenset[int] = frozenset()


def own_numbers(identifiers: Iterable[str]) -> re.Pattern[str] | None:
    """The person's own identifiers of letters and digits, three characters or more, as whole tokens; None where there is none.

    A number alone of fewer than five digits says too little to be looked for; longer ones, and words, are the scrubber's.
    """
    own = {" ".join(text.split()) for text in identifiers}
    mixed = sorted(text for text in own if 3 <= len(text) <= 64 and any(c.isalpha() for c in text) and any(c.isdecimal() for c in text))
    return re.compile(r"(?<![^\W_])(?:" + "|".join(map(re.escape, mixed)) + r")(?![^\W_])", re.I) if mixed else None


def codecs_of(elements: Iterable[Element], outer: tuple[str, ...]) -> tuple[str, ...]:
    """The character sets of a data set or an item: its own, or those of what it stands in."""
    for element in elements:
        if element.tag >= CHARSET:
            return values.encodings(values.text(element)) if element.tag == CHARSET and element.items is None and element.bytes.strip(b" \0") else outer
    return outer


def gather(elements: Iterable[Element], rules: dict[int, Rule], codecs: tuple[str, ...], identifiers: Iterable[str] = ()) -> Found:
    """What identifies in these elements and below. identifiers: further values known of the person."""
    known = set(identifiers)
    names = {one for one in known if "^" in one}  # the caret marks a person
    found = Found(names, known - names)
    _gather(elements, rules, codecs, found)
    found.others = {other for other in found.others if len(other) >= 3}
    found.numbers = frozenset(int(run) for other in found.others | found.names for run in _DIGITS.findall(other.replace("-", "").replace(".", "")))
    return found


def _gather(elements: Iterable[Element], rules: dict[int, Rule], codecs: tuple[str, ...], found: Found) -> None:
    for element in elements:
        if element.items is not None:
            for item in element.items:
                _gather(item.elements, rules, codecs_of(item.elements, codecs), found)
            continue
        if element.vr not in _WORTH or not element.value:
            continue
        if element.vr == "PN":
            said = values.readings(element, codecs)
            found.names |= said
            found.removed |= {name if "^" in name else name + "^" for name in said}  # the caret marks a person for `verify`
            continue
        if element.tag >> 16 & 1:
            continue
        rule = rules.get(element.tag)
        if rule is None or rule.action in _GONE:
            said = values.readings(element, codecs)
            found.removed |= said
            if element.vr in _SHORT:
                found.others |= {value for value in said if len(value) <= 64}
