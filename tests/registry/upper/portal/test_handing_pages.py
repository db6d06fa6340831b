"""The pages of handing in, as a browser without scripts meets them: what each shows, what its acts do, and for whom."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import date
from typing import Any

import pytest
from django.test import Client

from registry.audit.models import Line
from registry.imaging.models import Image
from registry.intake import actions
from registry.intake.models import Study, Upload
from registry.subjects.models import Participant, Visit
from tests.registry.browsers import shown
from tests.registry.upper.conftest import DAY, volume

pytestmark = pytest.mark.django_db(databases="__all__")
PAPER = "b" * 64


def client_of(user: Any) -> Client:
    client = Client(raise_request_exception=True)
    shown(client, user)
    return client


def page(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, (answer.status_code, answer.content[:500])
    return answer.content.decode()


def send(client: Client, path: str, status: int = 302, **fields: Any) -> str:
    """Send a form; where it leads on, load that page too."""
    answer = client.post(path, fields)
    assert answer.status_code == status, (answer.status_code, answer.content.decode()[:3000])
    return page(client, answer["Location"]) if status == 302 else answer.content.decode()


@pytest.fixture
def handed(house: Any, carried: Any) -> Any:
    """Uploads of one file per thing told: `(patient id, day)`, or a carrier's code."""

    def do(*files: Any, sort: bool = True, body: bytes = b"") -> Upload:
        upload = actions.begin_upload(house.contributor, house.dataset, house.site)
        for n, _ in enumerate(files, 1):
            data = body or f"{upload.pk} {n}".encode()
            actions.receive_file(house.contributor, upload, n, "", io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest())
        if sort:
            upload = actions.complete_upload(house.contributor, upload, len(files), sum(upload.files.values_list("bytes", flat=True)))
            carried.sort(str(upload.pk), list(files))
        upload.refresh_from_db()
        return upload

    return do


@pytest.fixture
def others(house: Any) -> list[Any]:
    """People who hand in for another site of the dataset, decide in it, or are nobody here."""
    lund = house.world.site("lund", "SE")
    house.dataset.sites.add(lund)
    return [house.world.contributor(house.dataset, lund), house.world.user("stranger")]


def test_the_overview_tells_what_waits_and_begins_an_upload(house: Any, handed: Any, others: list[Any]) -> None:
    assert "None yet" in page(client_of(house.contributor), "/hand-in")
    handed(("A-1", DAY), "no_identity", "two_patients")
    text = page(client_of(house.contributor), "/hand-in")
    assert "Nobody with this identifier" in text and "1 study waits" in text and house.dataset.name in text
    assert "hand in for no site" in page(client_of(others[1]), "/hand-in")
    assert "Nobody with this identifier" not in page(client_of(others[0]), "/hand-in")
    place = f"{house.dataset.slug}/{house.site.code}"
    assert 'id="hand-in"' in send(client_of(house.contributor), "/hand-in", where=place)
    assert client_of(others[0]).get(f"/hand-in/new?where={place}").status_code == 302
    assert client_of(others[0]).post("/hand-in", {"where": place}).status_code == 400


def test_an_upload_that_is_not_whole_can_be_continued_or_given_up(house: Any, handed: Any, others: list[Any]) -> None:
    upload, client = handed(("A-1", DAY), sort=False), client_of(house.contributor)
    assert "Choose the same folder again" in page(client, f"/uploads/{upload.pk}/send")
    assert f"/uploads/{upload.pk}/send" in page(client, f"/hand-in/new?where={house.dataset.slug}/{house.site.code}")
    for who in others:
        assert client_of(who).post(f"/uploads/{upload.pk}/drop").status_code == 404
    assert client_of(house.steward).post(f"/uploads/{upload.pk}/drop").status_code == 403
    assert "given up" in send(client, f"/uploads/{upload.pk}/drop")
    assert Upload.objects.get(pk=upload.pk).code == "dropped_by_sender"
    assert client.get(f"/uploads/{upload.pk}/send").status_code == 302


