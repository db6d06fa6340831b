"""`manage.py accounts`: opens what the API needs to begin with: accounts, sites, datasets, roles, tokens. Each leaves its line in the audit log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.access import actions, inviting
from registry.accounts.models import Dataset, Kind, Site, User
from registry.rules import Refusal

ACTOR = "system:command"


class Command(BaseCommand):
    help = "Open accounts, sites and datasets, give roles, issue tokens. A password comes from standard input, never from the command line."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        user = verbs.add_parser("user", help="open an account")
        user.add_argument("email")
        user.add_argument("--institution", default="")
        user.add_argument("--country", default="")
        user.add_argument("--password-stdin", action="store_true", help="read a password from standard input; without, only tokens work")
        user.add_argument("--admin", action="store_true", help="may open datasets, sites and accounts")
        site = verbs.add_parser("site", help="open a site")
        site.add_argument("code")
        site.add_argument("name")
        site.add_argument("country")
        dataset = verbs.add_parser("dataset", help="open a dataset with its keys")
        dataset.add_argument("slug")
        dataset.add_argument("name")
        dataset.add_argument("--sites", default="", help="codes, separated by commas")
        dataset.add_argument("--agreement", type=Path, help="file with the text of the data use agreement")
        dataset.add_argument("--min-count", type=int, default=11)
        dataset.add_argument("--k", type=int, default=5, help="a release with a smaller class needs two people; 1: none does")
        dataset.add_argument("--description", default="", help="what it holds, for the catalogue")
        dataset.add_argument("--licence", default="", help="for the catalogue")
        role = verbs.add_parser("role", help="make a user something in a dataset")
        role.add_argument("email")
        role.add_argument("dataset")
        role.add_argument("kind", choices=Kind.values)
        role.add_argument("--site", default="")
        factor = verbs.add_parser("forget-factor", help="take the second factor of somebody who lost it away, and end their sessions")
        factor.add_argument("email")
        invite = verbs.add_parser("invite", help="invite somebody by mail to open their own account")
        invite.add_argument("email")
        invite.add_argument("country")
        invite.add_argument("--institution", default="")
        token = verbs.add_parser("token", help="issue a token, printed once")
        token.add_argument("email")
        token.add_argument("--name", default="command")
        token.add_argument("--scopes", default="read,write")
        token.add_argument("--days", type=int, default=90)

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"_{verb.replace('-', '_')}")(**options)
        except Refusal as refused:
            raise CommandError(f"{refused.reason} {refused.advice}") from None
        except (User.DoesNotExist, Site.DoesNotExist, Dataset.DoesNotExist) as missing:
            raise CommandError(str(missing)) from None

    def _user(self, email: str, institution: str, country: str, admin: bool, password_stdin: bool, **_: Any) -> None:
        fields = {"institution": institution, "country": country, "is_staff": admin, "is_superuser": admin}
        user = actions.open_account(ACTOR, email, sys.stdin.readline().rstrip("\n") if password_stdin else None, **fields)
        self.stdout.write(str(user.pk))

    def _site(self, code: str, name: str, country: str, **_: Any) -> None:
        self.stdout.write(str(actions.open_site(ACTOR, code, name, country).pk))

    def _dataset(self, slug: str, name: str, sites: str, agreement: Path | None, **options: Any) -> None:
        taking_part = [Site.objects.get(code=code) for code in sites.split(",") if code]
        text = agreement.read_text(encoding="utf-8") if agreement else ""
        fields = {field: options[field] for field in ("min_count", "k", "description", "licence")}
        self.stdout.write(str(actions.open_dataset(ACTOR, slug, name, taking_part, text, **fields).pk))

    def _role(self, email: str, dataset: str, kind: str, site: str, **_: Any) -> None:
        user, where = User.objects.get(email=email.lower()), Dataset.objects.get(slug=dataset)
        role = actions.give_role(ACTOR, user, where, kind, Site.objects.get(code=site) if site else None)
        self.stdout.write(str(role.pk))

    def _token(self, email: str, name: str, scopes: str, days: int, **_: Any) -> None:
        _token, text = actions.issue_token(User.objects.get(email=email.lower()), name, scopes.split(","), days, by_operator=True)
        self.stdout.write(text)

    def _forget_factor(self, email: str, **_: Any) -> None:
        actions.forget_factor(ACTOR, User.objects.get(email=email.lower()))

    def _invite(self, email: str, country: str, institution: str, **_: Any) -> None:
        self.stdout.write(str(inviting.invite(ACTOR, email, country, institution).pk))
