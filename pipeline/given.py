"""What a site hands in without DICOM: which NIfTI files are one person's, of which visit each is, and which small files belong to which.

Folders say it, for NIfTI does not: the first folder that is not merely one of visits or of kinds of images is a person's (`sub-01`, `patient07`), and
a folder or the first word of a file's name that looks like a visit (`ses-02`, `study1`, `m12`, `baseline`) is one. Where no name is told (a registry's
quarantine has numbers for names), the first folder is a person's, and the order says the rest. Names stay in here: what leaves is keyed or of a pattern.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

__all__ = ["beside", "person", "session", "sessions", "stem"]

_VISIT = re.compile(
    r"(?:ses[-_]?)?((?:visit|study|session|scan|timepoint|time|tp|ses|month|year|week|day|v|m|y|w|d|t)?[-_ ]?[0-9]{1,3}|baseline|bl|followup|fu[0-9]{0,2})"
)
_DATE = re.compile(r"(?:ses[-_]?)?((?:19|20)[0-9]{2})[-_]?(0[1-9]|1[0-2])[-_]?([0-2][0-9]|3[01])")
# Folders that say what lies in them, not whose it is.
_KINDS = re.compile(
    r"anat|func|dwi|dmri|dti|fmap|perf|t1w?|t2w?|t2s(tar)?w?|flair|pd|swi|mt|bold|rest|nii|niftis?|masks?|labels?|seg(mentation)?s?|annotations?|gt|raw(data)?|"
    r"bids|derivatives|images?|data|coreg(istered)?|preprocessed"
)
# Only these are visits where a person's folder could stand as well: `01` or `study1` at the top may be somebody, and two people must never become one.
_SURELY = re.compile(r"(ses[-_]|visit|session|timepoint|tp[0-9]|baseline|followup).*")


def visit(word: str) -> str:
    """The visit that a folder or the first word of a file's name names, in small letters and digits; empty for none.

    At most three digits, or eight that are a calendar date: such a visit must be moved before it is told (`sessions`).
    """
    if day := _DATE.fullmatch(word.lower()):
        return "".join(day.groups())
    found = None if _KINDS.fullmatch(word.lower()) else _VISIT.fullmatch(word.lower())
    return re.sub(r"[^a-z0-9]", "", found[1]) if found else ""


def person(name: str, root: str) -> str:
    """Whose a file is, as its folders name them: `sub-X` wherever it stands, else the first folder that is neither a visit nor a kind, else `root`."""
    folders = PurePosixPath(name).parts[:-1]
    named = next((part for part in (*folders, PurePosixPath(name).name.split("_")[0]) if part.lower().startswith("sub-")), "")
    return named or next((part for part in folders if not _SURELY.fullmatch(part.lower()) and not _KINDS.fullmatch(part.lower())), root)


def session(name: str) -> str:
    """The visit of a file: the innermost folder that names one, else the first or second word of its own name; empty for none."""
    *folders, own = PurePosixPath(name).parts
    words = [part for part in own.split("_")[:2] if not part.lower().startswith("sub-")] if "_" in own else []
    explicit = [part for part in words if part.lower().startswith("ses-")]
    return next((found for part in (*explicit, *reversed(folders), *words[:1]) if (found := visit(part))), "")


def sessions(names: Mapping[int, str], usual: str, moved: Callable[[str], str]) -> dict[int, str]:
    """Number -> label of the visit, for files of one person; where none names a visit, or a file none, it is `usual`. `moved` makes a label of a date."""
    found = {n: moved(one) if len(one := session(name)) == 8 and one.isdecimal() else one for n, name in names.items()}
    only = {one for one in found.values() if one}
    return {n: one or (next(iter(only)) if len(only) == 1 else usual) for n, one in found.items()}


def stem(name: str) -> str:
    """A file's own name without the endings of NIfTI and of what lies beside it."""
    return re.sub(r"(\.nii)?(\.gz|\.json|\.bvals?|\.bvecs?|\.txt|\.nii)?$", "", PurePosixPath(name).name, flags=re.IGNORECASE)


def beside(volumes: Mapping[int, str], others: Mapping[int, str], said: Mapping[int, int]) -> dict[int, list[int]]:
    """NIfTI number -> numbers of the files that lie beside it. `volumes`, `others`: number -> name; `said`: what the sender says of it, which goes first.

    By name: the longest own name of a NIfTI in the same folder that begins the other's; else the only NIfTI of that folder.
    """
    found: dict[int, list[int]] = defaultdict(list)
    for n, name in sorted(others.items()):
        near = {v: stem(own) for v, own in volumes.items() if PurePosixPath(own).parent == PurePosixPath(name).parent}
        named = sorted((v for v, own in near.items() if own and stem(name).startswith(own)), key=lambda v: (-len(near[v]), v))
        chosen = said[n] if said.get(n) in volumes else named[0] if named else next(iter(near)) if len(near) == 1 else None
        if chosen is not None:
            found[chosen].append(n)
    return dict(found)


def mark(digests: Iterable[str]) -> str:
    """What stands for a set of files, whatever their order and names: the same files handed in again are the same study."""
    return "handed:" + hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
