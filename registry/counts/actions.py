"""The one function that counts people: for the public, for researchers, for those who work here; a single number, or one for every value of a field.

What is told follows `registry.smallcells`. A question is answered after each smaller question that it contains, so that the order in which people ask
makes no difference between a group and its part. The edition's row is locked meanwhile: two who ask at once are answered one after the other.
"""

from __future__ import annotations

import itertools
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from registry import rules, smallcells
from registry.access import policy
from registry.accounts.models import Dataset, User
from registry.audit import actions as audit
from registry.clinical.models import ClinicalRecord
from registry.counts import vocabulary
from registry.counts.models import Asked, Edition, Told
from registry.counts.vocabulary import Condition
from registry.imaging.models import Image
from registry.subjects.models import Participant

Question = frozenset[Condition]
OLD = timedelta(days=30)  # an edition of this age ends with any change
DICE = secrets.SystemRandom()


@dataclass(frozen=True)
class Answer:
    """`counts`: (value of the field counted by, or None; how many, or None where that is not told). `left`: new questions left today, None: no limit."""

    conditions: tuple[str, ...]
    counts: tuple[tuple[str | None, int | None], ...]
    exact: bool
    left: int | None


@dataclass(frozen=True)
class Table:
    """How many people there are of each value of one field with each of another: a row for each value of the first."""

    across: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int | None, ...]], ...]
    exact: bool
    left: int | None


@dataclass(frozen=True)
class Price:
    """What a question would cost now: `new` questions of the `left` that the institution has today. None left: it is not limited."""

    new: int
    left: int | None
    exact: bool


def ask(asker: User | None, dataset: Dataset, where: Iterable[str], by: str = "", site: Any = None) -> Answer:
    """How many people there are of whom all conditions of `where` hold, in all or for each value of the field `by`.

    Exact for a steward of the dataset, and for a contributor who names their own `site`; otherwise as `smallcells` says. Raises Denied, Invalid.
    """
    base, known = vocabulary.read(where, dataset), vocabulary.fields(dataset)
    counts, exact, left = _answered(asker, dataset, base, _cells(base, known, (by,) if by else ()), (by,), site)
    values = known[by] if by else (None,)
    return Answer(tuple(str(one) for one in sorted(base)), tuple(zip(values, counts, strict=True)), exact, left)


def table(asker: User | None, dataset: Dataset, where: Iterable[str], by: str, across: str, site: Any = None) -> Table:
    """How many people there are of whom all of `where` hold, for each value of `by` with each of `across`. As `ask`: given whole or not at all."""
    base, known = vocabulary.read(where, dataset), vocabulary.fields(dataset)
    counts, exact, left = _answered(asker, dataset, base, _cells(base, known, (by, across)), (by, across), site)
    rows, columns, width = known[by], known[across], len(known[across])
    return Table(columns, tuple((row, tuple(counts[n * width : (n + 1) * width])) for n, row in enumerate(rows)), exact, left)


def ask_each(asker: User | None, dataset: Dataset, questions: Iterable[Iterable[str]], site: Any = None) -> tuple[list[int | None], bool, int | None]:
    """The answers to several questions, whether they are exact, and how many are left: with one line, whole or not at all. Raises Denied, Invalid."""
    read = [vocabulary.read(one, dataset) for one in questions]
    return _answered(asker, dataset, frozenset(), read, tuple(_text(one) for one in read), site)


def prices(asker: User | None, dataset: Dataset, where: Iterable[str], ways: Iterable[tuple[str, ...]], site: Any = None) -> list[Price | None]:
    """What `ask` (no or one field) and `table` (two) would cost now with each of these fields; None: they have too many conditions for the asker.

    Nothing is asked, and nothing told. Raises Denied, Invalid as they would.
    """
    base, wanted = vocabulary.read(where, dataset), list(ways)
    who = policy.facts_of_asker(asker)
    exact, most = _is_exact(who, dataset, site), most_conditions(who)
    known = vocabulary.fields(dataset)
    fits = [len(base) + len(fields) <= most for fields in wanted]
    if exact or asker is None:
        return [Price(0, None, exact) if fit else None for fit in fits]
    texts = [{_text(one) for one in _cells(base, known, fields)} if fit else set() for fields, fit in zip(wanted, fits, strict=True)]
    edition = Edition.objects.filter(dataset=dataset).values_list("number", flat=True).first() or 0
    mine = Asked.objects.filter(dataset=dataset, institution=institution(asker))
    paid = set(mine.filter(edition=edition, question__in=set().union(*texts)).values_list("question", flat=True))
    left = max(0, smallcells.A_DAY - mine.filter(day=timezone.now().date()).count())
    return [Price(len(one - paid), left, False) if fit else None for one, fit in zip(texts, fits, strict=True)]


