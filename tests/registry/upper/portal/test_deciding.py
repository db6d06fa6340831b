"""The queue and the pages of deciding: what stands there for whom, in which order; each act with a twin that is refused; queries that do not grow."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.access import actions as access
from registry.access import groups, pairs, papers
from registry.access.models import DangerousAct, Request, RequestedParticipant
from registry.audit.models import Line
from registry.imaging.models import Image
from registry.intake import actions, deciding
from registry.intake.models import Study, Upload
from registry.releases import judging, waiting
from registry.runs.models import Mail
from tests.registry.upper.portal.test_looking import body, lines, person, text

pytestmark = pytest.mark.django_db(databases="__all__")


def kinds(asker: Any, **asked: Any) -> list[str]:
    return [row.kind for row in waiting.page(asker, **asked).rows]


def full(house: Any) -> dict[str, Any]:
    """One thing of every kind that can wait, made so that the kinds' order is known."""
    house.image(house.person())  # something to release
    made: dict[str, Any] = {"image": house.image(house.person(), state="proposed")}
    made["doubt"] = house.image(house.person(), state="proposed", deface_verdict="review")
    made["returned"] = actions.return_image(house.steward, house.image(house.person(), state="proposed"), "Which visit?")
    upload = Upload.objects.create(dataset=house.dataset, site=house.site, contributor=house.contributor, state="sorted")
    made["study"] = Study.objects.create(upload=upload, study_code="s", code="no_consent", reason="No consent is on record.")
    made["request"] = house.world.request(house.dataset)
    other = house.world.steward(house.dataset)
    made["second"] = pairs.propose(other, house.dataset, "orbit_release", f"image:{made['doubt'].pk}", "The orbits are the question.")
    mine = pairs.propose(house.steward, house.dataset, "bulk_approval", "requests:x", "All alike.")
    made["agreed"] = pairs.second(other, mine)
    made["mail"] = Mail.objects.create(to=house.contributor.email, subject="A letter", body="x", state="dead", error_code="smtp_550")
    release = house.release()
    type(release).objects.filter(pk=release.pk).update(state="invalid", validator={"errors": 3})
    made["release"] = release
    return made


def test_everything_that_needs_a_person_stands_in_one_list_the_oldest_first(house: Any) -> None:
    made = full(house)
    found = waiting.page(house.steward).rows
    assert [row.kind for row in found] == list(made)
    assert [row.thing.pk for row in found] == [one.pk for one in made.values()]
    assert [row.kind for row in found if not row.yours] == ["returned", "study"]
    assert kinds(house.contributor) == ["returned", "study"] and all(row.yours for row in waiting.page(house.contributor).rows)
    assert kinds(house.world.user("stranger")) == [] and kinds(house.world.steward(house.world.dataset(house.site))) == []
    page = text(person(house.steward).get("/queue"))
    for words in ("9 things need a person", "Which visit?", "No consent is on record.", "The orbits are the question.", "smtp_550", "3 errors", "A study"):
        assert words in page, words
    assert kinds(house.steward, kind="mail") == ["mail"]
    assert "Nothing needs you now" in text(person(house.world.user("stranger")).get("/queue"))


def test_the_list_goes_on_where_a_page_ended(house: Any) -> None:
    made = full(house)
    first = waiting.page(house.steward, size=4)
    second = waiting.page(house.steward, after=first.more, size=4)
    third = waiting.page(house.steward, after=second.more, size=4)
    assert [row.kind for part in (first, second, third) for row in part.rows] == list(made) and third.more is None


def test_the_queue_costs_the_same_however_long_it_is(house: Any) -> None:
    full(house)
    client = person(house.steward)
    client.get("/queue")
    with CaptureQueriesContext(connection) as few:
        client.get("/queue")
    for _ in range(4):
        house.image(house.person(), state="proposed")
        actions.return_image(house.steward, house.image(house.person(), state="proposed"), "Which visit?")
        house.world.request(house.dataset)
    with CaptureQueriesContext(connection) as many:
        client.get("/queue")
    assert len(many) == len(few) <= 60


def test_the_queue_is_one_line_that_names_its_datasets(house: Any) -> None:
    house.image(house.person(), state="proposed")
    before = Line.objects.count()
    person(house.steward).get("/queue")
    assert lines(before) == ["http.get"] and Line.objects.latest("seq").dataset == str(house.dataset.pk)


