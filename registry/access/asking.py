"""Acts of asking: a researcher writes a request, names the team, hands it in; the rule is asked about each participant; it can be taken back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry import rules
from registry.access import deciding, holding, machine, policy, signing
from registry.access.models import Entitlement, Member, Request, RequestedParticipant, View
from registry.accounts import actions as accounts
from registry.accounts import queries as account_queries
from registry.accounts.models import COUNTRY, Dataset, Level, User
from registry.audit import actions as audit
from registry.rules import Denied, Invalid
from registry.runs import mail
from registry.subjects.models import Participant

SYSTEM = "system:screening"
ASKED = (
    "title", "abstract", "purpose", "diseases", "methods", "country", "team_countries", "promises", "recipient_key", *policy.FLAGS,
)  # fmt: skip


def draft_request(actor: User, dataset: Dataset, view: View | None = None, **fields: Any) -> Request:
    """Begins a request; the country of the requester's account stands in where none is given. Raises Denied, Invalid."""
    if not actor.is_active:
        raise Denied("not_signed_in", "Nobody is signed in, or the account is disabled.")
    unknown = set(fields) - set(ASKED)
    if unknown:
        raise Invalid("unknown_field", "A field of the request is not known.", f"Use {', '.join(ASKED)}.")
    with transaction.atomic():
        request = Request(dataset=dataset, requester=actor, view=view, **{"country": actor.country, **fields})
        _offered(request)
        accounts.checked(request, "request_exists")
        _countries(request)
        audit.write(actor, "request.draft", request, dataset=dataset, **({"view": view.name} if view else {}))
    return request


def _offered(request: Request) -> None:
    """Whether what is asked for is given to anybody. Raises Denied, Invalid."""
    holding.not_closed(request)
    view = request.view
    if view is None:
        return
    if view.dataset_id != request.dataset_id or view.ended_at is not None:
        raise Invalid("unknown_view", "This is no view of this dataset.", "Look at the dataset's views.")
    if request.level == Level.REMOTE_ONLY:
        raise Denied("remote_only", "These data can be counted here, and are not packaged: they may not leave the registry.")


def change_request(actor: User, request: Request, **fields: Any) -> Request:
    """Changes a request of one's own that was not handed in, or came back. Raises Denied, Invalid, Conflict."""
    if set(fields) - set(ASKED):
        raise Invalid("unknown_field", "A field of the request is not known.", f"Use {', '.join(ASKED)}.")
    with transaction.atomic():
        held = holding.held(actor, request, "change")
        for name, value in fields.items():
            setattr(held, name, value)
        accounts.tidy(held)
        _countries(held)
        held.save()
        audit.write(actor, "request.change", held, dataset=held.dataset, fields=sorted(fields))
    return held


def _countries(request: Request) -> None:
    """The countries of a team are told as a list of two-letter codes. Raises Invalid."""
    told = request.team_countries
    if not isinstance(told, list) or not all(isinstance(one, str) and COUNTRY.regex.fullmatch(one) for one in told):
        raise Invalid("team_countries", "The countries of the team are not a list of countries.", "Give each by two capital letters of ISO 3166-1.")


# --- the team ----------------------------------------------------------------------------------------------------------------------------------------


