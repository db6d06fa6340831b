"""The people of a site: who is registered, their visits and consents, one by one or as a pasted table with a preview; and one person's own page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from registry.access import policy
from registry.consent import queries as consent
from registry.intake import actions, overview
from registry.portal.acting import found
from registry.portal.handing import pasted
from registry.portal.handing.acting import Handing
from registry.portal.handing.forms import NewConsent, NewVisit, Pasted, Person, Withdraw
from registry.releases import actions as releases
from registry.releases import queries as departures
from registry.releases import reporting
from registry.releases.models import Removal
from registry.subjects.models import Participant

AT_ONCE = 50
# What a departure or a recall has done, by the names of its steps (`registry.releases.certificates` says the same on paper).
STEPS = {
    "ended": _("Nobody is given it any more; packages with it are dead"), "released": _("The next release was made without it"),
    "tombstoned": _("Earlier releases keep paths and hashes only"), "bytes_deleted": _("Its files were deleted"),
    "quarantine_wiped": _("Originals and pictures were destroyed"), "vault_erased": _("Who the person was is forgotten"),
    "notified": _("Who had received it was told to delete it"), "certified": _("The certificate was made"),
}  # fmt: skip
TITLES = {"people": _("Participants from a table"), "visits": _("Visits from a table"), "consents": _("Consents from a table")}


class PeoplePage(Handing):
    """The people of one's site in a dataset, and the form that registers one."""

    template = "portal/handing/people.html"
    gives = True

    def get(self, request: HttpRequest, slug: str, site: str) -> HttpResponse:
        return self.shown(self.place(f"{slug}/{site}"), Person())

    def post(self, request: HttpRequest, slug: str, site: str) -> HttpResponse:
        place, form = self.place(f"{slug}/{site}"), Person(request.POST)
        if not form.is_valid():
            return self.shown(place, form, 400)
        made = self.attempt(lambda: actions.register(self.asker, place.dataset, place.site, [form.cleaned_data]))
        if made is None:
            return self.shown(place, form)
        return self.done(_("Registered. Now add the visits, and the consent."), "portal:person", pk=made[0].pk)

    def shown(self, place: overview.Place, form: Person, status: int = 200) -> HttpResponse:
        page = Paginator(overview.people(self.asker, place), AT_ONCE).get_page(self.request.GET.get("page"))
        return self.show(status, place=place, form=form, page=page, people=page.object_list, **self.about(place.dataset))


class FindPage(Handing):
    """Somebody by label or identifier: looked up by POST, so that no address and no log holds it."""

    def post(self, request: HttpRequest, slug: str, site: str) -> HttpResponse:
        place = self.place(f"{slug}/{site}")
        who, issuer = request.POST.get("who", ""), request.POST.get("issuer", "")
        one = self.attempt(lambda: overview.person(self.asker, place.dataset, place.site, who, issuer))
        if one is None:
            assert self.refused is not None
            return self.done(f"{self.refused.reason} {self.refused.advice}", "portal:people", slug=slug, site=site)
        return self.done(_("Found."), "portal:person", pk=one.pk)


class PastePage(Handing):
    """A table: looked at first, then taken whole or not at all. What is taken is read anew from the same text."""

    template = "portal/handing/paste.html"

    def get(self, request: HttpRequest, slug: str, site: str, kind: str) -> HttpResponse:
        return self._shown(self._place(slug, site, kind), kind, Pasted())

    def post(self, request: HttpRequest, slug: str, site: str, kind: str) -> HttpResponse:
        place, form = self._place(slug, site, kind), Pasted(request.POST)
        if not form.is_valid():
            return self._shown(place, kind, form, 400)
        told = pasted.read(self.asker, place, kind, form.cleaned_data["table"])
        if told.faults or "take" not in request.POST:
            return self._shown(place, kind, form, 422 if told.faults else 200, told=told)
        made = self.attempt(lambda: _take(self, place, kind, told.rows))
        if made is None:
            assert self.refused is not None
            told.faults = pasted.refusal(self.refused)
            self.refused = None if told.faults else self.refused  # said once, by its row
            return self._shown(place, kind, form, 422, told=told)
        words = ngettext("%(n)d row was taken.", "%(n)d rows were taken.", len(made)) % {"n": len(made)}
        return self.done(words, "portal:people", slug=slug, site=site)

    def _place(self, slug: str, site: str, kind: str) -> overview.Place:
        if kind not in pasted.COLUMNS:
            raise Http404
        return self.place(f"{slug}/{site}")

    def _shown(self, place: overview.Place, kind: str, form: Pasted, status: int = 200, told: pasted.Reading | None = None) -> HttpResponse:
        columns = [(name, needed) for name, needed in pasted.COLUMNS[kind].items()]
        more = self.about(place.dataset, _people(place.dataset, place.site))
        answer = self.show(status, place=place, kind=kind, title=TITLES[kind], form=form, told=told, columns=columns, **more)
        answer.shows = told is not None  # type: ignore[attr-defined]  # a preview tells who is registered
        return answer


def _people(dataset: Any, site: Any) -> tuple[str, Any]:
    """The list's place in a path."""
    return reverse("portal:people", kwargs={"slug": dataset.slug, "site": site.code}), _("Participants")


