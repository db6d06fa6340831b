"""Every denied and every data-giving request leaves exactly one line: asked of every address there is, as everybody there is."""

from __future__ import annotations

import copy
import json
import re
import threading
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import OperationalError, connection, connections, transaction
from django.http import HttpResponse, HttpResponseForbidden
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.settings import api_settings

from registry import rules
from registry.access import actions as access
from registry.access import policy
from registry.access.models import Request
from registry.accounts import throttles
from registry.accounts.models import Counter, User
from registry.api import recording
from registry.audit import actions as audit
from registry.audit import queries
from registry.audit.models import Head, Line
from registry.consent import actions as consent
from registry.intake import actions as intake
from registry.releases import actions as releases
from tests.registry.browsers import shown

pytestmark = pytest.mark.django_db(databases="__all__")
ID = "00000000-0000-4000-8000-000000000000"
# Doors and pages whose GET tells nothing of anybody: the registry itself, one's own account, words, forms, and how far one's own uploads and packages are.
PLAIN = {
    "HealthDoor", "KeysDoor", "SessionDoor", "MeDoor", "TokensDoor", "SitesDoor", "DatasetsDoor", "DatasetDoor", "RunDoor", "DictionaryDoor", "FormDoor",
    "AnnotationsDoor", "TemplatesDoor", "UploadsDoor", "UploadDoor", "CorrectionsDoor", "ReleasesDoor", "ReleaseDoor", "DataCiteDoor", "AgreementDoor",
    "EntitlementsDoor", "EntitlementDoor", "PackagesDoor", "PackageDoor", "CountFieldsDoor", "MembersDoor", "ReportsDoor",
    "ViewsDoor", "ProposalsDoor", "PieceDoor",
    "StartPage", "SignInPage", "AccountPage", "PasswordPage", "ActsPage", "CataloguePage", "DatasetPage", "DictionaryPage", "BuildPage", "PicturesPage",
    "OverviewPage", "SendPage", "PastePage", "WithdrawPage", "CohortsPage", "CohortPage", "LinkedCohortPage",
    "NewRequestPage", "AskDatasetPage", "AgreementPage", "PackagesPage", "ProgressPage",
    "CodePage", "ConfirmPage", "FactorPage", "AnotherFactorPage", "SessionsPage", "ForgottenPage", "ResetPage", "ResetLinkPage", "InvitationsPage",
    "InvitationLinkPage", "AcceptPage", "BackPage", "ReleasesPage", "DatasetReleasesPage",
}  # fmt: skip


def patterns(resolver: Any = None, before: str = "") -> list[tuple[str, Any]]:
    """Every address of the registry with its view's class (None: a plain function), those of the administration too."""
    found = []
    for one in (resolver or get_resolver()).url_patterns:
        here = before + re.sub(r"^\^|\$$", "", str(one.pattern))
        if isinstance(one, URLResolver):
            found += patterns(one, here)
        elif isinstance(one, URLPattern):
            found.append((here, getattr(one.callback, "view_class", None)))
    return found


def filled(address: str, ids: dict[str, Any]) -> str:
    """The address with real ids where a door has one."""
    real = ids.get(address.removeprefix("api/v1/").split("/")[0], ID)
    address = re.sub(r"<slug:slug>", ids["slug"], re.sub(r"<\w+:number>", "0", re.sub(r"<uuid:(?:pk|other)>", str(real), address)))
    address = re.sub(r"<path:object_id>", str(ids["user"]), re.sub(r"<[\w:]+>", "1", address))
    return "/" + re.sub(r"\(\?P<[^)]*\)", "accounts", address).replace("\\", "").replace("/?", "/").removesuffix(".*")


@pytest.fixture(autouse=True)
def administration(settings: Any) -> None:
    """Open: where it is closed, each of its addresses is one more denial."""
    settings.MYELIN_ADMIN = True


@pytest.fixture
def ids(house: Any) -> dict[str, Any]:
    """Things of the house, one of each kind that has an address."""
    image = house.image(house.person())
    release = house.release()
    right = house.world.entitled(house.dataset, house.steward)
    house.researcher = right.user
    upload = intake.begin_upload(house.contributor, house.dataset, house.site)
    return {
        "participants": image.visit.participant_id, "images": image.pk, "uploads": upload.pk, "releases": release.pk, "requests": right.request_id,
        "entitlements": right.pk, "slug": house.dataset.slug, "user": house.steward.pk,
    }  # fmt: skip


