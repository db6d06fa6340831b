"""BIDS names are data: one table says which entities a suffix may have, one tuple says in which order they stand.

Source: the schema of BIDS 1.11.1 (schema 1.2.7), `rules.entities` and `rules.files`; `tests/bidstree/test_names_follow_the_schema.py` compares both
tables with the copy of the schema inside the installed validator, so a newer edition shows itself as a failing test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from bidstree.errors import BidsError

EDITION = "1.11.1"

# Order of entities in a file name (rules.entities), by the short key that stands in the name.
ENTITIES: tuple[str, ...] = (
    "sub", "tpl", "ses", "cohort", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec", "dir", "run", "mod", "echo", "flip",
    "inv", "mt", "part", "proc", "hemi", "space", "split", "recording", "chunk", "atlas", "seg", "scale", "res", "den", "label", "desc",
)  # fmt: skip

_COMMON = frozenset({"acq", "rec", "run", "chunk"})
_ANAT = _COMMON | {"task", "ce", "part"}
_DWI = _COMMON | {"dir"}
_FUNC = _COMMON | {"task", "ce", "dir", "echo", "part"}
_PERF = frozenset({"acq", "rec", "run", "dir", "echo", "part"})
_MAP = _ANAT - {"part"}
# Entities of the image that an annotation may carry on (rules.files.deriv.imaging), by datatype.
_ANNOTATED = {"anat": _ANAT | {"echo"}, "dwi": _DWI | {"part"}, "func": _FUNC}


@dataclass(frozen=True)
class Rule:
    """Which entities (short keys, without sub and ses) a suffix may have, and which it must have."""

    allowed: frozenset[str]
    required: frozenset[str] = frozenset()


def _rules() -> dict[tuple[str, str], Rule]:
    """The raw images this project writes: (datatype, suffix) -> rule."""
    table: dict[tuple[str, str], Rule] = {}

    def add(datatype: str, suffixes: str, allowed: Iterable[str], *required: str) -> None:
        for suffix in suffixes.split():
            table[(datatype, suffix)] = Rule(frozenset(allowed) | set(required), frozenset(required))

    add("anat", "T1w T2w PDw T2starw FLAIR inplaneT1 inplaneT2 PDT2 angio", _ANAT | {"echo"})
    add("anat", "T1map T2map T2starmap R1map R2map R2starmap PDmap MTRmap MTsat UNIT1 Chimap S0map M0map", _MAP)
    add("anat", "MEGRE", _ANAT, "echo")
    add("anat", "MESE", _ANAT | {"dir"}, "echo")
    add("anat", "VFA", _ANAT | {"echo"}, "flip")
    add("anat", "MP2RAGE", _ANAT | {"echo", "flip"}, "inv")
    add("anat", "MTS MPM", _ANAT | {"echo"}, "flip", "mt")
    add("anat", "MTR", _ANAT, "mt")
    add("dwi", "dwi sbref", _DWI | {"part"})
    add("dwi", "ADC FA S0map colFA expADC trace", _DWI)
    add("fmap", "phasediff phase1 phase2 magnitude1 magnitude2 magnitude fieldmap", {"acq", "run", "chunk"})
    add("fmap", "epi", _COMMON | {"dir", "ce", "part"})
    add("fmap", "m0scan", _COMMON | {"dir", "ce", "part"})
    add("fmap", "TB1map RB1map", _COMMON | {"ce"})
    add("func", "bold sbref", _FUNC, "task")
    add("perf", "asl m0scan", _PERF)
    return table


RULES: dict[tuple[str, str], Rule] = _rules()
# What may stand under derivatives/ (datatype of the source image; entities of its name stay).
ANNOTATIONS: frozenset[str] = frozenset({"mask", "dseg", "probseg"})

_ALNUM = re.compile(r"[A-Za-z0-9]+")
_INDEX = re.compile(r"[0-9]+")
_INDICES = frozenset({"run", "echo", "flip", "inv"})
_CHOICES: dict[str, frozenset[str]] = {"mt": frozenset({"on", "off"}), "part": frozenset({"mag", "phase", "real", "imag"})}


def path(label: str, session: str | None, datatype: str, suffix: str, entities: Mapping[str, str | int], extension: str) -> PurePosixPath:
    """The relative path of one file of a dataset: `sub-L/ses-S/DATATYPE/sub-L_ses-S_..._SUFFIX.EXT`.

    `label`, `session`: without `sub-` and `ses-`; `entities`: short key -> value (`{"acq": "swi", "run": 2}`); `extension` with its dot.
    Annotations (`mask`, `dseg`, `probseg`) get the same shape; the caller puts `derivatives/NAME/` before it.
    Raises BidsError `name_not_bids` when BIDS has no such name.
    """
    _check(label, session, datatype, suffix, entities)
    full: dict[str, str | int] = {"sub": label, **({"ses": session} if session else {}), **entities}
    stem = "_".join(f"{key}-{full[key]}" for key in ENTITIES if key in full)
    folder = PurePosixPath(f"sub-{label}", *([f"ses-{session}"] if session else []), datatype)
    return folder / f"{stem}_{suffix}{extension}"


def _check(label: str, session: str | None, datatype: str, suffix: str, entities: Mapping[str, str | int]) -> None:
    known = rule(datatype, suffix)
    wrong = sorted(set(entities) - known.allowed) + [f"{key} missing" for key in sorted(known.required - set(entities))]
    values = {"sub": label, **({"ses": session} if session else {}), **{key: str(value) for key, value in entities.items()}}
    for key, value in values.items():
        pattern = _INDEX if key in _INDICES else _ALNUM
        if not pattern.fullmatch(value) or value not in _CHOICES.get(key, frozenset({value})):
            wrong.append(f"value of {key}")
    if wrong:
        raise BidsError("name_not_bids", f"BIDS {EDITION} has no {datatype}/{suffix} with this: {', '.join(wrong)}.", "Correct the entities or the contrast.")


def rule(datatype: str, suffix: str) -> Rule:
    """The rule for a suffix (annotations included). Raises BidsError `name_not_bids` where there is none."""
    if suffix in ANNOTATIONS and datatype in _ANNOTATED:
        return Rule(_ANNOTATED[datatype] | {"space", "res", "desc"} | ({"label"} if suffix != "dseg" else set()))
    if (datatype, suffix) not in RULES:
        raise BidsError("name_not_bids", f"BIDS {EDITION} knows no raw image {datatype}/{suffix}.", "Choose a suffix that docs/reference/bids.md lists.")
    return RULES[(datatype, suffix)]


def alphanumeric(text: str) -> str:
    """A value fit for an entity: letters and digits of `text` only (BIDS labels allow nothing else)."""
    return "".join(_ALNUM.findall(text))


@dataclass(frozen=True)
class Named:
    """One image on its way to a name. `key` orders images that would share one: (series number, position in the series, uid), stable under re-upload."""

    label: str
    session: str | None
    datatype: str
    suffix: str
    entities: Mapping[str, str | int]
    key: tuple[str | int | float, ...] = field(default=())

    def path(self, extension: str = ".nii.gz") -> PurePosixPath:
        """See `path`."""
        return path(self.label, self.session, self.datatype, self.suffix, self.entities, extension)


def derived(path: PurePosixPath, desc: str, folder: str = "scanner", space: str = "") -> PurePosixPath:
    """Where an image lies that was computed from others, by the scanner or the site: with `space-`, `desc-` or both, under derivatives/`folder`."""
    *parts, suffix = path.name.split("_")
    pairs = dict(part.split("-", 1) for part in parts) | {key: word for key, word in (("space", space), ("desc", desc)) if word}
    return PurePosixPath("derivatives", folder) / path.parent / "_".join([*(f"{key}-{pairs[key]}" for key in ENTITIES if key in pairs), suffix])


def number_runs(images: Sequence[Named], taken: Iterable[PurePosixPath | str] = ()) -> list[Named]:
    """Give `run-` to images that would share a name: 1, 2, ... in the order of their `key`; same order of result as of `images`.

    The numbers depend on the keys alone, never on the order of arrival. A name in `taken` (already recorded) is never given again: what comes
    later gets the next free number, and what was there keeps its name.
    """
    used = {str(name) for name in taken}
    groups: dict[str, list[int]] = {}
    for n, image in enumerate(images):
        groups.setdefault(str(image.path()), []).append(n)
    result = list(images)
    for name, members in groups.items():
        if len(members) == 1 and name not in used:
            continue
        run = 1
        for n in sorted(members, key=lambda n: _order(images[n].key)):
            candidate, run = _free(images[n], run, used, first_is_free=name not in used)
            used.add(str(candidate.path()))
            result[n] = candidate
    return result


def _order(key: tuple[str | int | float, ...]) -> tuple[tuple[bool, float, str], ...]:
    """Numbers before words, so that keys of mixed kinds have one order."""
    return tuple((isinstance(part, str), 0.0 if isinstance(part, str) else float(part), str(part)) for part in key)


def _free(image: Named, run: int, used: set[str], *, first_is_free: bool) -> tuple[Named, int]:
    run = run if first_is_free else max(run, 2)
    while True:
        candidate = replace(image, entities={**image.entities, "run": run})
        run += 1
        if str(candidate.path()) not in used:
            return candidate, run
