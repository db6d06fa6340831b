"""The rows of `make show-faces` about registration: our engine beside ANTs and SimpleITK on real heads, as they are and perturbed.

Error: mean displacement, mm, of the 8 corners of the template's face box (`spatial.templates.face_box`); beside it that of the template's face where it
lies in the picture, by either place: what lies outside is neither taken nor left. Reference per head: the corners' median over
ANTs, SimpleITK and, where faces_landmarks.json holds six points that the template has too (its key `template`), the similarity through them; a perturbed
case's reference is that moved by the known pose. Where ANTs and SimpleITK lie more than 10 mm
apart on a head as it is, there is no reference: it is counted, and nobody is scored on it.

Each engine is asked about a case once: results lie in build/faces/register/ENGINE.jsonl (ours: a file per version of `spatial/`), so a broken run goes on.
Run alone: `python tests/measure/faces_register_rows.py quick|usual|full` prints every case as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from faces_register_cases import HEADS, SOURCES, Matrix, case, head
from numpy.typing import NDArray
from peers import NotRun, Peer, python_of
from table import ROOT, Result

from deid import facezones, proof, second
from spatial import affines, templates
from spatial.errors import SpatialError
from spatial.register import DOUBTFUL_MM

OUT = ROOT / "build" / "faces" / "register"
PEERS = Peer("ANTs and SimpleITK", "faces_register_engines", "faces", ("antspyx==0.6.3", "simpleitk==2.5.7", "nibabel==5.4.2"))
PER_HEAD = {"quick": 1, "usual": 1, "full": 20}
QUICK = 2  # heads
OVER_MM, NO_REFERENCE_MM, SURE_MM = 5.0, 10.0, 2.0
Corners = NDArray[np.float64]
Answers = dict[str, dict[str, Any]]


def numbers(name: str, count: int) -> list[int]:
    """The perturbations asked about: all of them where `count` is 20, else so spread over the heads that every fault comes up."""
    place = list(SOURCES).index(name)
    return [(place * 3 + j * 7) % 20 + 1 for j in range(count)]


def wanted(depth: str) -> list[str]:
    """Names `head:number`, each head as it is first."""
    names = list(SOURCES)[:QUICK] if depth == "quick" else list(SOURCES)
    return [f"{name}:0" for name in names] + [f"{name}:{n}" for name in names for n in numbers(name, PER_HEAD[depth])]


def ours_file(stem: str = "ours", rooms: Sequence[str] = ("spatial",)) -> Path:
    """Our answers belong to the code of the rooms that gave them."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for room in rooms for path in sorted((ROOT / room).glob("*.py")))).hexdigest()[:12]
    return OUT / f"{stem}-{digest}.jsonl"


def answers(engine: str, names: list[str]) -> Answers:
    """What an engine says about the cases; it is run for those that its file lacks. A peer that cannot be installed says nothing."""
    path = ours_file() if engine == "ours" else OUT / f"{engine}.jsonl"
    OUT.mkdir(parents=True, exist_ok=True)
    for name in {n.partition(":")[0] for n in names}:
        head(name)  # converted here, for the peers' environment cannot
    with contextlib.suppress(NotRun):
        python = sys.executable if engine == "ours" else str(python_of(PEERS))
        words = [python, str(Path(__file__).with_name("faces_register_engines.py")), engine, str(path), *names]
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {line["case"]: line for line in lines if line["case"] in set(names)}


def box_at(matrix: Matrix) -> Corners:
    """Where a matrix (world of the head -> template) puts the face box, in the head's world."""
    return affines.apply(affines.inverse(matrix), templates.face_box())


def between(one: Corners, other: Corners) -> float:
    return float(np.sqrt(((one - other) ** 2).sum(axis=1)).mean())


@cache
def _landmarks() -> dict[str, Any]:
    path = Path(__file__).with_name("faces_landmarks.json")
    return json.loads(path.read_text()) if path.exists() else {}


def hand_placed(name: str) -> Corners | None:
    """The face box by the landmarks placed by hand on a head and on the template: the least-squares similarity. None where fewer than 6 are on both."""
    told, source = _landmarks(), SOURCES[name]
    folder = "" if isinstance(source, Path) else source[0]
    if folder == "siemens_visit_face":
        folder += "_" + name.rpartition("_")[2]
    there, here = told.get("template", {}), told.get("heads", {}).get(folder, {})
    common = [k for k in there if there[k] is not None and here.get(k) is not None]
    return None if len(common) < 6 else _similar(np.array([there[k] for k in common], float), np.array([here[k] for k in common], float))


def _similar(there: Corners, here: Corners) -> Corners:
    """Rotation, one scale and a move from template points to head points (Umeyama 1991, doi:10.1109/34.88573), applied to the face box."""
    a, b = there - there.mean(axis=0), here - here.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = float((s * np.diag(sign)).sum() / (a**2).sum())
    return np.asarray((templates.face_box() - there.mean(axis=0)) @ (scale * u @ sign @ vt).T + here.mean(axis=0))


