"""`python -m deid deface IN OUT`: one volume loses its face, and what cannot be shown to be so is not written.

0: the volume passes and OUT is written. 1: it is withheld. 2: wrong usage. 3: a person has to look (`--render` draws the pictures); OUT is written only where
`--reviewed` says that somebody did. Messages and the report name no file and no value of anybody.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deid import facepolicy, faces, facezones, render, second
from deid.errors import DeidError
from deid.facefill import NOISE, PROFILES
from deid.placing import BACKENDS, HeadImage
from deid.verdicts import Defaced
from spatial import volumes
from spatial.errors import SpatialError
from spatial.volumes import Volume

PASSES, WITHHELD, REVIEW = 0, 1, 3


def main(argv: Sequence[str]) -> int:
    """Deface one volume; the exit code says what became of it."""
    options = _options().parse_args(argv)
    began = time.monotonic()
    before: Volume | None = None
    try:
        before = volumes.load(options.input)
        found = _deface(options, before)
    except (SpatialError, DeidError) as error:
        found = Defaced(None, None, "withheld", error.code, error.reason, {}, error.advice)
    if found.volume is not None and (found.verdict != "review" or options.reviewed):
        volumes.save(found.volume, options.output, like=options.input)
    if options.render is not None and before is not None:
        options.render.write_bytes(render.render(before) if found.volume is None else render.pair(before, found.volume))
    report = told(found, reviewed=options.reviewed) | {"device": options.device, "threads": faces.threads(), "seconds": round(time.monotonic() - began, 1)}
    text = json.dumps(report, indent=1, sort_keys=True) + "\n"
    if options.report is not None:
        options.report.write_text(text)
    sys.stdout.write(text)
    if found.verdict == "review" and not options.reviewed:
        return REVIEW
    return PASSES if found.volume is not None else WITHHELD


def told(found: Defaced, *, reviewed: bool = False) -> dict[str, Any]:
    """The report of one volume (JSON-able)."""
    return {
        "verdict": found.verdict,
        "code": found.code,
        "reason": found.reason,
        "advice": found.advice,
        "review": found.measures.get("review", []),
        "reviewed": reviewed,
        "measures": {name: value for name, value in found.measures.items() if name != "review"},
    }


def _deface(options: argparse.Namespace, volume: Volume) -> Defaced:
    images = {"image": HeadImage(volume, options.suffix, options.datatype, options.region)}
    if options.companion is not None:
        images["companion"] = HeadImage(volumes.load(options.companion), "T1w")
    labels = []
    for path in options.labels:
        mask = volumes.load(path)
        if mask.shape[:3] != volume.shape[:3] or not volumes.same_grid(mask, volume):
            raise SpatialError("grid_mismatch", "A mask of labels does not lie on the grid of the volume.")
        labels.append(mask.data)
    return faces.deface_visit(
        images,
        profile=options.profile.removesuffix(NOISE) + NOISE if options.fill == "noise" else options.profile,
        device=options.device,
        second_opinion=options.second_opinion,
        backend=options.backend,
        labels={"image": labels},
        policy=facepolicy.read(options.policy) if options.policy else facepolicy.FacePolicy(),
    )["image"]


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deid deface", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, metavar="IN.nii.gz")
    parser.add_argument("output", type=Path, metavar="OUT.nii.gz")
    parser.add_argument("--profile", choices=PROFILES, default=facezones.DEFAULT, help="-noise: filled with noise like the volume's own air")
    parser.add_argument("--fill", choices=("blank", "noise"), default="blank", help="noise: the same as -noise behind the profile's name")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--suffix", default="T1w", help="BIDS suffix of IN")
    parser.add_argument("--datatype", default="anat", help="BIDS datatype of IN (anat, dwi, func, perf, fmap)")
    parser.add_argument("--region", choices=("", "orbit", "spine"), default="", help="what was scanned, where it is no head")
    parser.add_argument("--with", dest="companion", type=Path, metavar="T1.nii.gz", help="a better picture of the same head in the same visit")
    parser.add_argument(
        "--second-opinion",
        action=argparse.BooleanOptionalAction,
        default=second.available(),
        help="ask SimpleITK where the face is; over 5 mm apart, a person looks (default: where it is installed; without it a zone that lies wrong can pass)",
    )
    parser.add_argument("--backend", choices=BACKENDS, default=BACKENDS[0], help="pydeface: where FSL is installed")
    parser.add_argument("--labels", type=Path, action="append", default=[], metavar="MASK", help="labels on IN's grid; one inside the zone refuses the volume")
    parser.add_argument(
        "--policy", type=Path, metavar="P.json", help='what may pass where no face could be looked for: {"name": "trial-7", "exempt": ["bold"]}'
    )
    parser.add_argument("--reviewed", action="store_true", help="write OUT although a person has to look: somebody did")
    parser.add_argument("--report", type=Path, metavar="R.json")
    parser.add_argument("--render", type=Path, metavar="PNG", help="the surface before and after; it shows the face")
    return parser
