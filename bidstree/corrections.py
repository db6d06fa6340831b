"""What a person decided once is not asked again: an answer is remembered for one site and one protocol, and for nothing else.

A protocol is known again by what its sequence is (kind, times, angle, image type, dimensions, words of its descriptions), put through a keyed hash, so the
memory holds no word that anybody typed. The memory is a JSON file; a registry may keep the same rows in a table. A correction that BIDS has no name for,
or whose words are not of a closed list, is refused when it is made, not when it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bidstree import foreign, names, perfusion, words
from bidstree.classify import Contrast, complete
from bidstree.errors import BidsError
from bidstree.look import look

VERSION = 1
FINGERPRINT = re.compile(r"[0-9a-f]{32}", re.ASCII)
# What the entities of a name may say: up to four words of a list and a small number. Whatever is typed freely would stand in file names for good.
_ACQUISITIONS = (
    "cspine|tspine|lspine|spine|brain|head|neck|orbit|dir|psir|stir|swi|qsm|mp2rage|mprage|space|cube|vista|tse|fse|gre|epi|flash|tof|vibe|medic|dixon|haste|"
    "water|fat|inphase|outphase|fatsat|fast|highres|lowres|iso|2d|3d|sag|cor|tra|ax|pre|post|early|late|singleband|multiband|multiecho|lowb|highb|b0"
)
_WORDS_OF: dict[str, re.Pattern[str]] = {
    "acq": re.compile(rf"(?:{_ACQUISITIONS}){{1,4}}[0-9]{{0,2}}", re.IGNORECASE | re.ASCII),
    "task": re.compile(rf"(?:{'|'.join(foreign.TASKS)})[0-9]{{0,2}}", re.ASCII),
    "dir": re.compile("|".join(words.DIRECTIONS), re.IGNORECASE | re.ASCII),
    "rec": re.compile(r"(?:norm|dis2d|dis3d|moco|magnitude|phase|mosaic|adc|trace|fa)[0-9]{0,2}", re.IGNORECASE | re.ASCII),
    "ce": re.compile("gadolinium|gd|ferumoxytol", re.ASCII),
    "mt": re.compile("on|off"),
    "part": re.compile("mag|phase|real|imag"),
}
_SMALL = re.compile(r"[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True)
class Correction:
    """What an image of a protocol is. `code` other than `ok` keeps it out (`localizer`, `derived_map`); `context`: words of ASL volumes, as a pattern."""

    datatype: str = ""
    suffix: str = ""
    entities: dict[str, str | int] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    code: str = "ok"
    context: tuple[str, ...] = ()


def fingerprint(site: str, given: Mapping[str, Any], facts: Mapping[str, Any], *, volumes: int = 1, key: bytes = b"") -> str:
    """32 hex digits for (site, protocol). `given`, `facts`: as for `classify.contrast`.

    `key` (at most 64 bytes) is the registry's own: without it nobody can try words against the digits.
    """
    m = look(given, facts, volumes=volumes)
    times = [None if value is None else float(f"{value:.3g}") for value in (m.te, m.tr, m.ti, m.flip)]
    sets = [sorted(one) for one in (m.sequence, m.variant, m.options, m.image_type)]
    value = [VERSION, site, m.words.strip(), times, sets, m.dimension, m.component, m.name, volumes > 1, m.agent is True]
    return hashlib.blake2b(json.dumps(value, separators=(",", ":")).encode(), key=key, digest_size=16).hexdigest()


def parse(row: Mapping[str, Any]) -> Correction:
    """The correction that a JSON object stands for, checked. Raises BidsError as `check`, and `correction_not_listed` for what is no correction."""
    try:
        return check(Correction(**{**row, "context": tuple(row.get("context", ()))}))
    except (TypeError, AttributeError) as error:
        raise BidsError(
            "correction_not_listed", "This is no correction.", "Say datatype, suffix, entities, fields, context, or a code that keeps out."
        ) from error


def check(correction: Correction) -> Correction:
    """The correction itself, if it can be used. Raises BidsError `name_not_bids`, `correction_not_listed`."""
    if correction.code != "ok":
        if correction.code not in {"localizer", "derived_map", "secondary_capture"}:
            raise BidsError("correction_not_listed", "A correction names the contrast or keeps the image out.", "Choose one of the answers offered.")
        return Correction(code=correction.code)  # the rest says nothing then, and is not kept
    if set(correction.context) - perfusion.WORDS or (correction.context and correction.suffix != "asl"):
        raise BidsError("correction_not_listed", "Only volumes of ASL have words, and these are not all of them BIDS words.", "Say label, control and m0scan.")
    usual: dict[str, str | int] = {"task": "unnamed", "mt": "on"}
    required = {key: usual.get(key, 1) for key in names.rule(correction.datatype, correction.suffix).required}
    names.path("x", None, correction.datatype, correction.suffix, {**required, **correction.entities}, ".nii.gz")
    if not all(spoken(key, value) for key, value in correction.entities.items()):
        raise BidsError("correction_not_listed", "An entity of the name has a word that is not on its list.", "Use the words of bidstree.corrections.")
    if set(foreign.clean(correction.fields)) != set(correction.fields):
        raise BidsError(
            "correction_not_listed", "A correction sets a field or a word that is not on the list.", "Leave it out; `bidstree.foreign` has the list."
        )
    return correction


def spoken(key: str, value: object) -> bool:
    """Whether the value of an entity is of its closed list, or a number of at most three digits where it has none."""
    return type(value) in (str, int) and bool(_WORDS_OF.get(key, _SMALL).fullmatch(str(value)))


def apply(answer: Contrast, correction: Correction | None, given: Mapping[str, Any], *, volumes: int = 1) -> Contrast:
    """The answer after the correction: certain, and the old one kept among the candidates; the answer itself where there is none."""
    if correction is None:
        return answer
    if correction.code != "ok":
        why = "Kept out by a person's decision on this protocol."
        return replace(answer, datatype="", suffix="", entities={}, confidence=1.0, words=why, code=correction.code)
    same = (answer.datatype, answer.suffix) == (correction.datatype, correction.suffix)
    entities = {**(answer.entities if same else {}), **correction.entities}
    if "task" in names.rule(correction.datatype, correction.suffix).required:
        entities.setdefault("task", "unnamed")
    fields = {**answer.fields, **_implied(entities), **correction.fields}
    done = Contrast(correction.datatype, correction.suffix, entities, 1.0, "A person's decision on this protocol.", fields=fields, candidates=answer.candidates)
    if correction.suffix not in ("asl", "m0scan"):
        return complete(done, given)
    if correction.suffix == "m0scan":
        return _perfusion(done, perfusion.missing_calibration({**given, **fields}))
    try:
        context = perfusion.repeat(correction.context, volumes) if correction.context else None
    except BidsError:  # a series with another number of volumes: it is not what the person spoke of
        context = None
    lacking = perfusion.missing({**given, **fields}, context, volumes)
    return replace(_perfusion(done, lacking), context=() if lacking else tuple(context or ()))


def _perfusion(done: Contrast, lacking: Sequence[str]) -> Contrast:
    """The answer itself, or `perfusion_incomplete` with what is lacking."""
    if not lacking:
        return done
    why = f"BIDS needs the labelling of every volume and its delays, which are not told: {', '.join(lacking)}."
    return replace(done, datatype="", suffix="", entities={}, confidence=0.9, words=why, code="perfusion_incomplete")


def _implied(entities: Mapping[str, Any]) -> dict[str, Any]:
    """Sidecar fields that entities of a name say as well."""
    fields: dict[str, Any] = {"TaskName": entities["task"]} if "task" in entities else {}
    if "mt" in entities:
        fields["MTState"] = entities["mt"] == "on"
    if entities.get("part") == "phase":
        fields["Units"] = "arbitrary"
    if "ce" in entities:
        fields["ContrastBolusIngredient"] = "GADOLINIUM"
    return fields


class Memory:
    """Corrections in a JSON file: fingerprint -> correction. `of` asks, `remember` writes (whole, by one rename)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, Correction] = {}
        if path.exists():
            try:
                loaded = json.loads(path.read_text(encoding="utf-8"))["corrections"]
                self.rows = {print_: parse(row) for print_, row in loaded.items()}
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise BidsError("corrections_unreadable", "The file of corrections cannot be read.", "Restore it from a copy, or begin a new one.") from error

    def of(self, print_: str) -> Correction | None:
        """What is remembered for this fingerprint."""
        return self.rows.get(print_)

    def remember(self, print_: str, correction: Correction) -> None:
        """Keep a correction; a later one for the same protocol takes its place. Raises as `check`."""
        if not FINGERPRINT.fullmatch(print_):
            raise BidsError("correction_not_listed", "This is no fingerprint of a protocol.", "Give the 32 digits that stand in the image's contrast.")
        self.rows[print_] = check(correction)
        value = {"version": VERSION, "corrections": {name: asdict(row) for name, row in sorted(self.rows.items())}}
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.path)