def most_conditions(asker: Any) -> int:
    """How many conditions a question of theirs may have."""
    known = policy.facts_of_asker(asker)
    return smallcells.CONDITIONS if known.user is not None and known.active else smallcells.CONDITIONS_OF_NOBODY


def _cells(base: Question, known: Mapping[str, tuple[str, ...]], fields: tuple[str, ...]) -> list[Question]:
    """The question for each combination of values of these fields. Raises Invalid for a field that is none."""
    if any(field not in known for field in fields):
        raise rules.Invalid("unknown_condition", "There is no such field to count by.", "Use a field of GET /count-fields.")
    return [base | set(one) for one in itertools.product(*([Condition(field, value) for value in known[field]] for field in fields))]


def _is_exact(asker: Any, dataset: Dataset, site: Any) -> bool:
    """Whether the asker is told exact numbers. Raises Denied for a site that is not theirs."""
    if site is not None:
        policy.require_in(asker, "see_work", dataset, site)
    return site is not None or policy.ask_in(asker, "decide", dataset).permitted


def _answered(
    asker: Any, dataset: Dataset, base: Question, questions: list[Question], by: tuple[str, ...], site: Any
) -> tuple[list[int | None], bool, int | None]:
    """The answers, whether they are exact, and how many questions are left: all with one line, or none of them."""
    who = policy.facts_of_asker(asker)
    exact = _is_exact(who, dataset, site)
    _require_few(who, max(len(one) for one in questions))
    with transaction.atomic():
        counts, left, new = _exactly(asker, dataset, site, questions) if exact else _told(asker, dataset, questions)
        detail = {"asked": [_text(base), *by], "exact": exact, "new": new}
        audit.write(asker, "count.ask", dataset if site is None else site, dataset=dataset, **detail)
    return counts, exact, left


def tick() -> None:
    """Ends the editions whose people are not what they were, so that nothing told of somebody who left stays longer than a minute."""
    for edition in Edition.objects.select_related("dataset").exclude(number=0):
        with transaction.atomic():
            _current(edition.dataset)


def _require_few(asker: Any, conditions: int) -> None:
    most = most_conditions(asker)
    if conditions > most:
        raise rules.Denied("too_many_conditions", f"A question has at most {most} conditions here.", "Leave some out; who signs in may ask with three.")


def _exactly(asker: Any, dataset: Dataset, site: Any, questions: list[Question]) -> tuple[list[int | None], int | None, int]:
    """Of everybody whom the asker sees by their work here."""
    rows = Participant.objects.filter(dataset=dataset, **({"site": site} if site is not None else {}))
    people = set(policy.limit(asker, "see", rows, "pk").values_list("pk", flat=True))
    groups = vocabulary.groups(dataset, {condition for question in questions for condition in question})
    return [len(people.intersection(*(groups[one] for one in question))) for question in questions], None, len(questions)


# --- as it may be told -----------------------------------------------------------------------------------------------------------------------------


def _told(asker: Any, dataset: Dataset, questions: list[Question]) -> tuple[list[int | None], int | None, int]:
    edition = _current(dataset)
    left, new = _spend(asker, edition, questions) if asker is not None else (None, len(questions))
    counting = _Counting(edition, questions)
    return [counting.answer(question) for question in questions], left, new


def told_to_nobody(dataset: Dataset, questions: list[Question]) -> list[int | None]:
    """What anybody is told, for `counts.publishing`, inside its transaction and with its line."""
    return _told(None, dataset, questions)[0]


def _spend(asker: User, edition: Edition, questions: list[Question]) -> tuple[int, int]:
    """Notes new questions of the asker's institution: how many more it may ask today, and how many of these are new. All or none: raises Denied."""
    today, who = timezone.now().date(), institution(asker)
    mine = Asked.objects.filter(dataset=edition.dataset, institution=who)
    texts = {_text(question) for question in questions}
    new = texts - set(mine.filter(edition=edition.number, question__in=texts).values_list("question", flat=True))
    left = smallcells.A_DAY - mine.filter(day=today).count() - len(new)
    if left < 0:
        raise rules.Denied(
            "questions_spent",
            f"Your institution has asked this dataset its {smallcells.A_DAY} new questions of today, or these would be more.",
            "Ask again tomorrow (UTC); what was asked before is answered at any time.",
        )
    Asked.objects.bulk_create(Asked(dataset=edition.dataset, institution=who, edition=edition.number, question=text, day=today) for text in sorted(new))
    return left, len(new)