def test_what_waits_is_bound_by_label_or_by_the_sites_own_identifier(house: Any, handed: Any, others: list[Any]) -> None:
    upload = handed("no_identity", "no_identity", "two_patients")
    person = house.person(patient_id="A-77")
    house.visit(person)
    client = client_of(house.contributor)
    text = page(client, f"/uploads/{upload.pk}")
    assert "3 studies wait for you" in text and "Waits because" in text
    one, other = upload.studies.filter(code="no_identity")
    assert "no visit of this label" in send(client, f"/studies/{one.pk}/bind", 422, who="A-77", issuer="", visit="m99")
    assert "Nobody with this label" in send(client, f"/studies/{one.pk}/bind", 422, who="A-78", issuer="", visit="m00")
    for who, status in ((others[0], 404), (others[1], 404), (house.steward, 403)):
        assert client_of(who).post(f"/studies/{one.pk}/bind", {"who": "A-77", "visit": "m00"}).status_code == status
    assert "The study was bound" in send(client, f"/studies/{one.pk}/bind", who="A-77", issuer="", visit="m00")
    assert f"sub-{person.label}" in send(client, f"/studies/{other.pk}/bind", who=f"sub-{person.label}", issuer="", visit="m00")
    assert set(upload.studies.filter(code="").values_list("state", "participant")) == {("ready", person.pk)}
    two = upload.studies.get(code="two_patients")
    assert "It cannot be bound" in page(client, f"/studies/{two.pk}")
    assert "holds scans of two patients" in send(client, f"/studies/{two.pk}/bind", 409, who="A-77", issuer="", visit="m00")
    assert "Not taken" in send(client, f"/studies/{two.pk}/refuse", reason="Handed in apart.")
    assert not Line.objects.filter(detail__icontains="A-77").exists()


def test_studies_are_merged_and_a_nifti_one_is_split_in_the_page(house: Any, handed: Any, carried: Any, others: list[Any]) -> None:
    upload = handed("no_identity", "identity_conflict")
    person = house.person()
    house.visit(person)
    client = client_of(house.contributor)
    ids = [str(study.pk) for study in upload.studies.all()]
    whose = {"who": person.label, "issuer": "", "visit": "m00"}
    assert "at least two" in send(client, f"/uploads/{upload.pk}/merge", 422, study=ids[:1], **whose)
    assert client_of(others[0]).post(f"/uploads/{upload.pk}/merge", {"study": ids, **whose}).status_code == 404
    assert "2 studies were bound" in send(client, f"/uploads/{upload.pk}/merge", study=ids, **whose)
    assert list(upload.studies.values_list("state", flat=True)) == ["ready", "ready"]
    loose = actions.begin_upload(house.contributor, house.dataset, house.site)
    for n in (1, 2):
        data = volume(str(n))
        actions.receive_file(house.contributor, loose, n, "1", io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest())
    loose = actions.complete_upload(house.contributor, loose, 2, sum(loose.files.values_list("bytes", flat=True)))
    carried.really("sort")
    study = loose.studies.get()
    assert "Split the chosen files off" in page(client, f"/studies/{study.pk}")
    chosen = [str(study.files.get(number=2).pk)]
    assert client_of(others[0]).post(f"/studies/{study.pk}/split", {"file": chosen}).status_code == 404
    assert "but not all" in send(client, f"/studies/{study.pk}/split", 422, file=[])
    assert "Both parts wait" in send(client, f"/studies/{study.pk}/split", file=chosen)
    assert sorted(one.files.count() for one in loose.studies.all()) == [1, 1]


def test_a_recorded_study_is_moved_and_a_contrast_corrected(house: Any, handed: Any, carried: Any, one_image: Any) -> None:
    wrong, right = house.person(patient_id="A-1"), house.person(patient_id="A-2")
    house.visit(wrong)
    house.visit(right)

    def make(order: dict[str, Any], place: Any) -> dict[str, Any]:
        told = one_image(order, place)
        told["images"][0]["contrast"]["protocol"] = "a" * 32
        return told

    upload = handed(("A-1", DAY))
    carried.studies(make)
    image, client = Image.objects.get(), client_of(house.contributor)
    study = upload.studies.get()
    assert "T1w" in page(client, f"/uploads/{upload.pk}") and "waits for the steward" in page(client, f"/studies/{study.pk}")
    assert client_of(house.steward).post(f"/images/{image.pk}/contrast", {"is_a": "T2w"}).status_code == 403
    assert "Noted for this protocol" in send(client, f"/images/{image.pk}/contrast", is_a="T2w")
    image.refresh_from_db()
    assert image.state == "refused" and house.dataset.corrections.get().correction["suffix"] == "T2w"
    carried.studies(make)
    still = shown(Client(), house.contributor, stepped=False).post(f"/studies/{study.pk}/move", {"reason": "Mixed up."})
    study.refresh_from_db()
    assert still.status_code == 403 and b"Is it you?" in still.content and study.participant == wrong
    assert "needs its reason" not in send(client, f"/studies/{study.pk}/move", who="A-2", issuer="", visit="m00", reason="Mixed up.")
    study.refresh_from_db()
    assert (study.state, study.participant) == ("ready", right)