def reference(name: str, peers: dict[str, Answers]) -> tuple[Corners, float] | None:
    """The head's face box, and how far apart ANTs and SimpleITK put it; None where there is no reference."""
    said = [box_at(np.array(of[f"{name}:0"]["matrix"])) for of in peers.values() if of.get(f"{name}:0", {}).get("matrix")]
    if len(said) < 2 or between(*said) > NO_REFERENCE_MM:
        return None
    hand = hand_placed(name)
    return np.median([*said, *([] if hand is None else [hand])], axis=0), between(*said)


def inside(name: str, number: int, ours: Matrix, corners: Corners) -> float | None:
    """Mean displacement of the face's points that lie in the picture by either place; None where none does."""
    points, volume = proof.face_points(facezones.DEFAULT), case(name, number).volume
    step = np.linalg.lstsq(np.c_[templates.face_box(), np.ones(8)], corners, rcond=None)[0]
    true = np.eye(4)
    true[:3] = step.T
    seen = proof.in_view(volume, ours, points) | proof.in_view(volume, affines.inverse(true), points)
    apart = affines.apply(affines.inverse(ours), points[seen]) - affines.apply(true, points[seen])
    return float(np.sqrt((apart**2).sum(axis=1)).mean()) if seen.any() else None


@cache
def scored(depth: str) -> list[dict[str, Any]]:
    """One line per case and engine: head, number, error in mm, CPU seconds, spread of the reference and, for ours, the estimate of the error."""
    names = wanted(depth)
    said = {engine: answers(engine, names) for engine in ("simpleitk", "ants", "ours")}
    peers = {engine: said[engine] for engine in ("simpleitk", "ants")}
    lines = []
    for name in names:
        place, _, number = name.partition(":")
        true = reference(place, peers)
        pose = np.eye(4) if number == "0" else case(place, int(number)).pose
        for engine, of in said.items():
            if (line := of.get(name)) is not None:
                missed = None if true is None else 999.0 if line["matrix"] is None else between(box_at(np.array(line["matrix"])), affines.apply(pose, true[0]))
                seen = inside(place, int(number), np.array(line["matrix"]), affines.apply(pose, true[0])) if missed and OVER_MM < missed < 999 else missed
                lines.append({"case": name, "engine": engine, "error": missed, "inside": seen, "spread": true and true[1], **{k: line.get(k) for k in KEPT}})
    return lines


KEPT = ("cpu_s", "spread_mm", "fault", "matrix")


def doubted(line: dict[str, Any]) -> bool:
    """Whether our own estimate of the error sends the case to a person (a refusal does as well)."""
    return line["spread_mm"] is None or not line["spread_mm"] <= DOUBTFUL_MM


@cache
def flags(depth: str) -> dict[str, bool]:
    """For each case whether the product sends it to a person, by registration alone: no place; the second engine disagrees, alone and asked again; it agrees
    only when asked again and our own runs disagree; or so little is in view that agreement says little (`deid.second`, `deid.proof`)."""
    lines = [line for line in scored(depth) if line["engine"] == "ours"]
    alone = answers("simpleitk", wanted(depth))
    return {line["case"]: _sent(line, alone.get(line["case"], {}).get("matrix")) for line in lines}


def _sent(line: dict[str, Any], alone: list[list[float]] | None) -> bool:
    if line["matrix"] is None:
        return True
    ours = np.array(line["matrix"])
    place, _, number = line["case"].partition(":")
    volume = case(place, int(number)).volume
    if proof.face_share(volume, ours, facezones.DEFAULT) < proof.LEAST_OF_FACE:
        return True
    whole = proof.in_view(volume, ours, templates.face_box()).mean() >= proof.LEAST_OF_BOX
    if whole and alone is not None and between(box_at(ours), box_at(np.array(alone))) <= second.APART_MM:
        return False  # a cheaper engine of the same family has said so
    said = _second(line["case"], ours)
    if said is None or not said["agrees"] or (said["asked"] != "alone" and doubted(line)):
        return True
    return not whole and (said["asked"] != "alone" or said["apart"] > proof.APART_IN_PART_MM)


def _second(name: str, ours: Matrix) -> dict[str, Any] | None:
    """What the product's second engine says beside ours, asked once per version of either; None where it has no answer."""
    path = ours_file().with_name(f"second-{hashlib.sha256((ROOT / 'deid' / 'second.py').read_bytes()).hexdigest()[:6]}-{ours_file().name}")
    kept = {line["case"]: line for line in map(json.loads, path.read_text().splitlines())} if path.exists() else {}
    if name not in kept:
        place, _, number = name.partition(":")
        try:
            found = second.opinion(case(place, int(number)).volume, ours)
            kept[name] = {"case": name, "agrees": found.agrees, "asked": found.asked, "apart": found.apart_mm}
        except SpatialError as error:
            kept[name] = {"case": name, "error": error.code}
        with path.open("a") as sink:
            sink.write(json.dumps(kept[name]) + "\n")
    return None if "error" in kept[name] else kept[name]


def _errors(lines: list[dict[str, Any]], engine: str) -> NDArray[np.float64]:
    return np.array([line["error"] for line in lines if line["engine"] == engine and line["error"] is not None])