def askers(house: Any) -> list[User | None]:
    admin = house.world.user("admin", is_superuser=True, is_staff=True)
    return [None, house.world.user("stranger"), house.contributor, house.steward, house.researcher, admin]


def test_every_address_as_everybody(house: Any, ids: dict[str, Any], settings: Any) -> None:
    settings.MYELIN_LIMITS = dict.fromkeys(settings.MYELIN_LIMITS, (10_000, 60))  # the limits are another test's
    told = {"denied": 0, "given": 0, "plain": 0}
    for asker in askers(house):
        client = Client(raise_request_exception=False)
        if asker:
            shown(client, asker)
        for address, view in patterns():
            for method in ("get", "post", "delete"):
                if method == "get" or (view is not None and hasattr(view, method)):
                    told[one(client, method, filled(address, ids), view)] += 1
    assert min(told.values()) > 60, told


def one(client: Client, method: str, path: str, view: Any) -> str:
    """Asks once and looks at the lines that came of it."""
    before, cookies = Line.objects.count(), copy.deepcopy(client.cookies)
    with transaction.atomic():
        body = {} if method == "get" else {"data": "{}", "content_type": "application/json"}
        answer = getattr(client, method)(path, **body)
        lines = list(Line.objects.filter(seq__gt=before))
        transaction.set_rollback(True)
    client.cookies = cookies  # one of the doors signs out
    denials = [line for line in lines if "denied" in line.detail or line.act == "session.refused"]
    about = (path, method, answer.status_code, [line.act for line in lines])
    to_admin = path.startswith("/admin/")
    gone = answer.status_code in (404, 410) and (to_admin or (view is not None and "/" in path.removeprefix("/api/v1/")))
    sent_away = to_admin and answer.status_code == 302 and "/login/" in answer["Location"]
    if answer.status_code in (401, 403) or gone or sent_away:
        assert len(lines) == 1 and (denials or lines[0].act == "image.look"), about  # a look is recorded before the picture is fetched
        return "denied"
    assert not denials, about
    if (
        method == "get"
        and answer.status_code == 200
        and (getattr(view, "gives", False) or (to_admin and not re.search(r"login|logout|jsi18n|password_change", path)))
    ):
        assert len(lines) == 1, about
        return "given"
    if method == "get":
        assert lines == [], about
    return "plain"


def test_a_door_that_gives_nothing_says_so_and_every_other_is_recorded() -> None:
    doors = {view for address, view in patterns() if view is not None and hasattr(view, "gives")}
    assert {view.__name__ for view in doors if hasattr(view, "get") and not view.gives} == PLAIN


def test_no_line_holds_what_was_sent(house: Any, door: Any) -> None:
    person = house.person()
    for query in ("site=Doe^Jane", f"participant={person.pk}", "participant=19700101-1234", "limit=7"):
        door(house.contributor).raw("get", f"/visits?{query}")
        door(house.contributor).raw("get", f"/participants?{query}")
    door(None).raw("post", "/participants", {"participants": [{"patient_id": "Jane Doe"}]})
    text = json.dumps(list(Line.objects.filter(act__startswith="http.").values("object", "detail", "act")))
    assert not re.search("Jane|Doe|1970", text) and str(person.pk) in text


def test_a_line_that_was_rolled_back_with_its_act_does_not_count(rf: RequestFactory, house: Any) -> None:
    def act(request: Any) -> HttpResponse:
        try:
            with transaction.atomic():
                audit.write("somebody", "act", "thing:1")
                raise rules.Denied("no_role", "No.")
        except rules.Denied:
            return HttpResponseForbidden()

    request = rf.get("/somewhere")
    request.user, request.resolver_match = house.steward, None
    before = Line.objects.count()
    recording.OneLine(act)(request)
    assert [line.act for line in Line.objects.filter(seq__gt=before)] == ["http.get"]


