"""Which private elements may stay, by creator, group and element, and what a value must be like to stay.

Two lists make the table: PS3.15 Table E.3.10-1 (profiles/safe-private.json; of it numbers, coded strings and short texts, for bulk data and UIDs cannot be
checked), and what converters read and dictionaries name as parameters of the acquisition (profiles/private-2026.toml, with a source for each creator). Being
listed is not enough. A number must be one: in the range of quantities, not a day, not spelling letters, not an identifier of the file. A coded string must be
all vocabulary; a text loses every word that is not.
"""

from __future__ import annotations

import json
import re
import tomllib
from functools import lru_cache
from pathlib import Path

from deid import dates, descriptors, elements, figures, values
from deid.asc_protocol import SAFE_TEXT
from deid.descriptors import Scrubber
from deid.dictionary import private_dictionaries
from deid.elements import Element
from deid.manners import Manner

HERE = Path(__file__).resolve().parent / "profiles"
KINDS = ("number", "long", "term", "fact", "items", "csa", "phoenix", "ge_block", "ge_user")
_OF_THE_STANDARD = {"CS": "term", "LO": "fact", "SH": "fact", "SQ": "items"} | dict.fromkeys(("DS", "IS", "FL", "FD", "SS", "US", "SL", "UL"), "number")
_BULK = frozenset(["OW", "OF", "OD", "OL", "OV"])
_NO_TEXT = frozenset(["PN", "DA", "DT", "TM", "UI", "AE", "AS"])
_NUMBER_AS_TEXT = re.compile(r"[0-9+\-.eE ]{0,24}|[A-Z]{1,3}|\d\.\d{1,6}:1")
_LONG = re.compile(rb"\d{9,}(?!\.)")
_FRACTION = re.compile(rb"\.\d+")
_LETTERS = re.compile(rb"[A-Za-z]{4,}")
_MANY_LETTERS = 8
# Of a floating number that is a quantity. Letters read as one are mostly outside (IEEE 754); read as FL none is above the last.
_LARGEST, _SMALLEST, _BEYOND_LETTERS = 1e15, 1e-15, 1e37


@lru_cache(maxsize=1)
def table() -> dict[tuple[str, int], dict[int, str]]:
    """(creator, group) -> element's low byte -> kind."""
    out: dict[tuple[str, int], dict[int, str]] = {}
    for entry in tomllib.loads((HERE / "private-2026.toml").read_text(encoding="utf-8"))["creator"]:
        kinds = out.setdefault((entry["name"], entry["group"]), {})
        for kind in KINDS:
            for low in entry.get(kind, "").split():
                kinds[int(low, 16)] = "any" if kinds.get(int(low, 16)) in ("number", "term") and kind in ("number", "term") else kind
    for creator, group, low, vr, _ in json.loads((HERE / "safe-private.json").read_text(encoding="utf-8"))["rows"]:
        if vr in _OF_THE_STANDARD:
            out.setdefault((creator, int(group, 16)), {}).setdefault(int(low, 16), _OF_THE_STANDARD[vr])
    return out


@lru_cache(maxsize=4096)
def known_vr(creator: str, group: int, low: int) -> str:
    """The VR that pydicom's private dictionary, else the standard's table or a scanner of the shared data, gives an element; UN where none knows it."""
    known = private_dictionaries().get(creator, {})
    found = known.get(f"{group:04x}xx{low:02X}") or known.get(f"{group:04x}xx{low:02x}") or known.get(f"{group:04X}xx{low:02X}")
    if found and found[0] in elements.VRS:
        return str(found[0])
    return _further_vrs().get((creator, group, low), "UN")


@lru_cache(maxsize=1)
def _further_vrs() -> dict[tuple[str, int, int], str]:
    """What the standard's table says, and what scanners declare."""
    rows = [row for name in ("private-vrs.json", "safe-private.json") for row in json.loads((HERE / name).read_text(encoding="utf-8"))["rows"]]
    return {(creator, int(group, 16), int(low, 16)): vr for creator, group, low, vr, *_ in rows if vr in elements.VRS}


