"""The law of consent: does what a person agreed to cover this use? Standard library only; no database, no clock.

`decide(consent, purpose, on)`: hierarchical DUO (GA4GH Data Use Ontology, EBISPOT/DUO 2021-02-23 terms) as in DUOS: general covers biomedical covers
disease-specific; modifiers only take away. Beside DUO stands what GDPR and a form's tick boxes ask: legal basis, transfer outside the EEA, commercial use,
training of AI, a public crowd, genetic linkage, recontact, the face. Deny beats ask beats permit, with one sentence per rule.
`narrower(new, old)`: whether one consent gives nothing that another does not; `no_looser`: whether it keeps every condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from registry.verdicts import Answer, Invalid, Reason, Verdict, ask, deny, permit, weigh


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


PERMISSIONS = ("NRES", "GRU", "HMB", "DS", "POA")
MODIFIERS = ("RS", "NMDS", "GSO", "NPUNCU", "PUB", "COL", "IRB", "GS", "MOR", "TS", "US", "PS", "IS", "RTN", "CC", "NPOA", "NPU", "NCU")
PURPOSES = ("GRU", "HMB", "DS", "METHODS", "POA")
PROMISES = {
    "IRB": "shows the approval of an ethics board",
    "COL": "works together with the study's investigators",
    "PUB": "publishes the results",
    "RTN": "returns derived data",
}
SAFEGUARDS = "SCC"  # the promise of a requester beyond the EEA: standard contractual clauses (GDPR Art. 46) are signed
ALL_PROMISES = (*PROMISES, SAFEGUARDS)

# GDPR Art. 6(1); a waiver by an ethics board (IRB) stands in for the consent of people who were not asked.
LEGAL_BASES = {
    "6.1.a": "consent of the person",
    "6.1.b": "a contract with the person",
    "6.1.c": "a legal obligation",
    "6.1.d": "vital interests",
    "6.1.e": "a task in the public interest",
    "6.1.f": "legitimate interests",
    "irb_waiver": "waiver of consent by an ethics board",
}
TRANSFERS = ("none", "adequate", "safeguards", "any")  # outside the EEA, each more than the one before
# The European Economic Area: the 27 members of the Union, Iceland, Liechtenstein, Norway.
EEA = _codes("AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO")
# Decisions of the European Commission under GDPR Art. 45 that cover a country; and those that cover only some organisations in it (Canada: commercial ones;
# Japan: private ones; United States: those certified under the Data Privacy Framework). A country not named is taken as one without a decision.
ADEQUATE = _codes("AD AR CH FO GB GG IL IM JE KR NZ UY")
PARTLY_ADEQUATE = _codes("CA JP US")
BY_HAND = {
    "RS": "The consent limits the type of research; a steward must judge whether this is one.",
    "US": "The consent names users; a steward must judge whether the requester is one.",
    "PS": "The consent names projects; a steward must judge whether this is one.",
    "IS": "The consent names institutions; a steward must judge whether the requester's is one.",
}


@dataclass(frozen=True)
class Disease:
    """A disease by its MONDO id, and every id above it in that ontology."""

    id: str
    ancestors: frozenset[str] = frozenset()

    def within(self, ids: frozenset[str]) -> bool:
        return self.id in ids or bool(self.ancestors & ids)


@dataclass(frozen=True)
class ConsentFacts:
    """What a participant agreed to, as it holds now. `diseases` belong to DS, `countries` (ISO 3166-1) to GS: empty means anywhere.

    `transfer`: how far outside the EEA it may go (`TRANSFERS`); `face_intact`: that a face may be shared, which no act of this version does.
    `publish_after` belongs to MOR, `max_months` to TS; `valid_until` is the last day on which the consent holds, `reconsent_due` the first on which a
    parent's does not any more because the participant has come of age.
    """

    permission: str
    modifiers: frozenset[str] = frozenset()
    diseases: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    legal_basis: str = "6.1.a"
    transfer: str = "none"
    commercial: bool = False
    ai_training: bool = False
    public_crowd: bool = False
    genetic_linkage: bool = False
    recontact: bool = False
    face_intact: bool = False
    publish_after: date | None = None
    max_months: int | None = None
    valid_until: date | None = None
    reconsent_due: date | None = None

    @property
    def ends(self) -> date | None:
        """The last day on which it holds, for whichever reason comes first; None: it has no end."""
        days = [self.valid_until, self.reconsent_due - timedelta(days=1) if self.reconsent_due else None]
        return min((day for day in days if day is not None), default=None)

    @property
    def lapses(self) -> bool:
        """Whether it ends because the participant comes of age."""
        return self.reconsent_due is not None and self.ends == self.reconsent_due - timedelta(days=1)


@dataclass(frozen=True)
class Purpose:
    """What a requester wants the data for. `countries` are those of every team member's institution; `promises` are of `ALL_PROMISES`."""

    code: str
    diseases: tuple[Disease, ...] = ()
    countries: frozenset[str] = frozenset()
    commercial: bool = False
    non_profit: bool = True
    ai_training: bool = False
    methods: bool = False
    genetic: bool = False
    clinical_care: bool = False
    public_crowd: bool = False
    genetic_linkage: bool = False
    recontact: bool = False
    face_intact: bool = False
    months: int = 12
    promises: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raises Invalid when the purpose contradicts itself or says too little."""
        if self.code not in PURPOSES:
            raise Invalid("unknown_purpose", "This purpose is not known.", f"Choose one of {', '.join(PURPOSES)}.")
        if self.code == "DS" and not self.diseases:
            raise Invalid("disease_missing", "Disease-specific research must name its diseases.", "Name at least one disease by its MONDO id.")
        if not self.countries:
            raise Invalid("country_missing", "The country of the requester's institution is missing.", "Give the country of every team member.")
        if set(self.promises) - set(ALL_PROMISES):
            raise Invalid("unknown_promise", "A promise is not known.", f"Use {', '.join(ALL_PROMISES)}.")
        if self.face_intact:
            raise Invalid("not_offered", FACE, "Ask for defaced images.")


FACE = "Images with a face are not offered: no act of this version gives a face out, whatever a consent says, because a face names its owner."
EXPIRED = Reason("consent_expired", Verdict.DENY, "The consent has come to its end.")
LAPSED = Reason("consent_lapsed", Verdict.DENY, "The participant has come of age, and the consent of a parent has ended with that.")


def ended(*, lapsed: bool) -> Answer:
    """The answer once a consent's last day is over."""
    return weigh([LAPSED if lapsed else EXPIRED])


