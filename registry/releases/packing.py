"""What is put into one recipient's package, and what may be taken out of it.

A package holds exactly those people of a release whom the entitlement covers at this moment; it is one tar, streamed through age for one key into the
outbox. Beside the BIDS tree lie the terms, a data use notice, and a manifest signed by the registry that names every file with its SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from registry.access import policy
from registry.access.models import Entitlement, Member
from registry.accounts import queries as accounts
from registry.releases import freezing, sealing
from registry.releases.models import Package, PackageParticipant, Release, ReleaseFile
from registry.releases.sealing import Part
from registry.rules import Denied

CHUNK = 256 * 1024
REFUSED = frozenset({Release.State.INVALID, Release.State.FAILED})
# What `gone` looks at, so that the question of every chunk reads neither manifests nor abstracts.
ASKED_OF = ("release", "entitlement", "entitlement__user", "entitlement__request", "entitlement__request__dataset", "entitlement__request__view")
LOOKED_AT = (
    "release__state",
    *(f"entitlement__{name}" for name in ("starts", "ends", "resign_by", "revoked_at", "user__is_active")),
    *(f"entitlement__request__{name}" for name in ("state", "decided_level", "view__level", "dataset__purpose_level")),
)
NOTICE = """DATA USE NOTICE

This package was made for {recipient} alone, under the request "{request}". It holds images and clinical data of people who consented to certain uses.

- Use it only for the purpose of that request, until {ends}.
- Do not pass it on, and do not put it where others can read it. The file .gitignore in this folder keeps it out of repositories.
- Do not try to find out who took part, nor join these data with others in a way that could tell.
- When the registry tells you that somebody has left, delete their files from every copy, and say so in the registry.
- When the time is over, delete everything.
{obligations}
Every file is named with its SHA-256 in MANIFEST.json, which the registry signed (MANIFEST.sig, Ed25519).
"""


def place(package: UUID) -> Path:
    """Where the ciphertext of a package lies."""
    return Path(settings.MYELIN_ZONES["outbox"]) / f"{package.hex}.age"


def key_file() -> Path:
    """The registry's signing key."""
    return Path(settings.MYELIN_KEYS) / "signing"


def pack(package: Package, beat: Any) -> dict[str, Any]:
    """Build the ciphertext; return what `record_package` writes down. Raises Denied when nobody is covered any more, sealing.Mismatch."""
    entitlement = package.entitlement
    covered = policy.covered(entitlement)
    people = list(package.release.people.filter(tombstone=False, participant__in=covered).select_related("participant"))
    if not people:
        raise Denied("nobody_allowed", "This entitlement covers nobody in this release.")
    root = f"{package.release.dataset.slug}-{package.release.version}"
    kinds = policy.kinds(entitlement.request)
    parts = [entry.part(root) for entry in freezing.entries(package.release, [row.participant_id for row in people], kinds)]
    terms, owed = _terms(entitlement), policy.obligations(entitlement, [row.participant_id for row in people])
    parts += _notices(root, package, terms, owed)
    manifest = _manifest(package, parts, terms, owed)
    signature = sealing.sign(manifest, key_file())
    parts += [Part(f"{root}/MANIFEST.json", data=sealing.canonical(manifest) + b"\n"), Part(f"{root}/MANIFEST.sig", data=signature.encode() + b"\n")]
    sha256, size = sealing.seal(parts, package.recipient_key, place(package.pk), beat)
    told = [{"participant": str(row.participant_id), "label": row.label, "epoch": row.participant.epoch} for row in people]
    return {"sha256": sha256, "bytes": size, "manifest": manifest, "signature": signature, "people": told}


def _terms(entitlement: Entitlement) -> bytes:
    """The terms the recipient signed: the agreement's text, and the dataset's own."""
    agreement = accounts.current_agreement(entitlement.dataset)
    return "\n\n".join(text for text in (agreement.text if agreement else "", entitlement.dataset.terms) if text).encode() + b"\n"


def _notices(root: str, package: Package, terms: bytes, owed: list[str]) -> list[Part]:
    entitlement = package.entitlement
    told = {"recipient": entitlement.user.email, "request": entitlement.request.title, "ends": entitlement.ends.date().isoformat()}
    notice = NOTICE.format(**told, obligations="".join(f"- {sentence}\n" for sentence in owed))
    texts = {"DATA_USE_NOTICE.txt": notice.encode(), "TERMS.txt": terms, ".gitignore": b"*\n"}
    # The papers are not BIDS: the validator is told to pass them over.
    texts[".bidsignore"] = b"DATA_USE_NOTICE.txt\nTERMS.txt\nMANIFEST.json\nMANIFEST.sig\n"
    return [Part(f"{root}/{name}", data=text) for name, text in texts.items()]


