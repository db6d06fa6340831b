"""An image or a mask that turns out wrong after it was given out: nobody is given it any more, who has it is told; consent and all else stay."""

from __future__ import annotations

import gzip
import hashlib
from datetime import timedelta
from typing import Any

import pyrage
import pytest
from django.utils import timezone

from registry.access import actions as access
from registry.access import policy
from registry.access.models import Entitlement
from registry.audit.models import Line
from registry.consent import queries as consent
from registry.imaging import queries as imaging
from registry.imaging import store
from registry.imaging.models import Image, StoredFile
from registry.releases import actions, attesting, departures, freezing, leaving, packing
from registry.releases.models import Notice, Package, Release, Removal
from registry.rules import Conflict, Denied, Invalid
from registry.runs.models import Mail

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def told(house: Any, carried: Any) -> Any:
    """One person with two images, of which one has a mask; another person; a release; one recipient who has it, and one of the other person alone."""
    house.one, house.two = house.person(), house.person()
    house.wrong, house.right = house.image(house.one), house.image(house.one, suffix="FLAIR")
    house.image(house.two)
    stem = f"derivatives/annotations/sub-{house.one.label}/ses-m00/anat/sub-{house.one.label}_ses-m00_label-lesion_mask"
    for ending, data in ((".nii.gz", gzip.compress(b"a mask", mtime=0)), (".json", f'{{"Sources": ["bids:raw:{house.right.bids_path}"]}}'.encode())):
        sha256 = hashlib.sha256(data).hexdigest()
        store.put(house.one, data, sha256)
        house.right.files.create(path=stem + ending, sha256=sha256, bytes=len(data), kind="annotation" if ending.endswith("gz") else "sidecar")
    house.mask = f"{stem}.nii.gz"
    house.first = house.release()
    key = str(pyrage.x25519.Identity.generate().to_public())
    right = house.world.entitled(house.dataset, house.steward, recipient_key=key)
    package = actions.build_package(right.user, right)
    carried.work()
    house.package = Package.objects.get(pk=package.pk)
    actions.start_download(right.user, house.package, (0, 1))
    Mail.objects.all().delete()
    return house


def recalled(house: Any, carried: Any, image: Any, cause: str = "face", path: str = "") -> Removal:
    removal = actions.recall(house.steward, image, cause, "An ear is left.", path)
    assert Package.objects.get(pk=house.package.pk).state == "dead" and packing.gone(house.package.pk)
    carried.work()
    return Removal.objects.get(pk=removal.pk)


def paths(release: Any) -> set[str]:
    return {entry.path for entry in freezing.entries(release)}


def test_an_image_goes_everywhere_and_nothing_else_does(told: Any, carried: Any) -> None:
    others = {file.path: store.path(told.one, file.sha256) for file in told.right.files.all()}
    volume = told.wrong.files.get(kind="image").sha256
    removal = recalled(told, carried, told.wrong)
    assert removal.state == "done" and set(removal.steps) == set(leaving.order("recall")) and "vault_erased" not in removal.steps
    assert not store.path(told.one, volume).exists() and all(place.exists() for place in others.values())
    second = Release.objects.get(number=2)
    assert second.state == "validated" or second.validator["errors"]  # the mask of this test is no volume
    assert told.wrong.bids_path not in paths(second) | paths(told.first) and told.right.bids_path in paths(second) & paths(told.first)
    row = told.first.files.get(path=told.wrong.bids_path)
    assert (row.tombstone, row.sha256) == (True, volume)
    assert told.first.people.filter(tombstone=True).count() == 0
    assert Image.objects.get(pk=told.wrong.pk).state == "withdrawn" and told.wrong not in imaging.images(told.steward)
    # Consent is as it was; the person takes part.
    assert consent.current(told.one) is not None and type(told.one).objects.get(pk=told.one.pk).state == "active"
    (notice,) = Notice.objects.all()
    assert {file["path"].partition("/")[2] for file in notice.files} == {told.wrong.bids_path, told.wrong.bids_path.replace(".nii.gz", ".json")}
    assert "called back" in notice.text and Mail.objects.filter(to=notice.user.email, subject__contains="called back").count() == 1
    assert removal.certificate is not None and (removal.certificate["cause"], removal.certificate["recipients"]) == ("face", 1)


def test_a_mask_goes_alone(told: Any, carried: Any) -> None:
    removal = recalled(told, carried, told.right, "mask", told.mask)
    assert Image.objects.get(pk=told.right.pk).state == "accepted" and told.right.files.count() == 2
    assert not any("annotations/sub-" in path for path in paths(Release.objects.get(number=2)))
    assert len(removal.files) == 2 and told.right.bids_path in paths(Release.objects.get(number=2))
    with pytest.raises(Invalid, match="not_a_mask"):
        actions.recall(told.steward, told.right, "mask", "Wrong.", told.right.bids_path)