def holds(consent: ConsentFacts | None, on: date) -> Answer:
    """Whether there is a consent at all on this day: what conversion of an upload asks, and the first thing every use asks."""
    if consent is None:
        return weigh([deny("no_consent", "No consent is on record for this participant.")])
    if consent.ends is not None and consent.ends < on:
        return ended(lapsed=consent.lapses)
    return weigh([permit("consent_holds", "Consent is on record and holds.")])


def decide(consent: ConsentFacts | None, purpose: Purpose, on: date) -> Answer:
    """Whether this consent covers this purpose on this day, with a sentence for every rule that spoke."""
    first = holds(consent, on)
    if consent is None or not first.permitted:
        return first
    reasons = [_permission(consent, purpose), *_methods(consent, purpose), *_who(consent, purpose), *_where(consent, purpose)]
    reasons += [*_transfer(consent, purpose), *_kind(consent, purpose), *_ticked(consent, purpose), *_time(consent, purpose), *_promised(consent, purpose)]
    reasons += [ask(f"by_hand_{code.lower()}", BY_HAND[code]) for code in sorted(consent.modifiers & BY_HAND.keys())]
    if consent.modifiers - set(MODIFIERS):
        reasons.append(deny("unknown_modifier", "The consent carries a condition that this version does not know, so nothing is given."))
    if consent.legal_basis not in LEGAL_BASES:
        reasons.append(deny("unknown_legal_basis", "The consent names a legal basis that this version does not know, so nothing is given."))
    return weigh(reasons, _obligations(consent, purpose, on))


