"""Reads of releases, packages, notices and withdrawals, limited to who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from registry.access import machine, policy
from registry.access import queries as access
from registry.access.models import Entitlement, Request
from registry.accounts.models import User
from registry.releases import freezing
from registry.releases.models import Notice, Package, PackageParticipant, Release, ReleaseFile, Removal
from registry.runs.models import Run


def releases(asker: User) -> QuerySet[Release]:
    """Releases of the datasets one works in, in whatever state; of the others that one may know of, those that are given out, to all or to the asker."""
    mine = access.datasets_of(asker, "contributor", "steward", "auditor")
    known = Q(dataset__in=access.datasets(asker).values("pk"), state=Release.State.VALIDATED)
    for entitlement in Entitlement.objects.filter(user=asker.pk, revoked_at=None):
        known |= Q(pk__in=freezing.given_to(entitlement).values("pk")) if entitlement.alive else Q()
    return Release.objects.filter(known | Q(dataset__in=mine)).select_related("dataset")


def published(asker: User | None) -> QuerySet[Release]:
    """Releases that the catalogue names, to strangers too: validated ones of datasets that stand in it for the asker, the newest first."""
    return Release.objects.filter(dataset__in=access.catalogue(asker).values("pk"), state=Release.State.VALIDATED).order_by("dataset", "-number")


def packages(asker: User) -> QuerySet[Package]:
    """One's own packages, and as a steward those of one's datasets (their bytes are for the recipient alone)."""
    mine = Q(entitlement__user=asker.pk) | Q(release__dataset__in=access.datasets_of(asker, "steward"))
    return _active(asker, Package.objects.filter(mine)).select_related("entitlement__user", "release__dataset")


@dataclass(frozen=True)
class Gives:
    """What an entitlement gives of the newest release that may be given to its holder: people, and files and bytes of theirs (`exact`, or at most so many)."""

    release: Release
    people: int
    files: int
    bytes: int
    exact: bool


def gives(entitlement: Entitlement) -> Gives | None:
    """What a package made now would hold, or None where there is no release. Of a view only the package itself knows which files are of its kinds."""
    release = freezing.given_to(entitlement).first()
    if release is None:
        return None
    people = release.people.filter(tombstone=False, participant__in=policy.covered(entitlement)).values("participant")
    told = ReleaseFile.objects.filter(release=release, tombstone=False, participant__in=people).aggregate(files=Count("pk"), bytes=Sum("bytes"))
    return Gives(release, people.count(), told["files"], told["bytes"] or 0, exact=entitlement.request.view_id is None)


def run_of(package: Package) -> Run | None:
    """The run that makes a package."""
    return Run.objects.filter(pk=package.run_id).first() if package.run_id else None


def notices(asker: User) -> QuerySet[Notice]:
    """What one has been told, and as a steward what others were told."""
    mine = Q(user=asker.pk) | Q(package__release__dataset__in=access.datasets_of(asker, "steward"))
    return _active(asker, Notice.objects.filter(mine)).select_related("package__release__dataset")


def removals(asker: User, kind: str) -> QuerySet[Removal]:
    """Departures, or recalls, of people one may know of."""
    rows = Removal.objects.filter(kind=kind).select_related("participant__dataset", "participant__site")
    return policy.limit(asker, "know", rows, participant="participant")


def _active(asker: User, rows: QuerySet[Any]) -> QuerySet[Any]:
    facts = policy.facts_of_asker(asker)
    return rows if facts.user is not None and facts.active else rows.none()


def decides(asker: User, request: Request) -> bool:
    """Whether the asker decides on this request, and so may see it person by person."""
    return policy.ask_in(asker, "decide", request.dataset_id).permitted


def answers(asker: User, request: Request) -> dict[str, Any]:
    """A request's cohort as the asker may be told of it: person by person and in numbers to a steward, blurred to the requester.

    Each of the team learns whom they may have once they are entitled: those people are in their package anyway.
    """
    blurred = access.summary(request)
    mine = Entitlement.objects.filter(request=request, revoked_at=None)
    entitlement = mine.filter(user=asker.pk).first() or (mine.filter(user=request.requester_id).first() if decides(asker, request) else None)
    told = {"entitlement": entitlement.pk if entitlement else None, "obligations": access.obligations(request)}
    if decides(asker, request):
        return told | _exactly(asker, request)
    reasons = [{"code": row["code"], "reason": row["sentence"], "participants": row["count"]} for row in blurred["reasons"]]
    people = policy.covered(entitlement).order_by("label") if entitlement else []
    return told | {
        "asked": blurred["asked"],
        "answers": {"allowed": blurred["allowed"], "left_out": None, "reasons": reasons},
        "participants": [{"id": person.pk, "label": person.label, "allowed": True, "verdict": "permit", "reasons": []} for person in people],
    }


def _exactly(asker: User, request: Request) -> dict[str, Any]:
    rows = list(access.asked(asker, request))
    decided = request.state in machine.DECIDED
    counts: dict[str, dict[str, Any]] = {}
    for row in rows:
        for reason in row.reasons:
            if reason["verdict"] != "permit":
                count = counts.setdefault(reason["code"], {"code": reason["code"], "reason": reason["sentence"], "participants": 0})
                count["participants"] += 1
    yes = sum(row.allowed if decided else row.verdict == "permit" for row in rows)
    people = [
        {
            "id": row.participant_id,
            "label": row.participant.label,
            "allowed": row.allowed if decided else row.verdict == "permit",
            "verdict": row.verdict,
            "reasons": row.reasons,
        }
        for row in rows
    ]
    summary = {"allowed": yes, "left_out": len(rows) - yes, "reasons": [counts[code] for code in sorted(counts)]}
    return {"asked": len(rows), "answers": summary, "participants": people}


def holders(participant: Any) -> QuerySet[User]:
    """Everybody who ever received a byte of a package with this person in it."""
    got = Package.objects.filter(entitlement__user=OuterRef("pk"), people__participant=participant, downloaded_at__isnull=False)
    return User.objects.filter(Exists(got))


@dataclass(frozen=True)
class Held:
    """One package with somebody in it: whose it is, what of theirs lies in it, and when a byte of it was first given out (None: not yet)."""

    recipient: str
    package: UUID
    state: str
    version: str
    downloaded_at: datetime | None
    files: tuple[dict[str, str], ...]


def who_has(participant: Any) -> list[Held]:
    """Every package that was made with this person in it, oldest first, with their files by path and hash. Of who left, the notices know the files."""
    rows = PackageParticipant.objects.filter(participant=participant).select_related("package__entitlement__user", "package__release")
    noticed: dict[Any, list[dict[str, str]]] = {}
    for notice in Notice.objects.filter(removal__participant=participant, removal__kind="withdrawal"):
        noticed[notice.package_id] = notice.files
    return [_held(row, noticed) for row in rows.order_by("package__created_at", "package")]


def files_of(manifest: dict[str, Any], label: str) -> list[dict[str, str]]:
    """The files of one person in a package, as its manifest names them."""
    return [{"path": file["path"], "sha256": file["sha256"]} for file in manifest.get("files", []) if f"/sub-{label}/" in f"/{file['path']}"]


def _held(row: PackageParticipant, noticed: dict[Any, list[dict[str, str]]]) -> Held:
    package = row.package
    files = files_of(package.manifest, row.label) if row.label else noticed.get(package.pk, [])
    return Held(package.entitlement.user.email, package.pk, package.state, package.release.version, package.downloaded_at, tuple(files))
