"""The environment, read and judged: values for `registry.settings`, and what production refuses to start with.

Standard library only, and nothing is remembered: every function takes the environment as an argument, so that tests can hand in their own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Environment = Mapping[str, str]


class Misconfigured(Exception):
    """The environment asks for something that must not run. The message names the variable and never its value."""


def flag(environment: Environment, name: str, default: bool = False) -> bool:
    """A switch: 1, true, yes, on or 0, false, no, off. Raises Misconfigured for anything else."""
    word = environment.get(name, "").strip().lower()
    if not word:
        return default
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off"}:
        return False
    raise Misconfigured(f"{name} must be one of 1, true, yes, on, 0, false, no, off.")


def number(environment: Environment, name: str, default: int, least: int = 1) -> int:
    """A whole number of at least `least`. Raises Misconfigured otherwise."""
    word = environment.get(name, "").strip()
    if not word:
        return default
    if not word.isdigit() or int(word) < least:
        raise Misconfigured(f"{name} must be a whole number of at least {least}.")
    return int(word)


def words(environment: Environment, name: str, default: str = "") -> list[str]:
    """A list separated by commas."""
    return [word.strip() for word in environment.get(name, default).split(",") if word.strip()]


def entropy_bits(secret: str) -> float:
    """Shannon entropy of the characters times their number: an upper bound of what a guesser must try, in bits."""
    counts = Counter(secret)
    return -sum(n * math.log2(n / len(secret)) for n in counts.values()) if secret else 0.0


def weak(secret: str) -> bool:
    """Whether a secret is too short, too regular, or the development one (Django's own check: 50 characters, 5 different, no insecure prefix)."""
    return len(secret) < 50 or len(set(secret)) < 16 or entropy_bits(secret) < 128 or secret.startswith(("django-insecure", "development"))


SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "OPTIONS": {
        # IMMEDIATE: a writer takes its lock at BEGIN and waits there; a read that turns into a write cannot fail half-way with "locked".
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        # FULL: a commit that was answered survives a power cut. secure_delete: what is deleted is overwritten, not merely unlinked.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=30000; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;",
    },
}


def sqlite(path: Path, test_name: str | None = None) -> dict[str, Any]:
    """Django's description of one SQLite file. Tests use a file too (`:memory:` would hide locking)."""
    return {**SQLITE, "NAME": str(path), "TEST": {"NAME": test_name or str(path.with_name("test-" + path.name))}}


def database(url: str, default: Path, name: str) -> dict[str, Any]:
    """Django's description of a database URL; an empty URL is the SQLite file `default`.

    `postgresql://user:password@host:port/name?sslmode=require` or `sqlite:///absolute/path`. Raises Misconfigured (naming `name`) for others.
    """
    if not url:
        return sqlite(default)
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and parts.path:
        return sqlite(Path("/" + unquote(parts.path).lstrip("/")))
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise Misconfigured(f"{name} must be postgresql://user:password@host:port/name or sqlite:///absolute/path.")
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or query.pop("host", "")),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # A lock that is not had in ten seconds is answered 503, not waited for (REMS does the same).
        "OPTIONS": {"options": "-c lock_timeout=10000", **query},
    }


def cache(url: str) -> dict[str, Any]:
    """Django's description of the cache: Redis by URL, else the database cache (shared by every worker of this machine). Raises Misconfigured."""
    if not url:
        return {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache_entries", "TIMEOUT": 300, "OPTIONS": {"MAX_ENTRIES": 50_000}}
    if urlsplit(url).scheme not in {"redis", "rediss"}:
        raise Misconfigured("CACHE_URL must be redis://host:port/number.")
    return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}


def email(url: str, folder: Path) -> dict[str, Any]:
    """Django's EMAIL_ settings: `smtp://user:password@host:port` (`?tls=1` for STARTTLS), `smtps://…`; empty: files in `folder`. Raises Misconfigured."""
    if not url:
        return {"EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend", "EMAIL_FILE_PATH": str(folder)}
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise Misconfigured("EMAIL_URL must be smtp://user:password@host:port or smtps://user:password@host:port.")
    starttls = parse_qs(parts.query).get("tls", ["0"])[-1] in {"1", "true", "starttls"}
    return {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parts.hostname,
        "EMAIL_PORT": parts.port or (465 if parts.scheme == "smtps" else 25),
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
        "EMAIL_USE_SSL": parts.scheme == "smtps",
        "EMAIL_USE_TLS": starttls,
        "EMAIL_TIMEOUT": 30,
    }