def _permission(consent: ConsentFacts, purpose: Purpose) -> Reason:
    """The hierarchy: NRES and GRU over HMB over DS; POA stands apart."""
    diseases_covered = bool(purpose.diseases) and all(disease.within(consent.diseases) for disease in purpose.diseases)
    match consent.permission, purpose.code:
        case "NRES" | "GRU", _:
            return permit("general_use", "The consent is for research in general.")
        case "HMB", "HMB" | "DS" | "METHODS":
            return permit("biomedical_use", "The consent is for health, medical or biomedical research, and this is such research.")
        case "HMB", _:
            return deny("not_biomedical", "The consent is for health, medical or biomedical research only, and the purpose goes beyond it.")
        case "DS", "DS" | "METHODS" if diseases_covered:
            return permit("disease_covered", "Every disease of the purpose is covered by the consent.")
        case "DS", "DS":
            return deny("disease_not_covered", "The consent is for research on certain diseases, and the purpose has another one.")
        case "DS", _:
            return deny("disease_only", "The consent is for research on certain diseases only, and the purpose is wider.")
        case "POA", "POA":
            return permit("ancestry_use", "The consent is for research on population origins or ancestry, and this is such research.")
        case "POA", _:
            return deny("ancestry_only", "The consent is for research on population origins or ancestry only.")
    return deny("unknown_permission", "The consent carries a permission that this version does not know, so nothing is given.")


def _methods(consent: ConsentFacts, purpose: Purpose) -> list[Reason]:
    found = []
    if "NMDS" in consent.modifiers and (purpose.methods or purpose.code == "METHODS"):
        found.append(deny("no_methods", "The consent excludes the development of methods."))
    if "NPOA" in consent.modifiers and purpose.code == "POA":
        found.append(deny("no_ancestry", "The consent excludes research on population origins or ancestry."))
    return found


def _who(consent: ConsentFacts, purpose: Purpose) -> list[Reason]:
    found = []
    if purpose.commercial and (not consent.commercial or consent.modifiers & {"NCU", "NPUNCU"}):
        found.append(deny("no_commercial_use", "The consent does not cover commercial use."))
    if not purpose.non_profit and consent.modifiers & {"NPU", "NPUNCU"}:
        found.append(deny("non_profit_only", "The consent covers organisations not for profit only."))
    return found


def _where(consent: ConsentFacts, purpose: Purpose) -> list[Reason]:
    if "GS" not in consent.modifiers and not consent.countries:
        return []
    if not purpose.countries or purpose.countries - consent.countries:
        return [deny("country_not_covered", "The consent is limited to certain countries, and an institution of the team lies elsewhere.")]
    return [permit("country_covered", "Every institution of the team lies in a country that the consent covers.")]


def _transfer(consent: ConsentFacts, purpose: Purpose) -> list[Reason]:
    """Whether the data may go where the team is, as far as GDPR chapter V asks."""
    outside = purpose.countries - EEA
    if purpose.countries and not outside:
        return []
    if consent.transfer == "any":
        return [permit("transfer_any", "The consent covers transfer outside the European Economic Area.")]
    if consent.transfer not in ("adequate", "safeguards") or not purpose.countries:
        return [deny("no_transfer", "The consent does not cover transfer outside the European Economic Area, and an institution of the team lies there.")]
    if outside <= ADEQUATE:
        return [permit("transfer_adequate", "Every country of the team outside the European Economic Area has a decision that its protection is adequate.")]
    if consent.transfer == "safeguards" and SAFEGUARDS in purpose.promises:
        return [permit("transfer_safeguards", "The team signs standard contractual clauses, with which the consent covers transfer.")]
    if outside <= ADEQUATE | PARTLY_ADEQUATE:
        return [ask("transfer_partly_adequate", "A country of the team has a decision that covers some organisations only; a steward must find out.")]
    if consent.transfer == "safeguards":
        return [deny("promise_missing_scc", "The consent covers transfer with safeguards, and standard contractual clauses are not promised.")]
    return [deny("transfer_not_adequate", "The consent covers countries with adequate protection only, and an institution of the team lies elsewhere.")]


