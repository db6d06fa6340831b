"""A request from draft to download rights, and everything that ends them. Each refusal has a twin that is allowed."""

from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry.access import actions, policy, queries
from registry.access.models import Entitlement, Request, RequestedParticipant
from registry.accounts.models import Dataset
from registry.audit.models import Line
from registry.consent import actions as consent
from registry.consent.models import ConsentFact, Standing
from registry.rules import Conflict, Denied, Invalid
from registry.runs.models import Mail
from registry.subjects import actions as subjects
from registry.subjects.models import Participant, Visit

pytestmark = pytest.mark.django_db(databases="__all__")
KEY = "age1" + "q" * 58


@pytest.fixture
def scene(world: Any) -> Any:
    """A dataset of one site with a steward and three people: consent for all research, for one disease only, and none."""

    site = world.site()
    dataset = world.dataset(site)
    wide, narrow, silent = (world.participant(dataset, site) for _ in range(3))
    world.consent(wide, "GRU")
    world.consent(narrow, "DS", diseases=["MONDO:0005301"])
    steward, contributor = world.steward(dataset), world.contributor(dataset, site)
    return SimpleNamespace(site=site, dataset=dataset, wide=wide, narrow=narrow, silent=silent, steward=steward, contributor=contributor)


def downloadable(who: Any) -> set[Any]:
    return set(policy.limit(who, "download", Participant.objects.all(), "pk"))


def test_a_researcher_gets_exactly_those_whose_consent_covers_the_use(scene: Any, world: Any) -> None:
    request = world.request(scene.dataset)
    assert {row.participant: row.verdict for row in RequestedParticipant.objects.all()} == {scene.wide: "permit", scene.narrow: "deny", scene.silent: "deny"}
    assert downloadable(request.requester) == set()
    actions.approve_request(scene.steward, request)
    assert downloadable(request.requester) == set()  # not before the agreement is signed
    entitlement = actions.sign_agreement(request.requester, request, 1)
    assert downloadable(request.requester) == {scene.wide}
    assert set(policy.covered(entitlement)) == {scene.wide}
    told = {row.participant: row.reasons[0]["code"] for row in queries.asked(scene.steward, request)}
    assert told == {scene.wide: "general_use", scene.narrow: "disease_only", scene.silent: "no_consent"}
    assert [line.act for line in Line.objects.filter(dataset=str(scene.dataset.pk)).order_by("seq")][-5:] == [
        "request.draft",
        "request.submit",
        "request.screen",
        "request.approve",
        "agreement.sign",
    ]


def test_a_request_for_the_disease_reaches_those_who_gave_it_for_the_disease(scene: Any, world: Any) -> None:
    entitlement = world.entitled(scene.dataset, scene.steward, purpose="DS", diseases=["MONDO:0005301"])
    assert set(policy.covered(entitlement)) == {scene.wide, scene.narrow}


@pytest.mark.parametrize(
    "end", ["withdrawn consent", "narrowed consent", "expired consent", "left", "revoked", "over", "closed request", "closed dataset", "disabled"]
)
def test_whatever_ends_it_ends_it_at_once(scene: Any, world: Any, end: str) -> None:
    entitlement = world.entitled(scene.dataset, scene.steward)
    who, whom = entitlement.user, scene.wide
    assert downloadable(who) == {whom} and policy.ask(who, "download", whom).permitted and policy.still(entitlement.pk, [whom.pk])
    match end:
        case "withdrawn consent":
            consent.record(whom, "withdrawn")
        case "narrowed consent":
            world.consent(whom, "POA", kind="narrowed")
        case "expired consent":
            world.consent(whom, "GRU", kind="renewed", valid_until=timezone.now().date() - timedelta(days=1))
        case "left":
            subjects.mark_withdrawn(whom)
        case "revoked":
            actions.revoke_entitlement(scene.steward, entitlement, "misuse")
        case "over":
            Entitlement.objects.update(starts=timezone.now() - timedelta(days=2), ends=timezone.now() - timedelta(seconds=1))
        case "closed request":
            actions.close_request(who, entitlement.request)
        case "closed dataset":
            Dataset.objects.filter(pk=scene.dataset.pk).update(purpose_level="closed")
        case "disabled":
            actions.disable_account("system:test", who)
    assert downloadable(who) == set()
    assert not policy.ask(who, "download", whom).permitted
    assert not policy.still(entitlement.pk, [whom.pk])
    assert not policy.covered(entitlement).exists()


def test_a_chunk_is_asked_for_in_few_queries(scene: Any, world: Any) -> None:
    entitlement = world.entitled(scene.dataset, scene.steward)
    with CaptureQueriesContext(connection) as asked:
        assert policy.still(entitlement.pk, [scene.wide.pk])
    assert len(asked) <= 6


