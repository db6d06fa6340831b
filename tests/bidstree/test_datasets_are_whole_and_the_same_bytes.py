"""Pieces become a dataset that the official validator passes, twice the same bytes, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bidstree import check, classify, dataset, masks, names, sidecar
from bidstree.convert import Conversion
from bidstree.errors import BidsError
from spatial.volumes import load, save

ABOUT = {"Name": "Three heads", "License": "CC0", "Authors": ["A. Nobody", "B. Noone"]}


def piece_of(root: Path, label: str, session: str, image: Any) -> Path:
    weights = [float(value) for value in image.bval.read_text().split()] if image.bval else []
    one = classify.contrast(image.sidecar, {}, volumes=image.measures["volumes"], weights=weights)
    target = root / names.path(label, session, one.datatype, one.suffix, one.entities, ".nii.gz")
    target.parent.mkdir(parents=True, exist_ok=True)
    save(load(image.nifti), target, like=image.nifti)
    stem = target.name.removesuffix(".nii.gz")
    target.with_name(f"{stem}.json").write_text(dataset.dump(sidecar.clean({**image.sidecar, **one.fields})))
    for gradients in (image.bval, image.bvec):
        if gradients and one.suffix == "dwi":
            shutil.copyfile(gradients, target.with_name(stem + gradients.suffix))
    return root


@pytest.fixture(scope="module")
def pieces(converted: dict[str, Conversion], mri: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One piece of every kind the real data gives: T1w, FLAIR, PDw, BOLD, DWI with trace, field maps, ADC; and a cord with its mask."""
    root = tmp_path_factory.mktemp("pieces")
    cases = ["siemens_enh_xa30/5_anat-T1w_acq-tfl", "d2n_compressed/compressed/001", "d2n_hitachi_hyperfine/hitachi/anatomical/001", "ge_bold/mr_0004"]
    cases += ["philips_dwi/601_WIP_dti_ax", "siemens_fieldmap/2_gre_field_magph", "siemens_fieldmap/3_gre_field_magph", "siemens_enh_xa30/11_DWI_dir80_PA"]
    made = []
    for n, case in enumerate(cases):
        for k, image in enumerate(converted[case].images):
            made.append(piece_of(root / f"{n}-{k}", f"p{min(n, 5)}", "m00", image))
    return [*made, cord(root / "cord", mri)]


def cord(root: Path, mri: Path) -> Path:
    spine = mri / "nifti/cervical_spine"
    image = names.path("cord", "m00", "anat", "T2w", {"acq": "cspine"}, ".nii.gz")
    (root / image).parent.mkdir(parents=True)
    save(load(spine / "t2/t2.nii.gz"), root / image)
    (root / image).with_name("sub-cord_ses-m00_acq-cspine_T2w.json").write_text(dataset.dump({"BodyPart": "CSPINE"}))
    done = masks.attach(spine / "t2/t2_seg-manual.nii.gz", {str(image): root / image})
    mask = root / masks.path(image, "SC", "r1")
    mask.parent.mkdir(parents=True)
    save(done.volume, mask)
    mask.with_name(mask.name.replace(".nii.gz", ".json")).write_text(dataset.dump(masks.sidecar(image, "ROI", done.how)))
    return root


def tree(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(root.rglob("*")) if path.is_file()}


EXTRAS: dict[str, Any] = {
    "participants": [{"participant_id": "sub-p0", "age": 93.2, "sex": "F"}, {"participant_id": "sub-gone", "age": 30, "sex": "M"}],
    "sessions": [{"participant_id": "sub-p0", "session_id": "ses-m00", "day": 0}],
    "scans": [{"filename": "sub-p0/ses-m00/anat/sub-p0_ses-m00_T1w.nii.gz", "quality": "pass", "deface": "defaced"}],
    "phenotype": {"edss": {"rows": [{"participant_id": "sub-p0", "session_id": "ses-m00", "edss": 2.5}], "dictionary": {"edss": {"Description": "EDSS"}}}},
    "changes": "1.0.0 first\n",
}


def test_the_official_validator_and_our_own_questions_find_no_error(pieces: list[Path], tmp_path: Path) -> None:
    dataset.assemble(pieces, tmp_path / "ds", ABOUT, **EXTRAS)
    report = check.validate(tmp_path / "ds")
    assert [one for one in report.findings if one.severity == "error"] == []
    assert report.ok and report.versions["bids"]
    table = (tmp_path / "ds/participants.tsv").read_text().splitlines()
    assert table[0].split("\t") == ["participant_id", "species", "age", "sex"] and "sub-p0\thomo sapiens\t89\tF" in table
    assert len(table) == 8 and not any("gone" in line for line in table)


def test_the_same_set_in_any_order_gives_the_same_bytes(pieces: list[Path], tmp_path: Path) -> None:
    dataset.assemble(pieces, tmp_path / "a", ABOUT, **EXTRAS)
    for path in pieces[0].rglob("*"):
        os.utime(path, (1e9, 1e9))
    dataset.assemble(list(reversed(pieces)), tmp_path / "b", dict(ABOUT), **EXTRAS)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_subset_is_a_dataset_of_its_own(pieces: list[Path], tmp_path: Path) -> None:
    dataset.assemble(pieces[:2], tmp_path / "ds", ABOUT, **EXTRAS)
    assert dataset.subjects(tmp_path / "ds") == ["sub-p0", "sub-p1"]
    assert not (tmp_path / "ds/derivatives").exists()
    assert check.validate(tmp_path / "ds").ok


