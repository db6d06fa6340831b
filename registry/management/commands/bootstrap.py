"""`manage.py bootstrap`: from nothing to a registry that runs: zones, keys, tables of all databases, and the first administrator."""

from __future__ import annotations

import fcntl
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from registry.access import actions
from registry.accounts.models import User
from registry.keyfiles import private_folder


class Command(BaseCommand):
    help = "Make zones, keys and tables; with --admin, the first administrator and a token for them. Run it again whenever the code is new."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--admin", metavar="EMAIL", help="open an administrator's account and print a token for it, once")

    def handle(self, *args: Any, **options: Any) -> None:
        for path in (settings.MYELIN_HOME, settings.MYELIN_KEYS, settings.MYELIN_ANCHOR, *settings.MYELIN_ZONES.values()):
            private_folder(path)
        with (settings.MYELIN_HOME / "bootstrap.lock").open("w") as lock:
            # Web and worker may be started together, and both begin here: two migrations at once trip over each other.
            fcntl.flock(lock, fcntl.LOCK_EX)
            call_command("keys", stdout=self.stdout)
            for alias in settings.DATABASES:
                call_command("migrate", database=alias, interactive=False, verbosity=0)
                call_command("createcachetable", database=alias, verbosity=0)
        self.stdout.write(f"tables of {', '.join(settings.DATABASES)} are up to date")
        if options["admin"]:
            self._admin(options["admin"])

    def _admin(self, email: str) -> None:
        user = User.objects.filter(email=email.lower()).first()
        if user is None:
            user = actions.open_account("system:bootstrap", email, is_staff=True, is_superuser=True)
        _, text = actions.issue_token(user, "bootstrap", ["read", "write", "admin"], days=7, by_operator=True)
        self.stdout.write(f"administrator {user.email}; token for seven days (shown this once): {text}")
        self.stdout.write(f"a password: manage.py changepassword {user.email}")
