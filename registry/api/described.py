"""How doors describe themselves in the OpenAPI document: names of operations, how one proves who one is, and that a list is what its page says."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

VERBS = {"GET": "read", "POST": "create", "PUT": "send", "DELETE": "end", "PATCH": "change"}


class Described(AutoSchema):
    """An operation is called by its verb and its door: `readUpload`, `createRequest`, `createBind`."""

    def get_operation_id(self) -> str:
        """Stable for as long as the door keeps its name: a generated client's method."""
        return VERBS[self.method] + re.sub("Door$", "", type(self.view).__name__)

    def get_tags(self) -> list[str]:
        """The doors name their tags themselves."""
        return []

    def _is_list_view(self, serializer: Any = None) -> bool:
        """A page is an object with `results`, never a bare list."""
        return False


class TokenExtension(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call,misc]
    """`Authorization: Bearer …`."""

    target_class = "registry.accounts.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "A token made at POST /tokens."}
