"""What goes over the wire, field by field: the same classes check what comes in, write what goes out, and describe both in the OpenAPI document.

Whatever comes in is `Strict`: a field that nobody knows is refused, so that nothing can be slipped in.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from rest_framework import serializers as s

from registry.runs.models import Run

BULK = 1000


class Strict(s.Serializer[Any]):
    """A body whose unknown fields are refused."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := set(data) - set(self.fields)):
            raise s.ValidationError({"unknown": [f"{len(unknown)} field(s) of this body are not known here"]})
        return super().to_internal_value(data)


class Shape(s.Serializer[Any]):
    """What goes out."""


def words(**kwargs: Any) -> s.ListField:
    """A list of short texts."""
    return s.ListField(child=s.CharField(max_length=200), max_length=200, **kwargs)


class FieldError(Shape):
    """`row`, `column`, `rule` and `advice` are told of tables."""

    field = s.CharField()
    reason = s.CharField()
    row = s.CharField(required=False)
    column = s.CharField(required=False)
    rule = s.CharField(required=False)
    advice = s.CharField(required=False)


class Problem(Shape):
    """RFC 9457."""

    type = s.CharField()
    title = s.CharField()
    status = s.IntegerField()
    code = s.CharField()
    detail = s.CharField()
    advice = s.CharField()
    errors = FieldError(many=True, required=False)


class RunShape(Shape):
    id = s.UUIDField()
    kind = s.CharField()
    state = s.ChoiceField(["ready", "running", "done", "dead"])
    attempt = s.IntegerField()
    code = s.CharField()
    reason = s.CharField()
    created_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)


class RunOf(s.Field[Any, Any, Any, Any]):
    """The run behind a thing's `run_id`, whole, or null."""

    def __init__(self) -> None:
        super().__init__(source="run_id", read_only=True)

    def to_representation(self, value: Any) -> Any:
        run = Run.objects.filter(pk=value).first()
        return RunShape(run).data if run else None


class RunOfExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call,misc]
    """How `RunOf` looks in the OpenAPI document."""

    target_class = RunOf

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        component = auto_schema.resolve_serializer(RunShape, direction)
        return {"oneOf": [component.ref, {"type": "null"}]}


class Health(Shape):
    status = s.CharField()
    version = s.CharField()
    database = s.CharField()
    worker = s.CharField()


class Keys(Shape):
    signing = s.CharField(help_text="base64 of the Ed25519 public key that signs manifests")


class Why(Strict):
    reason = s.CharField(max_length=2000, allow_blank=True, default="")
