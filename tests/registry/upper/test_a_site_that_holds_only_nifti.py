"""A site that holds no DICOM hands in two people as NIfTI: real doors, real pipeline, a steward's eyes, a release that the validator passes.

The figures go to the file that `MYELIN_BIDS_RELEASE` names (`make show-bids` asks for them, and hands in all files of both cases; otherwise one image of
each visit and the masks on it will do).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from django.conf import settings

from bidstree import check
from registry.imaging.models import Image
from registry.releases import freezing, tree
from registry.releases.models import Release
from tests.registry.upper.desks import accept, bind

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.slow, pytest.mark.needs("shared-data")]

# file of the MS case -> what its sender says; the folder of the upload is the person's.
MS: dict[str, dict[str, Any]] = {
    **{
        f"study{n}_{name}.nii.gz": {"contrast": word, "visit": f"m{12 * (n - 1):02d}"}
        for n in (1, 2)
        for name, word in (("FLAIR", "FLAIR"), ("T1W", "T1w"), ("T2W", "T2w"))
    },
    "gt.nii.gz": {"rater": "r1"},
    "study1_FLAIR_to_common_space.txt": {"beside": "study1_FLAIR.nii.gz"},
    "study2_FLAIR_to_common_space.txt": {"beside": "study2_FLAIR.nii.gz"},
}
CORD: dict[str, dict[str, Any]] = {
    "t1/t1w.nii.gz": {"contrast": "T1w"},
    "t1/t1w_seg-manual.nii.gz": {"beside": "t1/t1w.nii.gz"},
    "t2/t2.nii.gz": {"contrast": "T2w"},
    "t2/t2_seg-manual.nii.gz": {"beside": "t2/t2.nii.gz", "rater": "r1"},
    "t2/t2_seg-second.nii.gz": {"beside": "t2/t2.nii.gz", "rater": "r2"},
    "t2/t2_fake_lesion.nii.gz": {"contrast": "T2w"},
    "t2/t2_fake_lesion_sc_seg.nii.gz": {"beside": "t2/t2_fake_lesion.nii.gz"},
    "t2/t2_fake_lesion_lesion_seg.nii.gz": {"beside": "t2/t2_fake_lesion.nii.gz"},
    "t2s/t2s_uncropped.nii.gz": {"contrast": "T2starw"},
    "t2s/t2s_uncropped_gmseg_manual.nii.gz": {"beside": "t2s/t2s_uncropped.nii.gz"},
    "mt/mt0.nii.gz": {"contrast": "MToff"},
    "mt/mt1.nii.gz": {"contrast": "MTon"},
    "mt/mt0_seg.nii.gz": {"beside": "mt/mt0.nii.gz"},
    "dmri/dmri.nii.gz": {"contrast": "dwi"},
    "dmri/bvals.txt": {"beside": "dmri/dmri.nii.gz"},
    "dmri/bvecs.txt": {"beside": "dmri/dmri.nii.gz"},
}
if "MYELIN_BIDS_RELEASE" not in os.environ:
    MS = {name: row for name, row in MS.items() if "FLAIR" in name or name == "gt.nii.gz"}
    CORD = {name: row for name, row in CORD.items() if name.startswith(("t2/t2.", "t2/t2_seg", "mt/mt0"))}
DRAWN = {
    "gt": "lesion",
    "t1w_seg-manual": "cord",
    "t2_seg-manual": "cord",
    "t2_seg-second": "cord",
    "t2_fake_lesion_sc_seg": "cord",
    "t2_fake_lesion_lesion_seg": "lesion",
}
DRAWN |= {"t2s_uncropped_gmseg_manual": "gm", "mt0_seg": "cord"}


def send(site: Any, dataset: str, source: Path, files: dict[str, dict[str, Any]], body: str = "") -> str:
    """An upload of one person in one folder; no name is sent. The id of the upload."""
    upload = str(site.post("/uploads", {"dataset": dataset, "site": "aarhus"}, 201)["id"])
    numbers = {name: n for n, name in enumerate(files, 1)}
    size = 0
    for name, said in files.items():
        data = (source / name).read_bytes()
        size += len(data)
        told = {**said, **({"beside": numbers[said["beside"]]} if "beside" in said else {}), **({"body": body} if body and "contrast" in said else {})}
        stem = Path(name).name.split(".")[0]
        site.put_file(upload, numbers[name], data, folder="1", annotation=DRAWN.get(stem, ""), said=told)
    site.post(f"/uploads/{upload}/complete", {"count": len(files), "bytes": size}, 202)
    return upload


def lies_on_image(root: Path, path: Path) -> bool:
    beside = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    reference = str(beside["SpatialReference"])
    a: Any = nib.load(path)
    b: Any = nib.load((root / "derivatives/annotations" if reference.startswith("bids::") else root) / reference.split(":")[-1])
    there = all((root / one.removeprefix("bids:raw:")).is_file() for one in beside["Sources"] if one.startswith("bids:raw:"))
    return bool(there and a.shape[:3] == b.shape[:3] and np.allclose(a.affine, b.affine, atol=1e-3))


def as_drawn(product: Path, given: Path) -> bool:
    a: Any = nib.as_closest_canonical(nib.load(product))
    b: Any = nib.as_closest_canonical(nib.load(given))
    return bool(np.array_equal(np.asanyarray(a.dataobj), np.asanyarray(b.dataobj)) and np.allclose(a.affine, b.affine, atol=1e-2))


def second_rater(neck: Path) -> None:
    """A second rater drew the cord of the T2w but for its lowest slices."""
    image: Any = nib.load(neck / "t2/t2_seg-manual.nii.gz")
    data = np.asanyarray(image.dataobj).copy()
    lowest = np.argwhere(data)[:, 1].min()
    data[:, : lowest + 3] = 0
    nib.save(nib.Nifti1Image(data, image.affine, image.header), neck / "t2/t2_seg-second.nii.gz")


def lay_out(release: Release, name: str) -> Path:
    root = Path(settings.MYELIN_ZONES["store"]) / ".trees" / name
    tree.lay_out(freezing.entries(release), root)
    return root


def test_both_visits_of_the_ms_case_and_the_cord_reach_a_release_with_their_masks(door: Any, world: Any, carried: Any, mri: Path, tmp_path: Path) -> None:
    aarhus = world.site("aarhus")
    dataset = world.dataset(aarhus, slug="nifti", min_count=2)
    site, desk = door(world.contributor(dataset, aarhus)), door(world.steward(dataset))
    asked = {"dataset": "nifti", "site": "aarhus", "participants": [{"patient_id": "MS-0001"}, {"patient_id": "CORD-0001"}]}
    ms, cord = site.post("/participants", asked, 201)["results"]
    rows = [(ms, "m00", "2020-01-10"), (ms, "m12", "2021-01-12"), (cord, "m00", "2020-05-05")]
    visits = site.post("/visits", {"visits": [{"participant": one["id"], "label": label, "date": day} for one, label, day in rows]}, 201)["results"]
    paper = {"kind": "given", "permission": "GRU", "evidence_sha256": "a" * 64}
    site.post("/consents", {"consents": [{"participant": one["id"], **paper} for one in (ms, cord)]}, 201)

    raw, neck = mri / "nifti/ms_longitudinal_patient01/raw/patient01", shutil.copytree(mri / "nifti/cervical_spine", tmp_path / "neck")
    second_rater(neck)
    first = send(site, "nifti", raw, MS)
    bind(site, carried, first, ms, visits[0])
    second = send(site, "nifti", neck, CORD, body="CSPINE")
    bind(site, carried, second, cord, visits[2])
    receipts = [row for upload in (first, second) for row in site.get(f"/uploads/{upload}/receipt")["files"]]
    refused = [f"{row['number']} {row['code']}" for row in receipts if row["verdict"] != "kept"]
    taken = accept(desk)

    desk.post("/releases", {"dataset": "nifti", "changes": "first"}, 202)
    carried.work()
    release = Release.objects.latest("number")
    root = lay_out(release, "shown")
    every = sorted((root / "derivatives/annotations").rglob("*_mask.nii.gz"))
    drawn = [path for path in every if "desc-majority" not in path.name]
    given = {row["sha256"]: name for files, source in ((MS, raw), (CORD, neck)) for name in files for row in [{"sha256": sha(source / name)}]}
    products = {row["product"]: given[row["sha256"]] for row in receipts if row["product"].startswith("derivatives") and row["sha256"] in given}
    same = sum(
        as_drawn(root / product, (raw if (raw / name).exists() else neck) / name) for product, name in products.items() if product.endswith("_mask.nii.gz")
    )
    both = [path for path in drawn if "space-common" in path.name]
    figure = {
        "images": taken,
        "masks": len(drawn),
        "refused": refused,
        "on_image": sum(lies_on_image(root, path) for path in drawn),
        "as_drawn": same,
        "errors": int(release.validator["errors"]),
        "own_errors": sum(finding.severity == "error" for finding in check.own(root)),
    }

    # One of the two visits' FLAIR goes: in the next release the mask of both is gone, and nothing else is.
    flair = Image.objects.get(bids_path__contains="ses-m00", suffix="FLAIR", state="accepted")
    Image.objects.filter(pk=flair.pk).update(state="withdrawn")
    desk.post("/releases", {"dataset": "nifti", "changes": "without one"}, 202)
    carried.work()
    later = lay_out(Release.objects.latest("number"), "later")
    left = sorted(path.name for path in (later / "derivatives/annotations").rglob("*_mask.nii.gz"))
    figure["gone_with_one"] = left == [path.name for path in every if path not in both]
    if out := os.environ.get("MYELIN_BIDS_RELEASE"):
        Path(out).write_text(json.dumps(figure))

    assert (figure["errors"], figure["refused"]) == (0, []), figure
    assert (
        figure["masks"] == figure["on_image"] == figure["as_drawn"] == sum(Path(name).name.split(".")[0] in DRAWN for name in [*MS, *CORD]) and len(both) == 1
    ), figure
    (majority,) = (path for path in every if path not in drawn)
    agreement = json.loads(majority.with_name(majority.name.replace(".nii.gz", ".json")).read_text())["Agreement"]
    assert 0.5 < agreement["Dice"]["r1 r2"] < 1 and len(list((root / "derivatives/annotations").rglob("*desc-staple_probseg.nii.gz"))) == 1
    assert figure["gone_with_one"] and figure["own_errors"] == 0, (figure, left)


def sha(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
