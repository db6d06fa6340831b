"""The command line: `python -m qa IMAGE [--json] [--device cpu|cuda] [--mask-deface M]`, `python -m qa DATASET --report`.

Exit status: 0 measured (whatever the grade), 1 the image could not be judged at all, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from qa.batch import Job, ahead, measure_many, read, usual
from qa.errors import QaError, refusal
from qa.examine import Report, unreadable
from qa.inhomogeneity import BIASES
from qa.subject import BODIES, body_of
from spatial.errors import SpatialError
from spatial.volumes import Volume

SKIPPED = ("mask", "dseg", "probseg")


def main(argv: Sequence[str] | None = None) -> int:
    """Run; returns the exit status."""
    options = _options().parse_args(argv)
    try:
        if options.path.is_dir():
            return dataset(options.path, device=options.device, out=options.out, bias=options.bias, at_once=options.batch)
        return image(options)
    except QaError as error:
        print(f"{error.code}: {error.reason} {error.advice}".rstrip(), file=sys.stderr)
        return 2 if error.code in ("no_device", "mask_mismatch", "no_images", "no_n4") else 1


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qa", description="Measure how good an MRI volume is, and say why.")
    parser.add_argument("path", type=Path, metavar="IMAGE|DATASET", help="a NIfTI image, or a BIDS dataset with --report")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--mask-deface", type=Path, metavar="M", help="what a defacer took away: the image is measured as defaced")
    parser.add_argument("--suffix", help="BIDS suffix, where the file name does not end in one")
    parser.add_argument("--body", choices=BODIES, help="what the image shows (default: told by bp- in the name, or by the sidecar)")
    parser.add_argument("--mask-cord", type=Path, metavar="M", help="the cord as a rater drew it: a side of the field of view that cuts it is told")
    parser.add_argument("--bias", choices=BIASES, default="fit", help="how the shading is found (n4: by SimpleITK; compared with no norm)")
    parser.add_argument("--report", action="store_true", help="DATASET: write tables to derivatives/qa/, and pages and reports to derivatives/qa-pages/")
    parser.add_argument("--batch", type=int, metavar="N", help="DATASET: images at once (default: 1 on a CPU, 8 on a GPU)")
    parser.add_argument("--out", type=Path, help="DATASET: write the tables there instead, and the pages beside it (OUT-pages)")
    return parser


def suffix_of(path: Path) -> str:
    """The BIDS suffix of a file name: what follows the last underscore."""
    return path.name.split(".")[0].rsplit("_", 1)[-1]


def body_in_name(path: Path, facts: Mapping[str, Any]) -> str:
    """What the name's bp- entity says (cspine, tspine, lspine, spine), else the sidecar, else brain."""
    said = {part.removeprefix("bp-") for part in path.name.split("_") if part.startswith("bp-")}
    return next((body for body in BODIES if body in said), body_of(facts))


def examine(path: Path, *, device: str = "cpu", **said: Any) -> Report:
    """Load one NIfTI with what lies beside it and measure it; a file that cannot be read gives a failed report. `said`: as for `job`."""
    return measure_many([job(path, **said)], device)[0]


def job(
    path: Path,
    *,
    suffix: str | None = None,
    body: str | None = None,
    zone: Path | None = None,
    cord: Path | None = None,
    bias: str = "fit",
    shared: bool = False,
    volume: Volume | SpatialError | None = None,
) -> Job | Report:
    """One NIfTI with what lies beside it (bval, bvec, JSON), ready to be measured; of a file that cannot be read, the failed report.

    `shared`: a tree that is given out holds no faces, so a head in it was defaced wherever its sidecar does not deny it; `volume`: what reading it gave,
    where that was done already.
    """
    suffix = suffix or suffix_of(path)
    volume = read(path) if volume is None else volume
    if isinstance(volume, SpatialError):
        return unreadable(suffix, volume.reason)
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    beside = {kind: path.with_name(f"{stem}.{kind}") for kind in ("bval", "bvec", "json")}
    facts = json.loads(beside["json"].read_text(encoding="utf-8")) if beside["json"].is_file() else {}
    bval, bvec = (beside[k] if beside[k].is_file() else None for k in ("bval", "bvec"))
    body = body or body_in_name(path, facts)
    defaced = zone is not None or facts.get("Defaced", shared and body == "brain") is True
    told = {"bval": bval, "bvec": bvec, "body": body, "facts": facts, "stage": "post-deface" if defaced else "pre-deface"}
    return {"volume": volume, "suffix": suffix, "deface_zone": zone, "cord": cord, "bias": bias, **told}