def test_one_person_who_leaves_stops_a_package_that_holds_them_among_others(scene: Any, world: Any) -> None:
    other = world.participant(scene.dataset, scene.site)
    world.consent(other)
    entitlement = world.entitled(scene.dataset, scene.steward)
    both = [scene.wide.pk, other.pk]
    assert policy.still(entitlement.pk, both)
    subjects.mark_withdrawn(other)
    assert not policy.still(entitlement.pk, both)
    assert policy.still(entitlement.pk, [scene.wide.pk])
    assert not policy.still(entitlement.pk, [])


def test_what_the_rule_leaves_to_a_human_is_settled_for_this_consent_only(scene: Any, world: Any) -> None:
    careful = world.participant(scene.dataset, scene.site)
    world.consent(careful, "GRU", modifiers=["RS"])
    request = world.request(scene.dataset)
    actions.approve_request(scene.steward, request, settle=[careful.pk])
    who = actions.sign_agreement(request.requester, request, 1).user
    assert downloadable(who) == {scene.wide, careful}
    world.consent(careful, "GRU", kind="renewed", modifiers=["RS", "IS"])
    assert downloadable(who) == {scene.wide}
    world.consent(careful, "GRU", kind="renewed")
    assert downloadable(who) == {scene.wide, careful}


def test_what_was_settled_stays_settled_when_old_facts_are_written_in_full(scene: Any, world: Any) -> None:
    """A row of before transfer and boxes were kept says the same as today's; `consent rebuild` makes a new one, and the steward's word goes with it."""
    careful, other = (world.participant(scene.dataset, scene.site) for _ in range(2))
    world.consent(careful, "GRU", modifiers=["RS"])
    world.consent(other, "GRU", modifiers=["RS", "IS"])
    request = world.request(scene.dataset)
    actions.approve_request(scene.steward, request, settle=[careful.pk, other.pk])
    who = actions.sign_agreement(request.requester, request, 1).user
    row = Standing.objects.get(participant=careful).facts
    assert row is not None
    old = {name: row.facts[name] for name in ("permission", "modifiers", "diseases", "countries", "commercial", "ai_training", "publish_after", "max_months")}
    ConsentFact.objects.filter(pk=row.pk).update(facts=old, digest="0" * 64)
    assert downloadable(who) == {scene.wide, careful, other}
    RequestedParticipant.objects.filter(participant=other).update(settled=row)  # settled for another consent than the one that holds
    assert consent.rebuild()["changed"] == 1
    assert downloadable(who) == {scene.wide, careful}
    assert consent.rebuild()["changed"] == 0 and downloadable(who) == {scene.wide, careful}


def test_without_a_steward_s_word_a_question_is_a_no(scene: Any, world: Any) -> None:
    careful = world.participant(scene.dataset, scene.site)
    world.consent(careful, "GRU", modifiers=["RS"])
    assert set(policy.covered(world.entitled(scene.dataset, scene.steward))) == {scene.wide}


def test_a_steward_can_leave_out_but_cannot_let_in(scene: Any, world: Any) -> None:
    other = world.participant(scene.dataset, scene.site)
    world.consent(other)
    request = world.request(scene.dataset)
    actions.approve_request(scene.steward, request, settle=[scene.silent.pk, scene.narrow.pk], leave_out=[other.pk])
    who = actions.sign_agreement(request.requester, request, 1).user
    assert downloadable(who) == {scene.wide}


def test_who_joins_later_or_was_not_in_the_cohort_is_not_given(scene: Any, world: Any) -> None:
    other = world.participant(scene.dataset, scene.site)
    world.consent(other)
    requester = world.user("researcher")
    draft = actions.draft_request(requester, scene.dataset, title="t", abstract="a", purpose="HMB", recipient_key=KEY)
    request = actions.submit_request(requester, draft, Participant.objects.filter(pk=scene.wide.pk))
    late = world.participant(scene.dataset, scene.site)
    world.consent(late)
    actions.approve_request(scene.steward, request)
    actions.sign_agreement(requester, request, 1)
    assert downloadable(requester) == {scene.wide}


# --- who decides ---------------------------------------------------------------------------------------------------------------------------------


def test_stewards_of_this_dataset_decide_and_nobody_else(scene: Any, world: Any) -> None:
    request = world.request(scene.dataset)
    others = [scene.contributor, world.steward(world.dataset(scene.site)), world.user("admin", is_superuser=True), request.requester]
    for who in others:
        with pytest.raises(Denied):
            actions.approve_request(who, request)
        with pytest.raises(Denied):
            actions.reject_request(who, request, "no")
    actions.approve_request(scene.steward, request)