def _compared(lines: list[dict[str, Any]]) -> tuple[str, dict[str, tuple[float, float]]]:
    words, figures = [], {}
    shared = set.intersection(*({line["case"] for line in lines if line["engine"] == e} for e in ("ours", "ants", "simpleitk")))
    for engine in ("ours", "ants", "simpleitk"):
        errors = _errors([line for line in lines if line["case"] in shared], engine)
        if len(errors):
            figures[engine] = float(np.median(errors)), float(np.percentile(errors, 95))
            words.append(f"{engine} {figures[engine][0]:.2f} / {figures[engine][1]:.1f} mm, {(errors > OVER_MM).sum()} of {len(errors)} over {OVER_MM:g}")
    return "; ".join(words) or "no peers (build/peers/faces)", figures


def _no_worse(figures: dict[str, tuple[float, float]]) -> bool:
    peers = [figures[e] for e in ("ants", "simpleitk") if e in figures]
    return bool(peers) and "ours" in figures and all(figures["ours"][i] <= min(p[i] for p in peers) for i in (0, 1))


def displacement(depth: str) -> Result:
    """Median / 95th centile of the face box's displacement on perturbed heads, all engines on the same cases."""
    lines = [line for line in scored(depth) if not line["case"].endswith(":0")]
    words, figures = _compared(lines)
    return Result(f"perturbed: {words}", met=_no_worse(figures), sample=depth != "full")


def displacement_as_they_are(depth: str) -> Result:
    """Unperturbed heads whose reference is agreed to within 2 mm: our median. The peers are themselves the reference here, so theirs says nothing."""
    lines = [line for line in scored(depth) if line["case"].endswith(":0")]
    sure = _errors([line for line in lines if line["spread"] is not None and line["spread"] < SURE_MM], "ours")
    lost = sum(1 for line in lines if line["engine"] == "ours" and line["error"] is None)
    figure = f"as they are, reference within {SURE_MM:g} mm: ours median {np.median(sure):.2f}, worst {sure.max():.1f} mm, n {len(sure)}; "
    figure += f"{lost} heads without reference"
    return Result(figure, met=bool(np.median(sure) <= SURE_MM), sample=depth != "full")


def failures_unflagged(depth: str) -> Result:
    """Ours over 5 mm, of what is in the picture, that nothing flags; beside it those over 5 mm by the whole box."""
    lines = [line for line in scored(depth) if line["engine"] == "ours" and line["error"] is not None]
    over = [line for line in lines if line["error"] > OVER_MM]
    unflagged = [line for line in over if not flags(depth)[line["case"]]]
    missed = [line for line in unflagged if line["inside"] is not None and line["inside"] > OVER_MM]
    figure = f"{len(missed)} of {len(over)} failures over {OVER_MM:g} mm unflagged, n {len(lines)}; by the whole box {len(unflagged)}"
    figure += f" (in view {max(line['inside'] or 0.0 for line in unflagged):.1f} mm at most)" if unflagged else ""
    return Result(figure, met=not missed, sample=depth != "full")


def flagged(depth: str) -> Result:
    """Real heads that registration, with the second engine, sends to a person: as they are and perturbed, right ones among them."""
    sent = flags(depth)
    right = {line["case"] for line in scored(depth) if line["engine"] == "ours" and line["error"] is not None and line["error"] <= OVER_MM}
    shares, words = [], []
    for word, plain in (("as they are", True), ("perturbed", False)):
        cases = [name for name in sent if name.endswith(":0") == plain]
        hit = [name for name in cases if sent[name]]
        shares.append(len(hit) / max(1, len(cases)))
        words.append(f"{word} {len(hit)} of {len(cases)} ({len(set(hit) & right)} of them within {OVER_MM:g} mm)")
    return Result(f"sent to a person: {'; '.join(words)}", met=shares[0] <= 0.10 and shares[1] <= 0.25, sample=depth != "full")


def cpu_seconds(depth: str) -> Result:
    """One thread, registration alone, heads of about 1 mm, each engine in the same run (the mask's time is another row's)."""
    fine = {name for name in SOURCES if (HEADS / f"{name}.nii.gz").exists() and max(head(name).zooms) < 1.3}
    lines = [line for line in scored(depth) if line["case"].partition(":")[0] in fine]
    words, ours = [], float("inf")
    for engine in ("ours", "ants", "simpleitk"):
        spent = [line["cpu_s"] for line in lines if line["engine"] == engine]
        if spent:
            words.append(f"{engine} {np.median(spent):.1f} (worst {max(spent):.1f})")
            ours = max(spent) if engine == "ours" else ours
    return Result(f"CPU-s, one thread: {', '.join(words)}", met=ours <= 4, sample=depth != "full")


if __name__ == "__main__":
    asked = sys.argv[1] if len(sys.argv) > 1 else "quick"
    for row in scored(asked):
        print(json.dumps(row))
    for measure in (displacement_as_they_are, displacement, failures_unflagged, flagged, cpu_seconds):
        print(measure(asked))
