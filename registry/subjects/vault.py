"""The vault: who a participant is to their site, sealed so that forgetting is unlinking one small file.

    sealed = nonce (12 bytes) || ChaCha20-Poly1305(participant's key, nonce, JSON of [site, issuer, identifier], associated data = link)   (RFC 8439)
    person = HMAC-SHA-256(vault key, ["person", site, issuer, identifier], folded)

The key lies in a file of its own (`keys/participants/LINK`), the sealed bytes in the vault's own database. Without the file the bytes say nothing, in
the database, in its write-ahead log and in every backup of it; without the row the file opens nothing.
"""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from django.conf import settings
from django.db import connections, router
from django.utils import timezone

from deid.pseudonyms import fold, mac
from registry import keyfiles
from registry.rules import Conflict
from registry.subjects.models import Participant, SourceIdentifier

SHUT = 16_384  # bytes of what is sealed for the site: more than a reason of 2,000 letters and the names of a hundred datasets
MOST_UNKNOWN = 0.05  # the share of the vault that failed registrations may make up


def key_file(link: uuid.UUID) -> Path:
    return Path(settings.MYELIN_KEYS) / "participants" / link.hex


def person_hash(site: str, issuer: str, patient_id: str) -> str:
    """Equal for equal people, in whatever dataset; worth nothing without the vault key."""
    return mac(keyfiles.registry_key("vault"), "person", fold(site), fold(issuer), fold(patient_id)).hex()


def seal(link: uuid.UUID, site: str, issuer: str, patient_id: str) -> None:
    """Keeps the identifier: key file first, then the row (a key without a row opens nothing)."""
    seal_all([(link, site, issuer, patient_id)])


def seal_all(people: Iterable[tuple[uuid.UUID, str, str, str]]) -> None:
    """Keeps the identifiers (link, site, issuer, identifier) of many: all key files, then all rows in one statement for each thousand."""
    told = list(people)
    keyfiles.make_all(key_file(link) for link, *_ in told)
    rows = [SourceIdentifier(link=link, sealed=_sealed(link, *who), person=person_hash(*who)) for link, *who in told]
    SourceIdentifier.objects.bulk_create(rows, batch_size=1000, update_conflicts=True, unique_fields=["link"], update_fields=["sealed", "person"])


def _sealed(link: uuid.UUID, site: str, issuer: str, patient_id: str) -> bytes:
    cipher = ChaCha20Poly1305(keyfiles.read(key_file(link), "participant"))
    nonce = os.urandom(12)
    text = json.dumps([site, issuer, patient_id]).encode("utf-8")
    return nonce + cipher.encrypt(nonce, text, link.bytes)


def whole(link: uuid.UUID) -> bool:
    """Whether both key file and row are there."""
    return key_file(link).exists() and SourceIdentifier.objects.filter(link=link).exists()


def unseal(link: uuid.UUID) -> tuple[str, str, str]:
    """(site, issuer, identifier). Raises Conflict `forgotten` when key or row are gone or do not fit."""
    row = SourceIdentifier.objects.filter(link=link).first()
    try:
        if row is None:
            raise ValueError
        cipher = ChaCha20Poly1305(keyfiles.read(key_file(link), "participant"))
        raw = bytes(row.sealed)
        site, issuer, patient_id = json.loads(cipher.decrypt(raw[:12], raw[12:], link.bytes))
    except (keyfiles.KeyMissing, InvalidTag, ValueError):
        raise Conflict("forgotten", "Who this participant is was forgotten.") from None
    return site, issuer, patient_id


def same_person(link: uuid.UUID | None) -> list[uuid.UUID]:
    """The links of the person's other participations, in whatever dataset. Empty for who was forgotten."""
    row = SourceIdentifier.objects.filter(link=link).first() if link else None
    return [] if row is None else links_of(row.person, but=row.link)


def links_of(person: str, but: uuid.UUID | None = None) -> list[uuid.UUID]:
    """The links of one person, known by the keyed hash (`person_hash`)."""
    return sorted(SourceIdentifier.objects.filter(person=person).exclude(link=but).values_list("link", flat=True))


