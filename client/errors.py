"""What can go wrong between a desk and a registry, as a tree with one root; each says what to do, none holds an identifying value.

ClientError -> Refused (the registry answered no), Unreachable (it did not answer), Broken (bytes are not what was promised), Usage (asked wrongly).
"""

from __future__ import annotations


class ClientError(Exception):
    """The root: `code` is stable (snake_case), `reason` a sentence, `advice` what to do."""

    def __init__(self, code: str, reason: str, advice: str = "") -> None:
        super().__init__(f"{code}: {reason}" + (f" {advice}" if advice else ""))
        self.code = code
        self.reason = reason
        self.advice = advice


class Refused(ClientError):
    """The registry said no: `status` is HTTP's, `errors` names fields where the registry named them."""

    def __init__(self, code: str, reason: str, advice: str = "", status: int = 0, errors: tuple[dict[str, str], ...] = ()) -> None:
        named = "; ".join(f"{e.get('field', '')}: {e.get('reason', '')}" for e in errors)
        super().__init__(code, f"{reason} ({named})" if named else reason, advice)
        self.reason = reason
        self.status = status
        self.errors = errors


class Unreachable(ClientError):
    """No answer, or a broken one, after every attempt. Nothing is known about the last attempt; what was sent before is kept by the registry."""


class Broken(ClientError):
    """What arrived is not what was promised: hash, signature, archive or key do not agree. What was written is not to be used."""


class Usage(ClientError):
    """Asked wrongly on this side: nothing was sent."""
