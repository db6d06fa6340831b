"""`manage.py demo`: the whole story in one command, through the real API, worker and carrier. `make demo` calls it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console

from client.errors import ClientError
from pipeline.phantom import Story
from registry.management.demo import recipients, story, table
from registry.management.demo.ledger import Ledger
from registry.management.demo.serve import NotStarted, Servers
from registry.management.demo.stage import Stage


class Command(BaseCommand):
    help = "Tell the whole story on a fresh registry under var/demo, and check that every expected event happens."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--full", action="store_true", help="1 mm for every participant")
        parser.add_argument("--serve", action="store_true", help="leave the registry running afterwards, and print addresses and log-ins")
        parser.add_argument("--folder", type=Path, default=settings.MYELIN_HOME / "demo", help="where (default var/demo; removed first)")

    def handle(self, *args: Any, full: bool, serve: bool, folder: Path, **options: Any) -> None:
        console = Console(width=None if os.isatty(1) else 160)
        servers, ledger = Servers(folder.resolve()), Ledger()
        stage = Stage(servers, Story(folder, (), (), (), (), 0), ledger, console)
        failed = "stopped"
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the processes it started end with it
        try:
            try:
                failed = tell(stage, full=full)
            finally:
                table.show(ledger, console)
                if servers.folder.is_dir():
                    table.keep(ledger, servers.folder / "events.json")
            if failed:
                console.print(f"The story broke off: {failed}", style="red", highlight=False, markup=False)
            elif serve:
                keep_serving(stage)
        except KeyboardInterrupt:
            console.print("\nStopped.")
        finally:
            for line in stage.lines.values():
                line.close()
            servers.stop()
        if failed or not ledger.complete:
            raise SystemExit(1)


def tell(stage: Stage, *, full: bool) -> str:
    """All six acts. Returns why the story broke off, empty when it was told to the end."""
    ledger, servers, old = stage.ledger, stage.servers, None
    try:
        stage.say("[bold]1[/] Two hospitals scan four people who never existed.")
        with ledger.telling(1):
            servers.clear()
            story.make_scans(stage, full=full)
        stage.say("[bold]2[/] A registry is opened; the hospitals register, record consents, and hand in; the pipeline runs.")
        with ledger.telling(2):
            servers.manage("bootstrap")
            servers.start()
            story.open_registry(stage)
            story.hand_in(stage)
        stage.say("[bold]3[/] A steward looks, accepts, and freezes a release.")
        with ledger.telling(3):
            story.accept_and_freeze(stage)
        stage.say("[bold]4[/] A researcher asks, signs, downloads and opens.")
        with ledger.telling(4):
            old = recipients.ask_and_receive(stage)
        stage.say("[bold]5[/] A participant leaves.")
        with ledger.telling(5):
            recipients.leave(stage, old)
        stage.say("[bold]6[/] The log is verified, and every planted identifier is looked for.")
        with ledger.telling(6):
            recipients.prove(stage)
    except (ClientError, NotStarted) as error:
        return f"{error} (logs: {servers.folder}/logs)"
    finally:
        ledger.places["the registry's home"] = str(servers.home)
        ledger.places["logs"] = str(servers.folder / "logs")
    return ""


def keep_serving(stage: Stage) -> None:
    """Leave it running until Ctrl-C, with addresses and log-ins."""
    url = stage.servers.url
    stage.say(f"\nThe registry is running. API: {url}/api/v1/docs   sign-in and administration: {url}/admin/   stop with Ctrl-C.")
    for email, password in stage.passwords.items():
        stage.console.print(f"  {email:<34} {password}", highlight=False, markup=False)
    for process in stage.servers.running.values():
        process.wait()