def test_files_are_linked_not_copied(pieces: list[Path], tmp_path: Path) -> None:
    dataset.assemble(pieces[:1], tmp_path / "ds", ABOUT)
    image = next(pieces[0].rglob("*.nii.gz"))
    if image.stat().st_dev == tmp_path.stat().st_dev:
        assert (tmp_path / "ds" / image.relative_to(pieces[0])).stat().st_ino == image.stat().st_ino


def test_pieces_that_disagree_are_refused_and_pieces_that_agree_are_not(pieces: list[Path], tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(pieces[0], twin)
    dataset.assemble([pieces[0], twin], tmp_path / "ok", ABOUT)
    next(twin.rglob("*.json")).write_text("{}")
    refusal("piece_conflict", [pieces[0], twin], tmp_path / "no")


def refusal(code: str, pieces: list[Path], out: Path, about: dict[str, Any] | None = None) -> None:
    before = sorted(out.parent.iterdir())
    with pytest.raises(BidsError) as error:
        dataset.assemble(pieces, out, ABOUT if about is None else about)
    assert error.value.code == code
    assert sorted(out.parent.iterdir()) == before, "nothing half done is left"


def test_what_cannot_be_a_dataset_is_refused_and_leaves_nothing(pieces: list[Path], tmp_path: Path) -> None:
    refusal("no_pieces", [], tmp_path / "a")
    refusal("description_without_name", pieces[:1], tmp_path / "b", {"License": "CC0"})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    refusal("out_not_empty", pieces[:1], tmp_path / "full")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "report.pdf").write_text("x")
    refusal("piece_foreign_file", [pieces[0], tmp_path / "strange"], tmp_path / "c")


def replace(path: Path, image: Any) -> None:
    """A new file of that name: the old one is a link to the piece of other tests."""
    _ = image.get_fdata()
    path.unlink()
    nib.save(image, path)


def spoil_mask(root: Path) -> None:
    path = next(root.rglob("*_mask.nii.gz"))
    image = nib.load(path)
    moved = image.affine.copy()
    moved[0, 3] += 3
    replace(path, nib.Nifti1Image(np.asanyarray(image.dataobj), moved))


def spoil_gradients(root: Path) -> None:
    path = next(root.rglob("*.bval"))
    text = path.read_text().split()
    path.unlink()
    path.write_text(" ".join(text[:-1]))


def spoil_sidecar(root: Path) -> None:
    path = next(root.rglob("*_T1w.json"))
    content = json.loads(path.read_text()) | {"InstitutionName": "Somewhere"}
    path.unlink()
    path.write_text(json.dumps(content))


def spoil_header(root: Path) -> None:
    path = next(root.rglob("*_T1w.nii.gz"))
    image = nib.load(path)
    image.header["descrip"] = b"somebody"
    replace(path, nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header))


def spoil_affine(root: Path) -> None:
    path = next(root.rglob("*_T1w.nii.gz"))
    image = nib.load(path)
    affine = image.affine.copy()
    affine[:3, 1] = affine[:3, 0]
    broken = nib.Nifti1Image(np.asanyarray(image.dataobj), None)
    broken.header.set_sform(affine, code=1)
    replace(path, broken)


def spoil_name(root: Path) -> None:
    path = next(root.rglob("*_T1w.nii.gz"))
    path.rename(path.with_name("sub-p0_ses-m00_T1weighted.nii.gz"))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (spoil_mask, "annotation_grid"),
        (spoil_gradients, "gradient_count"),
        (spoil_sidecar, "field_not_listed"),
        (spoil_header, "header_text"),
        (spoil_affine, "affine_degenerate"),
    ],
)
def test_our_own_questions_find_what_is_spoiled(pieces: list[Path], tmp_path: Path, spoil: Any, code: str) -> None:
    dataset.assemble(pieces, tmp_path / "ds", ABOUT)
    assert check.own(tmp_path / "ds") == []
    spoil(tmp_path / "ds")
    assert [one.code for one in check.own(tmp_path / "ds")] == [code]


def test_the_command_says_it_in_words_and_json(pieces: list[Path], tmp_path: Path) -> None:
    dataset.assemble(pieces[:1], tmp_path / "ds", ABOUT)
    good = subprocess.run([sys.executable, "-m", "bidstree", "check", str(tmp_path / "ds"), "--json"], capture_output=True, text=True, check=False)
    assert good.returncode == 0 and json.loads(good.stdout)["errors"] == 0
    spoil_name(tmp_path / "ds")
    bad = subprocess.run([sys.executable, "-m", "bidstree", "check", str(tmp_path / "ds")], capture_output=True, text=True, check=False)
    assert bad.returncode == 1 and "error" in bad.stdout
    none = subprocess.run([sys.executable, "-m", "bidstree", "check", str(tmp_path)], capture_output=True, text=True, check=False)
    assert none.returncode == 2


def test_the_validator_may_not_write_nor_speak_to_the_network(tmp_path: Path) -> None:
    command = check.command(tmp_path)
    assert not any(part.startswith(("--allow-net", "--allow-write", "--allow-run", "--allow-all", "-A")) for part in command)
