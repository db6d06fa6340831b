"""The pages of asking: the list of requests, a new one, and one request as a story with all that can be done to it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from registry.access import actions, filekinds, queries, signing
from registry.access.models import Request
from registry.accounts.models import Dataset, Level
from registry.portal.receiving import story
from registry.portal.receiving.acting import ReceivingPage, on_form
from registry.portal.receiving.forms import PROMISES, PURPOSES, USES, AttestForm, KeyForm, MemberForm, PaperForm, ReportForm, RequestForm
from registry.rules import Invalid

NOT_ASKED_FOR = (Level.REMOTE_ONLY, Level.CLOSED)
PER_PAGE = 100
TOP = [(reverse_lazy("portal:requests"), _("Requests"))]
# States in which something is to be done by the team.
WAITING = frozenset({"draft", "returned", "approved_pending_signatures", "renewal_due", "suspended", "closing", "expired", "revoked"})


class RequestsPage(ReceivingPage):
    """Requests that one made, is of the team of, or decides on; those that wait for the reader first."""

    gives = True

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = list(queries.requests(self.asker)[:PER_PAGE])
        told = [{"row": row, "state": story.STATES[row.state], "mine": row.requester_id == self.asker.pk} for row in rows]
        told.sort(key=lambda one: (not one["mine"], one["row"].state not in WAITING))
        namings = [naming for naming in queries.namings(self.asker) if naming.request.requester_id != self.asker.pk]
        return render(request, "portal/receiving/requests.html", {"requests": told, "namings": namings, "most": len(rows) == PER_PAGE})


class NewRequestPage(ReceivingPage):
    """A new request: first the dataset. An address that names it leads on."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if slug := slugify(request.GET.get("dataset", "")):
            return redirect("portal:ask", slug=slug)
        rows = queries.datasets(self.asker).exclude(purpose_level__in=NOT_ASKED_FOR).order_by("name")
        return render(request, "portal/receiving/choose_dataset.html", {"datasets": rows, "crumbs": TOP})


class AskDatasetPage(ReceivingPage):
    """What is asked of one dataset."""

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        dataset = self.dataset(slug)
        return self._show(dataset, RequestForm(dataset=dataset, asker=self.asker))

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        dataset = self.dataset(slug)
        form = RequestForm(request.POST, dataset=dataset, asker=self.asker)
        if not form.is_valid():
            return self._show(dataset, form, 400)
        name = form.cleaned_data["view"]
        view = queries.views(self.asker).filter(dataset=dataset, name=name).first() if name else None
        try:
            made = actions.draft_request(self.asker, dataset, view, **form.asked())
        except Invalid as error:
            on_form(form, error)
            return self._show(dataset, form, 422)
        return self.done(_("The draft is kept. Nobody but your team sees it until you hand it in."), reverse("portal:request", args=[made.pk]))

    def dataset(self, slug: str) -> Dataset:
        row = queries.datasets(self.asker).filter(slug=slug).first()
        if row is None:
            raise Http404
        return row

    def _show(self, dataset: Dataset, form: RequestForm, status: int = 200) -> HttpResponse:
        return render(self.request, "portal/receiving/new_request.html", {"form": form, "dataset": dataset, "crumbs": TOP}, status=status)


class ChangePage(ReceivingPage):
    """What a draft, or a request that came back, asks for."""

    gives = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held = self.request_of(pk)
        return self._show(held, RequestForm(dataset=held.dataset, asker=self.asker, held=held))

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held = self.request_of(pk)
        form = RequestForm(request.POST, dataset=held.dataset, asker=self.asker, held=held)
        if not form.is_valid():
            return self._show(held, form, 400)
        try:
            actions.change_request(self.asker, held, **form.asked())
        except Invalid as error:
            on_form(form, error)
            return self._show(held, form, 422)
        return self.done(_("The request was changed."), reverse("portal:request", args=[pk]))

    def _show(self, held: Request, form: RequestForm, status: int = 200) -> HttpResponse:
        answer = render(self.request, "portal/receiving/change.html", {"form": form, "held": held, "crumbs": way_to(held)}, status=status)
        answer.shows = True  # type: ignore[attr-defined]  # `registry.api.recording`
        return answer


class OneRequest(ReceivingPage):
    """What the pages of one request share: how it is shown, with what was typed and is wrong."""

    def show(self, pk: UUID, status: int = 200, **forms: Any) -> HttpResponse:
        held, asker = self.request_of(pk), self.asker
        may, mine = story.may(asker, held), queries.entitlements(asker).filter(request=held, user=asker, revoked_at=None).first()
        told = {
            "held": held,
            "crumbs": TOP,
            "state": story.STATES[held.state],
            "story": story.so_far(asker, held),
            "to_come": story.to_come(held),
            "next": story.comes_next(asker, held),
            "may": may,
            "in_team": story.of_team(asker, held),
            "must_resign": story.must_resign(asker, held),
            "purpose": PURPOSES.get(held.purpose, held.purpose),
            "uses": [words for name, words in USES.items() if getattr(held, name)],
            "promises": [PROMISES.get(code, code) for code in held.promises],
            "kinds": [filekinds.KINDS[kind] for kind in held.view.kinds] if held.view else [],
            "cohort": queries.summary(held) if held.submitted_at else None,
            "obligations": queries.obligations(held),
            "team": team(held),
            "namings": queries.namings(asker).filter(request=held, request__requester=asker),
            "signed": asker.pk not in {user.pk for user in signing.missing(held)},
            "key": signing.key_of(held, asker) if story.of_team(asker, held) else "",
            "paper": queries.papers(asker).filter(request=held).first(),
            "reports": held.renewals.all(),
            "entitlement": mine,
            "member_form": MemberForm(),
            "paper_form": PaperForm(),
            "key_form": KeyForm(),
            "report_form": ReportForm(),
            "attest_form": AttestForm(),
        }
        answer = render(self.request, "portal/receiving/request.html", told | forms, status=status)
        answer.shows = True  # type: ignore[attr-defined]  # `registry.api.recording`
        return answer


def way_to(held: Request) -> list[tuple[str, Any]]:
    """The path of pages down to one request."""
    return [*TOP, (reverse("portal:request", args=[held.pk]), held.title)]


def team(request: Request) -> list[dict[str, Any]]:
    """Everybody of the team: who, of which country, whether a key was given and the agreement signed."""
    missing = {user.pk for user in signing.missing(request)}
    signed = set(request.signatures.values_list("user_id", flat=True))
    first = {"user": request.requester, "country": request.country, "key": bool(request.recipient_key), "member": None}
    others = request.members.filter(dropped_at=None).select_related("user")
    rows = [first, *({"user": one.user, "country": one.country, "key": bool(one.recipient_key), "member": one} for one in others)]
    return [row | {"signed": row["user"].pk not in missing and row["user"].pk in signed} for row in rows]


class RequestPage(OneRequest):
    """One request: what happened, what comes next, what it asks for and was answered, its team, and what the reader may do."""

    gives = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self.show(pk)
