"""The law: from plain facts, who may have what, and the sentence why.

Standard library only; nothing here knows a database, a clock or a person. Three questions are answered:

- `decide(consent, purpose, on)`: does this consent cover this use? Hierarchical DUO (GA4GH Data Use Ontology, EBISPOT/DUO 2021-02-23 terms) as in DUOS:
  general covers biomedical covers disease-specific; modifiers only take away. Deny beats ask beats permit, with one sentence per rule.
- `may(asker, action, subject, on)`: may this asker do this to this participant's data?
- `may_in(asker, action, dataset, site)`: may this asker do this in this dataset?

`registry.access.policy` gathers the facts, asks here, and turns the same answer into SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum


class Refusal(Exception):
    """What a person asked for is not done. `code` is stable (snake_case), `reason` a sentence, `advice` what to do."""

    def __init__(self, code: str, reason: str, advice: str = "") -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.advice = advice


class Denied(Refusal):
    """The asker may not (HTTP 403)."""


class Invalid(Refusal):
    """What was sent does not make sense, or not now (HTTP 4xx by code). `errors` may name fields: `{"field": …, "reason": …}`."""

    def __init__(self, code: str, reason: str, advice: str = "", errors: Iterable[Mapping[str, str]] = ()) -> None:
        super().__init__(code, reason, advice)
        self.errors = [dict(error) for error in errors]


class Conflict(Invalid):
    """It cannot be done in this state, or somebody else was faster (HTTP 409)."""


class Verdict(StrEnum):
    """The three answers. ASK: the rule cannot tell, a human must."""

    PERMIT = "permit"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True)
class Reason:
    """One rule that spoke: its code, what it says, and the sentence a person reads."""

    code: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Answer:
    """The verdict with every reason for it, and what the recipient takes upon them (DUO shorthands with a sentence)."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    obligations: tuple[str, ...] = ()

    @property
    def permitted(self) -> bool:
        return self.verdict is Verdict.PERMIT

    def require(self) -> None:
        """Raises Denied with the first reason that forbids, unless the answer permits."""
        if not self.permitted:
            reason = next(reason for reason in self.reasons if reason.verdict is self.verdict)
            raise Denied(reason.code, reason.sentence)


def weigh(reasons: Iterable[Reason], obligations: Iterable[str] = ()) -> Answer:
    """Deny beats ask beats permit. No reason at all is a denial: silence permits nothing."""
    known = tuple(reasons)
    for verdict in (Verdict.DENY, Verdict.ASK, Verdict.PERMIT):
        if any(reason.verdict is verdict for reason in known):
            return Answer(verdict, known, tuple(obligations) if verdict is not Verdict.DENY else ())
    return Answer(Verdict.DENY, (Reason("nothing_permits", Verdict.DENY, "No rule permits this."),))


def permit(code: str, sentence: str) -> Reason:
    return Reason(code, Verdict.PERMIT, sentence)


def deny(code: str, sentence: str) -> Reason:
    return Reason(code, Verdict.DENY, sentence)


def ask(code: str, sentence: str) -> Reason:
    return Reason(code, Verdict.ASK, sentence)


# --- consent against purpose ---------------------------------------------------------------------------------------------------------------------

PERMISSIONS = ("NRES", "GRU", "HMB", "DS", "POA")
MODIFIERS = ("RS", "NMDS", "GSO", "NPUNCU", "PUB", "COL", "IRB", "GS", "MOR", "TS", "US", "PS", "IS", "RTN", "CC", "NPOA", "NPU", "NCU")
PURPOSES = ("GRU", "HMB", "DS", "METHODS", "POA")
PROMISES = {
    "IRB": "shows the approval of an ethics board",
    "COL": "works together with the study's investigators",
    "PUB": "publishes the results",
    "RTN": "returns derived data",
}
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

    `publish_after` belongs to MOR, `max_months` to TS; `valid_until` is the last day on which the consent holds.
    """

    permission: str
    modifiers: frozenset[str] = frozenset()
    diseases: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    commercial: bool = False
    ai_training: bool = False
    publish_after: date | None = None
    max_months: int | None = None
    valid_until: date | None = None


@dataclass(frozen=True)
class Purpose:
    """What a requester wants the data for. `countries` are those of every team member's institution; `promises` DUO shorthands they commit to."""

    code: str
    diseases: tuple[Disease, ...] = ()
    countries: frozenset[str] = frozenset()
    commercial: bool = False
    non_profit: bool = True
    ai_training: bool = False
    methods: bool = False
    genetic: bool = False
    clinical_care: bool = False
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


