"""The words that are nobody's: of imaging, of DICOM's coded strings, of BIDS names and of sidecar fields.

`profiles/vocabulary.toml` is written by hand (words of descriptors, makers, coils, in several languages); `profiles/terms.json` is made by
`profiles/make_terms.py` from the validators, the converter and the standards, and says which editions.
"""

from __future__ import annotations

import json
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from deid.spellings import fold_same_length

HERE = Path(__file__).resolve().parent / "profiles"

_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TOKEN = re.compile(r"[^\W_]+")
_DAY_OR_NUMBER = re.compile(r"(?<!\d)\d{1,2}([-./])\d{1,2}\1\d{2}(?!\d)|(?<![^\W_])[a-z]\d{3,}-[a-z](?![^\W_])", re.I)
SHORTEST = 3  # shorter runs of letters say nothing by themselves


@lru_cache(maxsize=1)
def _terms() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / "terms.json").read_text(encoding="utf-8"))
    return found


@lru_cache(maxsize=1)
def vocabulary() -> frozenset[str]:
    """Every word that may stay in a descriptor (vocabulary.toml and terms.json), folded."""
    words = tomllib.loads((HERE / "vocabulary.toml").read_text(encoding="utf-8"))["words"]
    return frozenset(w for group in words.values() for w in group.split()) | frozenset(_terms()["words"].lower().split())


@lru_cache(maxsize=1)
def short_terms() -> frozenset[str]:
    """Whole coded terms of three characters or fewer."""
    return frozenset(_terms()["short"].split())


@lru_cache(maxsize=16)
def listed(kind: str) -> frozenset[str]:
    """The words of one list of terms.json as they are written: keys, entities, values, suffixes, datatypes, files."""
    return frozenset(_terms()[kind].split())


@lru_cache(maxsize=65536)
def is_vocabulary(word: str) -> bool:
    """Whether a run of letters is vocabulary, as a whole or in its camelCase parts (`ColFA`, `SaveBySlc`)."""
    known = vocabulary()
    if fold_same_length(word) in known:
        return True
    parts = _CAMEL.findall(word) if word.isascii() else []
    return len(parts) > 1 and all(len(p) < SHORTEST or p.lower() in known for p in parts) and any(len(p) >= SHORTEST for p in parts)


@lru_cache(maxsize=65536)
def is_common(word: str) -> bool:
    """Whether a folded word is vocabulary or a short term of the standard: it names somebody only where people wrote freely."""
    return word in vocabulary() or (len(word) <= SHORTEST and word.upper() in short_terms())


@lru_cache(maxsize=65536)
def is_term(value: str) -> bool:
    """Whether a coded string (VR CS) says only what the imaging vocabulary says: every run of three letters or more is known, and no run of digits is
    longer than four; and no day of two-digit year and no number with its check letter."""
    if len(value) > 16 or _DAY_OR_NUMBER.search(value) or not re.fullmatch(r"[A-Z0-9_ \-+./]*", value, re.I):
        return False
    if any(not is_vocabulary(run) and run.upper() not in short_terms() for run in re.findall(r"[A-Za-z]{3,}", value)):
        return False
    return not re.search(r"\d{5,}", value) and all(sum(c.isdecimal() for c in t) < 4 or t.isdecimal() for t in _TOKEN.findall(value))
