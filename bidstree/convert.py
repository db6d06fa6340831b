"""One series becomes NIfTI with evidence: dcm2niix converts, our own plane geometry and the second converter must agree with it.

Agreement, defined here and in docs/reference/bids.md: (1) every frame's corner pixels, placed by the DICOM plane attributes, fall on voxel centres of the
image within 1 % of a voxel, and the frames of an image cover all of its slices equally often; (2) the stored values of sampled frames equal the image's
values under them, up to one positive linear scaling; (3) dicom2nifti's image has the same corners (0.5 mm) and values (correlation 0.99).
(1) and (2) together are a full independent witness, so a dissent of dicom2nifti (which mirrors some mosaics) is settled by them and recorded;
where they are not available and dicom2nifti dissents, the verdict is `disagreed` and nobody downstream may pass the image without a person.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bidstree import completeness, geometry, second, settings, witness
from bidstree import frames as reading
from bidstree.errors import BidsError
from bidstree.frames import Series
from bidstree.geometry import Frame
from bidstree.witness import Evidence, sidecar_of

WALL_S = 600.0
# -b y sidecar; -ba y no dates nor names in it; -g i no defaults file of this machine; -w 1 overwrite; -z n plain NIfTI (we compress ourselves);
# -m 2 merge 2D slices of one series as dcm2niix thinks best; -l o keep stored integers; -p y Philips precise scaling; -i n keep derived and 2D.
OPTIONS = ("-b", "y", "-ba", "y", "-g", "i", "-w", "2", "-z", "n", "-m", "2", "-l", "o", "-p", "y", "-i", "n", "-d", "0", "-f", "image")


@dataclass(frozen=True)
class Converted:
    """One image of a series. `nifti` is uncompressed, axes as dcm2niix chose; `sidecar` as it wrote it (seconds), for classification, not for sharing.

    `measures` (JSON): shape, volumes, geometry (agrees/contradicts/unavailable), residual_voxel, values, order, second (opinion), verdict.
    `files`: the DICOM files whose frames are in it.
    """

    nifti: Path
    sidecar: dict[str, Any]
    bval: Path | None
    bvec: Path | None
    measures: dict[str, Any]
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Conversion:
    """`verdict`: agreed, one_only, disagreed, or refused (then `images` is empty and `code`, `reason`, `advice` say why)."""

    verdict: str
    code: str
    reason: str
    images: list[Converted] = field(default_factory=list)
    advice: str = ""
    unused: tuple[Path, ...] = ()  # files of the folder that are in no image (not DICOM, or no pixels)


def series(folder: Path, out: Path, *, ask_second: bool = True, wall_s: float = WALL_S) -> Conversion:
    """Convert the one DICOM series whose files lie directly in `folder`; images appear in `out` (made if missing, must be ours alone).

    Input is de-identified already, and this call belongs in an isolated child: it parses what strangers wrote. Never raises for what the files hold.
    `ask_second=False` leaves dicom2nifti out (a quick preview); `wall_s` limits dcm2niix and the second opinion each.
    """
    out.mkdir(parents=True, exist_ok=True)
    read = reading.read(folder)
    parts, why = settings.split(read)
    if len(parts) == 1:
        return _alone(folder, read, out, ask_second, wall_s)
    return _apart_by_setting(folder, read, parts, why, out, ask_second, wall_s)


def _apart_by_setting(folder: Path, read: Series, parts: list[Series], why: str, out: Path, ask_second: bool, wall_s: float) -> Conversion:
    """Each part of a series of several settings as a series of its own: all of them, or none."""
    unreadable = tuple(read.unreadable)
    wholes = [completeness.check(part) for part in parts]
    # Parts that are whole in themselves are images each; where they are not, what is wrong with the series itself is the better word, if anything is.
    broken = next((one for one in wholes if one.code != "ok"), None)
    if broken is not None or not parts:
        whole = completeness.check(read)
        if whole.code == "ok":
            reason = f"Images of more than one {why} are in one series, and do not make whole volumes of their own."
            whole = completeness.Completeness("mixed_contrast", reason, "Hand in each as a series of its own.")
        return Conversion("refused", whole.code, whole.reason, advice=whole.advice, unused=unreadable)
    done = [_alone(folder, part, out / f"part{n}", ask_second, wall_s) for n, part in enumerate(parts, 1)]
    worst = next(one for name in ("refused", "disagreed", "one_only", "agreed") for one in done if one.verdict == name)
    if worst.verdict == "refused":
        return Conversion("refused", worst.code, worst.reason, advice=worst.advice, unused=unreadable)
    images = [replace(image, measures={**image.measures, "split_by": why}) for one in done for image in one.images]
    return Conversion(
        worst.verdict, worst.code, worst.reason, images, worst.advice, tuple(sorted({*unreadable, *(path for one in done for path in one.unused)}))
    )


def _alone(folder: Path, read: Series, out: Path, ask_second: bool, wall_s: float) -> Conversion:
    """Convert files of one setting."""
    out.mkdir(parents=True, exist_ok=True)
    whole = completeness.check(read)
    if whole.code != "ok":
        return Conversion("refused", whole.code, whole.reason, advice=whole.advice, unused=tuple(read.unreadable))
    with tempfile.TemporaryDirectory(dir=out, prefix=".converting-") as scratch:
        source = _stage(folder, {frame.file for frame in read.frames}, Path(scratch))
        written, trouble = _dcm2niix(source, Path(scratch) / "first", wall_s)
        if trouble:
            return Conversion("refused", trouble[0], trouble[1], advice=trouble[2], unused=tuple(read.unreadable))
        pixels = geometry.Pixels()
        found = _apart([witness.weigh(nifti, read.frames, pixels) for nifti in written], read.frames)
        opinion = _second(source, Path(scratch), found, wall_s) if ask_second else second.Opinion("not_asked")
        images = [_keep(evidence, opinion if n == _closest(found, opinion) else None, opinion.said, out, n) for n, evidence in enumerate(found)]
    return _verdict(images, read, witness.lost(found, read.frames))


def _stage(folder: Path, files: set[Path], scratch: Path) -> Path:
    """The folder itself when it holds nothing but the series, else a folder with links to the series' files: converters read whatever lies about."""
    if set(folder.iterdir()) == files:
        return folder
    staged = scratch / "staged"
    staged.mkdir()
    for n, path in enumerate(sorted(files), start=1):
        target = staged / f"{n:06d}.dcm"
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
    return staged


