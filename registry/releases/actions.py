"""Acts of giving out: freeze a release, build a package; and the runs behind them. The acts of leaving are in `departures`, and named here too.

What bites at once is in the act's own transaction (a withdrawal ends consent and kills every package with that person before it answers); what takes
time is a run: its steps are idempotent, and a killed one begins again where it stopped.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from registry.access import machine, policy, signing
from registry.access.models import Entitlement
from registry.accounts.models import Dataset, User
from registry.audit import actions as audit
from registry.consent import queries as consent
from registry.imaging import store
from registry.imaging.models import StoredFile
from registry.intake import quarantine
from registry.intake.models import Study
from registry.releases import attesting, citing, freezing, gathering, packing, verifying
from registry.releases.departures import (
    acknowledge,
    recall,
    record_withdraw,
    resume,
    withdraw,
    withdraw_died,
    work_withdraw,
)
from registry.releases.models import Package, PackageParticipant, Release, ReleaseFile, ReleaseParticipant, Removal
from registry.releases.rebinding import rebind
from registry.rules import Conflict, Denied, Invalid
from registry.runs import actions as runs
from registry.runs import ledger, mail, ticking
from registry.runs.models import Run
from registry.subjects.models import Participant

# What doors and the ledger call by name, gathered at one address.
__all__ = [
    "acknowledge",
    "build_package",
    "freeze",
    "freeze_died",
    "package_died",
    "rebind",
    "recall",
    "record_freeze",
    "record_package",
    "record_validate",
    "record_withdraw",
    "start_download",
    "tick",
    "validate",
    "validate_died",
    "withdraw",
    "withdraw_died",
    "work_freeze",
    "work_package",
    "work_validate",
    "work_withdraw",
]

SYSTEM = "system:worker"
VERIFIED_AT_ONCE = 2 * 1024**3  # bytes of images that are hashed within one request: some seconds
Beat = Callable[[], None]


# --- releases --------------------------------------------------------------------------------------------------------------------------------------


def freeze(actor: User, dataset: Dataset, changes: str = "", part: str = "") -> Release:
    """Begin release n+1 of a dataset: a run puts it together, and another has it validated. `part`: of the version, to be moved at least.

    Raises Denied, Conflict. Where a class in its tables is smaller than the dataset's k the run needs the agreement of two people (`dry_run` says to what).
    """
    policy.require_in(actor, "freeze", dataset)
    with transaction.atomic():
        if not gathering.may_be_in(dataset).exists():
            raise Conflict("nothing_to_release", "No accepted image of anybody whose consent holds is in this dataset.", "Accept images first.")
        release = freezing.open_release(dataset, actor.email, changes, part)
        release.run_id = runs.enqueue("freeze", subject_id=release.pk, dataset_id=dataset.pk).pk
        release.save(update_fields=["run_id"])
        audit.write(actor, "release.freeze", f"release:{release.pk}", dataset=dataset, number=release.number)
    return release


def dry_run(actor: User, dataset: Dataset, changes: str = "", part: str = "") -> dict[str, Any]:
    """What a release made at this moment would be: version, numbers, account; nothing is written. `object`: what two people agree to below k. Raises Denied."""
    policy.require_in(actor, "freeze", dataset)
    last = Release.objects.filter(dataset=dataset).order_by("-number").first()
    release = Release(dataset=dataset, number=last.number + 1 if last else 1, changes=changes, part=part, created_by=actor.email)
    planned = freezing.plan(release, lambda: None)
    privacy = planned.account["privacy"]
    told = {"version": release.version, "participants": len(planned.people), "files": len(planned.files), "account": planned.account}
    audit.write(actor, "release.dry_run", f"dataset:{dataset.slug}", dataset=dataset)
    return told | {"needs_two_people": privacy["below_k"], "object": freezing.tables_of(dataset, privacy["sha256"])}


def work_freeze(run: Run, beat: Beat) -> dict[str, Any]:
    """Put the release together."""
    release = Release.objects.select_related("dataset").get(pk=run.subject_id)
    if release.state == Release.State.FREEZING:
        freezing.assemble(release, beat)
    return {}


def record_freeze(run: Run, told: dict[str, Any]) -> dict[str, Any]:
    """Make it final, in the ledger's fenced transaction. Raises freezing.Moved when somebody in it changed their mind: it is put together again."""
    release = Release.objects.select_related("dataset").get(pk=run.subject_id)
    if release.state == Release.State.FREEZING:
        release = freezing.close(release)
        audit.write(SYSTEM, "release.frozen", f"release:{release.pk}", dataset=release.dataset, sha256=release.sha256)
    return {"state": release.state, "sha256": release.sha256}


