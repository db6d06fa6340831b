"""Acts of who may have what: accounts, roles, datasets; asking, deciding, signing, ending.

Each act asks the policy, checks, changes and writes its audit line as the last statement of one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from registry import rules
from registry.access import policy
from registry.access.models import Entitlement, Request, RequestedParticipant, RequestState, Signature
from registry.accounts import actions as accounts
from registry.accounts import queries as account_queries
from registry.accounts.models import COUNTRY, Agreement, Dataset, Level, Role, Site, Token, User
from registry.audit import actions as audit
from registry.consent import actions as consent
from registry.consent.models import ConsentTemplate
from registry.rules import Conflict, Denied, Invalid
from registry.runs import mail
from registry.subjects.models import Participant

SYSTEM = "system:tick"
REMIND_DAYS = (30, 14, 7)


# --- accounts, roles, datasets -----------------------------------------------------------------------------------------------------------------------


def open_account(actor: User | str, email: str, password: str | None = None, **fields: object) -> User:
    """A new account. Raises Denied, Invalid, Conflict."""
    _admin(actor, "open_account")
    with transaction.atomic():
        user = accounts.add_user(email, password, **fields)
        audit.write(actor, "account.open", user)
    return user


def disable_account(actor: User | str, user: User) -> None:
    """Nobody signs in as this user any more, and their tokens and entitlements answer nothing from the next question on. Raises Denied."""
    _admin(actor, "open_account")
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(is_active=False)
        audit.write(actor, "account.disable", user)


def open_site(actor: User | str, code: str, name: str, country: str) -> Site:
    """A new site. Raises Denied, Invalid, Conflict."""
    _admin(actor, "open_site")
    with transaction.atomic():
        site = accounts.add_site(code, name, country)
        audit.write(actor, "site.open", site)
    return site


def open_dataset(actor: User | str, slug: str, name: str, sites: Iterable[Site] = (), agreement: str = "", **fields: object) -> Dataset:
    """A new dataset with its keys and the first version of its agreement. Raises Denied, Invalid, Conflict."""
    _admin(actor, "open_dataset")
    with transaction.atomic():
        dataset = accounts.add_dataset(slug, name, sites, agreement, **fields)
        audit.write(actor, "dataset.open", dataset, dataset=dataset, sites=[site.code for site in dataset.sites.all()])
    return dataset


def agree_protocol(actor: User | str, dataset: Dataset, protocol: Mapping[str, object], inclusion: Iterable[str]) -> Dataset:
    """A protocol profile (empty: the usual one) and the rules of it that are criteria of inclusion, for studies still to come. Raises Denied, Invalid."""
    if isinstance(actor, User):
        policy.require_in(actor, "decide", dataset)
    dataset.protocol, dataset.inclusion = dict(protocol), sorted(set(inclusion))
    accounts.agreed(dataset)
    with transaction.atomic():
        dataset.save(update_fields=["protocol", "inclusion"])
        audit.write(actor, "dataset.protocol", dataset, dataset=dataset, inclusion=dataset.inclusion)
    return dataset


def agree_faces(actor: User | str, dataset: Dataset, agreed: Mapping[str, object]) -> Dataset:
    """A policy about faces (`deid.facepolicy`; empty: nothing is exempt, orbits are withheld), for studies still to come. Raises Denied, Invalid."""
    if isinstance(actor, User):
        policy.require_in(actor, "decide", dataset)
    dataset.faces = dict(agreed)
    accounts.agreed(dataset)
    with transaction.atomic():
        dataset.save(update_fields=["faces"])
        audit.write(actor, "dataset.faces", dataset, dataset=dataset, faces=dataset.faces)
    return dataset


def publish_agreement(actor: User | str, dataset: Dataset, text: str) -> Agreement:
    """The next version of a dataset's agreement: who has not signed it signs before their next entitlement. Raises Denied, Invalid."""
    if isinstance(actor, User):
        policy.require_in(actor, "decide", dataset)
    with transaction.atomic():
        agreement = accounts.add_agreement(dataset, text)
        audit.write(actor, "agreement.publish", agreement, dataset=dataset, version=agreement.version)
    return agreement