def test_bytes_that_another_image_has_too_stay(told: Any, carried: Any) -> None:
    shared = told.wrong.files.get(path__endswith=".json").sha256
    assert StoredFile.objects.filter(image=told.right, sha256=shared).exists()
    volume = told.wrong.files.get(kind="image").sha256
    later = told.image(told.one, suffix="PDw", seed=told.wrong.bids_path.removesuffix(".nii.gz"), state="proposed")  # in no release
    assert later.files.filter(sha256=volume).exists()
    recalled(told, carried, told.wrong)
    assert store.path(told.one, shared).exists() and store.path(told.one, volume).exists()


def test_a_package_built_meanwhile_is_not_given(told: Any, carried: Any) -> None:
    key = str(pyrage.x25519.Identity.generate().to_public())
    right = told.world.entitled(told.dataset, told.steward, recipient_key=key)
    package = actions.build_package(right.user, right)
    from registry.runs.models import Run

    run = Run.objects.get(pk=package.run_id)
    built = actions.work_package(run, lambda: None)
    actions.recall(told.steward, told.wrong, "text", "A name is burned in.")
    with pytest.raises(Denied, match="file_recalled"):
        actions.record_package(run, built)


def test_who_may_recall_what(told: Any) -> None:
    for who in (told.contributor, told.package.entitlement.user, told.world.steward(told.world.dataset(told.site))):
        with pytest.raises(Denied):
            actions.recall(who, told.wrong, "face", "Seen.")
    with pytest.raises(Invalid, match="unknown_cause"):
        actions.recall(told.steward, told.wrong, "ugly", "Seen.")
    with pytest.raises(Invalid, match="reason_missing"):
        actions.recall(told.steward, told.wrong, "face", " ")
    actions.recall(told.steward, told.wrong, "face", "Seen.")
    with pytest.raises(Conflict, match="image_not_given"):
        actions.recall(told.steward, told.wrong, "face", "Seen.")
    assert Line.objects.filter(act="image.recall").count() == 1


def test_its_doors(told: Any, carried: Any, door: Any) -> None:
    body = {"cause": "face", "reason": "An ear is left."}
    door(told.contributor).post(f"/images/{told.wrong.pk}/recall", body, 403)
    made = door(told.steward).post(f"/images/{told.wrong.pk}/recall", body, 202)
    assert made["state"] == "running" and made["steps"][0] == {"step": "ended", "done": True}
    assert door(told.steward).raw("get", f"/recalls/{made['id']}/certificate.html").status_code == 409
    carried.work()
    seen = door(told.contributor).get(f"/recalls/{made['id']}")
    assert seen["certificate"]["label"] == told.one.label and door(told.contributor).get("/recalls")["results"][0]["id"] == made["id"]
    page = door(told.steward).raw("get", f"/recalls/{made['id']}/certificate.html")
    assert page.status_code == 200 and b"called back" in page.content
    assert door(told.steward).get("/withdrawals")["results"] == []
    door(told.world.user("stranger")).get(f"/recalls/{made['id']}", 404)
    # A reader of the dead package is told that it is gone.
    answer = door(told.package.entitlement.user).raw("get", f"/packages/{told.package.pk}/download")
    assert (answer.status_code, answer.json()["code"]) == (410, "file_recalled")


def test_who_does_not_answer_is_reminded_and_then_suspended(told: Any, carried: Any, door: Any) -> None:
    recalled(told, carried, told.wrong)
    notice = Notice.objects.get()
    begun, mails = timezone.now(), []
    for day in (1, 6, 7, 8, 14, 15, 29):
        attesting.tick(begun + timedelta(days=day, minutes=5))
        mails.append(Mail.objects.filter(to=notice.user.email, subject__contains="Please say").count())
    assert mails == [0, 0, 1, 1, 2, 2, 2]
    assert Entitlement.objects.get(pk=told.package.entitlement_id).alive
    assert attesting.tick(begun + timedelta(days=30, minutes=5)) == 1 and attesting.tick(begun + timedelta(days=31)) == 0
    entitlement = Entitlement.objects.get(pk=told.package.entitlement_id)
    assert entitlement.request.state == "suspended" and not policy.covered(entitlement).exists() and Notice.objects.get().suspended_at
    assert Line.objects.filter(act="notice.overdue").count() == 1
    told_ = door(notice.user).post(f"/notices/{notice.pk}/acknowledge", {"deleted": True, "statement": "Two servers and a backup."}, 200)
    assert told_["statement"] == "Two servers and a backup." and notice.user.email in told_["acknowledged_by"] and told_["kind"] == "recall"
    # It was suspended for this alone, so it goes on.
    entitlement = Entitlement.objects.get(pk=told.package.entitlement_id)
    assert entitlement.alive and entitlement.request.state == "active" and attesting.tick(begun + timedelta(days=32)) == 0
    assert Line.objects.filter(act="request.resume").get().actor == attesting.SYSTEM


