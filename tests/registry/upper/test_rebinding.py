"""A scan bound to the wrong participant or visit is moved: the old goes and stays in the history, the new is made where it belongs."""

from __future__ import annotations

import hashlib
import io
from datetime import date
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.conf import settings

from registry.audit.models import Line
from registry.imaging import store
from registry.imaging.models import Image
from registry.intake import actions as intake
from registry.releases import actions
from registry.releases.models import Notice, Package, Release, Removal
from registry.rules import Conflict, Denied, Invalid

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def bound(house: Any, carried: Any) -> Any:
    """Two people with a visit each; a study of two files was bound to the first by hand, and its image is there; a second study still waits."""
    house.wrong, house.right = house.person(), house.person()
    house.wrong_visit, house.right_visit = house.visit(house.wrong), house.visit(house.right)
    upload = intake.begin_upload(house.contributor, house.dataset, house.site)
    bodies = (b"a scan", b"another")
    for n, body in enumerate(bodies, 1):
        intake.receive_file(house.contributor, upload, n, "", io.BytesIO(body), len(body), hashlib.sha256(body).hexdigest())
    house.upload = intake.complete_upload(house.contributor, upload, 2, sum(map(len, bodies)))
    carried.sort(str(upload.pk), ["no_identity", "no_identity"])
    house.study = upload.studies.order_by("study_code").first()
    intake.bind_study(house.contributor, house.study, house.wrong, house.wrong_visit)
    carried.studies()
    house.scan = Image.objects.get()
    house.study.refresh_from_db()
    return house


def test_moved_while_the_originals_are_there(bound: Any, carried: Any) -> None:
    sha256 = bound.scan.files.get(kind="image").sha256
    moved = actions.rebind(bound.contributor, bound.study, bound.right_visit, "Two people were mixed up.")
    assert (moved.state, moved.participant, moved.visit) == ("ready", bound.right, bound.right_visit)
    carried.work()
    carried.studies()
    old, new = Image.objects.get(pk=bound.scan.pk), Image.objects.exclude(pk=bound.scan.pk).get()
    assert (old.state, old.files.count(), old.decisions.get().reason) == ("withdrawn", 0, "recalled: wrong_person")
    assert (new.state, new.visit) == ("proposed", bound.right_visit) and bound.right.label in new.bids_path
    assert not store.path(bound.wrong, sha256).exists() and store.path(bound.right, new.files.get(kind="image").sha256).exists()
    pictures = [path.name for path in Path(settings.MYELIN_ZONES["review"]).rglob("*.png")]
    assert pictures and not [name for name in pictures if name.startswith(bound.scan.pk.hex)]
    assert not bound.study.files.filter(product__contains=bound.wrong.label).exists()
    line = Line.objects.get(act="study.move")
    assert (line.detail["from"], line.detail["to"], line.detail["again"]) == (str(bound.wrong.pk), str(bound.right.pk), True)


def test_to_another_visit_of_the_same_person(bound: Any, carried: Any) -> None:
    later = bound.visit(bound.wrong, "m12", date(2022, 3, 4))
    actions.rebind(bound.contributor, bound.study, later, "It was the second visit.")
    carried.work()
    carried.studies()
    assert Image.objects.get(state="proposed").visit == later and Image.objects.get(state="withdrawn").visit == bound.wrong_visit


def test_what_was_released_is_called_back_and_handed_in_again(bound: Any, carried: Any) -> None:
    intake.accept_image(bound.steward, bound.scan)
    house_image = Image.objects.get(pk=bound.scan.pk)
    bound.image(bound.right)
    intake.tick()  # its originals are destroyed: it was decided
    bound.release()
    right = bound.world.entitled(bound.dataset, bound.steward, recipient_key=str(pyrage.x25519.Identity.generate().to_public()))
    package = actions.build_package(right.user, right)
    carried.work()
    actions.start_download(right.user, Package.objects.get(pk=package.pk), (0, 1))
    moved = actions.rebind(bound.contributor, bound.study, bound.right_visit, "Mixed up.")
    assert (moved.state, moved.code, moved.participant) == ("refused", "bound_wrongly", None)
    carried.work()
    assert Removal.objects.get().cause == "wrong_person" and Package.objects.get(pk=package.pk).state == "dead"
    assert Notice.objects.get().user == right.user
    assert not Release.objects.get(number=2).files.filter(path=house_image.bids_path).exists()