def test_what_cannot_be_recorded_is_not_given(house: Any, door: Any) -> None:
    person = house.person()
    assert door(house.contributor).get(f"/participants/{person.pk}")["label"] == person.label
    Head.objects.update(count=1)
    answer = door(house.contributor).raw("get", f"/participants/{person.pk}")
    assert answer.status_code == 503 and person.label not in answer.content.decode()
    assert door(None).raw("get", f"/participants/{person.pk}").status_code == 401
    assert door(house.contributor).get("/me")["email"] == house.contributor.email


def test_strangers_cannot_fill_the_log(house: Any, door: Any, settings: Any) -> None:
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "address": (3, 60)}
    cache.clear()
    before = Line.objects.count()
    guess = door(None)
    guess.token = "myl_guess"
    answers = [who.raw("get", "/images").status_code for who in (door(None), guess, guess, door(None), guess)]
    assert answers == [401, 401, 401, 429, 429]
    assert Line.objects.count() - before == 3


def test_looks_and_denials_are_seen_by_who_reads_the_datasets_log(house: Any, ids: dict[str, Any], door: Any) -> None:
    other = house.world.dataset(house.site)
    stranger, auditors = house.world.user("stranger"), {}
    for dataset in (house.dataset, other):
        auditors[dataset.slug] = house.world.user("auditor")
        access.give_role("system:test", auditors[dataset.slug], dataset, "auditor")
    access.give_role("system:test", house.contributor, other, "contributor", house.site)
    here, person, image = house.dataset.slug, ids["participants"], ids["images"]
    asked = [
        (house.contributor, "get", f"/participants/{person}", 200), (stranger, "get", f"/participants/{person}", 404),
        (house.contributor, "get", f"/visits?participant={person}", 200), (stranger, "get", f"/images/{image}/quality.png", 404),
        (None, "get", f"/images/{image}", 401), (house.contributor, "get", "/images", 200), (house.contributor, "get", f"/consents?participant={person}", 200),
        (stranger, "get", f"/datasets/{here}/clinical", 403), (stranger, "post", "/releases", 403), (house.steward, "get", f"/images?dataset={here}", 200),
    ]  # fmt: skip
    for asker, method, path, status in asked:
        before = Line.objects.count()
        assert door(asker).raw(method, path, {"dataset": here} if method == "post" else None).status_code == status, path
        line = Line.objects.get(seq=before + 1)
        assert line.dataset == str(house.dataset.pk), (path, line.object)
        assert line.seq in seqs(door(auditors[here])) and line.seq not in seqs(door(auditors[other.slug])), path
    visit = house.visit(house.world.participant(other, house.site))
    house.image(visit.participant, visit)
    door(house.contributor).get("/images")  # of both datasets at once: one line, read in both
    line = Line.objects.latest("seq")
    assert line.dataset == "" and line.detail["datasets"] == sorted([str(house.dataset.pk), str(other.pk)])
    assert all(line.seq in seqs(door(auditor)) for auditor in auditors.values())
    assert line.seq not in seqs(door(house.world.steward(house.world.dataset(house.site))))


def seqs(who: Any) -> set[int]:
    return {row["seq"] for row in who.get("/audit/lines?limit=1000")["results"]}


def test_an_id_is_on_record_however_it_was_written(house: Any, door: Any) -> None:
    person = house.person()
    for written in (str(person.pk).upper(), person.pk.hex, f"{{{person.pk}}}", str(person.pk)):
        door(house.contributor).get(f"/visits?participant={written}&{person.pk.hex}={person.pk}")
        assert Line.objects.latest("seq").detail == {"asked": {"participant": str(person.pk)}, "rows": 0}


def test_nobody_fills_the_log_by_being_denied_anywhere(house: Any, settings: Any) -> None:
    """The administration's pages, its sign-in, a failed CSRF check; strangers by address, an account without rights by account."""
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "address": (3, 86_400), "user": (3, 86_400)}
    signed_in, guesses = Client(), {"username": "nobody@example.org", "password": "wrong"}
    shown(signed_in, house.world.user())
    strict = Client(enforce_csrf_checks=True)
    asked = [
        (lambda **sent: Client().get("/admin/accounts/user/", **sent), 302),
        (lambda **sent: Client().post("/admin/login/", guesses, **sent), 200),
        (lambda **sent: strict.post("/admin/login/", guesses, **sent), 403),
        (lambda **sent: signed_in.get("/admin/accounts/user/"), 302),
    ]
    for ask, status in asked:
        Counter.objects.all().delete()
        before = Line.objects.count()
        answers = [ask(HTTP_X_FORWARDED_FOR=f"198.51.100.{n}") for n in range(5)]  # what a client says of its own address changes nothing
        assert [answer.status_code for answer in answers] == [status] * 3 + [429] * 2
        assert int(answers[-1]["Retry-After"]) > 0 and Line.objects.count() - before == 3
    assert Client().get("/admin/accounts/user/", REMOTE_ADDR="203.0.113.9").status_code == 302


