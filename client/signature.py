"""Is this manifest the registry's own? Ed25519 verification (RFC 8032 5.1.7) in plain integers.

Verification handles public values only, so plain integers leak nothing; it takes some milliseconds, once per package, and saves the desk a
compiled dependency. The equation checked is the strict one, S B = R + k A, with S below the group order and A and R decoded canonically.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
# A point (x, y) in extended coordinates (X, Y, Z, T) with x = X / Z, y = Y / Z, x y = T / Z.
Point = tuple[int, int, int, int]
NEUTRAL: Point = (0, 1, 1, 0)


def canonical(document: Any) -> bytes:
    """The one way to write a JSON document: keys sorted, no blanks, UTF-8."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signed(message: bytes, signature: str, key: str) -> bool:
    """Whether `signature` (base64, 64 bytes) over `message` was made by the owner of `key` (base64, 32 bytes)."""
    try:
        sig, public = b64decode(signature, validate=True), b64decode(key, validate=True)
    except (Base64Error, ValueError):
        return False
    if len(sig) != 64 or len(public) != 32:
        return False
    r, a, s = decode(sig[:32]), decode(public), int.from_bytes(sig[32:], "little")
    if r is None or a is None or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(sig[:32] + public + message).digest(), "little") % ORDER
    return same(times(s, BASE), add(r, times(k, a)))


def decode(data: bytes) -> Point | None:
    """32 bytes as a point of the curve (RFC 8032 5.1.3), None when they are not one."""
    value = int.from_bytes(data, "little")
    sign, y = value >> 255, value & ((1 << 255) - 1)
    if y >= P:
        return None
    x = recover(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def recover(y: int, sign: int) -> int | None:
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n: int, p: Point) -> Point:
    found = NEUTRAL
    while n:
        if n & 1:
            found = add(found, p)
        p, n = add(p, p), n >> 1
    return found


def same(p: Point, q: Point) -> bool:
    return (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0


def base() -> Point:
    """The generator: y = 4/5, x even."""
    y = 4 * pow(5, P - 2, P) % P
    x = recover(y, 0) or 0
    return x, y, 1, x * y % P


BASE = base()
