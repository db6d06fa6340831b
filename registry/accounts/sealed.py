"""What the accounts keep secret, under a key that lies outside the database (`keys/accounts`): sealed texts, marks of codes, and links in mails.

Who reads the database alone can make no code of a second factor, and follow no link of a mail.
"""

from __future__ import annotations

import base64
import hmac
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from registry import keyfiles
from registry.rules import Conflict

NONCE = 12


def _key(use: str) -> bytes:
    """One key for each use, made from the one in the file."""
    return hmac.digest(keyfiles.registry_key("accounts"), f"registry.accounts/{use}".encode(), "sha256")


def seal(text: str, whose: Any = "") -> str:
    """The text, sealed; it opens for the same `whose` alone, so that a row moved to another account opens nothing."""
    nonce = os.urandom(NONCE)
    return base64.urlsafe_b64encode(nonce + AESGCM(_key("seal")).encrypt(nonce, text.encode(), str(whose).encode())).decode()


def unseal(text: str, whose: Any = "") -> str:
    """What was sealed. Raises Conflict where the key is another, or the text is not what was sealed."""
    try:
        data = base64.urlsafe_b64decode(text)
        return AESGCM(_key("seal")).decrypt(data[:NONCE], data[NONCE:], str(whose).encode()).decode()
    except (InvalidTag, ValueError):
        raise Conflict("second_factor_unreadable", "The second factor of this account cannot be read.", "Ask those who run this registry.") from None


def mark(kind: str, *parts: Any) -> str:
    """What is kept of a code that is shown once: it can be compared, and not turned back."""
    return hmac.digest(_key(kind), "\0".join(map(str, parts)).encode(), "sha256").hex()


def link(kind: str, pk: Any) -> str:
    """The secret part of a link in a mail. It is worked out when the mail is sent, so that it lies nowhere."""
    return base64.urlsafe_b64encode(hmac.digest(_key("link"), f"{kind}:{pk}".encode(), "sha256")).decode().rstrip("=")
