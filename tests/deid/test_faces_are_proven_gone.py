"""What was done to a face is questioned, by another engine and on the surface; where an answer is in doubt, a person looks, and nothing passes by itself."""

from __future__ import annotations

import builtins
import json
import os
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from deid import facecommand, facefill, faces, facezones, flirt, headfit, proof, second
from deid.facepolicy import FacePolicy
from deid.faces import HeadImage
from deid.placing import Place
from spatial import affines, pyramid, register, templates, volumes
from spatial.errors import SpatialError
from spatial.register import Alignment
from spatial.resample import resample
from spatial.volumes import Volume

POSE = affines.translation((5, -7, 6)) @ affines.rotation((6, -4, 5)) @ affines.scaling((0.96, 1.02, 0.98))
TRUE = affines.inverse(POSE)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def seen(like: Volume, *, brain_only: bool = False) -> Volume:
    """The template head at a known pose on a grid, with a scanner's noise."""
    head = templates.head()
    source = Volume(np.where(head.brain, head.volume.data, 0), head.volume.affine) if brain_only else head.volume
    data = resample(source, like, TRUE).data
    random = np.random.default_rng(3)
    noisy = np.hypot(data + random.normal(0, 6, data.shape), random.normal(0, 6, data.shape))
    return Volume(np.where(data > 0, noisy, 0).astype(np.int16) if brain_only else noisy.astype(np.int16), like.affine)


def grid(shape: tuple[int, ...], zooms: float, middle: tuple[float, float, float] | None = None) -> Volume:
    """An empty grid of `shape` around a place of the template (voxels; default: its middle) where the pose puts it."""
    template = templates.head().volume
    at = affines.centre(template.shape, template.affine) if middle is None else affines.apply(template.affine, np.array([middle], dtype=float))[0]
    start = affines.apply(POSE, at[None])[0] - (np.array(shape) - 1) / 2 * zooms
    return Volume(np.broadcast_to(np.uint8(0), shape), affines.translation(start) @ affines.scaling(zooms))


@pytest.fixture(scope="module")
def head() -> Volume:
    return seen(grid((60, 69, 63), 4.0))


@pytest.fixture(scope="module")
def word(head: Volume) -> second.Opinion:
    return second.opinion(head, TRUE)


def placed(volume: Volume, matrix: affines.Matrix, spread: float = 1.0) -> Place:
    found = Alignment(matrix, 1.15, affines.scales(matrix), affines.angle_deg(matrix), 1.0, spread)
    return Place(matrix, headfit.measure(volume, matrix, found), "template", spread)


def cut(volume: Volume, matrix: affines.Matrix) -> tuple[np.ndarray, Volume]:
    """The zone through a matrix, and the volume without it."""
    zone = headfit.lookup(facezones.zone(), volume, matrix) > 0
    return zone, facefill.filled(volume, zone, "blank", 0)[0]


# --- the second engine -----------------------------------------------------------------------------------------------------------------------------


def test_two_engines_agree_on_a_head_and_the_second_alone_is_right_too(head: Volume, word: second.Opinion) -> None:
    assert word.agrees and word.asked == "alone" and word.engine.startswith("SimpleITK ")
    assert register.apart_mm(TRUE, word.matrix, templates.face_box()) < 2.5


def test_the_second_engine_is_not_talked_into_a_wrong_place(head: Volume) -> None:
    wrong = affines.translation((0, -20, 0)) @ TRUE
    told = second.opinion(head, wrong)
    assert not told.agrees and told.apart_mm > 10
    assert register.apart_mm(TRUE, told.matrix, templates.face_box()) < 4, "asked again from the wrong place, it still says the right one"


