"""The doors themselves: who is let in, what is answered to nonsense, and that every refusal is a problem document with a twin that is allowed."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import get_resolver

from registry.access import actions as access
from registry.api import urls
from registry.audit.models import Line
from registry.imaging.models import Image
from registry.intake.models import UploadFile
from registry.releases import actions as releases
from registry.runs.models import Mail

pytestmark = pytest.mark.django_db(databases="__all__")
ID = "00000000-0000-4000-8000-000000000000"
OPEN = {"openapi.json", "docs", "health", "keys", "session", "count-fields"}
COUNT = "datasets/some/count"  # open too, where there is such a dataset: test_counts


def paths() -> list[tuple[str, list[str]]]:
    """Every address of the API with the methods its door has."""
    found = []
    for pattern in urls.v1:
        view = pattern.callback.view_class  # type: ignore[attr-defined]
        address = re.sub(r"<\w+:number>", "0", re.sub(r"<uuid:\w+>", ID, re.sub(r"<slug:slug>", "some", str(pattern.pattern))))
        found.append((address, [name for name in ("get", "post", "put", "delete", "patch") if hasattr(view, name)]))
    return found


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, (answer.status_code, answer.content[:300])
    assert answer["Content-Type"] == "application/problem+json", answer["Content-Type"]
    told: dict[str, Any] = answer.json()
    assert (told["code"], told["status"]) == (code, status) and told["detail"] and told["type"] == f"urn:myelin:problem:{code}"
    return told


@pytest.mark.parametrize(("address", "methods"), [row for row in paths() if row[0] not in {*OPEN, COUNT}])
def test_nobody_gets_in_without_a_key(address: str, methods: list[str], door: Any, settings: Any) -> None:
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "address": (1000, 60)}
    for method in methods:
        problem(door(None).raw(method, f"/{address}"), 401, "not_signed_in")
    dead = door(None)
    dead.token = "myelin_" + "x" * 43
    for method in methods:
        problem(dead.raw(method, f"/{address}"), 401, "token_invalid")


@pytest.mark.parametrize("address", sorted(OPEN))
def test_what_is_open_is_open(address: str, door: Any) -> None:
    assert door(None).raw("get", f"/{address}").status_code == 200


@pytest.mark.parametrize(("address", "methods"), [row for row in paths() if ID in row[0]])
def test_what_is_not_there_and_what_may_not_be_seen_look_alike(address: str, methods: list[str], house: Any, door: Any) -> None:
    """Every object of the house, asked for by somebody from another house, answers as one that never was."""
    image = house.image(house.person(), state="proposed")
    things = {
        "participants": image.visit.participant_id,
        "images": image.pk,
        "uploads": house.dataset.uploads.create(site=house.site).pk,
        "releases": house.dataset.releases.create(number=1, version="1", created_by="x").pk,
    }
    stranger = door(house.world.user("stranger"))
    real = things.get(address.split("/")[0])
    for method in methods:
        body = None if method in ("get", "delete") else {}
        extra = (
            {"HTTP_CONTENT_DIGEST": f"sha-256=:{base64.b64encode(b'0' * 32).decode()}:", "content_type": "application/octet-stream"} if method == "put" else {}
        )
        never = stranger.raw(method, f"/{address}", b"x" if method == "put" else body, **extra)
        assert never.status_code == 404, (address, method, never.content)
        if real:
            hidden = stranger.raw(method, f"/{address.replace(ID, str(real))}", b"x" if method == "put" else body, **extra)
            assert (hidden.status_code, hidden.content) == (404, never.content)


def test_the_house_itself_sees_them(house: Any, door: Any) -> None:
    image = house.image(house.person(), state="proposed")
    for who in (house.contributor, house.steward):
        assert door(who).get(f"/images/{image.pk}")["id"] == str(image.pk)
        assert door(who).get(f"/participants/{image.visit.participant_id}")["label"] == image.visit.participant.label


def test_each_role_does_what_it_may_and_no_more(house: Any, door: Any) -> None:
    person = house.person()
    image = house.image(person, state="proposed")
    researcher, admin = house.world.user("researcher"), house.world.user("admin", is_superuser=True)
    auditor = house.world.user("auditor")
    access.give_role("system:test", auditor, house.dataset, "auditor")
    slug, nobody_else = house.dataset.slug, {house.steward: 403, auditor: 403, researcher: 403, admin: 403}
    new_upload = {"dataset": slug, "site": house.site.code}
    newcomer = {**new_upload, "participants": [{"patient_id": "N-1"}]}
    new_site, new_user = {"code": "new", "name": "New", "country": "SE"}, {"email": "n@example.org", "password": "a long enough phrase", "country": "SE"}
    rows: list[tuple[str, str, Any, dict[Any, int]]] = [
        ("post", "/participants", newcomer, {**nobody_else, house.contributor: 201}),
        ("post", "/uploads", new_upload, {**nobody_else, house.contributor: 201}),
        ("post", f"/images/{image.pk}/accept", {}, {house.contributor: 403, auditor: 404, researcher: 404, admin: 404, house.steward: 200}),
        ("post", "/releases", {"dataset": slug}, {house.contributor: 403, auditor: 403, researcher: 403, admin: 403, house.steward: 202}),
        ("post", "/sites", new_site, {house.contributor: 403, house.steward: 403, auditor: 403, researcher: 403, admin: 201}),
        ("post", "/users", new_user, {house.steward: 403, researcher: 403, admin: 201}),
        ("post", "/audit/verify", {}, {house.contributor: 403, researcher: 403, auditor: 200, house.steward: 200, admin: 200}),
        ("get", f"/images/{image.pk}/review/0.png", None, {house.contributor: 403, auditor: 404, researcher: 404, admin: 404, house.steward: 410}),
        ("get", f"/consents?participant={person.pk}", None, {researcher: 200, house.contributor: 200}),
        ("post", f"/participants/{person.pk}/withdraw", {}, {auditor: 403, researcher: 404, admin: 404, house.contributor: 202}),
    ]  # fmt: skip
    for method, path, body, expected in rows:
        for who, status in expected.items():
            before = Line.objects.filter(detail__has_key="denied").count()
            answer = door(who).raw(method, path, body)
            assert answer.status_code == status, (path, who.email, answer.content)
            assert Line.objects.filter(detail__has_key="denied").count() - before == (status in (403, 404)), (path, who.email)


def test_a_list_shows_what_single_answers_show(house: Any, door: Any) -> None:
    mine = house.image(house.person(), state="proposed")
    elsewhere = type(house)(house.world, house.site, house.world.dataset(house.site), house.contributor, house.steward)
    other = elsewhere.image(elsewhere.person(), state="proposed")
    for who in (house.steward, house.contributor, house.world.user()):
        listed = {row["id"] for row in door(who).get("/images")["results"]}
        single = {str(image.pk) for image in (mine, other) if door(who).raw("get", f"/images/{image.pk}").status_code == 200}
        assert listed == single
    assert {row["id"] for row in door(house.steward).get("/images")["results"]} == {str(mine.pk)}


def test_a_researcher_sees_what_the_entitlement_covers(house: Any, door: Any) -> None:
    covered, beyond = house.person("GRU"), house.person("POA")
    accepted, proposed = house.image(covered), house.image(covered, suffix="T2w", state="proposed")
    house.image(beyond)
    right = house.world.entitled(house.dataset, house.steward)
    seen = door(right.user)
    assert [row["id"] for row in seen.get("/images")["results"]] == [str(accepted.pk)]
    assert seen.raw("get", f"/images/{proposed.pk}").status_code == 404
    assert [row["id"] for row in seen.get("/participants")["results"]] == [str(covered.pk)]
    releases.withdraw(house.steward, covered)
    assert seen.get("/images")["results"] == [] and seen.get("/participants")["results"] == []


# --- keys ------------------------------------------------------------------------------------------------------------------------------------------


def test_signing_in_needs_the_csrf_token_and_gives_a_session(house: Any) -> None:
    house.world.user("anna")
    user = house.world.user("berit")
    user.set_password("a long enough phrase")
    user.save()
    client = Client(enforce_csrf_checks=True)
    told = client.get("/api/v1/session").json()
    assert told["user"] is None
    body = json.dumps({"email": user.email.upper(), "password": "a long enough phrase"})
    problem(client.post("/api/v1/session", body, content_type="application/json"), 403, "csrf")
    answer = client.post("/api/v1/session", body, content_type="application/json", headers={"X-CSRFToken": told["csrf"]})
    assert answer.status_code == 200 and answer.json()["user"]["email"] == user.email
    new = {"name": "desk", "scopes": ["read", "write"], "days": 5}
    problem(client.post("/api/v1/tokens", json.dumps(new), content_type="application/json"), 403, "csrf")
    made = client.post("/api/v1/tokens", json.dumps(new), content_type="application/json", headers={"X-CSRFToken": answer.json()["csrf"]})
    assert made.status_code == 201 and made["Cache-Control"] == "no-store"
    token = made.json()["token"]
    listed = client.get("/api/v1/tokens").json()["results"]
    assert [row["id"] for row in listed] == [made.json()["id"]] and token not in json.dumps(listed)
    assert client.delete("/api/v1/session", headers={"X-CSRFToken": answer.json()["csrf"]}).status_code == 204
    assert client.get("/api/v1/session").json()["user"] is None


def test_a_wrong_password_tells_nothing_and_is_limited_without_locking_the_owner_out(house: Any) -> None:
    cache.clear()
    user = house.world.user("berit")
    user.set_password("a long enough phrase")
    user.save()

    def attempt(email: str, password: str, address: str = "192.0.2.1") -> Any:
        return Client().post("/api/v1/session", json.dumps({"email": email, "password": password}), content_type="application/json", REMOTE_ADDR=address)

    wrong, unknown = attempt(user.email, "guess"), attempt("nobody@example.org", "guess")
    assert wrong.content == unknown.content
    problem(wrong, 401, "wrong_credentials")
    for _ in range(4):
        attempt(user.email, "guess")
    limited = attempt(user.email, "a long enough phrase")
    assert problem(limited, 429, "throttled") and int(limited["Retry-After"]) > 0
    assert attempt(user.email, "a long enough phrase", "198.51.100.7").status_code == 200


def test_a_token_does_what_its_scope_says_and_dies_at_once(house: Any, door: Any) -> None:
    token, text = access.issue_token(house.contributor, "reader", ["read"], 5)
    reader = door(None)
    reader.token = text
    assert reader.get("/me")["email"] == house.contributor.email
    problem(reader.raw("post", "/uploads", {"dataset": house.dataset.slug, "site": house.site.code}), 403, "scope_missing")
    _, writing = access.issue_token(house.contributor, "writer", ["read", "write"], 5)
    writer = door(None)
    writer.token = writing
    writer.post("/uploads", {"dataset": house.dataset.slug, "site": house.site.code}, 201)
    problem(writer.raw("post", "/tokens", {"name": "more", "scopes": ["read"], "days": 9}), 403, "session_needed")
    assert door(house.contributor).raw("delete", f"/tokens/{token.pk}").status_code == 204
    problem(reader.raw("get", "/me"), 401, "token_invalid")


def test_a_token_of_somebody_else_cannot_be_revoked(house: Any, door: Any) -> None:
    token, _ = access.issue_token(house.contributor, "mine", ["read"], 5)
    problem(door(house.steward).raw("delete", f"/tokens/{token.pk}"), 404, "not_found")
    assert door(house.contributor).raw("delete", f"/tokens/{token.pk}").status_code == 204


# --- nonsense --------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{", 400, "malformed_json"),
        ("", 400, "invalid"),
        ("[" * 100_000, 400, "nested_too_deep"),
        ('{"a":' * 50 + "1" + "}" * 50, 400, "nested_too_deep"),
        ('{"dataset": NaN}', 400, "malformed_json"),
        ('{"dataset": "a\\u0000b"}', 400, "malformed_json"),
        ("\xff\xfe".encode("latin-1"), 400, "malformed_json"),
        ("[]", 400, "invalid"),
        ('"text"', 400, "invalid"),
        ("null", 400, "invalid"),
        ('{"dataset": "x", "site": "y", "admin": true}', 400, "invalid"),
        ('{"dataset": {"a": 1}, "site": []}', 400, "invalid"),
        (b'{"x": "' + b"y" * (6 << 20) + b'"}', 413, "too_large"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_a_reason(body: Any, status: int, code: str, house: Any, door: Any) -> None:
    problem(door(house.contributor).raw("post", "/uploads", body), status, code)


def test_brackets_inside_texts_are_no_depth(house: Any, door: Any) -> None:
    told = door(house.contributor).raw("post", "/uploads", json.dumps({"dataset": "[" * 500 + '"\\', "site": "x"}))
    problem(told, 400, "invalid")


def test_wrong_methods_media_and_addresses(house: Any, door: Any) -> None:
    site = door(house.contributor)
    problem(site.raw("patch", "/uploads", {}), 405, "method_not_allowed")
    problem(site.raw("post", "/uploads", b"a=b", content_type="application/x-www-form-urlencoded"), 415, "unsupported_media_type")
    problem(site.raw("get", "/nothing/here"), 404, "not_found")
    problem(site.raw("get", "/images/not-an-id"), 404, "not_found")
    problem(site.raw("get", "/images?participant=not-an-id"), 400, "invalid")
    problem(site.raw("get", "/images?limit=5&cursor=abc"), 404, "not_found")
    assert site.raw("get", "/images?limit=5", HTTP_ACCEPT="text/html").status_code == 200


def test_a_file_needs_length_and_digest(house: Any, door: Any) -> None:
    site = door(house.contributor)
    upload = site.post("/uploads", {"dataset": house.dataset.slug, "site": house.site.code}, 201)["id"]
    problem(site.raw("put", f"/uploads/{upload}/files/1", b"x", content_type="application/octet-stream"), 400, "bad_digest_header")
    for header in ("sha-256=:AAAA:", "md5=:x:", "sha-256=" + "a" * 64):
        problem(
            site.raw("put", f"/uploads/{upload}/files/1", b"x", content_type="application/octet-stream", HTTP_CONTENT_DIGEST=header), 400, "bad_digest_header"
        )
    assert site.put_file(upload, 1, b"x", folder="..", status=400)["code"] == "bad_folder"
    assert site.put_file(upload, 0, b"x", status=400)["code"] == "bad_folder"
    wrong = base64.b64encode(b"0" * 32).decode()
    assert site.put_file(upload, 1, b"x", status=422, HTTP_CONTENT_DIGEST=f"sha-256=:{wrong}:")["code"] == "digest_mismatch"
    assert site.put_file(upload, 1, b"x", folder="3.1")["bytes"] == 1
    assert site.put_file(upload, 1, b"x", folder="3.1", status=200)["bytes"] == 1
    assert site.put_file(upload, 2, b"", CONTENT_LENGTH="0")["bytes"] == 0


def test_a_mask_comes_with_a_word_of_the_list_and_with_no_other(house: Any, door: Any) -> None:
    site = door(house.contributor)
    upload = site.post("/uploads", {"dataset": house.dataset.slug, "site": house.site.code}, 201)["id"]
    assert "lesion" in site.get("/annotations", 200)["words"]
    site.put_file(upload, 1, b"x", annotation="lesion")
    site.put_file(upload, 1, b"x", annotation="lesion", status=200)
    site.put_file(upload, 1, b"x", annotation="brain", status=200)  # corrected: the same bytes show something else
    refused = site.put_file(upload, 2, b"x", annotation="hansen", status=400)
    assert refused["code"] == "unknown_annotation" and "hansen" not in str(refused)
    assert list(UploadFile.objects.filter(upload=upload).values_list("number", "annotation")) == [(1, "brain")]


def test_a_bulk_act_is_all_or_none_and_names_the_row(house: Any, door: Any) -> None:
    site = door(house.contributor)
    rows = [{"patient_id": "ROW-1"}, {"patient_id": "ROW-1"}]
    told = site.raw("post", "/participants", {"dataset": house.dataset.slug, "site": house.site.code, "participants": rows})
    assert problem(told, 409, "already_registered")["errors"][0]["field"] == "participants.1"
    assert site.get("/participants")["results"] == [] and "ROW-1" not in told.content.decode()
    rows[1] = {"patient_id": "ROW-2", "sex": "X"}
    told = site.raw("post", "/participants", {"dataset": house.dataset.slug, "site": house.site.code, "participants": rows})
    assert problem(told, 400, "invalid")["errors"][0]["field"] == "participants.1.sex"
    rows[1]["sex"] = "F"
    assert len(site.post("/participants", {"dataset": house.dataset.slug, "site": house.site.code, "participants": rows}, 201)["results"]) == 2


def test_what_is_left_out_of_a_consent_is_not_said(house: Any, door: Any) -> None:
    """A form's limits hold, and its "yes" is not recorded where the paper says "no"."""
    codes = {"permission": "HMB", "modifiers": ["NPU", "IRB"], "max_months": 24, "ai_training": True}
    form = {"dataset": house.dataset.slug, "name": "adults", "version": 1, "language": "en", "title": "Consent", "text": "Yes.", "codes": codes}
    made = door(house.steward).post("/consent-templates", {**form, "options": ["modifiers", "max_months"]}, 201)
    door(house.steward).post("/consent-templates", {**form, "options": ["modifiers", "max_months"], "language": "da", "text": "Ja."}, 201)
    signed = {"participant": str(house.person(None).pk), "kind": "given", "template": made["id"], "evidence_sha256": "0" * 64}
    for wrong in ({"ai_training": False}, {"max_months": None}, {"modifiers": []}, {"transfer": "any"}):
        door(house.contributor).post("/consents", {"consents": [{**signed, **wrong}]}, 400, "consent_template")
    (row,) = door(house.contributor).post("/consents", {"consents": [signed]}, 201)["results"]
    assert (row["modifiers"], row["max_months"], row["ai_training"], row["transfer"]) == (["IRB", "NPU"], 24, True, "none")