def publish_form(actor: User | str, dataset: Dataset, **form: Any) -> ConsentTemplate:
    """A version of a consent form in one language (`consent.actions.add_template`). Raises Denied, Invalid, Conflict."""
    if isinstance(actor, User):
        policy.require_in(actor, "decide", dataset)
    with transaction.atomic():
        template = consent.add_template(dataset, **form)
        told = {"form": template.name, "version": template.version, "language": template.language}
        audit.write(actor, "consent_form.publish", template, dataset=dataset, **told)
    return template


def give_role(actor: User | str, user: User, dataset: Dataset, kind: str, site: Site | None = None) -> Role:
    """Makes a user something in a dataset. Nobody gives a role to themselves, but who runs the registry. Raises Denied, Invalid."""
    if isinstance(actor, User):
        policy.require_in(actor, "give_roles", dataset)
        if actor.pk == user.pk and not actor.is_superuser:
            raise Denied("role_for_oneself", "Nobody gives a role to themselves.")
    with transaction.atomic():
        role = accounts.add_role(user, dataset, kind, site)
        audit.write(actor, "role.give", role, dataset=dataset, user=str(user.pk), kind=kind, site=site.code if site else "")
    return role


def end_role(actor: User | str, role: Role) -> None:
    """Ends a role; it bites on the next question. Raises Denied."""
    if isinstance(actor, User):
        policy.require_in(actor, "give_roles", role.dataset)
    with transaction.atomic():
        accounts.end_role(role)
        audit.write(actor, "role.end", role, dataset=role.dataset)


def issue_token(actor: User, name: str, scopes: Sequence[str] = ("read",), days: int = 90) -> tuple[Token, str]:
    """A token for the actor's own account, and its text, which is shown this once. Raises Denied, Invalid."""
    if not actor.is_active:
        raise Denied("not_signed_in", "Nobody is signed in, or the account is disabled.")
    with transaction.atomic():
        token, text = accounts.add_token(actor, name, scopes, days)
        audit.write(actor, "token.issue", token, scopes=list(token.scopes), days=days)
    return token, text


def revoke_token(actor: User, token: Token) -> None:
    """Ends a token of one's own, or anybody's if one runs the registry. Raises Denied."""
    if token.user_id != actor.pk:
        policy.require_admin(actor, "open_account")
    with transaction.atomic():
        accounts.revoke_token(token)
        audit.write(actor, "token.revoke", token)


def _admin(actor: User | str, action: str) -> None:
    """Commands act as the system; a user must run the registry."""
    if isinstance(actor, User):
        policy.require_admin(actor, action)


# --- asking ------------------------------------------------------------------------------------------------------------------------------------------

ASKED = (
    "title", "abstract", "purpose", "diseases", "methods", "country", "team_countries", "promises", "recipient_key", *policy.FLAGS,
)  # fmt: skip


def draft_request(actor: User, dataset: Dataset, **fields: Any) -> Request:
    """Begins a request; the country of the requester's account stands in where none is given. Raises Denied, Invalid."""
    if not actor.is_active:
        raise Denied("not_signed_in", "Nobody is signed in, or the account is disabled.")
    if dataset.purpose_level == Level.CLOSED:
        raise Denied("dataset_closed", "This dataset is closed: it is given to nobody.")
    unknown = set(fields) - set(ASKED)
    if unknown:
        raise Invalid("unknown_field", "A field of the request is not known.", f"Use {', '.join(ASKED)}.")
    with transaction.atomic():
        request = Request(dataset=dataset, requester=actor, **{"country": actor.country, **fields})
        accounts.checked(request, "request_exists")
        _countries(request)
        audit.write(actor, "request.draft", request, dataset=dataset)
    return request


def change_request(actor: User, request: Request, **fields: Any) -> Request:
    """Changes a draft of one's own. Raises Denied, Invalid, Conflict."""
    if set(fields) - set(ASKED):
        raise Invalid("unknown_field", "A field of the request is not known.", f"Use {', '.join(ASKED)}.")
    with transaction.atomic():
        held = _own(actor, request, RequestState.DRAFT)
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