def _kind(consent: ConsentFacts, purpose: Purpose) -> list[Reason]:
    found = []
    if "GSO" in consent.modifiers and not purpose.genetic:
        found.append(deny("genetic_only", "The consent is for genetic studies only."))
    if purpose.clinical_care and "CC" not in consent.modifiers:
        found.append(deny("no_clinical_care", "The consent does not cover use in clinical care."))
    return found


# What a form asks by a box to tick: nothing is covered that was not ticked.
TICKED = {
    "ai_training": deny("no_ai_training", "The consent does not cover the training of artificial intelligence."),
    "public_crowd": deny("no_public_crowd", "The consent does not cover showing images to a public crowd of annotators."),
    "genetic_linkage": deny("no_genetic_linkage", "The consent does not cover linkage with genetic data."),
    "recontact": deny("no_recontact", "The consent does not cover that the participant is contacted again."),
}


def _ticked(consent: ConsentFacts, purpose: Purpose) -> list[Reason]:
    found = [reason for name, reason in TICKED.items() if getattr(purpose, name) and not getattr(consent, name)]
    return [*found, deny("not_offered", FACE)] if purpose.face_intact else found


def _time(consent: ConsentFacts, purpose: Purpose) -> list[Reason]:
    found = []
    if "MOR" in consent.modifiers and consent.publish_after is None:
        found.append(ask("moratorium_unclear", "The consent has a publication moratorium without a date; a steward must find out."))
    if "TS" in consent.modifiers or consent.max_months is not None:
        if consent.max_months is None:
            found.append(ask("time_limit_unclear", "The consent limits the time of use without saying how long; a steward must find out."))
        elif purpose.months > consent.max_months:
            found.append(deny("asked_too_long", "The consent limits the time of use to fewer months than asked for."))
    return found


def _promised(consent: ConsentFacts, purpose: Purpose) -> list[Reason]:
    missing = sorted((consent.modifiers & PROMISES.keys()) - purpose.promises)
    return [deny(f"promise_missing_{code.lower()}", f"The consent asks that the requester {PROMISES[code]}, which is not promised.") for code in missing]


def _obligations(consent: ConsentFacts, purpose: Purpose, on: date) -> list[str]:
    found = [f"{code}: the recipient {PROMISES[code]}." for code in sorted(consent.modifiers & PROMISES.keys())]
    if consent.publish_after is not None and consent.publish_after > on:
        found.append(f"MOR: no publication before {consent.publish_after.isoformat()}.")
    if consent.max_months is not None:
        found.append(f"TS: no use for longer than {consent.max_months} months.")
    if consent.transfer == "safeguards" and purpose.countries - EEA - ADEQUATE:
        found.append(f"{SAFEGUARDS}: every institution outside the European Economic Area signs standard contractual clauses.")
    return found


# --- sharing with everybody ----------------------------------------------------------------------------------------------------------------------