@pytest.mark.parametrize(("moved_mm", "doubts"), [(0, []), (10, ["engines_apart"]), (20, ["engines_apart", "second_frame_not_empty"])])
def test_a_zone_that_lies_wrong_is_doubted(head: Volume, word: second.Opinion, moved_mm: float, doubts: list[str]) -> None:
    matrix = affines.translation((0, -moved_mm, 0)) @ TRUE
    told = second.Opinion(word.matrix, register.apart_mm(matrix, word.matrix, templates.face_box()), "alone", word.engine)
    zone, done = cut(head, matrix)
    shown = proof.prove(HeadImage(head), placed(head, matrix), zone, done, "face", told, False, None)
    assert set(doubts) <= set(shown.doubts), shown
    assert bool(shown.doubts) is bool(doubts)
    assert json.dumps(shown.measures)


def test_without_the_second_engine_nothing_passes_that_asked_for_it(head: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "SimpleITK":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(proof, "opinions", lambda images, found: {"a": second.opinion(head, TRUE)})
    monkeypatch.setattr(faces, "places", lambda images, device, seed, backend: {"a": placed(head, TRUE)})
    assert not second.available()
    found = faces.deface_visit({"a": HeadImage(head)}, second_opinion=True)["a"]
    assert (found.verdict, found.code, found.volume) == ("withheld", "no_second_engine", None) and found.advice
    assert faces.deface_visit({"a": HeadImage(head, "bold", "func")})["a"].verdict == "defaced", "its twin did not ask"


# --- the other questions ---------------------------------------------------------------------------------------------------------------------------


def test_a_doubt_about_mm_keeps_the_zone_off_the_brain_where_no_skin_is_seen_and_waits_for_a_person_where_it_is(
    known: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faces, "places", lambda images, device, seed, backend: {"a": placed(known, TRUE, spread=8.0)})
    bold, t1 = (faces.deface_visit({"a": HeadImage(known, *kind)})["a"] for kind in (("bold", "func"), ("T1w", "anat")))
    assert bold.verdict == "defaced" and bold.measures["kept_from_brain_mm"] == 8.0 and bold.measures["brain_margin_mm"] >= 8.0
    assert t1.verdict == "review" and "place_uncertain" in t1.measures["review"] and t1.measures["kept_from_brain_mm"] is None
    assert bold.zone is not None and t1.zone is not None
    assert (t1.zone | bold.zone == t1.zone).all() and 0 < bold.zone.sum() < t1.zone.sum()


def test_an_alignment_that_did_not_come_back_is_looked_at_unless_the_second_engine_confirms_it(head: Volume, word: second.Opinion) -> None:
    place = placed(head, TRUE, spread=register.DOUBTFUL_MM + 1)
    assert proof.uncertain(place, None) and not proof.uncertain(place, word)
    assert proof.uncertain(place, second.Opinion(word.matrix, 1.0, "again", word.engine)), "what it says after a hint is no confirmation"
    assert not proof.uncertain(placed(head, TRUE, spread=1.0), None)


def slab(volume: Volume, x: int, z: int) -> Volume:
    """What lies to the right of one slice and above another."""
    return Volume(volume.data[x:, :, z:], volume.affine @ affines.translation((x, 0, z)))


# Share of the face in view, and of the corners of its box: all of both; 0.65 and a quarter; 0.17 and three eighths.
IN_PART = [(0, 0, 4.8, "again", False), (20, 8, 2.0, "alone", False), (20, 8, 4.8, "alone", True), (20, 8, 2.0, "again", True), (0, 28, 0.5, "alone", True)]


@pytest.mark.parametrize(("x", "z", "apart", "asked", "doubt"), IN_PART)
def test_where_little_of_a_face_is_in_view_agreement_says_little(
    head: Volume, word: second.Opinion, x: int, z: int, apart: float, asked: str, doubt: bool
) -> None:
    part = slab(head, x, z)
    zone, done = cut(part, TRUE)
    told = second.Opinion(word.matrix, apart, asked, word.engine)
    shown = proof.prove(HeadImage(part), placed(part, TRUE), zone, done, "face", told, False, 1.0)
    assert ("little_face_in_view" in shown.doubts) is doubt, shown.measures["face_in_view"]


def test_too_little_and_too_much_are_doubted(head: Volume) -> None:
    zone, done = cut(head, TRUE)
    right = proof.prove(HeadImage(head), placed(head, TRUE), zone, done, "face", None, False, None)
    half = zone & (np.arange(zone.shape[2]) < np.argwhere(zone)[:, 2].mean() - 6)
    little = proof.prove(HeadImage(head), placed(head, TRUE), half, done, "face", None, False, None)
    assert "odd_amount" not in right.doubts and "odd_amount" in little.doubts


def test_a_face_that_is_still_there_is_seen(head: Volume) -> None:
    zone, done = cut(head, TRUE)
    assert "face_still_seen" in proof.prove(HeadImage(head), placed(head, TRUE), zone, head, "face", None, False, None).doubts
    assert "face_still_seen" not in proof.prove(HeadImage(head), placed(head, TRUE), zone, done, "face", None, False, 1.0).doubts


def test_an_infant_is_looked_at_and_a_small_head_is_not(head: Volume) -> None:
    sizes = {"infant": 1.35, "child": 1.15, "adult": 1.0, "large adult": 0.85}
    odd = {name: proof.odd_size(placed(head, affines.scaling(size))) for name, size in sizes.items()}
    assert odd == {"infant": True, "child": False, "adult": False, "large adult": False}


# --- labels, fillings, orbits ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, head: Volume) -> Volume:
    """The head with its place known, so that no alignment is asked."""
    monkeypatch.setattr(faces, "places", lambda images, device, seed, backend: {name: placed(one.volume, TRUE) for name, one in images.items()})
    return head


def test_a_label_inside_the_zone_refuses_the_volume_and_is_named(known: Volume) -> None:
    zone, _ = cut(known, TRUE)
    labels = np.zeros(zone.shape, dtype=np.uint8)
    labels[tuple(np.argwhere(~zone)[0])] = 1
    assert faces.deface_visit({"a": HeadImage(known, "bold", "func")}, labels={"a": [labels]})["a"].verdict == "defaced"
    labels[tuple(np.argwhere(zone)[0])] = 7
    found = faces.deface_visit({"a": HeadImage(known, "bold", "func")}, labels={"a": [labels]})["a"]
    assert (found.verdict, found.code, found.measures["labels_in_zone"]) == ("withheld", "label_in_zone", [7])


def test_noise_takes_the_place_of_a_face_where_the_profile_asks_and_nothing_else_changes(known: Volume) -> None:
    plain, noisy, again = (faces.deface_visit({"a": HeadImage(known, "bold", "func")}, profile=p)["a"] for p in ("face", "face-noise", "face-noise"))
    assert plain.volume is not None and noisy.volume is not None and again.volume is not None and plain.zone is not None and noisy.zone is not None
    np.testing.assert_array_equal(plain.zone, noisy.zone)
    np.testing.assert_array_equal(noisy.volume.data, again.volume.data)
    np.testing.assert_array_equal(noisy.volume.data[~noisy.zone], known.data[~noisy.zone])
    put, air = noisy.volume.data[noisy.zone], known.data[:4]
    assert noisy.measures["fill"] == "noise" and noisy.measures["fill_value"]["largest"] == put.max()
    assert np.mean(put) == pytest.approx(np.mean(air), rel=0.15) and np.std(put) == pytest.approx(np.std(air), rel=0.2), "like the volume's own air"
    order = [np.corrcoef(put[:-lag], put[lag:])[0, 1] for lag in (1, 2, 5)]
    assert max(map(abs, order)) < 0.02, "no neighbour tells of another"
    assert plain.measures["fill"] == "blank" and not plain.volume.data[plain.zone].any()


@pytest.mark.parametrize(
    ("middle", "shape", "orbital"), [((88, 192, 97), (80, 36, 70), True), (None, (110, 120, 110), False), ((88, 90, 150), (80, 36, 70), False)]
)
def test_a_view_of_the_orbits_and_little_else_is_told_apart_by_geometry(middle: Any, shape: tuple[int, ...], orbital: bool) -> None:
    view = headfit.view(grid(shape, 2.0, middle), TRUE)
    assert view.orbital is orbital, view


def test_an_orbit_series_of_a_visit_is_never_cut(head: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    from deid import placing

    monkeypatch.setattr(placing, "_alone", lambda image, device, seed, backend: placed(image.volume, TRUE))
    monkeypatch.setattr(placing, "_beside", lambda *rest: None)  # a view this small is hard to align; its header is enough to tell it apart
    orbits = seen(grid((80, 36, 70), 2.0, (88, 192, 97)))
    found = faces.deface_visit({"t1": HeadImage(head, frame="1.2"), "orbits": HeadImage(orbits, "T2w", frame="1.2")})
    assert found["t1"].verdict == "defaced"
    assert (found["orbits"].verdict, found["orbits"].volume, found["orbits"].zone) == ("orbit_restricted", None, None)
    named = faces.deface_visit({"a": HeadImage(head, region="orbit")})["a"]
    assert (named.verdict, named.volume) == ("orbit_restricted", None)
    allowed = faces.deface_visit({"a": HeadImage(head, region="orbit")}, policy=FacePolicy("optic-nerve", orbits=True))["a"]
    assert (allowed.verdict, allowed.volume, allowed.measures["policy"]) == ("orbit_restricted", head, "optic-nerve"), "for two people to decide on"


def test_all_parts_of_an_mp2rage_and_a_phase_go_with_the_part_that_shows_a_head(head: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    from deid import placing

    monkeypatch.setattr(placing, "_alone", lambda image, device, seed, backend: placed(image.volume, TRUE))
    random = np.random.default_rng(0)
    air = head.data < 60
    ratio = Volume(np.where(air, random.integers(0, 4095, head.shape), head.data * 9).astype(np.int16), head.affine)
    angle = Volume(random.integers(-4096, 4095, head.shape).astype(np.int16), head.affine)
    images = {"inv": HeadImage(head, "MP2RAGE"), "uni": HeadImage(ratio, "UNIT1"), "t1": HeadImage(ratio, "T1map"), "angle": HeadImage(angle, "MP2RAGE")}
    found = faces.deface_visit(images)
    for name in ("uni", "t1", "angle"):
        assert (found[name].verdict, found[name].measures["aligned_to"], found[name].measures["reference"]) == ("defaced", "same_grid", "inv")
        np.testing.assert_array_equal(found[name].zone, found["inv"].zone)
    alone = {name: placed(one.volume, TRUE) for name, one in images.items()}
    alone["uni"] = Place(TRUE, alone["uni"].fit, "same_grid", 1.0, "inv", np.eye(4))
    told = second.Opinion(TRUE, 0.0, "alone", "x")
    word = proof.beside("uni", alone, {"inv": told})
    assert isinstance(word, second.Opinion) and word.asked == "reference" and word.apart_mm == 0
    assert proof.beside("uni", alone, {"inv": "second_engine_failed"}) == "second_engine_failed"


def test_a_view_far_from_any_face_is_passed_whole_by_geometry(head: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    from deid import placing

    monkeypatch.setattr(placing, "_alone", lambda image, device, seed, backend: placed(image.volume, TRUE) if image.volume is head else None)
    monkeypatch.setattr(placing, "_beside", lambda *rest: None)
    away, near = (seen(grid((20, 12, 10), 4.0, (88, 45, top))) for top in (184, 60))
    images = {"t1": HeadImage(head, frame="1.2"), "crown": HeadImage(away, "SWI", frame="1.2"), "low": HeadImage(near, "SWI", frame="1.2")}
    images |= {"later": HeadImage(away, "SWI", frame="1.3"), "untold": HeadImage(away, "SWI")}
    found = faces.deface_visit(images)
    assert found["later"].verdict == found["untold"].verdict == "withheld", "who got up in between lies elsewhere"
    assert (found["crown"].verdict, found["crown"].measures["aligned_to"]) == ("no_face", "header")
    np.testing.assert_array_equal(found["crown"].volume.data, away.data)
    assert (found["low"].verdict, found["low"].code) == ("withheld", "no_head_found"), "too near to be believed by its header alone"


# --- a brain alone ---------------------------------------------------------------------------------------------------------------------------------


def test_a_brain_without_its_head_is_found_and_said() -> None:
    brain = seen(grid((60, 69, 63), 4.0), brain_only=True)
    found = faces.deface_visit({"a": HeadImage(brain)})["a"]
    assert (found.verdict, found.code) == ("no_face", "brain_only"), found
    assert found.volume is not None
    np.testing.assert_array_equal(found.volume.data, brain.data)


# --- four axes, and the file ------------------------------------------------------------------------------------------------------------------------


def test_one_zone_for_all_frames_and_a_file_that_is_otherwise_the_same(known: Volume, tmp_path: Path) -> None:
    path, out = tmp_path / "in.nii.gz", tmp_path / "out.nii.gz"
    frames = np.stack([known.data, known.data // 2, known.data + 3], axis=-1).astype(np.int16)
    image = nib.Nifti1Image(frames, known.affine)
    image.header.set_slope_inter(2.5, -7)
    image.header.set_sform(known.affine, code=2)
    image.header.set_qform(known.affine, code=1)
    nib.save(image, path)
    assert facecommand.main([str(path), str(out), "--suffix", "bold", "--datatype", "func"]) == 0
    before, after = nib.load(path), nib.load(out)
    raw = [np.asanyarray(one.dataobj.get_unscaled()) for one in (before, after)]
    assert raw[0].dtype == raw[1].dtype and (after.dataobj.slope, after.dataobj.inter) == (before.dataobj.slope, before.dataobj.inter)
    for name in ("qform_code", "sform_code", "pixdim", "srow_x", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(before.header[name], after.header[name])
    changed = (raw[0] != raw[1]).any(axis=-1)
    zone, _ = cut(known, TRUE)
    assert changed.sum() > 0.9 * zone.sum() and not (changed & ~grown(zone)).any()
    assert len(np.unique(raw[1][changed])) == 1, "one zone and one value for all frames"


def grown(zone: np.ndarray) -> np.ndarray:
    """The zone and one voxel around: the file's affine is rounded to 32 bits."""
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(zone))


# --- pydeface and FSL --------------------------------------------------------------------------------------------------------------------------------


def test_without_fsl_the_backend_pydeface_is_a_stated_refusal(head: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FSLDIR", raising=False)
    assert not flirt.available()
    found = faces.deface_visit({"a": HeadImage(head)}, backend="pydeface")["a"]
    assert (found.verdict, found.code, found.volume) == ("withheld", "no_fsl", None) and "FSL" in found.reason


FAKE = """#!{python}
import sys, numpy, nibabel
assert "nipype" not in sys.modules
words = dict(zip(sys.argv[1:], sys.argv[2:]))
if "-applyxfm" in sys.argv:
    like = nibabel.load(words["-ref"])
    nibabel.save(nibabel.Nifti1Image(numpy.ones(like.shape, dtype="f4"), like.affine), words["-out"])
numpy.savetxt(words["-omat"], numpy.array({matrix}))
"""


def test_the_plumbing_to_pydeface_carries_a_matrix_into_the_same_proof(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for flirt says where the template's own picture, made coarser, lies: on itself. FLIRT itself was never run here."""
    template = templates.head().volume
    small = pyramid.shrink(template, 6.0)
    true = affines.inverse(flirt._world(small)) @ flirt._world(template)
    program = tmp_path / "fsl" / "bin" / "flirt"
    program.parent.mkdir(parents=True)
    program.write_text(FAKE.format(python=sys.executable, matrix=true.tolist()))
    program.chmod(0o755)
    monkeypatch.setenv("FSLDIR", str(program.parent.parent))
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    np.testing.assert_allclose(flirt.place(small), np.eye(4), atol=1e-4)
    monkeypatch.setattr(flirt, "CALL", "raise SystemExit(1)")
    with pytest.raises(SpatialError) as refused:
        flirt.place(small)
    assert refused.value.code == "fsl_failed"
    found = faces.deface_visit({"a": HeadImage(small)}, backend="pydeface")["a"]
    assert (found.verdict, found.code, found.volume) == ("withheld", "fsl_failed", None)


def test_fsl_counts_x_from_the_other_side_where_axes_are_right_handed() -> None:
    right = Volume(np.zeros((11, 12, 13), dtype=np.int16), affines.scaling((2, 3, 4)))
    left = Volume(right.data, affines.scaling((-2, 3, 4)))
    for volume in (right, left):
        corner = affines.apply(flirt._world(volume), np.zeros((1, 3)))[0]
        first = affines.apply(volume.affine, np.array([[10, 0, 0] if volume is right else [0, 0, 0]]))[0]
        np.testing.assert_allclose(corner, first)


# --- the command -----------------------------------------------------------------------------------------------------------------------------------


def test_the_command_writes_nothing_that_a_person_has_to_see_first(known: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "places", lambda images, device, seed, backend: {"image": placed(known, TRUE, spread=30.0)})
    volumes.save(known, tmp_path / "in.nii.gz")
    words = [str(tmp_path / "in.nii.gz"), str(tmp_path / "out.nii.gz"), "--report", str(tmp_path / "r.json"), "--render", str(tmp_path / "r.png")]
    assert facecommand.main([*words, "--no-second-opinion"]) == facecommand.REVIEW and not (tmp_path / "out.nii.gz").exists()
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["verdict"], report["review"]) == ("review", ["place_uncertain"]) and report["advice"]
    for name in (
        "affine",
        "template_sha256",
        "zones_sha256",
        "scale",
        "rotation_deg",
        "nmi",
        "overlap",
        "brain_margin_mm",
        "tissue_removed_ml",
        "labels_in_zone",
    ):
        assert name in report["measures"], name
    assert str(tmp_path) not in json.dumps(report)
    assert (tmp_path / "r.png").read_bytes()[:4] == b"\x89PNG"
    assert facecommand.main([*words[:2], "--suffix", "bold", "--datatype", "func", "--reviewed", "--fill", "noise"]) == 0
    done = volumes.load(tmp_path / "out.nii.gz")
    assert done.data[cut(known, TRUE)[0]].any(), "noise, as asked"


def test_colours_are_withheld_with_a_reason(tmp_path: Path) -> None:
    colours = np.zeros((16, 16, 16), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "rgb.nii.gz")
    assert facecommand.main([str(tmp_path / "rgb.nii.gz"), str(tmp_path / "out.nii.gz"), "--report", str(tmp_path / "r.json")]) == 1
    assert json.loads((tmp_path / "r.json").read_text())["code"] == "unsupported_values"
    assert not (tmp_path / "out.nii.gz").exists()


@pytest.mark.parametrize(("spacing", "code"), [(0.0, "bad_spacing"), (float("nan"), "singular_affine")])
def test_spacing_that_is_no_length_is_withheld(tmp_path: Path, spacing: float, code: str) -> None:
    affine = np.diag([spacing, 1.0, 1.0, 1.0])
    image = nib.Nifti1Image(np.arange(4096, dtype=np.int16).reshape(16, 16, 16), np.eye(4))
    image.header.set_sform(affine, code=1)
    image.header.set_qform(None, code=0)
    image.header["srow_x"] = affine[0]
    raw = nib.Nifti1Image(np.asanyarray(image.dataobj), None, header=image.header)
    nib.save(raw, tmp_path / "in.nii")
    with (tmp_path / "in.nii").open("r+b") as opened:
        opened.seek(280)
        opened.write(np.asarray(affine[:3], dtype="<f4").tobytes())
    assert facecommand.main([str(tmp_path / "in.nii"), str(tmp_path / "out.nii.gz"), "--report", str(tmp_path / "r.json")]) == 1
    assert json.loads((tmp_path / "r.json").read_text())["code"] in (code, "bad_spacing", "singular_affine", "no_orientation")
