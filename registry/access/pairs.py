"""Two people for a dangerous act: one proposes it with a reason, another seconds it, and the act itself consumes what both said.

`take` stands inside the transaction of the act, so that a proposal is used once, and by that act alone. A proposal is for one object: what was seconded for
one release opens no other, and what was seconded for a request falls once the request asks for something else. Both people must still have the role that
the act asks for when it is done, and neither can be the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from registry.access import holding, policy
from registry.access.models import DangerousAct, Request
from registry.accounts.models import Dataset, User
from registry.audit import actions as audit
from registry.rules import Conflict, Denied, Invalid

# What needs two people, and what each of them must be allowed to do in the dataset (`rules.DATASET_ACTIONS`).
ACTS: Mapping[str, str] = {
    "release_below_k": "freeze",
    "bulk_approval": "decide",
    "bulk_acceptance": "decide",
    "restricted_approval": "decide",
    "orbit_release": "decide",
}
LASTS = timedelta(days=14)


def propose(actor: User, dataset: Dataset, act: str, object: Any, reason: str, **detail: Any) -> DangerousAct:
    """The first of two people says what is to be done, to which thing, and why. Raises Denied, Invalid."""
    if act not in ACTS:
        raise Invalid("unknown_act", "No such act needs two people.", f"Name one of {', '.join(ACTS)}.")
    policy.require_in(actor, ACTS[act], dataset)
    if not reason.strip():
        raise Invalid("reason_missing", "A dangerous act needs its reason.", "Say why, so that the second person can judge.")
    with transaction.atomic():
        text = audit.object_text(object)
        told = {"object": text, "reason": reason, "detail": audit.plain({**detail, **_asked(dataset, text)}), "expires_at": timezone.now() + LASTS}
        proposal = DangerousAct.objects.create(dataset=dataset, act=act, proposed_by=actor, **told)
        audit.write(actor, "pair.propose", proposal, dataset=dataset, of=act, to=proposal.object)
    return proposal


def _asked(dataset: Dataset, text: str) -> dict[str, str]:
    """Where the object is a request: what it asks for at this moment."""
    kind, _, key = text.partition(":")
    try:
        found = Request.objects.filter(pk=UUID(key), dataset=dataset).first() if kind == "request" else None
    except ValueError:
        found = None
    return {"asked": holding.asked(found)} if found is not None else {}


def second(actor: User, proposal: DangerousAct) -> DangerousAct:
    """The second of two people agrees. Raises Denied (no role, or the same person), Conflict (seconded, used or expired already)."""
    policy.require_in(actor, ACTS[proposal.act], proposal.dataset_id)
    with transaction.atomic():
        held = DangerousAct.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=proposal.pk)
        if held.proposed_by_id == actor.pk:
            raise Denied("self_approval", "Nobody is the second person to what they proposed themselves.")
        if held.seconded_at is not None or held.expires_at <= timezone.now():
            raise Conflict("proposal_over", "This proposal was seconded already, or has expired.", "Look at it; propose the act anew if it has expired.")
        held.seconded_by, held.seconded_at = actor, timezone.now()
        held.save(update_fields=["seconded_by", "seconded_at"])
        audit.write(actor, "pair.second", held, dataset=held.dataset, of=held.act, to=held.object)
    return held


def take(actor: User, dataset: Dataset, act: str, object: Any, never: Collection[UUID] = ()) -> DangerousAct:
    """Consumes what two people said of this act and this object, inside the caller's transaction, whose line should name it. `never`: users of whom neither
    of the two may be one, for it is done for them. What was said of a request holds for what it asked for then. Raises Denied, Conflict.
    """
    policy.require_in(actor, ACTS[act], dataset)
    named = DangerousAct.objects.select_for_update(of=("self",)).select_related("proposed_by", "seconded_by")
    waiting = named.filter(dataset=dataset, act=act, object=audit.object_text(object), seconded_at__isnull=False, used_at__isnull=True)
    if isinstance(object, Request):
        waiting = waiting.filter(detail__asked=holding.asked(object))
    now = timezone.now()
    for held in waiting.filter(expires_at__gt=now).order_by("seconded_at"):
        if all(who.pk not in never and policy.ask_in(who, ACTS[act], dataset).permitted for who in (held.proposed_by, held.seconded_by)):
            held.used_at = now
            held.save(update_fields=["used_at"])
            return held
    raise Conflict("needs_two_people", "This act needs two people: one who proposes it and another who agrees.", "Propose it, and ask a second person.")
