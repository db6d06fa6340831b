"""Pictures and plots of a dataset or a cohort: each is a set of counts, asked of the counting function whole or not at all, with its price told before.

Each is drawn as SVG, stands beside a table that says the same, and can be had as CSV. Exact where the asker may know exactly.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _

from registry.access import policy
from registry.accounts.models import Dataset, User
from registry.counts import actions, growing
from registry.imaging import queries as imaging
from registry.portal.finding import drawing
from registry.portal.finding.asking import AskingPage, is_part
from registry.portal.finding.wording import Words
from registry.rules import Denied

# Key of an address -> title, and the fields that are counted by.
KINDS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "age": (_("Age"), ("age",)),
    "sex": (_("Sex"), ("sex",)),
    "diagnosis": (_("Diagnosis"), ("diagnosis",)),
    "edss": (_("Disability (EDSS)"), ("edss.edss_total",)),
    "treatment": (_("Treatment"), ("treatment.substance",)),
    "visits": (_("Visits"), ("visits",)),
    "site": (_("Site"), ("site",)),
    "scanner": (_("Scanner"), ("scanner",)),
    "tesla": (_("Field strength"), ("tesla",)),
    "contrast": (_("Contrast"), ("contrast",)),
    "quality": (_("Image quality"), ("quality",)),
    "joined": (_("Year of joining"), ("joined",)),
    "quality-site": (_("Image quality by site"), ("site", "quality")),
    "quality-scanner": (_("Image quality by scanner"), ("scanner", "quality")),
}
OF_COHORTS = ("age", "sex", "diagnosis", "edss", "treatment", "visits", "site", "scanner", "tesla", "contrast", "quality", "joined")
OF_DATASETS = ("joined", "quality-site", "quality-scanner", "age", "edss", "sex", "diagnosis", "contrast", "scanner", "tesla", "site", "visits", "treatment")


@dataclass(frozen=True)
class Offer:
    """A picture that may be asked for: its key, title, price, and the rest of its address."""

    key: str
    title: Any
    price: actions.Price
    query: str

    @property
    def too_dear(self) -> bool:
        return self.price.left is not None and self.price.new > self.price.left


def offers(asker: User | None, dataset: Dataset, where: Sequence[str], keys: Iterable[str], site: Any = None) -> list[Offer]:
    """What may be drawn with these conditions, and what it would cost now."""
    wanted = list(keys)
    prices = actions.prices(asker, dataset, where, [KINDS[key][1] for key in wanted], site)
    query = urlencode([("where", one) for one in where] + ([("site", site.code)] if site else []))
    return [Offer(key, KINDS[key][0], price, query) for key, price in zip(wanted, prices, strict=True) if price is not None]


@dataclass(frozen=True)
class Figure:
    """A picture with its table: `heads` of the columns, `rows` of words and numbers (None: not told), and its shapes."""

    key: str
    title: Any
    heads: tuple[Any, ...]
    rows: tuple[tuple[Any, ...], ...]
    shapes: Any
    exact: bool
    left: int | None = None
    line: bool = False

    @property
    def untold(self) -> bool:
        return any(value is None for row in self.rows for value in row)


def drawn(asker: User | None, dataset: Dataset, key: str, where: Sequence[str], site: Any = None) -> Figure:
    """The picture of a key of `KINDS`. Raises Denied, Invalid."""
    title, fields = KINDS[key]
    words = Words(dataset)
    if len(fields) == 1:
        answer = actions.ask(asker, dataset, where, fields[0], site)
        rows = tuple((words.value(fields[0], str(value)), count) for value, count in answer.counts)
        return Figure(key, title, (words.field(fields[0]), _("People")), rows, drawing.bars(rows), answer.exact, answer.left)
    table = actions.table(asker, dataset, where, *fields, site=site)
    across = tuple(words.value(fields[1], value) for value in table.across)
    rows = tuple((words.value(fields[0], value), *counts) for value, counts in table.rows)
    shapes = drawing.grouped([(row[0], list(zip(across, row[1:], strict=True))) for row in rows])
    return Figure(key, title, (words.field(fields[0]), *across), rows, shapes, table.exact, table.left)


def accrual(asker: User | None, dataset: Dataset, site: Any = None) -> Figure:
    """How the dataset, or one site's part of it, grew. Raises Denied."""
    rows = tuple(growing.by_month(asker, dataset, site))
    return Figure("accrual", _("Growth by month"), (_("Month"), _("People")), rows, drawing.steps(rows), exact=True, line=True)


