"""What every door has: who may knock, how bodies are read, how lists are paged. Doors call acts and queries and decide nothing themselves."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.negotiation import BaseContentNegotiation, DefaultContentNegotiation
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.views import APIView

from registry.accounts import factors, limits, stepup
from registry.accounts.models import Token, User
from registry.accounts.throttles import PerUser
from registry.api import shapes
from registry.api.described import Described
from registry.api.errors import FactorNeeded, ScopeMissing, StepUpNeeded
from registry.rules import Invalid

M = TypeVar("M", bound=Model)
FILES_A_MINUTE, SAMPLE = 12_000, 20


class InScope(BasePermission):
    """A token may do what its scopes say, a session what its owner has shown. `scopes` of the door names what is not plain reading or writing."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        plain = "read" if request.method in SAFE_METHODS else "write"
        wanted = getattr(view, "scopes", {}).get(request.method, plain)
        if not isinstance(request.auth, Token):
            _shown(request, wanted, request.method in getattr(view, "step_up", ()))
        elif wanted not in request.auth.scopes:
            raise ScopeMissing
        elif factors.refuses(request.auth, wanted):
            raise FactorNeeded
        return True


def _shown(request: Request, wanted: str, step_up: bool) -> None:
    """Whether the session has shown what its account, this scope and this door need. Raises FactorNeeded, StepUpNeeded."""
    if not request.user.is_authenticated:
        return
    if factors.needed(request._request):
        raise FactorNeeded
    if (step_up or stepup.dangerous([wanted])) and not stepup.done(request._request):
        raise StepUpNeeded


class AnyMedia(BaseContentNegotiation):
    """There is one form of every answer; what the client would rather have makes no difference."""

    def select_parser(self, request: Request, parsers: Sequence[Any]) -> Any:
        return DefaultContentNegotiation().select_parser(request, parsers)

    def select_renderer(self, request: Request, renderers: Sequence[Any], format_suffix: str | None = None) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class Pages(CursorPagination):
    """`next`, `previous`, `results`; a page is where a cursor points, so that rows that come meanwhile move nothing."""

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "limit"
    ordering: Any = ("created_at", "id")


class ById(Pages):
    ordering = "id"


class BySeq(Pages):
    ordering = "-seq"


class ByTime(Pages):
    ordering = ("at", "id")


class FilesPerUser(PerUser):
    """Files of an upload are many and small, and a download may be taken up again and again: both are counted apart from other requests.

    One in twenty is counted, for a twentieth of the limit: a written counter for each file would cost as much as the file.
    """

    def allow_request(self, request: Request, view: APIView) -> bool:
        if secrets.randbelow(SAMPLE):
            return True
        self.count = limits.hit("files", str(request.user.pk), FILES_A_MINUTE // SAMPLE, 60)
        return self.count.allowed


class Door(APIView):
    """A door for people who are signed in."""

    permission_classes = [IsAuthenticated, InScope]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = AnyMedia
    schema = Described()
    scopes: dict[str, str] = {}
    step_up: tuple[str, ...] = ()  # methods that a session steps up for though their scope asks for none, as their pages do
    gives = True  # whether what GET answers is data of somebody, of which `recording` writes a line; a door that gives none says so

    def perform_authentication(self, request: Request) -> None:
        """A dead token is counted like a stranger: guessing must not fill the log."""
        try:
            super().perform_authentication(request)
        except AuthenticationFailed:
            self.check_throttles(request)
            raise

    def permission_denied(self, request: Request, message: str | None = None, code: str | None = None) -> NoReturn:
        """Every denial leaves a line, so denials are counted before they are told."""
        self.check_throttles(request)
        super().permission_denied(request, message, code)

    @property
    def asker(self) -> User:
        """Who is signed in: the account itself, not the lazy stand-in that a session's request carries."""
        user = self.request.user
        assert user.is_authenticated
        found = getattr(user, "_wrapped", user)
        assert isinstance(found, User)
        return found

    def body(self, shape: type[Serializer[Any]]) -> dict[str, Any]:
        """The checked body. Raises ValidationError (400 `invalid`)."""
        serializer = shape(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        told: dict[str, Any] = serializer.validated_data
        return told

    def listing(self, rows: QuerySet[M], shape: type[BaseSerializer[Any]], pages: type[Pages] = Pages) -> Response:
        """One page of rows."""
        pager = pages()
        page = pager.paginate_queryset(rows, self.request, view=self)
        return pager.get_paginated_response(shape(page, many=True, context={"asker": self.asker}).data)

    def asked(self, *names: str) -> dict[str, str]:
        """The filters of the address that were given. Raises Invalid for an id that is none."""
        given = {name: self.request.query_params[name] for name in names if self.request.query_params.get(name)}
        for name in set(given) & {"participant", "visit", "upload", "study"}:
            uuid_of(given[name], name)
        return given


def uuid_of(text: str, field: str) -> UUID:
    """The id written in an address. Raises Invalid."""
    try:
        return UUID(text)
    except ValueError:
        raise Invalid("invalid", "An id is not one.", "Send the id as it was given.", errors=[{"field": field, "reason": "is no id"}]) from None


def find(rows: QuerySet[M], **by: Any) -> M:
    """The one row that the asker may see. Raises Http404."""
    found = rows.filter(**by).first()
    if found is None:
        raise Http404
    return found


def find_all(rows: QuerySet[M], ids: Iterable[UUID], field: str) -> dict[UUID, M]:
    """All of these, by id. Raises Invalid naming the places of those that are not there or may not be seen."""
    wanted = list(ids)
    found = {row.pk: row for row in rows.filter(pk__in=set(wanted))}
    missing = [{"field": field.format(n), "reason": "is not there"} for n, pk in enumerate(wanted) if pk not in found]
    if missing:
        raise Invalid("invalid", "Some of what is named is not there, or may not be seen.", "Mend the fields named.", errors=missing)
    return found


PROBLEMS = {code: OpenApiResponse(shapes.Problem) for code in (400, 401, 403, 404, 409, 429)}


def told(
    answer: Any, *, request: Any = None, status: int = 200, summary: str, filters: Sequence[str] = (), many: bool = False, bulk: bool = False, **more: Any
) -> Any:
    """How a door is written down in the OpenAPI document: its answer, its body, and the problems it may answer with."""
    response = shapes_page(answer, paged=many) if many or bulk else answer
    parameters = [OpenApiParameter(name, str, required=False) for name in (*filters, *(("limit", "cursor") if many else ()))]
    responses: dict[Any, Any] = {status: response, **{code: PROBLEMS[code] for code in PROBLEMS}}
    responses.update(more.pop("also", {}))
    return extend_schema(request=request, responses=responses, parameters=[*parameters, *more.pop("parameters", [])], summary=summary, **more)


def shapes_page(shape: type[Serializer[Any]], paged: bool) -> type[Serializer[Any]]:
    """The shape of a page of rows, or of the rows that a bulk act made."""
    name = f"{shape.__name__}{'Page' if paged else 'Bulk'}"
    if name not in _PAGES:
        ends = {key: serializers.CharField(allow_null=True) for key in ("next", "previous")} if paged else {}
        _PAGES[name] = type(name, (shapes.Shape,), {**ends, "results": shape(many=True)})
    return _PAGES[name]


_PAGES: dict[str, type[Serializer[Any]]] = {}
