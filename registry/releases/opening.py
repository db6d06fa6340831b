"""Sharing a dataset with everybody, as OpenNeuro does under CC0: may it be, and the tree that is handed over.

What left by this door cannot be called back, so one participant whose consent does not cover it stops the whole. The dataset is at the level open, and the
tree is written beside its target, examined by the official validator, and moved there only while every consent still covers it.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from bidstree import check
from registry.access import policy
from registry.accounts.models import Dataset, Level, User
from registry.audit import actions as audit
from registry.consent import queries as consent
from registry.consent.models import Standing
from registry.releases import freezing
from registry.releases.models import Release
from registry.releases.tree import Entry
from registry.rules import Answer, Conflict, ConsentFacts, Denied, Invalid, ended, openly
from registry.smallcells import rounded
from registry.subjects.models import Participant

LICENCE = "CC0"
README = """{name}

{description}

Version {version}, shared openly (CC0) by a Myelin registry. Every participant consented to any use by anybody. Images were de-identified and their faces
removed; tables hold days from baseline, never calendar dates. Please do not try to find out who took part.
"""


@dataclass(frozen=True)
class Opening:
    """Whether a dataset may be shared openly. `blockers`: participants whose consent does not allow it (None: too few to be told); reasons with theirs."""

    level: str
    allowed: bool
    blockers: int | None
    reasons: tuple[tuple[str, str, int | None], ...]


def may_be_open(asker: User, dataset: Dataset) -> Opening:
    """Whether every active participant's consent allows open sharing, and how many do not: exactly to stewards, by the law of small counts to others."""
    exact = policy.ask_in(asker, "decide", dataset).permitted
    told = _asked(dataset)
    if exact:
        return told
    least = dataset.min_count
    reasons = tuple((code, sentence, rounded(count or 0, least)) for code, sentence, count in told.reasons)
    return replace(told, blockers=rounded(told.blockers or 0, least) if told.blockers else 0, reasons=reasons)


def _asked(dataset: Dataset) -> Opening:
    """The exact answer. The rule is asked once per distinct consent and end."""
    today = timezone.now().date()
    people = Standing.objects.filter(participant__dataset=dataset, participant__state="active").select_related("facts")
    groups = people.order_by().values("facts", "valid_until", "lapses").annotate(n=Count("participant"))
    facts = {row.pk: read for row, read in consent.distinct_facts(dataset.pk)}
    blockers, counts, sentences = 0, Counter[str](), dict[str, str]()
    without = Participant.objects.filter(dataset=dataset, state="active", standing=None).count()
    answers = [(openly(None, today), without)] if without else []
    for group in groups:
        answers.append((_of(facts.get(group["facts"]), group["valid_until"], today, lapses=group["lapses"]), group["n"]))
    for answer, n in answers:
        blockers += 0 if answer.permitted else n
        for reason in () if answer.permitted else answer.reasons:
            counts[reason.code] += n
            sentences[reason.code] = reason.sentence
    reasons = tuple((code, sentences[code], counts[code]) for code in sorted(counts))
    return Opening(dataset.purpose_level, bool(answers) and not blockers, blockers, reasons)


def _of(facts: ConsentFacts | None, until: date | None, today: date, *, lapses: bool) -> Answer:
    """What the rule says of one distinct consent with its end; interned facts have none."""
    if facts is None:
        return openly(None, today)
    return ended(lapsed=lapses) if until and until < today else openly(replace(facts, valid_until=until), today)


def export_open(actor: User, dataset: Dataset, release: Release, target: Path) -> int:
    """Writes a release as a plain BIDS tree for open sharing, into a folder that is not there yet; returns how many participants are in it.

    Raises Denied (no steward, not at the level open, a consent that forbids it), Invalid (the folder exists), Conflict (the release or its tree is not good).
    """
    policy.require_in(actor, "freeze", dataset)
    _allowed(dataset)
    if release.dataset_id != dataset.pk or release.state != Release.State.VALIDATED:
        raise Conflict("release_not_validated", "This release may not be given out.", "Choose a validated release of the dataset.")
    if target.exists() or not target.parent.is_dir():
        raise Invalid("target_exists", "The tree is written into a new folder of a folder that exists.", "Name a folder that is not there yet.")
    draft = target.parent / f".tmp-{target.name}-{secrets.token_hex(4)}"
    try:
        entries = _entries(release)
        _write(entries, draft)
        report = check.validate(draft)
        if report.errors:
            raise Conflict("export_invalid", f"The validator finds {report.errors} errors in the tree.", "Look at the release's own report.")
        with transaction.atomic():
            list(Participant.objects.select_for_update().filter(dataset=dataset).values_list("pk", flat=True))
            _allowed(dataset)  # asked again: a consent may have changed while the tree was written
            people = len({entry.participant.pk for entry in entries if entry.participant})
            draft.rename(target)
            told = {"version": release.version, "participants": people, "files": len(entries)}
            audit.write(actor, "release.export_open", f"release:{release.pk}", dataset=dataset, **told)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return people


def _allowed(dataset: Dataset) -> None:
    """Raises Denied with the count of blockers."""
    if Dataset.objects.get(pk=dataset.pk).purpose_level != Level.OPEN:
        raise Denied("not_open", "This dataset is not at the level open.")
    told = _asked(dataset)
    if not told.allowed:
        raise Denied("consent_forbids_opening", f"The consents of {told.blockers} participants do not allow open sharing.")


def _entries(release: Release) -> list[Entry]:
    """The tree of a release under CC0, with a README of its own and without images of the orbits."""
    release.manifest = {**release.manifest, "licence": LICENCE, "terms": ""}  # in memory: the release itself stays as it is
    found = freezing.entries(release, None, policy.usual_kinds(release.dataset))
    readme = README.format(**release.manifest).encode()
    fresh = Entry("README", None, hashlib.sha256(readme).hexdigest(), len(readme), readme)
    return [fresh if entry.path == fresh.path else entry for entry in found]


def _write(entries: Iterable[Entry], folder: Path) -> None:
    """Copies, not links: the tree leaves the registry. Each byte is proven on the way."""
    for entry in entries:
        part = entry.part()
        place = folder / part.path
        place.parent.mkdir(parents=True, exist_ok=True)
        data = part.data if part.data is not None else part.file.read_bytes() if part.file else b""
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise Conflict("store_damaged", "A file of the store is not what it was when it was recorded.", "Restore it from the backup.")
        place.write_bytes(data)
