"""Imports go down only: the floors of docs/explanation/architecture.md, read from the source with `ast`, so that nothing is run to check them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# room -> the rooms it may import (itself always). Inside the registry the apps are rooms of their own.
# Single modules at the top of the registry that everything in it stands on: the law, the root of the models, key files, read-only rows.
LAW = {"registry.rules", "registry.uses", "registry.verdicts", "registry.smallcells"}
RULES = LAW | {"registry.facts", "registry.keyfiles", "registry.readonly"}
FACTS = RULES | {"registry.accounts", "registry.runs", "registry.audit"}
SUBJECTS = FACTS | {"registry.subjects"}
CONSENT = SUBJECTS | {"registry.consent"}
ACCESS = CONSENT | {"registry.access"}
ASKED = ACCESS | {"registry.imaging", "registry.clinical"}
ACTS = ASKED | {"registry.intake", "registry.counts"}
ROOF = ACTS | {"registry.releases"}
PURE = {"spatial", "deid", "qa", "bidstree", "pipeline"}
MAY: dict[str, set[str]] = {
    "spatial": set(),
    "deid": {"spatial"},
    "qa": {"spatial"},
    "bidstree": {"spatial"},
    "pipeline": {"spatial", "deid", "qa", "bidstree"},
    "client": {"deid"},
    "registry.verdicts": set(),
    "registry.uses": {"registry.verdicts"},
    "registry.rules": {"registry.uses", "registry.verdicts"},
    "registry.smallcells": set(),
    "registry.facts": set(),
    "registry.keyfiles": {"registry.rules"},
    "registry.readonly": {"registry.rules"},
    "registry.environment": set(),
    "registry.router": set(),
    "registry.accounts": RULES | {"registry.audit", "registry.runs"} | PURE,
    "registry.runs": RULES | {"registry.audit", "registry.accounts"} | PURE,
    "registry.audit": RULES | PURE,
    "registry.subjects": FACTS | PURE,
    "registry.consent": SUBJECTS | PURE,
    "registry.access": CONSENT | PURE,
    "registry.imaging": ACCESS | PURE,
    "registry.clinical": ACCESS | PURE,
    "registry.intake": ASKED | PURE,
    "registry.counts": ASKED | PURE,
    "registry.releases": ACTS | PURE,
    "registry.api": ROOF | PURE,
    "registry.portal": ROOF | PURE,
}
SHELL = {"registry", "registry.settings", "registry.urls", "registry.wsgi", "registry.management"}
OURS = (*PURE, "client", "registry")
TORCH = {"spatial", "qa", "deid/faces.py"}


def room_of(dotted: str) -> str:
    """The room a module lies in: its package, or the app inside the registry."""
    parts = dotted.split(".")
    return ".".join(parts[:2]) if parts[0] == "registry" and len(parts) > 1 else parts[0]


def imports(tree: ast.AST) -> list[tuple[str, ast.stmt]]:
    """Every name imported anywhere in a module, inside functions too."""
    found: list[tuple[str, ast.stmt]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [(f"{node.module}.{alias.name}" if node.module == "registry" else node.module, node) for alias in node.names]
    return found


def violations(path: str, source: str) -> list[str]:
    """What a file at `path` (relative to the root) imports and may not."""
    here = room_of(path.removesuffix(".py").replace("/", "."))
    tree = ast.parse(source)
    bad = []
    for name, node in imports(tree):
        room, top = room_of(name), name.split(".")[0]
        if top in OURS and here not in SHELL and room != here and room not in MAY[here]:
            bad.append(f"{path}:{node.lineno} {here} imports {name}")
        if top in ("django", "rest_framework", "django_tasks") and not here.startswith("registry"):
            bad.append(f"{path}:{node.lineno} {here} imports {name}: only the registry knows Django")
        if top == "torch" and not ({here, path} & TORCH and node not in tree.body):
            bad.append(f"{path}:{node.lineno} torch is imported late, by spatial, qa and deid/faces.py alone")
        if here in LAW and top in (*OURS, "django") and room not in LAW:
            bad.append(f"{path}:{node.lineno} the law knows the standard library only")
    return bad


def house() -> list[Path]:
    return [path for room in OURS for path in sorted((ROOT / room).rglob("*.py"))]


def test_every_import_goes_down() -> None:
    files = house()
    assert len(files) > 60
    assert [line for path in files for line in violations(str(path.relative_to(ROOT)), path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("path", "planted", "allowed"),
    [
        ("deid/headers.py", "import qa.noise", "import spatial.volumes"),
        ("qa/noise.py", "def f():\n    from bidstree import names", "from spatial import volumes"),
        ("pipeline/steps.py", "import django.db", "import deid.headers"),
        ("client/api.py", "from registry import rules", "import deid.headers"),
        ("registry/rules.py", "from registry.consent import models", "import datetime"),
        ("registry/intake/actions.py", "from registry.releases import actions", "from registry.imaging import models"),
        ("registry/imaging/models.py", "from registry.clinical import models", "from registry.access import policy"),
        ("deid/headers.py", "def f():\n    import torch", "import json"),
        ("qa/noise.py", "import torch", "def f():\n    import torch"),
    ],
)
def test_a_planted_violation_is_caught_and_its_lawful_twin_is_not(path: str, planted: str, allowed: str) -> None:
    assert violations(path, planted)
    assert violations(path, allowed) == []
