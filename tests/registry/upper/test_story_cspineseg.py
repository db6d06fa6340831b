"""CSpineSeg: a manifest registers many people and visits in one call; spines come with masks, under a waiver; demographics find their people by keyed hash.

The outcomes of the pipeline are written by hand; who each scan is of, the store, the release with its validator and the package are real.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import uuid
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyrage
import pytest

from registry.imaging.models import Image
from registry.releases.models import Release
from registry.subjects.models import Participant, SourceIdentifier, Visit
from tests.registry.upper.conftest import PNG, said
from tests.registry.upper.desks import Desk, at_desk, opened, package_of

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.slow]
PEOPLE, TWICE = 40, 5  # this many patients, of whom so many came twice
FIRST = date(2019, 2, 4)
PLACE = {"dataset": "cspineseg", "site": "duke"}
MANIFEST: dict[str, Any] = {
    "participant": {"column": "exam_id", "register": True, "sex": "sex"},
    "visit": {"date": {"column": "exam_date", "order": "YMD"}, "add": True},
    "records": [],
    "ignore": ["series", "file"],
}
DEMOGRAPHICS: dict[str, Any] = {
    "participant": {"column": "exam_id"},
    "visit": {"first": True},
    "records": [{"instrument": "demographics", "fields": {"age_years": "age", "group": {"value": "cervical_spine"}}}],
}


def test_a_manifest_masks_demographics_and_a_waiver(world: Any, live_server: Any, carried: Any) -> None:
    duke = world.site("duke", "US")
    dataset = world.dataset(duke, slug="cspineseg")
    site, desk = at_desk(live_server, world.contributor(dataset, duke)), at_desk(live_server, world.steward(dataset))
    registered(site)
    waived(site)
    handed_in(site, carried)
    demographics(site)

    # Five studies came through with their masks; the steward takes them but one, with a reason.
    images = desk.get("/images?state=proposed")["results"]
    assert len(images) == 5
    moved = next(image["id"] for image in images if image["participant"] == person(4))
    desk.post(f"/images/{moved}/refuse", {"reason": "motion"}, 200)
    desk.post("/images/accept", {"images": [image["id"] for image in images if image["id"] != moved]}, 200)
    assert Counter(row["reason"] for row in desk.get("/images?state=refused")["results"]) == {"motion": 1}
    desk.post("/releases", {"dataset": "cspineseg", "changes": "first"}, 202)
    while carried.work():
        pass
    release = Release.objects.get()
    assert release.state == "validated", release.validator

    # A researcher of the European Economic Area has what the waiver covers, and nothing names anybody.
    files = received(world, live_server, desk, carried)
    masks = [name for name in files if name.endswith("_mask.nii.gz")]
    heads = [name for name in files if name.startswith("sub-") and name.endswith("_T2w.nii.gz")]
    assert len(heads) == len(masks) == 4
    ages = [row["age_years"] for row in csv.DictReader(io.StringIO(files["phenotype/demographics_d0.tsv"].decode()), delimiter="\t")]
    assert len(ages) == len({name.split("/")[0] for name in heads}) and all(40 <= int(age) < 80 for age in ages)
    everything = b"".join(files.values())
    assert b"CSP-" not in everything and str(FIRST).encode() not in everything


def rows() -> list[dict[str, str]]:
    """Two series of each visit: the image and its mask."""
    told = []
    for n in range(PEOPLE):
        for visit in range(1 + (n < TWICE)):
            exam = {"exam_id": name(n), "sex": "FM"[n % 2], "exam_date": day(n, visit).isoformat()}
            told += [exam | {"series": series, "file": f"{len(told)}.nii.gz"} for series in ("t2_sag", "mask")]
    return told


def name(n: int) -> str:
    return f"CSP-{n:04d}"


def day(n: int, visit: int = 0) -> date:
    return FIRST + timedelta(days=3 * n + 400 * visit)


def text(table: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def take(site: Desk, mapping: str, table: list[dict[str, str]], status: int = 200, code: str | None = None) -> Any:
    return site.post("/tables", {**PLACE, "mapping": mapping, "table": text(table), "apply": True}, status, code)


def registered(site: Desk) -> None:
    """One call: all people and visits, or, where one row is wrong, none; the same again changes nothing."""
    site.post("/mappings", {**PLACE, "name": "manifest", "spec": MANIFEST}, 201)
    spoiled = rows()
    spoiled[7] |= {"exam_date": "2019-02-31"}
    told = take(site, "manifest", spoiled, 422, "table_faulty")
    assert {(str(fault["row"]), fault["column"]) for fault in told["errors"]} == {("9", "exam_date")} and not Participant.objects.exists()
    told = take(site, "manifest", rows())
    assert (told["changes"]["participants"]["new"], told["changes"]["visits"]["new"]) == (PEOPLE, PEOPLE + TWICE)
    again = take(site, "manifest", rows())
    assert (again["changes"]["participants"]["new"], again["changes"]["visits"]["new"]) == (0, 0)
    assert (Participant.objects.count(), Visit.objects.count(), SourceIdentifier.objects.count()) == (PEOPLE, PEOPLE + TWICE, PEOPLE)


def person(n: int) -> str:
    """The participant of a source identifier: known by a keyed hash alone."""
    from registry.accounts import keys

    some = Participant.objects.select_related("dataset").first()
    assert some is not None
    code = keys.code_key(some.dataset).code("duke", "", name(n))
    return str(Participant.objects.get(code=code).pk)


def waived(site: Desk) -> None:
    """A board waived the consent of all but the last person; nobody else gives a waiver."""
    paper = {"kind": "given", "permission": "HMB", "legal_basis": "irb_waiver", "evidence_sha256": "a" * 64}
    site.post("/consents", {"consents": [{"participant": person(0), **paper}]}, 400, "consent_given_by")
    consents = [{"participant": person(n), **paper, "given_by": "board"} for n in range(PEOPLE) if n != 3]
    site.post("/consents", {"consents": consents}, 201)


def handed_in(site: Desk, carried: Any) -> None:
    """An upload of eight studies; what is left out is told of with its reason, and counted."""
    told = [(name(0), day(0)), (name(0), day(0, 1)), (name(1), day(1)), (name(2), day(2)), (name(3), day(3)), (name(4), day(4)), (name(99), FIRST), "junk"]
    upload = site.post("/uploads", PLACE, 201)
    bodies = [f"scan {n}".encode() for n in range(len(told))]
    for n, body in enumerate(bodies, 1):
        site.put_file(upload["id"], n, body, folder=f"{n}")
    site.post(f"/uploads/{upload['id']}/complete", {"count": len(bodies), "bytes": sum(map(len, bodies))}, 202)
    carried.sort(upload["id"], told)
    assert carried.studies(spine) == 5
    receipt = site.get(f"/uploads/{upload['id']}/receipt")["files"]
    assert Counter(row["code"] for row in receipt if row["verdict"] != "kept") == {"no_consent": 1, "unknown_participant": 1, "unknown_format": 1}


def spine(order: dict[str, Any], place: Path) -> dict[str, Any]:
    """The outcome of a study that is one sagittal T2w of the neck with a mask of its cord, both on one grid; no face is in it."""
    label, session = order["participant"]["label"], order["session"]
    stem = f"sub-{label}/ses-{session}/anat/sub-{label}_ses-{session}_T2w"
    drawn = f"derivatives/annotations/{stem.removesuffix('_T2w')}_space-orig_label-cord_desc-r1_mask"
    rng = np.random.default_rng(int(hashlib.sha256(order["study"].encode()).hexdigest()[:8], 16))
    mask = np.zeros((12, 40, 40), np.uint8)
    mask[5:7, 5:35, 18:22] = 1
    sidecar = {"Sources": [f"bids:raw:{stem}.nii.gz"], "SpatialReference": f"bids:raw:{stem}.nii.gz", "Type": "ROI", "Manual": True}
    made = {f"{stem}.nii.gz": packed(rng.integers(0, 900, mask.shape).astype(np.int16)), f"{stem}.json": b'{"MagneticFieldStrength": 3}'}
    made |= {f"{drawn}.nii.gz": packed(mask), f"{drawn}.json": json.dumps(sidecar).encode()}
    for path, data in made.items():
        (place / "bids" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "bids" / path).write_bytes(data)
    picture = f"{uuid.uuid4().hex}.png"
    (place / "review" / picture).write_bytes(PNG)
    image = {"bids": f"{stem}.nii.gz", "contrast": {"suffix": "T2w", "datatype": "anat", "confidence": 0.9, "words": "T2-weighted"}}
    image |= {
        "conversion": {"verdict": "agreed"},
        "deface": {"verdict": "no_face", "code": "no_face_in_view"},
        "quality": {"grade": "pass", "reasons": [], "metrics": {}},
    }
    image |= {
        "protocol": {},
        "deid": {"profile": "myelin-2026", "account": {}},
        "files": [row["n"] for row in order["files"]],
        "products": list(made),
        "review": [picture],
    }
    products = [{"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for path, data in made.items()]
    files = [{**row, "bytes": 6, "product": f"{stem}.nii.gz", **said("kept", "ok")} for row in order["files"]]
    return {"files": files, "images": [image], "products": products}


def packed(data: Any) -> bytes:
    image = nib.Nifti1Image(data, np.diag([3.0, 0.8, 0.8, 1]))
    image.header.set_xyzt_units("mm", "sec")
    return gzip.compress(image.to_bytes(), mtime=0)


def demographics(site: Desk) -> None:
    """Another table of the same people, in another spelling: each row finds its person; a stranger's row stops all of it."""
    site.post("/mappings", {**PLACE, "name": "demographics", "spec": DEMOGRAPHICS}, 201)
    table = [{"exam_id": f" {name(n).lower()} ", "age": str(40 + n)} for n in range(PEOPLE)]
    told = take(site, "demographics", [*table, {"exam_id": "CSP-9999", "age": "50"}], 422, "table_faulty")
    assert {str(fault["row"]) for fault in told["errors"]} == {str(PEOPLE + 2)}
    told = take(site, "demographics", table)
    assert told["changes"]["participants"]["new"] == 0 and told["changes"]["records"]["new"] == PEOPLE
    assert SourceIdentifier.objects.count() == PEOPLE