@pytest.mark.parametrize(("act", "state"), [("accept", "accepted"), ("refuse", "refused"), ("return", "returned")])
def test_an_image_is_decided_from_the_queue(house: Any, act: str, state: str) -> None:
    image = house.image(house.person(), state="proposed")
    address, sent = f"/images/{image.pk}/decide", {"act": act, "reason": "Motion.", "to": "queue"}
    assert person(house.world.user("stranger")).post(address, sent).status_code == 404
    assert person(house.contributor).post(address, sent).status_code == 403
    assert person(house.steward).post(address, {"act": "burn"}).status_code == 422
    if act != "accept":
        answer = person(house.steward).post(address, {**sent, "reason": " "})
        assert answer.status_code == 422 and "needs its reason" in answer.content.decode()
    image.refresh_from_db()
    assert image.state == "proposed"
    assert person(house.steward).post(address, sent)["Location"] == "/queue"
    image.refresh_from_db()
    assert image.state == state
    assert person(house.steward).post(address, {**sent, "act": "refuse"}).status_code == (302 if act == "return" else 409)


def test_the_site_answers_and_the_image_waits_again(house: Any) -> None:
    image = actions.return_image(house.steward, house.image(house.person(), state="proposed"), "Which visit?")
    answer = {"reason": "The baseline."}
    assert person(house.steward).post(f"/images/{image.pk}/answer", answer).status_code == 403
    assert person(house.contributor).post(f"/images/{image.pk}/answer", {"reason": " "}).status_code == 422
    assert person(house.contributor).post(f"/images/{image.pk}/answer", answer)["Location"] == f"/images/{image.pk}"
    assert kinds(house.steward) == ["image"]


def test_many_are_accepted_after_the_sample_which_the_page_shows(house: Any) -> None:
    participant = house.person()
    images = [house.image(participant, state="proposed", suffix=f"T{n}w") for n in range(12)]
    house.image(house.person(), state="proposed", grade="review")
    client = person(house.steward)
    assert "List them" in text(client.get("/images/accept"))
    to = client.get(f"/images/accept?dataset={house.dataset.slug}")["Location"]
    page = text(client.get(to))
    assert "5 images of the sample are still to be looked at" in page and page.count('name="image"') == 12
    sent = {"act": "accept", "image": [str(image.pk) for image in images]}
    answer = client.post("/images/accept", sent)
    assert answer.status_code == 409 and "sample_not_looked_at" in answer.content.decode()
    for pk in deciding.sample(house.steward, images):
        body(client.get(f"/images/{pk}/volumes/{Image.objects.get(pk=pk).files.get(kind='image').pk}"))
    assert "You looked at every image of the sample." in text(client.get(to))
    assert person(house.contributor).post("/images/accept", sent).status_code == 403
    assert client.post("/images/accept", sent)["Location"] == "/queue"
    assert Image.objects.filter(state="accepted").count() == 12
    assert client.post("/images/accept", {"act": "accept"}).status_code == 422


def test_many_of_a_restricted_dataset_are_proposed_and_seconded_on_the_pages(house: Any) -> None:
    access.set_level("system:test", house.dataset, "restricted")
    participant = house.person()
    images = [house.image(participant, state="proposed", suffix=f"T{n}w") for n in range(11)]
    first, second = person(house.steward), person(house.world.steward(house.dataset))
    sent = {"image": [str(image.pk) for image in images], "reason": "One scanner, one week."}
    for image in images:
        actions.volume(house.steward, image.files.get(kind="image"))
    assert first.post("/images/accept", {**sent, "act": "accept"}).status_code == 409
    assert first.post("/images/accept", {**sent, "act": "propose"})["Location"] == "/dangerous-acts"
    act = DangerousAct.objects.get()
    assert "One scanner, one week." in text(second.get("/dangerous-acts")) and "another than you" in text(first.get("/dangerous-acts"))
    assert first.post(f"/dangerous-acts/{act.pk}/second").status_code == 403
    assert person(house.contributor).post(f"/dangerous-acts/{act.pk}/second").status_code == 404
    assert second.post(f"/dangerous-acts/{act.pk}/second")["Location"] == "/dangerous-acts"
    assert first.post("/images/accept", {**sent, "act": "accept"})["Location"] == "/queue"


def test_mail_that_came_back_is_tried_again_or_put_aside(house: Any) -> None:
    letters = [Mail.objects.create(to=house.contributor.email, subject="A letter", body="x", state="dead", error_code="smtp_550") for _ in range(2)]
    assert person(house.contributor).post(f"/queue/mails/{letters[0].pk}", {"act": "again"}).status_code == 404
    client = person(house.steward)
    assert client.post(f"/queue/mails/{letters[0].pk}", {"act": "again"}).status_code == 302
    assert client.post(f"/queue/mails/{letters[1].pk}", {"act": "aside"}).status_code == 302
    assert list(Mail.objects.filter(subject="A letter").values_list("state", flat=True)) == ["queued"]
    assert list(Line.objects.order_by("seq").values_list("act", flat=True))[-2:] == ["mail.again", "mail.aside"]
    assert client.post(f"/queue/mails/{letters[0].pk}", {"act": "again"}).status_code == 404


