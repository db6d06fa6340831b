"""What a BIDS tree of some participants consists of, as a list: store files by hash, and small texts made from facts. Nothing is written here.

A participant's *facts* are one canonical JSON in their folder of the store: label, sex, sessions, phenotype rows, frozen when the release was. Every table
that holds several people is made from the facts of those who are in it, in the order of their labels. So the tree of a subset is made like the tree of all,
the same set gives the same bytes, and a participant whose folder is deleted is in no table any more. What is said of clinical and quality columns is
frozen too, by the release's *header* (`header_of`). The other words (README, participants, sessions, scans) are our code's: a golden test holds their bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from bidstree import dataset, tables
from bidstree.names import EDITION
from pipeline.outcome import versions
from qa import tables as quality
from registry.accounts.models import Dataset
from registry.clinical import derived, dictionary
from registry.clinical.models import ClinicalRecord
from registry.imaging import store
from registry.imaging.models import Image
from registry.releases.sealing import Part, canonical
from registry.subjects.models import Participant, Visit

FIRST = "myelin-clinical-1"  # the dictionary of releases that do not say which
BANDS = {"birth_year_band": {"Description": "Five-year band of the year of birth."}}
README = """{name}

{description}

Release {version} of a Myelin registry. Images were de-identified and their faces removed; tables hold days from baseline, never calendar dates.
Labels are random and belong to this dataset alone. Use is bound by the terms that came with this package; nobody may try to find out who took part.
"""


@dataclass(frozen=True)
class Entry:
    """One file of a tree: whose it is (None: of all), its path, and its bytes as text or as a hash in the participant's folder of the store."""

    path: str
    participant: Participant | None
    sha256: str
    bytes: int
    text: bytes | None = None

    def part(self, root: str = "") -> Part:
        """The same as a member of a tar or a file to write, below `root`."""
        name = f"{root}/{self.path}" if root else self.path
        if self.text is not None:
            return Part(name, data=self.text)
        assert self.participant is not None
        return Part(name, file=store.path(self.participant, self.sha256), size=self.bytes, sha256=self.sha256)


def _entry(path: str, text: bytes, participant: Participant | None = None) -> Entry:
    return Entry(path, participant, hashlib.sha256(text).hexdigest(), len(text), text)


def facts(
    participant: Participant,
    visits: Sequence[Visit],
    records: Sequence[ClinicalRecord],
    images: Sequence[Image] = (),
    known: Sequence[ClinicalRecord] = (),
) -> dict[str, Any]:
    """All that tables say about one participant at this moment. Only visits and images named here are told.

    `known`: all records of the participant, with their visits; what is derived looks at other visits too (an onset is told once, a progression takes two).
    """
    sessions = {visit.pk: f"ses-{visit.label}" for visit in visits}
    phenotype: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for record in records:
        row = phenotype[record.instrument].setdefault(sessions[record.visit_id], {})
        row |= {"participant_id": f"sub-{participant.label}", "session_id": sessions[record.visit_id]}
        row |= dictionary.row(record.instrument, record.values, record.number)
    for visit, told in _derived(visits, known or records):
        phenotype[dictionary.DERIVED][sessions[visit.pk]] = {"participant_id": f"sub-{participant.label}", "session_id": sessions[visit.pk], **told}
    return {
        "label": participant.label,
        "sex": participant.sex or None,
        "birth_year_band": participant.birth_year_band or None,
        **_constant(known or records),
        "sessions": [{"session_id": f"ses-{visit.label}", "day": visit.day} | _age(visit, records, images) for visit in visits],
        "scans": sorted((_scan(image) for image in images if image.bids_path.startswith("sub-")), key=lambda row: str(row["filename"])),
        "quality": sorted((_measured(image) for image in images if image.bids_path.startswith("sub-")), key=lambda row: str(row["source"])),
        "phenotype": {name: [rows[session] for session in sorted(rows)] for name, rows in phenotype.items()},
        "most": {record.instrument: max(other.number for other in records if other.instrument == record.instrument) for record in records},
    }


def only(told: Mapping[str, Any], paths: set[str], *, clinical: bool, quality: bool) -> dict[str, Any]:
    """Facts as if no other images than those at `paths` were there, with or without clinical values and measures of quality."""
    fresh = {**told, "scans": [row for row in told.get("scans", ()) if row["filename"] in paths]}
    fresh["quality"] = [row for row in told.get("quality", ()) if quality and row["source"] in paths]
    return fresh if clinical else {name: value for name, value in fresh.items() if name not in ("handedness", "group")} | {"phenotype": {}, "most": {}}