def test_behind_a_proxy_its_word_counts_and_an_ipv6_line_is_one_address(rf: RequestFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(**sent: str) -> str:
        return throttles.address_of(rf.get("/", **sent))

    assert seen(REMOTE_ADDR="203.0.113.9", HTTP_X_FORWARDED_FOR="198.51.100.1") == "203.0.113.9"
    monkeypatch.setattr(api_settings, "NUM_PROXIES", 1)
    assert seen(REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="198.51.100.1, 203.0.113.9") == "203.0.113.9"
    assert seen(HTTP_X_FORWARDED_FOR="2001:db8::1") == seen(HTTP_X_FORWARDED_FOR="2001:db8::2:1") != seen(HTTP_X_FORWARDED_FOR="2001:db8:0:1::1")
    nginx = (Path(__file__).resolve().parents[3] / "deploy/nginx.conf").read_text()
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in nginx


def test_guessing_at_the_administrations_sign_in_is_limited(house: Any) -> None:
    guess = {"username": house.steward.email, "password": "wrong"}
    assert [Client().post("/admin/login/", guess).status_code for _ in range(7)] == [200] * 5 + [429] * 2
    assert Client().post("/admin/login/", {**guess, "username": house.contributor.email}).status_code == 200


def test_an_address_holds_no_words_of_the_asker_on_record(house: Any) -> None:
    known, before = house.steward.pk, Line.objects.count()
    for word in ("Hans Mueller 1970-01-01", "hans@x.de", "0101701234", str(known), str(known).upper(), "1"):
        Client().get(f"/admin/accounts/user/{word}/change/")
    told = [line.object.split(":", 2)[-1] for line in Line.objects.filter(seq__gt=before)]
    assert told == ["", "", "", str(known), str(known), "1"]


def test_signing_in_at_the_administration_is_on_record(house: Any) -> None:
    cache.clear()
    form = {"username": house.steward.email, "password": "wrong"}
    before = Line.objects.count()
    Client().post("/admin/login/", form)
    assert [line.detail for line in Line.objects.filter(seq__gt=before)] == [{"denied": "wrong_credentials"}]


# --- transactions ----------------------------------------------------------------------------------------------------------------------------------


def test_no_database_wraps_a_request_in_a_transaction() -> None:
    assert not any(connections[alias].settings_dict["ATOMIC_REQUESTS"] for alias in connections)


def hold(ready: threading.Event, done: threading.Event) -> None:
    """Another process that keeps what every writer needs."""
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                Head.objects.select_for_update().get(pk=1)
            ready.set()
            done.wait(20)
    finally:
        connections.close_all()


def test_a_lock_that_is_not_had_in_time_is_503_and_says_when_to_come_back(committed: None, house: Any, door: Any) -> None:
    person = house.person()
    ready, done = threading.Event(), threading.Event()
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 200" if connection.vendor == "postgresql" else "PRAGMA busy_timeout = 200")
    thread = threading.Thread(target=hold, args=(ready, done))
    who = door(house.contributor)
    thread.start()
    assert ready.wait(10)
    look = who.raw("get", f"/participants/{person.pk}")
    act = who.raw("post", "/uploads", {"dataset": house.dataset.slug, "site": house.site.code})
    done.set()
    thread.join()
    for answer in (look, act):
        assert (answer.status_code, answer.json()["code"]) == (503, "busy") and int(answer["Retry-After"]) > 0
    assert who.raw("get", f"/participants/{person.pk}").status_code == 200
    connections.close_all()
    assert list(queries.verify()) == []


def test_a_lock_outside_the_api_is_503_too(rf: RequestFactory) -> None:
    gate = recording.OneLine(lambda request: HttpResponse())
    answer = gate.process_exception(rf.get("/admin/"), OperationalError("database is locked"))
    assert answer is not None and (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert gate.process_exception(rf.get("/admin/"), OperationalError("no such table")) is None


class LastWord:
    """Watches statements: once an act has written its line, nothing but lines follows before its transaction ends."""

    def __init__(self) -> None:
        self.depth, self.written, self.wrong, self.acts = 0, False, list[str](), 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        word = sql.split()[0].upper()
        if word == "SAVEPOINT":
            self.depth += 1
        elif word in ("RELEASE", "ROLLBACK"):
            self.depth -= word == "RELEASE"
            if self.depth == 0:
                self.acts, self.written = self.acts + self.written, False
        elif "audit_" in sql:
            self.written |= word in ("INSERT", "UPDATE")
        elif self.written and word in ("INSERT", "UPDATE", "DELETE"):
            self.wrong.append(sql[:80])
        return execute(sql, params, many, context)


def test_an_act_writes_its_line_last(house: Any, door: Any, carried: Any) -> None:
    watch, world = LastWord(), house.world
    with connection.execute_wrapper(watch):
        person = house.person()
        made = intake.register(house.contributor, house.dataset, house.site, [{"patient_id": "A-1"}])
        intake.record_consents(house.contributor, [(made[0], {"kind": "given", "permission": "GRU", "evidence_sha256": "0" * 64})])
        right = world.entitled(house.dataset, house.steward)
        access.publish_agreement(house.steward, house.dataset, "Another text.")
        access.set_recipient_key(right.user, right.request, "age1" + "p" * 58)
        access.reject_request(house.steward, world.request(house.dataset), "No.")
        access.revoke_entitlement(house.steward, right, "Enough.")
        access.close_request(right.user, right.request)
        access.issue_token(house.steward, "desk")
        access.publish_form(
            house.steward, house.dataset, name="adults", version=1, language="en", title="Consent", text="Yes.", codes={"permission": "GRU"}, options=[]
        )
        image = house.image(house.person(), state="proposed")
        intake.accept_image(house.steward, image, "")
        intake.begin_upload(house.contributor, house.dataset, house.site)
        releases.withdraw(house.steward, person)
        assert carried.work() == 1
        clinic, when = door(house.contributor), {"participant": str(made[0].pk), "label": "m00", "date": "2021-03-04"}
        clinic.post("/visits", {"visits": [when]}, 201)
        upload = clinic.post("/uploads", {"dataset": house.dataset.slug, "site": house.site.code}, 201)["id"]
        clinic.put_file(upload, 1, b"a scan")
        clinic.post(f"/uploads/{upload}/complete", {"count": 1, "bytes": 6}, 202)
        carried.sort(upload, [("A-1", date(2021, 3, 4))])
        assert carried.studies() == 1
    assert watch.wrong == [] and watch.acts > 15, watch.acts


# --- why -------------------------------------------------------------------------------------------------------------------------------------------


def why(door: Any, asker: Any, person: Any, **more: Any) -> dict[str, Any]:
    query = "&".join(f"{key}={value}" for key, value in {"participant": getattr(person, "pk", person), **more}.items())
    answer: dict[str, Any] = door(asker).get(f"/why?{query}")
    return answer


def test_why_something_may_not_be_seen_is_told_to_who_may_know(house: Any, door: Any) -> None:
    seen, hidden = house.person("GRU", patient_id="W-1"), house.person("POA", patient_id="W-2")
    right = house.world.entitled(house.dataset, house.steward)
    assert why(door, right.user, seen, action="download")["permitted"]
    nothing = why(door, right.user, hidden, action="download")
    assert nothing == why(door, right.user, ID, action="download") and nothing["reasons"][0]["code"] == "nothing_here"
    consent.record(seen, "narrowed", "POA", evidence_sha256="1" * 64)
    told = why(door, right.user, seen, action="download")
    assert [reason["code"] for reason in told["reasons"] if reason["verdict"] == "deny"] == ["ancestry_only", "no_grant"]
    assert [row["code"] for row in why(door, house.contributor, hidden, action="download")["reasons"]] == ["no_grant"]
    through = why(door, house.steward, hidden, request=right.request_id)
    assert [row["code"] for row in through["reasons"]] == ["not_granted", "no_grant"]
    assert door(house.contributor).raw("get", f"/why?participant={seen.pk}&request={right.request_id}").status_code == 404
    assert door(house.contributor).raw("get", f"/why?participant={seen.pk}&action=peek").status_code == 400


def test_a_face_is_not_offered_whatever_was_agreed_to(house: Any, door: Any) -> None:
    person = house.person(None, patient_id="F-1")
    house.world.consent(person, "GRU", face_intact=True)
    researcher = door(house.world.user("researcher"))
    ask = {"dataset": house.dataset.slug, "title": "Faces", "abstract": "We want faces.", "purpose": "HMB", "recipient_key": KEY}
    for face, status in ((True, 400), (False, 200)):
        request = researcher.post("/requests", {**ask, "face_intact": face}, 201)
        answer = researcher.post(f"/requests/{request['id']}/submit", {}, status)
        assert face == (answer.get("code") == "not_offered")
    use = rules.Purpose("HMB", countries=frozenset({"DK"}), face_intact=True)
    assert rules.decide(rules.ConsentFacts("GRU", face_intact=True), use, DAY).reasons[-1].code == "not_offered"


KEY = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
DAY = date(2026, 6, 1)


def test_the_country_of_every_team_member_counts_and_a_move_bites_at_once(house: Any, door: Any) -> None:
    house.person("GRU")
    wide = house.person(None)
    house.world.consent(wide, "GRU", transfer="any")
    right = house.world.entitled(house.dataset, house.steward, team_countries=["BR"])
    assert set(policy.participants(right.user, "download")) == {wide}
    Request.objects.filter(pk=right.request_id).update(team_countries=[])
    assert set(policy.covered(right)) == {wide}, "the steward allowed no more than that"
    narrow = house.world.entitled(house.dataset, house.steward)
    assert policy.covered(narrow).count() == 2
    User.objects.filter(pk=narrow.user_id).update(country="BR")
    assert set(policy.covered(narrow)) == {wide}


def test_what_a_steward_settled_for_one_country_is_not_settled_for_the_next(house: Any) -> None:
    person = house.person(None)
    house.world.consent(person, "GRU", transfer="adequate")
    request = house.world.request(house.dataset, house.world.user("american", country="US"))
    access.approve_request(house.steward, request, settle=[person.pk])
    right = access.sign_agreement(request.requester, request, house.dataset.agreements.latest("version").version)
    assert set(policy.covered(right)) == {person}
    for country, seen in (("JP", set()), ("DK", set()), ("US", {person})):
        User.objects.filter(pk=right.user_id).update(country=country)
        assert set(policy.covered(right)) == set(policy.participants(right.user, "download")) == seen, country
        assert policy.ask(right.user, "download", person).permitted == bool(seen)


def test_obligations_are_told_with_the_answer(house: Any, door: Any) -> None:
    person = house.person(None)
    house.world.consent(person, "GRU", modifiers=["PUB"], max_months=24)
    right = house.world.entitled(house.dataset, house.steward, promises=["PUB"])
    assert door(right.user).get(f"/requests/{right.request_id}")["obligations"] == [
        "PUB: the recipient publishes the results.",
        "TS: no use for longer than 24 months.",
    ]


def test_who_must_be_asked_again_is_listed_to_their_site(house: Any, door: Any) -> None:
    child, old, fine = (house.person(None) for _ in range(3))
    turns = (DAY + timedelta(days=40)).replace(day=1)
    soon = timezone.now().date() + timedelta(days=5)
    house.world.consent(child, "GRU", given_by="parent", assent="given", reconsent_due=turns)
    house.world.consent(old, "GRU", valid_until=soon)
    house.world.consent(fine, "GRU")
    rows = door(house.contributor).get("/consents/due?days=30")["results"]
    assert [(row["label"], row["why"]) for row in rows] == [(child.label, "majority"), (old.label, "end")]
    assert [row["label"] for row in door(house.contributor).get("/consents/due?days=0")["results"]] == [child.label]
    assert door(house.world.user()).get("/consents/due")["results"] == []
    assert door(house.contributor).raw("get", "/consents/due?days=soon").status_code == 400
