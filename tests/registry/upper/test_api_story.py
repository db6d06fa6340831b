"""The whole story through the HTTP API: hand in, wait, bind, look, freeze, ask, sign, receive, leave. The pipeline's answers are written by hand here
(`tests/registry/carried.py`), everything else is real: ledger, store, BIDS validator, age, signature, audit chain."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import date
from pathlib import Path
from typing import Any

import pyrage
import pytest

from registry.audit import queries as audit
from registry.imaging import store
from registry.intake import quarantine
from registry.intake.actions import tick as intake_tick
from registry.releases import packing, sealing
from registry.releases.actions import tick as releases_tick
from registry.subjects.models import Participant

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
DAY = date(2021, 3, 4)


@pytest.mark.slow
def test_from_hand_in_to_departure(door: Any, world: Any, carried: Any, tmp_path: Path) -> None:
    aarhus = world.site("aarhus")
    dataset = world.dataset(aarhus, slug="ms", min_count=2)
    giver, steward, seeker = world.contributor(dataset, aarhus), world.steward(dataset), world.user("seeker")
    site, desk, ask = door(giver), door(steward), door(seeker)

    # Three people register; one consents to biomedical research, one to general use, one not yet.
    people = site.post(
        "/participants", {"dataset": "ms", "site": "aarhus", "participants": [{"patient_id": f"MRN-55{n}21", "sex": "F"} for n in range(3)]}, 201
    )["results"]
    visits = site.post("/visits", {"visits": [{"participant": one["id"], "label": "m00", "date": "2021-03-04"} for one in people]}, 201)["results"]
    paper = "a" * 64
    site.post(
        "/consents",
        {
            "consents": [
                {"participant": people[0]["id"], "kind": "given", "permission": "HMB", "evidence_sha256": paper},
                {"participant": people[1]["id"], "kind": "given", "permission": "GRU", "evidence_sha256": paper},
            ]
        },
        201,
    )
    edss = {
        "edss_total": 2.0,
        "edss_visual": 0,
        "edss_brainstem": 0,
        "edss_pyramidal": 2,
        "edss_cerebellar": 0,
        "edss_sensory": 0,
        "edss_bowel_bladder": 0,
        "edss_cerebral": 0,
    }
    site.post(
        "/clinical-records",
        {
            "records": [
                {"visit": visits[0]["id"], "instrument": "edss", "values": edss},
                {"visit": visits[0]["id"], "instrument": "relapse", "number": 1, "values": {"onset_day": -30}},
                {"visit": visits[0]["id"], "instrument": "relapse", "number": 2, "values": {"onset_day": -3}},
            ]
        },
        201,
    )

    # An upload with one study of each, of a stranger, and of two patients.
    upload = site.post("/uploads", {"dataset": "ms", "site": "aarhus"}, 201)
    bodies = [f"scan {n}".encode() for n in range(6)]
    for n, body in enumerate(bodies, 1):
        site.put_file(upload["id"], n, body, folder=f"{n}")
    site.post(f"/uploads/{upload['id']}/complete", {"count": 5, "bytes": 1}, 409, code="upload_incomplete")
    site.post(f"/uploads/{upload['id']}/complete", {"count": 6, "bytes": sum(map(len, bodies))}, 202)
    carried.sort(upload["id"], [("MRN-55021", DAY), ("MRN-55121", DAY), ("MRN-55221", DAY), ("STRANGER-9", DAY), "two_patients", "junk"])
    waiting = {row["code"]: row for row in site.get("/studies?state=waiting")["results"]}
    assert set(waiting) == {"no_consent", "unknown_participant", "two_patients"}
    told = site.get(f"/uploads/{upload['id']}")
    assert told["files"] == {"received": 6, "pending": 2, "kept": 0, "refused": 1, "waiting": 3, "failed": 0}

    # Consent comes: the study goes on by itself. The stranger is refused; two patients cannot be bound.
    site.post("/consents", {"consents": [{"participant": people[2]["id"], "kind": "given", "permission": "POA", "evidence_sha256": paper}]}, 201)
    who = {"participant": people[0]["id"], "visit": visits[0]["id"]}
    site.post(f"/studies/{waiting['two_patients']['id']}/bind", who, 409, code="study_unbindable")
    for code in ("unknown_participant", "two_patients"):
        site.post(f"/studies/{waiting[code]['id']}/refuse", {"reason": "not ours"}, 200)
    assert carried.studies() == 3
    assert site.get(f"/uploads/{upload['id']}")["state"] == "done"

    # The steward looks and takes; a look leaves a line; afterwards the originals are gone.
    images = desk.get("/images?state=proposed")["results"]
    assert len(images) == 3
    picture = images[0]["pictures"]["review"][0]
    assert desk.raw("get", picture).content.startswith(b"\x89PNG")
    assert site.raw("get", picture).status_code == 403
    desk.post("/images/accept", {"images": [image["id"] for image in images]}, 200)
    assert quarantine.folder(upload_uuid(upload)).exists()
    intake_tick()
    assert not quarantine.folder(upload_uuid(upload)).exists()
    assert desk.raw("get", picture).status_code == 410

    # Release 1 passes the validator.
    release = desk.post("/releases", {"dataset": "ms", "changes": "first"}, 202)
    carried.work()
    release = desk.get(f"/releases/{release['id']}")
    assert (release["state"], release["participants"], release["validator"]["errors"]) == ("validated", 3, 0), release

    # A researcher asks for biomedical research: the ancestry-only participant is left out, with the reason.
    key = pyrage.x25519.Identity.generate()
    wanted = {"dataset": "ms", "title": "Lesions", "abstract": "We count.", "purpose": "HMB", "recipient_key": str(key.to_public())}
    asked = ask.post("/requests", wanted, 201)
    ask.post(f"/requests/{asked['id']}/submit", {}, 200)
    decided = desk.post(f"/requests/{asked['id']}/decide", {"verdict": "approve", "reason": "good"}, 200)
    assert decided["answers"]["allowed"] == 2
    assert [row["code"] for row in decided["answers"]["reasons"]] == ["ancestry_only"]
    agreement = ask.get(f"/requests/{asked['id']}/agreement")
    right = ask.post(f"/requests/{asked['id']}/sign", {"version": agreement["version"], "accept": True}, 200)
    package = ask.post("/packages", {"entitlement": right["id"]}, 202)
    carried.work()
    package = ask.get(f"/packages/{package['id']}")
    assert (package["state"], package["participants"]) == ("ready", 2), package

    # It opens with the key alone, holds exactly those two people, and every file is as the signed manifest says.
    sealed = ask.raw("get", package["download"])
    bytes_ = b"".join(sealed.streaming_content)
    assert sealed["ETag"] == f'"{package["sha256"]}"'
    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(bytes_, [key]))) as opened:
        files = {member.name: opened.extractfile(member).read() for member in opened}  # type: ignore[union-attr]
    signed = ask.get(f"/packages/{package['id']}/manifest")
    assert sealing.verify(signed["manifest"], signed["signature"], ask.get("/keys")["signing"])
    assert {file["path"] for file in signed["manifest"]["files"]} == set(files) - {"ms-1.0.0/MANIFEST.json", "ms-1.0.0/MANIFEST.sig"}
    labels = {name.split("/")[1] for name in files if name.startswith("ms-1.0.0/sub-")}
    assert labels == {f"sub-{people[0]['label']}", f"sub-{people[1]['label']}"}
    assert people[2]["label"] not in files["ms-1.0.0/participants.tsv"].decode()
    assert "onset_day_2" in files["ms-1.0.0/phenotype/relapse_m00.tsv"].decode()

    # One leaves: the package is dead at once; then release 2 is without them, their bytes are gone, the recipient is told.
    gone = site.post(f"/participants/{people[0]['id']}/withdraw", {}, 202)
    assert ask.raw("get", package["download"]).status_code == 410
    assert carried.work() == 2  # the departure, and the validator over the release it made
    gone = site.get(f"/withdrawals/{gone['id']}")
    assert gone["state"] == "done" and all(step["done"] for step in gone["steps"]), gone
    person = Participant.objects.get(pk=people[0]["id"])
    assert not store.folder(person).exists() and person.link is None and not packing.place(package_uuid(package)).exists()
    newest = desk.get("/releases")["results"][-1]
    assert (newest["number"], newest["state"], newest["participants"]) == (2, "validated", 2)
    manifest = desk.get(f"/releases/{release['id']}/manifest")
    assert {row["tombstone"] for row in manifest["files"] if f"sub-{people[0]['label']}" in row["path"]} == {True}
    notice = ask.get("/notices")["results"][0]
    assert notice["label"] == people[0]["label"] and len(notice["files"]) >= 3
    assert ask.post(f"/notices/{notice['id']}/acknowledge", {"deleted": True}, 200)["acknowledged_at"]
    releases_tick()
    again = ask.post("/packages", {"entitlement": right["id"]}, 202)
    carried.work()
    assert ask.get(f"/packages/{again['id']}")["participants"] == 1

    assert list(audit.verify()) == []
    assert desk.post("/audit/verify", {}, 200)["ok"]
    everything = json.dumps(desk.get("/audit/lines?limit=1000"))
    assert "MRN-55" not in everything and "2021-03-04" not in everything


def upload_uuid(upload: Any) -> Any:
    from uuid import UUID

    return UUID(upload["id"])


package_uuid = upload_uuid
