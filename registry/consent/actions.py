"""Recording what happened to a consent, and projecting what follows. Permission and audit line are the business of `intake` and `releases`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from django.db import transaction
from django.db.models import ForeignObjectRel, QuerySet
from django.utils import timezone

from registry.accounts import actions as accounts
from registry.accounts.models import Dataset
from registry.consent import queries
from registry.consent.models import GRANTING, Assent, ConsentEvent, ConsentFact, ConsentTemplate, Event, GivenBy, Standing
from registry.rules import BOXES, LEGAL_BASES, MODIFIERS, PERMISSIONS, TRANSFERS, Conflict, ConsentFacts, Invalid, narrower, no_looser
from registry.subjects import actions as subjects
from registry.subjects.models import Participant

# What a granting event states, and what it states where neither anybody nor a form says anything.
GRANT: dict[str, Any] = {
    "permission": "", "modifiers": (), "diseases": (), "countries": (), "legal_basis": "6.1.a", "transfer": "none",
    "commercial": False, "ai_training": False, "public_crowd": False, "genetic_linkage": False, "recontact": False, "face_intact": False,
    "publish_after": None, "max_months": None,
}  # fmt: skip
# What a person gives by choosing it on a form: where it is an option and not said, it was not given. The rest of `GRANT` limits what is given.
CHOSEN = (*BOXES, "transfer", "permission", "diseases")
# What belongs to this one signing, whatever the form says.
SIGNING: dict[str, Any] = {"valid_until": None, "given_by": "self", "assent": "", "reconsent_due": None, "evidence_sha256": "", "recorded_by": None}
MAJORITY = 18  # years, as in every country of the EEA
FOR_CHILDREN = (GivenBy.PARENT, GivenBy.REPRESENTATIVE)
FIRST_OF_MONTH = "Give reconsent_due, the first day of the month in which they come of age: the day itself would be a birthday."


def record(participant: Participant, kind: str, permission: str = "", *, template: ConsentTemplate | None = None, **said: Any) -> ConsentEvent:
    """Appends an event and projects what holds now, in one transaction. A granting event states the whole consent from then on.

    `said`: fields of `GRANT` and `SIGNING`. With a template its codes are what was agreed to, and only its options may be said otherwise; what is left out
    is not said, so `ai_training=False` is not the same as nothing.
    Raises Invalid for what no consent can say, Conflict for an event that does not follow from those before (renewing or ending what was never given).
    """
    event = meant(participant, kind, permission, template=template, **said)
    with transaction.atomic():
        locked = Participant.objects.select_for_update().get(pk=participant.pk)
        last = queries.events(participant).last()
        _follows(event, last, locked)
        _of_age(event, locked.birth_year_band)
        event.number = last.number + 1 if last else 1
        event.save(force_insert=True)
        project(participant)
        subjects.touch(participant)
    return event


def meant(participant: Participant, kind: str, permission: str = "", *, template: ConsentTemplate | None = None, **said: Any) -> ConsentEvent:
    """The event that `record` would append, looked at by itself: what came before is not asked, and nothing is written. Raises Invalid."""
    if set(said) - {*GRANT, *SIGNING}:
        raise TypeError(f"A consent has no {', '.join(sorted(set(said) - {*GRANT, *SIGNING}))}.")
    event = _made(participant, kind, {**({"permission": permission} if permission else {}), **said}, template)
    _sensible(event)
    return event


def _made(participant: Participant, kind: str, said: dict[str, Any], template: ConsentTemplate | None) -> ConsentEvent:
    """The event that was meant, not yet looked at."""
    if kind in Event.values and kind not in GRANTING:
        blank = {"legal_basis": "", "transfer": "", "given_by": ""}
        return ConsentEvent(participant=participant, kind=kind, template=template, **{**said, **blank})
    if template is not None:
        said = {**said, **_by_template(participant, said, template)}
    stated = {**GRANT, **SIGNING, **said}
    return ConsentEvent(participant=participant, kind=kind, template=template, **{name: _plain(value) for name, value in stated.items()})


def _by_template(participant: Participant, said: dict[str, Any], template: ConsentTemplate) -> dict[str, Any]:
    """What signing this form states. Raises Invalid where something else is said that is no option of the form."""
    if template.dataset_id != participant.dataset_id:
        raise Invalid("consent_template", "This form belongs to another dataset.", "Name a form of the participant's dataset.")
    form = {**GRANT, **_read_codes(template.codes)}
    for name in set(said) & set(GRANT) - set(template.options):
        if _plain(said[name]) != _plain(form[name]):
            raise Invalid("consent_template", f"The form does not leave {name} open.", "Leave it out, or publish a form that does.")
    stated = {name: said.get(name, GRANT[name] if name in CHOSEN and name in template.options else value) for name, value in form.items()}
    if not no_looser(_as_facts(stated), _as_facts(form)):
        raise Invalid("consent_template", "A condition of the form is loosened.", "Conditions may be added; countries and times may only be narrowed.")
    return stated


def _as_facts(stated: dict[str, Any]) -> ConsentFacts:
    return ConsentFacts(**{name: frozenset(value) if name in queries.SETS else value for name, value in stated.items()})


def _plain(value: Any) -> Any:
    """Sets and tuples as sorted lists: equal consents are written the same."""
    return sorted(set(value)) if isinstance(value, list | tuple | set | frozenset) else value


def _sensible(event: ConsentEvent) -> None:
    if event.kind not in Event.values:
        raise Invalid("consent_kind", "This kind of consent event is not known.", f"Use one of {', '.join(Event.values)}.")
    if event.kind not in GRANTING:
        if event.permission or event.modifiers or event.diseases or event.countries or event.template or any(getattr(event, box) for box in BOXES):
            raise Invalid("consent_ends", "An event that ends a consent grants nothing.", "Leave permission and conditions empty.")
        return
    if not re.fullmatch(r"[0-9a-f]{64}", event.evidence_sha256):
        raise Invalid("consent_evidence", "A consent needs its evidence.", "Give the SHA-256 of the signed form (or of the decision that stands for it).")
    _complete(event)
    _signed(event)


def _complete(event: ConsentEvent) -> None:
    """The words are known; conditions that need a value have it, in its form."""
    if event.permission not in PERMISSIONS:
        raise Invalid("consent_permission", "A consent has a DUO permission.", f"Use one of {', '.join(PERMISSIONS)}.")
    if set(event.modifiers) - set(MODIFIERS):
        raise Invalid("consent_modifier", "A condition is no DUO modifier that this version knows.", f"Use {', '.join(MODIFIERS)}.")
    if event.legal_basis not in LEGAL_BASES:
        raise Invalid("consent_legal_basis", "A consent names the legal basis of its processing.", f"Use one of {', '.join(LEGAL_BASES)}.")
    if event.transfer not in TRANSFERS:
        raise Invalid("consent_transfer", "How far data may go outside the European Economic Area is not a known word.", f"Use one of {', '.join(TRANSFERS)}.")
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


def _signed(event: ConsentEvent) -> None:
    """Who gave it: the person, a parent until majority, a representative, or a board that waived it."""
    if event.given_by not in GivenBy.values:
        raise Invalid("consent_given_by", "Who gave a consent is not a known word.", f"Use one of {', '.join(GivenBy.values)}.")
    if (event.legal_basis == "irb_waiver") != (event.given_by == GivenBy.BOARD):
        raise Invalid("consent_given_by", "A waiver is given by a board, and a board gives nothing else.", "Use irb_waiver with given_by board, or neither.")
    if event.given_by == GivenBy.BOARD and event.recontact:
        raise Invalid("consent_contradicts", "Who was never asked cannot have agreed to be contacted again.", "Leave recontact out.")
    if event.given_by == GivenBy.PARENT and event.assent not in Assent.values:
        raise Invalid(
            "consent_assent", "With a parent's consent stands what the child said.", "Use given or too_young; a child who says no does not take part."
        )
    if event.given_by != GivenBy.PARENT and event.assent:
        raise Invalid("consent_assent", "Assent belongs to a parent's consent.", "Leave it out, or say given_by parent.")
    if event.reconsent_due is not None and event.given_by not in FOR_CHILDREN:
        raise Invalid("consent_assent", "Majority ends what was said for a child.", "Leave reconsent_due out, or say given_by parent or representative.")
    if (event.reconsent_due is None and event.given_by == GivenBy.PARENT) or (event.reconsent_due is not None and event.reconsent_due.day != 1):
        raise Invalid("consent_majority", "What was said for a child ends when they come of age.", FIRST_OF_MONTH)


def _of_age(event: ConsentEvent, band: str) -> None:
    """Majority as far as the registry knows it: the band of birth years, and that nobody is younger than today. Raises Invalid."""
    if event.kind not in GRANTING:
        return
    today = timezone.now().date()
    born = [int(year) for year in band.split("-") if year]  # first and last year, or nothing
    child = bool(born) and today < date(born[0] + MAJORITY, 1, 1)
    if child and event.given_by == GivenBy.SELF:
        raise Invalid("consent_majority", "By their birth years this participant is a child.", "Say who speaks for them: given_by parent or representative.")
    if child and event.given_by == GivenBy.REPRESENTATIVE and event.reconsent_due is None:
        raise Invalid("consent_majority", "By their birth years this participant is a child, who comes of age.", FIRST_OF_MONTH)
    # Who is born today; who is born on the last day of their band.
    latest = min([today.replace(year=today.year + MAJORITY, day=1), *(date(year + MAJORITY + 1, 1, 1) for year in born[1:])])
    if event.reconsent_due is not None and event.reconsent_due > latest:
        reason = f"This participant has come of age by {latest.isoformat()} at the latest."
        raise Invalid("consent_majority", reason, "Look at the year of reconsent_due, and at the birth years on record.")


def _follows(event: ConsentEvent, last: ConsentEvent | None, participant: Participant) -> None:
    living = last is not None and last.kind in GRANTING
    if event.kind in GRANTING and participant.state == "withdrawn":
        raise Conflict("withdrawn", "This participant has left.", "Who comes back is registered anew.")
    if event.kind in ("renewed", "narrowed", "expired", "lapsed_at_majority") and not living:
        raise Conflict("no_consent_yet", "There is no consent that this could follow.", "Record a consent as given first.")
    if event.kind == "given" and living:
        raise Conflict("consent_exists", "A consent is on record.", "Record the new one as renewed or narrowed.")
    if last is None or not living:
        return
    if event.kind == "narrowed" and not narrower(queries.facts_of(event), queries.facts_of(last)):
        raise Conflict("consent_wider", "This gives more than the consent on record, so it narrows nothing.", "Record it as renewed, with its own paper.")
    if event.kind == "lapsed_at_majority" and not queries.facts_of(last).lapses:
        raise Conflict("consent_not_a_parents", "This consent does not end with majority.", "Record it as expired or withdrawn.")


# --- consent forms -------------------------------------------------------------------------------------------------------------------------------


def add_template(
    dataset: Dataset, name: str, version: int, language: str, title: str, text: str, codes: dict[str, Any], options: Sequence[str] = ()
) -> ConsentTemplate:
    """A version of a consent form in one language, and what signing it means. Raises Invalid, Conflict."""
    if set(codes) - set(GRANT) or set(options) - set(GRANT):
        raise Invalid("consent_template", "A form implies only what a consent can state.", f"Use {', '.join(GRANT)}.")
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", language):
        raise Invalid("consent_language", "A language is named as in BCP 47.", "Write da, en or de-AT.")
    if not title.strip() or not text.strip():
        raise Invalid("consent_template", "A form has a title and a text.", "Give both.")
    _complete(ConsentEvent(kind="given", **{key: _plain(value) for key, value in {**GRANT, **_read_codes(codes)}.items()}))
    written = _written(codes)
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        _next_form(ConsentTemplate.objects.filter(dataset=dataset, name=name), version, language, written, sorted(set(options)))
        template = ConsentTemplate(
            dataset=dataset, name=name, version=version, language=language, title=title, text=text,
            sha256=hashlib.sha256(text.encode()).hexdigest(), codes=written, options=sorted(set(options)),
        )  # fmt: skip
        accounts.checked(template, "consent_template_exists")
    return template


def _next_form(known: QuerySet[ConsentTemplate], version: int, language: str, codes: dict[str, Any], options: list[str]) -> None:
    """Versions count on from one, and one version says the same in every language."""
    newest = known.order_by("-version").values_list("version", flat=True).first() or 0
    if not 1 <= version <= newest + 1:
        raise Conflict("consent_template_version", "Versions of a form are counted from 1, one by one.", f"The next one is {newest + 1}.")
    for sibling in known.filter(version=version):
        if sibling.language == language:
            raise Conflict("consent_template_exists", "This version exists in this language.", "What was signed does not change: publish the next version.")
        if (_written(sibling.codes), sibling.options) != (codes, options):
            raise Conflict("consent_template_languages", "This version means something else in another language.", "Give the same codes and options.")


def _written(codes: dict[str, Any]) -> dict[str, Any]:
    """Codes as they are kept and compared: every field of `GRANT`, as JSON."""
    return {key: value.isoformat() if isinstance(value, date) else _plain(value) for key, value in sorted({**GRANT, **codes}.items())}


def _read_codes(codes: dict[str, Any]) -> dict[str, Any]:
    """Codes as a consent states them: the date is a date."""
    after = codes.get("publish_after")
    return {**codes, "publish_after": date.fromisoformat(after)} if isinstance(after, str) else dict(codes)


# --- the projection ------------------------------------------------------------------------------------------------------------------------------


def project(participant: Participant) -> Standing:
    """Computes what holds from the events and keeps it where SQL can ask."""
    history = list(queries.events(participant))
    facts = queries.fold(history)
    row = intern(facts) if facts is not None else None
    ends, lapses = (facts.ends, facts.lapses) if facts else (None, False)
    defaults = {"facts": row, "valid_until": ends, "lapses": lapses, "events": len(history)}
    standing, _ = Standing.objects.update_or_create(participant=participant, defaults=defaults)
    return standing


def intern(facts: ConsentFacts) -> ConsentFact:
    """The one row of these facts, without their end."""
    data = as_data(facts)
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    row, _ = ConsentFact.objects.get_or_create(digest=digest, defaults={"facts": data})
    return row


def as_data(facts: ConsentFacts) -> dict[str, Any]:
    """The facts as JSON, without their end: that is each participant's own."""
    plain = {name: _plain(getattr(facts, name)) for name in queries.NAMES if name not in queries.ENDS}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in plain.items()}


