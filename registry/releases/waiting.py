"""One list of all that needs a person, the oldest first: images, requests, reports, acts of two, mail that came back, releases that failed, studies that wait.

Each kind is one query, limited to the asker, of which only as much is read as a page shows; their heads are merged by time. `yours` is False where somebody
else has to move, and the asker only sees that it waits: a steward sees the site's studies, a contributor the steward's questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from registry import rules
from registry.access import policy
from registry.access import queries as access
from registry.access.models import DangerousAct, Member, Renewal, Request, Vote
from registry.accounts.models import Dataset, User
from registry.imaging import queries as imaging
from registry.imaging.models import DOUBTED, ORBIT, Decision, Image
from registry.intake import queries as work
from registry.releases.models import Release
from registry.runs.models import Run

KINDS = ("image", "doubt", "returned", "study", "request", "report", "second", "agreed", "mail", "release")
Cursor = tuple[datetime, UUID]


@dataclass(frozen=True)
class Waiting:
    """One thing that waits: what it is, since when, in which dataset (None: mail), and whether it is the asker who has to move."""

    kind: str
    since: datetime
    thing: Any
    dataset: Dataset | None
    yours: bool


@dataclass(frozen=True)
class Page:
    """A part of the list; `more`: where the next begins (None: this is the end)."""

    rows: list[Waiting]
    more: Cursor | None


def page(asker: User, kind: str = "", after: Cursor | None = None, size: int = 25) -> Page:
    """The next things that need a person, the oldest first."""
    found: list[Waiting] = []
    facts = policy.facts_of_asker(asker)
    for name, rows in sources(asker):
        if kind in ("", name):
            found += [_waiting(facts, name, row) for row in _after(rows, after)[: size + 1]]
    found.sort(key=lambda one: (one.since, one.thing.pk.hex))
    more = (found[size - 1].since, found[size - 1].thing.pk) if len(found) > size else None
    return Page(found[:size], more)


def counts(asker: User) -> dict[str, int]:
    """How many things of each kind wait."""
    return {name: rows.count() for name, rows in sources(asker)}


def _after(rows: QuerySet[Any], cursor: Cursor | None) -> QuerySet[Any]:
    if cursor is not None:
        rows = rows.filter(Q(since__gt=cursor[0]) | Q(since=cursor[0], pk__gt=cursor[1]))
    return rows.order_by("since", "pk")


def sources(asker: User) -> Iterator[tuple[str, QuerySet[Any]]]:
    """Each kind of thing as a query with `since`. Nothing for who is not active."""
    facts = policy.facts_of_asker(asker)
    if facts.user is None or not facts.active:
        return
    mine = {role.dataset for role in facts.roles if role.kind == "steward"}
    votes = {role.dataset for role in facts.roles if role.kind == "committee"}
    works = mine | {role.dataset for role in facts.roles if role.kind == "contributor"}
    if works:
        yield from _images(facts, mine)
        yield "study", work.waiting(facts).annotate(since=F("created_at"))
    if mine | votes:
        yield "request", _requests(asker, mine, votes)
    if mine:
        yield from _of_stewards(asker, mine)


def _images(facts: rules.Asker, mine: set[str]) -> Iterator[tuple[str, QuerySet[Any]]]:
    # Visited by id, so that the newest facts about each person are asked and the long account of what was done stays where it is.
    seen = imaging.images(facts).prefetch_related(None).select_related("visit__participant__dataset", "visit__participant__site").defer("provenance")  # type: ignore[arg-type]
    decided = seen.filter(state=Image.State.PROPOSED, visit__participant__dataset__in=mine).annotate(since=F("created_at"))
    doubt = Q(deface_verdict__in=[DOUBTED, ORBIT]) | ~Q(grade="pass")
    if mine:
        yield "image", decided.exclude(doubt)
        yield "doubt", decided.filter(doubt)
    at = Decision.objects.filter(image=OuterRef("pk"), verdict="returned").order_by("-at").values("at")[:1]
    yield "returned", seen.filter(state=Image.State.RETURNED).annotate(since=Subquery(at))


def _requests(asker: User, mine: set[str], votes: set[str]) -> QuerySet[Request]:
    """Those in review of others' teams; of who only votes, those on which they have not."""
    team = Member.objects.filter(user=asker.pk, dropped_at=None).values("request")
    rows = Request.objects.filter(state="in_review").exclude(requester=asker.pk).exclude(pk__in=team)
    voted = Vote.objects.filter(request=OuterRef("pk"), user=asker.pk, at__gte=OuterRef("submitted_at"))
    votable = Q(dataset_id__in=votes, dataset__voters="committee", dataset__quorum__gt=0) & ~Exists(voted)
    return rows.filter(Q(dataset_id__in=mine) | votable).select_related("dataset", "requester").annotate(since=F("submitted_at"))


def _of_stewards(asker: User, mine: set[str]) -> Iterator[tuple[str, QuerySet[Any]]]:
    reports = Renewal.objects.filter(accepted_at=None, request__state="renewal_due", request__dataset__in=mine)
    yield "report", reports.select_related("request__dataset", "request__requester").annotate(since=F("created_at"))
    acts = DangerousAct.objects.filter(dataset_id__in=mine, used_at=None, expires_at__gt=timezone.now()).select_related("dataset", "proposed_by", "seconded_by")
    yield "second", acts.filter(seconded_at=None).exclude(proposed_by=asker.pk).annotate(since=F("proposed_at"))
    yield "agreed", acts.filter(seconded_at__isnull=False, proposed_by=asker.pk).annotate(since=F("seconded_at"))
    yield "mail", access.dead_mails(asker).annotate(since=F("created_at"))
    newer = Release.objects.filter(dataset=OuterRef("dataset"), number__gt=OuterRef("number"))
    dead = Run.objects.filter(pk=OuterRef("run_id"), state="dead")
    failed = Q(state__in=[Release.State.INVALID, Release.State.FAILED]) | (Q(state=Release.State.FROZEN) & Exists(dead))
    rows = Release.objects.filter(failed, ~Exists(newer), dataset__in=mine).select_related("dataset").defer("account", "manifest")
    yield "release", rows.annotate(since=F("created_at"))


def _waiting(facts: rules.Asker, kind: str, row: Any) -> Waiting:
    dataset = _dataset(kind, row)
    yours = True
    if kind in ("returned", "study"):  # the site has to move
        site = row.visit.participant.site_id if kind == "returned" else row.upload.site_id
        yours = any((role.kind, role.dataset, role.site) == ("contributor", str(getattr(dataset, "pk", "")), str(site)) for role in facts.roles)
    return Waiting(kind, row.since, row, dataset, yours)


def _dataset(kind: str, row: Any) -> Dataset | None:
    if kind in ("image", "doubt", "returned"):
        return row.visit.participant.dataset
    return row.upload.dataset if kind == "study" else row.request.dataset if kind == "report" else None if kind == "mail" else row.dataset
