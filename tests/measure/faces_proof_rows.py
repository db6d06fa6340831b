"""The rows of `make show-faces` about the proof: who has to look, the untouched brain, what a visit costs, what defacing does to measures, bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from faces_register_cases import BRAINS, SOURCES, case, head
from faces_register_rows import numbers, ours_file
from table import ROOT, Result

from deid import facefill, faces, facezones, headfit, placing, second
from deid.faces import Defaced, HeadImage
from spatial import affines, templates
from spatial.volumes import Volume

SUFFIX = {"philips_fieldmap": ("magnitude1", "fmap"), "visit_t2": ("T2w", "anat"), "ms1_t2": ("T2w", "anat"), "ms2_t2": ("T2w", "anat")}
SUFFIX |= {"ms1_flair": ("FLAIR", "anat"), "ms2_flair": ("FLAIR", "anat"), "philips_b0": ("dwi", "dwi")}
VISITS = (
    ("philips_t1",), ("siemens_2d_t1",), ("philips_fieldmap",), ("xa30_t1",), ("visit_t1", "visit_t2"), ("studyforrest_t1",),
    ("ms1_t1", "ms1_t2", "ms1_flair"), ("ms2_t1", "ms2_t2", "ms2_flair"), ("philips_b0",),
)  # fmt: skip
FACES = ("philips_t1", "siemens_2d_t1", "xa30_t1", "visit_t1", "visit_t2")  # structural heads that have their faces
MARGIN_MM, VISIT_S, SHIFT = 3.0, 10.0, 0.005
PERTURBED = {"quick": 0, "usual": 2, "full": 20}  # of every head
PASSES = ("defaced", "no_face", "exempt")


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def image(name: str, volume: Volume | None = None) -> HeadImage:
    return HeadImage(head(name) if volume is None else volume, *SUFFIX.get(name, ("T1w", "anat")))


@cache
def visit(number: int) -> dict[str, Defaced]:
    """A visit of real heads as the pipeline would deface it, second opinion and all."""
    one_thread()
    return faces.deface_visit({name: image(name) for name in VISITS[number]}, second_opinion=True)


def _visits(depth: str) -> list[int]:
    return [1, 4] if depth == "quick" else list(range(len(VISITS)))


# --- who has to look --------------------------------------------------------------------------------------------------------------------------------


def sent_to_people(depth: str) -> Result:
    """Real heads, as they are in their visits, and each alone and perturbed (seeded sample): the share that is withheld or that a person has to look at."""
    plain = {name: found for n in _visits(depth) for name, found in visit(n).items()}
    held = {name: found.code for name, found in plain.items() if found.verdict not in PASSES}
    told = _perturbed([f"{name}:{n}" for name in SOURCES for n in numbers(name, PERTURBED[depth])])
    moved = {name: code for name, (verdict, code) in told.items() if verdict not in PASSES}
    figure = f"as they are: {len(held)} of {len(plain)} {_counted(held)}"
    if told:
        figure += f"; perturbed: {len(moved)} of {len(told)} {_counted(moved)}"
    met = len(held) <= 0.10 * len(plain) and (not told or len(moved) <= 0.25 * len(told))
    return Result(figure, met=met, sample=depth != "full")


def _perturbed(names: list[str]) -> dict[str, tuple[str, str]]:
    """Verdict and code of every case; each is asked once per version of the code, so that a broken full run goes on."""
    one_thread()
    path = ours_file("people", ("spatial", "deid"))
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {line["case"]: line for line in map(json.loads, path.read_text().splitlines())} if path.exists() else {}
    for given in names:
        if given not in kept:
            name, _, number = given.partition(":")
            made = case(name, int(number))
            found = faces.deface_visit({"a": image(name, made.volume)}, second_opinion=True)["a"]
            kept[given] = {"case": given, "fault": made.fault, "verdict": found.verdict, "code": found.code}
            with path.open("a") as sink:
                sink.write(json.dumps(kept[given]) + "\n")
    return {name: (kept[name]["verdict"], kept[name]["code"]) for name in names}


def _counted(codes: dict[str, str]) -> str:
    counts = {code: list(codes.values()).count(code) for code in sorted(set(codes.values()))}
    return f"({', '.join(f'{code} {count}' for code, count in counts.items())})" if counts else ""


# --- the brain --------------------------------------------------------------------------------------------------------------------------------------


def brain_untouched(depth: str) -> Result:
    """Voxels of the brain changed on every real head, bit by bit, and the smallest distance between what was removed and the brain.

    The brain is the template's, moved to the head by the *second* engine where it gave a word, so that it is not the frame in which the zone was cut. The
    margin stays what it is on the template, times the head's size, less how far the two engines are apart.
    """
    changed, margins, apart = 0, [], []
    for number in _visits(depth):
        for name, found in visit(number).items():
            if found.volume is None or found.zone is None:
                continue
            volume = head(name)
            own = np.array(found.measures["affine"])
            other = _other_frame(number, name, own)
            brain = headfit.lookup(Volume(templates.head().brain.astype(np.uint8), templates.head().volume.affine), volume, other) > 0
            changed += int((np.asarray(volume.data) != found.volume.data)[brain].sum())
            margins.append(found.measures["brain_margin_mm"])
            apart.append(headfit.margin_mm(found.zone, brain, volume.affine))
    own_least, other_least = min(m for m in margins if m is not None), min(m for m in apart if m is not None)
    figure = f"{changed} voxels changed, smallest margin {own_least:.1f} mm in the frame of the cut, {other_least:.1f} mm in the second engine's"
    figure += f", {len(margins)} volumes; on the template {facezones.margin_mm():.1f} mm"
    return Result(figure, met=changed == 0 and own_least >= MARGIN_MM, sample=depth == "quick")


def _other_frame(number: int, name: str, own: Any) -> Any:
    """Where the second engine puts the head that `name` was aligned to."""
    found = visit(number)[name]
    reference = found.measures["reference"] or name
    base = np.array(visit(number)[reference].measures["affine"])
    try:
        return second.opinion(head(reference), base).matrix @ affines.inverse(base) @ own
    except Exception:
        return own


# --- what it costs ----------------------------------------------------------------------------------------------------------------------------------

TIMED = """
import json, os, sys, time
sys.path[:0] = [{root!r}, {here!r}]
import faces_proof_rows as rows
print(json.dumps(rows.timed({names!r})))
"""


def timed(names: list[str]) -> dict[str, float]:
    """CPU seconds of one thread for a visit: registration and mask, then everything with its proof, then the second engine. One head before, to be warm."""
    import time

    one_thread()
    images = {f"{n}_{name}": image(name) for n, name in enumerate(names)}
    faces.deface_visit({"warm": image("siemens_2d_t1")})
    begun = time.process_time()
    found = placing.places(images, "cpu", 0)
    for name, place in found.items():
        assert place is not None
        zone = headfit.lookup(facezones.zone(), images[name].volume, place.matrix) > 0
        facefill.filled(images[name].volume, zone, "blank", 0)
    masked = time.process_time()
    faces.deface_visit(images)
    proven = time.process_time()
    faces.deface_visit(images, second_opinion=True)
    return {"mask": masked - begun, "proof": proven - masked, "second": time.process_time() - proven}


def visit_seconds(depth: str) -> Result:
    """A visit of four contrasts (T1w, T2w, FLAIR of one visit, and its T1w again as a fourth), in a process of its own with one thread."""
    names = ["ms2_t1", "ms2_t2", "ms2_flair", "ms2_t1"]
    for name in names:
        head(name)
    code = TIMED.format(root=str(ROOT), here=str(Path(__file__).parent), names=names)
    env = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True)
    spent = json.loads(done.stdout.splitlines()[-1])
    figure = (
        f"four contrasts: {spent['mask']:.1f} CPU-s registration and mask; {spent['proof']:.1f} with the proof; {spent['second']:.1f} with the second engine"
    )
    return Result(figure, met=spent["mask"] <= VISIT_S)


# --- downstream -------------------------------------------------------------------------------------------------------------------------------------


def downstream(depth: str) -> Result:
    """Tissue volumes by our own segmentation (`qa`) of real heads with their faces, before and after defacing: at the place found before (as the pipeline
    measures), and, beside it, with the defaced head placed anew by a registration of its own, which is what somebody else would do.
    """
    one_thread()
    names = [name for n in _visits(depth) for name in VISITS[n] if name in FACES]
    shifts: dict[str, tuple[float, float]] = {}
    for name in names:
        done = next(visit(n)[name] for n in range(len(VISITS)) if name in VISITS[n])
        if done.volume is None or done.zone is None:
            continue
        suffix = SUFFIX.get(name, ("T1w", ""))[0]
        before, matrix = tissue_ml(head(name), suffix)
        same, _ = tissue_ml(done.volume, suffix, matrix, done.zone)
        anew, _ = tissue_ml(done.volume, suffix)
        shifts[name] = tuple(max(abs(after[k] / before[k] - 1) for k in before) for after in (same, anew))  # type: ignore[assignment]
    words = ", ".join(f"{name} {same:.2%} ({anew:.2%})" for name, (same, anew) in shifts.items())
    met = len(shifts) == len(names) and max(same for same, _ in shifts.values()) <= SHIFT
    return Result(f"largest shift of a tissue's volume (placed anew): {words}; {len(shifts)} of {len(names)} heads", met=met, sample=depth == "quick")


def tissue_ml(volume: Volume, suffix: str, matrix: Any = None, zone: Any = None) -> tuple[dict[str, float], Any]:
    """Millilitres of csf, gm and wm in the brain, and where the brain was placed."""
    from qa import masks
    from qa.scene import Scene

    scene = Scene(volume, suffix, zone=zone, matrix=matrix)
    values = scene.work[scene.brain.mask]
    found = masks.tissue(values, suffix)
    ml = float(np.prod(scene.work_zooms)) * int(values.numel()) / 1000
    return {name: share * ml for name, share in zip(found.names, found.share, strict=True)}, scene.brain.matrix


# --- bad input --------------------------------------------------------------------------------------------------------------------------------------


def bad_inputs(depth: str) -> dict[str, tuple[HeadImage, set[str]]]:
    """Each kind of bad input and the codes that are right for it; at `quick` those that need no real head."""
    ball = np.where(((np.stack(np.indices((60,) * 3), -1) - 30.0) ** 2).sum(-1) < 24**2, 500, 5).astype(np.int16)
    noise = np.abs(np.random.default_rng(0).normal(20, 4, (60,) * 3)).astype(np.int16)
    four = affines.scaling(4)
    made = {
        "all zeros": (HeadImage(Volume(np.zeros((40,) * 3, dtype=np.int16), four)), {"empty_volume"}),
        "one slice": (HeadImage(Volume(np.arange(1600, dtype=np.int16).reshape(40, 40, 1), four)), {"too_few_slices"}),
        "NaN": (HeadImage(Volume(np.full((40,) * 3, np.nan, dtype=np.float32), four)), {"bad_values"}),
        "noise": (HeadImage(Volume(noise, four)), {"no_head_found"}),
        "a ball": (HeadImage(Volume(ball, four)), {"no_head_found"}),
    }
    if depth == "quick":
        return made
    t1 = head("siemens_2d_t1")
    brain = headfit.lookup(Volume(templates.head().brain.astype(np.uint8), templates.head().volume.affine), t1, _known("siemens_2d_t1")) > 0
    return made | {
        "brain alone": (HeadImage(Volume(np.where(brain, t1.data, 0).astype(t1.data.dtype), t1.affine)), {"brain_only"}),
        "defaced before": (image("ms1_t1"), {"already_defaced"}),
        "a real diffusion image": (image("philips_b0"), {"ok", "no_face_in_view", "place_uncertain"}),
    }


def _known(name: str) -> Any:
    number = next(n for n, names in enumerate(VISITS) if name in names)
    return np.array(visit(number)[name].measures["affine"])


def bad_input(depth: str) -> Result:
    """Every kind of bad input gets its stated verdict, and the good volume beside it is none the worse. What a file's header spoils is in the tests."""
    one_thread()
    wrong = []
    given = bad_inputs(depth)
    for kind, (one, codes) in given.items():
        found = faces.deface_visit({"a": one})["a"]
        if found.code not in codes or not found.reason or not found.advice:
            wrong.append(f"{kind}: {found.verdict} {found.code}")
    return Result(
        f"{len(given) - len(wrong)} of {len(given)} kinds get their verdict" + (f"; {'; '.join(wrong)}" if wrong else ""),
        met=not wrong,
        sample=depth == "quick",
    )


assert set(BRAINS) <= set(SUFFIX)

ROWS = (sent_to_people, brain_untouched, visit_seconds, downstream, bad_input)

if __name__ == "__main__":
    asked = sys.argv[1] if len(sys.argv) > 1 else "quick"
    for measure in ROWS:
        if len(sys.argv) < 3 or measure.__name__ in sys.argv[2:]:
            print(measure.__name__, measure(asked), flush=True)
