"""Recording what happened to a consent, and projecting what follows. Permission and audit line are the business of `intake` and `releases`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.accounts.models import User
from registry.consent import queries
from registry.consent.models import ConsentEvent, ConsentFact, Event, Standing
from registry.rules import MODIFIERS, PERMISSIONS, Conflict, ConsentFacts, Invalid
from registry.subjects import actions as subjects
from registry.subjects.models import Participant

ENDING = ("withdrawn", "expired")


def record(
    participant: Participant,
    kind: str,
    permission: str = "",
    *,
    modifiers: Sequence[str] = (),
    diseases: Sequence[str] = (),
    countries: Sequence[str] = (),
    commercial: bool = False,
    ai_training: bool = False,
    publish_after: date | None = None,
    max_months: int | None = None,
    valid_until: date | None = None,
    evidence_sha256: str = "",
    recorded_by: User | None = None,
) -> ConsentEvent:
    """Appends an event and projects what holds now, in one transaction. A granting event states the whole consent from then on.

    Raises Invalid for what no consent can say, Conflict for an event that does not follow from those before (renewing or ending what was never given).
    """
    event = ConsentEvent(
        participant=participant, kind=kind, permission=permission, modifiers=sorted(set(modifiers)), diseases=sorted(set(diseases)),
        countries=sorted(set(countries)), commercial=commercial, ai_training=ai_training, publish_after=publish_after, max_months=max_months,
        valid_until=valid_until, evidence_sha256=evidence_sha256, recorded_by=recorded_by,
    )  # fmt: skip
    _sensible(event)
    with transaction.atomic():
        locked = Participant.objects.select_for_update().get(pk=participant.pk)
        last = queries.events(participant).last()
        _follows(event, last, locked)
        event.number = last.number + 1 if last else 1
        event.save(force_insert=True)
        project(participant)
        subjects.touch(participant)
    return event


def _sensible(event: ConsentEvent) -> None:
    if event.kind not in Event.values:
        raise Invalid("consent_kind", "This kind of consent event is not known.", f"Use one of {', '.join(Event.values)}.")
    if event.kind in ENDING:
        if event.permission or event.modifiers or event.diseases or event.countries:
            raise Invalid("consent_ends", "An event that ends a consent grants nothing.", "Leave permission and conditions empty.")
        return
    if event.permission not in PERMISSIONS:
        raise Invalid("consent_permission", "A consent has a DUO permission.", f"Use one of {', '.join(PERMISSIONS)}.")
    if set(event.modifiers) - set(MODIFIERS):
        raise Invalid("consent_modifier", "A condition is no DUO modifier that this version knows.", f"Use {', '.join(MODIFIERS)}.")
    if not re.fullmatch(r"[0-9a-f]{64}", event.evidence_sha256):
        raise Invalid("consent_evidence", "A consent needs its evidence.", "Give the SHA-256 of the signed form (or of the decision that stands for it).")
    _complete(event)


def _complete(event: ConsentEvent) -> None:
    """Conditions that need a value have it, in its form."""
    if (event.permission == "DS") != bool(event.diseases):
        raise Invalid("consent_diseases", "A disease-specific consent names its diseases, and no other does.", "Give MONDO ids with DS, and only then.")
    if not all(re.fullmatch(r"MONDO:\d{7}", disease) for disease in event.diseases):
        raise Invalid("consent_diseases", "A disease is named by its MONDO id.", "Write it as MONDO: and seven digits.")
    if "GS" in event.modifiers and not event.countries:
        raise Invalid("consent_countries", "A geographical restriction names its countries.", "Give them by ISO 3166-1, two capital letters.")
    if not all(re.fullmatch(r"[A-Z]{2}", country) for country in event.countries):
        raise Invalid("consent_countries", "A country is named by two capital letters.", "Use ISO 3166-1.")
    if event.commercial and set(event.modifiers) & {"NCU", "NPUNCU"}:
        raise Invalid("consent_contradicts", "A consent cannot cover commercial use and exclude it.", "Take out one of the two.")


def _follows(event: ConsentEvent, last: ConsentEvent | None, participant: Participant) -> None:
    living = last is not None and last.kind not in ENDING
    if event.kind not in ENDING and participant.state == "withdrawn":
        raise Conflict("withdrawn", "This participant has left.", "Who comes back is registered anew.")
    if event.kind in ("renewed", "narrowed", "expired") and not living:
        raise Conflict("no_consent_yet", "There is no consent that this could follow.", "Record a consent as given first.")
    if event.kind == "given" and living:
        raise Conflict("consent_exists", "A consent is on record.", "Record the new one as renewed or narrowed.")


def project(participant: Participant) -> Standing:
    """Computes what holds from the events and keeps it where SQL can ask."""
    history = list(queries.events(participant))
    facts = queries.fold(history)
    row = intern(facts) if facts is not None else None
    defaults = {"facts": row, "valid_until": facts.valid_until if facts else None, "events": len(history)}
    standing, _ = Standing.objects.update_or_create(participant=participant, defaults=defaults)
    return standing


def intern(facts: ConsentFacts) -> ConsentFact:
    """The one row of these facts, without their end."""
    data = as_data(facts)
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    row, _ = ConsentFact.objects.get_or_create(digest=digest, defaults={"facts": data})
    return row


def as_data(facts: ConsentFacts) -> dict[str, Any]:
    return {
        "permission": facts.permission,
        "modifiers": sorted(facts.modifiers),
        "diseases": sorted(facts.diseases),
        "countries": sorted(facts.countries),
        "commercial": facts.commercial,
        "ai_training": facts.ai_training,
        "publish_after": facts.publish_after.isoformat() if facts.publish_after else None,
        "max_months": facts.max_months,
    }


def rebuild() -> dict[str, int]:
    """Projects everybody afresh from the events; tells how many rows were not as they should have been."""
    changed = people = 0
    for participant in Participant.objects.iterator():
        with transaction.atomic():
            before = queries.standing(participant)
            old = (before.facts_id, before.valid_until, before.events) if before else None
            if before is None and not queries.events(participant).exists():
                continue
            after = project(participant)
        people += 1
        changed += old != (after.facts_id, after.valid_until, after.events)
    return {"participants": people, "changed": changed}


def end_by_time() -> dict[str, int]:
    """Records as expired what has come to its end: for the record only, since the end itself is compared whenever the rule is asked."""
    over = Standing.objects.filter(facts__isnull=False, valid_until__lt=timezone.now().date()).select_related("participant")
    told = 0
    for standing in over:
        record(standing.participant, "expired")
        told += 1
    return {"expired": told}
