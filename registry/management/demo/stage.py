"""What every act needs: the cast's lines to the registry, the ledger, and a bar for whatever takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from client.api import Registry, wait_for
from client.records import Participant, Upload, Visit
from client.upload import Entry
from pipeline.phantom import Story
from registry.management.demo.ledger import Ledger
from registry.management.demo.serve import Servers

T = TypeVar("T")
DATASET = "sheath"
ADMIN, STEWARD, RESEARCHER = "admin@myelin.example", "steward@myelin.example", "researcher@pharma.example"
Tick = Callable[[str, int, int], None]


@dataclass
class HandIn:
    """One site's upload: its entries as sent, the upload, and everybody registered there by the key of the cast."""

    site: str
    entries: list[Entry]
    upload: Upload


@dataclass
class Stage:
    """Everything the acts share. `lines`: who -> their registry; `passwords`: e-mail -> password, printed when the demo keeps serving."""

    servers: Servers
    story: Story
    ledger: Ledger
    console: Console
    lines: dict[str, Registry] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    registered: dict[str, Participant] = field(default_factory=dict)
    visits: dict[tuple[str, str], Visit] = field(default_factory=dict)
    uploads: list[HandIn] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.servers.folder

    def contributor(self, site: str) -> Registry:
        return self.lines[f"contributor@{site}.example"]

    @property
    def steward(self) -> Registry:
        return self.lines[STEWARD]

    @property
    def researcher(self) -> Registry:
        return self.lines[RESEARCHER]

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    @contextmanager
    def bar(self) -> Iterator[Tick]:
        """A progress bar for the time of a `with`; its value is called as (what, done, total). Where nobody watches, each whole tenth is a line."""
        tasks: dict[str, int] = {}
        told: dict[str, int] = {}
        columns = (TextColumn("     {task.description:<34}"), BarColumn(30), TextColumn("{task.completed:.0f} of {task.total:.0f}"), TimeElapsedColumn())
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as shown:

            def tick(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = int(shown.add_task(what, total=total))
                shown.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]
                tenth = 10 * done // max(total, 1)
                if not self.console.is_terminal and told.get(what) != tenth:
                    told[what] = tenth
                    self.say(f"     {what}: {done} of {total}")

            yield tick

    def wait(self, what: str, look: Callable[[], T], done: Callable[[T], bool], progress: Callable[[T], tuple[int, int]], limit_s: float = 1800) -> T:
        """Wait under a bar. Raises client.errors.Unreachable (still_running) after `limit_s`."""
        with self.bar() as tick:
            return wait_for(look, done, limit_s=limit_s, seen=lambda found: tick(what, *progress(found)))