def test_the_receipt_has_every_file_once_and_no_name(house: Any, handed: Any, others: list[Any]) -> None:
    upload = handed(("A-1", DAY), "no_identity", "junk")
    before = Line.objects.count()
    answer = client_of(house.contributor).get(f"/uploads/{upload.pk}/receipt")
    rows = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]  # type: ignore[attr-defined]
    assert sorted(row["number"] for row in rows) == [1, 2, 3] and {row["verdict"] for row in rows} == {"waiting", "refused"}
    assert all(len(row["sha256"]) == 64 and row["reason"] for row in rows)
    assert Line.objects.count() == before + 1
    for who in others:
        assert client_of(who).get(f"/uploads/{upload.pk}/receipt").status_code == 404


def test_people_visits_and_consents_one_by_one(house: Any, handed: Any, others: list[Any]) -> None:
    handed(("A-5", DAY))
    client, there = client_of(house.contributor), f"/hand-in/{house.dataset.slug}/{house.site.code}/people"
    assert "Nobody is registered yet" in page(client, there)
    fields = {"patient_id": "A-5", "issuer": "", "sex": "F", "birth_year_band": "1980-1984"}
    for who in (*others, house.steward):
        assert client_of(who).post(there, fields).status_code == 404
        assert client_of(who).get(there).status_code == 404
    assert "names nobody" in send(client, there, 422, **{**fields, "patient_id": "UNKNOWN"})
    assert "Registered" in send(client, there, **fields)
    person = Participant.objects.get()
    own = f"/participants/{person.pk}"
    assert "None that holds" in page(client, own)
    assert "small letters and digits" in send(client, f"{own}/visits", 422, **{"visit-label": "M 0", "visit-date": "2021-03-04", "visit-purpose": ""})
    assert "m00" in send(client, f"{own}/visits", **{"visit-label": "m00", "visit-date": "2021-03-04", "visit-purpose": ""})
    agreed = {
        "consent-kind": "given",
        "consent-permission": "GRU",
        "consent-given_by": "self",
        "consent-evidence_sha256": PAPER,
        "consent-boxes": ["ai_training"],
    }
    assert "needs its evidence" in send(client, f"{own}/consents", 422, **{**agreed, "consent-evidence_sha256": ""})
    for who in others:
        assert client_of(who).post(f"{own}/consents", agreed).status_code == 404
    assert "Holds: GRU" in send(client, f"{own}/consents", **agreed)
    assert Study.objects.get().state == "ready"
    found = f"/hand-in/{house.dataset.slug}/{house.site.code}/people/find"
    assert f"sub-{person.label}" in send(client, found, who="A-5")
    assert "Nobody with this label" in send(client, found, who="A-6")


def test_pasted_tables_are_looked_at_first_and_taken_whole_or_not_at_all(house: Any, others: list[Any]) -> None:
    client, root = client_of(house.contributor), f"/hand-in/{house.dataset.slug}/{house.site.code}/paste"
    people = "patient_id\tsex\tbirth_year_band\nA-1\tF\t1980-1984\nA-2\tm\t\n"
    assert "2 rows can be taken" in send(client, f"{root}/people", 200, table=people) and not Participant.objects.exists()
    for who in (*others, house.steward):
        assert client_of(who).post(f"{root}/people", {"table": people, "take": "1"}).status_code == 404
    wrong = send(client, f"{root}/people", 422, table=f"{people}A-1\tX\t\n", take="1")
    assert "Row 4" in wrong and "Sex is F, M, O" in wrong and not Participant.objects.exists()
    assert "is no column" in send(client, f"{root}/people", 422, table="patient_id,name\nA-1,Ann\n")
    assert "stands there twice" in send(client, f"{root}/people", 422, table="patient_id\nA-1\nA-1\n")
    assert "2 rows were taken" in send(client, f"{root}/people", table=people, take="1")
    assert Participant.objects.count() == 2
    assert "registered in this dataset already" in send(client, f"{root}/people", 422, table=people)
    visits = "participant;visit;date\nA-1;m00;2021-03-04\nA-2;m00;04.03.2021\n"
    assert "Row 3, date" in send(client, f"{root}/visits", 422, table=visits, take="1") and not Visit.objects.exists()
    assert "2 rows were taken" in send(client, f"{root}/visits", table=visits.replace("04.03.2021", "2021-03-05"), take="1")
    agreed = f"participant,kind,permission,evidence_sha256,also\nA-1,given,GRU,{PAPER},ai_training\nA-2,given,HMB,{PAPER},\n"
    assert "Row 2, kind" in send(client, f"{root}/consents", 422, table=agreed.replace("A-1,given", "A-1,withdrawn"))
    assert "Row 3" in send(client, f"{root}/consents", 422, table=agreed.replace("HMB", "ZZZ"), take="1")
    looked = send(client, f"{root}/consents", 422, table=agreed.replace(f"HMB,{PAPER}", "HMB,"))  # what would be refused is said before it is taken
    assert looked.count("needs its evidence") == 1 and "Give the SHA-256" in looked
    assert "2 rows were taken" in send(client, f"{root}/consents", table=agreed, take="1")
    assert sorted(event.permission for one in Participant.objects.all() for event in one.consent_events.all()) == ["GRU", "HMB"]
    assert client.get(f"{root}/nothing").status_code == 404