def freeze_died(run: Run) -> None:
    """The release could not be made: its number is spent, and the next may be begun."""
    if Release.objects.filter(pk=run.subject_id, state=Release.State.FREEZING).update(state=Release.State.FAILED):
        audit.write(SYSTEM, "release.failed", f"release:{run.subject_id}", dataset=run.dataset_id, code=run.code)


def verify(actor: User | str, release: Release) -> dict[str, Any]:
    """Whether a release is still what it was (`registry.releases.verifying`). Raises Denied, Conflict for one that takes longer than a request may."""
    if not isinstance(actor, str):
        policy.require_in(actor, "read_audit", release.dataset)
        held = ReleaseFile.objects.filter(release=release, tombstone=False, image_id__isnull=False).aggregate(bytes=Sum("bytes"))["bytes"] or 0
        if held > VERIFIED_AT_ONCE:
            advice = "Ask who runs the registry: manage.py release_verify does it, however large it is."
            raise Conflict("release_too_large", "This release is too large to be hashed while you wait.", advice)
    told = verifying.verify(release)
    audit.write(actor, "release.verify", f"release:{release.pk}", dataset=release.dataset, ok=told["ok"], tombstones=told["tombstones"])
    return told


def cite(actor: User, dataset: Dataset, citation: dict[str, Any]) -> Dataset:
    """How releases made from now on are cited (`registry.releases.citing`). Raises Denied, Invalid."""
    policy.require_in(actor, "decide", dataset)
    dataset.citation = citing.checked(citation)
    with transaction.atomic():
        dataset.save(update_fields=["citation"])
        audit.write(actor, "dataset.cite", dataset, dataset=dataset, parts=sorted(dataset.citation))
    return dataset


def validate(actor: User, release: Release) -> Release:
    """Have a frozen release examined again, where the run that should have done so came to nothing. Raises Denied, Conflict."""
    policy.require_in(actor, "freeze", release.dataset)
    with transaction.atomic():
        held = Release.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=release.pk)
        if held.state != Release.State.FROZEN:
            raise Conflict("release_not_frozen", "Only a release whose validation is pending is validated.", "Look at its state.")
        held.run_id = runs.enqueue("validate", subject_id=held.pk, dataset_id=held.dataset_id).pk
        held.save(update_fields=["run_id"])
        audit.write(actor, "release.validate", f"release:{held.pk}", dataset=held.dataset)
    return held


def work_validate(run: Run, beat: Beat) -> dict[str, Any]:
    """Have a frozen release examined: every byte by its hash, the whole by the official validator."""
    release = Release.objects.select_related("dataset").get(pk=run.subject_id)
    return freezing.examine(release, beat) if release.state == Release.State.FROZEN else {}


def record_validate(run: Run, report: dict[str, Any]) -> dict[str, Any]:
    """Settle it, in the ledger's fenced transaction."""
    release = Release.objects.select_related("dataset").get(pk=run.subject_id)
    if release.state == Release.State.FROZEN:
        release = freezing.settle(release, report)
        audit.write(SYSTEM, f"release.{release.state}", f"release:{release.pk}", dataset=release.dataset, sha256=release.sha256, errors=report["errors"])
    return {"state": release.state}


def validate_died(run: Run) -> None:
    """It stays pending, and says why; a steward may have it validated again."""
    if Release.objects.filter(pk=run.subject_id, state=Release.State.FROZEN).update(validator={"code": run.code, "reason": run.reason}):
        audit.write(SYSTEM, "release.unexamined", f"release:{run.subject_id}", dataset=run.dataset_id, code=run.code)


# --- packages --------------------------------------------------------------------------------------------------------------------------------------


def build_package(actor: User, entitlement: Entitlement, release: Release | None = None) -> Package:
    """Have the holder's part of a release packed for their key; the same again gives the living package, another key a new one in its place.

    Raises Denied, Invalid, Conflict.
    """
    if entitlement.user_id != actor.pk:
        raise Denied("not_yours", "This entitlement belongs to somebody else.")
    if why := entitlement.over(timezone.now()) or policy.shut(entitlement):
        raise Denied(*why)
    given = freezing.given_to(entitlement)
    release = release or given.first()
    if release is None:
        raise Conflict("no_release", "This dataset has no release yet.", "Wait for the steward to freeze one.")
    if not given.filter(pk=release.pk).exists():
        raise Conflict("release_not_validated", "This release may not be given out.", "Choose a validated release of the dataset.")
    if not release.people.filter(tombstone=False, participant__in=policy.covered(entitlement)).exists():
        raise Conflict("nobody_allowed", "This entitlement covers nobody in this release.", "Look at the request's answers.")
    key = signing.key_of(entitlement.request, actor)
    if not key:
        raise Invalid("recipient_key_invalid", "The request names no key to encrypt to.", "Give an age key with the request.")
    with transaction.atomic():
        Entitlement.objects.select_for_update().get(pk=entitlement.pk)
        living = Package.objects.filter(entitlement=entitlement, release=release, state__in=["building", "ready"]).first()
        why = _why_not(living, key) if living else None
        if living and why is None:
            return living
        if living and why:  # it is replaced, so that nobody is given it after all when what stopped it changes back
            Package.objects.filter(pk=living.pk).update(state=Package.State.DEAD, code=why[0], reason=why[1])
        package = Package.objects.create(entitlement=entitlement, release=release, recipient_key=key)
        package.run_id = runs.enqueue("package", subject_id=package.pk, dataset_id=release.dataset_id).pk
        package.save(update_fields=["run_id"])
        told = {"release": str(release.pk), **({"replaces": str(living.pk)} if living else {})}
        audit.write(actor, "package.build", f"package:{package.pk}", dataset=release.dataset, **told)
    return package