OPEN_DENIES = {
    "not_unrestricted": "The consent is for certain uses, and what is shared openly may be put to any.",
    "open_conditions": "The consent sets conditions, and nobody can hold unknown readers to them.",
    "open_countries": "The consent is limited to certain countries, and open data are read everywhere.",
    "open_transfer": "The consent does not cover transfer to every country outside the European Economic Area.",
    "open_commercial": "The consent does not cover commercial use, which open data cannot forbid.",
    "open_ends": "The consent comes to an end on a day, and what was shared openly cannot be called back.",
    "open_time": "The consent limits the time of use, and open data are used without end.",
    "open_too_early": "The consent forbids publication before a day that has not come.",
    "no_ai_training": "The consent does not cover the training of artificial intelligence, which open data cannot forbid.",
    "no_public_crowd": "The consent does not cover that images are shown to the public.",
    "no_genetic_linkage": "The consent does not cover linkage with genetic data, which open data cannot forbid.",
    "unknown_legal_basis": "The consent names a legal basis that this version does not know, so nothing is given.",
}


def openly(consent: ConsentFacts | None, on: date) -> Answer:
    """Whether this consent covers giving the data to everybody for any use and for good, as under CC0: nobody is asked, nothing is promised, nothing ends.

    Fail closed: whatever a reader of open data could do must be covered. CC alone may stand among the modifiers: it gives, and takes nothing.
    """
    first = holds(consent, on)
    if consent is None or not first.permitted:
        return first
    forbids = {
        "not_unrestricted": consent.permission != "NRES",
        "open_conditions": bool(consent.modifiers - {"CC"}),
        "open_countries": bool(consent.countries),
        "open_transfer": consent.transfer != "any",
        "open_commercial": not consent.commercial,
        "open_ends": consent.ends is not None,
        "open_time": consent.max_months is not None,
        "open_too_early": consent.publish_after is not None and consent.publish_after > on,
        "no_ai_training": not consent.ai_training,
        "no_public_crowd": not consent.public_crowd,
        "no_genetic_linkage": not consent.genetic_linkage,
        "unknown_legal_basis": consent.legal_basis not in LEGAL_BASES,
    }
    found = [deny(code, OPEN_DENIES[code]) for code, forbidden in forbids.items() if forbidden]
    return weigh(found or [permit("open_use", "The consent covers any use by anybody, for good.")])


# --- one consent against another -----------------------------------------------------------------------------------------------------------------

WITHIN = {"NRES": {"NRES", "GRU", "HMB", "DS", "POA"}, "GRU": {"NRES", "GRU", "HMB", "DS", "POA"}, "HMB": {"HMB", "DS"}, "DS": {"DS"}, "POA": {"POA"}}
BOXES = ("commercial", "ai_training", "public_crowd", "genetic_linkage", "recontact", "face_intact")


def narrower(new: ConsentFacts, old: ConsentFacts) -> bool:
    """Whether `new` gives nothing that `old` does not: every use that `new` permits, `old` permits too (equal ones are narrower than each other)."""
    return (
        new.permission in WITHIN[old.permission]
        and (old.permission != "DS" or new.diseases <= old.diseases)
        and TRANSFERS.index(new.transfer) <= TRANSFERS.index(old.transfer)
        and all(getattr(old, box) or not getattr(new, box) for box in BOXES)
        and _sooner(new.ends, old.ends)
        and no_looser(new, old)
        # What is left to a human for want of a value stays so: a value would answer for them.
        and ("TS" not in old.modifiers or old.max_months is not None or new.max_months is None)
        and ("MOR" not in old.modifiers or old.publish_after is not None or new.publish_after is None)
    )


def no_looser(new: ConsentFacts, old: ConsentFacts) -> bool:
    """Whether `new` keeps every condition of `old`: conditions may be added, countries and times narrowed. CC alone gives, so it may only go."""
    return (
        new.modifiers >= old.modifiers - {"CC"}
        and ("CC" in old.modifiers or "CC" not in new.modifiers)
        and (not old.countries or (bool(new.countries) and new.countries <= old.countries))
        and _sooner(new.max_months, old.max_months)
        and (old.publish_after is None or (new.publish_after is not None and new.publish_after >= old.publish_after))
    )


def _sooner(new: date | int | None, old: date | int | None) -> bool:
    """A limit is no later than another; None is no limit."""
    return old is None or (new is not None and new <= old)  # type: ignore[operator]
