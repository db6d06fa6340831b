"""The life of a request, as a table: in which state who may give which command, and what it may become. Standard library only.

Acts read this table (`registry.access.holding`), docs/reference/requests.md is made from it, and a test asks the acts for every state, role and command.
What is not in it cannot be done. Nothing leads from a draft to data: between them stand the rule (`screen`), a person (`approve`, but for open and registered
levels, where the rule alone decides), and the agreement that each member of the team signs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from registry.verdicts import Conflict, Denied

STATES: Mapping[str, str] = {
    "draft": "is being written",
    "submitted": "was handed in; its cohort is frozen",
    "screening": "the rule is being asked about each participant",
    "in_review": "waits for votes and a steward",
    "returned": "went back to the requester with a question",
    "approved_pending_signatures": "was granted; becomes active when each member of the team has signed",
    "active": "gives what was granted",
    "renewal_due": "gives what was granted, and ends within 30 days unless it is renewed",
    "suspended": "was stopped, until a steward resumes or revokes it",
    "rejected": "was refused, with the reason",
    "withdrawn": "was taken back by the requester before anything was given",
    "expired": "came to its end; the data must be deleted",
    "revoked": "was ended by a steward; the data must be deleted",
    "closing": "is over for the requester, who must say that everything is deleted",
    "closed": "is over, and the requester said that everything is deleted",
}
ROLES: Mapping[str, str] = {
    "requester": "who made the request",
    "member": "another member of the team",
    "steward": "a steward of the dataset",
    "voter": "whom the dataset asks to vote: its committee, or its stewards",
    "contributor": "a contributor of the dataset",
    "auditor": "an auditor of the dataset",
    "administrator": "who runs the registry",
    "researcher": "anybody else who is signed in",
    "nobody": "not signed in, or a disabled account",
    "system": "the registry itself: screening, and the clock",
}
GIVES = frozenset({"active", "renewal_due"})  # the only states in which an entitlement gives anything
GRANTED = GIVES | {"suspended", "expired", "revoked", "closing", "closed"}  # something was given once
PENDING = "approved_pending_signatures"
DECIDED = GRANTED | {PENDING}  # what it was granted can be told
TEAM = frozenset({"requester", "member"})


@dataclass(frozen=True)
class Command:
    """What is commanded, by whom, and from each state the states that may follow. `judges`: nobody of the team may. `when`: what else must be true."""

    sentence: str
    roles: frozenset[str]
    moves: Mapping[str, tuple[str, ...]]
    judges: bool = False
    when: tuple[str, ...] = field(default=())


def _stays(*states: str) -> dict[str, tuple[str, ...]]:
    return {state: (state,) for state in states}


def _to(target: str, *states: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(states, (target,))


def _by(*roles: str) -> frozenset[str]:
    return frozenset(roles)


COMMANDS: Mapping[str, Command] = {
    "change": Command("change what is asked for", _by("requester"), _stays("draft", "returned")),
    "name_member": Command("name a member of the team, with their country", _by("requester"), _stays("draft", "returned")),
    "drop_member": Command(
        "drop a member: their entitlement ends, and the rule is asked again, for fewer countries",
        _by("requester"),
        _stays("draft", "returned") | {state: (state, "closing") for state in sorted(GIVES)} | {PENDING: (PENDING, "active")},
        when=("the rule still permits somebody", "closing where nobody has an entitlement any more"),
    ),
    "submit": Command(
        "hand it in: the cohort is frozen",
        _by("requester"),
        _to("submitted", "draft", "returned"),
        when=("title, abstract and institution are given", "the purpose is one the rule can judge", "the cohort has somebody in it"),
    ),
    "screen": Command(
        "ask the rule about each participant; follows `submit` by itself",
        _by("system"),
        {"submitted": ("screening",), "screening": ("in_review", PENDING, "active")},
        when=(
            "at the levels open and registered, where the rule permits somebody: granted for those, without a person; all others are left out",
            "otherwise: in review",
        ),
    ),
    "withdraw": Command("take it back", _by("requester"), _to("withdrawn", "draft", "submitted", "screening", "in_review", "returned", PENDING)),
    "give_key": Command(
        "give the key that one's packages are encrypted to",
        _by("requester", "member"),
        _stays("draft", "submitted", "screening", "in_review", "returned", PENDING, "active", "renewal_due", "suspended"),
    ),
    "vote": Command(
        "vote yes or no; a vote may be changed until the decision",
        _by("voter"),
        _stays("in_review"),
        judges=True,
        when=("the dataset has a quorum", "the voter is of another institution than every member of the team: otherwise they abstain"),
    ),
    "return": Command("give it back with a question", _by("steward"), _to("returned", "in_review"), judges=True, when=("the question is said",)),
    "approve": Command(
        "grant it, in whole or in part",
        _by("steward"),
        {"in_review": (PENDING, "active")},
        judges=True,
        when=(
            "the rule, asked again, permits somebody",
            "where the dataset has a quorum: as many yes votes of different people, and more than no",
            "at the level restricted, without a quorum: a second person agreed",
            "active at once only at the level open, which asks for no signature",
        ),
    ),
    "reject": Command("refuse it", _by("steward"), _to("rejected", "in_review"), judges=True, when=("the reason is said",)),
    "sign": Command(
        "sign the agreement in its present version",
        _by("requester", "member"),
        _stays("active", "renewal_due", "suspended") | {PENDING: (PENDING, "active")},
        when=("a key was given", "active once each member of the team has signed"),
    ),
    "suspend": Command(
        "stop it for now; it bites on the next chunk",
        _by("steward", "system"),
        _to("suspended", "active", "renewal_due"),
        judges=True,
        when=("the reason is said",),
    ),
    "resume": Command("let it go on", _by("steward"), _to("active", "suspended"), judges=True),
    "revoke": Command(
        "end it for the whole team", _by("steward", "system"), _to("revoked", "active", "renewal_due", "suspended"), judges=True, when=("the reason is said",)
    ),
    "revoke_one": Command(
        "end it for one person; with the last, for all",
        _by("steward", "system"),
        {state: (state, "revoked") for state in ("active", "renewal_due", "suspended")},
        judges=True,
        when=("the reason is said",),
    ),
    "fall_due": Command("30 days before the end: ask for a renewal", _by("system"), _to("renewal_due", "active")),
    "report": Command("say what was done, and ask for more time", _by("requester"), _stays("renewal_due")),
    "renew": Command(
        "accept the report: a new end",
        _by("steward"),
        _to("active", "renewal_due"),
        judges=True,
        when=("there is a report", "the time of all is at most 60 months"),
    ),
    "expire": Command("at the end", _by("system"), _to("expired", "renewal_due", "suspended"), when=("the end has come",)),
    "close": Command("be done: what it entitles to ends now", _by("requester"), _to("closing", "active", "renewal_due", "suspended", "expired", "revoked")),
    "attest": Command("say that the team has deleted everything", _by("requester"), _to("closed", "closing"), when=("it is said in words",)),
}


def require(command: str, state: str, roles: Iterable[str]) -> None:
    """Whether somebody with these roles may give the command in this state. Raises Denied, Conflict."""
    rule, has = COMMANDS[command], frozenset(roles)
    if "nobody" in has:
        raise Denied("not_signed_in", "Nobody is signed in, or the account is disabled.")
    if not has & rule.roles:
        if rule.roles <= TEAM:
            raise Denied("not_your_request", "Only who made a request, or is of its team, may do this to it.")
        raise Denied("no_role", "The asker has no role here that allows this.")
    if rule.judges and has & TEAM:
        raise Denied("self_approval", "Nobody decides on their own request.")
    if state not in rule.moves:
        raise Conflict("request_state", f"This cannot be done to a request that is {state}.", "Look at its state.")


def after(command: str, state: str, target: str = "") -> str:
    """The state that follows: `target`, or where there is but one, that. Raises KeyError for a move that is not in the table."""
    follow = COMMANDS[command].moves[state]
    chosen = target or (follow[0] if len(follow) == 1 else "")
    if chosen not in follow:
        raise KeyError(f"{command}: {state} -> {chosen or '?'}")
    return chosen
