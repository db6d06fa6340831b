"""Look at a result as a stranger would: the last gate.

Every product is opened, decompressed and split into the parts that can carry text (`deid.parts`); each value that was taken out of any file of the
participant is looked for in them (`deid.needles`). A hit withholds the product. The rules are published, so that people can argue with them:

{rules}

A finding says where and what kind, never the value.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deid import parts
from deid.errors import Refused
from deid.needles import Needles

__all__ = ["RULES", "Finding", "Needles", "search"]

RULES: tuple[str, ...] = (
    "Parts: of DICOM the preamble, file meta, every element at every depth, private and unknown bytes, picture values and what follows the data set; of "
    "NIfTI the header's fields and bytes, extensions, voxels and what follows; FNAME, FCOMMENT, FEXTRA of every gzip member and what follows the last; "
    "keys and values of JSON; header and cells of tables; text chunks and other bytes of PNG; the names of the file and of its folders.",
    "Text is compared folded: case, accents, width and signs of no width do not matter; ü is also ue, ø is also oe, ß is ss, and the other way about.",
    "A value of four characters or more is looked for as a substring, an identifier of letters and digits also without its signs (MRN-4711, mrn4711). A hit "
    "that is only a piece of a longer word of the vocabulary (`east` in `breast`) is none.",
    "A shorter value is looked for as a whole word; single letters are not looked for (single Han characters are).",
    "A bare number of five digits or more is looked for as a whole number in all text and among numbers, leading zeros aside, one of three or four digits in "
    "free text only, a shorter one nowhere. One of seven digits or more is found in free text whatever signs stand between its digits.",
    "A person's name is looked for word by word, and its words glued together in any order. Titles are not looked for; van, de and the like only where a "
    "component of the name has no other word. Of other text the whole is looked for and each word of four letters or more that is not vocabulary.",
    "A value that is also vocabulary (words of imaging and of BIDS, terms of DICOM, makers and models, sequence words) is looked for in free text only: "
    "descriptions, comments, texts, unknown keys, cells, NIfTI's text fields, gzip's fields, names that are no BIDS names. Several words that are all "
    "vocabulary and no person's name say nothing.",
    "In the name of a sequence, a word of four or five letters that is no person's name is not looked for: descriptors lose words that nobody can place, and "
    "sequences are made of such words.",
    "Fixed words in their places are no text: keys that BIDS, DICOM or the converter defines, datatypes, entities and suffixes, our converter's name and "
    "version, our own code, seal and 2.25 UIDs. Values of entities are searched as the text of a machine; labels of subject and session as wholes and for "
    "values of four characters or more.",
    "A date is looked for in every order, with signs, bare, with month names in seven languages, at the start of a longer number, and as a day of the year; "
    "with a year of two digits in free text. A DA or DT is compared as a day; with the participant's offset known, a day that some removed day becomes when "
    "moved is lawful. Times of day are not looked for.",
    "UIDs are looked for as wholes; in UIDs that we did not make, numbers and dates too.",
    "Text is decoded first: base64 (also url-safe, at each phase), hexadecimal (either case, with signs between), percent, HTML and \\u escapes. Bytes are "
    "read as ASCII and as UTF-16 and UTF-32 of either order; values that are not ASCII are looked for in the character sets of DICOM as well.",
    "Voxels are searched for values of eight characters or more, as bytes and as 16-bit values of either order.",
    "What cannot be opened is a finding: what cannot be looked at is not clean.",
)

# So that the page made from the docstring says the rules themselves.
__doc__ = (__doc__ or "").replace("{rules}", "\n".join(f"{n}. {rule}" for n, rule in enumerate(RULES, 1)))

_UNREADABLE = (OSError, ValueError, IndexError, zlib.error, EOFError, struct.error, OverflowError, RecursionError, Refused)
_ENDINGS = frozenset([".dcm", ".nii", ".gz", ".json", ".tsv", ".csv", ".bval", ".bvec", ".png", ".txt", ".md", ".html"])


@dataclass(frozen=True, slots=True)
class Finding:
    """A removed value was found. where: which product (by number, from 0, in the order given) and which part of it; kind: how it was written there."""

    where: str
    kind: str


def search(paths: Iterable[Path], removed: Iterable[str] | Needles, root: Path | None = None, days: int | None = None) -> list[Finding]:
    """Look for every removed value in every product.

    paths: files (a folder stands for all files in it). removed: the union of `Cleaned.removed` over the participant's files, or `Needles` made of it (worth
    it where several searches share it). root: names of folders below it are searched too; else the file's own name only, and for a given folder
    the names inside it. days: how far back the participant's dates were moved (see the rule on dates).
    """
    needles = removed if isinstance(removed, Needles) else Needles(removed, days)
    out: list[Finding] = []
    for n, (path, name) in enumerate(_files(paths, root)):
        label = f"product {n} ({path.suffix if path.suffix in _ENDINGS else 'other'})"
        found: set[tuple[str, str]] = set()
        try:
            for where, text, manner in parts.of(path, name):
                if hits := needles.hits(text, manner):
                    found.update((where, kind) for kind in hits)
        except _UNREADABLE:
            found.add(("", "unreadable"))
        out += [Finding(f"{label}: {where}" if where else label, kind) for where, kind in sorted(found)]
    return out


def _files(paths: Iterable[Path], root: Path | None) -> Iterable[tuple[Path, str]]:
    for path in paths:
        inside = sorted(x for x in path.rglob("*") if x.is_file()) if path.is_dir() else [path]
        for file in inside:
            base = root if root and file.is_relative_to(root) else path if path.is_dir() else file.parent
            yield file, str(file.relative_to(base))
