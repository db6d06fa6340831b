"""Clinical tables: how a site's table reads (a saved mapping), what taking one would change, every fault by row and column, and the taking."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from registry.clinical import actions as clinical
from registry.clinical import queries
from registry.clinical.models import Mapping
from registry.intake import importing, overview
from registry.portal.acting import found
from registry.portal.handing.acting import Handing
from registry.portal.handing.forms import NewMapping, Table

EXAMPLE = {
    "participant": {"column": "pcode", "register": False},
    "visit": {"date": {"column": "visit_date", "order": "YMD"}},
    "records": [{"instrument": "edss", "fields": {"edss_total": "edss"}}],
    "ignore": [],
}


class Tables(Handing):
    """The mappings of a site, and a table to be tried with one of them. A mapping names columns and nobody."""

    template = "portal/handing/tables.html"

    def shown(self, place: overview.Place, status: int = 200, **told: Any) -> HttpResponse:
        mappings = self.mappings(place)
        plain = {"mapping": NewMapping(initial={"spec": json.dumps(EXAMPLE, indent=2)}), "form": Table([one.name for one in mappings])}
        return self.show(status, place=place, mappings=mappings, **self.about(place.dataset), **{**plain, **told})

    def mappings(self, place: overview.Place) -> list[Mapping]:
        """The last number of each name."""
        rows = queries.mappings(self.asker).filter(dataset=place.dataset, site=place.site).order_by("name", "number")
        return list({one.name: one for one in rows}.values())


class TablesPage(Tables):
    gives = True

    def get(self, request: HttpRequest, slug: str, site: str) -> HttpResponse:
        return self.shown(self.place(f"{slug}/{site}"))


class MappingPage(Tables):
    """Save how a table reads."""

    def post(self, request: HttpRequest, slug: str, site: str) -> HttpResponse:
        place, form = self.place(f"{slug}/{site}"), NewMapping(request.POST)
        if not form.is_valid():
            return self.shown(place, 400, mapping=form)
        given = form.cleaned_data
        if self.attempt(lambda: clinical.save_mapping(self.asker, place.dataset, place.site, given["name"], given["spec"])) is None:
            return self.shown(place, mapping=form)
        return self.done(_("The mapping was saved."), "portal:tables", slug=slug, site=site)


class TablePage(Tables):
    """Try a table, or take it. To take is to plan it again, and to write all of it or nothing."""

    def post(self, request: HttpRequest, slug: str, site: str) -> HttpResponse:
        place = self.place(f"{slug}/{site}")
        mappings = self.mappings(place)
        form = Table([one.name for one in mappings], request.POST)
        if not form.is_valid():
            return self.shown(place, 400, form=form)
        saved = found(one for one in mappings if one.name == form.cleaned_data["name"])
        act = importing.take_table if "take" in request.POST else importing.try_table
        report = self.attempt(lambda: self._report(act, saved, form.cleaned_data["table"]))
        if report is None:
            return self.shown(place, form=form)
        if report.applied:
            return self.done(_("The table was taken."), "portal:tables", slug=slug, site=site)
        return self.shown(place, 422 if report.faulty else 200, form=form, report=report)

    def _report(self, act: Any, saved: Mapping, text: str) -> importing.Report:
        try:
            return act(self.asker, saved, text)
        except importing.Faulty as error:
            return error.report