def personal(participant: Participant, told: Mapping[str, Any]) -> list[Entry]:
    """The small files of one participant's own: their sessions and scans tables."""
    if not told["sessions"]:
        return []
    who = f"sub-{told['label']}"
    entries = _table(f"{who}/{who}_sessions", tables.sessions(told["sessions"]), participant)
    for session in sorted({row["filename"].split("/")[1] for row in told.get("scans", ())}):
        rows = [row | {"filename": row["filename"].split("/", 2)[2]} for row in told["scans"] if row["filename"].split("/")[1] == session]
        entries += _table(f"{who}/{session}/{who}_{session}_scans", tables.scans(rows), participant)
    return entries


def _scan(image: Image) -> dict[str, Any]:
    """What the scans table says of one image."""
    return {"filename": image.bids_path, "quality": image.grade, "deface": image.deface_verdict, "conversion": image.conversion_verdict or None}


def _constant(known: Sequence[ClinicalRecord]) -> dict[str, Any]:
    """What the participants table says beyond sex and band: as recorded first, and only what is recorded."""
    told: dict[str, Any] = {}
    for record in sorted((one for one in known if one.instrument == "demographics"), key=lambda one: one.visit.day or 0):
        values = dictionary.row("demographics", record.values)
        told = {name: values[name] for name in ("handedness", "group") if values[name] is not None} | told
    return told


def _derived(visits: Sequence[Visit], known: Sequence[ClinicalRecord]) -> list[tuple[Visit, dict[str, Any]]]:
    """What follows from all that is known, at each of these visits of which something can be told."""
    seen = [derived.Seen(record.visit.day, record.instrument, record.values) for record in known if record.visit.day is not None]
    told = derived.of_person([visit.day for visit in visits if visit.day is not None], seen)
    return [(visit, told[visit.day]) for visit in visits if visit.day in told]


def _measured(image: Image) -> dict[str, Any]:
    """What the tables of derivatives/qa say of one image; its name is that under which it is given out."""
    return quality.row(image.bids_path, image.provenance.get("quality") or {"grade": image.grade}, image.provenance.get("protocol"))


def _age(visit: Visit, records: Sequence[ClinicalRecord], images: Sequence[Image]) -> dict[str, Any]:
    """The age at a visit in years, where its demographic record or its images tell it; a child's from the months."""
    for record in records:
        if record.visit_id == visit.pk and record.instrument == "demographics":
            months, years = (derived.number(record.values, name) for name in ("age_months", "age_years"))
            if months is not None or years is not None:
                return {"age": months / 12 if months is not None else years}
    told = [image.provenance["deid"]["age"] for image in images if image.visit_id == visit.pk and "age" in (image.provenance.get("deid") or {})]
    return {"age": told[0]} if told else {}


def shared(header: Mapping[str, Any], everybody: Sequence[Mapping[str, Any]], derivatives: Iterable[str] = ()) -> list[Entry]:
    """The files that are of all: description, README, participants, phenotype. `header`: what `header_of` gave when the release was frozen."""
    keys = ("sex", "birth_year_band", "handedness", "group")
    rows = [{"participant_id": f"sub-{told['label']}", "species": "homo sapiens"} | {key: told[key] for key in keys if key in told} for told in everybody]
    entries = [
        _entry("dataset_description.json", dataset.dump(_description(header)).encode()),
        _entry("README", _readme(header).encode()),
        *([_entry("CHANGES", header["changes"].encode())] if header.get("changes") else []),
        *_table("participants", tables.participants(rows, BANDS | _explained(header.get("dictionary", FIRST)))),
    ]
    entries += _phenotype(everybody, header.get("dictionary", FIRST))
    measures = quality.texts((row for told in everybody for row in told.get("quality", ())), header.get("quality", ""))
    entries += [_entry(f"derivatives/qa/{path}", text.encode()) for path, text in measures.items()]
    for name in sorted({*derivatives, *(["qa"] if measures else [])}):
        entries.append(_entry(f"derivatives/{name}/dataset_description.json", dataset.dump(_description(header, name)).encode()))
    return entries


def _explained(version: str) -> dict[str, Any]:
    """What the dictionary says of the columns that the participants table takes from it."""
    if "demographics" not in dictionary.names(version):
        return {}
    told = dictionary.sidecar("demographics", 1, version)
    return {name: told[name] for name in ("handedness", "group")}


