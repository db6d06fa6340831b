"""A study waits for exactly what is missing, and goes on by itself when that comes: participant, visit, consent, or a person's word."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from registry.audit.models import Line
from registry.consent import actions as consent
from registry.imaging import store
from registry.imaging.models import Image
from registry.intake import actions, quarantine, wiping
from registry.intake.models import Study, Upload, UploadFile
from registry.rules import Conflict, Denied, Invalid
from registry.runs.models import Mail, Run

pytestmark = pytest.mark.django_db(databases="__all__")
DAY = date(2021, 3, 4)
PAPER = {"kind": "given", "permission": "GRU", "evidence_sha256": "b" * 64}


@pytest.fixture
def hand_in(house: Any, carried: Any) -> Any:
    """Hands in one file per thing told, and sorts: `(patient id, day)`, a carrier's code, or "junk"."""

    def do(*files: Any, by: Any = None) -> Upload:
        contributor = by or house.contributor
        upload = actions.begin_upload(contributor, house.dataset, house.site)
        for n, _ in enumerate(files, 1):
            body = f"{upload.pk} {n}".encode()
            actions.receive_file(contributor, upload, n, "", stream(body), len(body), sha(body))
        upload = actions.complete_upload(contributor, upload, len(files), sum(upload.files.values_list("bytes", flat=True)))
        carried.sort(str(upload.pk), list(files))
        upload.refresh_from_db()
        return upload

    return do


def stream(body: bytes) -> Any:
    import io

    return io.BytesIO(body)


def sha(body: bytes) -> str:
    import hashlib

    return hashlib.sha256(body).hexdigest()


def only(upload: Upload) -> Study:
    return upload.studies.get()


def test_what_is_there_goes_straight_to_the_pipeline(house: Any, hand_in: Any) -> None:
    person = house.person(patient_id="A-1001")
    house.visit(person)
    study = only(hand_in(("A-1001", DAY)))
    assert (study.state, study.participant_id) == ("ready", person.pk)
    assert Run.objects.filter(kind="study", subject_id=study.pk, state="ready").exists()


def test_a_participant_registered_later_lets_it_go_on(house: Any, hand_in: Any) -> None:
    study = only(hand_in(("A-1002", DAY)))
    assert (study.code, study.files.get().verdict, study.files.get().code) == ("unknown_participant", "waiting", "unknown_participant")
    assert not Run.objects.filter(kind="study").exists()
    (person,) = actions.register(house.contributor, house.dataset, house.site, [{"patient_id": "A-1002"}])
    study.refresh_from_db()
    assert study.code == "unknown_visit"
    actions.add_visits(house.contributor, [(person, "m00", DAY)])
    study.refresh_from_db()
    assert study.code == "no_consent" and not Run.objects.filter(kind="study").exists()
    actions.record_consents(house.contributor, [(person, PAPER)])
    study.refresh_from_db()
    assert (study.state, study.code, study.files.get().verdict) == ("ready", "", "pending")


def test_a_visit_on_another_day_is_not_this_visit(house: Any, hand_in: Any) -> None:
    person = house.person(patient_id="A-1003")
    house.visit(person, day=DAY + timedelta(days=1))
    assert only(hand_in(("A-1003", DAY))).code == "unknown_visit"


def test_a_person_of_another_site_is_a_stranger_here(house: Any, hand_in: Any, world: Any) -> None:
    lund = world.site("lund", "SE")
    house.dataset.sites.add(lund)
    there = world.participant(house.dataset, lund, "A-1004")
    world.consent(there)
    assert only(hand_in(("A-1004", DAY))).code == "unknown_participant"


@pytest.mark.parametrize("code", ["no_identity", "identity_conflict"])
def test_what_only_a_person_can_say_is_bound_by_hand(code: str, house: Any, hand_in: Any) -> None:
    person = house.person(patient_id="A-1005")
    visit = house.visit(person)
    study = only(hand_in(code))
    house.person()  # somebody else's registration moves nothing
    study.refresh_from_db()
    assert (study.state, study.code) == ("waiting", code)
    study = actions.bind_study(house.contributor, study, person, visit)
    assert (study.state, study.visit_id, study.bound_by) == ("ready", visit.pk, house.contributor.email)


def test_binding_by_hand_does_not_replace_consent(house: Any, hand_in: Any) -> None:
    person = house.person(consent=None)
    study = actions.bind_study(house.contributor, only(hand_in("no_identity")), person, house.visit(person))
    assert (study.state, study.code) == ("waiting", "no_consent")
    actions.record_consents(house.contributor, [(person, PAPER)])
    study.refresh_from_db()
    assert study.state == "ready"


