"""Cohorts that people keep: save a question, share it, and ask for its people.

What is kept is the question, its dataset and a name. Whoever it is shared with asks it with their own budget, and only where they may count that dataset.
Asking for the people freezes them in a request. That goes only where the counting function tells a number: else freezing would say whether a group that is
not told has somebody in it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from registry import smallcells
from registry.access import actions as access
from registry.access import policy
from registry.access import queries as access_queries
from registry.access.models import Request
from registry.accounts import actions as accounts
from registry.accounts.models import Dataset, User
from registry.audit import actions as audit
from registry.counts import actions, vocabulary
from registry.counts.models import CohortShare, SavedCohort
from registry.rules import Conflict, Denied, Invalid
from registry.subjects.models import Participant

MOST = 200  # cohorts of one account, and shares of one cohort


def cohorts(asker: User | None) -> QuerySet[SavedCohort]:
    """One's own cohorts and those shared with one, of datasets that one may count."""
    who = policy.facts_of_asker(asker)
    if asker is None or who.user is None or not who.active:
        return SavedCohort.objects.none()
    mine = Q(owner=asker.pk) | Q(pk__in=CohortShare.objects.filter(email=asker.email.lower()).values("cohort"))
    return _countable(asker).filter(mine)


def by_link(asker: User | None, link: str) -> QuerySet[SavedCohort]:
    """The cohort that a link opens to somebody signed in who may count its dataset."""
    who = policy.facts_of_asker(asker)
    return _countable(asker).filter(link=link) if link and who.user is not None and who.active else SavedCohort.objects.none()


def _countable(asker: User | None) -> QuerySet[SavedCohort]:
    return SavedCohort.objects.filter(dataset__in=access_queries.counted(asker).values("pk")).select_related("dataset", "owner")


def save(actor: User, dataset: Dataset, name: str, where: Iterable[str]) -> SavedCohort:
    """Keeps a question under a name. Raises Denied, Invalid, Conflict (the name is taken)."""
    _require_counted(actor, dataset)
    asked = sorted(str(one) for one in vocabulary.read(where, dataset))
    if len(asked) > smallcells.CONDITIONS:
        raise Invalid("too_many_conditions", f"A cohort has at most {smallcells.CONDITIONS} conditions.", "Leave some out.")
    with transaction.atomic():
        if SavedCohort.objects.filter(owner=actor).count() >= MOST:
            raise Conflict("too_many_cohorts", f"An account keeps at most {MOST} cohorts.", "Delete those that you do not need.")
        cohort = SavedCohort(dataset=dataset, owner=actor, name=name.strip(), where=asked)
        accounts.checked(cohort, "cohort_exists")
        audit.write(actor, "cohort.save", _text(cohort), dataset=dataset, conditions=len(asked))
    return cohort


def delete(actor: User, cohort: SavedCohort) -> None:
    """Deletes a cohort of one's own, and every share of it. Raises Denied."""
    with transaction.atomic():
        held = _own(actor, cohort)
        audit.write(actor, "cohort.delete", _text(held), dataset=held.dataset)
        held.delete()


def share(actor: User, cohort: SavedCohort, email: str) -> None:
    """Lets another account read a cohort of one's own. Whether there is such an account is not told: that is nobody's to find out. Raises Denied, Conflict."""
    with transaction.atomic():
        held = _own(actor, cohort)
        if held.shares.count() >= MOST:
            raise Conflict("too_many_shares", f"A cohort is shared with at most {MOST} addresses.", "End the shares, or make a link.")
        CohortShare.objects.get_or_create(cohort=held, email=email.strip().lower())
        audit.write(actor, "cohort.share", _text(held), dataset=held.dataset)


def unshare(actor: User, cohort: SavedCohort) -> None:
    """Ends every share, and the link. Raises Denied."""
    with transaction.atomic():
        held = _own(actor, cohort)
        held.shares.all().delete()
        SavedCohort.objects.filter(pk=held.pk).update(link="")
        audit.write(actor, "cohort.unshare", _text(held), dataset=held.dataset)


def make_link(actor: User, cohort: SavedCohort) -> str:
    """A link that opens the cohort to whoever is signed in and may count its dataset; the same one until it is ended. Raises Denied."""
    with transaction.atomic():
        held = _own(actor, cohort)
        if not held.link:
            held.link = secrets.token_urlsafe(32)
            held.save(update_fields=["link"])
        audit.write(actor, "cohort.link", _text(held), dataset=held.dataset)
    return held.link


def ask_for(actor: User, cohort: SavedCohort, **fields: Any) -> Request:
    """Begins a request for the people of a cohort, who are frozen now. Its question is asked first, with the actor's budget.

    Raises Denied, Invalid (`cohort_not_told`: its number is not told to the actor), Conflict.
    """
    _require_counted(actor, cohort.dataset)
    with transaction.atomic():
        told = actions.ask(actor, cohort.dataset, cohort.where).counts[0][1]
        if not told:
            raise Invalid(
                "cohort_not_told",
                "How many people this cohort has is not told, so it cannot be asked for by itself.",
                "Leave a condition out, or ask for the whole dataset and say in the abstract whom you need.",
            )
        request = access.draft_request(actor, cohort.dataset, **fields)
        return access.freeze_cohort(actor, request, people(cohort.dataset, cohort.where), cohort.where, told)


def people(dataset: Dataset, where: Iterable[str]) -> set[UUID]:
    """Everybody of the dataset for whom the question holds: for freezing, never to be told."""
    found = set(Participant.objects.filter(dataset=dataset, state="active").values_list("pk", flat=True))
    return found.intersection(*(vocabulary.having(dataset, one) for one in vocabulary.read(where, dataset)))


def _own(actor: User, cohort: SavedCohort) -> SavedCohort:
    held = cohorts(actor).select_for_update(of=("self",)).filter(pk=cohort.pk, owner=actor.pk).first()
    if held is None:
        raise Denied("not_your_cohort", "Only who saved a cohort may do this to it.")
    return held


def _require_counted(actor: User, dataset: Dataset) -> None:
    who = policy.facts_of_asker(actor)
    if who.user is None or not who.active:
        raise Denied("not_signed_in", "Nobody is signed in, or the account is disabled.")
    if not access_queries.counted(actor).filter(pk=dataset.pk).exists():
        raise Denied("no_role", "The asker has no role here that allows this.")


def _text(cohort: SavedCohort) -> str:
    return f"cohort:{cohort.pk}"