def received(world: Any, live_server: Any, steward: Desk, carried: Any) -> dict[str, bytes]:
    """A package that opens with the seeker's key, and with no other."""
    key = pyrage.x25519.Identity.generate()
    seeker = at_desk(live_server, world.user("seeker"))
    wanted = {"dataset": "cspineseg", "title": "Cords", "abstract": "We train.", "purpose": "HMB", "recipient_key": str(key.to_public())}
    asked = seeker.post("/requests", wanted, 201)
    seeker.post(f"/requests/{asked['id']}/submit", {}, 200)
    decided = steward.post(f"/requests/{asked['id']}/decide", {"verdict": "approve", "reason": "Good."}, 200)
    assert decided["answers"]["allowed"] == PEOPLE - 1 and [row["code"] for row in decided["answers"]["reasons"]] == ["no_consent"]
    version = seeker.get(f"/requests/{asked['id']}/agreement")["version"]
    right = seeker.post(f"/requests/{asked['id']}/sign", {"version": version, "accept": True}, 200)
    _, told = package_of(seeker, right["id"], carried)
    sealed = seeker.raw("get", told["download"]).content
    with pytest.raises(pyrage.DecryptError):
        opened(sealed, pyrage.x25519.Identity.generate())
    assert Image.objects.filter(state="accepted").count() == 4
    return opened(sealed, key)
