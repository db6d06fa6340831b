"""The environment is read once; development needs none of it, and production does not start unsafe. Each refusal has a twin that starts."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from registry import environment as env

ROOT = Path(__file__).resolve().parents[2]
SHOW = "from registry import settings as s; print(s.DEBUG, s.PRODUCTION, s.DATABASES['default']['ENGINE'], "
SHOW += "any(d.get('ATOMIC_REQUESTS') for d in s.DATABASES.values()), s.SESSION_COOKIE_SECURE)"


def start(**given: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, with this environment and no other."""
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **given}
    return subprocess.run([sys.executable, "-c", SHOW], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def safe(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "keys").mkdir()
    for name in ("audit", "vault", "accounts"):
        (tmp_path / "keys" / name).write_text(secrets.token_hex(32))
    return {
        "MYELIN_ENV": "production",
        "MYELIN_SECRET_KEY": secrets.token_urlsafe(64),
        "MYELIN_HOSTS": "registry.example.org",
        "MYELIN_HOME": str(tmp_path),
        "MYELIN_URL": "https://registry.example.org",
    }


def test_development_starts_with_nothing_set(tmp_path: Path) -> None:
    answer = start(MYELIN_HOME=str(tmp_path / "home"))
    assert answer.stdout.split() == ["True", "False", "django.db.backends.sqlite3", "False", "False"], answer.stderr


def test_production_starts_when_it_is_safe(safe: dict[str, str]) -> None:
    answer = start(**safe)
    assert answer.stdout.split() == ["False", "True", "django.db.backends.sqlite3", "False", "True"], answer.stderr


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"MYELIN_DEBUG": "1"}, "MYELIN_DEBUG"),
        ({"MYELIN_SECRET_KEY": ""}, "MYELIN_SECRET_KEY"),
        ({"MYELIN_SECRET_KEY": "short"}, "MYELIN_SECRET_KEY"),
        ({"MYELIN_SECRET_KEY": "a" * 80}, "MYELIN_SECRET_KEY"),
        ({"MYELIN_SECRET_KEY": "development only: anybody can read this key in the repository"}, "MYELIN_SECRET_KEY"),
        ({"MYELIN_HOSTS": ""}, "MYELIN_HOSTS"),
        ({"MYELIN_HOSTS": "*"}, "MYELIN_HOSTS"),
        ({"MYELIN_HOME": ""}, "MYELIN_HOME"),
        ({"MYELIN_URL": "http://registry.example.org"}, "MYELIN_URL"),
        ({"MYELIN_KEYS": "/nowhere"}, "key file"),
        ({"DATABASE_URL": "postgresql://u:p@db/myelin"}, "VAULT_URL"),
        ({"DATABASE_URL": "mysql://u:p@db/myelin"}, "DATABASE_URL"),
        ({"CACHE_URL": "memcached://c"}, "CACHE_URL"),
        ({"EMAIL_URL": "mailto:x"}, "EMAIL_URL"),
        ({"MYELIN_LEASE_S": "soon"}, "MYELIN_LEASE_S"),
        ({"MYELIN_DEBUG": "perhaps"}, "MYELIN_DEBUG"),
    ],
)
def test_production_does_not_start_unsafe(safe: dict[str, str], change: dict[str, str], names: str) -> None:
    answer = start(**{**safe, **change})
    assert answer.returncode != 0
    last = answer.stderr.strip().splitlines()[-1]
    assert "ImproperlyConfigured" in last and names in last
    for value in change.values():
        assert len(value) < 5 or value not in last, "a message must not repeat a value that may be secret"


def test_django_itself_finds_nothing_to_say_against_production(safe: dict[str, str]) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **safe}
    command = [sys.executable, "manage.py", "check", "--deploy", "--tag", "security", "--fail-level", "WARNING"]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert answer.returncode == 0, answer.stderr


def test_every_variable_that_is_read_is_explained() -> None:
    code = (ROOT / "registry" / "settings.py").read_text() + (ROOT / "registry" / "environment.py").read_text()
    read = set(re.findall(r'"((?:MYELIN|DATABASE|VAULT|CACHE|EMAIL)_[A-Z_]+)"', code))
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", page, flags=re.MULTILINE))
    names = {name for name in read if re.search(rf'(_E|environment)(\.get\(|\[)"{name}"|_E, "{name}"', code)}
    assert "MYELIN_SECRET_KEY" in names and len(names) > 15
    assert names == explained


def test_the_environment_is_read_in_one_place_only() -> None:
    for path in (ROOT / "registry").rglob("*.py"):
        if "management" in path.parts:
            continue  # commands may hand their environment on to processes they start
        text = path.read_text(encoding="utf-8")
        if path.name not in {"settings.py", "wsgi.py", "supervisor.py"}:
            assert "os.environ" not in text and "os.getenv" not in text, path


def test_urls_become_what_django_wants(tmp_path: Path) -> None:
    pg = env.database("postgresql://me:p%40ss@db.example:5433/myelin?sslmode=require", tmp_path / "x", "DATABASE_URL")
    assert (pg["NAME"], pg["USER"], pg["PASSWORD"], pg["HOST"], pg["PORT"], pg["OPTIONS"]["sslmode"]) == (
        "myelin",
        "me",
        "p@ss",
        "db.example",
        "5433",
        "require",
    )
    assert env.database("sqlite:////data/r.sqlite3", tmp_path / "x", "D")["NAME"] == "/data/r.sqlite3"
    assert env.database("", tmp_path / "x", "D")["NAME"] == str(tmp_path / "x")
    smtp = env.email("smtp://me:secret@mail.example:587?tls=1", tmp_path)
    assert (smtp["EMAIL_HOST"], smtp["EMAIL_PORT"], smtp["EMAIL_USE_TLS"], smtp["EMAIL_USE_SSL"]) == ("mail.example", 587, True, False)
    assert env.email("smtps://mail.example", tmp_path)["EMAIL_PORT"] == 465
    assert env.cache("redis://cache:6379/1")["LOCATION"] == "redis://cache:6379/1"


@pytest.mark.django_db(databases="__all__")
def test_sqlite_keeps_what_it_answered() -> None:
    from django.db import connections

    for connection in connections.all():
        if connection.vendor != "sqlite":
            continue
        with connection.cursor() as cursor:
            told = {
                name: cursor.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys", "secure_delete")
            }
        assert told == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 30000, "foreign_keys": 1, "secure_delete": 1}
        assert connection.transaction_mode == "IMMEDIATE"
