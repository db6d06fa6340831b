"""Which datasets a request was about, so that whoever reads a dataset's log sees who looked at it and who was turned away.

It is told from the address (its place, the id in it, what it was asked for), from the ids on top of the body and from the page that was given, once the
answer is known: no door need say it. What is sent is only compared with what the registry knows, and never kept as it was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.http import HttpRequest, HttpResponseBase

from registry.access.models import DangerousAct, Entitlement, Member, Naming, Paper, Request, View
from registry.accounts.models import Dataset, Role
from registry.clinical.models import ClinicalRecord, Mapping
from registry.consent.models import ConsentEvent, ConsentTemplate
from registry.imaging.models import Image
from registry.intake.models import Correction, Study, Upload
from registry.releases.models import Notice, Package, Release, Removal
from registry.runs.models import Run
from registry.subjects.models import Participant, Visit

# What lies at a place of the API, and of the portal, and what a word of an address's query or of a body names.
PLACES: dict[str, type[Model]] = {
    "participants": Participant, "visits": Visit, "consents": ConsentEvent, "consent-templates": ConsentTemplate, "clinical-records": ClinicalRecord,
    "mappings": Mapping, "uploads": Upload, "studies": Study, "images": Image, "corrections": Correction, "releases": Release, "requests": Request,
    "entitlements": Entitlement, "packages": Package, "notices": Notice, "withdrawals": Removal, "recalls": Removal, "runs": Run, "roles": Role,
    "views": View, "members": Member, "namings": Naming, "papers": Paper, "dangerous-acts": DangerousAct,
}  # fmt: skip
WORDS: dict[str, type[Model]] = {
    "participant": Participant, "visit": Visit, "upload": Upload, "study": Study, "request": Request, "release": Release, "entitlement": Entitlement,
}  # fmt: skip
UP = ("upload", "participant", "visit", "image", "release", "request", "withdrawal")  # from a thing to what it belongs to, the surest first


def identifier(said: Any) -> str:
    """The id in an address as the registry writes it, or nothing: whatever else stands there is somebody's own words, a long number (of a patient) too."""
    text = str(said or "")
    try:
        return text if text.isascii() and text.isdecimal() and len(text) < 8 else str(UUID(text))
    except ValueError:
        return ""


def asked(sent: Any) -> dict[str, str]:
    """The ids that a query or a body asks for, by `WORDS`, as the registry writes them."""
    told = {word: identifier(sent.get(word)) for word in WORDS if isinstance(sent.get(word), str | UUID)}
    return {word: pk for word, pk in told.items() if "-" in pk}


def datasets(request: HttpRequest, answer: HttpResponseBase) -> list[str]:
    """Ids of the datasets that a request and its answer were about, in order; none where it is about no dataset, or nobody can tell."""
    found: set[Any] = set()
    for model, ids in _things(request, answer):
        if ids and (path := way(model)):
            found |= set(model._base_manager.filter(pk__in=ids).values_list(path, flat=True))
    slugs = [sent.get("dataset") for sent in _sent(request, answer)] + [_kwargs(request).get("slug") if _place(request) == "datasets" else None]
    found |= set(Dataset.objects.filter(slug__in=[slug for slug in slugs if isinstance(slug, str) and "\0" not in slug]).values_list("pk", flat=True))
    found |= set(getattr(answer, "about", ()))  # a page of many kinds of thing says it itself
    return sorted(str(pk) for pk in found - {None})


def _things(request: HttpRequest, answer: HttpResponseBase) -> Iterator[tuple[type[Model], list[Any]]]:
    """Models, and the ids of theirs that occur."""
    for sent in _sent(request, answer):
        for word, pk in asked(sent).items():
            yield WORDS[word], [pk]
    kwargs, model = _kwargs(request), PLACES.get(_place(request))
    if model is not None:
        rows = rows_of(answer) or []
        yield model, [pk for pk in (kwargs.get("pk"), *_column(rows, "id")) if pk]
        yield Participant, list(_column([row for row in rows if "id" not in row], "participant"))
    elif (pk := identifier(kwargs.get("object_id"))) and "-" in pk and (shown := _of_admin(request)):
        yield shown, [pk]


def _column(rows: Iterable[Any], name: str) -> Iterator[Any]:
    return (row[name] for row in rows if row.get(name))


def rows_of(answer: HttpResponseBase) -> list[Any] | None:
    """The rows of a page, or None where the answer is none."""
    data = getattr(answer, "data", None)
    rows = data.get("results") if isinstance(data, dict) else None
    return rows if isinstance(rows, list) else None


def _sent(request: HttpRequest, answer: HttpResponseBase) -> Iterator[Any]:
    """The query, and the body where a door has read it."""
    yield request.GET
    body = getattr((getattr(answer, "renderer_context", None) or {}).get("request"), "_full_data", None)
    if isinstance(body, dict):
        yield body


def _kwargs(request: HttpRequest) -> dict[str, Any]:
    return dict(request.resolver_match.kwargs) if request.resolver_match else {}


def _place(request: HttpRequest) -> str:
    """The first word of an address of the API or of the pages: both name things alike."""
    match = request.resolver_match
    route = match.route if match else ""
    return route.removeprefix("api/v1/").split("/")[0] if match and (route.startswith("api/v1/") or match.app_name == "portal") else ""


def _of_admin(request: HttpRequest) -> type[Model] | None:
    """The model of a page of the administration: its address is named app_model_act."""
    parts = (request.resolver_match.url_name or "").split("_") if request.resolver_match else []
    try:
        return apps.get_model(parts[0], parts[1]) if len(parts) == 3 else None
    except LookupError:
        return None


@cache
def way(model: type[Model]) -> str:
    """The path from a thing to its dataset's id, as a query says it; empty: it belongs to none."""
    if model is Dataset:
        return "pk"
    names = {field.attname for field in model._meta.concrete_fields}
    if "dataset_id" in names:
        return "dataset_id"
    for up in UP:
        try:
            onward = way(model._meta.get_field(up).related_model) if f"{up}_id" in names else ""  # type: ignore[arg-type]
        except FieldDoesNotExist:
            continue  # an id kept as text
        if onward:
            return f"{up}__{onward}"
    return ""
