"""How a line is sealed: HMAC-SHA-256 (RFC 2104) over its fields and the seal before it, under a key that no database holds.

    mac(line)  = HMAC(key, ["line", seq, at, actor, act, object, dataset, detail, prev]),   prev = mac of the line before
    mac(head)  = HMAC(key, ["head", count, mac of the last line])

A bare hash chain misses a cut tail and any edit with recomputation; with the key only a cut tail remains, which the head and its anchor outside find
(anchors/security.md, finding 8: 13 kinds of tampering).
"""

from __future__ import annotations

import hmac
import json
from typing import Any

from registry import keyfiles

GENESIS = "0" * 64
ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)  # made once: a million lines are verified with it


class Sealer:
    """Seals under one key; made once per act or verification, so the key file is read once."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key if key is not None else keyfiles.registry_key("audit")

    def _mac(self, *parts: Any) -> str:
        return hmac.digest(self._key, ENCODER.encode(parts).encode("ascii"), "sha256").hex()

    def line(self, seq: int, at: str, actor: str, act: str, object: str, dataset: str, detail: Any, prev: str) -> str:
        return self._mac("line", seq, at, actor, act, object, dataset, detail, prev)

    def head(self, count: int, last: str) -> str:
        return self._mac("head", count, last)

    def anchor(self, count: int, last: str) -> str:
        return self._mac("anchor", count, last)