def test_two_patients_in_one_study_are_nobody(house: Any, hand_in: Any) -> None:
    person = house.person()
    visit, study = house.visit(person), only(hand_in("two_patients"))
    with pytest.raises(Conflict, match="study_unbindable"):
        actions.bind_study(house.contributor, study, person, visit)
    refused = actions.refuse_study(house.contributor, study, "two people")
    assert (refused.state, refused.files.get().verdict, refused.upload.state) == ("refused", "refused", "done")


def test_only_the_site_itself_binds(house: Any, hand_in: Any, world: Any) -> None:
    lund = world.site("lund", "SE")
    house.dataset.sites.add(lund)
    stranger = world.contributor(house.dataset, lund)
    person = house.person()
    visit, study = house.visit(person), only(hand_in("no_identity"))
    for who in (stranger, house.steward, world.user()):
        with pytest.raises(Denied):
            actions.bind_study(who, study, person, visit)
        with pytest.raises(Denied):
            actions.refuse_study(who, study, "no")
    assert actions.bind_study(house.contributor, study, person, visit).state == "ready"


def test_a_visit_of_somebody_else_is_no_place_to_bind(house: Any, hand_in: Any) -> None:
    one, other = house.person(), house.person()
    house.visit(one)
    with pytest.raises(Invalid, match="bind_mismatch"):
        actions.bind_study(house.contributor, only(hand_in("no_identity")), one, house.visit(other))


def test_consent_that_ends_before_the_order_stops_it(house: Any, hand_in: Any, carried: Any) -> None:
    person = house.person(patient_id="A-1006")
    house.visit(person)
    study = only(hand_in(("A-1006", DAY)))
    consent.record(person, "expired")
    carried.studies()
    study.refresh_from_db()
    assert (study.state, study.code) == ("waiting", "no_consent") and not Image.objects.exists() and not store.held(person)
    actions.record_consents(house.contributor, [(person, PAPER)])
    carried.studies()
    study.refresh_from_db()
    assert study.state == "recorded" and Image.objects.count() == 1


def test_consent_that_ends_while_the_pipeline_works_keeps_nothing(house: Any, hand_in: Any, carried: Any, one_image: Any) -> None:
    person = house.person(patient_id="A-1007")
    house.visit(person)
    study = only(hand_in(("A-1007", DAY)))

    def ends(order: dict[str, Any], place: Path) -> dict[str, Any]:
        consent.record(person, "expired")
        return one_image(order, place)

    carried.studies(ends)
    study.refresh_from_db()
    assert (study.state, study.code) == ("waiting", "no_consent") and not Image.objects.exists() and not store.held(person)


def test_a_file_of_another_person_is_never_published(house: Any, hand_in: Any, carried: Any, one_image: Any) -> None:
    person, other = house.person(patient_id="A-1008"), house.person()
    house.visit(person)
    study = only(hand_in(("A-1008", DAY)))

    def mixed(order: dict[str, Any], place: Path) -> dict[str, Any]:
        return one_image({**order, "participant": {"code": other.code, "label": other.label}}, place)

    carried.studies(mixed)
    study.refresh_from_db()
    assert (study.state, study.code) == ("waiting", "processing_failed") and not Image.objects.exists()
    assert not store.held(other)


def test_the_same_study_twice_is_one_image(house: Any, hand_in: Any, carried: Any, one_image: Any) -> None:
    person = house.person(patient_id="A-1009")
    house.visit(person)
    for _ in range(2):
        hand_in(("A-1009", DAY))
        carried.studies(lambda order, place: one_image({**order, "study": "same"}, place))
    assert Image.objects.count() == 1
    hand_in(("A-1009", DAY))
    carried.studies()
    names = sorted(Image.objects.values_list("bids_path", flat=True))
    assert [name.rsplit("/", 1)[1].removeprefix(f"sub-{person.label}_ses-m00_") for name in names] == ["T1w.nii.gz", "run-2_T1w.nii.gz"]
    second = Image.objects.get(bids_path__contains="run-2")
    assert {file.path.rsplit("_", 2)[1] for file in second.files.all()} == {"run-2"}


def test_every_file_is_accounted_for(house: Any, carried: Any) -> None:
    """Equal files, a file in a folder, and members that only the carrier saw."""
    house.person(patient_id="A-1010")
    upload = actions.begin_upload(house.contributor, house.dataset, house.site)
    for number, folder in ((1, "2"), (2, "1.1"), (3, "")):
        actions.receive_file(house.contributor, upload, number, folder, stream(b"equal"), 5, sha(b"equal"))
    assert [row.place for row in upload.files.order_by("place")] == ["d000001/d000001/f000000002", "d000002/f000000001", "f000000003"]
    upload = actions.complete_upload(house.contributor, upload, 3, 15)
    carried.sort(str(upload.pk), ["junk", "no_identity", "junk"])
    told = {row.number: (row.n, row.verdict, row.code) for row in upload.files.all()}
    assert told == {2: (1, "refused", "unknown_format"), 1: (2, "waiting", "no_identity"), 3: (3, "refused", "unknown_format")}


