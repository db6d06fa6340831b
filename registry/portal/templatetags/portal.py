"""Tags of the portal's templates."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry.accounts import queries

register = template.Library()


@register.simple_tag(takes_context=True)
def navlink(context: dict[str, Any], name: str, words: str, kinds: str = "") -> SafeString | str:
    """A link of the main navigation, marked where one is. None where the page is not there, or where `kinds` names roles and the reader has none of them:
    that hides what would be of no use; what may be seen is decided by the page."""
    try:
        address = reverse(name)
    except NoReverseMatch:
        return ""
    request = context["request"]
    if kinds and not set(kinds.split()) & _kinds(request):
        return ""
    current = "page" if request.path == address else "true" if address != "/" and request.path.startswith(f"{address.rstrip('/')}/") else "false"
    return format_html('<a href="{}" aria-current="{}">{}</a>', address, current, words)


def _kinds(request: Any) -> set[str]:
    """The kinds of the reader's living roles, asked once a request; who runs the registry sees every link."""
    if not hasattr(request, "_role_kinds"):
        kinds = {role.kind for role in queries.living_roles(request.user)}
        request._role_kinds = {"contributor", "steward", "committee"} if request.user.is_superuser else kinds
    found: set[str] = request._role_kinds
    return found