# --- requests --------------------------------------------------------------------------------------------------------------------------------------


def asked(house: Any, **fields: Any) -> Request:
    """A request for five people: two whose consent permits, one whose consent asks a person, one who has none, one for whom it ended."""
    for _ in range(2):
        house.image(house.person("GRU"))
    house.world.consent(house.world.participant(house.dataset, house.site), "HMB", modifiers=["RS"])
    house.world.participant(house.dataset, house.site)
    late = house.world.participant(house.dataset, house.site)
    house.image(late)
    house.world.consent(late, "GRU", valid_until=timezone.now().date() - timedelta(days=1))
    request: Request = house.world.request(house.dataset, **fields)
    return request


def keys(house: Any, request: Request, verdict: str) -> list[str]:
    return [group.key for group in groups.of(house.steward, request) if group.verdict == verdict]


def test_a_request_is_told_by_consent_with_what_it_would_give(house: Any) -> None:
    request = asked(house, promises=["IRB"])
    found = {group.key: (group.verdict, group.people) for group in groups.of(house.steward, request)}
    assert sorted(found.values()) == [("ask", 1), ("deny", 1), ("deny", 1), ("permit", 2)] and found["over"] == found["none"] == ("deny", 1)
    rows = RequestedParticipant.objects.filter(request=request)
    assert sorted(rows.values_list("verdict", flat=True)) == ["ask", "deny", "deny", "permit", "permit"]  # the groups say what the rule said person by person
    told = judging.subset(house.steward, request, groups.of(house.steward, request))
    assert told is not None and (told.people, told.images, told.sites) == (2, (("T1w", 2, 2),), ((house.site.name, 2),))
    page = text(person(house.steward).get(f"/requests/{request.pk}/decide"))
    for words in (
        "general research use", "permits", "asks you", "a steward must judge whether this is one", "consent has ended", "no consent", request.abstract,
        "2 people as the rule permits, 1 more if you judge so, 2 not.", request.requester.email, "not signed yet", "version 1", "promises to show the approval",
        "request.submit", "T1w", "No ethics document came",
    ):  # fmt: skip
        assert words in page, words


def test_the_ethics_document_is_there_to_read(house: Any) -> None:
    house.image(house.person())
    asks = house.world.user("researcher")
    draft = access.draft_request(asks, house.dataset, title="A study", abstract="What we want.", purpose="HMB", recipient_key="age1" + "q" * 58)
    paper = papers.attach_paper(asks, draft, b"%PDF-1.7 approved")
    request = access.submit_request(asks, draft)
    client = person(house.steward)
    assert f"/papers/{paper.pk}" in text(client.get(f"/requests/{request.pk}/decide"))
    assert client.get(f"/papers/{paper.pk}").content == b"%PDF-1.7 approved"
    assert person(house.contributor).get(f"/papers/{paper.pk}").status_code == 404


def test_only_who_judges_sees_the_page_of_deciding(house: Any) -> None:
    request = asked(house)
    assert person(house.contributor).get(f"/requests/{request.pk}/decide").status_code == 404
    assert person(request.requester).get(f"/requests/{request.pk}/decide").status_code == 403
    assert groups.of(request.requester, request) == []
    assert person(house.steward).get(f"/requests/{request.pk}/decide").status_code == 200


def test_a_request_is_granted_group_by_group(house: Any) -> None:
    request = asked(house)
    address, read = f"/requests/{request.pk}/decide", request.submitted_at.isoformat()
    take, settle = keys(house, request, "permit"), keys(house, request, "ask")
    client = person(house.steward)
    assert client.post(address, {"act": "approve", "take": take}).status_code == 422  # which version was read?
    assert client.post(address, {"act": "approve", "read": (request.submitted_at - timedelta(days=1)).isoformat(), "take": take}).status_code == 409
    assert client.post(address, {"act": "approve", "read": read}).status_code == 422  # nothing is ticked: nobody would be left
    assert person(request.requester).post(address, {"act": "approve", "read": read, "take": take}).status_code == 403
    assert client.post(address, {"act": "approve", "read": read, "take": take, "settle": settle}).status_code == 302
    rows = RequestedParticipant.objects.filter(request=request, allowed=True)
    assert rows.count() == 3 and rows.filter(settled__isnull=False).count() == 1
    assert "Granted" in text(client.get(address))


