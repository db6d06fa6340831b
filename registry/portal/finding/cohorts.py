"""Kept cohorts: the list, one cohort, sharing it, laying two over each other, and asking for its people."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from registry import smallcells
from registry.access import queries
from registry.counts import actions, cohorts
from registry.counts.models import SavedCohort
from registry.portal.acting import found
from registry.portal.finding import drawing
from registry.portal.finding.asking import AskingPage
from registry.portal.finding.figures import Figure, Pictured
from registry.portal.finding.forms import AskForm, SaveForm, ShareForm
from registry.portal.finding.wording import Words
from registry.rules import Invalid


class CohortsPage(AskingPage):
    """One's own cohorts, those that others share, and where a new one begins."""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = [(one, [Words(one.dataset).condition(word) for word in one.where]) for one in cohorts.cohorts(self.asker)]
        told = {"cohorts": rows, "datasets": queries.counted(self.asker).order_by("name"), "me": self.user}
        return render(request, "portal/finding/cohorts.html", told)


class SavePage(AskingPage):
    """Keeps a question under a name."""

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        dataset, form = self.counted(slug), SaveForm(request.POST)
        if not form.is_valid():
            raise Invalid("name_missing", str(_("A cohort needs a name of at most 120 letters.")), str(_("Give it one, and save again.")))
        made = cohorts.save(self.user, dataset, form.cleaned_data["name"], request.POST.getlist("where"))
        return self.done(_("The cohort is kept. What is kept is its question, not its people."), reverse("portal:cohort", args=[made.pk]))


class OneCohort(AskingPage):
    """What the pages of one cohort share: its question, and what can be done with it. Counting is left to the reader, for it may cost."""

    def cohort(self, pk: UUID) -> SavedCohort:
        """The cohort, if the asker may read it. Raises Http404."""
        return found(cohorts.cohorts(self.asker), pk=pk)  # type: ignore[no-any-return]

    def show(self, cohort: SavedCohort, status: int = 200, **forms: Any) -> HttpResponse:
        words, mine = Words(cohort.dataset), cohort.owner_id == self.user.pk
        others = cohorts.cohorts(self.asker).filter(dataset=cohort.dataset).exclude(pk=cohort.pk)
        told = {
            "cohort": cohort,
            "mine": mine,
            "conditions": [words.condition(one) for one in cohort.where],
            "query": urlencode([("where", one) for one in cohort.where]),
            "price": actions.prices(self.asker, cohort.dataset, cohort.where, [()])[0],
            "others": [one for one in others if len({*one.where, *cohort.where}) <= smallcells.CONDITIONS],
            "shares": cohort.shares.all() if mine else [],
            "link": self.request.build_absolute_uri(reverse("portal:linked_cohort", args=[cohort.link])) if mine and cohort.link else "",
            "given": cohort.dataset.purpose_level not in ("remote_only", "closed"),
            "share_form": ShareForm(),
            "ask_form": AskForm(initial={"title": cohort.name}),
            **forms,
        }
        return render(self.request, "portal/finding/cohort.html", told, status=status)


class CohortPage(OneCohort):
    """One cohort."""

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self.show(self.cohort(pk))


class LinkedCohortPage(OneCohort):
    """A cohort that somebody shared by a link: to be read by whoever is signed in and may count its dataset."""

    def get(self, request: HttpRequest, link: str) -> HttpResponse:
        held = found(cohorts.by_link(self.asker, link), link=link)
        return self.show(held, linked=not cohorts.cohorts(self.asker).filter(pk=held.pk).exists())


class SharePage(OneCohort):
    """Shares a cohort with another account, by its address."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held, form = self.cohort(pk), ShareForm(request.POST)
        if not form.is_valid():
            return self.show(held, 422, share_form=form)
        cohorts.share(self.user, held, form.cleaned_data["email"])
        return self.done(_("If there is an account with this address, it sees the cohort now."), reverse("portal:cohort", args=[pk]))


class LinkPage(OneCohort):
    """Makes the link."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        cohorts.make_link(self.user, self.cohort(pk))
        return self.done(_("There is a link now. Whoever is signed in and has it can read the question."), reverse("portal:cohort", args=[pk]))


class UnsharePage(OneCohort):
    """Ends every share, and the link."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        cohorts.unshare(self.user, self.cohort(pk))
        return self.done(_("Nobody else reads this cohort any more."), reverse("portal:cohort", args=[pk]))


class DeletePage(OneCohort):
    """Deletes a cohort. Requests that were made of it stay as they are."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        cohorts.delete(self.user, self.cohort(pk))
        return self.done(_("The cohort is deleted. Requests that were made of it stay as they are."), reverse("portal:cohorts"))


class AskPage(OneCohort):
    """Freezes the people of a cohort in the draft of a request, which is written further on its own page."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held, form = self.cohort(pk), AskForm(request.POST)
        if not form.is_valid():
            return self.show(held, 422, ask_form=form)
        try:
            made = cohorts.ask_for(self.user, held, **form.asked())
        except Invalid as error:
            form.add_error(None, f"{error.reason} {error.advice}")
            return self.show(held, 422, ask_form=form)
        try:
            onward = reverse("portal:request", args=[made.pk])
        except NoReverseMatch:
            onward = reverse("portal:cohort", args=[pk])
        return self.done(_("The cohort is frozen in the draft of a request: who joins later is not in it. Nobody sees it until you hand it in."), onward)


class OverlapPage(Pictured):
    """Two cohorts of a dataset laid over each other: each of them, and both at once, as three questions."""

    gives = True

    def get(self, request: HttpRequest, pk: UUID, other: UUID) -> HttpResponse:
        first = found(cohorts.cohorts(self.asker), pk=pk)
        second = found(cohorts.cohorts(self.asker), pk=other, dataset=first.dataset)
        counts, exact, left = actions.ask_each(self.asker, first.dataset, [first.where, second.where, sorted({*first.where, *second.where})])
        rows = tuple(zip((first.name, second.name, str(_("both"))), counts, strict=True))
        figure = Figure("overlap", _("Overlap of two cohorts"), (_("Cohort"), _("People")), rows, drawing.bars(rows), exact, left)
        return self.show(figure, first.dataset.slug, dataset=first.dataset)
