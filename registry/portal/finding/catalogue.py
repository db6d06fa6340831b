"""The catalogue that a stranger may read, one dataset's page, the dictionary of its tables, and why something may not be seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from registry import rules
from registry.access import policy, queries
from registry.accounts.models import Dataset
from registry.clinical import dictionary
from registry.counts import publishing, vocabulary
from registry.portal.finding.asking import AskingPage
from registry.portal.finding.wording import Words
from registry.releases import citing
from registry.releases import queries as releases
from registry.rules import Invalid

# How a level is called, and how one comes to the data.
LEVELS: dict[str, tuple[Any, Any]] = {
    "open": (_("open"), _("Sign in, say what it is for, and have it at once. No signature is needed.")),
    "registered": (_("registered"), _("Sign in, say what it is for, and sign the agreement. Then it is yours at once.")),
    "controlled": (_("controlled"), _("Sign in and ask. A steward decides; then you sign the agreement.")),
    "restricted": (_("restricted"), _("Sign in and ask. Two people or a vote decide; then you sign the agreement.")),
    "remote_only": (_("remote only"), _("It can be counted and looked at here. It is never given out.")),
    "closed": (_("closed"), _("It is given to nobody at present.")),
}
ACTIONS: dict[str, Any] = {
    "know": _("know that somebody is in it"), "see": _("see images and clinical values"), "download": _("download"), "contribute": _("hand in"),
    "accept": _("accept an image"), "release": _("put into a release"), "withdraw": _("withdraw somebody"),
}  # fmt: skip
PER_PAGE = 50


@dataclass(frozen=True)
class Card:
    """One dataset as the catalogue shows it."""

    dataset: Dataset
    told: publishing.Published
    ages: str
    sexes: list[tuple[str, int]]
    contrasts: list[tuple[str, int]]
    diagnoses: list[tuple[str, int]]
    level: Any
    how: Any
    pace: queries.Pace

    @property
    def percent(self) -> int | None:
        return None if self.pace.granted is None else round(100 * self.pace.granted)


def cards(datasets: Iterable[Dataset]) -> list[Card]:
    """The cards of these datasets: published numbers, and how they decided so far."""
    rows = list(datasets)
    told, pace = publishing.published(rows), queries.pace(rows)
    return [_card(row, told[row.pk], pace[row.pk]) for row in rows]


def _card(dataset: Dataset, told: publishing.Published, pace: queries.Pace) -> Card:
    words = Words(dataset)

    def named(field: str) -> list[tuple[str, int]]:
        return [(words.value(field, value), count) for value, count in told.facets[field].items()]

    bands = [vocabulary.BANDS["age"][band] for band in told.facets["age"]]
    ages = f"{min(low for low, _high in bands):.0f}–{max(high for _low, high in bands) - 1:.0f}" if bands else ""
    level, how = LEVELS[dataset.purpose_level]
    return Card(dataset, told, ages, named("sex"), named("contrast"), named("diagnosis"), level, how, pace)


class CataloguePage(AskingPage):
    """Datasets as cards. Its numbers were published by the registry itself: reading them costs nothing and tells of nobody."""

    for_strangers = True

    def get(self, request: HttpRequest) -> HttpResponse:
        search = request.GET.get("q", "").replace("\0", "").strip()[:100]
        rows = queries.catalogue(self.asker)
        for word in search.split():
            rows = rows.filter(Q(name__icontains=word) | Q(description__icontains=word) | Q(licence__icontains=word) | Q(slug__icontains=word))
        shown = list(rows.prefetch_related("sites")[: PER_PAGE + 1])
        told = {"cards": cards(shown[:PER_PAGE]), "search": search, "more": len(shown) > PER_PAGE, "most": PER_PAGE}
        return render(request, "portal/finding/catalogue.html", told)


class DatasetPage(AskingPage):
    """One dataset: what it is, its views and their levels, its releases and how they are cited."""

    for_strangers = True

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        dataset = self.dataset(slug)
        living = queries.views(self.asker).filter(dataset=dataset, ended_at=None)
        views = [(view, LEVELS[rules.strictest(view.level, dataset.purpose_level)][0]) for view in living]
        rows = releases.published(self.asker).filter(dataset=dataset).values_list("pk", "version", "created_at", "account__datacite")[:20]
        named = [{"pk": pk, "version": version, "at": at, "cited": citing.sentence(paper or {})} for pk, version, at, paper in rows]
        told = {
            "card": cards([dataset])[0],
            "dataset": dataset,
            "views": views,
            "releases": named,
            "countable": queries.counted(self.asker).filter(pk=dataset.pk).exists(),
            "given": dataset.purpose_level not in ("remote_only", "closed"),
            "sites": dataset.sites.order_by("name"),
            "few": queries.FEW,
        }
        return render(request, "portal/finding/dataset.html", told)


class DictionaryPage(AskingPage):
    """The tables that go with the images: every field, its unit and what it may say. The same for every dataset."""

    for_strangers = True

    def get(self, request: HttpRequest) -> HttpResponse:
        tables = [(name, dictionary.instrument(name)) for name in dictionary.names()]
        return render(request, "portal/finding/dictionary.html", {"tables": tables, "version": dictionary.version()})


class WhyPage(AskingPage):
    """The rule's own answer about one participant, with every reason. Of whom one may not know nothing is told, as little as of who is not there."""

    gives = True

    def get(self, request: HttpRequest) -> HttpResponse:
        who, action = request.GET.get("participant", "").strip(), request.GET.get("action", "see")
        told: dict[str, Any] = {"actions": ACTIONS, "action": action, "participant": who}
        if not who:
            return render(request, "portal/finding/why.html", told)
        if action not in ACTIONS:
            raise Invalid("invalid", "The question does not say what is asked about.", "Choose one of the acts of the list.")
        try:
            answer = policy.why(self.asker, action, UUID(who))
        except ValueError:
            return render(request, "portal/finding/why.html", {**told, "wrong": True}, status=422)
        return render(request, "portal/finding/why.html", {**told, "answer": answer})
