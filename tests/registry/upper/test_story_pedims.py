"""PediMS: nine children with two to four uneven visits, T1, T2 and FLAIR with experts' masks, parents who consent, and one child who leaves.

One child's first visit goes through the pipeline itself, with real scans and a mask of each rater; the others' images are written by hand.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyrage
import pytest
from django.utils import timezone

from registry.consent import actions as consent
from registry.consent.models import ConsentEvent
from registry.imaging.models import Image
from registry.releases import actions, exporting, remains
from registry.releases.models import Package, Release
from registry.subjects.models import Participant
from tests.registry.upper.test_a_site_that_holds_only_nifti import accept, bind

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.slow, pytest.mark.needs("shared-data")]
CHILDREN = 9
FIRST = date(2022, 1, 10)
GAPS = (0, 40, 205, 611)  # days of the visits, as clinics have them
CONTRASTS = {"FLAIR": "FLAIR", "T1W": "T1w", "T2W": "T2w"}


def test_children_their_visits_and_their_masks(door: Any, world: Any, carried: Any, mri: Path, tmp_path: Path) -> None:
    clinic = world.site("clinic")
    dataset = world.dataset(clinic, slug="pedims")  # nobody is told of fewer than eleven
    hand, desk = world.contributor(dataset, clinic), world.steward(dataset)
    site, steward = door(hand), door(desk)
    children, visits = registered(site)
    consented(site, children)

    # The real visit: three contrasts, a mask of each of two raters, and two masks that do not fit.
    upload = handed_in(site, mri / "nifti/ms_longitudinal_patient01/raw/patient01", tmp_path)
    bind(site, carried, upload, children[0], visits[children[0]["id"]][0])
    check_masks(site, upload)
    for child in children[1:]:
        by_hand(world, clinic, dataset, desk, child)
    assert accept(steward) == len(CONTRASTS)

    # Ages, onset and days: every onset before eighteen, no date anywhere.
    clinical(site, visits)
    tables = {entry.path: (entry.text or b"").decode() for entry in exporting.clinical(hand, dataset)}
    check_tables(tables)

    # Nine children: nobody outside is told a number.
    for where in ("", "?where=sex:F"):
        for asker in (None, world.user("somebody")):
            told = door(asker).get(f"/datasets/pedims/count{where}")
            assert (told["counts"], told["exact"]) == ([{"value": None, "count": None}], False)
    assert steward.get("/datasets/pedims/count")["counts"] == [{"value": None, "count": CHILDREN}]

    # Who comes of age soon is on the list to be asked again, and what a parent said ends on that day.
    due = site.get("/consents/due?dataset=pedims&days=200")["results"]
    assert [(row["participant"], row["why"]) for row in due] == [(children[8]["id"], "majority")]
    comes_of_age(children[8])

    # A release, a recipient, and one child leaves.
    steward.post("/releases", {"dataset": "pedims", "changes": "first"}, 202)
    carried.work()
    first = Release.objects.get(number=1)
    assert (first.state, first.people.count()) == ("validated", CHILDREN - 1), first.validator
    right = world.entitled(dataset, desk, recipient_key=str(pyrage.x25519.Identity.generate().to_public()))
    package = actions.build_package(right.user, right)
    carried.work()
    actions.start_download(right.user, Package.objects.get(pk=package.pk), (0, 1))
    leaves(site, door(right.user), children[0], carried)


def registered(site: Any) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Nine children; the first has four visits, the others two to four."""
    year = timezone.now().year
    bands = [f"{start}-{start + 4}" for start in ((year - 12) // 5 * 5, (year - 18) // 5 * 5)]
    asked = [{"patient_id": f"PED-{n:04d}", "sex": "FM"[n % 2], "birth_year_band": bands[n == CHILDREN - 1]} for n in range(CHILDREN)]
    children = site.post("/participants", {"dataset": "pedims", "site": "clinic", "participants": asked}, 201)["results"]
    counts = [4, *(2 + n % 3 for n in range(1, CHILDREN))]
    rows = [
        {"participant": child["id"], "label": f"v{k + 1}", "date": (FIRST + timedelta(days=31 * n + GAPS[k])).isoformat()}
        for n, child in enumerate(children)
        for k in range(counts[n])
    ]
    made = site.post("/visits", {"visits": rows}, 201)["results"]
    assert {sum(visit["participant"] == child["id"] for visit in made) for child in children} == {2, 3, 4}
    return children, {child["id"]: [visit for visit in made if visit["participant"] == child["id"]] for child in children}


def consented(site: Any, children: list[dict[str, Any]]) -> None:
    """A child cannot consent alone; a parent can, with what the child said, until the child comes of age."""
    paper = {"kind": "given", "permission": "GRU", "evidence_sha256": "a" * 64}
    site.post("/consents", {"consents": [{"participant": children[0]["id"], **paper}]}, 400, "consent_majority")
    parent = {**paper, "given_by": "parent"}
    later, soon = majority(4 * 365), majority(150)
    site.post("/consents", {"consents": [{"participant": children[0]["id"], **parent, "reconsent_due": later}]}, 400, "consent_assent")
    rows = [{"participant": child["id"], **parent, "assent": "given", "reconsent_due": later if child is not children[8] else soon} for child in children]
    site.post("/consents", {"consents": rows}, 201)


def majority(days: int) -> str:
    return (timezone.now().date() + timedelta(days=days)).replace(day=1).isoformat()


def handed_in(site: Any, raw: Path, folder: Path) -> str:
    """FLAIR, T1 and T2 of one visit, with masks drawn on the FLAIR: two that fit, one of another shape, one of another affine."""
    flair: Any = nib.load(raw / "study1_FLAIR.nii.gz")
    files = {f"{name}.nii.gz": ((raw / f"study1_{name}.nii.gz").read_bytes(), {"contrast": word}) for name, word in CONTRASTS.items()}
    affine = flair.affine.copy()
    affine[0, 3] += 40
    for name, shape, where, rater in (
        ("one", flair.shape, flair.affine, "r1"),
        ("two", flair.shape, flair.affine, "r2"),
        ("short", tuple(n - 7 for n in flair.shape), flair.affine, "r3"),
        ("aside", flair.shape, affine, "r4"),
    ):
        drawn = np.zeros(shape, np.uint8)
        middle = tuple(slice(n // 2, n // 2 + (4 if rater == "r1" else 5)) for n in shape)
        drawn[middle] = 1
        nib.save(nib.Nifti1Image(drawn, where), folder / f"{name}.nii.gz")
        files[f"{name}.nii.gz"] = ((folder / f"{name}.nii.gz").read_bytes(), {"rater": rater, "beside": 1})
    upload = str(site.post("/uploads", {"dataset": "pedims", "site": "clinic"}, 201)["id"])
    for n, (data, said) in enumerate(files.values(), 1):
        site.put_file(upload, n, data, folder="1", annotation="lesion" if "rater" in said else "", said=said)
    site.post(f"/uploads/{upload}/complete", {"count": len(files), "bytes": sum(len(data) for data, _ in files.values())}, 202)
    return upload


def check_masks(site: Any, upload: str) -> None:
    """Each rater's mask lies beside its image; what does not lie on its grid is refused, each with its reason."""
    told = {row["number"]: (row["verdict"], row["code"]) for row in site.get(f"/uploads/{upload}/receipt")["files"]}
    assert {told[n][0] for n in range(1, 6)} == {"kept"}, told
    assert [told[n] for n in (6, 7)] == [("refused", "mask_other_grid")] * 2, told
    flair = Image.objects.get(suffix="FLAIR")
    masks = [file.path for file in flair.files.all() if file.kind == "annotation"]
    assert {rater for rater in ("r1", "r2", "r3", "r4") if any(f"desc-{rater}" in path for path in masks)} == {"r1", "r2"}, masks


def by_hand(world: Any, clinic: Any, dataset: Any, desk: Any, child: dict[str, Any]) -> None:
    """An accepted image at each visit."""
    from tests.registry.upper.conftest import House

    person = Participant.objects.get(pk=child["id"])
    house = House(world, clinic, dataset, desk, desk)
    for visit in person.visits.all():
        house.image(person, visit)


def clinical(site: Any, visits: dict[str, list[dict[str, Any]]]) -> None:
    """Ages in months at each visit; the onset of all, and that nobody's is written as a date."""
    rows = []
    for n, mine in enumerate(visits.values()):
        for visit, gap in zip(mine, GAPS, strict=False):
            rows.append({"visit": visit["id"], "instrument": "demographics", "values": {"age_months": 120 + 6 * n + gap // 30}})
        rows.append({"visit": mine[0]["id"], "instrument": "history", "values": {"onset_day": -30 * (n + 1), "onset_precision": "month"}})
    site.post("/clinical-records", {"records": rows}, 201)


def check_tables(tables: dict[str, str]) -> None:
    ages = [float(age) for path in tables if "/derived_" in path and path.endswith(".tsv") for age in column(tables[path], "onset_age") if age != "n/a"]
    assert len(ages) >= CHILDREN and max(ages) < 18, ages
    days = [int(day) for path in tables if path.endswith("_sessions.tsv") for day in column(tables[path], "day")]
    assert set(days) == set(GAPS)
    text = "".join(tables.values())
    assert not [day for day in range(700) if (FIRST + timedelta(days=day)).isoformat() in text] and "PED-" not in text


def column(text: str, name: str) -> list[str]:
    rows = [line.split("\t") for line in text.splitlines()]
    where = next((n for n, head in enumerate(rows[0]) if head == name or head.endswith(f"_{name}") or head == f"acq_{name}"), None)
    return [] if where is None else [row[where] for row in rows[1:]]


def comes_of_age(child: dict[str, Any]) -> None:
    """On the day itself the parent's word is over, with nothing done; the tick notes it."""
    from registry.consent.models import Standing

    person = Participant.objects.get(pk=child["id"])
    assert Standing.objects.get(participant=person).lapses
    Standing.objects.filter(participant=person).update(valid_until=timezone.now().date() - timedelta(days=1))
    assert consent.end_by_time() == {"expired": 0, "lapsed_at_majority": 1}
    assert ConsentEvent.objects.filter(participant=person).latest("number").kind == "lapsed_at_majority"


def leaves(site: Any, reader: Any, child: dict[str, Any], carried: Any) -> None:
    """The child with the masks goes: everywhere at once, then for good; the reader is told which files, masks among them."""
    person = Participant.objects.get(pk=child["id"])
    hashes = [file.sha256 for image in Image.objects.filter(visit__participant=person) for file in image.files.all() if file.path.endswith(".nii.gz")]
    told = site.post(f"/participants/{child['id']}/withdraw", {"reason": "The family asked."}, 202)
    carried.work()
    second = Release.objects.get(number=2)
    assert second.state == "validated" and not second.people.filter(participant=person).exists()
    (notice,) = reader.get("/notices")["results"]
    assert any("derivatives/annotations" in file["path"] for file in notice["files"])
    reader.post(f"/notices/{notice['id']}/acknowledge", {"deleted": True, "statement": "One server."}, 200)
    assert site.get(f"/withdrawals/{told['id']}")["state"] == "done"
    traces = remains.search([person.code, person.label, *hashes])
    assert traces and not [trace for trace in traces if not trace.kind]
    assert remains.search(["PED-0000"]) == [] and "PED-" not in json.dumps(notice)