def test_a_fault_of_ours_says_nothing_of_what_it_handled(house: Any, door: Any, monkeypatch: Any) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("MRN-SECRET")

    monkeypatch.setattr("registry.imaging.queries.images", breaks)
    answer = door(house.steward).raw("get", "/images")
    assert "MRN" not in answer.content.decode()
    problem(answer, 500, "internal")


def test_pages_follow_one_another(house: Any, door: Any) -> None:
    ids = {str(house.image(house.person(), state="proposed").pk) for _ in range(5)}
    seen: list[str] = []
    path = "/images?limit=2"
    while path:
        page = door(house.steward).get(path)
        seen += [row["id"] for row in page["results"]]
        path = page["next"] and page["next"].split("testserver", 1)[1]
    assert len(seen) == 5 and set(seen) == ids


def test_limits_are_counted_for_all_workers_together(house: Any, door: Any, settings: Any) -> None:
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "user": (3, 60)}
    answers = [door(house.steward).raw("get", "/me") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[3]["Retry-After"]) > 0 and problem(answers[3], 429, "throttled")
    assert door(house.contributor).raw("get", "/me").status_code == 200


def test_the_document_describes_every_door(door: Any) -> None:
    told = door(None).get("/openapi.json")
    assert told["openapi"].startswith("3.1")
    described = {(path, method) for path, methods in told["paths"].items() for method in methods if method != "parameters"}
    expected = set()
    for pattern in urls.v1:
        address = "/api/v1/" + re.sub(r"<\w+:(\w+)>", lambda found: "{id}" if found[1] == "pk" else "{" + found[1] + "}", str(pattern.pattern))
        view = pattern.callback.view_class  # type: ignore[attr-defined]
        expected |= {(address, method) for method in ("get", "post", "put", "delete", "patch") if hasattr(view, method)}
    assert described == {row for row in expected if row[0] not in ("/api/v1/openapi.json", "/api/v1/docs")}
    operations = [operation["operationId"] for methods in told["paths"].values() for name, operation in methods.items() if name != "parameters"]
    assert len(operations) == len(set(operations))
    page = door(None).raw("get", "/docs").content.decode()
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)  # nothing is fetched from elsewhere


