"""What a site hands in without DICOM: which NIfTI files are one person's, of which visit each is, and which small files belong to which.

Folders say it, for NIfTI does not. A person is the path down to their folder (`centre1/patient07` and `centre2/patient07` are two people): `sub-X`
wherever it stands, else the one folder that is neither of a visit, nor of a kind of images, nor of many people. Where no folder is such, or two could be,
nobody is named, and what lies there waits. Visits are said by folders (`ses-02`, `m12`, `baseline`; below a person also `01`) or by the first words of a
file's name; what named a person never names a visit. Names stay in here: what leaves is keyed or of a pattern.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from bidstree import masks, names

__all__ = ["Place", "belongs_here", "beside", "person", "place", "session", "sessions", "several", "stem"]

_VISIT = re.compile(
    r"(?:ses[-_]?)?((?:visit|study|session|scan|timepoint|time|tp|month|year|week|day|v|m|y|w|d|t)[-_ ]?[0-9]{1,3}|baseline|bl|followup|fu[0-9]{0,2})"
    r"|ses[-_ ]?([0-9]{1,3})",
    re.ASCII,
)
_DATE = re.compile(r"(?:ses[-_]?)?((?:19|20)[0-9]{2})[-_]?(0[1-9]|1[0-2])[-_]?([0-2][0-9]|3[01])", re.ASCII)
# A number that stands alone may be a patient's. It is a visit only below a person, and only a small one.
_NUMBER = re.compile(r"[0-9]{1,2}", re.ASCII)
# Folders that say what lies in them, not whose it is.
_KINDS = re.compile(
    r"anat|func|dwi|dmri|dti|fmap|perf|t1w?|t2w?|t2s(tar)?w?|flair|pd|swi|mt|bold|rest|nii|niftis?|masks?|lesions?|labels?|seg(mentation)?s?|annotations?|gt|"
    r"raw(data)?|bids|derivatives|images?|data|coreg(istered)?|preprocessed|normali[sz]ed|mni(152)?"
)
# Folders of many people. What is told apart inside them is told apart by them as well, and they are nobody.
_MANY = re.compile(
    r"(cent(re|er)|sites?|hospital|clinic|cohort|group|arm|study|project|dataset|database|patients|subjects|participants|people|persons|cases|controls|"
    r"healthy|upload|export|download|all|input|sourcedata|train(ing)?|test(ing)?|val(idation)?)([-_ ]?[0-9]{1,3}|[-_ ]?[a-z]|[-_ ][a-z0-9]{1,3})?"
)
# Words that are surely of a visit: nobody is called so, and a folder above people's may be.
_SURELY = re.compile(r"ses[-_].*|(visit|session|timepoint|time|tp|baseline|bl|followup|fu)[-_ ]?[0-9]{0,3}", re.ASCII)
_SUBJECT = re.compile(r"(sub-[^\W_]+)(_ses-[^\W_]+)?")
# The first word of a file's name, where it may be somebody's number: `P001`, `patient1`, `012`; not `b1000`, `run01`, `mt0`.
_SOMEBODY = re.compile(r"(p|pat|patient|subj|subject|case|id|pt|vp|participant|proband|control|hc)-?[0-9]+|(?!(im|img|image|ser|series|scan|run|echo|b|te|ti|"
    r"tr|fa|vol|acq|dir)-?[0-9])[a-z]{0,8}-?[0-9]{3,}", re.ASCII)  # fmt: skip
_SUFFIXES = {suffix.lower() for _, suffix in names.RULES} | {word.lower() for word in masks.LABELS}
# What a registry's quarantine calls a folder: only the first is known to be one person's.
_NUMBERED = re.compile(r"d[0-9]{6}", re.ASCII)


@dataclass(frozen=True)
class Place:
    """What a path says. `person`: the path down to the person's folder, "" for none; `sure`: nobody else can be meant; `visits`: folders, outermost first."""

    person: str
    sure: bool
    visits: tuple[str, ...]


def visit(word: str) -> str:
    """The visit that a word names, in small letters and digits; empty for none, and for a number that stands alone.

    At most three digits, or eight that are a calendar date: such a visit must be moved before it is told (`sessions`).
    """
    if day := _DATE.fullmatch(word.lower()):
        return "".join(day.groups())
    found = None if _KINDS.fullmatch(word.lower()) else _VISIT.fullmatch(word.lower())
    return re.sub(r"[^a-z0-9]", "", found[1] or found[2]) if found else ""


def place(name: str) -> Place:
    """Whose a file is and of which visit, as far as its path tells."""
    *folders, own = PurePosixPath(name).parts
    at = next((n for n, part in enumerate(folders) if part.lower().startswith("sub-")), None)
    if at is not None or _subject(own):
        return _of_subject(folders, own, at)
    return _of_folders(folders)


