"""A visit that a site holds as NIfTI alone goes the whole way: named, cleaned, with its masks, or refused before a byte of voxels is unpacked."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bidstree import check, dataset
from bidstree import said as words_said
from deid.pseudonyms import keys_from_file, new_key
from pipeline import drawn, telling
from pipeline.isolate import Pool
from pipeline.order import Order
from pipeline.outcome import Outcome
from pipeline.sort import sort
from pipeline.standalone import Request, adopt, run, study_order
from pipeline.steps import run_study
from pipeline.workspace import Workspace

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
SHAPE = (32, 30, 20)
WHO = "Vestergaard Solveig"


def tissue(seed: int, shape: tuple[int, ...] = SHAPE) -> Any:
    """The inside of a neck: nothing but tissue, so that there is no face to take."""
    return (600 + np.random.default_rng(seed).normal(0, 40, shape)).astype(np.int16)


def marked(*places: int, shape: tuple[int, ...] = SHAPE) -> Any:
    data = np.zeros(shape, np.uint8)
    for n, at in enumerate(places, 1):
        data[at : at + 4, 10:14, 8:12] = n
    return data


def write(path: Path, data: Any, affine: Any = AFFINE, **header: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data, affine)
    for name, text in header.items():
        image.header[name] = text.encode()
    if header:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", WHO.encode()))
    raw = image.to_bytes()
    if path.name.endswith(".gz"):
        with path.open("wb") as sink, gzip.GzipFile(filename=f"{WHO}.nii", mode="wb", fileobj=sink) as packed:
            packed.write(raw)
    else:
        path.write_bytes(raw)
    return path


Handing = Callable[..., tuple[Outcome, Path]]


@pytest.fixture
def handing(tmp_path: Path, pool: Pool) -> Handing:
    """Takes files with what is said of each (by name), as a carrier takes an order; the outcome and the folder of products."""
    new_key(tmp_path / "key")

    def run(said: dict[str, dict[str, Any]], steward: bool = True) -> tuple[Outcome, Path]:
        root = tmp_path / "in"
        names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        number = {name: n for n, name in enumerate(names, 1)}
        files = tuple((n, hashlib.sha256((root / name).read_bytes()).hexdigest()) for name, n in number.items())
        told = {number[name]: {key: number[value] if key == "beside" else value for key, value in row.items()} for name, row in said.items()}
        codes, pseudonyms = keys_from_file(tmp_path / "key")
        who = {"study": pseudonyms.study_code("handed"), "participant": codes.code("s", "", "A-1"), "label": "p1", "session": "m00"}
        order = Order("r", 1, "study", root, "s", {"file": str(tmp_path / "key")}, files=files, said=told, **who)  # type: ignore[arg-type]
        result = tmp_path / f"result{len(list(tmp_path.glob('result*')))}"
        outcome = run_study(order, Workspace(tmp_path / "work", pool), result, steward=steward)
        return outcome, result / "bids"

    return run


def verdicts(outcome: Outcome) -> list[str]:
    return [row["code"] for row in outcome.as_json()["files"]]


def test_two_visits_with_masks_of_two_raters_become_a_valid_dataset_without_a_word_of_the_site(tmp_path: Path, handing: Handing) -> None:
    root = tmp_path / "in"
    write(root / "1", tissue(1), descrip=WHO, aux_file=WHO[:20], db_name="SOLVEIG")
    (root / "2").write_text(json.dumps({"EchoTime": 0.1, "PatientName": WHO, "InstitutionName": "Odense", "ProtocolName": WHO, "MagneticFieldStrength": 3}))
    write(root / "3.gz", tissue(2))
    write(root / "4", marked(5))
    write(root / "5", marked(6))
    write(root / "6", marked(5, 15))
    said: dict[str, dict[str, Any]] = {
        "1": {"contrast": "FLAIR", "body": "CSPINE"},
        "2": {"beside": "1"},
        "3.gz": {"contrast": "T1wGd", "body": "CSPINE", "session": "m12"},
        "4": {"annotation": "lesion", "rater": "r1", "beside": "1"},
        "5": {"annotation": "lesion", "rater": "r2", "beside": "1"},
        "6": {"annotation": "cord", "labels": {"C3": 1, "C4": 2}, "session": "m12"},
    }
    outcome, bids = handing(said)
    assert verdicts(outcome) == ["ok"] * 6, outcome.as_json()["files"]
    flair, later = "sub-p1/ses-m00/anat/sub-p1_ses-m00_acq-cspine_FLAIR", "sub-p1/ses-m12/anat/sub-p1_ses-m12_acq-cspine_ce-gadolinium_T1w"
    assert {image["bids"] for image in outcome.images} == {f"{flair}.nii.gz", f"{later}.nii.gz"}
    assert json.loads((bids / f"{flair}.json").read_text()) == {"BodyPart": "CSPINE", "Defaced": False, "EchoTime": 0.1, "MagneticFieldStrength": 3}
    drawn = {path.name for path in (bids / "derivatives").rglob("*.nii.gz")}
    stem = "sub-p1_ses-m00_acq-cspine_space-FLAIR_label-lesion"
    assert {f"{stem}_desc-{rater}_mask.nii.gz" for rater in ("r1", "r2", "majority")} <= drawn and f"{stem}_desc-staple_probseg.nii.gz" in drawn
    agreement = json.loads(next((bids / "derivatives").rglob("*desc-majority_mask.json")).read_text())["Agreement"]
    assert agreement["Dice"] == {"r1 r2": 0.75}
    labels = json.loads(next((bids / "derivatives").rglob("*_dseg.json")).read_text())
    assert labels["Labels"] == {"C3": 1, "C4": 2} and labels["Sources"] == [f"bids:raw:{later}.nii.gz"]
    for path in bids.rglob("*"):
        raw = path.read_bytes() if path.is_file() else b""
        assert b"olveig" not in (gzip.decompress(raw) if path.name.endswith(".gz") else raw) and (raw[:2] != b"\x1f\x8b" or raw[3] == 0)
    dataset.assemble([bids], tmp_path / "whole", {"Name": "Handed in"})
    assert check.validate(tmp_path / "whole").errors == 0


def test_a_mask_over_two_visits_comes_with_both_images(tmp_path: Path, handing: Handing) -> None:
    root = tmp_path / "in"
    still = "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\nParameters: 1 0 0 0 1 0 0 0 1 {} 0 0\nFixedParameters: 0 0 0\n"
    before = tissue(3, (40, 40, 20))
    write(root / "1", before)
    write(root / "2", np.roll(before, 1, axis=0))
    (root / "3").write_text(still.format(0))
    (root / "4").write_text(still.format(-1))
    grid = AFFINE.copy()
    grid[:3, 3] = (4, 4, 4)
    write(root / "5", marked(8, shape=(30, 30, 15)), grid)
    said: dict[str, dict[str, Any]] = {"1": {"contrast": "FLAIR"}, "2": {"contrast": "FLAIR", "session": "m12"}, "3": {"beside": "1"}, "4": {"beside": "2"}}
    outcome, bids = handing(said | {"5": {"annotation": "lesion"}})
    assert verdicts(outcome) == ["ok"] * 5, outcome.as_json()["files"]
    (mask,) = (bids / "derivatives").rglob("*_mask.json")
    assert json.loads(mask.read_text())["Sources"] == [f"bids:raw:sub-p1/ses-{m}/anat/sub-p1_ses-{m}_FLAIR.nii.gz" for m in ("m00", "m12")]
    assert len(list((bids / "derivatives").rglob("*space-common_desc-aligned_FLAIR.nii.gz"))) == 2


def test_masks_over_two_visits_of_any_kind_lie_beside_each_other_and_one_that_nobody_explains_costs_itself_only(tmp_path: Path, handing: Handing) -> None:
    root = tmp_path / "in"
    still = "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\nParameters: 1 0 0 0 1 0 0 0 1 {} 0 0\nFixedParameters: 0 0 0\n"
    before = tissue(3, (40, 40, 20))
    write(root / "1", before)
    write(root / "2", np.roll(before, 1, axis=0))
    (root / "3").write_text(still.format(0))
    (root / "4").write_text(still.format(-1))
    grid, other = AFFINE.copy(), AFFINE.copy()
    grid[:3, 3], other[:3, 3] = (4, 4, 4), (5, 5, 4)
    write(root / "5", marked(8, shape=(30, 30, 15)), grid)
    write(root / "6", marked(9, shape=(30, 30, 15)), grid)
    write(root / "7", marked(8, 14, shape=(30, 30, 15)), grid)
    write(root / "8", marked(8, shape=(30, 30, 15)), other)
    write(root / "9", marked(10, 15, shape=(30, 30, 15)), grid)
    said: dict[str, dict[str, Any]] = {name: {"contrast": "MTon", "body": "CSPINE"} for name in ("1", "2")}
    said["2"]["session"] = "m12"
    said |= {"3": {"beside": "1"}, "4": {"beside": "2"}, "7": {"annotation": "lesion", "labels": {"new": 1, "stable": 2}}}
    outcome, bids = handing(said | {name: {"annotation": "lesion"} for name in ("5", "6", "8", "9")})
    assert verdicts(outcome) == ["ok"] * 8 + ["labels_unknown"], outcome.as_json()["files"]
    found = sorted(path.name.split("_acq-cspine_")[1] for path in (bids / "derivatives").rglob("*ses-m12*.nii.gz"))
    masks = ["space-commonmton_desc-rater1_dseg", "space-commonmton_label-lesion_desc-rater1_mask", "space-commonmton_label-lesion_desc-rater2_mask"]
    brought = [f"mt-on_space-{space}_desc-aligned_MTR" for space in ("common", "common2")]
    assert {name.removesuffix(".nii.gz") for name in found} >= {*brought, "space-common2mton_label-lesion_desc-rater1_mask"}, found
    assert len([name for name in found if "space-commonmton" in name]) == len(masks), found
    assert all(len(image["products"]) == len(set(image["products"])) for image in outcome.images)
    assert json.loads(next((bids / "derivatives").rglob("*_dseg.json")).read_text())["Labels"] == {"new": 1, "stable": 2}


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda raw: raw[:80] + b"\0\0\0\0" + raw[84:], "nifti_refused"),  # a voxel edge of zero
        (lambda raw: raw[:42] + (30000).to_bytes(2, "little") * 3 + raw[48:], "nifti_refused"),  # 27 billion voxels
        (lambda raw: raw[:280] + b"\0" * 48 + raw[328:], "nifti_refused"),  # a singular affine
        (lambda raw: raw[:2000], "nifti_refused"),  # half a file
    ],
)
def test_what_cannot_be_a_scan_is_refused_and_its_neighbour_goes_on(tmp_path: Path, handing: Handing, spoil: Callable[[bytes], bytes], code: str) -> None:
    root = tmp_path / "in"
    whole = write(root / "1", tissue(4)).read_bytes()
    (root / "2").write_bytes(spoil(whole))
    outcome, _ = handing({"1": {"contrast": "T2w", "body": "CSPINE"}, "2": {"contrast": "T1w", "body": "CSPINE"}})
    assert verdicts(outcome) == ["ok", code]


def test_a_word_that_the_sidecar_contradicts_is_for_a_person_and_where_nobody_looks_it_stays_here(tmp_path: Path, handing: Handing) -> None:
    root = tmp_path / "in"
    write(root / "1", tissue(5))
    (root / "2").write_text(json.dumps({"ScanningSequence": "SE", "EchoTime": 0.09, "RepetitionTime": 5.0, "MRAcquisitionType": "2D"}))
    said = {"1": {"contrast": "T1w", "body": "CSPINE"}, "2": {"beside": "1"}}
    (image,) = handing(said)[0].images
    assert image["contrast"]["review"] and ["anat", "T2w", 0.93] in [list(one) for one in image["contrast"]["candidates"]]
    assert verdicts(handing(said, steward=False)[0])[0] == "contrast_unsure"


@pytest.mark.parametrize(("labels", "code"), [({"lesion": 1, "new": 2}, "ok"), ({"lesion": 1}, "labels_unknown"), ({}, "labels_unknown")])
def test_a_mask_with_several_values_says_what_they_mean(tmp_path: Path, handing: Handing, labels: dict[str, int], code: str) -> None:
    root = tmp_path / "in"
    write(root / "1", tissue(6))
    write(root / "2", marked(4, 20))
    assert (
        verdicts(handing({"1": {"contrast": "T2w", "body": "CSPINE"}, "2": {"annotation": "lesion", **({"labels": labels} if labels else {})}})[0])[1] == code
    )


def test_a_fourth_axis_is_that_of_volumes_or_of_labels(tmp_path: Path, handing: Handing) -> None:
    root = tmp_path / "in"
    write(root / "1", tissue(7))
    write(root / "2", np.stack([marked(4), marked(20)], axis=-1))
    outcome, bids = handing({"1": {"contrast": "T2w", "body": "CSPINE"}, "2": {"annotation": "lesion", "labels": {"new": 1, "enlarging": 2}}})
    assert verdicts(outcome) == ["ok", "ok"]
    (beside,) = (bids / "derivatives").rglob("*_probseg.json")
    assert json.loads(beside.read_text())["LabelMap"] == ["new", "enlarging"]


def test_a_mask_drawn_on_a_registered_image_brings_that_image_and_one_without_a_mask_stays_here(tmp_path: Path, handing: Handing) -> None:
    root = tmp_path / "in"
    write(root / "1", tissue(8))
    turned = AFFINE.copy()
    turned[:3, 3] = (3.3, 1.1, 0.4)
    write(root / "2", tissue(9), turned)
    write(root / "3", marked(5), turned)
    write(root / "4", tissue(10), turned * np.array([[1, 1, 1, 9]] * 4))
    said: dict[str, dict[str, Any]] = {name: {"contrast": "T2w", "body": "CSPINE"} for name in ("1", "2", "4")}
    said["2"]["processed"] = said["4"]["processed"] = "registered"
    outcome, bids = handing(said | {"3": {"annotation": "lesion", "rater": "r1"}})
    assert verdicts(outcome) == ["ok", "ok", "ok", "no_mask_on_it"]
    image = "derivatives/annotations/sub-p1/ses-m00/anat/sub-p1_ses-m00_acq-cspine_run-{}_desc-registered_T2w.nii.gz"
    (mask,) = (bids / "derivatives").rglob("*_mask.json")
    sources = json.loads(mask.read_text())["Sources"]
    assert mask.name == f"{mask.name.split('_run-')[0]}_run-{sources[0].split('_run-')[1][0]}_space-T2wregistered_label-lesion_desc-r1_mask.json"
    assert sources[0] in [f"bids::{image.format(run).removeprefix('derivatives/annotations/')}" for run in (1, 2)]
    assert len(list((bids / "derivatives").rglob("*_T2w.nii.gz"))) == 1
    dataset.assemble([bids], tmp_path / "whole", {"Name": "Handed in"})
    report = check.validate(tmp_path / "whole")
    assert report.errors == 0, [finding for finding in report.findings if finding.severity == "error"]


MNI = "MNI152NLin2009cAsym"


def test_an_image_in_a_template_s_space_is_a_derivative_of_its_own_with_the_masks_on_it(tmp_path: Path, handing: Handing) -> None:
    """ATLAS hands in each head twice: native, and normalised with a lesion drawn there. The twin without the word is a second native image."""
    root = tmp_path / "in"
    shift = AFFINE.copy()
    shift[:3, 3] = (-16, -15, -20)
    write(root / "1", tissue(8))
    write(root / "2", tissue(9), shift)
    write(root / "3", marked(5), shift)
    write(root / "4", tissue(10), shift + np.diag([0.5, 0, 0, 0]))
    said: dict[str, dict[str, Any]] = {name: {"contrast": "T1w", "body": "CSPINE"} for name in ("1", "2", "4")}
    said["2"] |= {"space": MNI, "beside": "1"}
    said["4"] |= {"space": "PAM50", "processed": "skullstripped"}
    outcome, bids = handing(said | {"3": {"annotation": "lesion", "rater": "r1"}})
    assert verdicts(outcome) == ["ok"] * 4, outcome.as_json()["files"]
    stem, native = "sub-p1/ses-m00/anat/sub-p1_ses-m00_acq-cspine", "bids:raw:sub-p1/ses-m00/anat/sub-p1_ses-m00_acq-cspine_T1w.nii.gz"
    drawn = bids / "derivatives/annotations"
    assert sorted(path.relative_to(drawn).as_posix() for path in drawn.rglob("*.nii.gz")) == [
        f"{stem}_space-{MNI}_T1w.nii.gz",
        f"{stem}_space-{MNI}_label-lesion_desc-r1_mask.nii.gz",
        f"{stem}_space-PAM50_desc-skullstripped_T1w.nii.gz",
    ]
    moved = json.loads((drawn / f"{stem}_space-{MNI}_T1w.json").read_text())
    assert (moved["SpatialReference"], moved["Sources"], moved["SkullStripped"]) == (MNI, [native], False)
    stripped = json.loads((drawn / f"{stem}_space-PAM50_desc-skullstripped_T1w.json").read_text())
    assert stripped["SkullStripped"] and "Sources" not in stripped
    mask = json.loads((drawn / f"{stem}_space-{MNI}_label-lesion_desc-r1_mask.json").read_text())
    assert mask["SpatialReference"] == f"bids::{stem}_space-{MNI}_T1w.nii.gz"
    assert nib.load(drawn / f"{stem}_space-{MNI}_T1w.nii.gz").affine[:3, 3].tolist() == [-16, -15, -20]
    dataset.assemble([bids], tmp_path / "whole", {"Name": "Handed in"})
    report = check.validate(tmp_path / "whole")
    assert report.errors == 0, [finding for finding in report.findings if finding.severity == "error"]
    for name in ("2", "4"):
        del said[name]["space"]
    del said["4"]["processed"]
    _, plain = handing(said)
    assert not list(plain.rglob("*space-MNI*")) and len(list(plain.glob("sub-p1/ses-m00/anat/*_run-*_T1w.nii.gz"))) == 3


def test_what_two_raters_say_together_of_an_image_in_a_template_s_space_names_that_image(tmp_path: Path, handing: Handing) -> None:
    root = tmp_path / "in"
    write(root / "1", tissue(8))
    for name, place in (("2", 5), ("3", 6)):
        write(root / name, marked(place))
    write(root / "4", tissue(9, (30, 30, 20)))
    said: dict[str, dict[str, Any]] = {name: {"annotation": "lesion", "rater": f"r{name}"} for name in ("2", "3")}
    said |= {"1": {"contrast": "T1w", "body": "CSPINE", "space": MNI}, "4": {"contrast": "T1w", "body": "CSPINE"}}
    outcome, bids = handing(said)
    assert verdicts(outcome) == ["ok"] * 4, outcome.as_json()["files"]
    (majority,) = (bids / "derivatives").rglob("*desc-majority_mask.json")
    image = f"bids::sub-p1/ses-m00/anat/sub-p1_ses-m00_acq-cspine_space-{MNI}_T1w.nii.gz"
    told = json.loads(majority.read_text())
    assert (told["SpatialReference"], told["Sources"][0]) == (image, image) and len(told["Sources"]) == 3
    dataset.assemble([bids], tmp_path / "whole", {"Name": "Handed in"})
    assert not [finding for finding in check.own(tmp_path / "whole") if finding.severity == "error"]


@pytest.mark.parametrize(("name", "space"), [(f"x_space-{MNI}_T1w.nii.gz", MNI), ("x_space-Solveig_T1w.nii.gz", ""), (f"space-{MNI}/x_T1w.nii.gz", "")])
def test_at_a_desk_the_name_says_the_space_in_a_word_of_the_list(name: str, space: str) -> None:
    assert words_said.space(Path(name).name) == space


def test_a_face_in_a_template_s_space_refuses_no_mask_of_the_native_head(tmp_path: Path, handing: Handing) -> None:
    """What was taken from a normalised head lies in another world: there it counts, elsewhere it does not."""
    root = tmp_path / "in"
    write(root / "1", tissue(8))
    write(root / "2", tissue(9))
    write(root / "3", marked(5))
    said: dict[str, dict[str, Any]] = {name: {"contrast": "T1w", "body": "CSPINE"} for name in ("1", "2")} | {"3": {"annotation": "lesion", "beside": "1"}}
    images = [SimpleNamespace(session="m00", space=space, moved=bool(space), zone=zone) for space, zone in (("", "own"), (MNI, "theirs"))]
    work: Any = SimpleNamespace(all_images=images)
    assert drawn.gone(work, "m00") == ["own"] and drawn.gone(work, "m00", MNI) == ["theirs"] and drawn.gone(work, "m12") == []
    said["2"]["space"] = MNI
    assert verdicts(handing(said)[0]) == ["ok"] * 3


def test_a_mask_of_another_grid_is_brought_to_its_image_only_when_that_was_asked(tmp_path: Path, handing: Handing) -> None:
    root = tmp_path / "in"
    write(root / "1", tissue(11))
    fine = np.diag([0.5, 0.5, 1.0, 1.0])
    write(root / "2", np.kron(marked(5), np.ones((2, 2, 2), np.uint8)), fine)
    said: dict[str, dict[str, Any]] = {"1": {"contrast": "T2w", "body": "CSPINE"}, "2": {"annotation": "lesion"}}
    assert verdicts(handing(said)[0]) == ["ok", "mask_other_grid"]
    said["2"]["resample"] = True
    outcome, bids = handing(said)
    (mask,) = (bids / "derivatives").rglob("*_mask.nii.gz")
    assert verdicts(outcome) == ["ok", "ok"] and nib.load(mask).shape == SHAPE
    assert json.loads(mask.with_name(mask.name.replace(".nii.gz", ".json")).read_text())["Resampled"] == "nearest"


def test_at_a_desk_a_folder_is_a_person_and_nothing_of_its_name_is_told(tmp_path: Path) -> None:
    root = tmp_path / "in" / "Vestergaard"
    write(root / "20190304" / "T2w.nii.gz", tissue(12))
    (root / "20190304" / "T2w.json").write_text(json.dumps({"EchoTime": 0.1, "PatientID": "310577-2046"}))
    write(root / "20190304" / "T2w_lesion.nii.gz", marked(5))
    write(root / "20200304" / "T2w.nii", tissue(13))
    new_key(tmp_path / "key")
    outcome = run(Request(tmp_path / "in", tmp_path / "out", tmp_path / "key"))
    assert verdicts(outcome) == ["ok"] * 4, outcome.as_json()["files"]
    bids = tmp_path / "out" / "bids"
    sessions = sorted(path.name for path in bids.glob("sub-*/ses-*"))
    assert len(sessions) == 2 and len(list(bids.glob("sub-*"))) == 1 and not {"ses-20190304", "ses-20200304"} & set(sessions)
    assert check.validate(bids).errors == 0
    for path in (tmp_path / "out").rglob("*"):
        raw = path.read_bytes() if path.is_file() else b""
        text = path.name.encode() + (gzip.decompress(raw) if path.name.endswith(".gz") else raw)
        assert not any(word in text for word in (b"estergaard", b"310577", b"20190304"))
    again = run(Request(tmp_path / "in", tmp_path / "again", tmp_path / "key"))
    assert [image["bids"] for image in again.images] == [image["bids"] for image in outcome.images]


def test_at_a_desk_derivatives_alone_make_no_dataset_and_the_account_says_so(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    write(tmp_path / "in/P1" / f"x_space-{MNI}_T2w.nii.gz", tissue(12))
    outcome = run(Request(tmp_path / "in", tmp_path / "out", tmp_path / "key"))
    assert verdicts(outcome) == ["no_native_image"] and not (tmp_path / "out/bids").exists()
    told = json.loads((tmp_path / "out/outcome.json").read_text())
    assert told["products"] == told["images"][0]["products"] == [] and told["images"][0]["deid"]["withheld"]["code"] == "no_native_image"
    write(tmp_path / "in/P1" / "x_T2w.nii.gz", tissue(13))
    outcome = run(Request(tmp_path / "in", tmp_path / "both", tmp_path / "key"))
    assert verdicts(outcome) == ["ok", "ok"] and len(list((tmp_path / "both/bids").rglob(f"*_space-{MNI}_T2w.nii.gz"))) == 1
    assert check.validate(tmp_path / "both/bids").errors == 0


NASTY = {
    **dict.fromkeys(("IntendedFor", "Sources", "RawSources", "SpatialReference", "B0FieldSource"), "ses-20190512/func/sub-VestergaardSolveig_bold.nii.gz"),
    **dict.fromkeys(("TaskName", "SequenceName", "Manufacturer"), WHO),
    "DeidentificationMethodCodeSequence": [{WHO: "x"}],
    f"{WHO} 1961-03-02": 1,
    "FlipAngle": 10**400,
}


def test_a_sidecar_full_of_words_gives_numbers_and_no_key_or_word_of_it_is_told(tmp_path: Path, handing: Handing) -> None:
    root = tmp_path / "in"
    write(root / "1", tissue(14))
    (root / "2").write_text(json.dumps(NASTY | {"EchoTime": 0.1, "ManufacturersModelName": "Prisma_fit"}))
    outcome, bids = handing({"1": {"contrast": "T2w", "body": "CSPINE"}, "2": {"beside": "1"}})
    assert verdicts(outcome) == ["ok", "ok"], outcome.as_json()["files"]
    (beside,) = bids.rglob("*_T2w.json")
    assert json.loads(beside.read_text()) == {"BodyPart": "CSPINE", "Defaced": False, "EchoTime": 0.1, "ManufacturersModelName": "Prisma_fit"}
    conversion = outcome.images[0]["conversion"]
    assert conversion["dropped"] == sorted(name for name in NASTY if "1961" not in name) and conversion["dropped_others"] == 1
    assert "olveig" not in json.dumps(outcome.as_json()) and "20190512" not in json.dumps(outcome.as_json())


@pytest.mark.parametrize(
    "name",
    [
        "sub-01_ses-01_T1w.nii.gz",
        "raw/patient01/study1_FLAIR.nii.gz",
        "Siemens_Prisma/anat/T2w_lesion.nii",
        "baseline/unnamed.nii",
        "t2/t2_seg-manual.nii.gz",
        "1/4",
    ],
)
def test_names_of_kinds_and_numbers_say_nothing(name: str) -> None:
    assert telling.words(name) == set()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sub-MuellerHans_ses-20190512_T1w.nii", {"MuellerHans", "Mueller", "Hans"}),
        ("raw/Vestergaard/t1.nii.gz", {"Vestergaard"}),
        ("patient01/M\u00dcLLER_FLAIR.nii", {"M\u00dcLLER"}),
        ("3105772046/T1w.nii", {"3105772046"}),
    ],
)
def test_other_words_of_a_name_are_searched_for(name: str, found: set[str]) -> None:
    assert telling.words(name) == found


def test_a_word_of_a_folder_that_stood_in_a_sidecar_would_be_found(tmp_path: Path) -> None:
    from pipeline import rooms

    products = tmp_path / "bids"
    products.mkdir()
    (products / "T1w.json").write_text(json.dumps({"ManufacturersModelName": "Vestergaard 3T"}))
    new_key(tmp_path / "key")
    code = keys_from_file(tmp_path / "key")[0].code("s", "", "A-1")
    source = write(tmp_path / "1", tissue(15))
    given = {"path": str(source), "sha256": hashlib.sha256(source.read_bytes()).hexdigest(), "said": {"contrast": "T1w", "body": "CSPINE"}, "beside": []}
    found = {}
    for name in ("Vestergaard/T1w.nii", "patient01/T1w.nii"):
        removed = tmp_path / "removed.json"
        rooms.handed({**given, "name": name, "out": str(tmp_path / "out.nii"), "removed": str(removed)})
        item = {"root": str(products), "paths": ["T1w.json"], "removed": [str(removed)], "keys": {"file": str(tmp_path / "key")}, "code": code}
        found[name] = bool(rooms.verify(item))
    assert found == {"Vestergaard/T1w.nii": True, "patient01/T1w.nii": False}


def test_at_a_desk_what_no_folder_says_waits_and_people_of_one_name_stay_two(tmp_path: Path, pool: Pool) -> None:
    root = tmp_path / "in"
    for seed, name in enumerate(("images/P001_T2w", "ses-01/mueller_T2w", "012/T2w", "Ann/T2w", "ann/T2w", "c1/sub-01/T2w", "c2/sub-01/T2w"), 20):
        write(root / f"{name}.nii.gz", tissue(seed))
    new_key(tmp_path / "key")
    asked = Request(root, tmp_path / "out", tmp_path / "key")
    found = sort(asked.order(), Workspace(tmp_path / "work", pool))
    adopt(asked, found)
    said = {one.name: found.rows[one.n].verdict for one in found.sources}
    waiting = {name for name, word in said.items() if word.code == "no_person_folder"}
    assert waiting == {f"{name}.nii.gz" for name in ("images/P001_T2w", "ses-01/mueller_T2w", "Ann/T2w", "ann/T2w")}
    assert all(said[name].verdict == "waiting" and said[name].reason and said[name].advice for name in waiting)
    mine = [study for study in found.studies if study.participant]
    assert len({study.participant for study in mine}) == 3 and all(study.verdict.code == "ok" for study in mine)
    orders = [study_order(asked, study, found, {}) for study in mine]
    assert {row["session"] for order in orders for row in order.said.values()} == {"undated"}
