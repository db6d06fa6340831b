"""The last page: what was expected and what happened, where the files lie, how long it took."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from registry.management.demo.ledger import Ledger

ACTS = {1: "The scans", 2: "Handing in", 3: "Accepting, releasing", 4: "Asking, receiving", 5: "Leaving", 6: "Proof"}


def keep(ledger: Ledger, path: Path) -> None:
    """The same as JSON, for whoever measures: `{"events": [{act, expected, happened, shown}], "seconds": {act: s}}`."""
    told = {"events": [asdict(event) for event in ledger.events], "seconds": ledger.seconds}
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


def show(ledger: Ledger, console: Console) -> None:
    """Print the table of events, the places, and the time of each act."""
    table = Table(title="What happened", title_justify="left", show_lines=False)
    for name, width in (("act", None), ("expected", None), ("", 2), ("shown by", None)):
        table.add_column(name, max_width=width, overflow="fold")
    act = 0
    for event in ledger.events:
        title = f"{event.act} {ACTS[event.act]}" if event.act != act else ""
        act = event.act
        table.add_row(title, event.expected, "[green]✓[/]" if event.happened else "[red]✗[/]", event.shown.replace("[", "\\["))
    console.print(table)
    missed = sum(1 for event in ledger.events if not event.happened)
    console.print(f"{len(ledger.events) - missed} of {len(ledger.events)} expected events happened.", style="green" if not missed else "red")
    for name, place in ledger.places.items():
        console.print(f"  {name}: {place}", highlight=False, soft_wrap=True)
    total = sum(ledger.seconds.values())
    console.print("  time: " + ", ".join(f"act {n} {s:.0f} s" for n, s in ledger.seconds.items()) + f", together {total:.0f} s", highlight=False)