def _of_subject(folders: list[str], own: str, at: int | None) -> Place:
    """Of a path with `sub-X` in it. Where folders, or a folder and the file's own name, say two of them, it is not sure."""
    upper = folders if at is None else folders[:at]
    who = _subject(own) if at is None else _head(folders[at])
    above = [part for part in upper if not _KINDS.fullmatch(part.lower()) and not _dropped(part)]
    lower = [_head(part) for part in folders[len(upper) :] if part.lower().startswith("sub-")]
    word = stem(own).split("_")[0] if own.lower().startswith("sub-") else who
    sure = all(other == who for other in lower) and (who == word or who.startswith(f"{word}_"))
    inside = [] if at is None else [part.removeprefix(f"{who}_") for part in folders[at:] if part != who]
    return Place("/".join(dict.fromkeys([*above, who, *lower])), sure, (*(part for part in upper if _dropped(part)), *inside))


def _of_folders(folders: list[str]) -> Place:
    """Of a path without `sub-`: the one folder that can be somebody's. Of two, nobody knows which it is."""
    known: list[str] = []
    visits: list[str] = []
    whose = 0
    sure = True
    for n, part in enumerate(folders):
        word = part.lower()
        if _KINDS.fullmatch(word):
            continue
        if _dropped(part) or (whose and (visit(part) or _NUMBER.fullmatch(word) or word.startswith("ses-"))):
            visits.append(part)
        elif whose and _NUMBERED.fullmatch(word) and _NUMBERED.fullmatch(folders[0]):
            sure = False
        elif not whose and visit(part):
            known.append(part)
            sure = False  # of a visit, or of a study: what it stands above may be several people's
        elif not whose and (_MANY.fullmatch(word) or _SURELY.fullmatch(word)):
            known.append(part)
        else:
            known.append(part)
            sure, whose = sure and not whose, n + 1
    return Place("/".join(known) if whose else "", bool(whose) and sure, tuple(visits))


def _dropped(part: str) -> bool:
    """Whether a folder surely names a visit, wherever it stands."""
    return bool(visit(part)) and bool(_SURELY.fullmatch(part.lower()) or _DATE.fullmatch(part.lower()))


def _head(part: str) -> str:
    """`sub-01` of `sub-01_ses-2`; of `sub-01_002`, which is a name of its own, the whole."""
    found = _SUBJECT.fullmatch(part)
    return found[1] if found else part


def _subject(own: str) -> str:
    """`sub-X` of a file's name that BIDS could have given; any other may say more about who it is than its first word."""
    first, *pairs = stem(own).split("_")
    *pairs, last = pairs or [""]
    well = _SUBJECT.fullmatch(first) and all(re.fullmatch(r"[a-z]+-[^\W_]+", pair) for pair in pairs)
    return first if well and (not last or last.lower() in _SUFFIXES or _KINDS.fullmatch(last.lower())) else ""


def person(name: str) -> str:
    """The path down to the folder of the person whose file it is; empty where none is surely one person's."""
    found = place(name)
    return found.person if found.sure else ""


def several(paths: Iterable[str]) -> bool:
    """Whether the own names of files that lie in one person's folder begin with the numbers of several people (`P001_T1w`, `P002_T1w`)."""
    words = {stem(path).split("_")[0].lower() for path in paths if not any(part.lower().startswith("sub-") for part in PurePosixPath(path).parts)}
    return len({word for word in words if _SOMEBODY.fullmatch(word) and not visit(word)}) > 1


def belongs_here(between: Iterable[str], inside: bool) -> bool:
    """Whether a file that lies in the folders `between`, below a folder with scans, may be of whom those are: the first is of a kind, or of a visit.

    Whatever else it is called, it may be somebody else's. inside: there is a folder above; then also a quarantine's number, which names nobody.
    """
    first = next(iter(between), "")
    return not first or bool(_KINDS.fullmatch(first.lower())) or _dropped(first) or (inside and bool(_NUMBERED.fullmatch(first)))


def session(name: str) -> str:
    """The visit of a file: what its own name says as `ses-X`, else the innermost folder that names one, else the first word of its name; empty for none."""
    own = PurePosixPath(name).name
    words = [part for part in own.split("_")[:2] if not part.lower().startswith("sub-")] if "_" in own else []
    explicit = [part for part in words if part.lower().startswith("ses-")]
    folders = [part.lower() if _NUMBER.fullmatch(part) else visit(part) for part in place(name).visits]
    return next((found for found in (*map(visit, explicit), *reversed(folders), *map(visit, words[:1])) if found), "")


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