def test_members_of_an_archive_get_rows_of_their_own(house: Any, carried: Any) -> None:
    from registry.intake.carrying import _match, _number

    upload = actions.begin_upload(house.contributor, house.dataset, house.site)
    actions.receive_file(house.contributor, upload, 1, "", stream(b"zip"), 3, sha(b"zip"))
    actions.receive_file(house.contributor, upload, 2, "", stream(b"gone"), 4, sha(b"gone"))
    said = {"verdict": "kept", "code": "ok", "reason": "", "advice": "", "product": None}
    told = [{"n": 1, "sha256": sha(b"zip"), "bytes": 3, **said}, {"n": 2, "sha256": sha(b"inside"), "bytes": 6, **said}]
    rows, changed = _match(upload, told)
    _number(upload, told, rows, changed)
    assert set(rows) == {1, 2}
    assert sorted((row.n or 0, row.number or 0, row.verdict) for row in upload.files.all()) == [(0, 2, "failed"), (1, 1, "kept"), (2, 0, "kept")]
    assert UploadFile.objects.get(number=2).code == "changed"


def test_originals_go_when_everything_is_decided(house: Any, hand_in: Any, carried: Any) -> None:
    for n in (1, 2):
        house.visit(house.person(patient_id=f"A-110{n}"))
    upload = hand_in(("A-1101", DAY), ("A-1102", DAY), "junk")
    carried.studies()
    places = list(upload.files.order_by("place").values_list("place", flat=True))
    first, second = Image.objects.all()
    wiping.tick()
    assert all((quarantine.folder(upload.pk) / place).stat().st_size for place in places)
    actions.accept_image(house.steward, first)
    wiping.tick()
    sizes = [(quarantine.folder(upload.pk) / place).stat().st_size for place in places]
    assert sorted(map(bool, sizes)) == [False, True, True]  # emptied, but in its place: the carrier's numbers still hold
    assert quarantine.review(first.study_id, first.pk, 0) is None and quarantine.review(second.study_id, second.pk, 0) is not None
    actions.refuse_image(house.steward, second, "it moved")
    wiping.tick()
    upload.refresh_from_db()
    assert upload.wiped_at and not quarantine.folder(upload.pk).exists() and quarantine.held() == []
    assert wiping.tick() == {"retention": 0, "studies": 0, "uploads": 0, "warned": 0, "pieces": 0, "swept": 0}


def test_what_waits_too_long_is_warned_of_and_destroyed(house: Any, hand_in: Any) -> None:
    upload = hand_in("no_identity")
    Mail.objects.all().delete()
    Upload.objects.filter(pk=upload.pk).update(created_at=timezone.now() - timedelta(days=24))
    assert wiping.tick()["warned"] == 1 and wiping.tick()["warned"] == 0
    (letter,) = Mail.objects.all()
    assert letter.to == house.contributor.email and str(upload.pk) in letter.body
    assert quarantine.folder(upload.pk).exists()
    Upload.objects.filter(pk=upload.pk).update(created_at=timezone.now() - timedelta(days=30))
    assert wiping.tick()["retention"] == 1
    study = only(upload)
    assert (study.state, study.code) == ("refused", "retention_over") and not quarantine.folder(upload.pk).exists()
    with pytest.raises(Conflict):
        actions.bind_study(house.contributor, study, (person := house.person()), house.visit(person))


def test_an_upload_is_complete_only_when_all_has_arrived(house: Any) -> None:
    upload = actions.begin_upload(house.contributor, house.dataset, house.site)
    actions.receive_file(house.contributor, upload, 1, "", stream(b"one"), 3, sha(b"one"))
    for count, size in ((2, 3), (1, 4)):
        with pytest.raises(Conflict, match="upload_incomplete"):
            actions.complete_upload(house.contributor, upload, count, size)
    (quarantine.folder(upload.pk) / "f000000009").write_bytes(b"left over by a crash")
    assert actions.complete_upload(house.contributor, upload, 1, 3).state == "received"
    assert [path.name for path in quarantine.folder(upload.pk).iterdir()] == ["f000000001"]
    with pytest.raises(Conflict, match="upload_closed"):
        actions.receive_file(house.contributor, upload, 2, "", stream(b"two"), 3, sha(b"two"))


def test_a_damaged_file_is_not_received(house: Any) -> None:
    upload = actions.begin_upload(house.contributor, house.dataset, house.site)
    with pytest.raises(Invalid, match="digest_mismatch"):
        actions.receive_file(house.contributor, upload, 1, "", stream(b"0ne"), 3, sha(b"one"))
    with pytest.raises(Invalid, match="cut_short"):
        actions.receive_file(house.contributor, upload, 1, "", stream(b"on"), 3, sha(b"one"))
    assert not upload.files.exists() and not [path for path in quarantine.folder(upload.pk).parent.rglob("*") if path.is_file()]
    row, new = actions.receive_file(house.contributor, upload, 1, "", stream(b"one"), 3, sha(b"one"))
    again = actions.receive_file(house.contributor, upload, 1, "", stream(b""), 3, sha(b"one"))
    assert new and again == (row, False)


