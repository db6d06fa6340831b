"""Two examiners for one dataset: the official BIDS validator, and questions it does not ask.

The validator (bids-validator-deno, its schema inside its bundle) runs as a process without network, without write access, without environment beyond a
cache folder of its own. Ours ask what can be wrong in a tree whose names are right: an affine that no scanner makes, a mask on another grid than its
image, gradients that do not count up, and fields of a sidecar that could tell who or where.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bidstree import sidecar
from bidstree.errors import BidsError

WALL_S = 600.0


@dataclass(frozen=True)
class Finding:
    """One remark: `severity` error or warning, `source` bids-validator or myelin, `where` a path within the dataset."""

    severity: str
    code: str
    where: str
    message: str
    source: str


@dataclass(frozen=True)
class Report:
    """Counts and findings; `ok` when there is no error."""

    errors: int
    warnings: int
    findings: list[Finding] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No errors."""
        return self.errors == 0

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {"errors": self.errors, "warnings": self.warnings, "findings": [asdict(one) for one in self.findings], "versions": self.versions}


def validate(folder: Path, *, wall_s: float = WALL_S) -> Report:
    """Examine the dataset in `folder`, derivatives included. Raises BidsError `not_a_dataset`, `validator_failed`."""
    if not (folder / "dataset_description.json").is_file():
        raise BidsError("not_a_dataset", "The folder holds no dataset_description.json.", "Give the root of a BIDS dataset.")
    official, versions = _official(folder, wall_s)
    findings = sorted([*official, *own(folder)], key=lambda one: (one.severity, one.code, one.where))
    errors = sum(one.severity == "error" for one in findings)
    return Report(errors, len(findings) - errors, findings, versions)


def command(folder: Path) -> list[str]:
    """The validator's command line: may read files and one set of variables, and nothing else."""
    spec = importlib.util.find_spec("bids_validator_deno")
    if spec is None or spec.origin is None:
        raise BidsError("validator_failed", "The BIDS validator is not installed.", "Install the pinned requirements.")
    bundle = Path(spec.origin).parent / "bids-validator.js"
    deno = os.fsdecode(importlib.import_module("deno").find_deno_bin())
    return [
        deno,
        "run",
        "--no-prompt",
        "--cached-only",
        "--no-config",
        "--allow-read",
        "--allow-env",
        str(bundle),
        "--format",
        "json",
        "-r",
        str(folder.resolve()),
    ]


