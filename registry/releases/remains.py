"""What may still be found of somebody who left, and where: the one list, and a search that holds the registry to it.

Each place is here because a law or a promise needs it (`docs/explanation/leaving.md`). None holds a clinical value, and nothing at all holds the
identifier of the site. The search reads what a dump of the database would hold, row by row, and every file that the registry keeps, as bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import connections

# (table, column) -> which of the closed list it is.
CLOSED: dict[tuple[str, str], str] = {
    ("releases_releasefile", "path"): "release tombstone",
    ("releases_releasefile", "sha256"): "release tombstone",
    ("releases_releaseparticipant", "label"): "release tombstone",
    ("releases_releaseparticipant", "facts_sha256"): "release tombstone",
    ("audit_line", "object"): "audit line",
    ("audit_line", "detail"): "audit line",
    ("releases_notice", "label"): "notice",
    ("releases_notice", "text"): "notice",
    ("releases_notice", "files"): "notice",
    ("releases_removal", "label"): "certificate",
    ("releases_removal", "certificate"): "certificate",
    ("subjects_participant", "code"): "withdrawal list",
    ("subjects_participant", "label"): "withdrawal list",
    ("subjects_participant", "key"): "withdrawal list",
}


@dataclass(frozen=True)
class Trace:
    """Something that was found: where (a table and column, or a file below a zone), what of the closed list it is (empty: nothing), how often."""

    where: str
    kind: str
    count: int


def search(words: Iterable[str]) -> list[Trace]:
    """Where any of these words (codes, labels, hashes, identifiers) occurs in the databases' rows and in the registry's files."""
    needles = [word.encode() for word in words if word]
    return [*in_rows(needles), *in_files(needles)]


def in_rows(needles: list[bytes]) -> Iterator[Trace]:
    """In the rows of every table of every database, as a dump would write them."""
    for alias in connections:
        connection = connections[alias]
        with connection.cursor() as cursor:
            tables = sorted(connection.introspection.table_names(cursor))
        for table in tables:
            found: dict[str, int] = {}
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608 - a name that the database told us
                names = [column[0] for column in cursor.description]
                while rows := cursor.fetchmany(2000):
                    for row in rows:
                        for name, value in zip(names, row, strict=True):
                            if _holds(value, needles):
                                found[name] = found.get(name, 0) + 1
            for name, count in found.items():
                yield Trace(f"{table}.{name}", CLOSED.get((table, name), ""), count)


def _holds(value: object, needles: list[bytes]) -> bool:
    if value is None or isinstance(value, int | float):
        return False
    raw = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    return any(needle in raw for needle in needles)


def in_files(needles: list[bytes], roots: Iterable[Path] = ()) -> Iterator[Trace]:
    """In the names and bytes of every file of the zones, keys, mails and logs; a database's own files are read as rows above."""
    for root in dict.fromkeys([Path(settings.MYELIN_HOME), Path(settings.MYELIN_KEYS), *map(Path, settings.MYELIN_ZONES.values()), *roots]):
        for file in sorted(root.rglob("*")) if root.exists() else []:
            if (
                file.is_file()
                and not file.name.startswith(tuple(_databases()))
                and (any(needle in file.name.encode() for needle in needles) or _in(file, needles))
            ):
                yield Trace(f"{root.name}/{file.relative_to(root).parts[0]}", "", 1)


def _databases() -> Iterator[str]:
    """The names of the files in which SQLite keeps the registry's tables: its pages hold what was deleted until they are used again."""
    for alias in connections:
        if connections[alias].vendor == "sqlite":
            yield Path(str(connections[alias].settings_dict["NAME"])).name


def in_vault_files(words: Iterable[str]) -> list[str]:
    """The vault's own file, write-ahead log and all, as bytes: names of the files that hold any of these words. Empty on PostgreSQL, where rows are read."""
    connection = connections["vault" if "vault" in connections else "default"]
    if connection.vendor != "sqlite":
        return []
    base = Path(str(connection.settings_dict["NAME"]))
    needles = [word.encode() for word in words if word]
    return [file.name for file in base.parent.glob(f"{base.name}*") if _in(file, needles)]


def _in(file: Path, needles: list[bytes]) -> bool:
    """Whether a file holds any of the words, read piece by piece with an overlap."""
    most = max((len(needle) for needle in needles), default=0)
    with file.open("rb") as source:
        tail = b""
        while chunk := source.read(1 << 22):
            piece = tail + chunk
            if any(needle in piece for needle in needles):
                return True
            tail = piece[-most:]
    return False


def tables() -> set[str]:
    """Every table of our own models, so that a test can say that the closed list names only what there is."""
    return {model._meta.db_table for model in apps.get_models()}