def submit_request(actor: User, request: Request, participants: QuerySet[Participant] | None = None) -> Request:
    """Hands a request to the stewards: the cohort (or everybody in the dataset) is frozen, and the rule is asked of each of them.

    Raises Denied, Invalid (purpose, account, nobody in it), Conflict.
    """
    with transaction.atomic():
        held = _own(actor, request, RequestState.DRAFT)
        purpose = policy.purpose_of(held)
        purpose.check()
        if not held.title.strip() or not held.abstract.strip() or not actor.institution.strip():
            raise Invalid("request_incomplete", "Title, abstract and the institution of your account are needed.", "Fill in what is missing.")
        who = Participant.objects.filter(dataset=held.dataset, state="active")
        if participants is not None:
            who = who.filter(pk__in=participants.values("pk"))
        answers = policy.preview(purpose, who)
        if not answers:
            raise Invalid("nobody_asked_for", "The request names no participant of this dataset.", "Widen the cohort.")
        RequestedParticipant.objects.bulk_create(_asked(held, pk, answer) for pk, answer in answers.items())
        held.state, held.submitted_at = RequestState.SUBMITTED, timezone.now()
        held.save(update_fields=["state", "submitted_at"])
        for steward in account_queries.stewards(held.dataset):
            mail.queue(steward, "request_submitted", f"/requests/{held.pk}")
        audit.write(actor, "request.submit", held, dataset=held.dataset, asked=len(answers), **tally(answers.values()))
    return held


def tally(answers: Iterable[rules.Answer]) -> dict[str, int]:
    """How often the rule said what."""
    told = dict.fromkeys(("permit", "ask", "deny"), 0)
    for answer in answers:
        told[answer.verdict.value] += 1
    return told


def reasons_as_data(answer: rules.Answer) -> list[dict[str, str]]:
    """The reasons of an answer, as they are kept and shown."""
    return [{"code": reason.code, "verdict": reason.verdict.value, "sentence": reason.sentence} for reason in answer.reasons]


def _asked(request: Request, pk: UUID, answer: rules.Answer) -> RequestedParticipant:
    told = {"verdict": answer.verdict.value, "reasons": reasons_as_data(answer), "obligations": list(answer.obligations)}
    return RequestedParticipant(request=request, participant_id=pk, **told)


def _own(actor: User, request: Request, *states: str) -> Request:
    """The request, locked, if it is the actor's and in one of these states. Raises Denied, Conflict."""
    held = Request.objects.select_for_update(of=("self",)).select_related("dataset", "requester").get(pk=request.pk)
    if held.requester_id != actor.pk or not actor.is_active:
        raise Denied("not_your_request", "Only who made a request may do this to it.")
    _in_state(held, *states)
    return held


def _in_state(request: Request, *states: str) -> None:
    if request.state not in states:
        raise Conflict("request_state", f"This cannot be done to a request that is {request.state}.", "Look at its state.")


# --- deciding ----------------------------------------------------------------------------------------------------------------------------------------


def _for_decision(actor: User, request: Request, *states: str) -> Request:
    """The request, locked, if the actor may decide it. Raises Denied (also to its own requester), Conflict."""
    policy.require_in(actor, "decide", request.dataset_id)
    held = Request.objects.select_for_update(of=("self",)).select_related("dataset", "requester").get(pk=request.pk)
    if held.requester_id == actor.pk:
        raise Denied("self_approval", "Nobody decides on their own request.")
    _in_state(held, *states)
    return held


