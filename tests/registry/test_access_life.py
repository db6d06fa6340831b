"""Teams, votes, levels, agreements and ends of a request. Each refusal has a twin that is allowed."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from registry.access import actions, asking, deciding, filekinds, pairs, policy
from registry.access.models import Entitlement, Member, Request
from registry.accounts.models import Dataset
from registry.rules import Conflict, Denied, Invalid
from registry.runs.models import Mail
from registry.subjects.models import Participant

pytestmark = pytest.mark.django_db(databases="__all__")
KEY = "age1" + "q" * 58


@pytest.fixture
def scene(world: Any) -> Any:
    site = world.site()
    dataset = world.dataset(site)
    wide, danish, asks = (world.participant(dataset, site) for _ in range(3))
    world.consent(wide)
    world.consent(danish, modifiers=["GS"], countries=["DK"])
    world.consent(asks, modifiers=["RS"])
    return SimpleNamespace(world=world, dataset=dataset, wide=wide, danish=danish, asks=asks, steward=world.steward(dataset))


def downloadable(who: Any) -> set[Any]:
    return set(policy.limit(who, "download", Participant.objects.all(), "pk"))


def drafted(scene: Any, who: Any = None, **fields: Any) -> Request:
    told = {"title": "t", "abstract": "a", "purpose": "HMB", "recipient_key": KEY, **fields}
    return actions.draft_request(who or scene.world.user("researcher"), scene.dataset, **told)


def test_each_of_a_team_signs_and_each_is_entitled(scene: Any) -> None:
    member = scene.world.user("member", country="SE")
    draft = drafted(scene)
    actions.name_member(draft.requester, draft, member)
    request = actions.submit_request(draft.requester, draft)
    actions.approve_request(scene.steward, request)
    assert actions.sign_agreement(request.requester, request, 1) is None and downloadable(request.requester) == set()
    with pytest.raises(Invalid, match="recipient_key_missing"):
        actions.sign_agreement(member, request, 1)
    actions.set_recipient_key(member, request, KEY)
    assert actions.sign_agreement(member, request, 1).user == member
    assert downloadable(request.requester) == downloadable(member) == {scene.wide}  # the Swedish member keeps out who consented for Denmark only
    actions.revoke_entitlement(scene.steward, Entitlement.objects.get(user=member), "Misuse.")
    assert downloadable(member) == set() and downloadable(request.requester) == {scene.wide}
    request.refresh_from_db()
    assert request.state == "active"


def test_who_does_not_sign_is_dropped_and_nobody_is_let_in_by_it(scene: Any) -> None:
    draft = drafted(scene)
    late = actions.name_member(draft.requester, draft, scene.world.user("late", country="SE"))
    request = actions.submit_request(draft.requester, draft)
    actions.approve_request(scene.steward, request)
    actions.sign_agreement(request.requester, request, 1)
    with pytest.raises(Denied, match="not_your_request"):
        actions.drop_member(late.user, late)
    assert actions.drop_member(request.requester, late).state == "active"
    assert downloadable(request.requester) == {scene.wide} and Member.objects.get().dropped_at


def test_no_member_of_a_team_decides_on_it(scene: Any) -> None:
    draft = drafted(scene)
    actions.name_member(draft.requester, draft, scene.steward)
    request = actions.submit_request(draft.requester, draft)
    with pytest.raises(Denied, match="self_approval"):
        actions.approve_request(scene.steward, request)
    actions.approve_request(scene.world.steward(scene.dataset), request)


def test_a_quorum_counts_different_people_outside_the_team_and_its_institution(scene: Any) -> None:
    actions.agree_votes("system:test", scene.dataset, 2, "committee")
    voters = [scene.world.user("voter", institution=f"Institute {n}") for n in range(3)]
    near = scene.world.user("near", institution="AN  INSTITUTE")
    for user in (*voters, near):
        actions.give_role("system:test", user, scene.dataset, "committee")
    request = scene.world.request(scene.dataset)
    with pytest.raises(Denied, match="own_institution"):
        actions.vote(near, request, True)
    with pytest.raises(Denied, match="no_role"):
        actions.vote(scene.steward, request, True)
    for _ in range(2):
        actions.vote(voters[0], request, True)
    with pytest.raises(Conflict, match="quorum_missing"):
        actions.approve_request(scene.steward, request)
    actions.vote(voters[1], request, True)
    assert deciding.counted(request) == (2, 0)
    actions.return_request(scene.steward, request, "Which method?")
    actions.submit_request(request.requester, request)
    with pytest.raises(Conflict, match="quorum_missing"):  # votes begin anew
        actions.approve_request(scene.steward, request)
    for user in voters[:2]:
        actions.vote(user, request, True)
    actions.end_role("system:test", voters[1].roles.get())
    with pytest.raises(Conflict, match="quorum_missing"):
        actions.approve_request(scene.steward, request)
    actions.vote(voters[2], request, True)
    actions.approve_request(scene.steward, request)


@pytest.mark.parametrize(("level", "state"), [("open", "active"), ("registered", "approved_pending_signatures"), ("controlled", "in_review")])
def test_where_the_rule_decides_alone_only_whom_it_permits_is_given(scene: Any, level: str, state: str) -> None:
    actions.set_level("system:test", scene.dataset, level)
    request = scene.world.request(scene.dataset)
    assert request.state == state
    if state == "approved_pending_signatures":
        actions.sign_agreement(request.requester, request, 1)
    assert downloadable(request.requester) == (set() if level == "controlled" else {scene.wide, scene.danish})
    actions.set_level("system:test", scene.dataset, "controlled")  # stricter now: what the rule alone gave is over
    assert downloadable(request.requester) == set()


def test_a_restricted_one_needs_a_second_person(scene: Any) -> None:
    actions.set_level("system:test", scene.dataset, "restricted")
    request = scene.world.request(scene.dataset)
    with pytest.raises(Conflict, match="needs_two_people"):
        actions.approve_request(scene.steward, request)
    pairs.second(scene.world.steward(scene.dataset), pairs.propose(scene.steward, scene.dataset, "restricted_approval", request, "Sound."))
    actions.approve_request(scene.steward, request)


@pytest.mark.parametrize("changed", [False, True])
def test_two_people_agree_to_what_was_asked_and_to_nothing_else(scene: Any, changed: bool) -> None:
    actions.set_level("system:test", scene.dataset, "restricted")
    request, second = scene.world.request(scene.dataset), scene.world.steward(scene.dataset)
    first_read = request.submitted_at
    pairs.second(second, pairs.propose(scene.steward, scene.dataset, "restricted_approval", request, "Sound."))
    bulk = deciding.bulk([request])
    pairs.second(second, pairs.propose(scene.steward, scene.dataset, "bulk_approval", bulk, "Sound."))
    if not changed:
        assert deciding.bulk([request]) == bulk
        assert actions.approve_request(scene.steward, request, read=first_read).state == "approved_pending_signatures"
        return
    actions.return_request(scene.steward, request, "Which method?")
    actions.change_request(request.requester, request, commercial=True, non_profit=False)
    actions.name_member(request.requester, request, scene.world.user("other"))
    actions.submit_request(request.requester, request)
    for act in (lambda: actions.approve_request(scene.steward, request), lambda: actions.approve_requests(scene.steward, [request])):
        with pytest.raises(Conflict, match="needs_two_people"):
            act()
    with pytest.raises(Conflict, match="request_changed"):
        actions.approve_request(scene.steward, request, read=first_read)


def test_several_are_approved_at_once_by_two_people(scene: Any) -> None:
    requests = [scene.world.request(scene.dataset) for _ in range(2)]
    other = scene.world.request(scene.dataset)
    proposal = pairs.propose(scene.steward, scene.dataset, "bulk_approval", deciding.bulk(requests), "Alike.")
    pairs.second(scene.world.steward(scene.dataset), proposal)
    with pytest.raises(Conflict, match="needs_two_people"):
        actions.approve_requests(scene.steward, [*requests, other])
    assert {one.state for one in actions.approve_requests(scene.steward, requests)} == {"approved_pending_signatures"}


def test_what_is_remote_only_is_seen_and_never_packaged(scene: Any) -> None:
    actions.set_level("system:test", scene.dataset, "remote_only")
    right = scene.world.entitled(scene.dataset, scene.steward)
    assert policy.ask(right.user, "see", scene.wide).permitted
    assert policy.ask(right.user, "download", scene.wide).reasons[0].code == "remote_only"
    assert downloadable(right.user) == set() and not policy.covered(right).exists()
    view = actions.open_view("system:test", scene.dataset, "far", "Far", ["image"], "remote_only")
    with pytest.raises(Denied, match="remote_only"):
        drafted(scene, view=view)


def test_a_view_is_never_laxer_than_its_dataset(scene: Any) -> None:
    view = actions.open_view(scene.steward, scene.dataset, "easy", "Easy", ["image"], "open")
    assert scene.world.request(scene.dataset, view=view).state == "in_review"
    actions.set_level("system:test", scene.dataset, "open")
    assert scene.world.request(scene.dataset, view=view).state == "active"


def test_what_a_stricter_view_holds_back_is_not_in_a_request_without_a_view(scene: Any) -> None:
    actions.set_level("system:test", scene.dataset, "registered")
    bare = scene.world.request(scene.dataset)
    right = actions.sign_agreement(bare.requester, bare, 1)
    assert policy.ask(right.user, "see", scene.wide).permitted and "image" in policy.kinds(bare)
    view = actions.open_view(scene.steward, scene.dataset, "full", "Full", ["image"], "controlled")
    assert policy.kinds(bare) == filekinds.USUAL - {"image"} and downloadable(right.user)
    assert policy.ask(right.user, "see", scene.wide).reasons[0].code == "view_only_packaged"
    assert not policy.limit(right.user, "see", Participant.objects.all(), "pk").exists()
    named = scene.world.request(scene.dataset, view=view)
    assert named.state == "in_review" and policy.kinds(named) == {"image"}


@pytest.mark.parametrize("level", ["remote_only", "restricted"])
def test_what_was_granted_to_be_looked_at_is_no_download_at_a_laxer_level(scene: Any, level: str) -> None:
    actions.set_level("system:test", scene.dataset, level)
    right = scene.world.entitled(scene.dataset, scene.steward)
    actions.set_level("system:test", scene.dataset, "controlled")
    given = set() if level == "remote_only" else {scene.wide, scene.danish}
    assert downloadable(right.user) == given and policy.ask(right.user, "see", scene.wide).permitted
    assert policy.ask(right.user, "download", scene.wide).permitted == bool(given) == (policy.shut(right) is None)


def test_what_is_closed_is_neither_approved_nor_signed(scene: Any) -> None:
    waiting, granted = scene.world.request(scene.dataset), scene.world.request(scene.dataset)
    actions.approve_request(scene.steward, granted)
    actions.set_level("system:test", scene.dataset, "closed")
    for act in (lambda: actions.approve_request(scene.steward, waiting), lambda: actions.sign_agreement(granted.requester, granted, 1)):
        with pytest.raises(Denied, match="dataset_closed"):
            act()
    actions.set_level("system:test", scene.dataset, "controlled")
    actions.approve_request(scene.steward, waiting)
    assert actions.sign_agreement(granted.requester, granted, 1)


@pytest.mark.parametrize("level", ["restricted", "remote_only", "controlled"])
def test_who_approves_is_not_the_second_person_by_their_own_vote(scene: Any, level: str) -> None:
    actions.set_level("system:test", scene.dataset, level)
    actions.agree_votes("system:test", scene.dataset, 1)
    scene.steward.institution = "Elsewhere"
    scene.steward.save()
    request = scene.world.request(scene.dataset)
    actions.vote(scene.steward, request, True)
    if level != "controlled":
        with pytest.raises(Conflict, match="needs_two_people"):
            actions.approve_request(scene.steward, request)
        second = scene.world.steward(scene.dataset)
        second.institution = "Elsewhere"
        second.save()
        actions.vote(second, request, True)
    assert actions.approve_request(scene.steward, request).state == "approved_pending_signatures"


def test_a_material_agreement_is_signed_again(scene: Any) -> None:
    right = scene.world.entitled(scene.dataset, scene.steward)
    actions.publish_agreement(scene.steward, scene.dataset, "A comma.")
    assert downloadable(right.user)
    actions.publish_agreement(scene.steward, scene.dataset, "Stricter.", material=True, grace_days=7)
    assert downloadable(right.user) and Mail.objects.filter(to=right.user.email, subject="Please sign the new agreement").count() == 1
    actions.publish_agreement(scene.steward, scene.dataset, "Stricter still.", material=True)
    right.refresh_from_db()
    assert downloadable(right.user) == set() and right.over(timezone.now())[0] == "agreement_unsigned"
    with pytest.raises(Conflict, match="agreement_changed"):
        actions.sign_agreement(right.user, right.request, 3)
    actions.sign_agreement(right.user, right.request, 4)
    assert downloadable(right.user) == {scene.wide, scene.danish}


def test_suspended_resumed_revoked_closed_and_attested(scene: Any) -> None:
    right = scene.world.entitled(scene.dataset, scene.steward)
    given = {scene.wide, scene.danish}
    actions.suspend_request(scene.steward, right.request, "A doubt.")
    assert downloadable(right.user) == set() and not policy.still(right.pk, [scene.wide.pk])
    actions.resume_request(scene.steward, right.request)
    assert downloadable(right.user) == given and policy.still(right.pk, [scene.wide.pk])
    actions.revoke_request(scene.steward, right.request, "Misuse.")
    assert downloadable(right.user) == set()
    assert actions.close_request(right.user, right.request).state == "closing"
    with pytest.raises(Invalid, match="reason_missing"):
        actions.attest_deletion(right.user, right.request, " ")
    assert actions.attest_deletion(right.user, right.request, "All is deleted.").attested_at


def test_a_renewal_lengthens_the_time_and_asks_the_rule_for_all_of_it(scene: Any) -> None:
    short = scene.world.participant(scene.dataset, scene.dataset.sites.get())
    scene.world.consent(short, modifiers=["TS"], max_months=12)
    right = scene.world.entitled(scene.dataset, scene.steward)
    assert short in downloadable(right.user)
    Entitlement.objects.update(ends=timezone.now() + timedelta(days=20))
    actions.expire()
    with pytest.raises(Conflict, match="report_missing"):
        actions.renew_request(scene.steward, right.request, right.pk)
    old = actions.report(right.user, right.request, "Little.", months=60)
    told = actions.report(right.user, right.request, "We counted lesions.", "One paper.", months=6)
    with pytest.raises(Denied, match="no_role"):
        actions.renew_request(right.user, right.request, told.pk)
    with pytest.raises(Conflict, match="report_changed"):
        actions.renew_request(scene.steward, right.request, old.pk)
    request = actions.renew_request(scene.steward, right.request, told.pk)
    right.refresh_from_db()
    assert request.state == "active" and request.months == 18 and right.ends > timezone.now() + timedelta(days=200)
    assert downloadable(right.user) == {scene.wide, scene.danish}


def test_screening_that_was_interrupted_is_taken_up_by_the_tick(scene: Any) -> None:
    request = scene.world.request(scene.dataset)
    for state in ("submitted", "screening"):
        Request.objects.filter(pk=request.pk).update(state=state)
        assert actions.expire()["screened"] == 1
        request.refresh_from_db()
        assert request.state == "in_review"


def test_a_renewal_revives_nobody_past_a_material_agreement(scene: Any) -> None:
    right = scene.world.entitled(scene.dataset, scene.steward)
    Entitlement.objects.update(ends=timezone.now() + timedelta(days=20))
    actions.expire()
    Entitlement.objects.update(starts=timezone.now() - timedelta(days=9), ends=timezone.now() - timedelta(hours=1))
    actions.publish_agreement(scene.steward, scene.dataset, "Stricter.", material=True, grace_days=7)
    told = actions.report(right.user, right.request, "We counted lesions.", months=6)
    actions.renew_request(scene.steward, right.request, told.pk)
    assert downloadable(right.user) == set()
    actions.sign_agreement(right.user, right.request, 2)
    assert downloadable(right.user) == {scene.wide, scene.danish}


def test_a_lost_race_is_no_refusal_for_who_hands_in(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = Conflict("request_state", "Somebody was faster.")

    def faster(*_: Any) -> Any:
        raise lost

    with monkeypatch.context() as patched:
        patched.setattr(asking, "screen_request", faster)
        request = scene.world.request(scene.dataset)
        assert request.state == "submitted" and actions.expire()["screened"] == 0
    assert actions.expire()["screened"] == 1


def test_what_is_suspended_comes_to_its_end_and_can_be_closed(scene: Any) -> None:
    over, closed = (scene.world.entitled(scene.dataset, scene.steward) for _ in range(2))
    for right in (over, closed):
        actions.suspend_request(scene.steward, right.request, "A doubt.")
    assert actions.close_request(closed.user, closed.request).state == "closing"
    assert actions.expire()["expired"] == 0
    Entitlement.objects.update(starts=timezone.now() - timedelta(days=9), ends=timezone.now() - timedelta(hours=1))
    assert actions.expire()["expired"] == 1


def test_a_request_of_whom_nobody_is_left_is_over(scene: Any) -> None:
    draft = drafted(scene)
    others = [actions.name_member(draft.requester, draft, scene.world.user("member")) for _ in range(2)]
    request = actions.submit_request(draft.requester, draft)
    actions.approve_request(scene.steward, request)
    for member in others:
        actions.set_recipient_key(member.user, request, KEY)
        actions.sign_agreement(member.user, request, 1)
    right = actions.sign_agreement(request.requester, request, 1)
    actions.revoke_entitlement(scene.steward, right, "Misuse.")
    assert actions.drop_member(request.requester, others[0]).state == "active"
    assert actions.drop_member(request.requester, others[1]).state == "closing"


@pytest.mark.parametrize(("level", "then"), [("closed", "controlled"), ("restricted", "restricted")])
def test_what_was_granted_in_the_old_life_was_not_granted_at_closed(scene: Any, level: str, then: str) -> None:
    right = scene.world.entitled(scene.dataset, scene.steward)
    Request.objects.update(state="closed", attested_at=timezone.now(), decided_level="")
    Dataset.objects.filter(pk=scene.dataset.pk).update(purpose_level=level)
    import_module("registry.access.migrations.0005_states_of_old").onward(apps, None)
    right.request.refresh_from_db()
    assert (right.request.decided_level, right.request.state) == (then, "closing")
