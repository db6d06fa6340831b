"""A request's cohort by distinct consent: what the rule says of each group now, why, and how many they are; for those who decide, who see exact numbers.

However many people were asked for, the rule is asked once per consent. A group is named by its consent's row, so that what is decided on a group is
decided on the people who have that very consent when it is done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, Q, QuerySet, Value, When
from django.db.models.fields import CharField
from django.utils import timezone

from registry import rules
from registry.access import deciding, holding, policy
from registry.access.models import Request, RequestedParticipant
from registry.consent import queries as consent
from registry.consent.models import ConsentFact

LEFT, OVER, CAME_OF_AGE, NONE = "left", "over", "came_of_age", "none"


@dataclass(frozen=True)
class Group:
    """People with one consent. `key`: the id of its facts, or one of the words above. `allowed`: how many of them were granted, once that is decided."""

    key: str
    facts: rules.ConsentFacts | None
    answer: rules.Answer
    people: int
    allowed: int

    @property
    def verdict(self) -> str:
        return self.answer.verdict.value


def _keyed(request: Request) -> QuerySet[RequestedParticipant]:
    """The rows of a request, each with the word of the group it is in where that is not told by the facts alone."""
    on, standing = timezone.now().date(), "participant__standing__"
    over = Q(**{f"{standing}facts__isnull": False, f"{standing}valid_until__lt": on})
    word = Case(
        When(~Q(participant__state="active"), then=Value(LEFT)),
        When(over & Q(**{f"{standing}lapses": True}), then=Value(CAME_OF_AGE)),
        When(over, then=Value(OVER)),
        When(**{f"{standing}facts__isnull": True}, then=Value(NONE)),
        default=Value(""),
        output_field=CharField(),
    )
    return RequestedParticipant.objects.filter(request=request).annotate(word=word)


def of(asker: Any, request: Request) -> list[Group]:
    """The groups of a request, the largest first; none for who does not decide or vote on it."""
    if not may_judge(asker, request):
        return []
    purpose, on = policy.purpose_of(request), timezone.now().date()
    counts = _keyed(request).values("word", "participant__standing__facts").annotate(n=Count("pk"), granted=Count("pk", filter=Q(allowed=True)))
    rows: dict[str, list[int]] = {}
    for row in counts.order_by():
        told = rows.setdefault(row["word"] or str(row["participant__standing__facts"]), [0, 0])
        told[0], told[1] = told[0] + row["n"], told[1] + row["granted"]
    facts = {str(row.pk): consent.read(row) for row in ConsentFact.objects.filter(pk__in=[key for key in rows if key not in _WORDS])}
    found = [Group(key, facts.get(key), _answer(key, facts.get(key), purpose, on), *told) for key, told in rows.items()]
    return sorted(found, key=lambda group: (-group.people, group.key))


_WORDS = frozenset({LEFT, OVER, CAME_OF_AGE, NONE})


def _answer(key: str, facts: rules.ConsentFacts | None, purpose: rules.Purpose, on: Any) -> rules.Answer:
    if key == LEFT:
        return deciding.LEFT
    if key in (OVER, CAME_OF_AGE):
        return rules.ended(lapsed=key == CAME_OF_AGE)
    return rules.decide(facts, purpose, on)


def may_judge(asker: Any, request: Request) -> bool:
    """Whether somebody decides or votes on a request, and so sees whom it asks for in exact numbers. Who votes does not judge what they ask for themselves."""
    if policy.ask_in(asker, "decide", request.dataset_id).permitted:
        return True
    facts = policy.facts_of_asker(asker)
    voter = any(role.kind == request.dataset.voters and role.dataset == str(request.dataset_id) for role in facts.roles)
    return facts.active and voter and bool(request.dataset.quorum) and facts.user not in {str(pk) for pk in holding.team_of(request)}


def people_in(request: Request, keys: Iterable[str]) -> set[UUID]:
    """The participants of a request that are in these groups at this moment."""
    return set(rows_in(request, keys).values_list("participant_id", flat=True))


def rows_in(request: Request, keys: Iterable[str]) -> QuerySet[RequestedParticipant]:
    """The rows of a request that are in these groups at this moment."""
    wanted = set(keys)
    ids = [key for key in wanted - _WORDS if _is_id(key)]
    among = Q(word__in=wanted & _WORDS) | Q(word="", participant__standing__facts__in=ids)
    return _keyed(request).filter(among) if wanted else RequestedParticipant.objects.none()


def _is_id(key: str) -> bool:
    try:
        UUID(key)
    except ValueError:
        return False
    return True
