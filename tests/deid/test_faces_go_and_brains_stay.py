"""A visit of a person who never existed: every contrast loses its face, no voxel of a brain changes, and what is no head does not pass."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from deid import facepolicy, faces, facezones, headfit, second, surface
from deid.faces import HeadImage
from deid.placing import Place
from spatial import affines, templates, volumes
from spatial.resample import resample
from spatial.volumes import Volume

POSE = affines.translation((6, -9, 8)) @ affines.rotation((9, -5, 7)) @ affines.scaling((0.95, 1.03, 0.98))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def posed(zooms: tuple[float, float, float], *, pose: affines.Matrix = POSE, seed: int = 0) -> Volume:
    """The template head as seen by another scanner, with noise, as int16 (T1-weighted)."""
    head = templates.head()
    shape = [round(240 / z) for z in zooms]
    middle = affines.apply(pose, affines.centre(head.volume.shape, head.volume.affine)[None])[0]
    grid = affines.translation(middle - 120) @ affines.scaling(zooms)
    data = resample(head.volume, Volume(np.zeros(shape, dtype=np.uint8), grid), affines.inverse(pose)).data
    random = np.random.default_rng(seed)
    noisy = np.hypot(data + random.normal(0, 6, shape), random.normal(0, 6, shape))
    return Volume(noisy.astype(np.int16), grid)


def inverted(volume: Volume) -> Volume:
    """Bright fluid, dark white matter: a T2-weighted look."""
    data = volume.data
    return Volume(np.where(data > 50, np.clip(520 - data, 40, None), data).astype(np.int16), volume.affine)


def directions(volume: Volume) -> Volume:
    """Seven volumes, six of them darker."""
    parts = [volume.data // (1 if t == 0 else 3) for t in range(7)]
    return Volume(np.stack(parts, axis=-1), volume.affine)


@dataclass(frozen=True)
class Visit:
    images: dict[str, HeadImage]
    results: dict[str, faces.Defaced]


@pytest.fixture(scope="module")
def visit() -> Visit:
    images = {
        "t1": HeadImage(posed((2, 2, 2)), "T1w", "anat"),
        "t2": HeadImage(inverted(posed((2, 2, 4), seed=1)), "T2w", "anat"),
        "flair": HeadImage(inverted(posed((4, 2, 2), seed=2)), "FLAIR", "anat"),
        "dwi": HeadImage(directions(posed((3, 3, 5), seed=3)), "dwi", "dwi"),
    }
    return Visit(images, faces.deface_visit(images))


NAMES = ("t1", "t2", "flair", "dwi")


def bits(name: str, mask: np.ndarray, visit: Visit) -> np.ndarray:
    """A template mask where it truly lies in an image of the visit: the pose is known, no alignment is asked."""
    template = templates.head().volume
    return headfit.lookup(Volume(mask.astype(np.uint8), template.affine), visit.images[name].volume, affines.inverse(POSE)) > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_contrast_is_defaced_with_a_reason(visit: Visit, name: str) -> None:
    found = visit.results[name]
    assert (found.verdict, found.code) == ("defaced", "ok"), found
    assert found.reason and found.advice and json.dumps(found.measures)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("landmark", facezones.LANDMARKS)
def test_every_feature_is_gone_where_it_truly_was(visit: Visit, name: str, landmark: str) -> None:
    template = templates.head().volume
    place = affines.apply(POSE @ template.affine, np.array([facezones.LANDMARKS[landmark]], dtype=float))
    volume = visit.images[name].volume
    i, j, k = np.rint(affines.apply(affines.inverse(volume.affine), place))[0].astype(int)
    done = visit.results[name].volume
    assert done is not None and not np.any(done.data[i, j, k])
    assert np.any(volume.data[i, j, k]), "it was there before"


@pytest.mark.parametrize("name", NAMES)
def test_no_voxel_of_the_true_brain_changes_and_none_outside_the_zone(visit: Visit, name: str) -> None:
    before, found = visit.images[name].volume, visit.results[name]
    assert found.volume is not None and found.zone is not None
    brain = bits(name, templates.head().brain, visit)
    assert brain.any() and not (brain & found.zone).any()
    np.testing.assert_array_equal(found.volume.data[~found.zone], before.data[~found.zone])
    assert not found.volume.data[found.zone].any()
    assert found.volume.data.dtype == before.data.dtype
    np.testing.assert_array_equal(found.volume.affine, before.affine)
    assert found.measures["brain_voxels_changed"] == 0 and found.measures["brain_margin_mm"] >= 3


def test_the_same_visit_gives_the_same_voxels(visit: Visit) -> None:
    again = faces.deface_visit({"t1": visit.images["t1"]})["t1"]
    assert again.zone is not None
    np.testing.assert_array_equal(again.zone, visit.results["t1"].zone)


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 2, 0)])
def test_the_order_of_the_axes_does_not_matter(visit: Visit, order: tuple[int, int, int]) -> None:
    volume = visit.images["t1"].volume
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for new, old in enumerate(order):
        step[old, new] = -1
        step[old, 3] = volume.shape[old] - 1
    turned = Volume(np.ascontiguousarray(volume.data.transpose(order)[::-1, ::-1, ::-1]), volume.affine @ step)
    found = faces.deface_visit({"a": HeadImage(turned)})["a"]
    assert found.zone is not None
    back = resample(Volume(found.zone.astype(np.uint8), turned.affine), volume, order="nearest").data > 0
    head = bits("t1", templates.head().head, visit)
    assert ((back != visit.results["t1"].zone) & head).sum() < 0.01 * head.sum()


def test_a_head_defaced_before_is_said_to_be_and_what_is_left_goes(visit: Visit) -> None:
    volume = visit.images["t1"].volume
    gone = bits("t1", templates.head().face, visit)
    data = volume.data.copy()
    data[gone] = 0
    found = faces.deface_visit({"a": HeadImage(Volume(data, volume.affine))})["a"]
    assert (found.verdict, found.code) == ("defaced", "already_defaced")
    assert found.measures["tissue_removed_ml"] > 10, "brow and ears were still there"


def test_a_face_taken_out_before_a_noisy_copy_was_made_is_known_by_the_second_engine_too(visit: Visit) -> None:
    """The blanked face is noise by now, so no single value is left to know it by. A face that is there, as noisy, is not said to have been taken before."""
    volume = visit.images["t1"].volume
    random = np.random.default_rng(5)
    sigma = 0.12 * float(np.percentile(volume.data, 95))
    found = {}
    for name, gone in (("bare", bits("t1", templates.head().face, visit)), ("whole", np.zeros(volume.shape, dtype=bool))):
        blanked = np.where(gone, 0.0, volume.data)
        noisy = np.hypot(blanked + random.normal(0, sigma, volume.shape), random.normal(0, sigma, volume.shape)).astype(np.float32)
        found[name] = faces.deface_visit({"a": HeadImage(Volume(noisy, volume.affine))}, second_opinion=True)["a"]
    assert (found["bare"].verdict, found["bare"].code) == ("defaced", "already_defaced"), found["bare"].measures
    assert found["bare"].measures["face_empty_before"] > faces.ALREADY_EMPTY > found["whole"].measures["face_empty_before"]
    assert (found["whole"].verdict, found["whole"].code) == ("defaced", "ok"), found["whole"].measures


def test_a_place_in_the_air_is_no_proof_that_a_face_was_taken_before() -> None:
    head, true = posed((2, 2, 2)), affines.inverse(POSE)
    volume = Volume(np.pad(head.data, ((0, 0), (0, 40), (0, 0))), head.affine)
    wrong = affines.translation((0, -60, 0)) @ true  # the face is sought in the air before the real one
    place = Place(wrong, headfit.Fit((1, 1, 1), 0, 1.1, 1, 1, 1, 1200), "template", 0.5)
    empty = headfit.empty_share(volume, wrong)
    assert empty is not None and empty > faces.ALREADY_EMPTY
    assert not faces._gone_before(volume, place, empty, second.Opinion(true, 60.0, "alone", "SimpleITK"))
    assert not faces._gone_before(volume, place, empty, second.Opinion(wrong, 0.0, "hinted", "SimpleITK")), "it had no place of its own"
    zeroed = Volume(np.where(volume.data < 60, 0, volume.data), volume.affine)
    assert not faces._gone_before(zeroed, place, empty, None), "all air holds the lowest value, so the face's air tells nothing"
    assert faces._gone_before(volume, place, empty, second.Opinion(wrong, 0.0, "alone", "SimpleITK")), "both wrong alike: what the other checks are for"


def block(kind: str) -> Volume:
    """What is no head."""
    place = np.stack(np.indices((60, 60, 60)), axis=-1) - 30
    noise = np.random.default_rng(0).normal(20, 4, (60, 60, 60))
    shapes = {
        "ball": (place**2).sum(axis=-1) < 24**2,
        "bottle": ((place[..., :2] ** 2).sum(axis=-1) < 15**2) & (abs(place[..., 2]) < 25),
        "two rods": ((place[..., :2] - 12) ** 2).sum(axis=-1) < 50,
        "noise": np.zeros((60, 60, 60), dtype=bool),
    }
    return Volume((np.abs(noise) + 500 * shapes[kind]).astype(np.int16), affines.translation((-110, -110, -110)) @ affines.scaling(3.5))


@pytest.mark.parametrize("kind", ["ball", "bottle", "two rods", "noise"])
def test_what_is_no_head_is_withheld(kind: str) -> None:
    found = faces.deface_visit({"a": HeadImage(block(kind))})["a"]
    assert (found.verdict, found.code, found.volume) == ("withheld", "no_head_found", None)


EARLY = {
    "all zeros": (np.zeros((20, 20, 20), dtype=np.int16), "empty_volume"),
    "one slice": (np.arange(400, dtype=np.int16).reshape(20, 20, 1), "too_few_slices"),
    "NaN": (np.full((20, 20, 20), np.nan, dtype=np.float32), "bad_values"),
}


@pytest.mark.parametrize("case", EARLY)
def test_bad_input_has_a_stated_verdict_and_does_not_stop_the_visit(visit: Visit, case: str) -> None:
    data, code = EARLY[case]
    found = faces.deface_visit({"bad": HeadImage(Volume(data, affines.scaling(4))), "t1": visit.images["t1"]})
    assert (found["bad"].verdict, found["bad"].code, found["bad"].volume) == ("withheld", code, None)
    assert found["t1"].verdict == "defaced"


def test_the_top_of_a_head_has_no_face_and_stays_whole(visit: Visit) -> None:
    volume = visit.images["t1"].volume
    crown = Volume(volume.data[:, :, 98:], volume.affine @ affines.translation((0, 0, 98)))
    found = faces.deface_visit({"whole": visit.images["t1"], "crown": HeadImage(crown, "T2w")})["crown"]
    if found.verdict == "no_face":
        np.testing.assert_array_equal(found.volume.data, crown.data)
    else:
        assert found.verdict == "withheld", "a slab without a face is passed whole or held back, never cut"


def test_a_policy_may_exempt_what_it_names_and_nothing_else(visit: Visit) -> None:
    ball = block("ball")
    images = {"b": HeadImage(ball, "bold", "func"), "flat": HeadImage(Volume(ball.data[..., :3], ball.affine), "bold", "func")}
    found = faces.deface_visit(images, policy=facepolicy.parse({"name": "trial-7", "exempt": ["bold"]}))
    assert (found["b"].verdict, found["b"].code, found["b"].measures["policy"]) == ("exempt", "exempt_by_policy", "trial-7")
    assert found["flat"].verdict == "withheld", "too few slices are no reason"
    lost, policy, head = faces.withheld("no_head_found"), facepolicy.parse({"name": "trial-7", "exempt": ["bold"]}), visit.images["t1"].volume
    assert faces._exempted(lost, HeadImage(ball, "bold", "func"), policy).verdict == "exempt"
    held = [HeadImage(ball, "T1w"), HeadImage(ball, "bold", "anat"), HeadImage(ball, "bold", "func", claimed=True), HeadImage(head, "bold", "func")]
    assert [faces._exempted(lost, one, policy).verdict for one in held] == ["withheld"] * 4, "a face is seen in the last of them"
    assert faces._exempted(lost, HeadImage(ball, "bold", "func"), facepolicy.FacePolicy()) == lost, "by default nothing is exempt"


def test_a_label_in_the_zone_is_named(visit: Visit) -> None:
    zone = visit.results["t1"].zone
    assert zone is not None
    labels = np.zeros(zone.shape, dtype=np.uint8)
    labels[tuple(np.argwhere(~zone)[0])] = 5
    assert faces.labels_in_zone(zone, labels) == []
    labels[tuple(np.argwhere(zone)[0])] = 3
    assert faces.labels_in_zone(zone, labels) == [3]


def test_the_zones_are_those_the_rules_draw_and_stay_away_from_the_brain() -> None:
    assert (facezones.build() != volumes.load(facezones.DATA).data).mean() < 1e-4, "python -m deid.facezones"
    margins = {profile: facezones.margin_mm(profile) for profile in facezones.BITS}
    assert margins["pydeface"] == pytest.approx(11.8, abs=0.1)
    assert min(margins.values()) >= facezones.MARGIN_MM
    sizes = [int(facezones.zone(p).data.sum()) for p in ("pydeface", "face", "face-eyes-ears")]
    assert sizes == sorted(sizes)


def test_the_surface_check_sees_a_zone_that_lies_too_far_forward(visit: Visit) -> None:
    volume = visit.images["t1"].volume
    shares = {}
    for forward in (0, 20):
        zone = headfit.lookup(facezones.zone(), volume, affines.translation((0, -forward, 0)) @ affines.inverse(POSE)) > 0
        data = volume.data.copy()
        data[zone] = 0
        shares[forward] = surface.moved_share(volume, Volume(data, volume.affine))
    assert surface.moved_share(volume, volume) == 0
    assert shares[0] is not None and shares[20] is not None and shares[0] > 0.9 and shares[20] < shares[0] - 0.05


@pytest.mark.parametrize("wrong", [affines.translation((0, 0, 60)), affines.rotation((60, 0, 0)), affines.scaling(0.6), affines.scaling((1.3, 1, 1))])
def test_the_outline_check_sees_a_gross_misfit(visit: Visit, wrong: affines.Matrix) -> None:
    from spatial.register import Alignment

    volume = visit.images["t1"].volume
    for matrix, right in ((affines.inverse(POSE), True), (wrong @ affines.inverse(POSE), False)):
        found = Alignment(matrix, 1.15, affines.scales(matrix), affines.angle_deg(matrix), 1.0)
        assert headfit.measure(volume, matrix, found).plausible is right


def test_a_picture_is_a_png_that_changes_with_the_face(visit: Visit) -> None:
    done = visit.results["t1"].volume
    assert done is not None
    before, after = faces.render(visit.images["t1"].volume), faces.render(done)
    assert before[:8] == after[:8] == b"\x89PNG\r\n\x1a\n" and before != after


def test_the_command_writes_a_defaced_file_and_a_report_or_nothing(visit: Visit, tmp_path: Path) -> None:
    volumes.save(visit.images["t1"].volume, tmp_path / "in.nii.gz")
    assert faces.main([str(tmp_path / "in.nii.gz"), str(tmp_path / "out.nii.gz"), "--report", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["verdict"] == "defaced"
    # The file's affine is rounded to 32 bits, so that the zone may end a voxel earlier or later here and there.
    done, known = volumes.load(tmp_path / "out.nii.gz").data, visit.results["t1"].volume
    assert known is not None and (done != known.data).mean() < 1e-4
    volumes.save(block("ball"), tmp_path / "ball.nii.gz")
    assert faces.main([str(tmp_path / "ball.nii.gz"), str(tmp_path / "no.nii.gz")]) == 1
    assert not (tmp_path / "no.nii.gz").exists()


def test_the_command_keeps_to_a_policy_that_is_one(tmp_path: Path) -> None:
    volumes.save(block("ball"), tmp_path / "in.nii.gz")
    words = [str(tmp_path / "in.nii.gz"), str(tmp_path / "out.nii.gz"), "--suffix", "bold", "--datatype", "func", "--report", str(tmp_path / "r.json")]
    cases: list[tuple[Any, str]] = [
        ({"name": "trial-7", "exempt": ["T1w"]}, "bad_face_policy"),
        ({"exempt": ["bold"]}, "bad_face_policy"),
        ([], "bad_face_policy"),
        ({"name": "trial-7", "orbits": "restricted"}, "orbits_need_stewards"),
        ({"name": "trial-7", "exempt": ["dwi"]}, "no_head_found"),
        ({"name": "trial-7", "exempt": ["bold"]}, "exempt_by_policy"),
    ]
    for policy, code in cases:
        (tmp_path / "p.json").write_text(json.dumps(policy))
        passed = faces.main([*words, "--policy", str(tmp_path / "p.json")]) == 0
        assert (json.loads((tmp_path / "r.json").read_text())["code"], passed) == (code, code == "exempt_by_policy")
        assert (tmp_path / "out.nii.gz").exists() == passed


@pytest.mark.needs("shared-data")
def test_a_real_head_is_defaced_and_a_real_phantom_is_not_passed(mri: Path, tmp_path: Path) -> None:
    out = {}
    for case, verdict in (("siemens_t1w_2d_face", "defaced"), ("siemens_fieldmap/2_gre_field_magph", "withheld"), ("ge_t1w_3d_deidentified", "withheld")):
        folder = tmp_path / case.split("/")[0]
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-m", "dcm2niix", "-z", "y", "-b", "n", "-f", "%s", "-o", folder, mri / "dicom" / case], check=True, capture_output=True
        )
        path = sorted(folder.glob("*.nii.gz"))[0]
        out[case] = faces.deface_visit({"a": HeadImage(volumes.load(path))})["a"]
        assert out[case].verdict == verdict, out[case]
    assert out["siemens_t1w_2d_face"].measures["surface_moved"] > 0.95


@pytest.mark.needs("shared-data")
def test_a_real_patients_brain_drawn_by_others_is_untouched(mri: Path) -> None:
    folder = mri / "nifti" / "ms_longitudinal_patient01"
    brain = volumes.load(folder / "coregistered" / "patient01" / "brainmask.nii.gz")
    lesions = nib.load(folder / "coregistered" / "patient01" / "gt.nii.gz").get_fdata() > 0
    flair = volumes.load(folder / "raw" / "patient01" / "study2_FLAIR.nii.gz")
    found = faces.deface_visit({"a": HeadImage(flair, "FLAIR")})["a"]
    assert (found.verdict, found.code) == ("defaced", "already_defaced") and found.zone is not None
    here = resample(brain, flair, order="nearest").data > 0
    assert here.sum() > 500_000 and not (here & found.zone).any()
    assert lesions.any()


@pytest.mark.needs("shared-data")
@pytest.mark.parametrize("name", ["t1/t1w", "t2/t2", "t2/t2_fake_lesion", "t2s/t2s_uncropped", "dmri/dmri", "mt/mt0"])
def test_a_neck_without_a_head_is_not_cut_blindly(mri: Path, name: str) -> None:
    volume = volumes.load(mri / "nifti" / "cervical_spine" / f"{name}.nii.gz")
    found = faces.deface_visit({"a": HeadImage(volume, "T2w")})["a"]
    assert found.verdict in ("withheld", "no_face") and found.zone is None
