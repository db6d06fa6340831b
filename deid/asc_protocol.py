"""The protocol of a Siemens scan is re-written line by line: numbers under known names stay, machine words stay word by word, all else goes.

    ### ASCCONV BEGIN object=MrProtDataImpl@MrProtocolData version=51130001 ###
    sSliceArray.asSlice[0].dThickness  =  3.0
    ### ASCCONV END ###

Only what stands between these marks is read; the XML before it repeats it and adds people, hosts and paths. A name is known when each of its parts, split at
the points, is in profiles/protocol-keys.json or is made of words that are (`lTurboFactorMode`). A number has at most seven digits before its point, or is one
of the few that scanners write longer (frequencies, versions, times in microseconds); none reads as a day, and none is one of the file's own identifiers or
a number that the last gate would find.
Of quoted texts only coils, elements, nuclei, pulses and the name of the sequence stay, and each word of them must be vocabulary.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from deid import dates
from deid.descriptors import Scrubber

HERE = Path(__file__).resolve().parent / "profiles"
MAX_TEXT = 4 * 1024 * 1024
SAFE_TEXT = re.compile(r"[A-Za-z0-9 _*#.,;:+\-/%()=|&<>\[\]\\~]{0,256}\Z")
_BLOCK = re.compile(r"### ASCCONV BEGIN([^\n#]{0,400})###(.*?)### ASCCONV END ###", re.S)
_VERSION = re.compile(r"version=(\d{8})(?!\d)")
_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.\[\]]{0,200})\s*=\s*(.*?)\s*\Z")
_NUMBER = re.compile(r"(0x[0-9a-fA-F]{1,8}|[+-]?\d{1,10}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?)(?:\s*#.*)?\Z")
_INDEX = re.compile(r"\[\d{0,5}\]")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Never, whatever words it is made of: people, days, serials, drawers for anything.
_NEVER = re.compile(
    r"(?i)patient|birth|serial|u?uid|guid|loid|date|stamp|starttime|study|physician|institution|host|comment|referenceimage|evaprot|history|address"
    r"|phone|uniquekey|idpart|operator|name\Z"
)
# Texts of machines, by the last part of the name. tFree is written by people's own sequences: cleaned as people's text is.
_WORDS = frozenset(["tElement", "tNucleus", "tCoilID", "tCoilClass", "tCoilManufacturer", "sCoilStringForConversion", "tSequenceFileName", "tName"])
_FREE = frozenset({"tProtocolName", "tFree"})
_BASELINE = re.compile(r"(?:N4_V[A-Z]\d{2}[A-Z]?_LATEST_\d{8}(?:_P\d{1,3})?|\d{8})\Z")  # a software build, its day and all; the same for every patient
_BASELINES = frozenset({"sProtConsistencyInfo.tBaselineString", "sProtConsistencyInfo.tMeasuredBaselineString"})
_CODE = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?<![A-Za-z0-9])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{7,}(?![A-Za-z0-9])")
_USUAL_DIGITS = 7
_ROOTS = frozenset({"%SiemensSeq%", "%CustomerSeq%", "%SiemensSeq", "%CustomerSeq"})


@lru_cache(maxsize=1)
def _known() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Names whole, the words they are made of (lower case), and names whose numbers may be long."""
    found = json.loads((HERE / "protocol-keys.json").read_text(encoding="utf-8"))
    whole = frozenset(found["names"].split())
    words = frozenset(word.lower() for name in whole for word in _CAMEL.findall(name))
    return whole, words, frozenset(found["long"].split())


def names() -> frozenset[str]:
    """The names of the protocol that may stay, part by part, and the folders of sequences."""
    return _known()[0] | _ROOTS


@lru_cache(maxsize=16384)
def is_known(name: str) -> bool:
    """Whether a name of the protocol (indices and all) says what a number of the scanner is about."""
    parts = [_INDEX.sub("", part) for part in name.split(".")]
    return all(_part_is_known(part) for part in parts) and not any(_NEVER.search(part) for part in parts)


def _part_is_known(part: str) -> bool:
    whole, words, _ = _known()
    if part in whole:
        return True
    pieces = _CAMEL.findall(part)
    return "".join(pieces) == part.replace("_", "") and len(pieces) > 1 and all(p.isdecimal() or p.lower() in words for p in pieces)


@lru_cache(maxsize=16)
def rewrite(text: str, scrub: Scrubber) -> str:
    """The ASCCONV blocks of a protocol text, re-written; "" where there is none."""
    out = []
    for block in _BLOCK.finditer(text[:MAX_TEXT]):
        version = _VERSION.search(block[1])
        told = version and not dates.reads_as_a_day(version[1]) and not _says(version[1], scrub)
        head = f" object=MrProtDataImpl@MrProtocolData version={version[1]} " if version and told else " "
        lines = [line for raw in block[2].splitlines() if (line := _line(raw, scrub))]
        out.append(f"### ASCCONV BEGIN{head}###\n" + "\n".join(lines) + "\n### ASCCONV END ###")
    return "\n".join(out) + "\n" if out else ""


def _line(raw: str, scrub: Scrubber) -> str:
    found = _LINE.match(raw) if len(raw) <= 1024 else None
    if not found:
        return ""
    name, value = found[1], found[2]
    number = _NUMBER.match(value)
    fresh = _number(name, number[1], scrub) if number else _quoted(name, value, scrub)
    return f"{name}\t = \t{fresh}" if fresh else ""


def _number(name: str, value: str, scrub: Scrubber) -> str:
    if not is_known(name):
        return ""
    whole = value.lstrip("+-").partition(".")[0]
    last = _INDEX.sub("", name.rpartition(".")[2])
    too_long = len(whole) > _USUAL_DIGITS and not whole.startswith("0x") and last not in _known()[2]
    if too_long or dates.reads_as_a_day(value):
        return ""
    return "" if len(value) >= 5 and _says(value, scrub) else value


def _says(value: str, scrub: Scrubber) -> bool:
    """Whether a value says what identifies, or what the last gate looks for."""
    return scrub.carries(value) or scrub.is_sought(value)


def _quoted(name: str, value: str, scrub: Scrubber) -> str:
    """A quoted text, cleaned and quoted as it was; "" where it goes."""
    quote = '""' if value.startswith('""') else '"'
    inner = value.strip('"')
    last = _INDEX.sub("", name.rpartition(".")[2])
    if not value.startswith('"') or not SAFE_TEXT.match(inner):
        return ""
    if name in _BASELINES:
        return f"{quote}{inner}{quote}" if _BASELINE.match(inner) and not _says(inner, scrub) else ""
    parents = name.rpartition(".")[0]
    if last not in _WORDS | _FREE or (parents and not is_known(parents)):
        return ""
    if last in _FREE:
        cleaned = scrub.clean(_CODE.sub(" ", inner.replace("+AF8-", "_")), free=True).text
        return f"{quote}{cleaned}{quote}" if cleaned and not scrub.is_sought(cleaned) else ""
    pieces = [piece if piece in _ROOTS else scrub.clean(piece, free=False).text for piece in inner.split("\\")]
    return f"{quote}{chr(92).join(pieces)}{quote}" if any(pieces) and not any(map(scrub.is_sought, pieces)) else ""
