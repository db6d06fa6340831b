"""What the law answers with: permit, ask a human, or deny, each with its sentences; and the refusals that acts raise. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Refusal(Exception):
    """What a person asked for is not done. `code` is stable (snake_case), `reason` a sentence, `advice` what to do."""

    def __init__(self, code: str, reason: str, advice: str = "") -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.advice = advice


class Denied(Refusal):
    """The asker may not (HTTP 403)."""


class Invalid(Refusal):
    """What was sent does not make sense, or not now (HTTP 4xx by code). `errors` may name fields: `{"field": …, "reason": …}`."""

    def __init__(self, code: str, reason: str, advice: str = "", errors: Iterable[Mapping[str, str]] = ()) -> None:
        super().__init__(code, reason, advice)
        self.errors = [dict(error) for error in errors]


class Conflict(Invalid):
    """It cannot be done in this state, or somebody else was faster (HTTP 409)."""


class Verdict(StrEnum):
    """The three answers. ASK: the rule cannot tell, a human must."""

    PERMIT = "permit"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True)
class Reason:
    """One rule that spoke: its code, what it says, and the sentence a person reads."""

    code: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Answer:
    """The verdict with every reason for it, and what the recipient takes upon them (DUO shorthands with a sentence)."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    obligations: tuple[str, ...] = ()

    @property
    def permitted(self) -> bool:
        return self.verdict is Verdict.PERMIT

    def require(self) -> None:
        """Raises Denied with the first reason that forbids, unless the answer permits."""
        if not self.permitted:
            reason = next(reason for reason in self.reasons if reason.verdict is self.verdict)
            raise Denied(reason.code, reason.sentence)


def weigh(reasons: Iterable[Reason], obligations: Iterable[str] = ()) -> Answer:
    """Deny beats ask beats permit. No reason at all is a denial: silence permits nothing."""
    known = tuple(reasons)
    for verdict in (Verdict.DENY, Verdict.ASK, Verdict.PERMIT):
        if any(reason.verdict is verdict for reason in known):
            return Answer(verdict, known, tuple(obligations) if verdict is not Verdict.DENY else ())
    return Answer(Verdict.DENY, (Reason("nothing_permits", Verdict.DENY, "No rule permits this."),))


def permit(code: str, sentence: str) -> Reason:
    return Reason(code, Verdict.PERMIT, sentence)


def deny(code: str, sentence: str) -> Reason:
    return Reason(code, Verdict.DENY, sentence)


def ask(code: str, sentence: str) -> Reason:
    return Reason(code, Verdict.ASK, sentence)
