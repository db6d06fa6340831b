"""The law: from plain facts, who may have what, and the sentence why.

Standard library only; nothing here knows a database, a clock or a person. Three questions are answered:

- `decide(consent, purpose, on)`: does this consent cover this use? (`registry.uses`)
- `may(asker, action, subject, on)`: may this asker do this to this participant's data?
- `may_in(asker, action, dataset, site)`: may this asker do this in this dataset?

`registry.access.policy` gathers the facts, asks here, and turns the same answer into SQL. What an answer is, stands in `registry.verdicts`; everybody
imports all of it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from registry.uses import (
    ALL_PROMISES,
    BOXES,
    BY_HAND,
    LEGAL_BASES,
    MODIFIERS,
    PERMISSIONS,
    PROMISES,
    PURPOSES,
    TRANSFERS,
    ConsentFacts,
    Disease,
    Purpose,
    decide,
    ended,
    holds,
    narrower,
    no_looser,
    openly,
)
from registry.verdicts import Answer, Conflict, Denied, Invalid, Reason, Refusal, Verdict, ask, deny, permit, weigh

__all__ = [
    "ALL_PROMISES", "BOXES", "BY_HAND", "LEGAL_BASES", "MODIFIERS", "PERMISSIONS", "PROMISES", "PURPOSES", "TRANSFERS",
    "Answer", "Conflict", "ConsentFacts", "Denied", "Disease", "Invalid", "Purpose", "Reason", "Refusal", "Verdict",
    "ask", "decide", "deny", "ended", "holds", "narrower", "no_looser", "openly", "permit", "weigh",
]  # fmt: skip

LEVELS = ("open", "registered", "controlled", "restricted", "remote_only", "closed")  # each gives less than the one before
BY_RULE = frozenset({"open", "registered"})  # levels at which the rule alone decides on a request
NEVER_PACKAGED = frozenset({"remote_only", "closed"})


def strictness(level: str) -> int:
    """The place of a level in `LEVELS`; one that is not known is stricter than all."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def strictest(*levels: str) -> str:
    """The strictest of these levels."""
    return max(levels, key=strictness)


# --- asker, action, participant ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Role:
    """A living role: contributors have a site, the others None."""

    kind: str
    dataset: str
    site: str | None = None


@dataclass(frozen=True)
class Grant:
    """An entitlement of the asker: through which request, for which purpose, from when until when.

    `moved`: the asker's country is none that the request named, so what a steward settled by hand was another question. `level` is the one that holds now
    (`LEVELS`), `decided` the one at which it was granted; `view`: it is for some kinds of file only.
    """

    request: str
    dataset: str
    purpose: Purpose
    starts: datetime
    ends: datetime
    revoked: bool = False
    moved: bool = False
    level: str = "controlled"
    decided: str = "controlled"
    view: bool = False

    def alive(self, at: datetime) -> bool:
        return not self.revoked and self.starts <= at < self.ends

    def shut(self, action: str) -> Reason | None:
        """Why the level forbids this action to it, or None."""
        return shut_by_level(self.level, self.decided, self.view, action)


@dataclass(frozen=True)
class Asker:
    """Who asks. `user` None: nobody signed in. `admin` opens datasets, sites and accounts, and sees no participant by it."""

    user: str | None
    active: bool = True
    admin: bool = False
    roles: frozenset[Role] = frozenset()
    grants: tuple[Grant, ...] = ()


NOBODY = Asker(user=None, active=False)


@dataclass(frozen=True)
class Subject:
    """A participant as the rule sees them.

    `allowed`: requests in which a steward allowed them; `settled`: those of them in which an ASK was answered for the consent that holds now.
    """

    dataset: str
    site: str
    withdrawn: bool = False
    closed: bool = False
    consent: ConsentFacts | None = None
    allowed: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Action:
    """What an action needs: a role in the dataset (a contributor's only at the participant's site), or a grant; and whether it ends with the consent."""

    roles: frozenset[str] = field(default_factory=frozenset)
    by_grant: bool = False
    after_withdrawal: bool = False
    needs_consent: bool = False


ACTIONS: Mapping[str, Action] = {
    # That this participant exists, their state, and what is still to be done about them.
    "know": Action(frozenset({"contributor", "steward", "auditor"}), after_withdrawal=True),
    # Images, clinical data, visits.
    "see": Action(frozenset({"contributor", "steward"}), by_grant=True),
    # Visits, consents, clinical data and scans are handed in.
    "contribute": Action(frozenset({"contributor"})),
    # Renderings of the head before its face was removed.
    "review": Action(frozenset({"steward"}), needs_consent=True),
    # An image becomes part of what can be released.
    "accept": Action(frozenset({"steward"}), needs_consent=True),
    "release": Action(frozenset({"steward"}), needs_consent=True),
    "download": Action(by_grant=True),
    "withdraw": Action(frozenset({"contributor", "steward"}), after_withdrawal=True),
}


