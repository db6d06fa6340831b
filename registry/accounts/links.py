"""The secret ends of links in mails: of an invitation, and of a new password. Worked out when the mail is sent, and again by nobody."""

from __future__ import annotations

from django.contrib.auth.tokens import default_token_generator

from registry.accounts import sealed
from registry.accounts.models import User


def secret(kind: str, pk: str) -> str:
    """The end of the link; a word that fits nothing where the account is gone or disabled."""
    if kind == "invitation":
        return sealed.link("invitation", pk)
    user = User.objects.filter(pk=pk, is_active=True).first()
    return f"{user.pk.hex}-{default_token_generator.make_token(user)}" if user else "over"


def owner_of_reset(text: str) -> User | None:
    """Whose password this link sets: of an active account that has one, unused, not older than `PASSWORD_RESET_TIMEOUT`."""
    pk, _, token = text.partition("-")
    if len(pk) != 32 or not all(sign in "0123456789abcdef" for sign in pk):
        return None
    user = User.objects.filter(pk=pk, is_active=True).first()
    if user is None or not user.has_usable_password() or not default_token_generator.check_token(user, token):
        return None
    return user
