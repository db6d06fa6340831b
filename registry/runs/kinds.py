"""Which functions do a kind of run: dotted paths of `settings.MYELIN_RUN_KINDS`, below `registry.`, because the rooms they live in lie above the ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string


def function(path: str) -> Callable[..., Any]:
    """The function at `registry.<path>`. Raises ImportError."""
    found: Callable[..., Any] = import_string(f"registry.{path}")
    return found


def parts(kind: str) -> dict[str, str]:
    """The parts of a kind: `order`, `publish`, `record`, `dead`, or `work`, `record`, `dead`. Raises KeyError for an unknown kind."""
    found: dict[str, str] = settings.MYELIN_RUN_KINDS[kind]
    return found


def has(kind: str, part: str) -> bool:
    return bool(parts(kind).get(part))


def call(kind: str, part: str, *arguments: Any) -> Any:
    """Calls a part of a kind, or does nothing where the kind has none."""
    path = parts(kind).get(part)
    return function(path)(*arguments) if path else None