def test_who_answered_is_left_alone(told: Any, carried: Any) -> None:
    recalled(told, carried, told.wrong)
    notice = Notice.objects.get()
    actions.acknowledge(notice.user, notice)
    assert attesting.tick(timezone.now() + timedelta(days=40)) == 0 and Entitlement.objects.get(pk=told.package.entitlement_id).alive


def test_a_mail_that_dies_is_listed_for_the_steward(told: Any, carried: Any, door: Any) -> None:
    recalled(told, carried, told.wrong)
    letter = Mail.objects.get(subject__contains="called back")
    Mail.objects.filter(pk=letter.pk).update(state="dead", error_code="smtp_550")
    assert [row["to"] for row in door(told.steward).get("/mails")["results"]] == [letter.to]
    assert door(told.world.steward(told.world.dataset(told.site))).get("/mails")["results"] == []


def test_a_recall_killed_on_its_way_is_begun_again(told: Any, carried: Any) -> None:
    from registry.runs.models import Run

    removal = actions.recall(told.steward, told.wrong, "quality", "It moved.")
    Run.objects.filter(pk=removal.run_id).update(state="dead", code="x", finished_at=removal.at)
    assert departures.resume() == 1 and departures.resume() == 0
    carried.work()
    assert Removal.objects.get(pk=removal.pk).state == "done"


def test_a_mask_called_back_a_moment_ago_is_in_no_new_release(told: Any, carried: Any) -> None:
    """Before its run did anything; the image it belongs to is in it."""
    removal = actions.recall(told.steward, told.right, "mask", "Wrong.", told.mask)
    second = told.release()
    assert told.right.bids_path in paths(second) and told.mask not in paths(second) and told.mask in {row["path"] for row in removal.files}


def test_a_release_with_something_called_back_is_not_closed(told: Any) -> None:
    release = freezing.open_release(told.dataset, "test", "")
    freezing.assemble(release, lambda: None)
    removal = actions.recall(told.steward, told.right, "mask", "Wrong.", told.mask)
    release.people.update(epoch=99)
    for row in release.people.select_related("participant"):  # as if it had been read after the recall touched the person
        release.people.filter(pk=row.pk).update(epoch=row.participant.epoch)
    with pytest.raises(freezing.Moved):
        freezing.close(release)
    Removal.objects.filter(pk=removal.pk).update(state="done", certificate={})
    assert freezing.close(release).state == "frozen"


def test_who_leaves_after_a_recall_leaves_nothing_of_it(told: Any, carried: Any) -> None:
    removal = recalled(told, carried, told.wrong)
    assert removal.files and removal.reason
    other = actions.recall(told.steward, told.two.visits.get().images.get(), "face", "Seen.")
    actions.withdraw(told.contributor, told.one)
    carried.work()
    removal.refresh_from_db()
    assert (removal.files, removal.reason) == ([], "") and Removal.objects.get(pk=other.pk).files


def test_what_a_steward_suspended_goes_on_only_by_a_steward_and_not_without_an_answer(told: Any, carried: Any) -> None:
    recalled(told, carried, told.wrong)
    notice, month = Notice.objects.get(), timezone.now() + timedelta(days=30, minutes=5)
    request = told.package.entitlement.request
    access.suspend_request(told.steward, request, "Asked about something else.")
    attesting.tick(month)
    assert Notice.objects.get().suspended_at
    access.resume_request(told.steward, request)
    attesting.tick(month + timedelta(minutes=1))
    request.refresh_from_db()
    assert (request.state, request.reason) == ("suspended", attesting.WHY), "given back without an answer"
    actions.acknowledge(notice.user, notice)
    request.refresh_from_db()
    assert request.state == "active"
    access.suspend_request(told.steward, request, "Asked about something else.")
    attesting.let_go_on(notice)
    request.refresh_from_db()
    assert request.state == "suspended", "not for a notice"


def test_of_two_overdue_notices_the_last_answer_lets_it_go_on(told: Any, carried: Any) -> None:
    recalled(told, carried, told.wrong)
    first = Notice.objects.get()
    other = Removal.objects.create(kind="recall", participant=told.two, label=told.two.label, image_id=told.wrong.pk, cause="face", requested_by="x")
    second = Notice.objects.create(user=first.user, removal=other, package=first.package, label="b", text="b")
    attesting.tick(timezone.now() + timedelta(days=30, minutes=5))
    actions.acknowledge(first.user, first)
    assert Entitlement.objects.get(pk=told.package.entitlement_id).request.state == "suspended"
    actions.acknowledge(first.user, second)
    assert Entitlement.objects.get(pk=told.package.entitlement_id).request.state == "active"


def test_who_answers_while_the_tick_looks_is_left_alone(told: Any, carried: Any) -> None:
    recalled(told, carried, told.wrong)
    notice = Notice.objects.get()
    actions.acknowledge(notice.user, notice)
    assert attesting._remind([notice.pk], 30, timezone.now()) == 0 and not Mail.objects.filter(subject__contains="Please say").exists()
    Notice.objects.update(acknowledged_at=None)
    assert attesting._remind([notice.pk], 30, timezone.now()) == 1
