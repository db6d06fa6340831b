"""Keyed, stable replacements for who a person is: same person, same code, and no table is kept.

    fold(s)   = casefold(NFKC(s)) with outer blanks trimmed and inner blanks collapsed
    code      = base32( m || c ),  m = HMAC-SHA-256(code key, ["code", fold(site), fold(issuer), fold(patient id)])[:12]
                                   (other people, other first words: "declared", "study", "apart")
                                   c = HMAC-SHA-256(check key, m)[:4]
    check key = HKDF-SHA-256(code key, info="myelin check v1")

128 bits, of which the last 32 are a keyed check: whoever has the key can tell that a string is one of its own codes (`CodeKey.recognises`), which is how
our own output is known again; one chance in 2**32 that a stranger's string is taken for a code. RFC 2104 (HMAC), RFC 5869 (HKDF), RFC 4648 (base32).

Two keys, so that the registry's web process can compute codes but never undo dates or link UIDs: the **code key** says who, the **pseudonym key** moves UIDs,
dates and times. Standalone, one file yields both by HKDF with different labels; in the registry each is its own file.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import unicodedata
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from deid.errors import KeyFileError

MIN_SECRET = 32  # bytes; 256 bits, as anchors/security.md T3 asks
MAX_OFFSET_DAYS = 3650
DAY_MS = 86_400_000

# Values that sites put where an identifier should stand. Compared folded, with everything but letters and digits taken out.
PLACEHOLDERS = frozenset(
    [
        "anon",
        "anonym",
        "anonymous",
        "anonymized",
        "anonymised",
        "anonymousid",
        "deidentified",
        "deid",
        "removed",
        "unknown",
        "none",
        "null",
        "nil",
        "na",
        "notavailable",
        "notapplicable",
        "noid",
        "nopatientid",
        "patientid",
        "patient",
        "test",
        "testpatient",
        "phantom",
        "qa",
        "default",
        "id",
        "pid",
        "mrn",
        "empty",
        "blank",
        "masked",
        "hidden",
        "redacted",
        "xxx",
        "x",
        "dummy",
        "temp",
        "tbd",
        "noname",
        "unspecified",
        "withheld",
    ]
)
CODE = re.compile(r"[a-z2-7]{26}\Z")


@lru_cache(maxsize=8192)  # the files of a series say the same of whom they are
def fold(text: str | None) -> str:
    """One spelling for equal identifiers: NFKC, trimmed (blanks, NULs), inner blanks collapsed, casefolded."""
    # NFKC again after casefold: casefolding can leave the normal form (Unicode, section 3.13, D146).
    plain = unicodedata.normalize("NFKC", (text or "").replace("\0", " "))
    return unicodedata.normalize("NFKC", " ".join(plain.split()).casefold())


@lru_cache(maxsize=8192)
def is_placeholder(patient_id: str | None) -> bool:
    """True for an empty, masked or stand-in PatientID (`***`, `anonymous`, `0000`): it names nobody, so nobody may be made of it."""
    letters = "".join(c for c in fold(patient_id) if c.isalnum())
    # ***, xxxx, 0000 hold nothing after the filter or one character only; 7 and 11 are numbers a small study gives.
    repeated = len(set(letters)) <= 1 and (letters[:1] in ("", "0", "x") or len(letters) > 3)
    return letters in PLACEHOLDERS or repeated or letters.startswith("anonym")


def mac(secret: bytes, *parts: str) -> bytes:
    """HMAC-SHA-256 (32 bytes) over a list of strings, JSON-encoded so that no two lists share an encoding."""
    return hmac.digest(secret, json.dumps(parts, ensure_ascii=True, separators=(",", ":")).encode("ascii"), "sha256")


def derive(secret: bytes, label: str) -> bytes:
    """A 32-byte key for one purpose from a longer-lived secret (HKDF-SHA-256, RFC 5869, no salt)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=label.encode("ascii")).derive(secret)


def _need(secret: bytes) -> bytes:
    if len(secret) < MIN_SECRET:
        raise KeyFileError("bad_key")
    return secret


class CodeKey:
    """Says who a person is. `secret`: at least 32 bytes. Equal triples give equal codes; the code of a code is itself."""

    def __init__(self, secret: bytes) -> None:
        self._secret = _need(secret)
        self._check = derive(secret, "myelin check v1")
        self.code = lru_cache(maxsize=4096)(self._code)

    def _code(self, site: str, issuer: str | None, patient_id: str) -> str:
        """26 characters of a-z2-7 for (site, IssuerOfPatientID, PatientID). A PatientID that already is a code of this key is returned unchanged."""
        if self.recognises(patient_id):
            return fold(patient_id)
        return self._made("code", fold(site), fold(issuer), fold(patient_id))

    def declared(self, site: str, person: str) -> str:
        """The code of a person whom the contributor declared by a name of their own; never that of an identifier of the same spelling."""
        return self._made("declared", fold(site), fold(person))

    def of_study(self, site: str, study_uid: str) -> str:
        """The code of whoever is in a study that names nobody."""
        return self._made("study", fold(site), study_uid.strip(" \0"))

    def apart(self, code: str, *facts: str) -> str:
        """The code of one of several people under one identifier. code: the identifier's; facts: what sets this one apart (birth date, sex, name)."""
        return self._made("apart", code, *facts)

    def _made(self, kind: str, *parts: str) -> str:
        head = mac(self._secret, kind, *parts)[:12]
        return _b32(head + self._tail(head))

    def _tail(self, head: bytes) -> bytes:
        return hmac.digest(self._check, head, "sha256")[:4]

    def recognises(self, text: str | None) -> bool:
        """Whether this key made the code (32-bit keyed check)."""
        folded = fold(text)
        if not CODE.match(folded):
            return False
        raw = base64.b32decode(folded.upper() + "======")
        return hmac.compare_digest(self._tail(raw[:12]), raw[12:])

    def day_code(self, code: str, date: datetime.date) -> str:
        """26 characters for (participant, day): lets two parties with the key match a day without keeping the date."""
        return _b32(mac(self._secret, "day", fold(code), date.isoformat())[:16])


