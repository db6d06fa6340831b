"""Asking, signing, receiving and answering notices through the pages, as each who may and each who may not."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import Any

import pyrage
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from registry.access import actions as access
from registry.access import papers, queries
from registry.access.models import Entitlement, Member, Naming, Paper, Request
from registry.accounts.models import User
from registry.audit.models import Line
from registry.releases import actions as releases
from registry.releases import attesting
from registry.releases.models import Notice, Package
from registry.runs.models import Mail

pytestmark = pytest.mark.django_db(databases="__all__")
KEY = str(pyrage.x25519.Identity.generate().to_public())
PDF = b"%PDF-1.7\n%nothing to see\n"
ASKED = {
    "title": "Lesions", "abstract": "We count lesions.", "purpose": "HMB", "diseases": "", "uses": ["non_profit", "methods"], "country": "DK",
    "months": "12", "promises": ["PUB"], "view": "",
}  # fmt: skip


def browser(user: User | None) -> Client:
    client = Client(raise_request_exception=False)
    if user:
        client.force_login(user)
    return client


def page(client: Client, path: str, status: int = 200, **data: Any) -> str:
    """What a page says; with data it is sent there, and what it leads to is read."""
    answer = client.post(path, data, follow=True) if data else client.get(path)
    assert answer.status_code == status, (answer.status_code, path)
    return answer.content.decode()


@pytest.fixture
def people(house: Any) -> Any:
    house.persons = [house.person("GRU"), house.person("HMB"), house.person("POA")]
    for person in house.persons:
        house.image(person)
    house.release()
    house.requester = house.world.user("rosa")
    house.colleague = house.world.user("otto")
    house.elsewhere = house.world.user("eve", institution="Another institute", country="SE")
    house.stranger = house.world.user("stranger")
    return house


def draft(people: Any, **fields: Any) -> Request:
    page(browser(people.requester), f"/datasets/{people.dataset.slug}/request", **{**ASKED, **fields})
    return Request.objects.latest("created_at")


def granted(people: Any) -> Request:
    held = people.world.request(people.dataset, people.requester, recipient_key=KEY)
    access.approve_request(people.steward, held)
    held.refresh_from_db()
    return held


def test_from_a_draft_to_a_package_by_pages_alone(people: Any, carried: Any) -> None:
    mine, steward = browser(people.requester), browser(people.steward)
    assert "You have no request yet" in page(mine, "/requests")
    assert people.dataset.name in page(mine, "/requests/new")
    held = draft(people)
    assert (held.state, held.methods, held.commercial, held.promises) == ("draft", True, False, ["PUB"])
    here = f"/requests/{held.pk}"
    assert page(steward, here, 404) and "Being written" in page(mine, here)
    assert "handed in" in page(mine, f"{here}/submit", x="1")
    assert "Waits for a decision" in page(mine, here)
    assert "Lesions" in page(steward, here) and "Hand it in" not in page(steward, here)
    access.approve_request(people.steward, held)
    assert "Give your key first" not in page(mine, "/packages") and "give the key" in page(mine, f"{here}/agreement")
    assert "Packages are encrypted to this public key" in page(mine, f"{here}/key", recipient_key=KEY)
    assert "You keep the data to yourself." in page(mine, f"{here}/agreement")
    page(mine, f"{here}/agreement", 400, version="1")  # not accepted
    assert Entitlement.objects.count() == 0
    assert "you have access" in page(mine, f"{here}/agreement", version="1", accept="on")
    right = Entitlement.objects.get()
    assert "2 people with" in page(mine, "/packages")
    assert "is being made" in page(mine, f"/entitlements/{right.pk}/package", x="1")
    package = Package.objects.get()
    assert "every 3s" in page(mine, f"/packages/{package.pk}/progress")
    carried.work()
    package.refresh_from_db()
    shown = page(mine, f"/packages/{package.pk}")
    assert package.sha256 in shown and f"myelin download --package {package.pk}" in shown and "Download" in shown
    got = mine.get(f"/packages/{package.pk}/download")
    assert (got.status_code, len(b"".join(got))) == (200, package.bytes)
    assert got["Content-Disposition"].endswith('.tar.age"')
    assert mine.get(f"/packages/{package.pk}/manifest").json()["manifest"] == package.manifest
    told = page(mine, here)
    for sentence in ("The request was begun.", "It was handed in", "It was granted.", "The agreement was signed."):
        assert sentence in told


def test_the_story_names_the_team_and_no_steward(people: Any) -> None:
    held = granted(people)
    told = page(browser(people.requester), f"/requests/{held.pk}")
    assert ", a steward</span>" in told and ", you</span>" in told and people.steward.email not in told
    assert people.requester.email in page(browser(people.steward), f"/requests/{held.pk}")


@pytest.mark.parametrize("place", ["", "/agreement", "/change"])
def test_a_request_is_for_its_team_and_who_decides(place: str, people: Any) -> None:
    held = people.world.request(people.dataset, people.requester)
    Member.objects.create(request=held, user=people.colleague, country="DK")
    for user, status in (
        (people.requester, 200),
        (people.colleague, 200),
        (people.steward, 200),
        (people.stranger, 404),
        (people.contributor, 404),
        (None, 401),
    ):
        assert browser(user).get(f"/requests/{held.pk}{place}").status_code == status
    assert len(list(queries.history(people.requester, held))) == 3 and queries.history(people.stranger, held) == []


@pytest.mark.parametrize("what", ["submit", "withdraw", "close", "key", "members", "ethics", "attest", "report"])
def test_nobody_else_does_anything_to_a_request(what: str, people: Any) -> None:
    held = draft(people)
    page(browser(people.requester), f"/requests/{held.pk}/submit", x="1")
    before = Request.objects.values().get(pk=held.pk)
    data = {"recipient_key": KEY, "email": "x@example.org", "country": "DK", "statement": "All.", "done": "Much.", "months": "3", "off": "1"}
    for user, status in ((people.steward, 403), (people.stranger, 404), (None, 401)):
        answer = browser(user).post(f"/requests/{held.pk}/{what}", data)
        assert answer.status_code == status, (user, answer.status_code)
        line = Line.objects.latest("seq")
        assert "denied" in line.detail and (user is None or line.dataset == str(people.dataset.pk))
    assert Request.objects.values().get(pk=held.pk) == before


def test_what_is_typed_wrong_is_shown_again_with_what_is_wrong(people: Any) -> None:
    mine, ask = browser(people.requester), f"/datasets/{people.dataset.slug}/request"
    told = page(mine, ask, 400, **{**ASKED, "title": "", "abstract": "A long thought."})
    assert "A long thought." in told and "This field is required." in told and Request.objects.count() == 0
    assert "MONDO" in page(mine, ask, 400, **{**ASKED, "diseases": "ms"})
    assert mine.get(f"/requests/new?dataset={people.dataset.slug}").headers["Location"] == ask
    assert page(mine, "/datasets/nowhere/request", 404)
    held = draft(people)
    told = page(mine, f"/requests/{held.pk}/key", 422, recipient_key="age1nothing")
    assert "no age" in told
    told = page(mine, f"/requests/{held.pk}/key", 400, recipient_key="AGE-SECRET-KEY-1QQQQ")
    assert "That was the private key" in told and "1QQQQ" not in told
    assert page(mine, f"/requests/{held.pk}/close", 409, x="1").count("cannot be done") >= 1


def test_a_change_is_made_while_it_is_a_draft_and_not_after(people: Any) -> None:
    mine, held = browser(people.requester), draft(people)
    assert "Lesions" in page(mine, f"/requests/{held.pk}/change")
    page(mine, f"/requests/{held.pk}/change", **{**ASKED, "title": "Atrophy"})
    held.refresh_from_db()
    assert held.title == "Atrophy"
    page(mine, f"/requests/{held.pk}/submit", x="1")
    page(mine, f"/requests/{held.pk}/change", 422, **{**ASKED, "title": "Else"})
    held.refresh_from_db()
    assert held.title == "Atrophy"
    access.return_request(people.steward, held, "Which lesions?")
    assert "Which lesions?" in page(mine, f"/requests/{held.pk}")
    page(mine, f"/requests/{held.pk}/change", **{**ASKED, "title": "Spinal lesions"})
    held.refresh_from_db()
    assert held.title == "Spinal lesions"


# --- the team --------------------------------------------------------------------------------------------------------------------------------------


def test_naming_tells_nobody_who_has_an_account(people: Any) -> None:
    mine, held = browser(people.requester), draft(people)
    answers = []
    for email in (people.elsewhere.email, "nobody-here@example.org"):
        page(mine, f"/requests/{held.pk}/members", email=email, country="SE")
        answers.append(page(mine, f"/requests/{held.pk}").replace(email, "EMAIL").replace(str(Naming.objects.latest("created_at").pk), "ID"))
        access.take_naming_back(people.requester, Naming.objects.latest("created_at"))
    bare = [re.sub(r'(value|content)="[A-Za-z0-9]{64}"', "", text) for text in answers]
    assert bare[0] == bare[1] and "EMAIL" in bare[0] and Member.objects.count() == 0
    assert set(Mail.objects.filter(subject__contains="named").values_list("to", flat=True)) == {people.elsewhere.email, "nobody-here@example.org"}


def test_who_was_named_joins_by_their_own_word_and_a_colleague_at_once(people: Any) -> None:
    mine, theirs, held = browser(people.requester), browser(people.elsewhere), draft(people)
    page(mine, f"/requests/{held.pk}/members", email=people.elsewhere.email.upper(), country="SE")
    page(mine, f"/requests/{held.pk}/members", email=people.colleague.email, country="DK")
    assert list(held.members.values_list("user", flat=True)) == [people.colleague.pk]
    assert page(theirs, f"/requests/{held.pk}", 404)
    naming = Naming.objects.get()
    assert page(browser(people.stranger), f"/namings/{naming.pk}", 404, answer="join")
    assert browser(people.requester).post(f"/namings/{naming.pk}", {"answer": "join"}).status_code == 403
    assert "Lesions" in page(theirs, "/requests") and "Lesions" not in page(browser(people.stranger), "/requests")
    assert "You are of the team now" in page(theirs, f"/namings/{naming.pk}", answer="join")
    assert held.members.get(user=people.elsewhere).country == "SE"
    assert page(theirs, f"/namings/{naming.pk}", 404, answer="join")
    page(mine, f"/members/{held.members.get(user=people.elsewhere).pk}/drop", x="1")
    assert page(theirs, f"/requests/{held.pk}", 404)


def test_nobody_joins_what_was_handed_in_or_says_no(people: Any) -> None:
    held = draft(people)
    first = access.invite_member(people.requester, held, people.elsewhere.email, "SE")
    page(browser(people.requester), f"/requests/{held.pk}/submit", x="1")
    page(browser(people.elsewhere), f"/namings/{first.pk}", 409, answer="join")
    assert Member.objects.count() == 0 and Naming.objects.get().ended_at is None
    page(browser(people.elsewhere), f"/namings/{first.pk}", answer="no")
    assert Member.objects.count() == 0 and Naming.objects.get().ended_at is not None


# --- the document of an ethics board ---------------------------------------------------------------------------------------------------------------


def pdf(data: bytes = PDF, name: str = "Jane Doe.pdf") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, "application/pdf")


def test_the_document_is_for_the_team_and_who_decides_and_is_never_opened(people: Any) -> None:
    mine, held = browser(people.requester), draft(people)
    page(mine, f"/requests/{held.pk}/ethics", paper=pdf())
    paper = Paper.objects.get()
    assert paper.sha256 in page(mine, f"/requests/{held.pk}")
    assert browser(people.steward).get(f"/papers/{paper.pk}").status_code == 404  # a draft is its team's alone
    page(mine, f"/requests/{held.pk}/submit", x="1")
    for user, status in ((people.requester, 200), (people.steward, 200), (people.stranger, 404), (people.contributor, 404), (None, 401)):
        answer = browser(user).get(f"/papers/{paper.pk}")
        assert answer.status_code == status
        if status == 200:
            assert answer.content == PDF and answer["Content-Type"] == "application/octet-stream" and answer["X-Content-Type-Options"] == "nosniff"
            assert answer["Content-Disposition"].startswith("attachment") and "sandbox" in answer["Content-Security-Policy"]
            assert (Line.objects.latest("seq").act, Line.objects.latest("seq").dataset) == ("http.get", str(people.dataset.pk))
    everything = "".join(f"{line.detail}{line.object}" for line in Line.objects.all())
    assert "Jane" not in everything and "Jane" not in page(mine, f"/requests/{held.pk}")
    page(mine, f"/requests/{held.pk}/ethics", 409, off="1")  # what was handed in stays as it is
    assert papers.place(paper.pk).exists()


def test_another_document_takes_its_place_and_bytes_that_nobody_names_go(people: Any, django_capture_on_commit_callbacks: Any) -> None:
    mine, held = browser(people.requester), draft(people)
    page(mine, f"/requests/{held.pk}/ethics", paper=pdf())
    old = Paper.objects.get()
    before = access.ASKED and papers.place(old.pk)
    with django_capture_on_commit_callbacks(execute=True):
        page(mine, f"/requests/{held.pk}/ethics", paper=pdf(PDF + b"2"))
    new = Paper.objects.get(replaced_at=None)
    assert not before.exists() and papers.read(new) == PDF + b"2"
    papers.place(new.pk).write_bytes(PDF + b"3")
    with pytest.raises(ValueError, match="not what was put there"):
        papers.read(new)
    page(mine, f"/requests/{held.pk}/ethics", off="1")
    assert papers.sweep() == 1 and not papers.place(new.pk).exists() and papers.sweep() == 0


@pytest.mark.parametrize(
    ("data", "said"), [(b"<html>", "is no PDF"), (PDF + bytes(papers.MOST_BYTES), "larger than 10 MB"), (PDF + bytes(papers.MOST_BYTES - len(PDF)), "")]
)
def test_only_a_pdf_of_ten_megabytes_is_taken(data: bytes, said: str, people: Any) -> None:
    mine, held = browser(people.requester), draft(people)
    told = page(mine, f"/requests/{held.pk}/ethics", 200 if not said else 422 if "PDF" in said else 400, paper=pdf(data))
    assert said in told and Paper.objects.count() == (not said)


def test_another_document_is_another_question(people: Any) -> None:
    from registry.access import holding

    held = draft(people)
    before = holding.asked(held)
    access.attach_paper(people.requester, held, PDF)
    between = holding.asked(held)
    access.attach_paper(people.requester, held, PDF + b"2")
    assert len({before, between, holding.asked(held)}) == 3


# --- agreements ------------------------------------------------------------------------------------------------------------------------------------


def test_a_material_new_version_is_shown_with_its_difference_and_signed_again(people: Any) -> None:
    held = granted(people)
    access.sign_agreement(people.requester, held, 1)
    mine, here = browser(people.requester), f"/requests/{held.pk}"
    assert "You signed it on" in page(mine, f"{here}/agreement") and "<ins>" not in page(mine, f"{here}/agreement")
    access.publish_agreement(people.steward, people.dataset, "You keep the data to yourself.\nYou tell of every incident.", material=True, grace_days=7)
    assert "The agreement has a new version" in page(mine, here) and "Read and sign" in page(mine, "/notices")
    told = page(mine, f"{here}/agreement")
    assert "You tell of every incident.</ins>" in told and "asks for your signature again" in told
    page(mine, f"{here}/agreement", 422, version="1", accept="on")
    page(mine, f"{here}/agreement", version="2", accept="on")
    assert Entitlement.objects.get().resign_by is None and "Read and sign" not in page(mine, "/notices")


# --- packages --------------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def package(people: Any, carried: Any) -> Package:
    held = granted(people)
    right = access.sign_agreement(people.requester, held, 1)
    made = releases.build_package(people.requester, right)
    carried.work()
    made.refresh_from_db()
    return made


def test_bytes_are_for_the_holder_alone_and_each_look_is_on_record(people: Any, package: Package) -> None:
    for user, shown, bytes_ in ((people.requester, 200, 200), (people.steward, 200, 403), (people.stranger, 404, 404), (None, 401, 401)):
        assert browser(user).get(f"/packages/{package.pk}").status_code == shown
        before = Line.objects.count()
        assert browser(user).get(f"/packages/{package.pk}/download").status_code == bytes_
        assert Line.objects.count() == before + 1
    part = browser(people.requester).get(f"/packages/{package.pk}/download", HTTP_RANGE="bytes=0-9")
    assert (part.status_code, len(b"".join(part))) == (206, 10)


def test_a_package_that_a_departure_killed_says_so_and_leads_to_a_new_one(people: Any, package: Package, carried: Any) -> None:
    mine = browser(people.requester)
    b"".join(mine.get(f"/packages/{package.pk}/download"))
    releases.withdraw(people.steward, people.persons[0])
    told = page(mine, f"/packages/{package.pk}")
    assert "Somebody in it has left" in told and "Have a new package made" in told and "myelin download" not in told
    assert mine.get(f"/packages/{package.pk}/download").status_code == 410
    carried.work()
    page(mine, f"/entitlements/{package.entitlement_id}/package", x="1")
    carried.work()
    again = Package.objects.latest("created_at")
    assert again.pk != package.pk and again.state == "ready" and again.people.count() == 1


def test_nobody_builds_for_another(people: Any, package: Package) -> None:
    assert page(browser(people.steward), f"/entitlements/{package.entitlement_id}/package", 403, x="1")
    assert page(browser(people.stranger), f"/entitlements/{package.entitlement_id}/package", 404, x="1")
    assert Package.objects.count() == 1
    page(browser(people.requester), f"/entitlements/{package.entitlement_id}/package", x="1")


# --- notices and the end ---------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def notice(people: Any, package: Package) -> Notice:
    b"".join(browser(people.requester).get(f"/packages/{package.pk}/download"))
    releases.withdraw(people.steward, people.persons[0])
    return Notice.objects.get()


def test_a_notice_is_answered_by_whom_it_is_for(people: Any, notice: Notice) -> None:
    mine, here = browser(people.requester), f"/notices/{notice.pk}"
    told = page(mine, "/notices")
    assert "Somebody has left" in told and notice.files[0]["sha256"] in told
    assert people.requester.email in page(browser(people.steward), "/notices")
    assert page(browser(people.steward), here, 403, **{f"{notice.pk.hex}-deleted": "on"})
    assert page(browser(people.stranger), here, 404, **{f"{notice.pk.hex}-deleted": "on"})
    assert "This field is required" in page(mine, here, 400, **{f"{notice.pk.hex}-statement": "All gone."})
    notice.refresh_from_db()
    assert notice.acknowledged_at is None
    page(mine, here, **{f"{notice.pk.hex}-deleted": "on", f"{notice.pk.hex}-statement": "All gone."})
    notice.refresh_from_db()
    assert notice.statement == "All gone." and "You have been told to delete nothing" in page(mine, "/notices")


def test_an_overdue_notice_suspends_and_its_answer_lets_go_on(people: Any, notice: Notice) -> None:
    Notice.objects.update(created_at=timezone.now() - timedelta(days=31))
    attesting.tick()
    mine, held = browser(people.requester), Request.objects.get()
    assert "Overdue:" in page(mine, "/notices") and "Your access is suspended since" in page(mine, "/notices")
    assert "A notice to delete files has waited" in page(mine, f"/requests/{held.pk}")
    page(mine, f"/notices/{notice.pk}", **{f"{notice.pk.hex}-deleted": "on"})
    assert Request.objects.get().state == "active"


def test_a_renewal_is_asked_for_and_the_end_is_attested(people: Any) -> None:
    held = granted(people)
    access.sign_agreement(people.requester, held, 1)
    mine, here = browser(people.requester), f"/requests/{held.pk}"
    Entitlement.objects.update(ends=timezone.now() + timedelta(days=20))
    access.expire()
    assert "Report and ask for more time" in page(mine, "/notices") and "Ask for more time" in page(mine, here)
    page(mine, f"{here}/report", 400, done="", months="6")
    page(mine, f"{here}/report", done="We counted.", months="6")
    assert "waits for a steward" in page(mine, here)
    page(mine, f"{here}/close", x="1")
    page(mine, f"{here}/attest", 400, statement="")
    assert "Closed" in page(mine, f"{here}/attest", statement="All copies.")
    assert Request.objects.get().state == "closed"


def test_a_file_of_a_form_is_never_on_a_disk(people: Any, settings: Any, tmp_path: Any) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path / "nowhere")  # whatever would write there fails
    held = draft(people)
    page(browser(people.requester), f"/requests/{held.pk}/ethics", paper=pdf(PDF + bytes(5 << 20)))
    assert io.BytesIO(papers.read(Paper.objects.get())).read(5) == b"%PDF-"