def may(asker: Asker, action: str, subject: Subject, at: datetime) -> Answer:
    """Whether the asker may do `action` to this participant's data at this time. Raises KeyError for an action that does not exist."""
    rule = ACTIONS[action]
    if asker.user is None or not asker.active:
        return weigh([deny("not_signed_in", "Nobody is signed in, or the account is disabled.")])
    if subject.withdrawn and not rule.after_withdrawal:
        return weigh([deny("withdrawn", "This participant has left.")])
    if rule.needs_consent and not holds(subject.consent, at.date()).permitted:
        return holds(subject.consent, at.date())
    for role in asker.roles:
        if role.kind in rule.roles and role.dataset == subject.dataset and role.site in (None, subject.site):
            return weigh([permit(f"as_{role.kind}", f"The asker is {role.kind} here.")])
    if not rule.by_grant:
        return weigh([deny("no_role", "The asker has no role here that allows this.")])
    return _by_grant(asker, action, subject, at)


def _by_grant(asker: Asker, action: str, subject: Subject, at: datetime) -> Answer:
    """The best answer of all living grants: one that permits is enough, and otherwise the reasons of all are shown."""
    if subject.closed:
        return weigh([deny("dataset_closed", "This dataset is closed: it is given to nobody.")])
    reasons: list[Reason] = []
    for grant in asker.grants:
        if grant.dataset != subject.dataset or not grant.alive(at):
            continue
        shut = grant.shut(action)
        answer = weigh([shut]) if shut else through(grant, subject, at)
        if answer.permitted:
            return answer
        reasons += answer.reasons
    return weigh([*reasons, deny("no_grant", "No living entitlement of the asker covers this participant.")])


def shut_by_level(level: str, decided: str, view: bool, action: str) -> Reason | None:
    """Why the level that holds now forbids this action to what was granted at `decided`, whoever the participant is, or None. Unknown ones forbid."""
    now, then = strictness(level), strictness(decided)
    if level == "closed" or now == len(LEVELS):
        return deny("dataset_closed", "This dataset is closed: it is given to nobody.")
    if now > then or then == len(LEVELS):
        return deny("level_raised", "This is given out more strictly than when the request was granted; ask for it anew.")
    if action == "download" and {level, decided} & NEVER_PACKAGED:  # a level that was lowered makes no package of what was granted to be looked at
        return deny("remote_only", "These data can be seen and counted here, and are not packaged: they may not leave the registry.")
    if view and action != "download":
        return deny("view_only_packaged", "The request is for some kinds of file, which come as a package; looking around here would show the others.")
    return None


def through(grant: Grant, subject: Subject, at: datetime) -> Answer:
    """What one living grant gives of one participant: the steward allowed them, and their consent, asked again now, covers the purpose."""
    if grant.request not in subject.allowed:
        return weigh([deny("not_granted", "The request was not granted for this participant.")])
    answer = decide(subject.consent, grant.purpose, at.date())
    if answer.verdict is Verdict.ASK and grant.request in subject.settled and not grant.moved:
        return weigh([permit("settled", "A steward has judged what the rule leaves to a human.")], answer.obligations)
    return answer


# --- asker, action, dataset ----------------------------------------------------------------------------------------------------------------------

DATASET_ACTIONS: Mapping[str, frozenset[str]] = {
    "register": frozenset({"contributor"}),
    "upload": frozenset({"contributor"}),
    "decide": frozenset({"steward"}),
    "freeze": frozenset({"steward"}),
    "see_work": frozenset({"steward", "contributor"}),
    "read_audit": frozenset({"steward", "auditor"}),
    "give_roles": frozenset({"steward"}),
}
GIVEN_BY_STEWARDS = frozenset({"researcher", "auditor"})  # roles; the others are given by who runs the registry
ADMIN_ACTIONS = frozenset({"open_dataset", "open_site", "open_account", "give_roles", "read_operations"})


def may_in(asker: Asker, action: str, dataset: str, site: str | None = None) -> Answer:
    """Whether the asker may do `action` in this dataset; with `site`, a contributor's role must be of that site. Raises KeyError for unknown actions."""
    roles = DATASET_ACTIONS[action]
    if asker.user is None or not asker.active:
        return weigh([deny("not_signed_in", "Nobody is signed in, or the account is disabled.")])
    if asker.admin and action in ADMIN_ACTIONS:
        return weigh([permit("as_admin", "The asker runs this registry.")])
    for role in asker.roles:
        if role.kind in roles and role.dataset == dataset and (role.site is None or site is None or role.site == site):
            return weigh([permit(f"as_{role.kind}", f"The asker is {role.kind} here.")])
    return weigh([deny("no_role", "The asker has no role here that allows this.")])


def may_run(asker: Asker, action: str) -> Answer:
    """Whether the asker may do what only those who run the registry do (`ADMIN_ACTIONS`). Raises KeyError for unknown actions."""
    if action not in ADMIN_ACTIONS:
        raise KeyError(action)
    if asker.user is None or not asker.active:
        return weigh([deny("not_signed_in", "Nobody is signed in, or the account is disabled.")])
    if asker.admin:
        return weigh([permit("as_admin", "The asker runs this registry.")])
    return weigh([deny("not_admin", "Only those who run this registry may do this.")])