class PseudonymKey:
    """Moves UIDs, dates and times. `secret`: at least 32 bytes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = _need(secret)
        self._check = derive(secret, "myelin check v1")
        self._seal = derive(secret, "myelin seal v1")
        self.uid = lru_cache(maxsize=65536)(self._uid)
        self.study_code = lru_cache(maxsize=4096)(self._study_code)

    def _uid(self, uid: str) -> str:
        """A `2.25.` UID (PS3.5 B.2) for any UID but a well-known one; one that this key already made is returned unchanged."""
        from deid.uids import is_well_known

        plain = uid.strip(" \0")
        if not plain or is_well_known(plain) or self.recognises(plain):
            return plain
        head = bytearray(mac(self._secret, "uid", plain)[:12])
        head[6] = head[6] & 0x0F | 0x80  # RFC 9562: version 8 and variant 10, so that the integer is that of a valid UUID
        head[8] = head[8] & 0x3F | 0x80
        return f"2.25.{int.from_bytes(bytes(head) + self._tail(bytes(head)), 'big')}"

    def _tail(self, head: bytes) -> bytes:
        return hmac.digest(self._check, head, "sha256")[:4]

    def recognises(self, uid: str) -> bool:
        """Whether this key made the UID (32-bit keyed check)."""
        if not uid.startswith("2.25.") or not uid[5:].isdecimal() or len(uid) > 44:
            return False
        number = int(uid[5:])
        if number >> 128:
            return False
        raw = number.to_bytes(16, "big")
        return hmac.compare_digest(self._tail(raw[:12]), raw[12:])

    def offset_days(self, code: str) -> int:
        """How many whole days (1 to 3,650) every date of this participant is moved back."""
        return int.from_bytes(mac(self._secret, "days", fold(code))[:8], "big") % MAX_OFFSET_DAYS + 1

    def _study_code(self, study_uid: str) -> str:
        """26 characters that stand for a study where its UID may not be named."""
        return _b32(mac(self._secret, "study", study_uid.strip(" \0"))[:16])

    def shift_ms(self, study_uid: str) -> int:
        """Milliseconds (0 to 24 h) to add to the times of a study of which no start is known; `dates.clock_shift` is used where one is."""
        return int.from_bytes(mac(self._secret, "clock", study_uid.strip(" \0"))[:8], "big") % DAY_MS

    def protocol_key(self) -> bytes:
        """32 bytes for hashes that know a scanner's protocol again (`bidstree.corrections`), so that nobody without the key can try words against them."""
        return derive(self._secret, "myelin protocol v1")

    def seal(self, digest: bytes) -> str:
        """43 characters over a content digest: whoever has the key can tell that a file is ours and was not changed."""
        return base64.urlsafe_b64encode(hmac.digest(self._seal, digest, "sha256")).decode("ascii").rstrip("=")


def _b32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def new_key(path: Path | str) -> None:
    """Write a fresh 256-bit secret (64 hexadecimal characters and a newline) to a new file that its owner alone may read; an existing file is never
    overwritten."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as out:
        out.write(secrets.token_hex(32) + "\n")
        out.flush()
        os.fsync(out.fileno())


def _read(path: Path | str) -> bytes:
    """The secret in a key file: 64 or more hexadecimal characters, or at least 32 raw bytes. Refused when others may read or write the file."""
    try:
        info = Path(path).stat()
        raw = Path(path).read_bytes()
    except OSError:
        raise KeyFileError("bad_key") from None
    if not stat.S_ISREG(info.st_mode) or info.st_mode & 0o007:
        raise KeyFileError("bad_key")
    text = raw.strip()
    if len(text) >= 64 and len(text) % 2 == 0 and re.fullmatch(rb"[0-9a-fA-F]+", text):
        return bytes.fromhex(text.decode("ascii"))
    return _need(raw)


def load_code_key(path: Path | str) -> CodeKey:
    """The code key of a dataset from its own file."""
    return CodeKey(_read(path))


def load_pseudonym_key(path: Path | str) -> PseudonymKey:
    """The pseudonym key of a dataset from its own file."""
    return PseudonymKey(_read(path))


def keys_from_file(path: Path | str) -> tuple[CodeKey, PseudonymKey]:
    """Both keys from one file, for use without a registry: HKDF with one label each."""
    secret = _need(_read(path))
    return CodeKey(derive(secret, "myelin code key v1")), PseudonymKey(derive(secret, "myelin pseudonym key v1"))


def fingerprint(path: Path | str) -> str:
    """12 hexadecimal characters that tell two key files apart and reveal neither."""
    return hashlib.sha256(b"myelin fingerprint" + derive(_read(path), "myelin fingerprint v1")).hexdigest()[:12]
