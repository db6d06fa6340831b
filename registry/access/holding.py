"""How an act takes a request into its hands: the row is locked, the actor's roles are told, and the table (`machine`) says whether the command may be given.

Every act on a request begins with `held` and changes its state by `move` alone, so that what the table does not say cannot happen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from registry.access import machine, policy
from registry.access.models import Request
from registry.accounts import queries as accounts
from registry.accounts.models import Level, User
from registry.rules import Conflict, Denied, Invalid

# What a request asks for, beside its team and cohort.
SAID = (
    "dataset_id", "requester_id", "view_id", "title", "abstract", "purpose", "diseases", "methods", "country", "team_countries", "promises", "submitted_at",
    *policy.FLAGS,
)  # fmt: skip


def roles_of(actor: User | str | None, request: Request) -> frozenset[str]:
    """What somebody is to a request (`machine.ROLES`), by their account and roles as they are now."""
    if isinstance(actor, str):
        return frozenset({"system"})
    fresh = User.objects.filter(pk=actor.pk, is_active=True).first() if actor is not None and actor.is_authenticated else None
    if fresh is None:
        return frozenset({"nobody"})
    kinds = {role.kind for role in accounts.living_roles(fresh) if role.dataset_id == request.dataset_id}
    found = kinds & {"steward", "contributor", "auditor"} | ({"voter"} if request.dataset.voters in kinds else set())
    found |= {"requester"} if request.requester_id == fresh.pk else {"member"} if fresh.pk in team_of(request) else set()
    found |= {"administrator"} if fresh.is_superuser else set()
    return frozenset(found or {"researcher"})


def team_of(request: Request) -> set[UUID]:
    """Everybody who works under a request: who made it, and every member who was not dropped."""
    return {request.requester_id, *request.members.filter(dropped_at=None).values_list("user_id", flat=True)}


def held(actor: User | str | None, request: Request, command: str) -> Request:
    """The request, locked, if the actor may give this command to it now. Raises Denied, Conflict."""
    row = Request.objects.select_for_update(of=("self",)).select_related("dataset", "requester", "view").get(pk=request.pk)
    machine.require(command, row.state, roles_of(actor, row))
    return row


def asked(request: Request) -> str:
    """A digest of what a request asks for, as it was handed in: purpose, team, cohort, ethics document and when."""
    told = {name: str(getattr(request, name)) for name in SAID}
    team = request.members.filter(dropped_at=None).values_list("user_id", "country")
    told["team"] = json.dumps(sorted(f"{user} {country}" for user, country in team))
    if paper := request.papers.filter(replaced_at=None).first():
        told["paper"] = paper.sha256
    told["cohort"] = json.dumps(sorted(str(pk) for pk in request.requested.values_list("participant_id", flat=True)))
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def move(request: Request, command: str, to: str = "", **fields: Any) -> None:
    """Changes the state as the table says (`to`, where it says several), and these fields with it."""
    for name, value in {**fields, "state": machine.after(command, request.state, to)}.items():
        setattr(request, name, value)
    request.save(update_fields=[*fields, "state"])


def not_closed(request: Request) -> None:
    """Raises Denied where what is asked for is given to nobody now."""
    if request.level == Level.CLOSED:
        raise Denied("dataset_closed", "This dataset is closed: it is given to nobody.")


def reason(text: str, what: str) -> str:
    """The reason that an act needs, without blanks around it. Raises Invalid."""
    if not text.strip():
        raise Invalid("reason_missing", f"{what} needs its reason.", "Say why.")
    return text.strip()


def institution(user: User) -> str:
    """The institution of an account, however it was spaced and capitalised; empty where it names none."""
    return " ".join(user.institution.casefold().split())


def people_of(request: Request) -> list[User]:
    """The accounts of the whole team."""
    return list(User.objects.filter(pk__in=team_of(request)))


def quietly(act: Callable[[str, Request], object], actor: str, request: Request) -> bool:
    """Whether the act was done; somebody else may have been faster."""
    try:
        act(actor, request)
    except Conflict:
        return False
    return True
