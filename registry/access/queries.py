"""Reads of requests and entitlements, limited to who asks: requesters see their own, stewards those of their datasets."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from registry.access import machine, policy
from registry.access.models import DangerousAct, Entitlement, Member, Naming, Paper, Request, RequestedParticipant, Signature, View
from registry.accounts.models import Dataset, Role, User
from registry.audit import queries as audit
from registry.runs import queries as runs
from registry.runs.models import Mail
from registry.smallcells import rounded


def datasets_of(asker: User | None, *kinds: str) -> set[str]:
    """Ids of the datasets in which the asker has a living role of one of these kinds."""
    return {role.dataset for role in policy.facts_of_asker(asker).roles if role.kind in kinds}


def dead_mails(asker: User) -> QuerySet[Mail]:
    """Mails that were given up, to people with a role or an entitlement in a dataset the asker decides in. A mail holds a link, never data."""
    mine = datasets_of(asker, "steward")
    roles = Role.objects.filter(dataset__in=mine, ended_at__isnull=True).values("user__email")
    return runs.dead_mails().filter(Q(to__in=roles) | Q(to__in=Entitlement.objects.filter(dataset__in=mine).values("user__email")))


def requests(asker: User) -> QuerySet[Request]:
    """Requests that the asker made, is of the team of, or decides or votes on. A draft is its team's alone."""
    facts = policy.facts_of_asker(asker)
    if facts.user is None or not facts.active:
        return Request.objects.none()
    votes = Q(dataset_id__in=datasets_of(asker, "committee"), dataset__voters="committee", dataset__quorum__gt=0)
    decides = (Q(dataset_id__in=datasets_of(asker, "steward")) | votes) & ~Q(state="draft")
    team = Q(requester=asker) | Q(pk__in=Member.objects.filter(user=asker.pk, dropped_at=None).values("request"))
    return Request.objects.filter(team | decides).select_related("dataset", "requester", "view")


@dataclass(frozen=True)
class Event:
    """One thing that happened to a request: the act as the log has it, when, and by whom: an address of the team, `steward`, `registry`, or `asker`."""

    act: str
    at: datetime
    who: str
    detail: dict[str, Any]


# Acts of a request's log that are its story. Votes and looks are none of the team's business, nor is every change of a draft.
TOLD = frozenset({
    "request.draft", "request.submit", "request.screen", "request.withdraw", "request.approve", "request.return", "request.reject", "request.suspend",
    "request.resume", "request.revoke", "request.fall_due", "request.report", "request.renew", "request.expire", "request.close", "request.attest",
    "request.drop_member", "request.paper", "request.paper_off", "agreement.sign",
})  # fmt: skip


def history(asker: User, request: Request) -> list[Event]:
    """What happened to a request that the asker may see, in order, from the log. Who decided is told as `steward`: they speak for the dataset."""
    if not requests(asker).filter(pk=request.pk).exists():
        return []
    team = {str(user.pk): user.email for user in User.objects.filter(pk__in=[request.requester_id, *request.members.values_list("user_id", flat=True)])}
    lines = audit.of_object(f"request:{request.pk}").filter(act__in=TOLD).order_by("seq")
    return [Event(line.act, datetime.fromisoformat(line.at), _who(asker, line.actor, team), line.detail) for line in lines if "denied" not in line.detail]


def _who(asker: User, actor: str, team: dict[str, str]) -> str:
    kind, _, rest = actor.partition(":")
    pk = rest.partition(" ")[0]
    if kind != "user":
        return "registry"
    return "asker" if pk == str(asker.pk) else team.get(pk, "steward")


def asked(asker: User, request: Request) -> QuerySet[RequestedParticipant]:
    """Who was asked for, one by one: for those who decide. A requester gets `summary` and, once entitled, the participants themselves."""
    if not policy.ask_in(asker, "decide", request.dataset_id).permitted:
        return RequestedParticipant.objects.none()
    return RequestedParticipant.objects.filter(request=request).select_related("participant__site").order_by("participant__label")


def summary(request: Request) -> dict[str, Any]:
    """What a requester is told of their cohort: about how many were asked for, how many are allowed once that is decided, and how often each reason was
    given. Counts are rounded to five, and not told (None) below the dataset's smallest count, nor is a reason of so few: a request must not become a way to
    count people. How many are allowed is exact once they are given. Of a cohort that was found by a question no number is told but that of the counting
    function: the cohort's people are another's choice, so a rounded number of them would be an answer without its noise.
    """
    rows = RequestedParticipant.objects.filter(request=request)
    reasons: dict[str, int] = {}
    sentences: dict[str, str] = {}
    for row in rows.values_list("reasons", flat=True):
        for reason in row:
            if reason["verdict"] != "permit":
                reasons[reason["code"]] = reasons.get(reason["code"], 0) + 1
                sentences[reason["code"]] = reason["sentence"]
    least, asked_by = request.dataset.min_count, request.cohort
    told = rows.filter(allowed=True).count() if request.state in machine.DECIDED else None
    exact = any(one.alive for one in Entitlement.objects.filter(request=request, revoked_at=None).select_related("request"))  # then they have the people anyway
    allowed = told if exact or told is None else None if asked_by else rounded(told, least)
    return {
        "asked": asked_by["told"] if asked_by else rounded(rows.count(), least),
        "allowed": allowed,
        "reasons": [
            {"code": code, "sentence": sentences[code], "count": None if asked_by else rounded(n, least)} for code, n in sorted(reasons.items()) if n >= least
        ],
    }