def _phenotype(everybody: Sequence[Mapping[str, Any]], version: str) -> list[Entry]:
    """`phenotype/INSTRUMENT_VISIT.tsv`, one table per instrument and visit: BIDS (schema 1.2.7) allows one row per participant in a phenotype table.

    Each table names its session in a column, so that the tables of an instrument can be laid under one another. `version`: of the dictionary when the release
    was made, so that an old release is described as it was.
    """
    entries: list[Entry] = []
    for name in dictionary.tables(version):
        found = [row for told in everybody for row in told["phenotype"].get(name, [])]
        most = max((told["most"].get(name, 1) for told in everybody), default=1)
        for session in sorted({row["session_id"] for row in found}):
            table = tables.phenotype(name, [row for row in found if row["session_id"] == session], dictionary.sidecar(name, most, version))
            entries += _table(f"phenotype/{name}_{session.removeprefix('ses-')}", table)
    return entries


def _table(stem: str, table: tables.Table, participant: Participant | None = None) -> list[Entry]:
    return [_entry(f"{stem}.tsv", table.tsv.encode(), participant), _entry(f"{stem}.json", table.json().encode(), participant)]


def header_of(source: Dataset, version: str, history: Iterable[tuple[str, date, str]] = ()) -> dict[str, str]:
    """What the dataset's own files say about it, frozen with the release. `history`: version, day and changes of each release so far, newest first."""
    told = {"name": source.name, "description": source.description, "licence": source.licence, "version": version, "slug": source.slug}
    told |= {"dictionary": dictionary.version(), "quality": quality.words(), "bids": EDITION}
    entries = [f"{number} {day.isoformat()}\n\n  - {' '.join(text.split()) or 'Images accepted since the release before.'}\n" for number, day, text in history]
    tools = versions()
    made = {name: tools[name] for name in ("myelin", "dcm2niix") if name in tools}
    return told | {"terms": source.terms, "changes": "\n".join(entries), **{f"version_{name}": text for name, text in made.items()}}


def _readme(header: Mapping[str, Any]) -> str:
    """The README, with the dataset's terms of use where it has some."""
    terms = str(header.get("terms") or "").strip()
    return README.format(**header) + (f"\nTerms of use:\n\n{terms}\n" if terms else "")


def _description(header: Mapping[str, Any], derivative: str = "") -> dict[str, Any]:
    told: dict[str, Any] = {
        "Name": header["name"] + (f": {derivative}" if derivative else ""),
        "BIDSVersion": header.get("bids", EDITION),
        "DatasetType": "derivative" if derivative else "raw",
        "GeneratedBy": [
            {"Name": name, **({"Version": header[f"version_{name}"]} if f"version_{name}" in header else {})}
            for name in ("myelin", *(["dcm2niix"] if "version_dcm2niix" in header and not derivative else []))
        ],
    }
    if derivative:  # `bids:raw:sub-…` in a sidecar leads from the derivative to the images two folders up
        told["DatasetLinks"] = {"raw": "../.."}
    if header["licence"]:
        told["License"] = header["licence"]
    return told


def derivatives_in(paths: Iterable[str]) -> set[str]:
    """The names of derivative datasets that paths lie in."""
    return {path.split("/")[1] for path in paths if path.startswith("derivatives/") and path.count("/") > 1}


def keep_facts(participant: Participant, told: Mapping[str, Any]) -> tuple[str, int]:
    """Put facts into the participant's folder of the store; return (SHA-256, bytes)."""
    text = canonical(told)
    sha256 = hashlib.sha256(text).hexdigest()
    store.put(participant, text, sha256)
    return sha256, len(text)


def read_facts(participant: Participant, sha256: str) -> dict[str, Any]:
    """Facts as they were frozen. Raises store.Corrupt when they are gone or changed."""
    file = store.path(participant, sha256)
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        raise store.Corrupt("the facts are gone") from None
    if hashlib.sha256(text).hexdigest() != sha256:
        raise store.Corrupt("the facts were changed")
    told: dict[str, Any] = json.loads(text)
    return told


def lay_out(entries: Iterable[Entry], folder: Path) -> None:
    """Make the tree as hard links into the store, for a program that must see folders. `folder` must lie on the store's file system."""
    for entry in entries:
        part = entry.part()
        target = folder / part.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if part.data is not None:
            target.write_bytes(part.data)
        else:
            assert part.file is not None
            target.hardlink_to(part.file)