@pytest.mark.parametrize(("act", "state"), [("return", "returned"), ("reject", "rejected")])
def test_a_request_is_refused_or_asked_about_with_the_reason(house: Any, act: str, state: str) -> None:
    request = asked(house)
    address, client = f"/requests/{request.pk}/decide", person(house.steward)
    assert client.post(address, {"act": act, "reason": ""}).status_code == 422
    assert client.post(address, {"act": act, "reason": "Which diseases?"}).status_code == 302
    request.refresh_from_db()
    assert (request.state, request.reason) == (state, "Which diseases?")
    assert client.post(address, {"act": act, "reason": "Again"}).status_code == 409


def test_what_was_given_is_suspended_goes_on_and_is_revoked(house: Any) -> None:
    house.image(house.person())
    request = house.world.entitled(house.dataset, house.steward).request
    address, client = f"/requests/{request.pk}/decide", person(house.steward)
    states = []
    for act in ("suspend", "resume", "revoke"):
        assert client.post(address, {"act": act, "reason": "A complaint."}).status_code == 302
        request.refresh_from_db()
        states.append(request.state)
    assert states == ["suspended", "active", "revoked"]
    assert client.post(address, {"act": "resume"}).status_code == 409
    assert person(house.contributor).post(address, {"act": "revoke", "reason": "x"}).status_code == 404


def test_votes_are_given_counted_and_changed_on_the_page(house: Any) -> None:
    access.agree_votes("system:test", house.dataset, 2, "committee")
    request = asked(house)
    voters = [house.world.user(name, institution=f"Board {name}") for name in ("ann", "ben")]
    for voter in voters:
        access.give_role("system:test", voter, house.dataset, "committee")
    address, read = f"/requests/{request.pk}/decide", request.submitted_at.isoformat()
    steward = person(house.steward)
    granted = {"act": "approve", "read": read, "take": keys(house, request, "permit")}
    assert kinds(voters[0]) == ["request"]
    assert steward.post(address, granted).status_code == 409
    assert steward.post(address, {"act": "vote", "yes": "yes"}).status_code == 403  # the committee votes here
    for voter, said in zip(voters, ("yes", "no"), strict=True):
        assert person(voter).post(address, {"act": "vote", "yes": said, "reason": "Sound."}).status_code == 302
    assert kinds(voters[0]) == []
    page = text(steward.get(address))
    assert "1 yes and 1 no count now; 2 yes are needed" in page and "The votes do not carry it yet" in page
    assert "Change your vote" in text(person(voters[1]).get(address))
    person(voters[1]).post(address, {"act": "vote", "yes": "yes"})
    assert person(voters[0]).post(address, granted).status_code == 403
    assert steward.post(address, granted).status_code == 302


def test_restricted_data_are_granted_by_two_people(house: Any) -> None:
    access.set_level("system:test", house.dataset, "restricted")
    request = asked(house)
    address, read = f"/requests/{request.pk}/decide", request.submitted_at.isoformat()
    first, other = person(house.steward), house.world.steward(house.dataset)
    granted = {"act": "approve", "read": read, "take": keys(house, request, "permit")}
    assert "At this level two people grant" in text(first.get(address)) and first.post(address, granted).status_code == 409
    assert first.post(address, {"act": "propose", "reason": "Sound."}).status_code == 302
    assert f"/requests/{request.pk}/decide" in text(person(other).get("/dangerous-acts"))
    assert person(other).post(f"/dangerous-acts/{DangerousAct.objects.get().pk}/second").status_code == 302
    assert first.post(address, granted).status_code == 302


def test_the_page_of_a_request_costs_the_same_however_many_are_asked_for(house: Any) -> None:
    request = asked(house)
    client = person(house.steward)
    client.get(f"/requests/{request.pk}/decide")
    with CaptureQueriesContext(connection) as few:
        client.get(f"/requests/{request.pk}/decide")
    for _ in range(5):
        house.person("GRU")
    more = house.world.request(house.dataset)
    with CaptureQueriesContext(connection) as many:
        client.get(f"/requests/{more.pk}/decide")
    assert len(many) <= len(few) <= 70


def test_every_form_of_the_pages_has_its_token(house: Any) -> None:
    full(house)
    request = asked(house)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(house.steward)
    for address in ("/queue", f"/requests/{request.pk}/decide", "/dangerous-acts"):
        page = strict.get(address).content.decode()
        posts = re.findall(r'<form method="post".*?</form>', page, re.S)
        assert posts and all("csrfmiddlewaretoken" in one for one in posts), address