def test_withdrawn_images_answer_to_nobody(house: Any, door: Any) -> None:
    image = house.image(house.person())
    assert door(house.steward).raw("get", f"/images/{image.pk}").status_code == 200
    releases.withdraw(house.steward, image.visit.participant)
    assert Image.objects.get(pk=image.pk).state == "withdrawn"
    assert door(house.steward).raw("get", f"/images/{image.pk}").status_code == 404


def test_every_address_below_api_answers_in_our_form() -> None:
    assert get_resolver().resolve("/api/v1/x/y/z").func.__name__ == "not_found"


def test_a_steward_sees_the_mails_that_could_not_be_delivered_and_nobody_else_does(house: Any, door: Any) -> None:
    lost = {"subject": "A package is ready", "body": "https://registry.example/packages", "state": "dead", "tries": 8, "error_code": "smtp_550"}
    mine = Mail.objects.create(to=house.contributor.email, **lost)
    Mail.objects.create(to="somebody@elsewhere.example", **lost)
    Mail.objects.create(to=house.contributor.email, **(lost | {"state": "queued", "error_code": ""}))
    seen = door(house.steward).get("/mails")["results"]
    assert [(row["id"], row["error_code"]) for row in seen] == [(str(mine.pk), "smtp_550")]
    assert "body" not in seen[0]
    assert door(house.contributor).get("/mails")["results"] == []