def holds(consent: ConsentFacts | None, on: date) -> Answer:
    """Whether there is a consent at all on this day: what conversion of an upload asks, and the first thing every use asks."""
    if consent is None:
        return weigh([deny("no_consent", "No consent is on record for this participant.")])
    if consent.valid_until is not None and consent.valid_until < on:
        return weigh([deny("consent_expired", "The consent has come to its end.")])
    return weigh([permit("consent_holds", "Consent is on record and holds.")])


def decide(consent: ConsentFacts | None, purpose: Purpose, on: date) -> Answer:
    """Whether this consent covers this purpose on this day, with a sentence for every rule that spoke."""
    first = holds(consent, on)
    if consent is None or not first.permitted:
        return first
    reasons = [_permission(consent, purpose), *_methods(consent, purpose), *_who(consent, purpose), *_where(consent, purpose)]
    reasons += [*_kind(consent, purpose), *_time(consent, purpose, on), *_promised(consent, purpose)]
    reasons += [ask(f"by_hand_{code.lower()}", BY_HAND[code]) for code in sorted(consent.modifiers & BY_HAND.keys())]
    unknown = consent.modifiers - set(MODIFIERS)
    reasons += [deny("unknown_modifier", "The consent carries a condition that this version does not know, so nothing is given.")] if unknown else []
    return weigh(reasons, _obligations(consent, on))


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
    if purpose.ai_training and not consent.ai_training:
        found.append(deny("no_ai_training", "The consent does not cover the training of artificial intelligence."))
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


def _kind(consent: ConsentFacts, purpose: Purpose) -> list[Reason]:
    found = []
    if "GSO" in consent.modifiers and not purpose.genetic:
        found.append(deny("genetic_only", "The consent is for genetic studies only."))
    if purpose.clinical_care and "CC" not in consent.modifiers:
        found.append(deny("no_clinical_care", "The consent does not cover use in clinical care."))
    return found


def _time(consent: ConsentFacts, purpose: Purpose, on: date) -> list[Reason]:
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


def _obligations(consent: ConsentFacts, on: date) -> list[str]:
    found = [f"{code}: the recipient {PROMISES[code]}." for code in sorted(consent.modifiers & PROMISES.keys())]
    if consent.publish_after is not None and consent.publish_after > on:
        found.append(f"MOR: no publication before {consent.publish_after.isoformat()}.")
    return found


# --- asker, action, participant ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Role:
    """A living role: contributors have a site, the others None."""

    kind: str
    dataset: str
    site: str | None = None


@dataclass(frozen=True)
class Grant:
    """An entitlement of the asker: through which request, for which purpose, from when until when."""

    request: str
    dataset: str
    purpose: Purpose
    starts: datetime
    ends: datetime
    revoked: bool = False

    def alive(self, at: datetime) -> bool:
        return not self.revoked and self.starts <= at < self.ends


@dataclass(frozen=True)
class Asker:
    """Who asks. `user` None: nobody signed in. `admin` opens datasets, sites and accounts, and sees no participant by it."""

    user: str | None
    active: bool = True
    admin: bool = False
    roles: frozenset[Role] = frozenset()
    grants: tuple[Grant, ...] = ()


NOBODY = Asker(user=None, active=False)


@dataclass(frozen=True)
class Subject:
    """A participant as the rule sees them.

    `allowed`: requests in which a steward allowed them; `settled`: those of them in which an ASK was answered for the consent that holds now.
    """

    dataset: str
    site: str
    withdrawn: bool = False
    closed: bool = False
    consent: ConsentFacts | None = None
    allowed: frozenset[str] = frozenset()
    settled: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Action:
    """What an action needs: a role in the dataset (a contributor's only at the participant's site), or a grant; and whether it ends with the consent."""

    roles: frozenset[str] = field(default_factory=frozenset)
    by_grant: bool = False
    after_withdrawal: bool = False
    needs_consent: bool = False


ACTIONS: Mapping[str, Action] = {
    # That this participant exists, their state, and what is still to be done about them.
    "know": Action(frozenset({"contributor", "steward", "auditor"}), after_withdrawal=True),
    # Images, clinical data, visits.
    "see": Action(frozenset({"contributor", "steward"}), by_grant=True),
    # Visits, consents, clinical data and scans are handed in.
    "contribute": Action(frozenset({"contributor"})),
    # Renderings of the head before its face was removed.
    "review": Action(frozenset({"steward"}), needs_consent=True),
    # An image becomes part of what can be released.
    "accept": Action(frozenset({"steward"}), needs_consent=True),
    "release": Action(frozenset({"steward"}), needs_consent=True),
    "download": Action(by_grant=True),
    "withdraw": Action(frozenset({"contributor", "steward"}), after_withdrawal=True),
}


