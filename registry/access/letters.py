"""Acts on mail that could not be delivered: a steward has it tried again, or puts it aside once the person was told another way."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction

from registry.access import queries
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.rules import Conflict, Denied
from registry.runs import mail
from registry.runs.models import Mail


def send_again(actor: User, letter: Mail) -> None:
    """Tries a mail that was given up anew. Raises Denied, Conflict."""
    _do(actor, letter, mail.again, "mail.again")


def put_aside(actor: User, letter: Mail) -> None:
    """Takes a mail that was given up off the list; the person was told another way, or is not to be reached. Raises Denied, Conflict."""
    _do(actor, letter, mail.forget, "mail.aside")


def _do(actor: User, letter: Mail, act: Callable[[Mail], bool], name: str) -> None:
    if not queries.dead_mails(actor).filter(pk=letter.pk).exists():
        raise Denied("no_role", "Stewards of a dataset of the recipient see to mail that could not be delivered.")
    with transaction.atomic():
        if not act(letter):
            raise Conflict("mail_not_dead", "This mail was not given up.", "Look again.")
        audit.write(actor, name, f"mail:{letter.pk}", letter=letter.subject)
