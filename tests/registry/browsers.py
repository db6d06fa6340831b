"""Browsers of people who have shown who they are: for tests that are about something else. Tests of signing in itself use the pages (`test_accounts_*`)."""

from __future__ import annotations

import base64
import hmac
import struct
import time
from typing import Any

from django.test import Client

from registry.accounts import factors, stepup
from registry.accounts.models import User


def shown(client: Client, user: User, stepped: bool = True) -> Client:
    """Signed in as after password, code and, where `stepped`, stepping up."""
    client.force_login(user)
    session = client.session
    session[factors.PASSED] = str(user.pk)
    if stepped:
        session[stepup.AT] = int(time.time())
    session.save()
    return client


def totp(secret: str, at: float | None = None) -> str:
    """The code that an authenticator shows (RFC 6238, written here once more: nothing of ours says what is right)."""
    counter = struct.pack(">Q", int(time.time() if at is None else at) // 30)
    digest = hmac.digest(base64.b32decode(secret.replace(" ", "")), counter, "sha1")
    offset = digest[-1] & 15
    number: Any = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"