def image(options: argparse.Namespace) -> int:
    """One image to the screen."""
    if options.report:
        print("--report needs a dataset folder", file=sys.stderr)
        return 2
    report = examine(
        options.path,
        suffix=options.suffix,
        body=options.body,
        device=_device(options.device),
        zone=options.mask_deface,
        cord=options.mask_cord,
        bias=options.bias,
    )
    if options.json:
        print(json.dumps(report, indent=1, allow_nan=False))
    else:
        _say(report)
    return 1 if "unreadable" in report["flags"] else 0


def _device(name: str) -> str:
    import torch

    if name.startswith("cuda") and not torch.cuda.is_available():
        raise refusal("no_device")
    return name


def _say(report: Report) -> None:
    print(f"{report['grade']}  ({report['norm']})")
    for reason in report["reasons"]:
        print(f"  - {reason}")
    for name, entry in report["metrics"].items():
        value = "-" if entry["value"] is None else f"{entry['value']:.5g}"
        print(f"{name:18} {value:>12} {entry['unit']:7} {entry['direction']:6} {report['unavailable'].get(name, '')}")


def dataset(folder: Path, *, device: str, out: Path | None, bias: str = "fit", at_once: int | None = None) -> int:
    """Every image of a BIDS tree: a report and a page each and the page of all, in derivatives/qa-pages/; tables of all in derivatives/qa/ (`qa.tables`)."""
    from qa import tables
    from qa.report import cohort

    out = out or folder / "derivatives" / "qa"
    pages = out.with_name(f"{out.name}-pages")  # BIDS has no name for pages: a folder without a description is a derivative that is not BIDS, and is let be
    images = sorted(p for p in folder.glob("sub-*/**/*.nii*") if suffix_of(p) not in SKIPPED)
    if not images:
        raise refusal("no_images")
    reports: dict[str, Report] = {}
    links: dict[str, str] = {}
    for group in ahead(images, max(1, at_once or usual(_device(device)))):
        made = measure_many([job(path, shared=True, volume=volume, bias=bias) for path, volume in group], device)
        for (path, _), report in zip(group, made, strict=True):
            name = path.relative_to(folder).as_posix()
            reports[name], links[name] = report, _write_report(pages, path.relative_to(folder), report)
            print(f"{len(reports)}/{len(images)}  {report['grade']:6}  {name}", flush=True)
    _write(pages / "index.html", cohort(reports, links=links, when=_times(folder, list(reports))))
    for name, text in tables.texts(tables.row(source, report) for source, report in reports.items()).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        _write(out / name, text)
    _write(out / "dataset_description.json", json.dumps(DESCRIPTION, indent=1))
    return 0


def _write_report(pages: Path, place: Path, report: Report) -> str:
    """The page and the whole report of one image; the page's address. `place`: of the image in its tree."""
    from qa.report import page

    # The names begin with no participant: whoever examines a tree takes such a file for a sidecar.
    stem = "_".join(p for p in place.name.split(".")[0].split("_")[:-1] if not p.startswith(("sub-", "ses-")))
    target = pages / place.parent / f"{stem}_desc-qa_{suffix_of(place)}".lstrip("_")
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(target.with_name(f"{target.name}.json"), json.dumps(report | {"source": f"bids::{place.as_posix()}"}, indent=1, allow_nan=False))
    _write(target.with_name(f"{target.name}.html"), page(report, place.name))
    return target.with_name(f"{target.name}.html").relative_to(pages).as_posix()


def _times(folder: Path, names: Sequence[str]) -> dict[str, float]:
    """Days from any start, as the sessions tables say (`acq_time` or `day`); an image whose session has none is left out."""
    days: dict[tuple[str, str], float] = {}
    for table in folder.glob("sub-*/sub-*_sessions.tsv"):
        rows = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
        for cells in rows[1:]:
            row = dict(zip(rows[0], cells, strict=False))
            when = _days(row.get("acq_time") or row.get("day") or "")
            if when is not None:
                days[table.parent.name, row.get("session_id", "")] = when
    found = {name: days.get((name.split("/")[0], name.split("/")[1])) for name in names}
    return {name: day for name, day in found.items() if day is not None}


def _days(text: str) -> float | None:
    """A number of days, or an ISO date and time as days; None for anything else."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp() / 86400
    except ValueError:
        return None


DESCRIPTION: dict[str, Any] = {
    "Name": "Measures of image quality",
    "BIDSVersion": "1.10.0",
    "DatasetType": "derivative",
    "GeneratedBy": [{"Name": "myelin", "Description": "python -m qa"}],
    "DatasetLinks": {"raw": "../.."},
}


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
