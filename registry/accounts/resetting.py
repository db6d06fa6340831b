"""Another password by a link in a mail. Whoever asks gets the same answer, whether there is such an account or not; the second factor stays."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest

from registry.accounts import devices, limits, links, throttles
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.rules import Conflict, Invalid
from registry.runs import mail

LETTERS_A_DAY = 5


def ask(request: HttpRequest, email: str) -> None:
    """Sends the link where the address has an account with a password; says nothing of whether it has. Raises TooManyTries by address of the network."""
    throttles.allowed(limits.hit("letters", f"reset|{throttles.address_of(request)}", *settings.MYELIN_LIMITS["letters"]))
    account = email.strip().lower()
    user = User.objects.filter(email__iexact=account, is_active=True).first()
    device = devices.of(request, account)  # of the owner, whose letters no stranger uses up
    who = f"reset-device|{device}" if device else f"reset-account|{account}"
    within = limits.hit("letters", who, LETTERS_A_DAY, 86_400).allowed  # counted whether there is such an account or not
    if user is not None and not (user.has_usable_password() and within):
        user = None
    with transaction.atomic():
        if user is not None:
            mail.queue(user, "password_reset", mail.secret_path("/account/reset/", "reset", user.pk))
        # A line either way: what takes time is the line, and its time must tell nothing.
        audit.write("nobody", "account.reset_asked", user or "user:none")


def owner(secret: str) -> User:
    """Whose link this is. Raises Conflict."""
    user = links.owner_of_reset(secret)
    if user is None:
        raise Conflict("link_over", "This link was used already, or has ended: it lasts two hours.", "Ask for another link.")
    return user


def reset(secret: str, password: str) -> User:
    """Sets another password, which ends every session of the account. Raises Conflict (link over), Invalid (weak password)."""
    with transaction.atomic():
        user = User.objects.select_for_update().get(pk=owner(secret).pk)
        if links.owner_of_reset(secret) is None:
            raise Conflict("link_over", "This link was used already.", "Ask for another link.")
        try:
            validate_password(password, user)
        except ValidationError as wrong:
            raise Invalid("weak_password", "The password is too easy to guess.", " ".join(wrong.messages)) from None
        user.set_password(password)
        user.save(update_fields=["password"])
        mail.queue(user, "sign_in_changed", "/account")
        audit.write(user, "account.password_reset", user)
    return user