def test_a_clinical_table_is_tried_then_taken(house: Any, others: list[Any]) -> None:
    from registry.clinical.models import ClinicalRecord

    person = house.person(patient_id="A-1")
    house.visit(person, day=date(2021, 3, 4))
    client, root = client_of(house.contributor), f"/hand-in/{house.dataset.slug}/{house.site.code}/tables"
    assert "No mapping is saved yet" in page(client, root)
    spec = {"participant": {"column": "pcode"}, "visit": {"date": "day"}, "records": [{"instrument": "edss", "fields": {"edss_total": "edss"}}]}
    assert "no instrument" in send(
        client, f"{root}/mapping", 422, name="ours", spec=json.dumps({**spec, "records": [{"instrument": "x", "fields": {"a": "b"}}]})
    )
    assert "Try a table" in send(client, f"{root}/mapping", name="ours", spec=json.dumps(spec))
    table = "pcode,day,edss\nA-1,2021-03-04,3.5\n"
    for who in (*others, house.steward):
        assert client_of(who).post(f"{root}/table", {"name": "ours", "table": table, "take": "1"}).status_code == 404
    assert "1 row can be taken" in send(client, f"{root}/table", 200, name="ours", table=table) and not ClinicalRecord.objects.exists()
    wrong = send(client, f"{root}/table", 422, name="ours", table=table.replace("3.5", "0.7"), take="1")
    assert "nothing was written" in wrong and "edss" in wrong and not ClinicalRecord.objects.exists()
    assert "The table was taken" in send(client, f"{root}/table", name="ours", table=table, take="1")
    assert ClinicalRecord.objects.get().values["edss_total"] == 3.5


def test_a_participant_leaves_by_the_page_and_their_report_is_had_before(house: Any, others: list[Any]) -> None:
    person = house.person(patient_id="A-9")
    house.image(person)
    client, own = client_of(house.contributor), f"/participants/{person.pk}"
    assert "A-9" in page(client, f"{own}/report") and Line.objects.filter(act="participant.report").count() == 1
    for who in (*others, house.steward):
        for path in ("", "/report", "/withdraw"):
            assert client_of(who).get(f"{own}{path}").status_code == 404
    assert "It cannot be taken back" in page(client, f"{own}/withdraw")
    assert "not the participant" in send(client, f"{own}/withdraw", 400, label="somebody", only_here="")
    person.refresh_from_db()
    assert person.state == "active"
    text = send(client, f"{own}/withdraw", label=person.label, only_here="")
    assert "Consent has ended" in text and "Has left" in text
    removal = f"/withdrawals/{person.removals.get().pk}"
    assert "the certificate comes" in page(client, removal) and client_of(others[1]).get(removal).status_code == 404
    person.refresh_from_db()
    assert person.state == "withdrawn"


def test_looking_at_somebody_leaves_one_line_and_the_overview_none(house: Any, handed: Any) -> None:
    person, upload, client = house.person(), handed("no_identity"), client_of(house.contributor)
    place = f"/hand-in/{house.dataset.slug}/{house.site.code}"
    for path, lines in (
        ("/hand-in", 0), (f"{place}/people", 1), (f"{place}/paste/people", 0), (f"{place}/tables", 1), (f"/participants/{person.pk}", 1),
        (f"/participants/{person.pk}/withdraw", 0), (f"/uploads/{upload.pk}", 1), (f"/studies/{upload.studies.get().pk}", 1),
    ):  # fmt: skip
        before = Line.objects.count()
        page(client, path)
        assert Line.objects.count() == before + lines, path
        assert not lines or Line.objects.latest("seq").dataset == str(house.dataset.pk), path
