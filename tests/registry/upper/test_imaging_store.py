"""The store holds each person's bytes apart, whole or not at all; the database refuses to accept what was not shown to be clean."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from registry.imaging import queries as imaging
from registry.imaging import store
from registry.imaging.models import Decision, Image
from registry.intake import actions, quarantine
from registry.rules import Conflict, Denied, Invalid

pytestmark = pytest.mark.django_db(databases="__all__")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_bytes_go_in_once_and_come_out_the_same(house: Any, tmp_path: Path) -> None:
    person = house.person()
    source = tmp_path / "a"
    source.write_bytes(os.urandom(3 << 20))
    digest = sha(source.read_bytes())
    path = store.put(person, source, digest)
    before = path.stat().st_mtime_ns
    assert store.put(person, source, digest) == path and path.stat().st_mtime_ns == before
    assert path.read_bytes() == source.read_bytes() and store.held(person) == {digest}
    assert person.code not in str(path) and person.label not in str(path)


def test_other_bytes_than_announced_are_not_kept(house: Any) -> None:
    person = house.person()
    with pytest.raises(store.Corrupt):
        store.put(person, b"other", sha(b"this"))
    assert not any(store.folder(person).iterdir())
    assert store.put(person, b"this", sha(b"this")).read_bytes() == b"this"


def test_a_damaged_file_is_replaced_by_the_whole_one(house: Any) -> None:
    person = house.person()
    path = store.put(person, b"whole", sha(b"whole"))
    path.write_bytes(b"who")
    assert store.put(person, b"whole", sha(b"whole")).read_bytes() == b"whole"


@pytest.mark.parametrize("name", ["..", "../x", "a" * 63, "A" * 64, "g" * 64, "", "a" * 64 + "\n"])
def test_no_row_leads_outside(name: str, house: Any) -> None:
    with pytest.raises(store.Corrupt):
        store.path(house.person(), name)


def test_two_people_share_nothing(house: Any) -> None:
    one, other = house.person(), house.person()
    for person in (one, other):
        store.put(person, b"equal", sha(b"equal"))
    assert store.delete_all(one) == 1 and store.held(other) == {sha(b"equal")} and store.delete_all(one) == 0


def test_a_head_in_doubt_is_taken_by_the_steward_who_looked_and_says_what_was_seen(house: Any, tmp_path: Path) -> None:
    told = {"pictures": ["after", "before"]}
    image = house.image(house.person(), state="proposed", deface_verdict="review", review=2, provenance=told)
    assert imaging.pictures(image) == {"after": [], "quality": [], "review": [0, 1]}
    with pytest.raises(Conflict, match="face_not_looked_at"):
        actions.accept_image(house.steward, image, "No face is left.")
    assert actions.look(house.steward, image, 0) is None  # the picture is gone: that was no look
    with pytest.raises(Conflict, match="face_not_looked_at"):
        actions.accept_image(house.steward, image, "No face is left.")
    for number in (0, 1):
        (tmp_path / "drawn.png").write_bytes(b"png")
        quarantine.keep_review(image.study_id, [(f"{image.pk.hex}-{number}.png", tmp_path / "drawn.png")])
    assert actions.look(house.steward, image, 1) == b"png"
    with pytest.raises(Conflict, match="face_not_looked_at"):  # a look at the head before it was defaced settles nothing
        actions.accept_image(house.steward, image, "No face is left.")
    assert actions.look(house.steward, image, 0) == b"png"
    with pytest.raises(Invalid, match="reason_missing"):
        actions.accept_image(house.steward, image, " ")
    with pytest.raises(IntegrityError), transaction.atomic():
        Image.objects.filter(pk=image.pk).update(state="accepted", decided_at="2026-01-01T00:00Z", reason="")
    assert actions.accept_image(house.steward, image, "No face is left.").state == "accepted"


def test_an_orbit_series_is_not_accepted_by_one_person(house: Any) -> None:
    image = house.image(house.person(), state="proposed", deface_verdict="orbit_restricted")
    with pytest.raises(Conflict, match="needs_two_people"):
        actions.accept_image(house.steward, image, "Looked at.")


@pytest.mark.parametrize("verdict", ["withheld", "", "unknown"])
def test_what_was_not_shown_to_be_clean_cannot_be_accepted(verdict: str, house: Any) -> None:
    image = house.image(house.person(), state="proposed", deface_verdict=verdict)
    with pytest.raises(Denied, match="face_not_verified"):
        actions.accept_image(house.steward, image)
    with pytest.raises(IntegrityError), transaction.atomic():
        Image.objects.filter(pk=image.pk).update(state="accepted", decided_at="2026-01-01T00:00Z")
    clean = house.image(house.person(), state="proposed")
    assert actions.accept_image(house.steward, clean).state == "accepted"


def test_a_decision_is_made_once_and_stays_on_record(house: Any) -> None:
    image = house.image(house.person(), state="proposed")
    with pytest.raises(Invalid, match="reason_missing"):
        actions.refuse_image(house.steward, image, "  ")
    actions.refuse_image(house.steward, image, "it moved")
    for act in (lambda: actions.accept_image(house.steward, image), lambda: actions.refuse_image(house.steward, image, "again")):
        with pytest.raises(Conflict, match="image_decided"):
            act()
    assert [(row.verdict, row.by, row.reason) for row in Decision.objects.all()] == [("refused", house.steward.email, "it moved")]


def test_without_consent_nothing_is_accepted(house: Any) -> None:
    from registry.consent import actions as consent

    person = house.person()
    image = house.image(person, state="proposed")
    consent.record(person, "expired")
    with pytest.raises(Denied, match="no_consent"):
        actions.accept_image(house.steward, image)
    house.world.consent(person)
    assert actions.accept_image(house.steward, image).state == "accepted"


def test_several_are_taken_together_or_none(house: Any) -> None:
    good, bad = house.image(house.person(), state="proposed"), house.image(house.person(), state="proposed", deface_verdict="withheld")
    with pytest.raises(Denied):
        actions.accept_images(house.steward, [good, bad])
    assert not Image.objects.filter(state="accepted").exists()
    actions.accept_images(house.steward, [good])
    assert Image.objects.filter(state="accepted").count() == 1


def test_two_living_images_never_have_one_name(house: Any) -> None:
    person = house.person()
    image = house.image(person)
    with pytest.raises(IntegrityError), transaction.atomic():
        house.image(person)
    Image.objects.filter(pk=image.pk).update(state="refused")
    assert house.image(person).bids_path == image.bids_path


def test_norms_learn_from_accepted_images_and_from_no_others(house: Any) -> None:
    from qa import norms
    from qa.examine import VERSION, entry
    from qa.metrics import expected

    def told(n: int) -> dict[str, Any]:
        metrics = {name: entry(name, 100.0 + n % 7) for name in expected("structural")}
        key = list(norms.key("T1w", {"Manufacturer": "SIEMENS", "MagneticFieldStrength": 3}, (1, 1, 1)))
        return {"quality": {"qa_version": VERSION, "grade": "pass", "stage": "pre-deface", "norm_key": key, "metrics": metrics}}

    person = house.person()
    for n in range(19):
        house.image(person, provenance=told(n), seed=f"accepted {n}", entities={"run": str(n)}, suffix=f"T1w{n}")
    for n in range(5):
        house.image(person, state="proposed", provenance=told(n), seed=f"proposed {n}", suffix=f"T2w{n}")
    key = tuple(told(0)["quality"]["norm_key"])
    assert imaging.usual().find(key, "cjv") is None  # nineteen accepted; what was only proposed does not count
    house.image(person, provenance=told(19), seed="accepted 19", suffix="T1w19")
    found = imaging.usual().find(key, "cjv")
    assert found is not None and found[1].n == 20
    judged = norms.against(told(0)["quality"] | {"flags": [], "reasons": []}, imaging.usual())
    assert judged["metrics"]["cjv"]["norm_n"] == 20 and judged["norm"] == "norm of 20 scans"


def test_the_quality_page_shows_the_verdict_beside_the_grade_to_whom_may_see_the_image(house: Any, door: Any) -> None:
    from qa.examine import entry
    from qa.metrics import expected

    metrics = {name: entry(name, 1.0) for name in expected("structural")}
    told = {"grade": "review", "reasons": ["Noise <is> high."], "norm": "norm of 40 scans", "metrics": metrics, "unavailable": {}, "drivers": ["snr_wm"]}
    image = house.image(house.person(), state="proposed", provenance={"quality": told})
    bare = house.image(house.person(), state="proposed")
    shown = door(house.steward).get(f"/images/{image.pk}")["pictures"]
    assert shown["page"].endswith(f"/images/{image.pk}/quality.html")
    answer = door(house.steward).raw("get", shown["page"])
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/html")
    assert "sandbox" in answer["Content-Security-Policy"] and "<script" not in answer.content.decode()
    assert "Noise &lt;is&gt; high." in answer.content.decode() and "No person has decided" in answer.content.decode()
    actions.accept_image(house.steward, image, "Good enough.")
    again = door(house.steward).raw("get", shown["page"]).content.decode()
    assert "<strong>accepted</strong>" in again and 'class="grade review"' in again
    assert door(house.steward).get(f"/images/{bare.pk}")["pictures"]["page"] is None
    assert door(house.steward).raw("get", f"/api/v1/images/{bare.pk}/quality.html").status_code == 410
