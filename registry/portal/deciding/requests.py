"""One access request to decide on: purpose, the rule's answer per group, the subset, team, agreement, ethics, votes and history on one page; and its acts."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry import rules
from registry.access import actions, deciding, groups, holding, machine, pairs, policy, queries, signing
from registry.access.models import Request
from registry.accounts import queries as accounts
from registry.accounts.models import Level
from registry.audit import queries as audit
from registry.consent import duo
from registry.portal.looking.answers import Shown
from registry.releases import judging
from registry.rules import Invalid

COMMANDS = ("approve", "return", "reject", "vote", "suspend", "resume", "revoke", "renew")
DONE = {
    "approve": _("The request was granted."), "return": _("The request went back with your question."), "reject": _("The request was refused."),
    "vote": _("Your vote was noted."), "suspend": _("What the request gives is stopped."), "resume": _("The request gives again what it gave."),
    "revoke": _("What the request gave has ended."), "renew": _("The report was accepted, and the time is longer."),
    "propose": _("Your proposal waits for a second person."),
}  # fmt: skip
# What the flags of a request mean to who decides.
FLAGS = {
    "commercial": _("commercial use"), "ai_training": _("training of AI"), "methods": _("development of methods"), "genetic": _("genetic research"),
    "clinical_care": _("clinical care"), "public_crowd": _("a public crowd works on it"), "genetic_linkage": _("linkage with genetic data"),
    "recontact": _("participants are contacted again"), "face_intact": _("intact faces"),
}  # fmt: skip
MOST = 50


class RequestPage(Shown):
    """What a decision needs, on one page. Only who decides or votes on the request is shown it."""

    step_up = ("POST",)

    def one(self, pk: UUID) -> Request:
        found = get_object_or_404(queries.requests(self.asker), pk=pk)
        if not groups.may_judge(self.asker, found):
            raise rules.Denied("no_role", "Those who decide or vote on this request see this page; its team follows it on its own page.")
        return found

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return render(request, "portal/deciding/request.html", self.told(self.one(pk)))

    def told(self, asked: Request) -> dict[str, Any]:
        asker, facts = self.asker, policy.facts_of_asker(self.asker)  # asked once for the whole page
        found, decides = groups.of(facts, asked), policy.ask_in(facts, "decide", asked.dataset).permitted
        return {
            "asked": asked,
            "state": machine.STATES[asked.state],
            "groups": [{"of": group, "consent": _consent(group)} for group in found],
            "subset": judging.subset(facts, asked, found),
            "purpose": _purpose(asked),
            "kinds": sorted(policy.kinds(asked)),
            "may": _may(asker, asked),
            "decided": asked.state in machine.DECIDED,
            **_team(asked),
            **_votes(asker, asked),
            "papers": list(queries.papers(asker).filter(request=asked)),
            "two": _two(asker, asked) if decides else None,
            "reports": list(asked.renewals.select_related("accepted_by")),
            "entitlements": list(asked.entitlements.select_related("user", "request").order_by("created_at")),
            "lines": list(audit.of_object(f"request:{asked.pk}").order_by("-seq")[:MOST]) if decides else [],  # a steward reads the log
        }

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held, act = self.one(pk), request.POST.get("act", "")
        reason = request.POST.get("reason", "").strip()[:2000]
        if act == "approve":
            self.approve(held, reason)
        elif act == "vote":
            actions.vote(self.asker, held, request.POST.get("yes") == "yes", reason)
        elif act == "renew":
            actions.renew_request(self.asker, held, _id(request.POST.get("report", "")))
        elif act == "resume":
            actions.resume_request(self.asker, held)
        elif act == "propose":
            pairs.propose(self.asker, held.dataset, "restricted_approval", held, reason)
        elif act in SAID:
            SAID[act](self.asker, held, reason)
        else:
            raise Invalid("unknown_act", "This is nothing that can be done to a request.", "Use the buttons of the page.")
        messages.success(request, DONE[act])
        return redirect("portal:decide_request", pk)

    def approve(self, held: Request, reason: str) -> None:
        """Whole groups are taken or left out. One that the page did not show, because a consent has changed since, is left out."""
        taken, settled = set(self.request.POST.getlist("take")), set(self.request.POST.getlist("settle"))
        out = [group.key for group in groups.of(self.asker, held) if group.verdict == "permit" and group.key not in taken]
        chosen = {"settle": groups.people_in(held, settled), "leave_out": groups.people_in(held, out)}
        actions.approve_request(self.asker, held, reason=reason, read=_read(self.request.POST.get("read", "")), **chosen)


SAID = {"return": actions.return_request, "reject": actions.reject_request, "suspend": actions.suspend_request, "revoke": actions.revoke_request}


def _read(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("request_unread", "The page does not say which version of the request was read.", "Load the page again, then decide.") from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid("report_missing", "The page names no report.", "Load the page again.") from None


def _may(asker: Any, asked: Request) -> dict[str, bool]:
    """Which commands the asker may give now, as the table says it."""
    roles, found = holding.roles_of(asker, asked), {}
    for command in COMMANDS:
        try:
            machine.require(command, asked.state, roles)
        except rules.Refusal:
            continue
        found[command] = True
    return found


def _consent(group: groups.Group) -> dict[str, Any]:
    """A consent in words: DUO's own labels, and what a form's boxes say beside them."""
    facts = group.facts
    if facts is None:
        return {}
    terms = duo.terms()
    label = terms[facts.permission].label if facts.permission in terms else facts.permission
    limits = [terms[one].label if one in terms else one for one in sorted(facts.modifiers)]
    boxes = [FLAGS[name] for name in rules.BOXES if getattr(facts, name) and name in FLAGS]
    more = [*sorted(facts.diseases), *sorted(facts.countries)]
    return {"label": label, "limits": limits, "boxes": boxes, "more": more, "transfer": facts.transfer}


def _purpose(asked: Request) -> dict[str, Any]:
    terms = duo.terms()
    label = terms[asked.purpose].label if asked.purpose in terms else _("development of methods") if asked.purpose == "METHODS" else asked.purpose
    promises = [rules.PROMISES.get(one, _("standard contractual clauses are signed") if one == "SCC" else one) for one in asked.promises]
    return {"label": label, "flags": [words for name, words in FLAGS.items() if getattr(asked, name)], "promises": promises, "ethics": "IRB" in asked.promises}


def _team(asked: Request) -> dict[str, Any]:
    """Everybody of the team, with the country that was said and the version that they signed."""
    members = list(asked.members.filter(dropped_at=None).select_related("user"))
    signed = {row.user_id: row for row in asked.signatures.select_related("agreement").order_by("created_at")}
    people = [(asked.requester, asked.country, bool(asked.recipient_key)), *((one.user, one.country, bool(one.recipient_key)) for one in members)]
    agreement = accounts.current_agreement(asked.dataset)
    missing = {user.pk for user in signing.missing(asked)}
    team = [
        {"user": user, "country": country, "key": key, "signed": signed.get(user.pk), "missing": user.pk in missing, "requester": user.pk == asked.requester_id}
        for user, country, key in people
    ]
    return {"team": team, "agreement": agreement}


def _votes(asker: Any, asked: Request) -> dict[str, Any]:
    """The votes with the quorum; the asker's own, to change it."""
    if not asked.dataset.quorum or asked.submitted_at is None:
        return {"quorum": 0}
    votes = list(asked.votes.select_related("user").filter(at__gte=asked.submitted_at))
    yes, no = deciding.counted(asked)
    mine = next((one for one in votes if one.user_id == asker.pk), None)
    return {"quorum": asked.dataset.quorum, "votes": votes, "yes": yes, "no": no, "mine": mine, "carried": yes >= asked.dataset.quorum and yes > no}


def _two(asker: Any, asked: Request) -> dict[str, Any] | None:
    """Where an approval needs a second person instead of votes: who proposed it, and who agreed."""
    if asked.dataset.quorum or rules.strictness(asked.level) < rules.strictness(Level.RESTRICTED) or asked.state != "in_review":
        return None
    waits = queries.dangerous_acts(asker).filter(act="restricted_approval", object=f"request:{asked.pk}", used_at=None, expires_at__gt=timezone.now())
    return {"proposals": list(waits), "agreed": any(one.seconded_at for one in waits)}
