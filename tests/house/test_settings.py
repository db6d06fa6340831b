"""Every setting is documented, and the environment is read in one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = set(re.findall(r"`([A-Z][A-Z0-9_]{3,})`", (ROOT / "docs/reference/settings.md").read_text("utf-8")))
VARIABLE = re.compile(r"(MYELIN_[A-Z0-9_]+|[A-Z]+_URL)$")


def variables(path: str) -> set[str]:
    """Names of environment variables that stand as strings of their own in a module."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value)}


def test_every_setting_is_documented() -> None:
    read = variables("registry/settings.py") | variables("registry/environment.py")
    assert {"MYELIN_ENV", "DATABASE_URL", "MYELIN_SECRET_KEY"} <= read
    assert read - DOCUMENTED == set()


def test_what_is_documented_exists() -> None:
    settings = (ROOT / "registry/settings.py").read_text("utf-8")
    named_in_code = set(re.findall(r"^ *(MYELIN_[A-Z_]+) = ", settings, re.M))
    documented = {name for name in DOCUMENTED if VARIABLE.fullmatch(name)}
    assert documented - variables("registry/settings.py") - variables("registry/environment.py") - named_in_code == set()


def test_only_the_settings_read_the_environment() -> None:
    readers = set()
    for path in (ROOT / "registry").rglob("*.py"):
        if re.search(r"os\.(environ\b(?! *\|)|getenv)", path.read_text("utf-8")):
            readers.add(str(path.relative_to(ROOT)))
    # manage.py-like entries set DJANGO_SETTINGS_MODULE; the supervisor and the demo hand a chosen environment on to the processes they start.
    assert {name for name in readers if not name.startswith("registry/management/")} <= {
        "registry/settings.py",
        "registry/wsgi.py",
        "registry/runs/supervisor.py",
    }