def checked(element: Element, kind: str, codecs: tuple[str, ...], scrub: Scrubber) -> Element | None:
    """What stays of a listed element that is no sequence and no blob: itself, a copy without what nobody could place, or None.

    kind: number, long, term, any or fact.
    """
    vr = element.vr
    if vr in elements.WIDTH and vr not in _BULK:
        return element if _is_quantity(element, kind == "long", scrub) else None
    if vr in ("DS", "IS"):
        return element if _is_decimal(element.bytes, kind == "long", scrub) else None
    if vr not in values.STRINGS or vr in _NO_TEXT:
        return None
    parts = values.texts(element, codecs)
    if kind != "fact":
        return element if all(_is_number_or_term(p, scrub) for p in parts) else None
    fresh = [scrub.clean(p, free=False).text if SAFE_TEXT.match(p) else "" for p in parts]
    fresh = ["" if scrub.is_sought(p, "text") else p for p in fresh]
    if fresh == parts:
        return element
    return Element(element.tag, vr, values.encode_text(fresh)) if any(fresh) else None


def _is_number_or_term(part: str, scrub: Scrubber) -> bool:
    if _NUMBER_AS_TEXT.fullmatch(part):
        return not _is_somebodys(part, scrub)
    return descriptors.is_term(part) and not _names_someone(part, scrub)


def _is_quantity(element: Element, long: bool, scrub: Scrubber) -> bool:
    """Whether binary numbers are quantities, and not letters, days or seconds of our time in the place of numbers. long: whether it may be a bit mask."""
    raw = element.bytes
    found = values.numbers(element)
    if found is None:
        return False
    if element.vr in ("FL", "FD") and not all(_is_real(n, element.vr) for n in found):
        return False
    if not long and figures.reads_as_text(element.vr, raw):
        return False
    letters = _LETTERS.findall(raw)
    if any(len(run) >= _MANY_LETTERS for run in letters) or any(scrub.carries(run.decode("ascii")) for run in letters):
        return False
    if not long and any(_is_seconds_of_our_time(n) for n in found):
        return False
    large = [f"{n:.0f}" for n in found if abs(n) > 1e5] if element.vr in ("UL", "SL", "UV", "SV") else []
    return not any(dates.reads_as_a_day(n) or scrub.carries(n) for n in large)


def _is_real(number: float, vr: str) -> bool:
    """Whether a floating number is a quantity, none at all, or what Philips writes for "no value" (1.7e38, in FL alone: there no letters reach it)."""
    return number == 0 or number != number or _SMALLEST <= abs(number) <= _LARGEST or (vr == "FL" and abs(number) > _BEYOND_LETTERS)


def _is_decimal(raw: bytes, long: bool, scrub: Scrubber) -> bool:
    """Whether a decimal or integer string is one: no day, no number of nine digits (but where the list says so), none of the file's own identifiers."""
    if not values.NUMBER_TEXT.match(raw) or (not long and _LONG.search(_FRACTION.sub(b"", raw))):
        return False
    return not any(len(part) >= 5 and _is_somebodys(part.strip(), scrub, "numbers") for part in raw.decode("latin-1").strip(" \0").split("\\"))


def _is_seconds_of_our_time(number: float) -> bool:
    """Whether a number reads as seconds since 1970 that fall between 1990 and 2040: some makers write the hour of the scan so."""
    return 631_152_000 <= number <= 2_208_988_800


def _is_somebodys(text: str, scrub: Scrubber, manner: Manner = "text") -> bool:
    return dates.reads_as_a_day(text) or scrub.carries(text) or scrub.is_sought(text, manner)


def _names_someone(part: str, scrub: Scrubber) -> bool:
    return len(part) > 2 and part.upper() not in descriptors.short_terms() and not descriptors.is_vocabulary(part) and scrub.carries(part)