def institution(user: User) -> str:
    """Whose budget an account spends: its institution however it is written; all accounts without one share one."""
    return " ".join(unicodedata.normalize("NFKC", user.institution).casefold().split())[:200]


def _text(question: Question) -> str:
    return "&".join(str(one) for one in sorted(question))


class _Counting:
    """Answers questions of one edition, whose row is locked."""

    def __init__(self, edition: Edition, questions: Iterable[Question]) -> None:
        self.edition, self.least = edition, edition.dataset.min_count
        self.bit = {UUID(pk): 1 << n for n, pk in enumerate(edition.members)}
        self.weight = (len(edition.members) + len(edition.left_out)) / max(1, len(edition.members))
        self.masks: dict[Condition, int] = {}
        self.known = dict(edition.told.values_list("question", "count"))
        new = {one for question in questions if _text(question) not in self.known for one in question}
        for one, having in vocabulary.groups(edition.dataset, new).items():
            self.masks[one] = sum(self.bit.get(pk, 0) for pk in having)

    def answer(self, question: Question) -> int | None:
        """The number told, or None. The smaller questions in it are answered first."""
        for size in range(len(question)):
            for part in itertools.combinations(sorted(question), size):
                self._settle(frozenset(part))
        return self._settle(question)

    def _settle(self, question: Question) -> int | None:
        text = _text(question)
        if text not in self.known:
            people = self._people(question)
            count, own = smallcells.tell(people, self._near(people), self.least, DICE, self.weight)
            kept = {"people": people.to_bytes(len(self.bit) // 8 + 1, "big"), "size": people.bit_count()} if own else {}
            Told.objects.create(edition=self.edition, question=text, count=count, **kept)
            self.known[text] = count
        return self.known[text]

    def _people(self, question: Question) -> int:
        found = (1 << len(self.bit)) - 1
        for condition in question:
            found &= self.masks[condition]
        return found

    def _near(self, people: int) -> Iterable[smallcells.Group]:
        """The groups with answers of their own that may be near: their sizes are."""
        size = people.bit_count()
        rows = self.edition.told.filter(size__gt=size - self.least, size__lt=size + self.least).order_by("pk")
        return (smallcells.Group(int.from_bytes(row.people, "big"), row.count) for row in rows)


# --- who is counted --------------------------------------------------------------------------------------------------------------------------------


def _current(dataset: Dataset) -> Edition:
    """The edition that holds now, locked until the transaction ends; a new one where somebody left, or enough others joined."""
    Edition.objects.get_or_create(dataset=dataset)
    edition = Edition.objects.select_for_update().select_related("dataset").get(dataset=dataset)
    here = {str(pk) for pk in policy.countable(dataset).values_list("pk", flat=True)}
    before = {*edition.members, *edition.left_out}
    if edition.began_at is None or before - here or len(here - before) >= dataset.min_count or ((here != before or _changed(edition)) and _old(edition)):
        _begin(edition, sorted(here))
    return edition


def _old(edition: Edition) -> bool:
    return edition.began_at is not None and edition.began_at < timezone.now() - OLD


def _changed(edition: Edition) -> bool:
    """Whether anything was written or decided of the dataset's people since the edition began."""
    mine = {"visit__participant__dataset": edition.dataset}
    records = ClinicalRecord.objects.filter(**mine, recorded_at__gt=edition.began_at)
    return records.exists() or Image.objects.filter(**mine, decided_at__gt=edition.began_at).exists()


def _begin(edition: Edition, people: list[str]) -> None:
    """The next edition: others are left out, and every answer is drawn anew."""
    DICE.shuffle(people)
    out = smallcells.left_out(len(people), edition.dataset.min_count)
    edition.number, edition.began_at = edition.number + 1, timezone.now()
    edition.left_out, edition.members = people[:out], people[out:]
    edition.save()
    edition.told.all().delete()
    Asked.objects.filter(dataset=edition.dataset, edition__lt=edition.number, day__lt=edition.began_at.date()).delete()
