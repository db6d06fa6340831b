"""The cohort builder: conditions are typed in words, and once the reader pauses the people are counted, by the one counting function.

Half-typed words ask nothing and cost nothing. One count is under way at a time. The page says what is left of the budget, and what each picture would cost,
before it is asked. Without scripts the same form is sent by its button.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from registry import smallcells
from registry.accounts.models import Dataset
from registry.counts import actions
from registry.portal.finding import figures
from registry.portal.finding.asking import AskingPage, is_part
from registry.portal.finding.wording import Words


class BuildPage(AskingPage):
    """The form, with the conditions that the address names. Nothing is counted yet."""

    for_strangers = True

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        dataset = self.counted(slug)
        words = Words(dataset)
        good, bad = words.read(request.GET.getlist("where"))
        return render(request, "portal/finding/build.html", self.form(dataset, words, good, bad))

    def form(self, dataset: Dataset, words: Words, good: list[str], bad: list[str]) -> dict[str, Any]:
        """What the form needs: as many lines as the asker may have conditions."""
        most = actions.most_conditions(self.asker)
        typed = [words.condition(one) for one in good] + bad
        price = actions.prices(self.asker, dataset, good, [()])[0] if len(good) <= most else None
        return {
            "dataset": dataset,
            "lines": [(n + 1, typed[n] if n < len(typed) else "") for n in range(most)],
            "most": most,
            "more": smallcells.CONDITIONS,
            "everything": words.all(),
            "suggestions": words.suggestions(),
            "sites": self.sites(dataset),
            "site": self.request.GET.get("site", ""),
            "price": price,
            "a_day": smallcells.A_DAY,
        }


class CountPage(BuildPage):
    """The number of people of whom all conditions hold: a part of the builder's page, or that page with it."""

    gives = True

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        dataset, site = self.counted(slug), self.site()
        words = Words(dataset)
        good, bad = words.read(request.GET.getlist("where"))
        told: dict[str, Any] = {"dataset": dataset, "bad": bad, "least": dataset.min_count, "step": smallcells.STEP, "a_day": smallcells.A_DAY}
        if not bad:
            answer = actions.ask(self.asker, dataset, good, site=site)
            told |= {"answer": answer, "count": answer.counts[0][1], "conditions": [words.condition(one) for one in answer.conditions]}
            told |= {"where": answer.conditions, "site": site, "plots": self.plots(dataset, answer.conditions, site)}
            told["query"] = urlencode([("where", one) for one in answer.conditions])
        if is_part(request):
            page, told["part"] = "answer.html", True
        else:
            page, told = "build.html", {**self.form(dataset, words, good, bad), "told": told}
        return render(request, f"portal/finding/{page}", told, status=422 if bad else 200)

    def plots(self, dataset: Dataset, where: tuple[str, ...], site: Any) -> list[figures.Offer]:
        """The pictures of this cohort that may be asked for, each with its price."""
        return figures.offers(self.asker, dataset, where, figures.OF_COHORTS, site)
