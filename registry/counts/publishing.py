"""The numbers that the catalogue shows to strangers: a fixed set of questions, asked by the registry itself once in each edition.

They are answers of the one counting function to nobody, with the limits of nobody, so they tell no more than anybody could ask. Reading them locks nothing,
costs nothing and writes nothing: a stranger who reloads a page fills no log. Who leaves ends the edition within a minute (`actions.tick`), and what was
published goes with it until the next tick counts anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from registry.accounts.models import Dataset
from registry.audit import actions as audit
from registry.counts import actions, vocabulary
from registry.counts.models import Told
from registry.counts.vocabulary import Condition

SYSTEM = "system:catalogue"
FACETS = ("sex", "age", "diagnosis", "contrast", "tesla")


@dataclass
class Published:
    """What is told of one dataset: about how many people, and of which values of each facet how many. `counted`: false before the first tick."""

    counted: bool = False
    total: int | None = None
    facets: Mapping[str, dict[str, int]] = field(default_factory=dict)


def _questions() -> dict[str, Condition | None]:
    """Every published question as text."""
    found: dict[str, Condition | None] = {"": None}
    for name in FACETS:
        found |= {str(one): one for one in (Condition(name, value) for value in vocabulary.values(name))}
    return found


def tick() -> int:
    """Counts what is not published yet in the present edition of each dataset; returns how many datasets were."""
    texts = list(_questions())
    done = 0
    for dataset in Dataset.objects.order_by("created_at"):
        if Told.objects.filter(edition__dataset=dataset, question__in=texts).count() < len(texts):
            publish(dataset)
            done += 1
    return done


def publish(dataset: Dataset) -> None:
    """Asks the published questions, with one line for all of them."""
    questions = [frozenset({one}) if one else frozenset() for one in _questions().values()]
    with transaction.atomic():
        actions.told_to_nobody(dataset, questions)
        audit.write(SYSTEM, "count.publish", dataset, dataset=dataset, questions=len(questions))


def published(datasets: Iterable[Any]) -> dict[UUID, Published]:
    """What is told of each of these datasets, in one query. Which of them the reader may know of is the caller's to ask (`access.queries.catalogue`)."""
    wanted, questions = [one.pk for one in datasets], _questions()
    found: dict[UUID, Published] = {pk: Published(facets={name: {} for name in FACETS}) for pk in wanted}
    rows = Told.objects.filter(edition__dataset__in=wanted, question__in=list(questions))
    for pk, text, count in rows.values_list("edition__dataset", "question", "count"):
        one, condition = found[pk], questions[text]
        one.counted = True
        if condition is None:
            one.total = count
        elif count is not None:
            one.facets[condition.field][condition.value] = count
    return found