def _binary() -> str:
    """The dcm2niix of the wheel, found without running its wrapper."""
    spec = importlib.util.find_spec("dcm2niix")
    if spec is None or spec.origin is None:
        raise BidsError("converter_missing", "dcm2niix is not installed.", "Install the pinned requirements.")
    return str(Path(spec.origin).parent / "dcm2niix")


def _dcm2niix(folder: Path, out: Path, wall_s: float) -> tuple[list[Path], tuple[str, str, str] | None]:
    """NIfTI files that dcm2niix wrote, or (code, reason, advice)."""
    out.mkdir()
    try:
        done = subprocess.run([_binary(), *OPTIONS, "-o", str(out), str(folder)], capture_output=True, timeout=wall_s, check=False)
    except subprocess.TimeoutExpired:
        return [], ("converter_timeout", "The converter did not finish in time.", "Hand in the series alone, or ask the registry's people.")
    # "_Eq" images are resampled to equal distances: interpolation is never an original. Completeness should have refused such input before.
    written = sorted(path for path in out.glob("*.nii") if "_Eq" not in path.stem)
    if not written:
        advice = "If it is compressed, hand in the uncompressed series."
        return [], ("converter_no_image", f"The converter made no image (exit status {done.returncode}).", advice)
    return written, None


def _apart(found: list[Evidence], frames: Sequence[Frame]) -> list[Evidence]:
    """Where dcm2niix wrote one image twice, with and without volumes that the scanner computed (Philips trace or ADC), keep those volumes alone."""
    result: list[Evidence] = []
    for whole in found:
        part = next((one for one in found if one is not whole and witness.inside(one, whole)), None)
        if part is None:
            result.append(whole)
            continue
        extra = witness.without(whole, part)
        if extra is not None:
            result.append(witness.weigh(extra, frames))
    return result


def _second(source: Path, scratch: Path, found: list[Evidence], wall_s: float) -> second.Opinion:
    target = scratch / "second.nii"
    said = second.ask(source, target, wall_s=min(wall_s, second.WALL_S))
    if said != "image":
        return second.Opinion(said)
    try:
        opinions = [second.compare(evidence.nifti, target) for evidence in found]
    except Exception:  # noqa: BLE001  a file that cannot be compared is no witness
        return second.Opinion("crashed")
    order = ("agrees", "scale_only", "geometry_differs", "values_differ", "shape_differs")
    return min(opinions, key=lambda opinion: order.index(opinion.said))


