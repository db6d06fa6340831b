"""Doors of counts: what may be asked, and how many there are. Open to whoever knocks; `registry.counts` decides what is told."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import queries
from registry.accounts.models import Site
from registry.api.doors import Door, InScope, find, told
from registry.api.shapes import Shape
from registry.counts import actions, vocabulary


class CountField(Shape):
    field = s.CharField()  # type: ignore[assignment]
    values = s.ListField(child=s.CharField())


class CountFields(Shape):
    results = CountField(many=True)


class OneCount(Shape):
    value = s.CharField(allow_null=True, help_text="the value of the field counted by; null: all")
    count = s.IntegerField(allow_null=True, help_text="people, rounded to five; null: not told (too few, or too near another answer)")


class CountAnswer(Shape):
    conditions = s.ListField(child=s.CharField())
    counts = OneCount(many=True)
    exact = s.BooleanField(help_text="true for a steward, and for a contributor's own site")
    left = s.IntegerField(allow_null=True, help_text="new questions that your institution may ask this dataset today; null: not limited")


class CountFieldsDoor(Door):
    permission_classes = [InScope]
    gives = False

    @told(CountFields, summary="What people can be counted by: fields and their closed values", tags=["counts"])
    def get(self, request: Request) -> Response:
        return Response({"results": [{"field": name, "values": list(values)} for name, values in vocabulary.fields().items()]})


class CountDoor(Door):
    permission_classes = [InScope]

    @told(
        CountAnswer,
        filters=("by", "site"),
        parameters=[OpenApiParameter("where", str, many=True, required=False, description="field:value, at most two (three when signed in)")],
        summary="How many people there are of whom all conditions hold, in all or for each value of a field",
        tags=["counts"],
    )
    def get(self, request: Request, slug: str) -> Response:
        asker: Any = None if isinstance(request.user, AnonymousUser) else self.asker
        dataset, given = find(queries.counted(asker), slug=slug), self.asked("by", "site")
        site = find(Site.objects.all(), code=given["site"]) if "site" in given else None
        answer = actions.ask(asker, dataset, request.query_params.getlist("where"), given.get("by", ""), site)
        counts = [{"value": value, "count": count} for value, count in answer.counts]
        return Response({"conditions": answer.conditions, "counts": counts, "exact": answer.exact, "left": answer.left})
