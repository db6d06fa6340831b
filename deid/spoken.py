"""What names, sidecars and tables say beside fixed words in their places.

A key that BIDS, DICOM or the converter defines, a datatype, an entity, a suffix is no text where it belongs: a patient may be called Anat. What stands
beside it is, and so is a name or key that nobody defined.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from deid.manners import Manner, Part
from deid.vocabulary import listed

FREE_KEY = re.compile(r"(Description|Comments?|ProtocolName|Explanation|History|Note|Notes|Text|Label|Authors?|Acknowledgements|Funding)$")
SEQUENCE_KEYS = frozenset({"SequenceName", "PulseSequenceName", "PulseSequenceDetails"})
_RELATION = re.compile(r"(bids:\w*:)?[\w./-]+\.(nii|nii\.gz|json|tsv|bval|bvec)\Z")
_CONVERTER_VERSION = re.compile(r"v?1\.\d\.20\d{6}\Z")


@lru_cache(maxsize=4096)
def spoken(name: str) -> tuple[Part, ...]:
    """What a path says beside the fixed words of BIDS in their places: labels of subject and session, values of other entities; another name as a whole."""
    return tuple(part for piece in PurePosixPath(name).parts for part in _spoken(piece))


def _spoken(piece: str) -> Iterator[Part]:
    stem = piece.split(".")[0]
    if stem in listed("datatypes") or stem in listed("files"):
        yield from _ending(piece, stem)
        return
    pairs = [word.split("-", 1) for word in stem.split("_")]
    last = pairs[-1]
    if pairs and all(len(p) == 2 and p[0] in listed("entities") for p in pairs[:-1]) and (last[0] in listed("suffixes") or len(last) == 2):
        if len(last) == 2 and last[0] not in listed("entities"):
            yield Part("name", piece, "free")
            return
        for key, value in [p for p in pairs if len(p) == 2]:
            yield Part("name", value, "label" if key in ("sub", "ses") else "text")
        yield from _ending(piece, stem)
    else:
        yield Part("name", re.sub(r"(\.(nii|gz|json|tsv|csv|dcm|png|bval|bvec|txt|md|html))+\Z", "", piece), "free")


def _ending(piece: str, stem: str) -> Iterator[Part]:
    """What stands behind the first dot, where it is not an ending that we write."""
    ending = piece[len(stem) :]
    if ending and not re.fullmatch(r"(\.(nii|gz|json|tsv|csv|dcm|png|bval|bvec|txt|md|html))+", ending):
        yield Part("name", ending, "free")


class Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs: a key that stands twice is read twice."""


def sidecar(value: Any, key: str) -> Iterator[Part]:
    known = key in listed("keys")
    where = f"value of {key}" if known else "a value"
    if isinstance(value, Pairs):
        for inner, below in value:
            if inner not in listed("keys"):
                yield Part("a key", inner, "free")
            yield from sidecar(below, inner)
    elif isinstance(value, list):
        if value and all(isinstance(v, int | float) for v in value):
            yield Part(where, " ".join(map(str, value)), "numbers")
        else:
            for below in value:
                yield from sidecar(below, key)
    elif isinstance(value, str):
        yield from _said(where, value, "sequence" if key in SEQUENCE_KEYS else "free" if not known or FREE_KEY.search(key) else "text", key)
    elif value is not None:
        yield Part(where, str(value), "numbers")


def _said(where: str, text: str, manner: Manner, key: str = "") -> Iterator[Part]:
    """A string of a sidecar or table: a path of the dataset, the name of our converter, a plain number, or text."""
    if _RELATION.match(text) and "/" in text:
        for part in spoken(text.split(":")[-1]):
            yield Part(where, part.text, part.manner)
    elif not (key == "ConversionSoftware" and text == "dcm2niix") and not (key == "ConversionSoftwareVersion" and _CONVERTER_VERSION.match(text)):
        yield Part(where, text, manner)


def table(text: str, sign: str) -> Iterator[Part]:
    for line, row in enumerate(text.splitlines()):
        for cell in row.split(sign):
            cell = cell.strip('"')
            if line == 0 and cell in listed("keys"):
                continue
            if re.fullmatch(r"(sub|ses)-[A-Za-z0-9]+", cell):
                yield Part(f"row {line}", cell[4:], "label")
            else:
                yield from _said(f"row {line}", cell, "free")
