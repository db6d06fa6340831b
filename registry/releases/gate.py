"""What may not enter a release, and why: one rule over plain facts about one accepted image. Every cause has its code; nothing is dropped without one.

A steward's acceptance is not enough. The paper that came with the image must hold the account of its de-identification, the proof that its face is gone (or
the reason why none had to be taken), and the verdict on its quality. Where paper and row disagree, the image stays out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROVEN = frozenset({"ok", "already_defaced"})  # codes of `deid.faces` for a face that was taken, looked for again and not found
GRADES = frozenset({"pass", "review", "fail"})
# code -> what it means; the counts of what was left out are told by these.
REASONS: Mapping[str, str] = {
    "account_missing": "There is no account of what was taken out of its headers.",
    "deface_unverified": "Its face was taken, and no proof is on record that it is gone.",
    "deface_contradicted": "What is recorded of its face and what its paper says of it are not the same.",
    "face_reason_missing": "No face was taken from it, and no reason is on record why none had to be.",
    "doubt_not_settled": "Its face is in doubt, and no steward wrote down what they saw.",
    "face_not_given": "It may show a face that this version gives to nobody.",
    "quality_missing": "There is no verdict on its quality.",
    "source_missing": "It was made from a file that is not in the release.",
    "consent_missing": "No consent of its participant holds.",
    "undecided": "No steward has decided on it yet.",
    "refused": "A steward or the pipeline refused it.",
}


@dataclass(frozen=True)
class Offered:
    """What is known of one accepted image. `note`: what the steward wrote; the mappings are parts of its provenance."""

    verdict: str
    grade: str
    note: str = ""
    deid: Mapping[str, Any] | None = None
    deface: Mapping[str, Any] | None = None
    quality: Mapping[str, Any] | None = None


def lacks(image: Offered) -> list[str]:
    """Codes of all that keeps an image out of a release; empty when it may enter."""
    found = [] if image.deid and image.deid.get("profile") and image.deid.get("account") is not None else ["account_missing"]
    if why := _face(image):
        found.append(why)
    told = image.quality or {}
    return found if image.grade in GRADES and told.get("grade") == image.grade else [*found, "quality_missing"]


def _face(image: Offered) -> str:
    """Why nothing proves that no face is left; empty when something does."""
    told = image.deface or {}
    if image.verdict not in ("defaced", "no_face", "exempt", "review", "orbit_restricted"):
        return "face_not_given"
    if told and told.get("verdict") != image.verdict:
        return "deface_contradicted"
    if image.verdict in ("review", "orbit_restricted"):  # what the steward saw overrides what the machine doubted; orbits were taken by two people
        return "" if told and image.note.strip() else "doubt_not_settled"
    code = str(told.get("code") or "")
    if image.verdict == "defaced":
        return "" if code in PROVEN and _looked(told) else "deface_unverified"
    return "" if code not in ("", "ok") else "face_reason_missing"


def _looked(told: Mapping[str, Any]) -> bool:
    """Whether somebody else than who found the place had a look (`deid.proof`): the second engine, or what looks at the surface. What was laid on the
    template's brain alone shows neither head nor skin for them to look at."""
    return bool(told.get("second") or told.get("surface")) or told.get("aligned_to") in ("brain", "brain_rigid")