def _closest(found: list[Evidence], opinion: second.Opinion) -> int:
    """The image the second opinion speaks of: it makes one image of a series, dcm2niix perhaps several."""
    return 0 if opinion.said != "not_asked" and len(found) == 1 else -1


def _keep(evidence: Evidence, opinion: second.Opinion | None, said: str, out: Path, n: int) -> Converted:
    """Move one image out of the scratch folder and write down what is known about it."""
    stem = out / f"{n + 1:02d}"
    sidecar = sidecar_of(evidence.nifti)
    moved = {suffix: _move(evidence.nifti.with_suffix(suffix), stem.with_suffix(suffix)) for suffix in (".nii", ".bval", ".bvec")}
    measures: dict[str, Any] = {
        "shape": list(evidence.shape),
        "volumes": evidence.shape[3] if len(evidence.shape) > 3 else 1,
        "geometry": evidence.geometry,
        "residual_voxel": round(evidence.residual, 5),
        "values": evidence.values,
        "order": evidence.order,
        "second": said,
    }
    if opinion is not None and opinion.corner_mm is not None:
        measures |= {"second_corner_mm": round(opinion.corner_mm, 4), "second_correlation": round(opinion.correlation or 0.0, 6)}
        measures |= {"second_scale": opinion.scale, "second_flipped": opinion.axes_flipped}
    measures["verdict"] = judge(evidence, said, alone=opinion is not None)
    nifti = moved[".nii"]
    assert nifti is not None
    if towards := _towards(nifti, sidecar):
        measures["phase_encoding"] = towards
    files = tuple(sorted({placing.frame.file for placing in evidence.placings}, key=str))
    return Converted(nifti, sidecar, moved[".bval"], moved[".bvec"], measures, files)


def _towards(nifti: Path, sidecar: dict[str, Any]) -> str:
    """From where to where phase encoding runs in the body (`AP`, `PA`, ...), by the sidecar's axis and the image's affine; empty where it is not told.

    BIDS counts along the image's axis; dcm2niix and every user of `dir-AP` mean the direction from anterior to posterior.
    """
    import nibabel as nib

    axis = str(sidecar.get("PhaseEncodingDirection", ""))
    if axis[:1] not in ("i", "j", "k"):
        return ""
    end = str(nib.orientations.aff2axcodes(nib.load(nifti).affine)["ijk".index(axis[0])])
    start = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}[end]
    return f"{end}{start}" if axis.endswith("-") else f"{start}{end}"


def _move(source: Path, target: Path) -> Path | None:
    return source.replace(target) if source.exists() else None


def judge(evidence: Evidence, said: str, *, alone: bool) -> str:
    """The verdict on one image (agreed, one_only, disagreed), by the definition of the module's docstring; `alone`: `said` speaks of this very image."""
    if evidence.geometry == "contradicts" or evidence.values == "differ":
        return "disagreed"
    witnessed = evidence.geometry == "agrees" and evidence.values == "equal"
    if witnessed or (alone and said in {"agrees", "scale_only"}):
        return "agreed"
    if said in {"geometry_differs", "values_differ", "shape_differs"}:
        return "disagreed"
    return "one_only"


def _verdict(images: list[Converted], read: Series, lost: int) -> Conversion:
    verdicts = {image.measures["verdict"] for image in images} | ({"disagreed"} if lost else set())
    everything = tuple(sorted({frame.file for frame in read.frames}, key=str))
    # Where geometry could not place the frames, all files of the series are behind every image.
    images = [image if image.files else Converted(image.nifti, image.sidecar, image.bval, image.bvec, image.measures, everything) for image in images]
    unused = tuple(sorted([*read.unreadable, *(set(everything) - {path for image in images for path in image.files})], key=str))
    if lost:
        reason = f"{lost} of the {len(read.frames)} slices of the series are in none of its converted images."
        return Conversion("disagreed", "slices_lost", reason, images, "A person must compare the images.", unused)
    for verdict, code, reason, advice in (
        ("disagreed", "converters_disagree", "Two conversions of the series differ, and its headers do not settle it.", "A person must compare the images."),
        ("one_only", "ok", "", ""),
        ("agreed", "ok", "", ""),
    ):
        if verdict in verdicts:
            return Conversion(verdict, code, reason, images, advice, unused)
    return Conversion("refused", "converter_no_image", "The converter made no image.", advice="Hand in the series again.", unused=unused)