def _take(page: Handing, place: overview.Place, kind: str, rows: list[Any]) -> list[Any]:
    acts: dict[str, Callable[[], list[Any]]] = {
        "people": lambda: actions.register(page.asker, place.dataset, place.site, rows),
        "visits": lambda: actions.add_visits(page.asker, rows),
        "consents": lambda: actions.record_consents(page.asker, rows),
    }
    return acts[kind]()


class OnePerson(Handing):
    """One participant, for their own site: consent with its history, visits, images and their states, and what can be done."""

    template = "portal/handing/person.html"
    gives = True

    def person(self, pk: UUID) -> Participant:
        """Somebody of a site for which the asker hands in. Raises Http404."""
        one = found(policy.participants(self.asker, "know").select_related("dataset", "site"), pk=pk)
        self.place(f"{one.dataset.slug}/{one.site.code}")
        return one

    def forms_of(self, one: Participant) -> list[Any]:
        return list(consent.templates(one.dataset_id))

    def shown(self, one: Participant, status: int = 200, **filled: Any) -> HttpResponse:
        left = departures.removals(self.asker, Removal.Kind.WITHDRAWAL).filter(participant=one).first()
        told: dict[str, Any] = {"person": one, "left": left, "visit": NewVisit(prefix="visit"), "agreed": NewConsent(self.forms_of(one), prefix="consent")}
        path = self.about(one.dataset, _people(one.dataset, one.site))
        return self.show(status, **overview.standing_of(self.asker, one), **path, **{**told, **filled})


class PersonPage(OnePerson):
    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self.shown(self.person(pk))


class OnPerson(OnePerson):
    """An act on somebody; refused, their page says why."""

    words: Any = ""
    name = ""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        one = self.person(pk)
        form = self.form(one)
        if not form.is_valid():
            return self.shown(one, 400, **{self.name: form})
        if self.attempt(lambda: self.act(one, form)) is None:
            return self.shown(one, **{self.name: form})
        return self.done(self.words, "portal:person", pk=pk)

    def form(self, one: Participant) -> forms.Form:
        raise NotImplementedError

    def act(self, one: Participant, form: Any) -> Any:
        raise NotImplementedError


class VisitPage(OnPerson):
    name = "visit"
    words = _("The visit was added. Studies that waited for it go on by themselves.")

    def form(self, one: Participant) -> forms.Form:
        return NewVisit(self.request.POST, prefix="visit")

    def act(self, one: Participant, form: NewVisit) -> Any:
        given = form.cleaned_data
        return actions.add_visits(self.asker, [(one, given["label"], given["date"], given["purpose"])])


class ConsentPage(OnPerson):
    name = "agreed"
    words = _("The consent was recorded. Studies that waited for it go on by themselves.")

    def form(self, one: Participant) -> forms.Form:
        return NewConsent(self.forms_of(one), self.request.POST, prefix="consent")

    def act(self, one: Participant, form: NewConsent) -> Any:
        return actions.record_consents(self.asker, [(one, form.row(self.forms_of(one)))])


class ReportPage(OnePerson):
    """All that is held of somebody, why, and who had it, as a file: for the person, through their site. The act writes its own line."""

    step_up = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        told = reporting.report_on(self.asker, self.person(pk))
        headers = {
            "Content-Disposition": 'attachment; filename="report.html"',
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        }
        return HttpResponse(reporting.page(told), content_type="text/html; charset=utf-8", headers=headers)


class WithdrawPage(OnePerson):
    """Somebody leaves: what ends at once, what follows, and the label typed, for it cannot be taken back."""

    template = "portal/handing/withdraw.html"
    gives = False
    step_up = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._asked(self.person(pk), Withdraw())

    def _asked(self, one: Participant, form: Withdraw, status: int = 200) -> HttpResponse:
        own = reverse("portal:person", kwargs={"pk": one.pk}), f"sub-{one.label}"
        return self.show(status, person=one, form=form, **self.about(one.dataset, _people(one.dataset, one.site), own))

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        one, form = self.person(pk), Withdraw(request.POST)
        if form.is_valid() and form.cleaned_data["label"].strip().removeprefix("sub-") != one.label:
            form.add_error("label", _("This is not the participant's label."))
        if not form.is_valid():
            return self._asked(one, form, 400)
        if self.attempt(lambda: releases.withdraw(self.asker, one, form.cleaned_data["only_here"])) is None:
            return self._asked(one, form)
        words = _("Consent has ended, and nobody is given anything of this participant any more. The rest is carried through now; the certificate follows.")
        return self.done(words, "portal:person", pk=pk)


class RemovalPage(Handing):
    """How far a departure or a recall is, step by step, and its certificate: what the mail to the site leads to."""

    template = "portal/handing/removal.html"
    gives = True
    kind = "withdrawal"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        removal = found(departures.removals(self.asker, self.kind), pk=pk)
        steps = [(STEPS.get(name, name), datetime.fromisoformat(step["at"])) for name, step in removal.steps.items()]
        return self.show(removal=removal, steps=steps, **self.about(removal.participant.dataset))