def may(asker: Asker, action: str, subject: Subject, at: datetime) -> Answer:
    """Whether the asker may do `action` to this participant's data at this time. Raises KeyError for an action that does not exist."""
    rule = ACTIONS[action]
    if asker.user is None or not asker.active:
        return weigh([deny("not_signed_in", "Nobody is signed in, or the account is disabled.")])
    if subject.withdrawn and not rule.after_withdrawal:
        return weigh([deny("withdrawn", "This participant has left.")])
    if rule.needs_consent and not holds(subject.consent, at.date()).permitted:
        return holds(subject.consent, at.date())
    for role in asker.roles:
        if role.kind in rule.roles and role.dataset == subject.dataset and role.site in (None, subject.site):
            return weigh([permit(f"as_{role.kind}", f"The asker is {role.kind} here.")])
    if not rule.by_grant:
        return weigh([deny("no_role", "The asker has no role here that allows this.")])
    return _by_grant(asker, subject, at)


def _by_grant(asker: Asker, subject: Subject, at: datetime) -> Answer:
    """The best answer of all living grants: one that permits is enough, and otherwise the reasons of all are shown."""
    if subject.closed:
        return weigh([deny("dataset_closed", "This dataset is closed: it is given to nobody.")])
    reasons: list[Reason] = []
    for grant in asker.grants:
        if grant.dataset != subject.dataset or not grant.alive(at):
            continue
        answer = through(grant, subject, at)
        if answer.permitted:
            return answer
        reasons += answer.reasons
    return weigh([*reasons, deny("no_grant", "No living entitlement of the asker covers this participant.")])


def through(grant: Grant, subject: Subject, at: datetime) -> Answer:
    """What one living grant gives of one participant: the steward allowed them, and their consent, asked again now, covers the purpose."""
    if grant.request not in subject.allowed:
        return weigh([deny("not_granted", "The request was not granted for this participant.")])
    answer = decide(subject.consent, grant.purpose, at.date())
    if answer.verdict is Verdict.ASK and grant.request in subject.settled:
        return weigh([permit("settled", "A steward has judged what the rule leaves to a human.")], answer.obligations)
    return answer


# --- asker, action, dataset ----------------------------------------------------------------------------------------------------------------------

DATASET_ACTIONS: Mapping[str, frozenset[str]] = {
    "register": frozenset({"contributor"}),
    "upload": frozenset({"contributor"}),
    "decide": frozenset({"steward"}),
    "freeze": frozenset({"steward"}),
    "see_work": frozenset({"steward", "contributor"}),
    "read_audit": frozenset({"steward", "auditor"}),
    "give_roles": frozenset({"steward"}),
}
ADMIN_ACTIONS = frozenset({"open_dataset", "open_site", "open_account", "give_roles", "read_operations"})


def may_in(asker: Asker, action: str, dataset: str, site: str | None = None) -> Answer:
    """Whether the asker may do `action` in this dataset; with `site`, a contributor's role must be of that site. Raises KeyError for unknown actions."""
    roles = DATASET_ACTIONS[action]
    if asker.user is None or not asker.active:
        return weigh([deny("not_signed_in", "Nobody is signed in, or the account is disabled.")])
    if asker.admin and action in ADMIN_ACTIONS:
        return weigh([permit("as_admin", "The asker runs this registry.")])
    for role in asker.roles:
        if role.kind in roles and role.dataset == dataset and (role.site is None or site is None or role.site == site):
            return weigh([permit(f"as_{role.kind}", f"The asker is {role.kind} here.")])
    return weigh([deny("no_role", "The asker has no role here that allows this.")])


def may_run(asker: Asker, action: str) -> Answer:
    """Whether the asker may do what only those who run the registry do (`ADMIN_ACTIONS`). Raises KeyError for unknown actions."""
    if action not in ADMIN_ACTIONS:
        raise KeyError(action)
    if asker.user is None or not asker.active:
        return weigh([deny("not_signed_in", "Nobody is signed in, or the account is disabled.")])
    if asker.admin:
        return weigh([permit("as_admin", "The asker runs this registry.")])
    return weigh([deny("not_admin", "Only those who run this registry may do this.")])
