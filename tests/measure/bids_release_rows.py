"""The rows of `make show-bids` about whole datasets: the validator over every dataset, and two NIfTI cases from intake to a release with their masks."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel as nib
import numpy as np
from bids_convert_rows import CACHE, facts, named, scratch, seen
from table import ROOT, Result

from bidstree import check, classify, dataset, fieldmaps, names, sidecar
from bidstree.convert import Converted
from bidstree.handed import lay
from spatial.volumes import load, save
from tests.bidstree import visits


@functools.cache
def shared_pieces(depth: str) -> list[Path]:
    """Every converted series of the shared data as one participant a case, named, with its field maps linked."""
    pieces = []
    cases: dict[str, list[tuple[Converted, classify.Contrast]]] = {}
    for name, one in seen(depth).items():
        answers = classify.together([named(image, facts(one.folder)) for image in one.ours.images], [image.sidecar for image in one.ours.images])
        pairs = [pair for pair in zip(one.ours.images, answers, strict=True) if pair[1].code == "ok"]
        cases.setdefault(name.split("/")[0].split(" ")[0], []).extend(pairs)
    for case, pairs in cases.items():
        label = names.alphanumeric(case)
        numbered = names.number_runs([names.Named(label, "m00", one.datatype, one.suffix, one.entities, (n,)) for n, (_, one) in enumerate(pairs)])
        scans = [fieldmaps.scan(final.path().as_posix(), n, image.sidecar) for n, (final, (image, _)) in enumerate(zip(numbered, pairs, strict=True))]
        links = fieldmaps.link(scans)
        root = scratch() / "pieces" / label
        for final, (image, one) in zip(numbered, pairs, strict=True):
            write(root / final.path(), image, one, links.get(final.path().as_posix(), {}))
        pieces += [root] if pairs else []
    return pieces


def write(target: Path, image: Converted, one: classify.Contrast, links: dict[str, Any]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if colour(image.nifti):
        loaded: Any = nib.load(image.nifti)
        nib.save(nib.Nifti1Image(np.asanyarray(loaded.dataobj), loaded.affine), target)
    else:
        save(load(image.nifti), target, like=image.nifti)
    stem = target.name.removesuffix(".nii.gz")
    target.with_name(f"{stem}.json").write_text(dataset.dump(sidecar.clean({**image.sidecar, **one.fields, **links})), encoding="utf-8")
    for gradients in (image.bval, image.bvec):
        if gradients and one.suffix == "dwi":
            shutil.copyfile(gradients, target.with_name(stem + gradients.suffix))


def colour(path: Path) -> bool:
    loaded: Any = nib.load(path)
    return bool(loaded.get_data_dtype().fields)


@functools.cache
def handed() -> tuple[Path, list[Any]]:
    """Both NIfTI cases laid out: the folder of pieces, and what became of each file."""
    root = scratch() / "handed"
    return root, [*visits.ms(CACHE, root / "ms"), *lay(root / "cord", "cord1", visits.cord_given(CACHE))]


def validator(depth: str) -> Result:
    """The official validator and our own questions over all shared series, both NIfTI cases, a subset, and every dataset that the tests of bidstree make."""
    sets: dict[str, list[Path]] = {"shared": shared_pieces("quick" if depth == "quick" else depth)}
    root, _ = handed()
    sets |= {"handed": [root / "ms", root / "cord"], "one participant": sets["shared"][:1], "all": [*sets["shared"], root / "ms", root / "cord"]}
    errors: Counter[str] = Counter()
    count = 0
    for name, pieces in sets.items():
        out = scratch() / "datasets" / name
        dataset.assemble(pieces, out, visits.ABOUT)
        report = check.validate(out)
        count += 1
        errors.update(f"{finding.code} {finding.where}" for finding in report.findings if finding.severity == "error")
    made, broken = watched() if depth != "quick" else (0, Counter())
    errors += broken
    figure = f"{sum(errors.values())} errors over {count} datasets made here and {made} that the tests made: {dict(errors.most_common(5))}"
    return Result(figure, met=not errors and (made > 3 or depth == "quick"), sample=depth == "quick")


def watched() -> tuple[int, Counter[str]]:
    """Run the tests of bidstree that assemble datasets, with every dataset validated the moment it is there (`bids_watch`)."""
    log = scratch() / "watched.jsonl"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "measure")]), "MYELIN_BIDS_WATCH": str(log)}
    stories = sorted((ROOT / "tests" / "bidstree").glob("test_*.py"))
    with_sets = [str(path.relative_to(ROOT)) for path in stories if "assemble" in path.read_text(encoding="utf-8")]
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "bids_watch", *with_sets], cwd=ROOT, env=environment, capture_output=True, check=False)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    return len(lines), Counter(code for line in lines for code in line["errors"])


def masks_to_release(depth: str) -> Result:
    """Both visits of the MS case and the cervical cord through the registry's doors, the real pipeline and a steward to a release: valid, mask on its image.

    In the quick form the same files are laid out by `bidstree.handed` alone, without pipeline and registry.
    """
    if depth == "quick":
        return laid_out()
    log = scratch() / "release.json"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MYELIN_BIDS_RELEASE": str(log)}
    test = "tests/registry/upper/test_a_site_that_holds_only_nifti.py"
    subprocess.run([sys.executable, "-m", "pytest", "-q", test], cwd=ROOT, env=environment, capture_output=True, check=False)
    if not log.exists():
        return Result("the test that hands them in came to no release", met=False)
    told = json.loads(log.read_text(encoding="utf-8"))
    figure = f"{told['images']} images and {told['masks']} masks through intake, pipeline and a steward in the release, {len(told['refused'])} refused "
    figure += f"{told['refused']}; {told['on_image']} of {told['masks']} masks on the grid of their image, {told['as_drawn']} voxel for voxel as drawn; "
    figure += f"validator errors {told['errors']}; without one visit's FLAIR the mask of both is {'gone' if told['gone_with_one'] else 'STILL THERE'}"
    whole = not told["refused"] and told["masks"] == told["on_image"] == told["as_drawn"] >= 7
    return Result(figure, met=whole and told["errors"] == told["own_errors"] == 0 and told["gone_with_one"])


def laid_out() -> Result:
    """Both cases by `bidstree.handed`: each mask on its image, voxel for voxel as drawn, and the dataset valid."""
    root, laid = handed()
    out = scratch() / "release"
    dataset.assemble([root / "ms", root / "cord"], out, visits.ABOUT)
    report = check.validate(out)
    refused = [one.given.name for one in laid if one.code != "ok"]
    drawn = sorted((out / "derivatives/annotations").rglob("*_mask.nii.gz"))
    on_image = sum(lies_on_image(out, path) for path in drawn)
    kept = sum(as_drawn(out / one.product, one.given.path) for one in laid if one.kind != "image" and one.product)
    changed = as_drawn(next(path for path in drawn if "sub-ms1" in path.name), CACHE / "nifti/ms_longitudinal_patient01/raw/patient01/gt.nii.gz")
    gone = without(root, "sub-ms1/ses-v1/anat/sub-ms1_ses-v1_FLAIR")
    images = sum(one.kind == "image" and bool(one.product) for one in laid)
    figure = f"{images} images and {len(drawn)} masks in the release, {len(refused)} refused {refused}; "
    figure += f"{on_image} of {len(drawn)} masks on the grid of their image, "
    figure += f"{kept + changed} of {len(drawn)} voxel for voxel as drawn; validator errors {report.errors}; without one visit's FLAIR the mask of both is "
    figure += "gone" if gone else "STILL THERE"
    return Result(figure, sample=True, met=not refused and on_image == len(drawn) == kept + changed and report.errors == 0 and gone and len(drawn) >= 7)


def lies_on_image(root: Path, path: Path) -> bool:
    beside = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    reference = str(beside["SpatialReference"])
    base = root / "derivatives/annotations" if reference.startswith("bids::") else root
    a: Any = nib.load(path)
    b: Any = nib.load(base / reference.split(":")[-1])
    return bool(a.shape[:3] == b.shape[:3] and np.allclose(a.affine, b.affine, atol=1e-3)) and all(
        (root / source.removeprefix("bids:raw:")).is_file() for source in beside["Sources"] if source.startswith("bids:raw:")
    )


def as_drawn(product: Path, given: Path) -> bool:
    """The same marked places in the world: values compared after both are turned to canonical axes."""
    a: Any = nib.as_closest_canonical(nib.load(product))
    b: Any = nib.as_closest_canonical(nib.load(given))
    return bool(np.array_equal(np.asanyarray(a.dataobj), np.asanyarray(b.dataobj)) and np.allclose(a.affine, b.affine, atol=1e-2))


def without(root: Path, stem: str) -> bool:
    """Whether the mask of both visits goes when one of its images does."""
    part = scratch() / "part"
    shutil.copytree(root / "ms", part)
    for path in part.glob(f"{stem}.*"):
        path.unlink()
    dataset.assemble([part], scratch() / "release-part", visits.ABOUT)
    rest = [PurePosixPath(path).name for path in (scratch() / "release-part").rglob("*_mask.nii.gz")]
    return not rest