def oidc(environment: Environment) -> dict[str, str]:
    """The provider of sign-in: issuer, client_id, client_secret, name; empty where none is named. Raises Misconfigured for half of it, or plain HTTP."""
    given = [environment.get("MYELIN_OIDC_ISSUER", ""), environment.get("MYELIN_OIDC_CLIENT_ID", ""), environment.get("MYELIN_OIDC_CLIENT_SECRET", "")]
    given = [word.strip() for word in given]
    name = environment.get("MYELIN_OIDC_NAME", "").strip()
    if not any(given):
        if name:
            raise Misconfigured("MYELIN_OIDC_NAME names a provider of which nothing else is said.")
        return {}
    if not all(given):
        raise Misconfigured("MYELIN_OIDC_ISSUER, MYELIN_OIDC_CLIENT_ID and MYELIN_OIDC_CLIENT_SECRET belong together: set all three, or none.")
    issuer = given[0].rstrip("/")
    parts = urlsplit(issuer)
    if parts.query or parts.fragment or not parts.hostname or len(issuer) > 200:
        raise Misconfigured("MYELIN_OIDC_ISSUER must be the issuer's https:// address, without a query, of at most 200 characters.")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1"} and not _production(environment)):
        raise Misconfigured("MYELIN_OIDC_ISSUER must begin with https://.")
    return {"issuer": issuer, "client_id": given[1], "client_secret": given[2], "name": name or str(parts.hostname)}


def providers(told: Mapping[str, str]) -> dict[str, Any]:
    """allauth's description of that provider. Its name in the database is the issuer itself: a subject of another issuer is another person."""
    if not told:
        return {}
    settings = {"server_url": told["issuer"], "fetch_userinfo": False, "oauth_pkce_enabled": True, "scope": ["openid"]}
    app = {"provider_id": told["issuer"], "name": told["name"], "client_id": told["client_id"], "secret": told["client_secret"], "settings": settings}
    return {"openid_connect": {"APPS": [app]}}


def _production(environment: Environment) -> bool:
    return environment.get("MYELIN_ENV", "development") == "production"


def refuse_unsafe_production(environment: Environment, *, debug: bool, secret: str, hosts: list[str]) -> None:
    """Everything that production must not start with, each with what to do about it. Raises Misconfigured for the first found."""
    if debug:
        raise Misconfigured("MYELIN_DEBUG is on: switch it off in production.")
    if not secret:
        raise Misconfigured("MYELIN_SECRET_KEY is missing: `python -c 'import secrets; print(secrets.token_urlsafe(64))'` makes one.")
    if weak(secret):
        raise Misconfigured("MYELIN_SECRET_KEY is weak: take at least 50 random characters.")
    if not hosts or "*" in hosts:
        raise Misconfigured("MYELIN_HOSTS is missing or '*': name the hosts this registry answers for.")
    if not environment.get("MYELIN_HOME"):
        raise Misconfigured("MYELIN_HOME is missing: name the folder of the zones and keys.")
    if not environment.get("MYELIN_URL", "").startswith("https://"):
        raise Misconfigured("MYELIN_URL must begin with https://: mails link to it.")
    home_keys = Path(environment.get("MYELIN_KEYS") or Path(environment["MYELIN_HOME"]) / "keys")
    for name in ("audit", "vault", "accounts"):
        if not (home_keys / name).is_file():
            raise Misconfigured(f"The key file '{name}' is missing in the keys folder: `manage.py keys` makes it (MYELIN_ENV=development).")
    if environment.get("DATABASE_URL", "").startswith("postgres") and not environment.get("VAULT_URL"):
        raise Misconfigured("VAULT_URL is missing: with PostgreSQL the vault needs a database that every host reaches.")