def mark_leaving(links: Iterable[uuid.UUID], leaving: bool = True) -> list[uuid.UUID]:
    """Notes that these participations are to end, before the first of them does: only the vault knows that they are one person's.

    Returns those that this very call changed: whoever takes marks back takes back their own only.
    """
    return [link for link in links if SourceIdentifier.objects.filter(link=link, leaving=not leaving).update(leaving=leaving)]


def leaving() -> list[uuid.UUID]:
    """The links of those who asked to leave and are still here."""
    return list(SourceIdentifier.objects.filter(leaving=True).values_list("link", flat=True))


def shut(told: dict[str, Any], about: uuid.UUID) -> str:
    """Something for the site alone, unreadable without the vault's key, and of one length whatever it says."""
    text = json.dumps(told).encode("utf-8")
    nonce = os.urandom(12)
    padded = text + b" " * (-len(text) % SHUT)
    return base64.b64encode(nonce + ChaCha20Poly1305(_site_key()).encrypt(nonce, padded, about.bytes)).decode("ascii")


def unshut(sealed: str, about: uuid.UUID) -> dict[str, Any]:
    """What `shut` sealed. Raises Conflict `forgotten` when the vault's key is another, or the text was changed."""
    raw = base64.b64decode(sealed)
    try:
        told: dict[str, Any] = json.loads(ChaCha20Poly1305(_site_key()).decrypt(raw[:12], raw[12:], about.bytes))
    except InvalidTag:
        raise Conflict("forgotten", "What was sealed here cannot be opened any more.") from None
    return told


def _site_key() -> bytes:
    return mac(keyfiles.registry_key("vault"), "certificate")


def erase(link: uuid.UUID) -> None:
    """Forgets: the key file goes first, then the row, then what the database kept beside it. Idempotent."""
    erase_all([link])


def erase_all(links: Iterable[uuid.UUID]) -> None:
    """Forgets many, as `erase`: all key files first."""
    gone = list(links)
    if not gone:
        return
    there = [path for path in map(key_file, gone) if path.exists()]
    for path in there:
        path.unlink()
    for folder in {path.parent for path in there}:
        keyfiles.sync_folder(folder)
    SourceIdentifier.objects.filter(link__in=gone).delete()
    scrub()


def scrub() -> None:
    """Makes the database let go of deleted rows: SQLite empties its write-ahead log (secure_delete overwrote the page), PostgreSQL vacuums.

    Inside a transaction (tests) it does nothing: it is called again by the tick.
    """
    connection = connections[router.db_for_write(SourceIdentifier)]
    if connection.in_atomic_block:
        return
    table = SourceIdentifier._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)" if connection.vendor == "sqlite" else f"VACUUM {table}")


def orphans(older_than_s: float = 3600.0) -> list[uuid.UUID]:
    """Links in the vault, older than that, which no participant knows: a registration that was rolled back after its vault row was written."""
    before = timezone.now() - timedelta(seconds=older_than_s)
    links = set(SourceIdentifier.objects.filter(created_at__lt=before).values_list("link", flat=True))
    return sorted(links - set(Participant.objects.filter(link__isnull=False).values_list("link", flat=True)))


def strange() -> bool:
    """Whether the registry knows so few of those in the vault that it is hardly the registry of this vault: another, an empty or an old database.

    One row that nobody knows is a registration that failed, and so is one in twenty; but never all there are.
    """
    unknown, rows = len(orphans(older_than_s=0)), SourceIdentifier.objects.count()
    return unknown > max(1, rows * MOST_UNKNOWN) or unknown == rows > 0


def unsealed() -> list[uuid.UUID]:
    """Links of active participants whose row or key file is missing."""
    rows = set(SourceIdentifier.objects.values_list("link", flat=True))
    links = Participant.objects.filter(state="active", link__isnull=False).values_list("link", flat=True)
    return sorted(link for link in links if link not in rows or not key_file(link).exists())