def obligations(request: Request) -> list[str]:
    """What the recipient takes upon them with the people allowed: each sentence once."""
    rows = RequestedParticipant.objects.filter(request=request, allowed=True).exclude(obligations=[]).values_list("obligations", flat=True)
    return sorted({sentence for row in rows for sentence in row})


def entitlements(asker: User) -> QuerySet[Entitlement]:
    """The asker's own entitlements, and those in datasets of which they are steward."""
    facts = policy.facts_of_asker(asker)
    if facts.user is None or not facts.active:
        return Entitlement.objects.none()
    return Entitlement.objects.filter(Q(user=asker) | Q(dataset_id__in=datasets_of(asker, "steward"))).select_related("request", "dataset", "user")


def members(asker: User) -> QuerySet[Member]:
    """Members of the teams of requests that one may see."""
    return Member.objects.filter(request__in=requests(asker).values("pk"), dropped_at=None).select_related("request", "user")


def namings(asker: User) -> QuerySet[Naming]:
    """Teams that one was named for, and whom one named oneself, as long as nobody answered or took it back."""
    facts = policy.facts_of_asker(asker)
    if facts.user is None or not facts.active:
        return Naming.objects.none()
    mine = Q(email__iexact=asker.email) | Q(request__requester=asker)
    return Naming.objects.filter(mine, ended_at=None).select_related("request__dataset", "request__requester")


def signature(asker: User, request: Request) -> Signature | None:
    """The newest signature of one's own under a request that one may see."""
    return (
        Signature.objects.filter(request__in=requests(asker).filter(pk=request.pk), user=asker)
        .select_related("agreement")
        .order_by("agreement__version")
        .last()
    )


def papers(asker: User) -> QuerySet[Paper]:
    """Documents of ethics boards that hold now: for the team of their request, and for those who decide or vote on it."""
    return Paper.objects.filter(request__in=requests(asker).values("pk"), replaced_at=None).select_related("request__dataset", "added_by")


def views(asker: User | None) -> QuerySet[View]:
    """Views of the datasets that one may know of, signed in or not; ended ones for those who decide."""
    return View.objects.filter(Q(ended_at=None) | Q(dataset_id__in=datasets_of(asker, "steward")), dataset__in=catalogue(asker)).select_related("dataset")


def dangerous_acts(asker: User) -> QuerySet[DangerousAct]:
    """What was proposed in the datasets of which one is steward or auditor."""
    mine = DangerousAct.objects.filter(dataset_id__in=datasets_of(asker, "steward", "auditor"))
    return mine.select_related("dataset", "proposed_by", "seconded_by")


def given(asker: User) -> QuerySet[Dataset]:
    """Datasets of which one may be shown data of somebody: those in which one has a role or an entitlement."""
    facts = policy.facts_of_asker(asker)
    return Dataset.objects.filter(pk__in={role.dataset for role in facts.roles} | {grant.dataset for grant in facts.grants})


def datasets(asker: User) -> QuerySet[Dataset]:
    """Datasets that the asker may know of: all but closed ones, and closed ones in which they have a role; everything for who runs the registry."""
    facts = policy.facts_of_asker(asker)
    if facts.user is None or not facts.active:
        return Dataset.objects.none()
    if facts.admin:
        return Dataset.objects.all()
    return Dataset.objects.filter(~Q(purpose_level="closed") | Q(pk__in=[role.dataset for role in facts.roles]))


def catalogue(asker: User | None) -> QuerySet[Dataset]:
    """Datasets that stand in the catalogue for the asker, signed in or not, the newest last: those that one may know of."""
    who = policy.facts_of_asker(asker)
    rows = datasets(asker) if asker is not None and who.user is not None and who.active else Dataset.objects.exclude(purpose_level="closed")
    return rows.order_by("created_at")


@dataclass(frozen=True)
class Pace:
    """How a dataset decided so far: how many requests, days to the decision in the middle, share granted. None: too few to say."""

    decided: int | None = None
    days: float | None = None
    granted: float | None = None


FEW = 5  # requests that are told of together, never one by one: one request's fate is its requester's


def pace(datasets: Iterable[Dataset]) -> dict[UUID, Pace]:
    """How fast each of these datasets decided, and how often it granted. The newest decisions are counted once they are `FEW` more."""
    found: dict[UUID, list[tuple[float, bool]]] = {one.pk: [] for one in datasets}
    rows = Request.objects.filter(dataset__in=list(found), submitted_at__isnull=False, decided_at__isnull=False)
    for pk, submitted, decided, state in rows.order_by("decided_at", "pk").values_list("dataset", "submitted_at", "decided_at", "state"):
        found[pk].append((max(0.0, (decided - submitted).total_seconds() / 86_400), state != "rejected"))
    return {pk: _pace(told) for pk, told in found.items()}


def _pace(told: list[tuple[float, bool]]) -> Pace:
    told = told[: len(told) // FEW * FEW]
    if not told:
        return Pace()
    return Pace(len(told), statistics.median(days for days, _ in told), sum(yes for _, yes in told) / len(told))


def counted(asker: User | None) -> QuerySet[Dataset]:
    """Datasets whose people anybody may count, signed in or not: all but closed ones, and closed ones in which the asker has a role."""
    return Dataset.objects.filter(~Q(purpose_level="closed") | Q(pk__in=[role.dataset for role in policy.facts_of_asker(asker).roles]))
