"""What is asked of the pipeline: one order, plain JSON under a schema, no name and no date in it.

`order.schema.json` (beside this file; a copy in docs/reference/) says what an order may hold. An order that does not keep to it is not carried out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

__all__ = ["BadOrder", "Order", "read", "schema"]

SIZE_CAP = 64 * 1024 * 1024
# What an order may say of one file beyond its number and hash.
SAID = frozenset({"annotation", "contrast", "body", "session", "beside", "processed", "space", "resample", "rater", "labels"})


class BadOrder(ValueError):
    """The order does not keep to the schema. `place` says where, without the value that stands there."""

    code = "bad_order"

    def __init__(self, place: str) -> None:
        super().__init__(f"The order is wrong at {place}.")
        self.place = place


@dataclass(frozen=True)
class Order:
    """One order. `keys`: paths of the key files; `files`: number -> SHA-256 of the files of the study (kind "study" only);
    `said`: number -> what whoever ordered knows of a NIfTI file or of one beside it (the words of `SAID`);
    `corrections`: fingerprint of a protocol -> what a person decided about it (`bidstree.corrections`);
    `protocol`: profile (a dataset's own, as data), inclusion (ids of rules that fail a scan which breaks them), purposes (label of a visit -> purpose);
    `faces`: what the dataset agreed on about them (`deid.facepolicy`)."""

    run: str
    attempt: int
    kind: str
    input: Path
    site: str
    keys: Mapping[str, str]
    profile: str = "myelin-2026"
    deface: str = "face"
    device: str = "cpu"
    jobs: int = 1
    study: str = ""
    participant: str = ""
    label: str = ""
    session: str = ""
    files: tuple[tuple[int, str], ...] = ()
    said: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    corrections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    faces: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The order as JSON; `parse` reads it back."""
        same = ("run", "attempt", "kind", "site", "profile", "deface", "device", "jobs")
        value: dict[str, Any] = {"schema": 1, "input": str(self.input), "keys": dict(self.keys)} | {name: getattr(self, name) for name in same}
        if self.kind == "study":
            value |= {"study": self.study, "session": self.session, "participant": {"code": self.participant, "label": self.label}}
            value["files"] = [{"n": n, "sha256": digest, **self.said.get(n, {})} for n, digest in self.files]
            value |= {"corrections": {mark: dict(row) for mark, row in self.corrections.items()}} if self.corrections else {}
            value |= {name: dict(told) for name, told in (("protocol", self.protocol), ("faces", self.faces)) if told}
        return value


@cache
def schema(name: str = "order") -> Draft202012Validator:
    """The validator of the schema called `name` ("order" or "outcome")."""
    text = Path(__file__).with_name(f"{name}.schema.json").read_text(encoding="utf-8")
    return Draft202012Validator(json.loads(text))


def part(name: str) -> Draft202012Validator:
    """The validator of one property of an order."""
    whole = json.loads(Path(__file__).with_name("order.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(whole["properties"][name])


def parse(value: Any) -> Order:
    """The order that a JSON value stands for. Raises BadOrder."""
    for error in schema().iter_errors(value):
        raise BadOrder("/".join(str(part) for part in error.absolute_path) or "its top level")
    person = value.get("participant", {})
    plain = {
        name: value[name]
        for name in ("run", "attempt", "kind", "site", "keys", "profile", "deface", "device", "jobs", "study", "session", "corrections", "protocol", "faces")
        if name in value
    }
    files = tuple((row["n"], row["sha256"]) for row in value.get("files", ()))
    said = {row["n"]: {name: text for name, text in row.items() if name in SAID} for row in value.get("files", ()) if SAID & row.keys()}
    label = person.get("label", "")
    return Order(input=Path(value["input"]), participant=person.get("code", ""), label=label, files=files, said=said, **plain)


def read(path: Path) -> Order:
    """The order in a file. Raises BadOrder (also for what is no JSON, and for more than 64 MiB of it)."""
    try:
        if path.stat().st_size > SIZE_CAP:
            raise BadOrder("its size")
        return parse(json.loads(path.read_bytes()))
    except (OSError, RecursionError, UnicodeDecodeError, json.JSONDecodeError):
        raise BadOrder("its encoding") from None