def test_taken_back(bound: Any, carried: Any, door: Any) -> None:
    told = door(bound.contributor).post(f"/studies/{bound.study.pk}/move", {"reason": "Not ours."}, 200)
    assert (told["state"], told["code"]) == ("refused", "bound_wrongly")
    carried.work()
    intake.tick()
    bound.study.refresh_from_db()
    assert bound.study.wiped_at is not None and not store.held(bound.wrong)


def test_who_may_move_what(bound: Any) -> None:
    lund = bound.world.site("lund", "SE")
    bound.dataset.sites.add(lund)
    stranger = bound.world.participant(bound.dataset, lund)
    elsewhere = bound.visit(stranger)
    for who in (bound.steward, bound.world.contributor(bound.dataset, lund), bound.world.user("stranger")):
        with pytest.raises(Denied):
            actions.rebind(who, bound.study, bound.right_visit, "Mixed up.")
    with pytest.raises(Denied):
        actions.rebind(bound.contributor, bound.study, elsewhere, "Mixed up.")
    with pytest.raises(Invalid, match="bound_there"):
        actions.rebind(bound.contributor, bound.study, bound.wrong_visit, "Mixed up.")
    with pytest.raises(Invalid, match="reason_missing"):
        actions.rebind(bound.contributor, bound.study, bound.right_visit, "")
    waiting = bound.upload.studies.get(state="waiting")
    with pytest.raises(Conflict, match="study_not_recorded"):
        actions.rebind(bound.contributor, waiting, bound.right_visit, "Mixed up.")
    actions.rebind(bound.contributor, bound.study, bound.right_visit, "Mixed up.")


@pytest.mark.parametrize("where", ["person", "visit"])
def test_there_and_back_again_loses_nothing(where: str, bound: Any, carried: Any) -> None:
    """To another and back: the image is there at last, as a new one with its pictures; both earlier ones stay in the history."""
    there = bound.right_visit if where == "person" else bound.visit(bound.wrong, "m12", date(2022, 3, 4))
    for visit in (there, bound.wrong_visit):
        bound.study.refresh_from_db()
        actions.rebind(bound.contributor, bound.study, visit, "Mixed up.")
        carried.work()
        carried.studies()
    (new,) = Image.objects.filter(state="proposed")
    assert new.visit == bound.wrong_visit and new.pk != bound.scan.pk and new.bids_path == bound.scan.bids_path
    assert Image.objects.filter(state="withdrawn").count() == 2 and new.files.exists()
    assert store.path(bound.wrong, new.files.get(kind="image").sha256).exists()
    assert {path.name for path in Path(settings.MYELIN_ZONES["review"]).rglob("*.png")} == {f"{new.pk.hex}-0.png"}


def test_an_image_of_a_visit_that_does_not_change_stays(bound: Any, carried: Any) -> None:
    later, third = bound.visit(bound.wrong, "m12", date(2022, 3, 4)), bound.visit(bound.wrong, "m24", date(2023, 3, 4))
    named = bound.image(bound.wrong, visit=third, state="proposed", suffix="FLAIR")
    Image.objects.filter(pk=named.pk).update(study_id=bound.study.pk)
    actions.rebind(bound.contributor, bound.study, later, "It was the second visit.")
    assert Image.objects.get(pk=named.pk).state == "proposed" and Image.objects.get(pk=bound.scan.pk).state == "withdrawn"
    carried.work()
    carried.studies()
    bound.study.refresh_from_db()
    actions.rebind(bound.contributor, bound.study, bound.right_visit, "It was somebody else.")
    assert Image.objects.get(pk=named.pk).state == "withdrawn", "of another person every image changes"
