"""Plain verbs on people: register, add a visit, mark as gone, forget.

Permission and audit line are the business of `intake` and `releases`, which call them.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F

from deid.pseudonyms import CodeKey, is_placeholder
from qa.protocol import purposes_of
from registry.accounts import keys
from registry.accounts.models import Dataset, Site
from registry.rules import Conflict, Invalid
from registry.subjects import vault
from registry.subjects.models import BANDS, Participant, Visit

# No vowels, so that no label spells a word; no characters that look alike.
ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
LABEL_LENGTH = 8
YEARS_SEARCHED = 100
VISIT_LABEL = re.compile(r"[a-z0-9]{1,32}")
MAX_TEXT = 200
AT_ONCE = 5000  # SQLite takes 32,766 parameters in a statement


def register(dataset: Dataset, site: Site, patient_id: str, issuer: str = "", sex: str = "", birth_year_band: str = "") -> Participant:
    """A participant of this site, by the site's own identifier: sealed in the vault, kept here as a code. Vault first, then the registry.

    Raises Invalid for a placeholder, an unknown sex or band; Conflict when this identifier is registered in this dataset already.
    """
    sealed = seal(dataset, site, patient_id, issuer, sex, birth_year_band)
    try:
        return enter(sealed)
    except BaseException:
        unseal([sealed])
        raise


@dataclass(frozen=True)
class Sealed:
    """Somebody whose identifier lies in the vault, and who is not in the registry yet."""

    dataset: Dataset
    site: Site
    code: str
    sex: str
    birth_year_band: str
    link: uuid.UUID


def seal(dataset: Dataset, site: Site, patient_id: str, issuer: str = "", sex: str = "", birth_year_band: str = "") -> Sealed:
    """The first half of registering: checked, and in the vault. Raises as `register`.

    Where somebody is registered already and their half in the vault is missing, it is put back before the refusal: only now is the identifier at hand.
    """
    told = {"patient_id": patient_id, "issuer": issuer, "sex": sex, "birth_year_band": birth_year_band}
    return seal_all(dataset, site, [told])[0]


def seal_all(dataset: Dataset, site: Site, people: Sequence[Mapping[str, str]]) -> list[Sealed]:
    """The first half for many, all or none. Raises as `seal`."""
    sealed = [_checked(dataset, site, **person) for person in people]
    try:
        vault.seal_all((one.link, site.code, person.get("issuer", ""), person["patient_id"]) for one, person in zip(sealed, people, strict=True))
    except BaseException:
        unseal(sealed)
        raise
    return sealed


def _checked(dataset: Dataset, site: Site, patient_id: str, issuer: str = "", sex: str = "", birth_year_band: str = "") -> Sealed:
    plausible(patient_id, issuer, sex, birth_year_band)
    code = keys.code_key(dataset).code(site.code, issuer, patient_id)
    known = Participant.objects.filter(dataset=dataset, code=code).first()
    if known is None:
        return Sealed(dataset, site, code, sex, birth_year_band, uuid.uuid4())
    if known.state == "active" and known.link is not None and not vault.whole(known.link):
        vault.seal(known.link, site.code, issuer, patient_id)
    raise _registered()


def enter(sealed: Sealed) -> Participant:
    """The second half: a participant who leads to what the vault holds. Raises Conflict `already_registered` when somebody was faster."""
    fields = {name: getattr(sealed, name) for name in ("dataset", "site", "code", "sex", "birth_year_band", "link")}
    for _ in range(20):
        try:
            with transaction.atomic():
                return Participant.objects.create(label=_label(), **fields)
        except IntegrityError:
            if Participant.objects.filter(dataset=sealed.dataset, code=sealed.code).exists():
                break
    raise _registered()


def unseal(sealed: Iterable[Sealed]) -> None:
    """Takes out of the vault again whoever did not come to the registry after all."""
    links = [one.link for one in sealed]
    for start in range(0, len(links), AT_ONCE):
        some = set(links[start : start + AT_ONCE])
        vault.erase_all(some - set(Participant.objects.filter(link__in=some).values_list("link", flat=True)))


def _registered() -> Conflict:
    return Conflict("already_registered", "This identifier is registered in this dataset already.", "Use the participant that exists.")


def _label() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LABEL_LENGTH))


def plausible(patient_id: str, issuer: str = "", sex: str = "", band: str = "") -> None:
    """Raises Invalid for what names nobody, is too long, or is no sex or band."""
    if is_placeholder(patient_id):
        raise Invalid("placeholder_identifier", "This identifier is empty or a stand-in, so it names nobody.", "Give the identifier that stands in the scans.")
    if len(patient_id) > MAX_TEXT or len(issuer) > MAX_TEXT:
        raise Invalid("identifier_too_long", "An identifier has at most 200 characters.", "Give PatientID and IssuerOfPatientID as they stand in the scans.")
    if sex not in {"", "F", "M", "O"}:
        raise Invalid("unknown_sex", "Sex is F, M, O or empty.", "Use one of these.")
    if band and band not in BANDS:
        raise Invalid("unknown_band", "A birth year band has five years, beginning with a year that ends in 0 or 5.", "Write it as 1980-1984.")


def add_visit(participant: Participant, label: str, day: date, purpose: str = "") -> Visit:
    """A visit on this calendar day, of which only the keyed code and the distance in days to the first registered visit are kept.

    Raises Invalid for a malformed label, a purpose that the dataset's protocol does not know or a day more than a hundred years away, Conflict when label
    or day are taken.
    """
    if not VISIT_LABEL.fullmatch(label):
        raise Invalid("visit_label", "A visit's label has small letters and digits only, at most 32.", "Write for instance m00 or m12.")
    known = purposes_of(participant.dataset.protocol) if participant.dataset.protocol else purposes_of()
    if purpose and purpose not in known:
        raise Invalid("unknown_purpose", "The dataset's protocol does not know this purpose of a visit.", f"Leave it out, or say one of {', '.join(known)}.")
    key = keys.code_key(participant.dataset)
    with transaction.atomic():
        Participant.objects.select_for_update().get(pk=participant.pk)  # one at a time: the first visit is day 0 for all others
        first = Visit.objects.filter(participant=participant, day=0).first()
        offset = 0 if first is None else days_between(key, participant.code, first.day_code, day)
        visit = Visit(participant=participant, label=label, day=offset, day_code=key.day_code(participant.code, day), purpose=purpose)
        try:
            with transaction.atomic():
                visit.save(force_insert=True)
        except IntegrityError:
            raise Conflict("visit_exists", "This participant has a visit with this label or on this day.", "Use the visit that exists.") from None
    return visit


def days_between(key: CodeKey, code: str, first_day_code: str, day: date) -> int:
    """How many days after the day of `first_day_code` this day is. The code cannot be undone, so candidates are tried outwards from 0.

    Raises Invalid when no day within a hundred years has this code.
    """
    for offset in _outwards(YEARS_SEARCHED * 366):
        try:
            candidate = day - timedelta(days=offset)
        except OverflowError:
            continue
        if key.day_code(code, candidate) == first_day_code:
            return offset
    raise Invalid("visit_too_far", "The visit is more than a hundred years from the first one.", "Check the date of the visit.")


def _outwards(most: int) -> Iterator[int]:
    """0, 1, -1, 2, -2 …"""
    yield 0
    for n in range(1, most + 1):
        yield n
        yield -n


def touch(participant: Participant) -> None:
    """A new epoch: whoever remembered an answer about this participant asks again."""
    Participant.objects.filter(pk=participant.pk).update(epoch=F("epoch") + 1)


def mark_withdrawn(participant: Participant) -> bool:
    """The participant has left; True when this call made it so."""
    return bool(Participant.objects.filter(pk=participant.pk, state="active").update(state="withdrawn", epoch=F("epoch") + 1))


def forget(participant: Participant) -> bool:
    """Forgets who a withdrawn participant was: key file and vault row. Idempotent; True when there was something to forget.

    Raises Conflict when they still take part.
    """
    participant.refresh_from_db()
    if participant.state != "withdrawn":
        raise Conflict("still_takes_part", "Only who has left is forgotten.", "Carry the withdrawal through first.")
    if participant.link is None:
        return False
    vault.erase(participant.link)
    Participant.objects.filter(pk=participant.pk).update(link=None)
    return True


def finish_forgetting(*, erase_orphans: bool = False) -> dict[str, int]:
    """What the tick and `manage.py reconcile` do: finish whatever half a registration or a withdrawal left behind.

    `forgotten`: people who left and were still in the vault; `orphans`: vault rows of a registration that never came to the registry. Both are erased.
    `unsealed`: active people whose half in the vault is gone (a vault restored from an older backup): only the site has the identifier, so they are counted
    here, and registering them again puts it back. A key file without a row opens nothing and holds nothing: it may stay.

    Raises Conflict `vault_strange` rather than erase orphans when the registry knows few of those in the vault, unless `erase_orphans` says that it is right.
    """
    gone = [forget(participant) for participant in Participant.objects.filter(state="withdrawn", link__isnull=False)]
    orphans = vault.orphans()
    if orphans and not erase_orphans and vault.strange():
        raise Conflict(
            "vault_strange",
            f"The registry does not know {len(orphans)} of those in the vault, more than registrations that failed leave behind; none was erased.",
            "See that DATABASE_URL and VAULT_URL belong together and are of one age. If they do, say `manage.py reconcile --erase-orphans`.",
        )
    vault.erase_all(orphans)
    return {"forgotten": sum(gone), "orphans": len(orphans), "unsealed": len(vault.unsealed())}
