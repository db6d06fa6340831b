"""What is held of one person, why, and who had it: for the person, asked through the site that knows who they are (GDPR 15 and 20).

The person is found by the site's own identifier, in every dataset of that site, as only the vault can. Who left is found in the dataset asked in, by code.
"""

from __future__ import annotations

import html
from typing import Any

from django.db import transaction
from django.db.models import Q

from registry import uses
from registry.access import policy
from registry.access.models import RequestedParticipant
from registry.accounts import keys
from registry.accounts.models import Dataset, Site, User
from registry.audit import actions as audit
from registry.audit.models import Line
from registry.clinical.models import ClinicalRecord
from registry.consent import queries as consent
from registry.imaging.models import Image
from registry.intake.models import Study
from registry.releases import queries
from registry.releases.models import Notice, ReleaseFile, ReleaseParticipant, Removal
from registry.rules import Conflict, Invalid
from registry.subjects import queries as subjects
from registry.subjects import vault
from registry.subjects.models import Participant, Visit

CONSENT = (
    "kind", "recorded_at", "legal_basis", "permission", "modifiers", "diseases", "countries", "transfer", "commercial", "ai_training", "public_crowd",
    "genetic_linkage", "recontact", "publish_after", "max_months", "valid_until", "given_by", "assent", "reconsent_due", "evidence_sha256",
)  # fmt: skip
IMAGE = ("id", "bids_path", "state", "grade", "deface_verdict", "conversion_verdict", "reason", "created_at", "decided_at", "provenance")


def person_report(actor: User, dataset: Dataset, site: Site, patient_id: str, issuer: str = "") -> dict[str, Any]:
    """All that is held of a person of this site. Raises Denied to everybody but who hands in for the site; Invalid where nobody is so named."""
    policy.require_in(actor, "register", dataset, site)
    links = vault.links_of(vault.person_hash(site.code, issuer, patient_id))
    mine = Q(link__in=links) | Q(dataset=dataset, code=keys.code_key(dataset).code(site.code, issuer, patient_id))
    people = list(Participant.objects.filter(mine, site=site).select_related("dataset", "site").order_by("dataset__slug"))
    asked = next((one for one in people if one.dataset_id == dataset.pk), None)
    if asked is None:
        raise Invalid("unknown_person", "Nobody with this identifier is registered at this site in this dataset.", "Check identifier, issuer and dataset.")
    told = {"person": {"site": site.code, "participations": len(people)}, "participations": [_participation(one) for one in people]}
    with transaction.atomic():
        audit.write(actor, "participant.report", f"participant:{asked.pk}", dataset=dataset)
    return told


def report_on(actor: User, participant: Participant) -> dict[str, Any]:
    """The same of somebody who is at hand, with every participation of theirs at this site. Raises Denied to everybody but who hands in for the site."""
    policy.require_in(actor, "register", participant.dataset, participant.site)
    others = [one for one in subjects.same_person(participant) if one.site_id == participant.site_id]
    people = sorted([participant, *others], key=lambda one: one.dataset.slug)
    told = {"person": {"site": participant.site.code, "participations": len(people)}, "participations": [_participation(one) for one in people]}
    with transaction.atomic():
        audit.write(actor, "participant.report", f"participant:{participant.pk}", dataset=participant.dataset)
    return told