def rebuild() -> dict[str, int]:
    """Projects everybody afresh from the events; tells how many rows were not as they should have been.

    What points at a row of before a fact was known then points at the row that says the same in full: what a steward settled stays settled.
    """
    changed = people = 0
    for participant in Participant.objects.iterator():
        with transaction.atomic():
            before = queries.standing(participant)
            old = _seen(before) if before else None
            if before is None and not queries.events(participant).exists():
                continue
            after = project(participant)
        people += 1
        changed += old != _seen(after)
    for row in ConsentFact.objects.iterator():
        _renew(row)
    return {"participants": people, "changed": changed}


def _renew(old: ConsentFact) -> None:
    """Turns to the row of the same facts as they are written now whatever points at this one, in every room."""
    with transaction.atomic():
        new = intern(queries.read(old))
        for field in ConsentFact._meta.get_fields(include_hidden=True) if new.pk != old.pk else ():
            if isinstance(field, ForeignObjectRel) and field.related_model:
                field.related_model._base_manager.filter(**{field.field.name: old}).update(**{field.field.name: new})


def _seen(standing: Standing) -> tuple[Any, ...]:
    return standing.facts_id, standing.valid_until, standing.lapses, standing.events


def end_by_time() -> dict[str, int]:
    """Records as expired or lapsed what has come to its end: for the record only, since the end itself is compared whenever the rule is asked."""
    over = Standing.objects.filter(facts__isnull=False, valid_until__lt=timezone.now().date()).select_related("participant")
    told = {"expired": 0, "lapsed_at_majority": 0}
    for standing in over:
        kind = "lapsed_at_majority" if standing.lapses else "expired"
        record(standing.participant, kind)
        told[kind] += 1
    return told
