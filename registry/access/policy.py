"""One rule, two faces: may this asker have this one thing, and which things may they have.

`ask` gathers the facts about one participant and puts them to `rules.may`. `participants` turns the very same rule into SQL: the consent part is asked
once per distinct consent and purpose, and its answer becomes a filter. A test holds that both agree on random worlds (`tests/registry/test_access_agree.py`).
Nothing is remembered between two questions: a role, an entitlement or a consent that ended a moment ago has ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import F, Model, Prefetch, Q, QuerySet
from django.utils import timezone

from registry import rules
from registry.access import filekinds
from registry.access.models import Entitlement, Member, Request, RequestedParticipant
from registry.accounts import queries as accounts
from registry.accounts.models import Dataset, Level, User
from registry.consent import diseases
from registry.consent import queries as consent
from registry.consent.models import ConsentFact
from registry.subjects.models import Participant

M = TypeVar("M", bound=Model)
MOST_AT_ONCE = 5000  # SQLite takes 32,766 parameters in a statement
Asking = User | None  # whoever asks; None or an anonymous user: nobody


# --- facts -----------------------------------------------------------------------------------------------------------------------------------------


def facts_of_asker(asker: Any) -> rules.Asker:
    """The asker as the rule sees them: living roles, and every entitlement with its purpose. Facts gathered a moment ago are taken as they are."""
    if isinstance(asker, rules.Asker):
        return asker
    if asker is None or not getattr(asker, "is_authenticated", False):
        return rules.NOBODY
    fresh = User.objects.filter(pk=asker.pk).first()  # the account as it is now, not as it was when the session or request began
    if fresh is None or not fresh.is_active:
        return rules.Asker(user=str(asker.pk), active=False)
    roles = frozenset(rules.Role(role.kind, str(role.dataset_id), str(role.site_id) if role.site_id else None) for role in accounts.living_roles(fresh))
    entitlements = whole(Entitlement.objects.filter(user=fresh, revoked_at__isnull=True))
    return rules.Asker(str(fresh.pk), active=True, admin=fresh.is_superuser, roles=roles, grants=tuple(grant_of(one) for one in entitlements))


FLAGS = ("commercial", "non_profit", "ai_training", "genetic", "clinical_care", "public_crowd", "genetic_linkage", "recontact", "face_intact", "months")


def purpose_of(request: Request) -> rules.Purpose:
    """The purpose that a request states. Countries: those said of the team, and those that its people's accounts name at this moment."""
    known = diseases.ancestors()
    return rules.Purpose(
        code=request.purpose,
        diseases=tuple(rules.Disease(disease, known.get(disease, frozenset())) for disease in request.diseases),
        countries=frozenset({*_said(request), request.requester.country, *(member.user.country for member in _team(request))} - {""}),
        methods=request.methods or request.purpose == "METHODS",
        promises=frozenset(request.promises),
        **{name: getattr(request, name) for name in FLAGS},
    )


def _team(request: Request) -> list[Member]:
    """The other living members of a team, from what `whole` fetched beforehand where it did."""
    return [member for member in request.members.all() if member.dropped_at is None]


def _said(request: Request) -> set[str]:
    """The countries that the request names."""
    return {request.country, *request.team_countries, *(member.country for member in _team(request))}


def whole(entitlements: QuerySet[Entitlement]) -> QuerySet[Entitlement]:
    """Entitlements with all that `grant_of` looks at, in three queries."""
    members = Prefetch("request__members", Member.objects.select_related("user"))
    return entitlements.select_related("request__requester", "request__view", "request__dataset", "user").prefetch_related(members, "request__dataset__views")


def grant_of(entitlement: Entitlement) -> rules.Grant:
    """An entitlement as the rule sees it."""
    request, purpose = entitlement.request, purpose_of(entitlement.request)
    told = {"revoked": entitlement.stopped is not None, "moved": not purpose.countries <= _said(request)}
    level = {"level": request.level, "decided": request.decided_level, "view": request.view_id is not None or kinds(request) != filekinds.USUAL}
    return rules.Grant(str(request.pk), str(entitlement.dataset_id), purpose, entitlement.starts, entitlement.last, **told, **level)


def kinds(request: Request) -> frozenset[str]:
    """The kinds of file that a request is for: those of its view; without one, all usual ones that no living view holds back."""
    return frozenset(request.view.kinds) if request.view is not None else usual_kinds(request.dataset)


def usual_kinds(dataset: Dataset) -> frozenset[str]:
    """The usual kinds of file that a dataset gives at its own level: none that a living view of a stricter level names."""
    stricter = [view for view in dataset.views.all() if view.ended_at is None and rules.strictest(view.level, dataset.purpose_level) != dataset.purpose_level]
    return filekinds.USUAL - {kind for view in stricter for kind in view.kinds}


def shut(entitlement: Entitlement) -> tuple[str, str] | None:
    """Why the level forbids packages to an entitlement, as (code, reason), or None: the rule's answer, without asking about its purpose."""
    request = entitlement.request
    reason = rules.shut_by_level(request.level, request.decided_level, False, "download")
    return (reason.code, reason.sentence) if reason else None


