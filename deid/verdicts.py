"""What can become of a volume whose face was to be taken, each with a sentence why and a sentence what to do.

`defaced`: the face is gone, and every question put to the result was answered well. `no_face`: none is in view, shown by geometry. `exempt`: a dataset's
named policy lets it pass. `review`: the face was taken, but one of the questions was answered with doubt; a person looks at the pictures before it goes on.
`orbit_restricted`: the face zone is what the series is about; it is never cut blindly and never released openly. `withheld`: nothing of it goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spatial.volumes import Volume

Mask = NDArray[np.bool_]
Verdict = Literal["defaced", "no_face", "exempt", "review", "orbit_restricted", "withheld"]

LOOK = "Have a steward look at the pictures before and after."

REASONS: dict[str, tuple[str, str]] = {
    "ok": ("The face was removed; the brain is untouched.", "Nothing to do."),
    "already_defaced": ("A face had been removed before; what our profile still found of it was removed as well.", "Nothing to do."),
    "no_face_in_view": ("The field of view holds no part of the face.", "Nothing to do."),
    "no_skin_in_view": ("The volume shows tissue up to all its edges and no skin, so no face can be seen in it.", "Nothing to do."),
    "brain_only": ("The volume shows a brain and nothing around it.", "Nothing to do."),
    "exempt_by_policy": ("The dataset's policy exempts this kind of volume from defacing.", "Nothing to do, or change the dataset's policy."),
    "orbit_restricted": (
        "The volume shows little more than the orbits: what defacing would remove is what it was made for.",
        "Release it at the restricted level only, with two stewards and a consent that covers it; otherwise leave it out.",
    ),
    "empty_volume": ("The volume is empty.", "Leave it out, or convert the series again."),
    "bad_values": ("The volume holds values that are not numbers.", "Convert the series again."),
    "unsupported_values": ("The volume holds colours or complex numbers.", "Hand in the volume of plain real numbers it was made from."),
    "too_few_slices": ("The volume has too few slices to find a face in it.", "Leave localizers and single slices out, or have a steward look."),
    "no_head_found": ("No human head could be found in the volume.", "Check what was scanned: phantoms and other body parts are not released by this profile."),
    "face_not_proven_gone": ("Something of the face may still be visible.", "Have a steward look, or leave the volume out."),
    "brain_in_zone": ("The zone to remove meets the brain.", "Have a steward look; the alignment is not good enough."),
    "label_in_zone": ("A label of a mask lies inside the zone to remove.", "Choose a profile that keeps this region, or leave the volume out."),
    "no_second_engine": ("A second opinion was asked for, and the second engine (SimpleITK) is not installed.", "Install what requirements.txt pins."),
    "no_fsl": (
        "The backend pydeface was asked for, and FSL (FSLDIR and flirt) is not installed.",
        "Install FSL where its licence allows you to, or leave the backend at its default.",
    ),
    "fsl_failed": ("FSL's flirt found no place for the head.", "Leave the backend at its default."),
    "failed": ("An internal failure; the volume was not released.", "Report this to the maintainers."),
    # Doubts: the face was taken, and a person looks.
    "engines_apart": ("Two engines put the face more than 5 mm apart.", LOOK),
    "second_engine_failed": ("The second engine found no place for the head.", LOOK),
    "second_frame_not_empty": ("Where the second engine puts the face, something of it is left.", LOOK),
    "place_uncertain": ("From other starts the alignment ended elsewhere.", LOOK),
    "little_face_in_view": ("Little of the face is in view, so that where it lies cannot be told well.", LOOK),
    "frames_moved": ("The head moved between the frames, and one zone was removed from all of them.", LOOK),
    "odd_size": ("The head is of an unusual size or shape, or little of it is in view.", LOOK),
    "odd_amount": ("More or less was removed than a face of this head's size holds.", LOOK),
    "face_still_seen": ("On the surface that is left, a face is still seen.", LOOK),
}  # fmt: skip


@dataclass(frozen=True)
class Defaced:
    """What became of one volume.

    `volume` is None where nothing goes on; `zone` (i, j, k) bool is what was removed (None: nothing). `measures` says how it was found (JSON-able); its
    `review` lists the codes of every doubt, of which `code` is the first.
    """

    volume: Volume | None
    zone: Mask | None
    verdict: Verdict
    code: str
    reason: str
    measures: dict[str, Any] = field(default_factory=dict)
    advice: str = ""


def told(volume: Volume | None, zone: Mask | None, verdict: Verdict, code: str, measures: dict[str, Any]) -> Defaced:
    """A verdict with the sentences of its code."""
    reason, advice = REASONS[code]
    return Defaced(volume, zone, verdict, code, reason, measures, advice)


def withheld(code: str, **measures: Any) -> Defaced:
    """A volume that does not pass, and why."""
    return told(None, None, "withheld", code, measures)
