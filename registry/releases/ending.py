"""What bites at once when somebody leaves or an image is called back: inside the act's transaction, before it answers.

Lists lose it, packages with it die, and each past recipient gets a notice that names the files. The rest is a run (`leaving`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from registry.accounts.models import User
from registry.consent import actions as consent
from registry.imaging.models import Decision, Image, StoredFile
from registry.releases import queries
from registry.releases.models import Notice, Package, ReleaseFile, Removal
from registry.subjects import actions as subjects
from registry.subjects.models import Participant

LEFT = "Participant {label} of {dataset} has left. Delete every file listed here from every copy you hold, then acknowledge this notice."
CALLED_BACK = (
    "Files of participant {label} of {dataset} were called back. Delete every file listed here from every copy you hold, then acknowledge this notice."
)
DEAD = {
    Removal.Kind.WITHDRAWAL: ("participant_withdrawn", "Somebody in this package has left. Ask for a new one."),
    Removal.Kind.RECALL: ("file_recalled", "A file in this package was called back. Ask for a new one."),
}


def person(by: User | str, participant: Participant, sealed: str = "") -> Removal:
    """A participant leaves. The caller holds the transaction and the participant's row."""
    consent.record(participant, "withdrawn", recorded_by=by if isinstance(by, User) else None)
    subjects.mark_withdrawn(participant)
    removal = Removal.objects.create(participant=participant, label=participant.label, requested_by=_who(by), sealed=sealed)
    _kill(removal, Package.objects.filter(people__participant=participant))
    images = _out_of_lists(Image.objects.filter(visit__participant=participant), by, "")
    return _ended(removal, images=images)


def image(by: User, called: Image, files: Sequence[StoredFile], cause: str, reason: str) -> Removal:
    """An image is called back, or some of its files. The caller holds the transaction and the participant's row. Consent is as it was."""
    participant = called.visit.participant
    paths = [file.path for file in files]
    whole = len(paths) == called.files.count()
    given = ReleaseFile.objects.filter(participant=participant, image_id=called.pk, path__in=paths)
    told = {(file.path, file.sha256) for file in files} | set(given.values_list("path", "sha256"))
    removal = Removal.objects.create(
        kind=Removal.Kind.RECALL,
        participant=participant,
        label=participant.label,
        image_id=called.pk,
        files=[{"path": path, "sha256": sha256} for path, sha256 in sorted(told)],
        cause=cause,
        reason=reason,
        requested_by=_who(by),
    )
    # A release or package that is being made meanwhile compares epochs, and finds these tombstones.
    subjects.touch(participant)
    given.update(tombstone=True)
    # Out of what the next release is gathered from; the removal knows path and hash.
    called.files.filter(path__in=paths).delete()
    _kill(removal, Package.objects.filter(people__participant=participant))
    gone = _out_of_lists(Image.objects.filter(pk=called.pk), by, f"recalled: {cause}") if whole else 0
    return _ended(removal, images=gone, files=len(paths))


def _who(by: User | str) -> str:
    return str(getattr(by, "email", by))


def _kill(removal: Removal, packages: QuerySet[Package]) -> None:
    """Packages with what is removed are dead, and who received a byte of one is told.

    One that is being built has nobody in it yet: `record_package` finds that they have left, or that a file was called back.
    """
    mine = [(package, files) for package in packages.select_related("entitlement__user", "release__dataset") if (files := _named(removal, package)) is not None]
    code, reason = DEAD[Removal.Kind(removal.kind)]
    ready = [package.pk for package, _ in mine if package.state == Package.State.READY]
    Package.objects.filter(pk__in=ready, state=Package.State.READY).update(state=Package.State.DEAD, code=code, reason=reason)
    # Asked again after they died: a download that began a moment ago has said so by now, and one that begins now finds a dead package.
    given = set(Package.objects.filter(pk__in=[package.pk for package, _ in mine], downloaded_at__isnull=False).values_list("pk", flat=True))
    Notice.objects.bulk_create(_notice(removal, package, files) for package, files in mine if package.pk in given)


def _named(removal: Removal, package: Package) -> list[dict[str, str]] | None:
    """What of the removal lies in a package, with the paths that it has there; None where nothing does."""
    files = queries.files_of(package.manifest, removal.label)
    if removal.kind == Removal.Kind.WITHDRAWAL:
        return files
    paths = {row["path"] for row in removal.files}
    return [row for row in files if row["path"].partition("/")[2] in paths] or None


def _notice(removal: Removal, package: Package, files: list[dict[str, str]]) -> Notice:
    text = LEFT if removal.kind == Removal.Kind.WITHDRAWAL else CALLED_BACK
    text = text.format(label=f"sub-{removal.label}", dataset=package.release.dataset.slug)
    return Notice(user=package.entitlement.user, removal=removal, package=package, label=removal.label, text=text, files=files)


def _out_of_lists(images: QuerySet[Image], by: User | str, reason: str) -> int:
    keys = list(images.exclude(state=Image.State.WITHDRAWN).values_list("pk", flat=True))
    Decision.objects.bulk_create(Decision(image_id=pk, verdict="withdrawn", by=_who(by), reason=reason) for pk in keys)
    _each_thousand(keys, lambda some: Image.objects.filter(pk__in=some).update(state=Image.State.WITHDRAWN))
    return len(keys)


def _each_thousand(keys: Sequence[Any], act: Any) -> None:
    for start in range(0, len(keys), 1000):
        act(keys[start : start + 1000])


def _ended(removal: Removal, **told: int) -> Removal:
    removal.steps = {"ended": {"at": timezone.now().isoformat(), **told}}
    removal.save(update_fields=["steps"])
    return removal
