"""What was expected, and what happened: the demo succeeds only if every expected event did."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """One expected event: in which act, what was expected, whether it happened, and the reason or figure that shows it."""

    act: int
    expected: str
    happened: bool
    shown: str


@dataclass
class Ledger:
    """All events in order, seconds per act, and where files lie."""

    events: list[Event] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    act: int = 0

    def note(self, expected: str, happened: bool, shown: object = "") -> None:
        self.events.append(Event(self.act, expected, bool(happened), str(shown)))

    @contextmanager
    def telling(self, act: int) -> Iterator[None]:
        """The time and number of one act."""
        self.act, begun = act, time.monotonic()
        try:
            yield
        finally:
            self.seconds[act] = time.monotonic() - begun

    @property
    def complete(self) -> bool:
        return bool(self.events) and all(event.happened for event in self.events)
