"""Doors of consent: forms, events, and the answer to "why can I not see this?"."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from registry import rules
from registry.access import actions as access
from registry.access import policy, queries
from registry.api import consent_shapes
from registry.api.doors import Door, Pages, find, find_all, told, uuid_of
from registry.api.handing_doors import people
from registry.consent import queries as consent
from registry.consent.models import ConsentEvent, ConsentTemplate
from registry.intake import actions
from registry.rules import Invalid


def consent_forms(asker: Any) -> QuerySet[ConsentTemplate]:
    """The consent forms of datasets that one may know of: a form is handed to whoever is asked to sign it, so it is no secret."""
    return consent.templates(queries.datasets(asker).values("pk"))


class TemplatesDoor(Door):
    gives = False
    scopes = {"POST": "decide"}

    @told(consent_shapes.TemplateShape, many=True, filters=("dataset", "name", "language"), summary="Consent forms", tags=["people"])
    def get(self, request: Request) -> Response:
        names = {"dataset": "dataset__slug", "name": "name", "language": "language"}
        rows = consent_forms(self.asker).filter(**{names[key]: value for key, value in self.asked(*names).items()})
        return self.listing(rows, consent_shapes.TemplateShape)

    @told(consent_shapes.TemplateShape, request=consent_shapes.NewTemplate, status=201, summary="Publish a version of a consent form", tags=["people"])
    def post(self, request: Request) -> Response:
        given = self.body(consent_shapes.NewTemplate)
        dataset = find(queries.datasets(self.asker), slug=given.pop("dataset"))
        return Response(consent_shapes.TemplateShape(access.publish_form(self.asker, dataset, **given)).data, status=201)


class ConsentsDoor(Door):
    @told(consent_shapes.ConsentShape, many=True, filters=("participant",), summary="Consent events", tags=["people"])
    def get(self, request: Request) -> Response:
        known = policy.limit(self.asker, "know", ConsentEvent.objects.all(), participant="participant")
        return self.listing(known.filter(**self.asked("participant")), consent_shapes.ConsentShape)

    @told(consent_shapes.ConsentShape, bulk=True, request=consent_shapes.NewConsents, status=201, summary="Record consents, all or none", tags=["people"])
    def post(self, request: Request) -> Response:
        given = self.body(consent_shapes.NewConsents)["consents"]
        found = find_all(people(self.asker), (row["participant"] for row in given), "consents.{}.participant")
        forms = find_all(consent_forms(self.asker), {row["template"] for row in given} - {None}, "consents.{}.template")
        rows = [(found[row.pop("participant")], {**row, "template": forms.get(row["template"])}) for row in given]
        return Response({"results": consent_shapes.ConsentShape(actions.record_consents(self.asker, rows), many=True).data}, status=201)


class ByEnd(Pages):
    ordering = ("valid_until", "participant_id")


class DueDoor(Door):
    @told(
        consent_shapes.DueShape,
        many=True,
        filters=("dataset", "days"),
        summary="Whose consent ends soon: who must be asked again",
        tags=["people"],
    )
    def get(self, request: Request) -> Response:
        given = self.asked("dataset", "days")
        rows = policy.limit(self.asker, "know", consent.due(_days(given.get("days", "90"))), participant="participant")
        if "dataset" in given:
            rows = rows.filter(participant__dataset__slug=given["dataset"])
        return self.listing(rows, consent_shapes.DueShape, ByEnd)


def _days(text: str) -> int:
    """Days from today, up to ten years. Raises Invalid."""
    if not (text.isascii() and text.isdecimal() and len(text) < 5):
        raise Invalid("invalid", "`days` is no number of days.", "Send days=90.", errors=[{"field": "days", "reason": "is no number of days"}])
    return int(text)


class WhyDoor(Door):
    """The rule's own answer, with every reason. Of what one may not even know of nothing is told, as little as of what is not there."""

    @told(
        consent_shapes.Why,
        summary="Why can I not see this? Or: why can they not, to who decides on requests",
        parameters=[
            OpenApiParameter("participant", str, required=True),
            OpenApiParameter("action", str, required=False, enum=list(rules.ACTIONS), description="see, if left out"),
            OpenApiParameter("request", str, required=False, description="of a steward: what this request gives its requester"),
        ],
        tags=["people"],
    )
    def get(self, request: Request) -> Response:
        given = self.asked("participant", "action", "request")
        if "participant" not in given or given.get("action", "see") not in rules.ACTIONS:
            raise Invalid("invalid", "The question does not say what is asked about.", f"Send participant=ID and action= one of {', '.join(rules.ACTIONS)}.")
        action, who = given.get("action", "see"), uuid_of(given["participant"], "participant")
        if "request" in given:
            held = find(queries.requests(self.asker), pk=uuid_of(given["request"], "request"))
            answer = policy.why_through(self.asker, held, who)
        else:
            answer = policy.why(self.asker, action, who)
        reasons = access.reasons_as_data(answer)
        return Response(
            {"action": action, "permitted": answer.permitted, "verdict": answer.verdict.value, "reasons": reasons, "obligations": list(answer.obligations)}
        )
