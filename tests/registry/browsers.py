"""Browsers of people who have shown who they are: for tests that are about something else. Tests of signing in itself use the pages (`test_accounts_*`)."""

from __future__ import annotations

import time

from django.test import Client

from registry.accounts import factors, stepup
from registry.accounts.models import User
from tests.registry.authenticator import totp

__all__ = ["shown", "totp"]


def shown(client: Client, user: User, stepped: bool = True) -> Client:
    """Signed in as after password, code and, where `stepped`, stepping up."""
    client.force_login(user)
    session = client.session
    session[factors.PASSED] = str(user.pk)
    if stepped:
        session[stepup.AT] = int(time.time())
    session.save()
    return client