def facts_of_participant(participant: Participant) -> rules.Subject:
    """A participant as the rule sees them: consent folded from the events, and the requests that name them."""
    standing = consent.standing(participant)
    current = standing.facts_id if standing else None
    asked = list(RequestedParticipant.objects.filter(participant=participant, allowed=True).values_list("request_id", "settled_id"))
    return rules.Subject(
        dataset=str(participant.dataset_id),
        site=str(participant.site_id),
        withdrawn=participant.state == "withdrawn",
        closed=participant.dataset.purpose_level == Level.CLOSED,
        consent=consent.fold(consent.events(participant)),
        allowed=frozenset(str(request) for request, _ in asked),
        settled=frozenset(str(request) for request, settled in asked if settled is not None and settled == current),
    )


def participant_of(thing: Any) -> Participant:
    """The participant whom a thing belongs to: itself, its `.participant`, or its visit's. Raises TypeError for what belongs to nobody."""
    if isinstance(thing, Participant):
        return thing
    for name in ("participant", "visit", "image"):
        owner = getattr(thing, name, None)
        if owner is not None:
            return participant_of(owner)
    raise TypeError(f"A {type(thing).__name__} belongs to no participant.")


# --- one thing -------------------------------------------------------------------------------------------------------------------------------------


def ask(asker: Asking, action: str, thing: Any, at: datetime | None = None) -> rules.Answer:
    """Whether the asker may do `action` (`rules.ACTIONS`) to this thing of a participant, with the reasons. The participant is read afresh."""
    participant = Participant.objects.select_related("dataset").get(pk=participant_of(thing).pk)
    return rules.may(facts_of_asker(asker), action, facts_of_participant(participant), at or timezone.now())


def require(asker: Asking, action: str, thing: Any) -> None:
    """Raises Denied unless the asker may."""
    ask(asker, action, thing).require()


def ask_in(asker: Asking, action: str, dataset: Any, site: Any = None) -> rules.Answer:
    """Whether the asker may do `action` (`rules.DATASET_ACTIONS`) in this dataset, at this site."""
    return rules.may_in(facts_of_asker(asker), action, str(getattr(dataset, "pk", dataset)), str(getattr(site, "pk", site)) if site is not None else None)


def require_in(asker: Asking, action: str, dataset: Any, site: Any = None) -> None:
    """Raises Denied unless the asker may."""
    ask_in(asker, action, dataset, site).require()


def require_admin(asker: Asking, action: str) -> None:
    """Raises Denied unless the asker runs this registry (`rules.ADMIN_ACTIONS`)."""
    rules.may_run(facts_of_asker(asker), action).require()


NOTHING_HERE = rules.weigh([rules.deny("nothing_here", "There is nothing here, or nothing that you may know of.")])


def why(asker: Asking, action: str, participant: UUID, at: datetime | None = None) -> rules.Answer:
    """The rule's answer to the asker about themselves. Told in full of people they may know of, or were once given through a request of theirs."""
    found = Participant.objects.filter(pk=participant).first()
    if found is None:
        return NOTHING_HERE
    answer = ask(asker, action, found, at)
    mine = RequestedParticipant.objects.filter(Q(request__requester=asker.pk) | Q(request__entitlements__user=asker.pk)) if asker is not None else None
    once = mine is not None and mine.filter(participant=found, allowed=True).exists()
    return answer if answer.permitted or once or ask(asker, "know", found, at).permitted else NOTHING_HERE


def why_through(asker: Asking, request: Request, participant: UUID, at: datetime | None = None) -> rules.Answer:
    """What one request gives its requester of a participant at this moment, told to who decides on it. Raises Denied."""
    require_in(asker, "decide", request.dataset_id)
    found = Participant.objects.filter(pk=participant, dataset=request.dataset_id).select_related("dataset").first()
    if found is None:
        return NOTHING_HERE
    grants = whole(Entitlement.objects.filter(request=request, user=request.requester_id, revoked_at__isnull=True))
    only = rules.Asker("requester", active=request.requester.is_active, grants=tuple(grant_of(one) for one in grants))
    return rules.may(only, "download", facts_of_participant(found), at or timezone.now())


# --- many things -----------------------------------------------------------------------------------------------------------------------------------


def limit(asker: Asking, action: str, queryset: QuerySet[M], participant: str = "visit__participant", at: datetime | None = None) -> QuerySet[M]:
    """The rows of which the asker may do `action`. `participant`: path from the row to its participant (`pk` for participants themselves)."""
    return queryset.filter(**{f"{participant}__in": participants(asker, action, at).values("pk")})


