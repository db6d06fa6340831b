"""A departure: what ends at once, what is gone afterwards, that a killed one is finished, and that nobody else loses anything."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.conf import settings

from registry.audit.models import Line
from registry.clinical import actions as clinical
from registry.clinical.models import ClinicalRecord
from registry.imaging import queries as imaging
from registry.imaging import store
from registry.imaging.models import Image
from registry.intake import actions as intake
from registry.releases import actions, freezing, leaving, packing
from registry.releases.models import Notice, Package, Release, Removal
from registry.rules import Conflict, Denied
from registry.runs.models import Mail, Run
from registry.subjects.models import SourceIdentifier

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def told(house: Any, carried: Any) -> Any:
    """Two people in release 1, and two recipients: one downloaded, one only had the package built."""
    house.leaver, house.stayer = house.person("GRU", "LEAVES-123"), house.person("GRU")
    for person in (house.leaver, house.stayer):
        house.image(person, seed="byte-identical")
    clinical.record(house.contributor, [clinical.Row(house.leaver.visits.get(), "edss", {"edss_total": 4.5})])
    house.first = house.release()
    house.packages = []
    for _ in range(2):
        key = str(pyrage.x25519.Identity.generate().to_public())
        right = house.world.entitled(house.dataset, house.steward, recipient_key=key)
        house.packages.append(actions.build_package(right.user, right))
    carried.work()
    actions.start_download(house.packages[0].entitlement.user, fresh(house.packages[0]), (0, 1))
    Mail.objects.all().delete()
    return house


def fresh(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)


def gone(house: Any, carried: Any) -> Removal:
    withdrawal = actions.withdraw(house.contributor, house.leaver)
    carried.work()
    return fresh(withdrawal)


def test_at_once(told: Any) -> None:
    actions.withdraw(told.contributor, told.leaver)
    assert {fresh(package).state for package in told.packages} == {"dead"}
    assert set(imaging.images(told.steward).values_list("visit__participant", flat=True)) == {told.stayer.pk}
    assert packing.gone(told.packages[0].pk) == ("participant_withdrawn", "This package is not there any more.")
    for package in told.packages:
        with pytest.raises(Denied):
            actions.start_download(package.entitlement.user, fresh(package), (0, 1))
    assert not policy_covers(told)


def policy_covers(house: Any) -> bool:
    from registry.access import policy

    return policy.covered(house.packages[0].entitlement).filter(pk=house.leaver.pk).exists()


def test_afterwards_nothing_is_left_and_nobody_else_lost_anything(told: Any, carried: Any, home: Path) -> None:
    withdrawal = gone(told, carried)
    assert withdrawal.state == "done" and set(withdrawal.steps) == set(leaving.ORDER)
    assert not store.folder(told.leaver).exists()
    assert not any(packing.place(package.pk).exists() for package in told.packages)
    second = Release.objects.get(number=2)
    assert (second.state, list(second.people.values_list("label", flat=True))) == ("validated", [told.stayer.label])
    # The other's byte-identical volume is untouched: the old release still rebuilds, but for the tombstones.
    for release in (told.first, second):
        for entry in freezing.entries(release):
            part = entry.part()
            assert part.file is None or store.digest(part.file) == part.sha256
    dead = told.first.files.filter(tombstone=True)
    assert dead.exists() and set(dead.values_list("participant", flat=True)) == {told.leaver.pk}
    assert not ClinicalRecord.objects.filter(visit__participant=told.leaver).exists()
    assert not SourceIdentifier.objects.filter(link=told.leaver.link).exists() and fresh(told.leaver).link is None
    traces = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".sqlite3" and mentions(path, told.leaver)]
    assert traces == []


def mentions(path: Path, person: Any) -> bool:
    text = path.name.encode() + path.read_bytes()
    return any(word.encode() in text for word in (person.label, person.code, person.key, "LEAVES-123"))


def test_every_past_recipient_is_told_once(told: Any, carried: Any) -> None:
    withdrawal = gone(told, carried)
    (notice,) = Notice.objects.all()
    assert notice.user == told.packages[0].entitlement.user and notice.label == told.leaver.label
    files = {row["sha256"] for row in notice.files}
    assert told.first.files.filter(participant=told.leaver, path__endswith="nii.gz").get().sha256 in files
    assert all(told.leaver.label in row["path"] for row in notice.files)
    letters = list(Mail.objects.filter(to=notice.user.email, subject__contains="left"))
    assert len(letters) == 1 and told.leaver.label not in letters[0].body and told.leaver.code not in letters[0].body
    with pytest.raises(Denied):
        actions.acknowledge(told.packages[1].entitlement.user, notice)
    first = actions.acknowledge(notice.user, notice).acknowledged_at
    assert first and actions.acknowledge(notice.user, notice).acknowledged_at == first
    assert withdrawal.certificate is not None and withdrawal.certificate["recipients"] == 1
    assert "LEAVES-123" not in str(withdrawal.certificate) and told.leaver.code not in str(withdrawal.certificate)


@pytest.mark.parametrize("killed_at", range(1, 7))
def test_killed_at_any_step_it_is_finished_later(killed_at: int, told: Any, carried: Any, monkeypatch: Any) -> None:
    class Killed(BaseException):
        pass

    withdrawal = actions.withdraw(told.contributor, told.leaver)
    run, calls = Run.objects.get(pk=withdrawal.run_id), [0]
    for name, step in list(leaving.STEPS.items()):
        monkeypatch.setitem(leaving.STEPS, name, dying(step, killed_at, calls, Killed))
    while True:
        try:
            certificate = actions.work_withdraw(run, lambda: None)
            break
        except Killed:
            continue
    actions.record_withdraw(run, certificate)
    assert fresh(withdrawal).state == "done" and not store.folder(told.leaver).exists()
    assert Release.objects.filter(state__in=["validated", "frozen"]).count() == 2 and Notice.objects.count() == 1
    assert Mail.objects.filter(subject__contains="left").count() == 1


def dying(step: Any, killed_at: int, calls: list[int], death: type[BaseException]) -> Any:
    """The step, done but not yet written down when death comes."""

    def do(withdrawal: Removal, beat: Any) -> Any:
        told = step(withdrawal, beat)
        calls[0] += 1
        if calls[0] == killed_at:
            raise death
        return told

    return do


def test_a_departure_whose_run_died_is_begun_again(told: Any, carried: Any) -> None:
    withdrawal = actions.withdraw(told.contributor, told.leaver)
    Run.objects.filter(pk=withdrawal.run_id).update(state="dead", code="x", finished_at=withdrawal.at)
    assert actions.tick()["withdrawals"] == 1 and actions.tick()["withdrawals"] == 0
    carried.work()
    assert fresh(withdrawal).state == "done"


def test_what_waits_and_what_is_processed_ends_too(house: Any, carried: Any) -> None:
    person = house.person(patient_id="LEAVES-124")
    house.visit(person)
    upload = intake.begin_upload(house.contributor, house.dataset, house.site)
    body = b"a scan"
    import io

    intake.receive_file(house.contributor, upload, 1, "", io.BytesIO(body), len(body), hashlib.sha256(body).hexdigest())
    intake.complete_upload(house.contributor, upload, 1, len(body))
    from datetime import date

    carried.sort(str(upload.pk), [("LEAVES-124", date(2021, 3, 4))])
    actions.withdraw(house.contributor, person)
    carried.work()
    carried.studies()
    study = upload.studies.get()
    assert (study.state, study.code, study.participant_code) == ("refused", "participant_withdrawn", "")
    assert not Image.objects.exists() and not store.folder(person).exists()
    intake.tick()
    assert list(Path(settings.MYELIN_ZONES["quarantine"]).iterdir()) == []


def test_somebody_who_left_is_not_taken_in_again_by_their_scans(house: Any, carried: Any) -> None:
    person = house.person(patient_id="LEAVES-125")
    house.visit(person)
    actions.withdraw(house.contributor, person)
    carried.work()
    upload = intake.begin_upload(house.contributor, house.dataset, house.site)
    import io
    from datetime import date

    intake.receive_file(house.contributor, upload, 1, "", io.BytesIO(b"x"), 1, hashlib.sha256(b"x").hexdigest())
    intake.complete_upload(house.contributor, upload, 1, 1)
    carried.sort(str(upload.pk), [("LEAVES-125", date(2021, 3, 4))])
    study = upload.studies.get()
    assert study.code == "participant_withdrawn" and not Run.objects.filter(kind="study").exists()
    assert (study.participant_code, study.day_code, study.study_code) == ("", "", f"gone-{study.pk.hex}")
    assert study.files.get().sha256 == "", "a hash would tell whose it is"


def test_the_last_one_leaves_without_a_new_release(house: Any, carried: Any) -> None:
    house.leaver = house.person()
    house.image(house.leaver)
    house.release()
    withdrawal = gone(house, carried)
    assert withdrawal.state == "done" and withdrawal.steps["released"]["nobody_left"] and Release.objects.count() == 1


def test_who_may_withdraw_whom(told: Any) -> None:
    lund = told.world.site("lund", "SE")
    told.dataset.sites.add(lund)
    researcher = told.packages[0].entitlement.user
    for who in (told.world.contributor(told.dataset, lund), researcher, told.world.steward(told.world.dataset(told.site))):
        with pytest.raises(Denied):
            actions.withdraw(who, told.leaver)
    actions.withdraw(told.steward, told.leaver)
    with pytest.raises(Conflict, match="already_withdrawn"):
        actions.withdraw(told.steward, told.leaver)
    assert Line.objects.filter(act="participant.withdraw").count() == 1


def test_garbage_is_what_no_row_names(told: Any) -> None:
    keep = store.held(told.stayer)
    store.put(told.stayer, b"left over", hashlib.sha256(b"left over").hexdigest())
    assert actions.sweep_store() == 0  # younger than a day: it may be on its way
    assert actions.sweep_store(older_than_s=-1) == 1 and store.held(told.stayer) == keep
    assert Package.objects.count() == 2


def test_a_gate_that_leaves_nobody_stops_no_erasure(told: Any, carried: Any) -> None:
    """Whom the next release would be without is no fault of who leaves: it failed, and a steward sees why."""
    Image.objects.filter(visit__participant=told.stayer).update(provenance={})
    withdrawal = gone(told, carried)
    assert withdrawal.state == "done" and withdrawal.steps["released"]["refused"] == "nothing_to_release" and not store.folder(told.leaver).exists()
    second = Release.objects.get(number=2)
    assert (second.state, second.account["refused"]) == ("failed", "nothing_to_release")
    assert Line.objects.filter(act="release.failed", object=f"release:{second.pk}").count() == 1


def test_damaged_facts_of_somebody_else_stop_no_erasure(told: Any, carried: Any) -> None:
    clinical.record(told.contributor, [clinical.Row(told.stayer.visits.get(), "edss", {"edss_total": 2.0})])
    held = told.first.people.get(participant=told.stayer)
    facts = store.path(told.stayer, held.facts_sha256)
    facts.chmod(0o600)
    facts.write_bytes(b"rot")
    withdrawal = gone(told, carried)
    assert withdrawal.state == "done" and withdrawal.steps["released"] == {**withdrawal.steps["released"], "release": None, "refused": "store_damaged"}
    assert not store.folder(told.leaver).exists() and Release.objects.get(number=2).state == "failed"


def two_studies(house: Any, carried: Any) -> Any:
    """An upload of a file of somebody who takes part, and of one that nobody knows yet."""
    import io
    from datetime import date

    house.leaver = house.person(patient_id="LEAVES-126")
    house.visit(house.leaver)
    upload = intake.begin_upload(house.contributor, house.dataset, house.site)
    for n, body in enumerate((b"theirs", b"another's"), 1):
        intake.receive_file(house.contributor, upload, n, "", io.BytesIO(body), len(body), hashlib.sha256(body).hexdigest())
    intake.complete_upload(house.contributor, upload, 2, 15)
    carried.sort(str(upload.pk), [("LEAVES-126", date(2021, 3, 4)), ("UNKNOWN-1", date(2021, 3, 4))])
    house.theirs, house.others = upload.studies.get(code=""), upload.studies.get(code="unknown_participant")
    return upload


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("archive", [True, False])
def test_originals_inside_an_archive_go_with_all_of_it(archive: bool, bound: bool, house: Any, carried: Any) -> None:
    """Files with places of their own go alone, and the others go on waiting: the twin. `bound`: or only their code tells whose they are."""
    upload = two_studies(house, carried)
    if not bound:
        type(house.theirs).objects.filter(pk=house.theirs.pk).update(participant=None, visit=None, state="waiting", code="no_consent")
    if archive:  # as a member is written down: no number, no place; the bytes are those of the archive
        house.theirs.files.update(place="", number=None)
    gone(house, carried)
    study, other = fresh(house.theirs), fresh(house.others)
    assert (study.state, study.code, study.participant_code, study.files.get().sha256) == ("refused", "participant_withdrawn", "", "")
    kept = b"".join(path.read_bytes() for path in Path(settings.MYELIN_ZONES["quarantine"]).rglob("*") if path.is_file())
    if archive:
        assert kept == b"" and fresh(upload).wiped_at and (other.state, other.code) == ("refused", "retention_over")
        assert Mail.objects.filter(to=house.contributor.email, body__contains=f"/uploads/{upload.pk}").exists()
    else:
        assert kept == b"another's" and (other.state, other.code) == ("waiting", "unknown_participant")


def test_an_archive_with_scans_of_who_left_before_goes_at_the_next_tick(house: Any, carried: Any) -> None:
    upload = two_studies(house, carried)
    house.theirs.files.update(place="", number=None)
    type(house.theirs).objects.filter(pk=house.theirs.pk).update(state="refused", code="participant_withdrawn")
    intake.tick()
    assert fresh(upload).wiped_at and fresh(house.others).code == "retention_over"


def test_pictures_of_who_left_meanwhile_do_not_come_back(house: Any, carried: Any, monkeypatch: Any) -> None:
    from registry.intake import carrying

    two_studies(house, carried)
    keep, review = carrying.quarantine.keep_review, Path(settings.MYELIN_ZONES["review"])

    def late(*what: Any) -> None:
        actions.withdraw(house.contributor, house.leaver)
        keep(*what)

    monkeypatch.setattr(carrying.quarantine, "keep_review", late)
    carried.studies()
    assert list(review.rglob("*.png")) == [] and not Image.objects.exists()


def test_the_tick_destroys_pictures_of_who_left(house: Any, carried: Any) -> None:
    two_studies(house, carried)
    carried.studies()
    review = Path(settings.MYELIN_ZONES["review"])
    actions.tick()
    assert len(list(review.rglob("*.png"))) == 1, "of somebody who takes part"
    gone(house, carried)
    (review / house.theirs.pk.hex).mkdir()
    (review / house.theirs.pk.hex / "a-0.png").write_bytes(b"a face")
    actions.tick()
    assert list(review.rglob("*.png")) == []


def test_a_sites_own_download_says_nothing_of_who_left(house: Any, carried: Any) -> None:
    from registry.releases import own

    two_studies(house, carried)
    before = b"".join(own.download(house.contributor, house.dataset, house.site))
    assert fresh(house.theirs).study_code.encode() in before
    gone(house, carried)
    after = b"".join(own.download(house.contributor, house.dataset, house.site))
    assert fresh(house.others).study_code.encode() in after and b"participant_withdrawn" not in after