def stored(asker: User | None) -> Figure:
    """Bytes in the store, by dataset and kind of file. Raises Denied for who is steward of nothing and runs nothing."""
    kept = imaging.storage(asker)
    if not kept and not policy.facts_of_asker(asker).admin:
        raise Denied("no_role", "The asker has no role here that allows this.", "Storage is shown to stewards and to who runs the registry.")
    rows = tuple((one.dataset.name, kind, files, size) for one in kept for kind, files, size in one.kinds)
    shapes = drawing.bars([(one.dataset.name, round(one.bytes / 1_000_000)) for one in kept])
    return Figure("storage", _("Storage in megabytes"), (_("Dataset"), _("Kind of file"), _("Files"), _("Bytes")), rows, shapes, exact=True)


def as_csv(figure: Figure, name: str) -> HttpResponse:
    """The table of a picture, as a file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*(str(head) for head in figure.heads), "numbers"])
    for row in figure.rows:
        writer.writerow([*(_safe(value) for value in row), "exact" if figure.exact else "about"])
    answer = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}-{figure.key}.csv"'
    return answer


def _safe(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula; what is not told is said in words."""
    text = "not told" if value is None else str(value)
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


class Pictured(AskingPage):
    """A page that shows one picture: as a page, as a part of one, or as CSV."""

    def show(self, figure: Figure, name: str, **told: Any) -> HttpResponse:
        if self.request.GET.get("format") == "csv":
            return as_csv(figure, name)
        query = self.request.GET.copy()
        query["format"] = "csv"
        part = is_part(self.request)
        page = "figure.html" if part else "figure_page.html"
        return render(self.request, f"portal/finding/{page}", {"figure": figure, "csv": f"{self.request.path}?{query.urlencode()}", "part": part, **told})


class FigurePage(Pictured):
    """One picture of a dataset or a cohort."""

    gives = True
    for_strangers = True

    def get(self, request: HttpRequest, slug: str, kind: str) -> HttpResponse:
        dataset, site = self.counted(slug), self.site()
        if kind == "accrual":
            return self.show(accrual(self.asker, dataset, site), slug, dataset=dataset)
        if kind not in KINDS:
            raise Http404
        where = request.GET.getlist("where")
        words = Words(dataset)
        figure = drawn(self.asker, dataset, kind, where, site)
        return self.show(figure, slug, dataset=dataset, conditions=[words.condition(one) for one in where], where=where)


class PicturesPage(AskingPage):
    """All pictures of a dataset, each drawn when it is asked for."""

    for_strangers = True

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        dataset, site = self.counted(slug), self.site()
        exact = site is not None or policy.ask_in(self.asker, "decide", dataset).permitted
        told = {"dataset": dataset, "site": site, "sites": self.sites(dataset), "exact": exact, "offers": offers(self.asker, dataset, (), OF_DATASETS, site)}
        return render(request, "portal/finding/pictures.html", told)


class StoragePage(Pictured):
    """What the store keeps, for stewards of their datasets, and of all for who runs the registry."""

    gives = True

    def get(self, request: HttpRequest) -> HttpResponse:
        figure = stored(self.asker)
        total = filesizeformat(sum(row[3] for row in figure.rows))
        return self.show(figure, "myelin", total=total)