def test_nobody_decides_on_their_own_request(scene: Any, world: Any) -> None:
    own = world.request(scene.dataset, scene.steward)
    with pytest.raises(Denied) as refused:
        actions.approve_request(scene.steward, own)
    assert refused.value.code == "self_approval"
    with pytest.raises(IntegrityError), transaction.atomic():
        Request.objects.filter(pk=own.pk).update(state="active", decided_by=scene.steward, decided_at=timezone.now())
    actions.approve_request(world.steward(scene.dataset), own)


def test_a_rejection_gives_its_reason_and_is_final(scene: Any, world: Any) -> None:
    request = world.request(scene.dataset)
    with pytest.raises(Invalid):
        actions.reject_request(scene.steward, request, "  ")
    actions.reject_request(scene.steward, request, "The question is answered already.")
    with pytest.raises(Conflict):
        actions.approve_request(scene.steward, request)
    with pytest.raises(Conflict):
        actions.sign_agreement(request.requester, request, 1)


def test_an_approval_that_would_give_nobody_is_refused(scene: Any, world: Any) -> None:
    request = world.request(scene.dataset, purpose="POA")
    consent.record(scene.wide, "withdrawn")
    with pytest.raises(Invalid) as refused:
        actions.approve_request(scene.steward, request)
    assert refused.value.code == "nobody_left"


def test_what_changed_between_asking_and_deciding_counts(scene: Any, world: Any) -> None:
    world.consent(scene.silent)
    request = world.request(scene.dataset)
    consent.record(scene.silent, "withdrawn")
    actions.approve_request(scene.steward, request)
    assert not RequestedParticipant.objects.get(request=request, participant=scene.silent).allowed


# --- drafts, signatures, keys --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{"purpose": "NRES"}, {"purpose": "DS"}, {"title": " "}, {"country": ""}, {"months": 0}, {"secret_note": "x"}, {"country": "Denmark"}]
)
def test_a_request_that_says_too_little_or_too_much_is_not_taken(scene: Any, world: Any, fields: dict[str, Any]) -> None:
    with pytest.raises((Invalid, IntegrityError)), transaction.atomic():
        world.request(scene.dataset, **fields)
    assert world.request(scene.dataset).state == "in_review"


def test_a_requester_without_an_institution_says_it_first(scene: Any, world: Any) -> None:
    with pytest.raises(Invalid):
        world.request(scene.dataset, world.user(institution=""))
    world.request(scene.dataset, world.user())


def test_a_closed_dataset_takes_no_requests(scene: Any, world: Any) -> None:
    Dataset.objects.update(purpose_level="closed")
    with pytest.raises(Denied):
        world.request(Dataset.objects.get())


def test_a_draft_is_changed_by_its_author_until_it_is_handed_in(scene: Any, world: Any) -> None:
    author, other = world.user(), world.user()
    draft = actions.draft_request(author, scene.dataset, title="t", abstract="a", purpose="HMB")
    assert draft.country == "DK"
    with pytest.raises(Denied):
        actions.change_request(other, draft, title="mine")
    with pytest.raises(Denied):
        actions.submit_request(other, draft)
    with pytest.raises(Invalid):
        actions.change_request(author, draft, state="active")
    actions.change_request(author, draft, title="better")
    actions.submit_request(author, draft)
    with pytest.raises(Conflict):
        actions.change_request(author, draft, title="too late")


def test_the_agreement_is_signed_by_its_person_in_its_present_version(scene: Any, world: Any) -> None:
    request = world.request(scene.dataset)
    with pytest.raises(Conflict):
        actions.sign_agreement(request.requester, request, 1)
    actions.approve_request(scene.steward, request)
    actions.publish_agreement(scene.steward, scene.dataset, "A stricter text.")
    with pytest.raises(Conflict) as refused:
        actions.sign_agreement(request.requester, request, 1)
    assert refused.value.code == "agreement_changed"
    with pytest.raises(Denied):
        actions.sign_agreement(world.user(), request, 2)
    first = actions.sign_agreement(request.requester, request, 2)
    assert actions.sign_agreement(request.requester, request, 2) == first
    assert request.signatures.get().agreement_version == 2


def test_without_a_recipient_key_nothing_can_be_given(scene: Any, world: Any) -> None:
    request = world.request(scene.dataset, recipient_key="")
    actions.approve_request(scene.steward, request)
    with pytest.raises(Invalid):
        actions.sign_agreement(request.requester, request, 1)
    for wrong in ("ssh-rsa AAAA", "age1../../x", "AGE-SECRET-KEY-1"):
        with pytest.raises(Invalid):
            actions.set_recipient_key(request.requester, request, wrong)
    actions.set_recipient_key(request.requester, request, KEY)
    actions.sign_agreement(request.requester, request, 1)


# --- what one sees -------------------------------------------------------------------------------------------------------------------------------