def _participation(person: Participant) -> dict[str, Any]:
    """One dataset's part."""
    return {
        "dataset": person.dataset.slug,
        "name": person.dataset.name,
        "label": f"sub-{person.label}",
        "state": person.state,
        "identifiers": _identifiers(person),
        "sex": person.sex or None,
        "birth_year_band": person.birth_year_band or None,
        "why": _why(person),
        "consents": [{name: getattr(event, name) for name in CONSENT} for event in consent.events(person)],
        "visits": list(Visit.objects.filter(participant=person).values("label", "day", "purpose")),
        "clinical_records": list(
            ClinicalRecord.objects.filter(visit__participant=person).values("instrument", "number", "visit__label", "values", "recorded_at")
        ),
        "uploads": [_study(study) for study in Study.objects.filter(participant=person).select_related("upload", "visit")],
        "images": [_image(image) for image in Image.objects.filter(visit__participant=person).prefetch_related("files")],
        "releases": [_release(row) for row in ReleaseParticipant.objects.filter(participant=person).select_related("release")],
        "asked_for": list(
            RequestedParticipant.objects.filter(participant=person).values("request__title", "request__purpose", "verdict", "allowed", "reasons")
        ),
        "recipients": [_held(row) for row in queries.who_has(person)],
        "notices": list(Notice.objects.filter(removal__participant=person).values("user__email", "text", "files", "created_at", "acknowledged_at")),
        "removals": list(Removal.objects.filter(participant=person).values("kind", "cause", "at", "state", "files")),
        "log": _log(person),
    }


def _identifiers(person: Participant) -> dict[str, Any]:
    """The site's identifier from the vault, and the code that stands for it."""
    try:
        site, issuer, patient_id = vault.unseal(person.link) if person.link else ("", "", "")
    except Conflict:  # forgotten meanwhile
        site = issuer = patient_id = ""
    return {"patient_id": patient_id or None, "issuer": issuer or None, "site": site or person.site.code, "code": person.code}


def _why(person: Participant) -> dict[str, Any]:
    """On what legal basis, and for which uses, it is held now."""
    held = consent.current(person)
    if held is None:
        return {"holds": False, "basis": None}
    return {"holds": True, "basis": held.legal_basis, "article": uses.LEGAL_BASES.get(held.legal_basis), "permission": held.permission, "ends": held.ends}


def _study(study: Study) -> dict[str, Any]:
    return {
        "received": study.upload.created_at,
        "visit": study.visit.label if study.visit else None,
        "state": study.state,
        "why": study.reason,
        "files": study.files.count(),
        "originals_destroyed": study.wiped_at or study.upload.wiped_at,
    }


def _image(image: Image) -> dict[str, Any]:
    files = [{"path": file.path, "sha256": file.sha256, "bytes": file.bytes} for file in image.files.all()]
    return {name: getattr(image, name) for name in IMAGE} | {"files": files}


def _release(row: ReleaseParticipant) -> dict[str, Any]:
    files = ReleaseFile.objects.filter(release=row.release, participant=row.participant_id).values("path", "sha256", "tombstone")
    return {"version": row.release.version, "number": row.release.number, "state": row.release.state, "gone": row.tombstone, "files": list(files)}


def _held(row: queries.Held) -> dict[str, Any]:
    return {
        "recipient": row.recipient,
        "package": row.package,
        "state": row.state,
        "version": row.version,
        "first_given_out": row.downloaded_at,
        "files": row.files,
    }


def _log(person: Participant) -> list[dict[str, Any]]:
    """The lines of the log about them: what happened and when. Who did it is staff, and is asked of the site."""
    things = [f"participant:{person.pk}", *(f"image:{pk}" for pk in Image.objects.filter(visit__participant=person).values_list("pk", flat=True))]
    things += [f"study:{pk}" for pk in Study.objects.filter(participant=person).values_list("pk", flat=True)]
    return list(Line.objects.filter(object__in=things).order_by("seq").values("at", "act", "object"))


def page(told: dict[str, Any]) -> str:
    """The report as a page that people read: plain HTML, without scripts."""
    style = "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto}td,th{text-align:left;vertical-align:top;padding:.1em .8em .1em 0}"
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Report</title><style>{style}</style><h1>What is held</h1>{_shown(told)}</html>\n'


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"<table>{''.join(f'<tr><th>{html.escape(str(key))}</th><td>{_shown(item)}</td></tr>' for key, item in value.items())}</table>"
    if isinstance(value, list | tuple):
        return "".join(_shown(item) for item in value) or "none"
    return "" if value is None else html.escape(str(value))


def plain(value: Any) -> Any:
    """The report as JSON: what JSON does not know is its text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else value.isoformat() if hasattr(value, "isoformat") else str(value)