@pytest.mark.parametrize("folder", ["..", "a", "1/2", "1..2", "1.", ".1", "1234567", "1" + ".1" * 12, "١", "1\n"])
def test_a_folder_is_numbers_and_nothing_else(folder: str) -> None:
    with pytest.raises(quarantine.Refused, match="folder"):
        quarantine.place(1, folder)
    assert quarantine.place(1, "1.12") == "d000001/d000012/f000000001"


def test_an_upload_that_cannot_be_sorted_says_so(house: Any, carried: Any) -> None:
    upload = actions.begin_upload(house.contributor, house.dataset, house.site)
    actions.receive_file(house.contributor, upload, 1, "", stream(b"one"), 3, sha(b"one"))
    upload = actions.complete_upload(house.contributor, upload, 1, 3)
    quarantine.wipe(upload.pk)
    Upload.objects.filter(pk=upload.pk).update(wiped_at=timezone.now())
    carried.sort(str(upload.pk), ["junk"])
    upload.refresh_from_db()
    assert (upload.state, upload.code, upload.files.get().verdict) == ("failed", "upload_gone", "failed")


@pytest.mark.parametrize("how", ["no volume among the products", "no name", "withheld", "given"])
def test_an_image_without_a_volume_can_never_be_accepted(how: str, house: Any, hand_in: Any, carried: Any, one_image: Any) -> None:
    house.visit(house.person(patient_id="A-1200"))
    hand_in(("A-1200", DAY))

    def made(order: dict[str, Any], place: Path) -> dict[str, Any]:
        told = one_image(order, place, deface="withheld" if how == "withheld" else "defaced")
        if how in ("no volume among the products", "no name", "withheld"):
            for product in told["products"]:
                (place / "bids" / product["path"]).unlink()
            told["products"], told["images"][0]["products"] = [], []
        if how == "no name":
            told["images"][0]["bids"] = None
        told["images"][0]["deid"] = {"withheld": {"reason": "Something of the person was left."}} if how != "given" else {}
        return told

    carried.studies(made)
    image = Image.objects.get()
    if how == "given":
        assert actions.accept_image(house.steward, image).state == "accepted"
        return
    assert (image.state, image.reason) == ("refused", "Something of the person was left.")
    with pytest.raises(Conflict):
        actions.accept_image(house.steward, image)


def test_pictures_are_told_apart_and_only_those_with_a_face_are_a_look(house: Any, hand_in: Any, carried: Any, one_image: Any, door: Any) -> None:
    house.visit(house.person(patient_id="A-1300"))
    hand_in(("A-1300", DAY))

    def made(order: dict[str, Any], place: Path) -> dict[str, Any]:
        told = one_image(order, place)
        names = [f"x_{kind}.png" for kind in ("after", "before", "quality")]
        (place / "review" / told["images"][0]["review"][0]).unlink()
        for name in names:
            (place / "review" / name).write_bytes(b"\x89PNG " + name.encode())
        told["images"][0]["review"] = names
        return told

    carried.studies(made)
    (image,) = door(house.steward).get("/images")["results"]
    shown = image["pictures"]
    assert len(shown["review"]) == 1
    assert door(house.steward).raw("get", shown["review"][0]).content.endswith(b"x_before.png")
    assert door(house.contributor).raw("get", shown["review"][0]).status_code == 403
    for who in (house.steward, house.contributor):
        assert door(who).raw("get", shown["after"]).content.endswith(b"x_after.png")
        assert door(who).raw("get", shown["quality"]).content.endswith(b"x_quality.png")
    assert Line.objects.filter(act="image.look").count() == 1


def test_a_file_that_a_power_cut_took_is_asked_for_again(house: Any) -> None:
    upload = actions.begin_upload(house.contributor, house.dataset, house.site)
    for n in (1, 2):
        actions.receive_file(house.contributor, upload, n, "", stream(b"one"), 3, sha(b"one"))
    (quarantine.folder(upload.pk) / "f000000002").write_bytes(b"")  # what a journal may leave of a file whose data never reached the disk
    with pytest.raises(Conflict, match="upload_incomplete"):
        actions.complete_upload(house.contributor, upload, 2, 6)
    assert list(upload.files.values_list("number", flat=True)) == [1]
    actions.receive_file(house.contributor, upload, 2, "", stream(b"one"), 3, sha(b"one"))
    assert actions.complete_upload(house.contributor, upload, 2, 6).state == "received"
