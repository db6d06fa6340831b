"""An authenticator (RFC 6238), for browsers that sign in as a person does. It needs nothing of ours."""

from __future__ import annotations

import base64
import hmac
import struct
import time
from typing import Any


def totp(secret: str, at: float | None = None) -> str:
    """The code that an authenticator shows (RFC 6238, written here once more: nothing of ours says what is right)."""
    counter = struct.pack(">Q", int(time.time() if at is None else at) // 30)
    digest = hmac.digest(base64.b32decode(secret.replace(" ", "")), counter, "sha1")
    offset = digest[-1] & 15
    number: Any = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"
