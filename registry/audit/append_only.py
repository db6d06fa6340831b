"""Tables in which what is written stays: triggers that refuse UPDATE and DELETE, and TRUNCATE where a database has it.

They stop a mistake and an injected statement; whoever owns the database can drop them, and is found by the chain.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.db import router

MODELS = (("audit", "line"), ("consent", "consentevent"), ("consent", "consenttemplate"))  # (app, model): every table that is append-only
REFUSAL = "this table is append-only"


def statements(vendor: str, table: str) -> list[str]:
    """What makes a table append-only; running it twice changes nothing."""
    if vendor == "sqlite":
        return [
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        f"CREATE OR REPLACE FUNCTION myelin_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$",
        f"DROP TRIGGER IF EXISTS {table}_append_only ON {table}",
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION myelin_append_only()",
        f"DROP TRIGGER IF EXISTS {table}_no_truncate ON {table}",
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION myelin_append_only()",
    ]


def removal(vendor: str, table: str) -> list[str]:
    """What undoes `statements`."""
    if vendor == "sqlite":
        return [f"DROP TRIGGER IF EXISTS {table}_no_{verb}" for verb in ("update", "delete")]
    return [f"DROP TRIGGER IF EXISTS {table}_{name} ON {table}" for name in ("append_only", "no_truncate")]


def grants(role: str, kept: list[str], head: str) -> list[str]:
    """What a role of PostgreSQL may do that is not the owner: all with the registry's tables, but neither change nor remove what is append-only (`kept`),
    nor remove the head of the chain, nor put a trigger anywhere. Run it after every migration. Raises ValueError for a name that is none.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", role):
        raise ValueError("A role's name is small letters, digits and underscores.")
    everything = "ALL TABLES IN SCHEMA public"
    return [
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"REVOKE ALL ON {everything} FROM {role}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {everything} TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
        *(f"REVOKE UPDATE, DELETE ON {table} FROM {role}" for table in kept),
        f"REVOKE DELETE ON {head} FROM {role}",
        f"REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {role}",
    ]


def run(connection: Any, lines: list[str]) -> None:
    with connection.cursor() as cursor:
        for line in lines:
            cursor.execute(line)


def operation(app_label: str, model_name: str) -> tuple[Callable[[Any, Any], None], Callable[[Any, Any], None]]:
    """Forward and backward functions for `migrations.RunPython`: the table of this model, in the database where it lives."""

    def table(apps: Any, editor: Any) -> str | None:
        model = apps.get_model(app_label, model_name)
        return model._meta.db_table if router.allow_migrate_model(editor.connection.alias, model) else None

    def forward(apps: Any, editor: Any) -> None:
        if name := table(apps, editor):
            run(editor.connection, statements(editor.connection.vendor, name))

    def backward(apps: Any, editor: Any) -> None:
        if name := table(apps, editor):
            run(editor.connection, removal(editor.connection.vendor, name))

    return forward, backward
