"""Reports of many images as BIDS has room for them: one table per visit and kind of image, `phenotype/qa_VISIT_IMAGE.tsv`, with its dictionary.

BIDS 1.11 knows no file of measures beside an image: a JSON without a NIfTI of its name is an error of the official validator, and so is a table among
the images. A phenotype table is valid in a derivative dataset (`derivatives/qa`), holds one row per participant, and opens in any program.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from qa.metrics import METRICS

Row = Mapping[str, Any]
NONE = "n/a"
COLUMNS: dict[str, dict[str, Any]] = {
    "participant_id": {"Description": "The participant, as in participants.tsv."},
    "source": {"Description": "The image that was measured."},
    "grade": {
        "Description": "What the measures say; a person decides beside it.",
        "Levels": {
            "pass": "Nothing speaks against it.",
            "review": "A measure lies far from what is usual, or beyond a published limit: somebody should look.",
            "fail": "A hard fact speaks against it, whatever the scanner.",
        },
    },
    "reasons": {"Description": "Why it is not `pass`, in sentences."},
    "norm": {"Description": "By how many accepted scans it was judged."},
    "protocol": {"Description": "Whether it keeps to the protocol: conforms, deviates, unknown."},
    "stage": {"Description": "pre-deface: measured as the scanner made it; post-deface: after its face was removed, so that nothing in air is told."},
    "qa_version": {"Description": "Version of all definitions together: numbers of different versions are never compared."},
    "brain_changed": {"Description": "Voxels of the brain that defacing changed; n/a where no face was taken.", "Units": "count"},
    "unavailable": {"Description": "Measures that could not be had, each with the reason."},
}


def row(source: str, report: Mapping[str, Any], protocol: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One image as a row. `source`: its BIDS path in the dataset; `report`: as `qa.measure` made it, with the one after defacing as `after` if any."""
    path = source.split("/")
    after = (report.get("after") or {}).get("integrity") or report.get("integrity") or {}
    missing = report.get("unavailable") or {}
    said: dict[str, Any] = {"participant_id": path[0], "source": f"bids:raw:{source}", "reasons": " ".join(report.get("reasons", ()))}
    said |= {name: report.get(name) for name in ("grade", "norm", "stage", "qa_version")}
    said |= {"protocol": (protocol or {}).get("verdict"), "brain_changed": after.get("brain_changed")}
    said |= {"unavailable": " ".join(f"{name}: {why}" for name, why in sorted(missing.items()))}
    return said | {name: entry.get("value") for name, entry in (report.get("metrics") or {}).items() if name in METRICS}


def name_of(source: str) -> str:
    """The table an image belongs to: its name without the participant. `ses-` and hyphens have no place there (the validator takes them for folders)."""
    stem = source.rsplit("/", 1)[-1].split(".")[0]
    parts = [part.removeprefix("ses-").replace("-", "") for part in stem.split("_") if not part.startswith("sub-")]
    return "qa_" + "_".join(parts)


def words() -> str:
    """What is said of the tables and of every column they may have, in the order of the columns, as JSON text (a database's JSON keeps no order)."""
    about = {"Description": "Measures of image quality by Myelin; docs/reference/quality.md has the formulas."}
    return json.dumps({**about, **{column: explained(column) for column in (*COLUMNS, *METRICS)}}, ensure_ascii=False)


def texts(rows: Iterable[Row], said: str = "") -> dict[str, str]:
    """Path below `derivatives/qa` -> text of every table and dictionary. The same rows in any order give the same bytes.

    `said`: what `words` gave when the rows were made, so that tables made again later are the same; without it, what it gives now.
    """
    told: dict[str, Any] = json.loads(said or words())
    description = told.pop("Description")
    groups: dict[str, list[Row]] = {}
    for one in rows:
        groups.setdefault(name_of(str(one["source"])), []).append(one)
    made: dict[str, str] = {}
    for name, members in sorted(groups.items()):
        columns = [c for c in told if any(c in member for member in members)]
        lines = ["\t".join(columns)]
        lines += ["\t".join(_cell(member.get(c)) for c in columns) for member in sorted(members, key=lambda m: (m["participant_id"], m["source"]))]
        made[f"phenotype/{name}.tsv"] = "\n".join(lines) + "\n"
        about = {"Description": description, **{c: told[c] for c in columns}}
        made[f"phenotype/{name}.json"] = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    return made


def explained(column: str) -> dict[str, Any]:
    """What a column is, for the dictionary beside the table."""
    if column in COLUMNS:
        return COLUMNS[column]
    metric = METRICS[column]
    good = {"high": "high is good", "low": "low is good", "range": "both ends are bad", "none": "a description"}[metric.direction]
    return {"Description": f"{metric.sentence[0].upper()}{metric.sentence[1:]} ({good}; definition {metric.version}).", "Units": metric.unit}


def _cell(value: Any) -> str:
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return NONE
    return f"{value:.6g}" if isinstance(value, float) else re.sub(r"\s+", " ", str(value)).strip()