def _why_not(package: Package, key: str) -> tuple[str, str] | None:
    """Why a living package may not be read now, asked in full, or is for a key that its holder replaced; one that is being made may."""
    if package.recipient_key != key:
        return "recipient_key_changed", "Its holder gave another key: a package for that key takes its place."
    return None if package.state == Package.State.BUILDING else packing.gone(package.pk) or packing.in_full(package.pk)


def _package(run: Run) -> Package:
    whole = ("entitlement__user", "entitlement__request__view", "entitlement__request__dataset", "entitlement__dataset", "release__dataset")
    return Package.objects.select_related(*whole).get(pk=run.subject_id)


def work_package(run: Run, beat: Beat) -> dict[str, Any]:
    """Encrypt the package into the outbox. Raises Denied when the entitlement covers nobody any more."""
    package = _package(run)
    if package.state != Package.State.BUILDING:
        return {}
    if why := package.entitlement.over(timezone.now()) or policy.shut(package.entitlement):
        raise Denied(*why)
    return packing.pack(package, beat)


def record_package(run: Run, built: dict[str, Any]) -> dict[str, Any]:
    """Make the package ready, if everybody in it is still covered at this moment. Runs in the ledger's fenced transaction. Raises Denied."""
    package = _package(run)
    # The release first, as `freezing.settle` does: what the validator refuses meanwhile is seen here, or sees this package.
    Release.objects.select_for_update().get(pk=package.release_id)
    package.state = Package.objects.select_for_update().get(pk=package.pk).state
    if package.state != Package.State.BUILDING:
        return {"state": package.state}
    if not freezing.given_to(package.entitlement).filter(pk=package.release_id).exists():
        raise Denied("release_not_validated", "This release may not be given out.")
    ids = [UUID(row["participant"]) for row in built["people"]]
    people = {person.pk: person for person in Participant.objects.select_for_update().filter(pk__in=ids)}
    if any(people[UUID(row["participant"])].epoch != row["epoch"] for row in built["people"]) and not policy.still(package.entitlement_id, ids):
        raise Denied("consent_denies", "Somebody in this package changed their consent while it was made.")
    if why := packing.outgrown(package, built["manifest"], ids) or packing.called_back(package, built["manifest"]):
        raise Denied(*why)
    PackageParticipant.objects.bulk_create(
        PackageParticipant(
            package=package, participant_id=row["participant"], label=row["label"], epoch=row["epoch"], consent_ends=_ends(people[UUID(row["participant"])])
        )
        for row in built["people"]
    )
    package.sha256, package.bytes, package.manifest, package.signature = built["sha256"], built["bytes"], built["manifest"], built["signature"]
    package.state = Package.State.READY
    package.save()
    mail.queue(package.entitlement.user, "package_ready", f"/packages/{package.pk}")
    audit.write(
        SYSTEM,
        "package.ready",
        f"package:{package.pk}",
        dataset=package.release.dataset,
        sha256=package.sha256,
        people=[row["label"] for row in built["people"]],
    )
    return {"state": "ready", "sha256": package.sha256}


def _ends(participant: Participant) -> datetime | None:
    """The moment after the last day on which the consent holds."""
    held = consent.current(participant)
    if held is None or held.ends is None:
        return None
    return timezone.make_aware(datetime.combine(held.ends + timedelta(days=1), datetime.min.time()))


def package_died(run: Run) -> None:
    """The package could not be made: say why."""
    changed = Package.objects.filter(pk=run.subject_id, state=Package.State.BUILDING).update(state=Package.State.FAILED, code=run.code, reason=run.reason)
    if changed:
        audit.write(SYSTEM, "package.failed", f"package:{run.subject_id}", dataset=run.dataset_id, code=run.code)