def participants(asker: Asking, action: str, at: datetime | None = None) -> QuerySet[Participant]:
    """Every participant of whom the asker may do `action`: `rules.may` as SQL. Raises KeyError for an action that does not exist."""
    rule, facts, at = rules.ACTIONS[action], facts_of_asker(asker), at or timezone.now()
    if facts.user is None or not facts.active:
        return Participant.objects.none()
    who = Participant.objects.all() if rule.after_withdrawal else Participant.objects.filter(state="active")
    if rule.needs_consent:
        who = who.filter(_valid("standing", at), standing__facts__isnull=False)
    any_of = Q(pk__in=[])
    for role in facts.roles:
        if role.kind in rule.roles:
            any_of |= Q(dataset_id=role.dataset, site_id=role.site) if role.site else Q(dataset_id=role.dataset)
    if rule.by_grant:
        for grant in facts.grants:
            if grant.alive(at) and grant.shut(action) is None:
                any_of |= Q(pk__in=_granted(grant, at))
    return who.filter(any_of)


def countable(dataset: Any, at: datetime | None = None) -> QuerySet[Participant]:
    """Everybody in a dataset of whom it may be told how many they are (`registry.counts`): they take part, and a consent holds."""
    return Participant.objects.filter(_valid("standing", at or timezone.now()), dataset=dataset, state="active", standing__facts__isnull=False)


def covered(entitlement: Entitlement, at: datetime | None = None, among: list[UUID] | None = None) -> QuerySet[Participant]:
    """Whom this one entitlement covers at this moment (of these people only, where `among` names them): what a package is made from.

    Empty once the entitlement has ended, its user is disabled, or the level forbids packages.
    """
    at = at or timezone.now()
    fresh = whole(Entitlement.objects.filter(pk=entitlement.pk)).first()
    grant = grant_of(fresh) if fresh is not None and fresh.user.is_active else None
    if grant is None or not grant.alive(at) or grant.shut("download") is not None:
        return Participant.objects.none()
    found = Participant.objects.filter(pk__in=_granted(grant, at, among), state="active")
    return found if among is None else found.filter(pk__in=among)


def still(entitlement_id: UUID, participant_ids: Iterable[UUID], at: datetime | None = None) -> bool:
    """Whether the entitlement still covers every one of these participants: what each chunk of a download asks."""
    wanted = sorted(set(participant_ids))
    entitlement = Entitlement.objects.filter(pk=entitlement_id).first()
    if entitlement is None or not wanted:
        return False
    parts = (wanted[start : start + MOST_AT_ONCE] for start in range(0, len(wanted), MOST_AT_ONCE))
    return all(covered(entitlement, at, among=part).count() == len(part) for part in parts)


def obligations(entitlement: Entitlement, among: Iterable[UUID], at: datetime | None = None) -> list[str]:
    """What the recipient takes upon them with the data of these people, by the consents that hold now and the purpose as it is now: each sentence once."""
    wanted, on = sorted(set(among)), (at or timezone.now()).date()
    parts = (wanted[start : start + MOST_AT_ONCE] for start in range(0, len(wanted), MOST_AT_ONCE))
    distinct = {row.pk: facts for part in parts for row, facts in consent.distinct_facts(entitlement.dataset_id, part)}
    purpose = purpose_of(entitlement.request)
    return sorted({sentence for facts in distinct.values() for sentence in rules.decide(facts, purpose, on).obligations})


def _valid(path: str, at: datetime) -> Q:
    """Consent has not come to its end."""
    return Q(**{f"{path}__valid_until__isnull": True}) | Q(**{f"{path}__valid_until__gte": at.date()})


def _granted(grant: rules.Grant, at: datetime, among: list[UUID] | None = None) -> QuerySet[Any]:
    """Ids of the participants whom a living grant gives: allowed by the steward, and covered by a consent of which the rule says so now."""
    permit, ask = [], []
    for row, facts in consent.distinct_facts(grant.dataset, among):
        verdict = rules.decide(facts, grant.purpose, at.date()).verdict
        if verdict is rules.Verdict.PERMIT:
            permit.append(row.pk)
        elif verdict is rules.Verdict.ASK and not grant.moved:
            ask.append(row.pk)
    settled = Q(participant__standing__facts__in=ask, settled=F("participant__standing__facts"))
    rows = RequestedParticipant.objects.filter(request_id=grant.request, allowed=True, participant__dataset_id=grant.dataset)
    rows = rows.exclude(participant__dataset__purpose_level=Level.CLOSED)
    return rows.filter(_valid("participant__standing", at)).filter(Q(participant__standing__facts__in=permit) | settled).values("participant_id")


def preview(purpose: rules.Purpose, people: QuerySet[Participant], at: datetime | None = None) -> dict[UUID, rules.Answer]:
    """What the rule says of each participant for a purpose, asked once per distinct consent: what a request freezes when it is submitted."""
    on = (at or timezone.now()).date()
    rows = ConsentFact.objects.filter(pk__in=people.values("standing__facts"))
    answers: dict[Any, rules.Answer] = {row.pk: rules.decide(consent.read(row), purpose, on) for row in rows}
    answers[None] = rules.decide(None, purpose, on)
    over = {lapses: rules.ended(lapsed=lapses) for lapses in (False, True)}
    found = {}
    for pk, facts_id, until, lapses in people.values_list("pk", "standing__facts", "standing__valid_until", "standing__lapses"):
        found[pk] = over[lapses] if facts_id and until is not None and until < on else answers[facts_id]
    return found