def test_requests_are_seen_by_who_made_and_who_decides_them(scene: Any, world: Any) -> None:
    request, draft = world.request(scene.dataset), actions.draft_request(world.user(), scene.dataset, title="t", abstract="a", purpose="HMB")
    assert set(queries.requests(request.requester)) == {request}
    assert set(queries.requests(scene.steward)) == {request}
    assert set(queries.requests(draft.requester)) == {draft}
    for who in (world.steward(world.dataset(scene.site)), scene.contributor, world.user("admin", is_superuser=True)):
        assert not queries.requests(who).exists()
        assert not queries.asked(who, request).exists()


def test_a_requester_is_told_reasons_and_no_small_numbers(scene: Any, world: Any) -> None:
    request = world.request(scene.dataset)
    told = queries.summary(request)
    assert told["asked"] is None and told["allowed"] is None
    assert told["reasons"] == []
    actions.approve_request(scene.steward, request)
    request.refresh_from_db()
    assert queries.summary(request)["allowed"] is None
    actions.sign_agreement(request.requester, request, 1)
    assert queries.summary(Request.objects.get(pk=request.pk))["allowed"] == 1
    for _ in range(23):
        world.consent(world.participant(scene.dataset, scene.site), "GRU", modifiers=["NPU"])
    told = queries.summary(world.request(scene.dataset, non_profit=False))
    assert told["asked"] == 25  # 26, rounded to five
    assert {row["code"]: row["count"] for row in told["reasons"]}["non_profit_only"] == 25  # 23


def test_people_are_listed_for_their_own_site_and_their_own_steward(scene: Any, world: Any) -> None:
    elsewhere = world.site("odense")
    scene.dataset.sites.add(elsewhere)
    foreign = world.participant(scene.dataset, elsewhere)
    own = {scene.wide, scene.narrow, scene.silent}
    assert set(policy.limit(scene.contributor, "know", Participant.objects.all(), "pk")) == own
    assert set(policy.limit(scene.steward, "know", Participant.objects.all(), "pk")) == own | {foreign}
    for who in (None, world.user(), world.user("admin", is_superuser=True), world.steward(world.dataset(scene.site))):
        assert not policy.limit(who, "know", Participant.objects.all(), "pk").exists()


def test_a_list_of_things_follows_the_path_to_their_participant(scene: Any, world: Any) -> None:
    visit = subjects.add_visit(scene.wide, "m00", date(2020, 2, 2))
    subjects.add_visit(scene.narrow, "m00", date(2020, 2, 2))
    entitlement = world.entitled(scene.dataset, scene.steward)
    assert set(policy.limit(entitlement.user, "see", Visit.objects.all(), "participant")) == {visit}
    assert policy.ask(entitlement.user, "see", visit).permitted
    assert policy.participant_of(visit) == scene.wide
    with pytest.raises(TypeError):
        policy.participant_of(scene.dataset)


# --- the tick and the post -----------------------------------------------------------------------------------------------------------------------


def test_those_concerned_get_a_letter_that_holds_nothing_but_a_link(scene: Any, world: Any) -> None:
    request = world.request(scene.dataset)
    actions.approve_request(scene.steward, request)
    letters = {(mail.to, mail.subject) for mail in Mail.objects.all()}
    assert letters == {(scene.steward.email, "A request waits for your decision"), (request.requester.email, "Your request was approved")}
    for mail in Mail.objects.all():
        assert f"/requests/{request.pk}" in mail.body
        assert request.title not in mail.body and scene.dataset.name not in mail.body and scene.wide.label not in mail.body


def test_the_tick_reminds_once_per_step_and_closes_what_is_over(scene: Any, world: Any) -> None:
    entitlement = world.entitled(scene.dataset, scene.steward)
    idle = {"screened": 0, "reminded": 0, "due": 0, "expired": 0, "papers": 0}
    assert actions.expire() == idle
    for days, told in ((29, {"reminded": 1, "due": 1}), (13, {"reminded": 1}), (6, {"reminded": 1})):
        Entitlement.objects.update(ends=timezone.now() + timedelta(days=days))
        assert actions.expire() == {**idle, **told}
        assert actions.expire() == idle
    Entitlement.objects.update(starts=timezone.now() - timedelta(days=2), ends=timezone.now() - timedelta(days=1))
    assert downloadable(entitlement.user) == set()  # the tick was not needed for that
    assert actions.expire() == {**idle, "expired": 1}
    entitlement.request.refresh_from_db()
    assert entitlement.request.state == "expired"


def test_ten_thousand_people_are_decided_as_fast_as_their_distinct_consents(scene: Any, world: Any) -> None:
    """The rule is asked once per distinct consent: the number of queries does not grow with the number of people."""
    entitlement = world.entitled(scene.dataset, scene.steward)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as asked:
            policy.participants(entitlement.user, "download").count()
        counts.append(len(asked))
        for _ in range(10):
            world.consent(world.participant(scene.dataset, scene.site))
    assert counts[0] == counts[1] <= 7