def start_download(actor: User, package: Package, span: tuple[int, int]) -> None:
    """Ask for the whole package before its first byte, and write the line that says who got what. Raises Denied, Conflict."""
    if package.entitlement.user_id != actor.pk:
        raise Denied("not_yours", "This package belongs to somebody else.")
    if package.state == Package.State.BUILDING:
        raise Conflict("package_building", "This package is still being made.", "Ask for it again in a moment.")
    if why := packing.gone(package.pk) or packing.in_full(package.pk):
        raise Denied(*why)
    with transaction.atomic():
        alive = Package.objects.filter(pk=package.pk, state=Package.State.READY)
        if not alive.update(downloaded_at=Coalesce("downloaded_at", timezone.now())):
            raise Denied("package_dead", "This package is not there any more.")
        audit.write(actor, "package.download", f"package:{package.pk}", dataset=package.release.dataset, first=span[0], end=span[1], sha256=package.sha256)


# --- what is due -----------------------------------------------------------------------------------------------------------------------------------


def tick() -> dict[str, int]:
    """Begin stuck departures again; delete ciphertexts that no living package names, interrupted writes, and anything of people who left. Idempotent."""
    told = {
        "withdrawals": resume(),
        "reminders": attesting.tick(),
        "packages": _end_packages(),
        "outbox": _sweep_outbox(),
        "left": _sweep_left(),
        "temporary": _sweep_temporary(),
    }
    owner = ledger.new_owner()
    if ticking.take("store-garbage", owner, 3600):
        try:
            told["garbage"] = sweep_store()
        finally:
            ticking.let_go("store-garbage", owner)
    return told


def _end_packages() -> int:
    """Packages whose entitlement is over are dead for good."""
    now, count = timezone.now(), 0
    waits = [*machine.GIVES, "suspended"]  # what is suspended may go on
    over = Package.objects.filter(state=Package.State.READY).exclude(
        entitlement__revoked_at=None, entitlement__ends__gt=now, entitlement__request__state__in=waits
    )
    for package in over.select_related("release__dataset"):
        with transaction.atomic():
            if Package.objects.filter(pk=package.pk, state=Package.State.READY).update(state=Package.State.DEAD, code="entitlement_ended"):
                audit.write(SYSTEM, "package.dead", f"package:{package.pk}", dataset=package.release.dataset, code="entitlement_ended")
                count += 1
    return count


def _sweep_outbox() -> int:
    outbox, count = Path(settings.MYELIN_ZONES["outbox"]), 0
    alive = {packing.place(pk).name for pk in Package.objects.filter(state__in=["building", "ready"]).values_list("pk", flat=True)}
    for file in outbox.iterdir() if outbox.exists() else []:
        interrupted = file.name.startswith(".tmp-") and time.time() - file.stat().st_mtime > 86_400
        if interrupted or (file.suffix == ".age" and not file.name.startswith(".tmp-") and file.name not in alive):
            file.unlink(missing_ok=True)
            count += 1
    return count


def _sweep_left() -> int:
    """What a run that was under way when somebody left may still have brought into their folder."""
    left = Removal.objects.filter(kind="withdrawal", state="done").select_related("participant__dataset")
    for study in Study.objects.filter(participant__in=left.values("participant")).values_list("pk", flat=True):
        quarantine.wipe_review(study)
    return sum(store.delete_all(row.participant) for row in left if store.folder(row.participant).exists())


def sweep_store(older_than_s: float = 86_400) -> int:
    """Delete what no row names: files of refused images, of attempts that came to nothing, facts of releases that failed. Younger files may be on their way."""
    count = 0
    for person in Participant.objects.filter(state="active").select_related("dataset").iterator():
        named = store.held(person)
        if not named:
            continue
        named -= set(StoredFile.objects.filter(image__visit__participant=person).exclude(image__state="refused").values_list("sha256", flat=True))
        named -= set(ReleaseFile.objects.filter(participant=person, tombstone=False).values_list("sha256", flat=True))
        named -= set(ReleaseParticipant.objects.filter(participant=person, tombstone=False).values_list("facts_sha256", flat=True))
        for sha256 in named:
            if time.time() - store.path(person, sha256).stat().st_mtime > older_than_s:
                store.delete(person, sha256)
                count += 1
    return count


def _sweep_temporary() -> int:
    files = list(store.temporaries(86_400))
    for file in files:
        file.unlink(missing_ok=True)
    trees = Path(settings.MYELIN_ZONES["store"]) / freezing.TREES
    # Whoever lays a tree out or takes somebody out of one is a run: while one is under way, or may begin any moment, no tree is anybody's leavings.
    busy = Run.objects.filter(kind__in=["freeze", "validate", "withdraw"], state__in=["ready", "running"]).exists()
    for folder in trees.iterdir() if trees.exists() and not busy else []:
        shutil.rmtree(folder, ignore_errors=True)
    return len(files)