def _manifest(package: Package, parts: list[Part], terms: bytes, owed: list[str]) -> dict[str, Any]:
    return {
        "package": str(package.pk),
        "recipient": package.entitlement.user.email,
        "recipient_key": package.recipient_key,
        "dataset": package.release.dataset.slug,
        "release": str(package.release_id),
        "release_sha256": package.release.sha256,
        "version": package.release.version,
        "issued_at": package.created_at.isoformat(),
        "ends": package.entitlement.ends.isoformat(),
        "terms_sha256": hashlib.sha256(terms).hexdigest(),
        "obligations": owed,
        "files": [{"path": part.path, "sha256": part.digest, "bytes": part.bytes} for part in sorted(parts, key=lambda part: part.path)],
    }


def gone(package_id: UUID) -> tuple[str, str] | None:
    """Why a package may not be read at this moment, as (code, reason), or None when it may. One query; asked again for every chunk.

    The package lives, its release was not refused, its entitlement gives something (its time, its request's state, its agreement, its level), its user is
    active, and nobody in it has another epoch than when it was packed, nor a consent that has come to its end since, and nobody of the team is in another
    country than the request says.
    Where something changed, the policy is asked in full (`in_full`): the change may still cover this use.
    """
    now = timezone.now()
    inside = PackageParticipant.objects.filter(package=OuterRef("pk"))
    changed = Exists(inside.filter(~Q(participant__epoch=F("epoch")) | Q(consent_ends__lte=now)))
    team = Member.objects.filter(request=OuterRef("entitlement__request"), dropped_at=None)
    elsewhere = Exists(team.exclude(user__country=F("country"))) | ~Q(entitlement__request__requester__country=F("entitlement__request__country"))
    asked = (
        Package.objects.annotate(changed=changed | elsewhere).select_related(*ASKED_OF).only("state", "code", *(f"{one}__id" for one in ASKED_OF), *LOOKED_AT)
    )
    package = asked.filter(pk=package_id).first()
    if package is None or package.state != Package.State.READY:
        return (package.code if package and package.code else "package_dead"), "This package is not there any more."
    entitlement = package.entitlement
    if not entitlement.user.is_active:
        return "not_signed_in", "This account is disabled."
    if package.release.state in REFUSED:
        return "release_invalid", "The release of this package was refused. Ask for a package of another."
    if why := entitlement.over(now) or policy.shut(entitlement):
        return why
    return in_full(package_id) if package.changed else None


def in_full(package_id: UUID) -> tuple[str, str] | None:
    """Why the consents that hold now forbid this package as it was packed, asked of the policy, or None: they cover it and ask no more than it says."""
    package = Package.objects.select_related("entitlement__request__requester").get(pk=package_id)
    people = list(PackageParticipant.objects.filter(package=package_id).values_list("participant_id", flat=True))
    if not policy.still(package.entitlement_id, people):
        return "consent_denies", "The consent of somebody in this package no longer covers this use."
    return outgrown(package, package.manifest, people)


def outgrown(package: Package, manifest: dict[str, Any], people: list[UUID]) -> tuple[str, str] | None:
    """Why what this package tells its recipient is too little now, or None. One of before obligations were in the manifest tells of none."""
    if set(policy.obligations(package.entitlement, people)) - set(manifest.get("obligations", [])):
        return "obligations_grew", "The people in this package now ask more of the recipient than its notice says; have it made again."
    return None


def called_back(package: Package, manifest: dict[str, Any]) -> tuple[str, str] | None:
    """Why a package that was built meanwhile may not be given: a file of it was called back. Or None."""
    paths = {file["path"].partition("/")[2] for file in manifest.get("files", [])}
    gone = set(ReleaseFile.objects.filter(release=package.release_id, tombstone=True).values_list("path", flat=True))
    return ("file_recalled", "A file in this package was called back while it was made. Ask for it again.") if paths & gone else None


def chunks(package_id: UUID, start: int, end: int) -> Iterator[bytes]:
    """The bytes [start, end) of the ciphertext, 256 KiB at a time, each asked for anew. Raises Denied at the first that may not be had."""
    with place(package_id).open("rb") as file:
        file.seek(start)
        while start < end:
            if why := gone(package_id):
                raise Denied(*why)
            chunk = file.read(min(CHUNK, end - start))
            if not chunk:
                raise Denied("package_dead", "This package is not there any more.")
            start += len(chunk)
            yield chunk
