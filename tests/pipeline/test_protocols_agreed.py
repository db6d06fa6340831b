"""What a dataset agreed on reaches the verdict of a scan: its profile, its criteria of inclusion, the purpose of the visit; each with its twin."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from deid import headers
from deid.pseudonyms import keys_from_file, new_key
from pipeline import made, measuring, order
from pipeline.inventory import inventory
from pipeline.isolate import Pool
from pipeline.order import BadOrder, Order
from pipeline.outcome import FileRow
from pipeline.study import Work
from pipeline.workspace import Workspace, private
from tests.pipeline import small_head

OWN = {
    "name": "site",
    "title": "ours",
    "version": "1",
    "rule": [{"id": "coarse", "says": "At least 2 mm in plane", "value": "in_plane_mm", "min": 2.0, "where": {"suffix": "T1w"}}],
    "visit": {"trial": {"brain": {"recommended": [{"says": "T1w of the brain", "any": ["T1w"]}]}}},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One T1w of 3 mm, converted from DICOM and not yet compared with anything."""
    tmp = tmp_path_factory.mktemp("agreed")
    small_head.head(tmp / "in")
    new_key(tmp / "key")
    codes, pseudonyms = keys_from_file(tmp / "key")
    files = sorted(path for path in (tmp / "in").rglob("*") if path.is_file())
    uid = headers.identify(next(path for path in files if path.suffix != ".gz")).study_uid
    numbered = tuple((n, hashlib.sha256(path.read_bytes()).hexdigest()) for n, path in enumerate(files, 1))
    who = {"study": pseudonyms.study_code(uid), "participant": codes.code("s", "", "A-1"), "label": "p1", "session": "m00"}
    asked = Order("r", 1, "study", tmp / "in", "s", {"file": str(tmp / "key")}, files=numbered, **who)  # type: ignore[arg-type]
    with Pool(1) as pool:
        space = Workspace(tmp / "work", pool)
        found = {one.n: one for one in inventory(asked.input, space, dict(asked.files))}
        rows = {n: FileRow(n, digest, found[n].bytes, found[n].verdict) for n, digest in asked.files}
        with space.scratch() as scratch:
            going = Work(asked, space, found, rows, private(tmp / "result"), scratch, True)
            for step in (made.headers, made.convert):
                step(going)
            assert len(going.images) == 1
            yield going


def judged(work: Any, **agreed: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The protocol verdict and the report under what was agreed on, which travels as an order does."""
    work.order = order.parse(replace(work.order, protocol=agreed).as_json())
    made.protocol(work)
    measuring.quality(work)
    return work.images[0].protocol, work.images[0].before


def test_a_broken_rule_fails_where_the_dataset_made_it_a_criterion_and_nowhere_else(work: Any) -> None:
    protocol, report = judged(work)
    assert protocol["verdict"] == "deviates", "3 mm in plane"
    assert report["grade"] != "fail" and "visit" not in protocol
    _, report = judged(work, inclusion=["brain_in_plane"])
    assert (report["grade"], report["flags"]) == ("fail", ["not_included"])
    assert "1 x 1 mm" in report["reasons"][0]
    _, report = judged(work, inclusion=["field_strength"])
    assert report["grade"] != "fail", "a rule that it keeps to"


def test_the_purpose_of_the_visit_picks_what_it_should_bring_and_an_unknown_one_asks_for_nothing(work: Any) -> None:
    protocol, report = judged(work, purposes={"m00": "diagnosis"})
    assert protocol["visit"]["verdict"] == "deviates"
    assert [one["says"] for one in protocol["visit"]["findings"] if one["status"] == "missing"] == ["T2w of the brain", "FLAIR of the brain"]
    assert report["grade"] != "fail", "what a visit lacks is no fault of a scan"
    assert "visit" not in judged(work, purposes={"m12": "diagnosis"})[0], "another visit's"
    assert judged(work, purposes={"m00": "curiosity"})[0]["visit"]["findings"] == []


def test_a_dataset_brings_a_profile_of_its_own(work: Any) -> None:
    protocol, report = judged(work, profile=OWN, inclusion=["coarse"], purposes={"m00": "trial"})
    assert (protocol["profile"], protocol["verdict"], protocol["visit"]["verdict"]) == ("site", "conforms", "conforms")
    assert report["grade"] != "fail"


def test_an_order_with_anything_else_in_its_protocol_is_refused(work: Any) -> None:
    for wrong in ({"who": "Hansen"}, {"inclusion": ["Hansen, Ole"]}, {"purposes": {"m00": "Ole's check"}}, {"profile": "magnims"}):
        with pytest.raises(BadOrder):
            order.parse(replace(work.order, protocol=wrong).as_json())
