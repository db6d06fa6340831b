"""A request's life in plain English: what happened, by whom and when; what comes next; and what the reader of the page may or must do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from registry.access import holding, machine, queries, signing
from registry.access.models import Entitlement, Request
from registry.accounts.models import User
from registry.releases import attesting
from registry.rules import Refusal

STATES = {
    "draft": _("Being written"),
    "submitted": _("Handed in"),
    "screening": _("The consents are being asked"),
    "in_review": _("Waits for a decision"),
    "returned": _("Came back with a question"),
    "approved_pending_signatures": _("Granted, waits for signatures"),
    "active": _("Active"),
    "renewal_due": _("Active, ends soon"),
    "suspended": _("Suspended"),
    "rejected": _("Not granted"),
    "withdrawn": _("Taken back"),
    "expired": _("Came to its end"),
    "revoked": _("Ended by a steward"),
    "closing": _("Waits for the word that all is deleted"),
    "closed": _("Closed"),
}
HAPPENED = {
    "request.draft": _("The request was begun."),
    "request.submit": _("It was handed in; who it asks for was frozen."),
    "request.screen": _("The consents of the participants were asked, one by one."),
    "request.withdraw": _("It was taken back."),
    "request.approve": _("It was granted."),
    "request.return": _("It came back with a question."),
    "request.reject": _("It was refused."),
    "request.suspend": _("What it gives was stopped for now."),
    "request.resume": _("What it gives goes on."),
    "request.revoke": _("It was ended for the whole team."),
    "request.fall_due": _("The end is near: a renewal can be asked for."),
    "request.report": _("A report was handed in, and more time asked for."),
    "request.renew": _("The report was accepted: there is more time."),
    "request.expire": _("Its time came to an end."),
    "request.close": _("The requester is done: nothing more is given."),
    "request.attest": _("The requester said that everything is deleted."),
    "request.drop_member": _("A member left the team."),
    "request.paper": _("The document of an ethics board was added."),
    "request.paper_off": _("The document of an ethics board was taken off."),
    "agreement.sign": _("The agreement was signed."),
}
# What comes next, by state: for the team, and for everybody else who may see the request.
NEXT_TEAM = {
    "draft": _("Fill in what is missing, name your team, then hand it in. Nobody but your team sees it until then."),
    "submitted": _("The registry asks the consent of each participant. Nothing is to be done; look again in a moment."),
    "screening": _("The registry asks the consent of each participant. Nothing is to be done; look again in a moment."),
    "in_review": _("A steward of the dataset decides. You get a mail then, and nothing is to be done until it comes."),
    "returned": _("A steward asks you something. Change the request so that it answers, then hand it in again."),
    "active": _("You can have your package made and download it."),
    "renewal_due": _("It ends soon. If you need more time, say what you did with the data and ask for it. Otherwise delete the data and close the request."),
    "suspended": _("Nothing is given until a steward lets it go on or ends it."),
    "rejected": _("It is over. You may begin another request that answers the reason."),
    "withdrawn": _("It is over. You may begin another request."),
    "expired": _("The time is over. Delete the data, close the request, and say that everything is deleted."),
    "revoked": _("It was ended. Delete the data, close the request, and say that everything is deleted."),
    "closing": _("Delete every copy, then say so here."),
    "closed": _("It is over, and nothing is to be done."),
}
NEXT_OTHERS = {
    "in_review": _("It waits for votes and a steward's decision."),
    "returned": _("It waits for the requester's answer."),
    "approved_pending_signatures": _("It waits for the signatures of the team."),
    "renewal_due": _("It ends soon, unless a report is accepted."),
    "closing": _("It waits for the requester's word that everything is deleted."),
}
NOTICES_FIRST = _("A notice to delete files has waited for your team's word for 30 days. Answer it, and access goes on by itself.")
SIGN_NOW = _("It was granted. Give your key, read the agreement and sign it.")
OTHERS_SIGN = _("You have signed. It becomes active once every other member of the team has signed too.")
SIGN_AGAIN = _("The agreement has a new version. Read it and sign it, so that access goes on.")
# The order in which a request is usually lived, for the steps that are still to come.
WAY = ("draft", "in_review", "approved_pending_signatures", "active", "closing", "closed")


@dataclass(frozen=True)
class Told:
    """One step of the story as a sentence. `who`: asker, registry, steward or an address of the team."""

    sentence: Any
    at: datetime
    who: str
    by: Any


def so_far(asker: User, request: Request) -> list[Told]:
    """What happened, oldest first."""
    names = {"asker": _("you"), "registry": _("the registry"), "steward": _("a steward")}
    return [Told(HAPPENED[event.act], event.at, event.who, names.get(event.who, event.who)) for event in queries.history(asker, request)]


def to_come(request: Request) -> list[Any]:
    """The usual steps that are still ahead; none once it is over."""
    now = {"submitted": "in_review", "screening": "in_review", "returned": "draft", "renewal_due": "active", "suspended": "active", "expired": "closing"}
    state = now.get(request.state, "closing" if request.state == "revoked" else request.state)
    return [STATES[one] for one in WAY[WAY.index(state) + 1 :]] if state in WAY else []


def comes_next(asker: User, request: Request) -> Any:
    """What comes next, for this reader."""
    if not of_team(asker, request):
        return NEXT_OTHERS.get(request.state, STATES[request.state])
    if request.state == machine.PENDING:
        return OTHERS_SIGN if asker.pk not in {user.pk for user in signing.missing(request)} else SIGN_NOW
    if request.state in machine.GIVES and must_resign(asker, request):
        return SIGN_AGAIN
    return NOTICES_FIRST if request.state == "suspended" and request.reason == attesting.WHY else NEXT_TEAM[request.state]


def of_team(asker: User, request: Request) -> bool:
    return asker.pk in holding.team_of(request)


def must_resign(asker: User, request: Request) -> bool:
    """Whether a material new version of the agreement waits for the reader's signature."""
    return Entitlement.objects.filter(request=request, user=asker, revoked_at=None, resign_by__isnull=False).exists()


def may(asker: User, request: Request) -> dict[str, bool]:
    """Which commands the reader may give now, by the table of states and roles."""
    roles = holding.roles_of(asker, request)
    return {command: _allowed(command, request.state, roles) for command in machine.COMMANDS}


def _allowed(command: str, state: str, roles: frozenset[str]) -> bool:
    try:
        machine.require(command, state, roles)
    except Refusal:
        return False
    return True
