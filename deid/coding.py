"""Codes of public schemes say nothing about a person; codes of a site's own scheme may say anything.

A code item stays if its scheme is public and its value is one that the scheme can have: listed in the context groups of PS3.16 (as pydicom carries them), or
of the scheme's own form, check digit included. So neither a name nor a hospital number passes as a code. Meanings are cleaned like facts; a listed code whose
meaning does not survive gets the standard's.
"""

from __future__ import annotations

import re
from functools import lru_cache

from deid import values
from deid.tree import Element, Item

VALUE, SCHEME, VERSION, MEANING, LONG_VALUE, URN_VALUE = 0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119, 0x00080120
_VALUES = (VALUE, LONG_VALUE, URN_VALUE)
_UNIT = r"(?:[fpnumcdkMGT]?(?:m|s|g|Hz|T|L|l|mol|V|A|W|J|Pa|K|rad|Bq|eq|Cel)|mm|deg|min|h|d|%|1|\{[a-z ]{1,12}\}|\[[a-z ]{1,8}\])"
# Scheme -> the form of its values, for those the context groups do not list. SCT: with its check digit.
_FORMS = {
    "SRT": r"[A-Z]-[0-9A-F]{4,5}",
    "SNM3": r"[A-Z]-[0-9A-F]{4,5}",
    "LN": r"\d{4,5}-\d",
    "NCIt": r"C\d{3,6}",
    "UMLS": r"C\d{7}",
    "RADLEX": r"RID\d{1,5}",
    "UCUM": rf"{_UNIT}-?\d?(?:[./]{_UNIT}-?\d?){{0,3}}",
}
_FORM = {scheme: re.compile(form + r"\Z") for scheme, form in _FORMS.items()}
_ALIASES = {"NCIT": "NCIt", "99SDM": "SRT"}
_INVERSE = (0, 4, 3, 2, 1, 5, 6, 7, 8, 9)
_ROUND = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


@lru_cache(maxsize=1)
def _listed() -> dict[str, dict[str, str]]:
    """Scheme -> code -> meaning, from the context groups of PS3.16."""
    from pydicom.sr._concepts_dict import concepts

    return {scheme: {code: found[0] for by_code in words.values() for code, found in by_code.items()} for scheme, words in concepts.items()}


def meaning(scheme: str, value: str) -> str:
    """The standard's own words for a listed code, or ""."""
    return _listed().get(_ALIASES.get(scheme, scheme), {}).get(value, "")


@lru_cache(maxsize=4096)
def is_public(scheme: str, value: str) -> bool:
    """Whether this is a code of a public scheme."""
    scheme = _ALIASES.get(scheme, scheme)
    if value in _listed().get(scheme, {}):
        return True
    if scheme == "SCT":
        return value.isdecimal() and 6 <= len(value) <= 18 and _verhoeff(value)
    return scheme in _FORM and _FORM[scheme].match(value) is not None


def _verhoeff(digits: str) -> bool:
    """Whether the last digit is the check digit that SNOMED CT identifiers end with (J. Verhoeff 1969: the dihedral group D5)."""
    check = 0
    for place, char in enumerate(reversed(digits)):
        digit = int(char)
        for _ in range(place % 8):
            digit = _ROUND[digit]
        check = _multiply(check, digit)
    return check == 0


def _multiply(a: int, b: int) -> int:
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


def of(item: Item) -> tuple[str, str] | None:
    """(scheme, value) of a code item, or None where the item is none."""
    found = {e.tag: e for e in item.elements if e.tag in (VALUE, SCHEME, MEANING, LONG_VALUE, URN_VALUE)}
    if not found:
        return None
    value = next((found[tag] for tag in _VALUES if tag in found), None)
    return _plain(found.get(SCHEME)), _plain(value)


def judged(item: Item) -> list[Element]:
    """The elements of a code item without a second value beside the one that `of` gives: it was held against no scheme and may say anything."""
    first = next((tag for tag in _VALUES if any(e.tag == tag for e in item.elements)), 0)
    return [e for e in item.elements if e.tag not in _VALUES or e.tag == first]


def _plain(element: Element | None) -> str:
    return values.text(element) if element is not None and element.items is None else ""


def item(code: str, words: str, scheme: str = "DCM") -> Item:
    """A code item of our own."""
    return Item([Element(VALUE, "SH", code.encode()), Element(SCHEME, "SH", scheme.encode()), Element(MEANING, "LO", words.encode())])
