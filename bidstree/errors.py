"""A refusal is an answer: a stable code, one sentence that says why, one that says what to do. None ever holds a value taken from a file."""

from __future__ import annotations


class BidsError(Exception):
    """Something that this room will not do, and what a person can do about it.

    `code` is stable and snake_case (docs/reference/bids.md lists them all), `reason` and `advice` are sentences for people.
    """

    def __init__(self, code: str, reason: str, advice: str = "") -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.advice = advice

    def __reduce__(self) -> tuple[type[BidsError], tuple[str, str, str]]:
        """Survive the way through a process boundary with all three parts."""
        return type(self), (self.code, self.reason, self.advice)
