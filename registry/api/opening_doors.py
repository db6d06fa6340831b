"""The door that says whether a dataset may be shared with everybody, and why not. The tree itself is written at the registry's own machine."""

from __future__ import annotations

from rest_framework import serializers as s
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import queries
from registry.api.doors import Door, find, told
from registry.api.shapes import Shape
from registry.releases import opening


class BlockerShape(Shape):
    code = s.CharField()
    reason = s.CharField()
    participants = s.IntegerField(allow_null=True, help_text="null: not told")


class OpeningShape(Shape):
    dataset = s.CharField()
    level = s.CharField(help_text="only a dataset at the level open is exported")
    allowed = s.BooleanField(help_text="whether every active participant's consent allows it")
    blockers = s.IntegerField(allow_null=True, help_text="participants whose consent does not; rounded for all but stewards; null: not told")
    reasons = BlockerShape(many=True)


class OpeningDoor(Door):
    @told(OpeningShape, summary="Whether the dataset may be shared openly (CC0), and how many consents stand against it", tags=["releases"])
    def get(self, request: Request, slug: str) -> Response:
        dataset = find(queries.datasets(self.asker), slug=slug)
        answer = opening.may_be_open(self.asker, dataset)
        reasons = [{"code": code, "reason": sentence, "participants": count} for code, sentence, count in answer.reasons]
        shown = {"dataset": slug, "level": answer.level, "allowed": answer.allowed, "blockers": answer.blockers, "reasons": reasons}
        return Response(OpeningShape(shown).data)