def approve_request(actor: User, request: Request, *, settle: Iterable[UUID] = (), leave_out: Iterable[UUID] = (), reason: str = "") -> Request:
    """Grants a request, in whole or in part: every participant whom the rule permits now, those of `settle` where it leaves the question to a human,
    and none of `leave_out`. Raises Denied, Invalid when nobody would be left, Conflict.
    """
    settled, out = set(settle), set(leave_out)
    with transaction.atomic():
        held = _for_decision(actor, request, RequestState.SUBMITTED)
        rows = list(RequestedParticipant.objects.filter(request=held).select_related("participant__standing"))
        answers = policy.preview(policy.purpose_of(held), Participant.objects.filter(requested__request=held, state="active"))
        for row in rows:
            _judge(row, answers.get(row.participant_id), settled, out)
        told = ["verdict", "reasons", "obligations", "allowed", "settled"]  # written as an upsert: twenty times faster than bulk_update for ten thousand people
        RequestedParticipant.objects.bulk_create(rows, batch_size=1000, update_conflicts=True, unique_fields=["request", "participant"], update_fields=told)
        allowed = sum(row.allowed for row in rows)
        if not allowed:
            raise Invalid("nobody_left", "The rule permits nobody of this request.", "Reject it, and tell the requester why.")
        _decided(held, actor, RequestState.APPROVED, reason)
        mail.queue(held.requester, "request_approved", f"/requests/{held.pk}")
        audit.write(actor, "request.approve", held, dataset=held.dataset, asked=len(rows), allowed=allowed, settled=len(settled))
    return held


def _judge(row: RequestedParticipant, answer: rules.Answer | None, settle: set[UUID], out: set[UUID]) -> None:
    """What becomes of one participant of a request that is being approved."""
    if answer is None:
        answer = rules.weigh([rules.deny("withdrawn", "This participant has left.")])
    row.verdict, row.reasons, row.obligations = answer.verdict.value, reasons_as_data(answer), list(answer.obligations)
    by_hand = answer.verdict is rules.Verdict.ASK and row.participant_id in settle
    row.allowed = (answer.permitted or by_hand) and row.participant_id not in out
    if by_hand and row.allowed:
        row.settled = row.participant.standing.facts
    if row.participant_id in out and answer.verdict is not rules.Verdict.DENY:
        row.reasons.append({"code": "left_out", "verdict": "deny", "sentence": "The steward left this participant out."})


def reject_request(actor: User, request: Request, reason: str) -> Request:
    """Refuses a request, with the reason. Raises Denied, Invalid, Conflict."""
    if not reason.strip():
        raise Invalid("reason_missing", "A rejection needs its reason.", "Say why, so that the requester can do better.")
    with transaction.atomic():
        held = _for_decision(actor, request, RequestState.SUBMITTED)
        _decided(held, actor, RequestState.REJECTED, reason)
        mail.queue(held.requester, "request_rejected", f"/requests/{held.pk}")
        audit.write(actor, "request.reject", held, dataset=held.dataset)
    return held


def _decided(request: Request, actor: User, state: str, reason: str) -> None:
    request.state, request.decided_by, request.decided_at, request.reason = state, actor, timezone.now(), reason
    request.save(update_fields=["state", "decided_by", "decided_at", "reason"])


# --- signing and ending --------------------------------------------------------------------------------------------------------------------------------


def sign_agreement(actor: User, request: Request, version: int) -> Entitlement:
    """The requester signs the agreement in its present version and is entitled from now on, for the months they asked for.

    Raises Denied, Conflict (not approved, or the agreement has a newer version), Invalid (no recipient key: nothing could be encrypted to them).
    """
    with transaction.atomic():
        held = _own(actor, request, RequestState.APPROVED)
        agreement = account_queries.current_agreement(held.dataset)
        if agreement is None or agreement.version != version:
            raise Conflict("agreement_changed", "This is not the present version of the agreement.", "Read and sign the present version.")
        if not held.recipient_key:
            raise Invalid("recipient_key_missing", "The request has no recipient key, so no package could be encrypted.", "Give an age public key.")
        Signature.objects.get_or_create(request=held, user=actor, agreement=agreement)
        living = Entitlement.objects.filter(request=held, user=actor, revoked_at__isnull=True).first()
        if living is not None:
            return living
        now = timezone.now()
        ends = now + timedelta(days=round(held.months * 365.2425 / 12))
        entitlement = Entitlement.objects.create(request=held, user=actor, dataset=held.dataset, starts=now, ends=ends)
        audit.write(actor, "agreement.sign", held, dataset=held.dataset, version=version, entitlement=str(entitlement.pk))
    return entitlement