def _official(folder: Path, wall_s: float) -> tuple[list[Finding], dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="bids-validator-") as cache:
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": cache, "DENO_DIR": cache, "NO_COLOR": "1", "DENO_NO_UPDATE_CHECK": "1"}
        try:
            done = subprocess.run(command(folder), capture_output=True, timeout=wall_s, env=environment, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BidsError(
                "validator_failed", "The BIDS validator did not finish.", "Run `python -m bidstree check` again; see docs/reference/bids.md."
            ) from error
    try:
        answer = json.loads(done.stdout)
        issues = answer["issues"]["issues"]
        summary = answer["summary"]
    except (ValueError, KeyError, TypeError) as error:
        raise BidsError(
            "validator_failed", "The BIDS validator gave no answer.", "Run `python -m bidstree check` again; see docs/reference/bids.md."
        ) from error
    found = [_finding(issue) for issue in issues]
    for part in _derivative_parts(answer):
        found += [_finding(issue) for issue in part["issues"]["issues"]]
    return [one for one in found if one is not None], {"bids": str(summary.get("schemaVersion", ""))}


def _derivative_parts(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Answers about derivatives stand inside that of the dataset."""
    for part in (answer.get("derivativesSummary") or {}).values():
        if isinstance(part, dict) and "issues" in part:
            yield part


def _finding(issue: dict[str, Any]) -> Finding | None:
    severity = str(issue.get("severity", "warning"))
    if severity not in {"error", "warning"}:
        return None
    code = str(issue.get("code", "")) + (f".{issue['subCode']}" if issue.get("subCode") else "")
    message = str(issue.get("issueMessage") or issue.get("rule") or "")
    return Finding(severity, code, str(issue.get("location", "")).lstrip("/"), message, "bids-validator")


def own(folder: Path) -> list[Finding]:
    """Our own questions about every image, gradient table and sidecar below `folder`."""
    found: list[Finding] = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        where = path.relative_to(folder).as_posix()
        if path.name.endswith((".nii", ".nii.gz")):
            found += (Finding("error", code, where, message, "myelin") for code, message in _image(path, folder))
        elif path.suffix == ".json" and path.name.startswith("sub-") and not path.name.endswith(("_sessions.json", "_scans.json")):
            found += (Finding("error", code, where, message, "myelin") for code, message in _fields(path))
    return found


def _image(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    import nibabel as nib

    try:
        image = nib.load(path)
        affine, shape = np.asarray(image.affine, dtype=np.float64), image.shape
    except Exception:  # noqa: BLE001  any failure to open is the finding
        yield "image_unreadable", "The image cannot be opened."
        return
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or zooms.min() < 1e-3 or abs(np.linalg.det(affine[:3, :3])) < 0.5 * float(np.prod(zooms)):
        yield "affine_degenerate", "The affine has a zero, an infinity or axes that are not at right angles."
    header = image.header
    if bytes(header.get("descrip", b"")).strip(b"\0 ") or bytes(header.get("aux_file", b"")).strip(b"\0 ") or list(getattr(header, "extensions", [])):
        yield "header_text", "The NIfTI header holds text or extensions."
    yield from _gradients(path, shape)
    yield from _grid(path, root, shape, affine)


def _gradients(path: Path, shape: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    stem = path.name.split(".")[0]
    bval, bvec = path.with_name(f"{stem}.bval"), path.with_name(f"{stem}.bvec")
    if not stem.endswith("_dwi") or not bval.exists() or not bvec.exists():
        return
    volumes = shape[3] if len(shape) > 3 else 1
    try:
        values, vectors = np.atleast_1d(np.loadtxt(bval)), np.atleast_2d(np.loadtxt(bvec))
    except ValueError:
        yield "gradients_unreadable", "bval or bvec holds something that is no number."
        return
    if values.size != volumes or vectors.shape != (3, volumes):
        yield "gradient_count", f"{volumes} volumes, {values.size} b-values, gradient table {vectors.shape[0]} x {vectors.shape[1]}."
        return
    lengths = np.linalg.norm(vectors[:, values > 50], axis=0)
    if lengths.size and not (np.abs(lengths - 1) < 0.02).all():
        yield "gradient_length", "A gradient direction of a weighted volume is not of unit length."


def _grid(path: Path, root: Path, shape: tuple[int, ...], affine: Any) -> Iterator[tuple[str, str]]:
    """An annotation lies on the grid of the image its sidecar names."""
    import nibabel as nib

    if not path.name.split(".")[0].endswith(("_mask", "_dseg", "_probseg")):
        return
    beside = path.with_name(path.name.split(".")[0] + ".json")
    try:
        reference = json.loads(beside.read_text(encoding="utf-8")).get("SpatialReference", "")
    except (OSError, ValueError):
        reference = ""
    # `bids:raw:` leads to the dataset, `bids::` to the derivative that the annotation itself is in.
    base = root.joinpath(*path.relative_to(root).parts[:2]) if str(reference).startswith("bids::") else root
    source = base / str(reference).split(":")[-1]
    if not reference or not source.is_file():
        yield "annotation_without_image", "The annotation does not name an image of this dataset."
        return
    image = nib.load(source)
    close = np.abs(np.asarray(image.affine) - affine).max() <= 0.01 * float(np.linalg.norm(affine[:3, :3], axis=0).min())
    if image.shape[:3] != shape[:3] or not close:
        yield "annotation_grid", "The annotation lies on another grid than its image."


def _fields(path: Path) -> Iterator[tuple[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        yield "sidecar_unreadable", "The sidecar is no JSON."
        return
    left = sorted(set(content) - set(sidecar.clean(content)) - sidecar.ANNOTATION) if isinstance(content, dict) else []
    if left:
        yield "field_not_listed", f"The sidecar holds {len(left)} field(s) that are not on the list: {', '.join(left[:5])}."