def name_member(actor: User, request: Request, user: User, country: str = "") -> Member:
    """Makes an account a member of the team; the country of the account stands in where none is given. Raises Denied, Invalid, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "name_member")
        if user.pk == held.requester_id:
            raise Invalid("member_is_requester", "Who makes the request is of its team already.", "Name the others.")
        member = Member(request=held, user=user, country=country or user.country)
        accounts.checked(member, "member_exists")
        audit.write(actor, "request.member", held, dataset=held.dataset, user=str(user.pk))
    return member


def drop_member(actor: User, member: Member) -> Request:
    """Takes somebody off the team: their entitlement ends, and the rule is asked again, for its countries are part of the purpose. Nobody is added by it.

    Where only their signature was missing, the request becomes active; where nobody has an entitlement any more, it is closing.
    Raises Denied, Invalid when the rule permits nobody any more, Conflict.
    """
    with transaction.atomic():
        held = holding.held(actor, member.request, "drop_member")
        Member.objects.filter(pk=member.pk, dropped_at=None).update(dropped_at=timezone.now())
        living = Entitlement.objects.filter(request=held, user=member.user_id, revoked_at__isnull=True)
        living.update(revoked_at=timezone.now(), revoked_why="dropped from the team")
        if held.state not in ("draft", "returned"):
            deciding.narrow(held)
        if held.state == machine.PENDING:
            signing.begin_if_signed(held, "drop_member")
        elif held.state in machine.GIVES and not Entitlement.objects.filter(request=held, revoked_at__isnull=True).exists():
            holding.move(held, "drop_member", "closing")
        audit.write(actor, "request.drop_member", held, dataset=held.dataset, user=str(member.user_id))
    return held


# --- handing in ------------------------------------------------------------------------------------------------------------------------------------


def freeze_cohort(actor: User, request: Request, people: Collection[UUID], where: Sequence[str] = (), told: int | None = None) -> Request:
    """Freezes whom a request is for, before it is handed in: those of these people who take part now. Who joins later is not in it.

    `where`: the question that they were found by, and `told` what the counting function tells of it: the requester is told that number and no other
    (`queries.summary`), for a question that is asked by freezing must not be answered better than one that is asked by counting.
    Raises Denied, Invalid, Conflict.
    """
    with transaction.atomic():
        held = holding.held(actor, request, "change")
        here = Participant.objects.filter(dataset=held.dataset, state="active").values_list("pk", flat=True)
        rows = [RequestedParticipant(request=held, participant_id=pk) for pk in here if pk in people]
        if not rows:
            raise Invalid("nobody_asked_for", "The request names no participant of this dataset.", "Widen the cohort.")
        RequestedParticipant.objects.filter(request=held).delete()
        RequestedParticipant.objects.bulk_create(rows, batch_size=1000)
        held.cohort = {"where": list(where), "told": told}
        held.save(update_fields=["cohort"])
        audit.write(actor, "request.cohort", held, dataset=held.dataset, conditions=len(where))
    return held


def submit_request(actor: User, request: Request, participants: QuerySet[Participant] | None = None) -> Request:
    """Hands a request in: the cohort (or everybody in the dataset) is frozen, unless it was (`freeze_cohort`); then the rule is asked of each of them.

    Raises Denied, Invalid (purpose, account, nobody in it), Conflict.
    """
    with transaction.atomic():
        held = holding.held(actor, request, "submit")
        _offered(held)
        policy.purpose_of(held).check()
        if not held.title.strip() or not held.abstract.strip() or not actor.institution.strip():
            raise Invalid("request_incomplete", "Title, abstract and the institution of your account are needed.", "Fill in what is missing.")
        who = Participant.objects.filter(dataset=held.dataset, state="active")
        if participants is not None:
            who, held.cohort = who.filter(pk__in=participants.values("pk")), {}
        elif held.cohort:
            who = who.filter(requested__request=held)
        rows = [RequestedParticipant(request=held, participant_id=pk) for pk in who.values_list("pk", flat=True)]
        if not rows:
            raise Invalid("nobody_asked_for", "The request names no participant of this dataset.", "Widen the cohort.")
        RequestedParticipant.objects.filter(request=held).delete()  # of the time before it came back
        RequestedParticipant.objects.bulk_create(rows, batch_size=1000)
        holding.move(held, "submit", submitted_at=timezone.now(), cohort=held.cohort)
        audit.write(actor, "request.submit", held, dataset=held.dataset, asked=len(rows))
    holding.quietly(screen_request, SYSTEM, held)  # it was handed in, whoever screens it
    return Request.objects.select_related("dataset", "requester", "view").get(pk=held.pk)


def screen_request(actor: str, request: Request) -> Request:
    """Asks the rule about everybody in a frozen cohort. Where the level leaves the decision to the rule and it permits somebody, they are granted and all
    others left out; otherwise a steward and the voters have it. What was interrupted is taken up by the tick. Raises Denied, Conflict.
    """
    with transaction.atomic():
        held = holding.held(actor, request, "screen")
        if held.state == "submitted":
            holding.move(held, "screen", "screening")
        rows, answers = deciding.judged(held)
        alone = held.level in rules.BY_RULE
        for row in rows:
            row.allowed = alone and row.verdict == rules.Verdict.PERMIT.value
        deciding.keep(rows)
        if any(row.allowed for row in rows):
            deciding.grant(held, "screen", decided_at=timezone.now())
        else:
            holding.move(held, "screen", "in_review")
            for user in {*account_queries.stewards(held.dataset), *(account_queries.voters(held.dataset) if held.dataset.quorum else [])}:
                mail.queue(user, "request_submitted", f"/requests/{held.pk}")
        audit.write(actor, "request.screen", held, dataset=held.dataset, state=held.state, **deciding.tally(answers.values()))
    return held


def screen_left() -> int:
    """Requests whose screening was interrupted are screened; part of the tick."""
    left = list(Request.objects.filter(state__in=["submitted", "screening"]))
    return sum(holding.quietly(screen_request, SYSTEM, request) for request in left)


def withdraw_request(actor: User, request: Request) -> Request:
    """Takes a request back before anything was given. Raises Denied, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "withdraw")
        holding.move(held, "withdraw")
        audit.write(actor, "request.withdraw", held, dataset=held.dataset)
    return held


def set_recipient_key(actor: User, request: Request, key: str) -> Request:
    """Gives or changes the age public key to which one's own packages are encrypted. Raises Denied, Invalid, Conflict."""
    if not (key.startswith("age1") and key.isascii() and key.isalnum() and len(key) <= 120):
        raise Invalid("recipient_key", "This is no age public key.", "It begins with age1; `age-keygen` makes one.")
    with transaction.atomic():
        held = holding.held(actor, request, "give_key")
        if held.requester_id == actor.pk:
            held.recipient_key = key
            held.save(update_fields=["recipient_key"])
        else:
            Member.objects.filter(request=held, user=actor, dropped_at=None).update(recipient_key=key)
        audit.write(actor, "request.key", held, dataset=held.dataset)
    return held