def set_recipient_key(actor: User, request: Request, key: str) -> Request:
    """Gives or changes the age public key to which future packages of one's own request are encrypted. Raises Denied, Invalid, Conflict."""
    if not (key.startswith("age1") and key.isascii() and key.isalnum() and len(key) <= 120):
        raise Invalid("recipient_key", "This is no age public key.", "It begins with age1; `age-keygen` makes one.")
    with transaction.atomic():
        held = _own(actor, request, RequestState.DRAFT, RequestState.SUBMITTED, RequestState.APPROVED)
        held.recipient_key = key
        held.save(update_fields=["recipient_key"])
        audit.write(actor, "request.key", held, dataset=held.dataset)
    return held


def revoke_entitlement(actor: User | str, entitlement: Entitlement, why: str) -> None:
    """Ends an entitlement now; it bites on the next chunk of a download. Raises Denied, Invalid."""
    if not why.strip():
        raise Invalid("reason_missing", "A revocation needs its reason.", "Say why.")
    if isinstance(actor, User):
        policy.require_in(actor, "decide", entitlement.dataset_id)
    with transaction.atomic():
        changed = Entitlement.objects.filter(pk=entitlement.pk, revoked_at__isnull=True).update(revoked_at=timezone.now(), revoked_why=why[:200])
        if changed:
            mail.queue(entitlement.user, "entitlement_ended", f"/requests/{entitlement.request_id}")
        audit.write(actor, "entitlement.revoke", entitlement, dataset=entitlement.dataset_id, changed=bool(changed))


def close_request(actor: User, request: Request) -> Request:
    """The requester is done: what it entitles to ends now. Raises Denied, Conflict."""
    with transaction.atomic():
        held = _own(actor, request, RequestState.DRAFT, RequestState.SUBMITTED, RequestState.APPROVED)
        Entitlement.objects.filter(request=held, revoked_at__isnull=True).update(revoked_at=timezone.now(), revoked_why="closed by the requester")
        held.state = RequestState.CLOSED
        held.save(update_fields=["state"])
        audit.write(actor, "request.close", held, dataset=held.dataset)
    return held


def expire() -> dict[str, int]:
    """What the tick does: reminds of entitlements that end soon, closes requests whose last has ended. No denial waits for it."""
    now = timezone.now()
    reminded = 0
    for days in REMIND_DAYS:
        reminded += _remind(now + timedelta(days=days), days)
    living = Entitlement.objects.filter(request=OuterRef("pk"), ends__gt=now, revoked_at__isnull=True)
    over = Request.objects.filter(~Exists(living), state=RequestState.APPROVED, entitlements__isnull=False).distinct()
    closed = [_close_over(request.pk) for request in over]
    return {"reminded": reminded, "closed": sum(closed)}


def _remind(before: Any, days: int) -> int:
    due = Entitlement.objects.filter(revoked_at__isnull=True, ends__gt=timezone.now(), ends__lte=before, reminded_days__gt=days).select_related("user")
    for entitlement in due:
        with transaction.atomic():
            if Entitlement.objects.filter(pk=entitlement.pk, reminded_days__gt=days).update(reminded_days=days):
                mail.queue(entitlement.user, "entitlement_ends", f"/requests/{entitlement.request_id}")
    return len(due)


def _close_over(pk: UUID) -> bool:
    with transaction.atomic():
        request = Request.objects.select_for_update(of=("self",)).select_related("requester", "dataset").get(pk=pk)
        if request.state != RequestState.APPROVED:
            return False
        request.state = RequestState.CLOSED
        request.save(update_fields=["state"])
        mail.queue(request.requester, "entitlement_ended", f"/requests/{request.pk}")
        audit.write(SYSTEM, "request.close", request, dataset=request.dataset)
    return True
