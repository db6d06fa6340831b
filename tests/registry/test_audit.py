"""Every act is on record in a log that shows tampering, and the log itself refuses to be changed."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction

from registry.audit import actions, anchor, append_only, queries
from registry.audit.models import Head, Line
from registry.audit.seal import Sealer
from tests.registry.tampering import TABLE, TAMPERINGS, codes, sql, without_triggers, write

pytestmark = pytest.mark.django_db(databases="__all__")


def test_a_chain_of_lines_is_whole(committed: None) -> None:
    write()
    assert codes() == []
    assert [line.seq for line in queries.of_object("image:3")] == [4]
    assert queries.of_dataset("d1").count() == 10
    assert isinstance(anchor.read(Sealer()), anchor.Anchor)


def test_an_empty_chain_is_whole(committed: None) -> None:
    assert codes() == []


@pytest.mark.parametrize(
    "statement",
    [f"UPDATE {TABLE} SET act = 'nothing' WHERE seq = 3", f"DELETE FROM {TABLE} WHERE seq = 3", f"DELETE FROM {TABLE}", "truncate"],
)
def test_the_table_refuses_to_be_changed_and_takes_new_lines(statement: str) -> None:
    if statement == "truncate":
        if connection.vendor == "sqlite":
            return  # SQLite knows no TRUNCATE; its DELETE is refused above
        statement = f"TRUNCATE {TABLE}"
    write(5)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(statement)
    write(1)
    assert Line.objects.count() == 6


def test_django_s_own_ways_of_changing_are_refused_too() -> None:
    write(2)
    line = Line.objects.get(seq=1)
    line.act = "nothing"
    with pytest.raises(DatabaseError), transaction.atomic():
        line.save()
    with pytest.raises(DatabaseError), transaction.atomic():
        line.delete()


@pytest.mark.parametrize("name", list(TAMPERINGS))
def test_each_kind_of_tampering_is_found(name: str, committed: None) -> None:
    write()
    assert codes() == []
    without_triggers(TAMPERINGS[name])
    assert codes() != []


def test_an_anchor_removed_or_forged_is_found(committed: None) -> None:
    write(3)
    anchor.place().write_text(json.dumps({"count": 2, "last": Line.objects.get(seq=2).mac, "mac": "0" * 64}))
    assert codes() == ["anchor_forged"]
    anchor.place().unlink()
    assert codes() == ["anchor_missing"]
    write(1)
    assert codes() == []


def test_the_anchor_only_moves_forwards(committed: None) -> None:
    write(5)
    there = anchor.read(Sealer())
    anchor.advance(2, Line.objects.get(seq=2).mac)
    assert anchor.read(Sealer()) == there


def test_nothing_is_recorded_on_a_head_that_was_tampered_with(committed: None) -> None:
    write(3)
    good = Head.objects.get()
    Head.objects.update(count=2)
    with pytest.raises(actions.AuditBroken):
        write(1)
    good.save()
    write(1)
    Head.objects.all().delete()
    with pytest.raises(actions.AuditBroken):
        write(1)


def test_a_line_is_rolled_back_with_its_act_and_the_anchor_does_not_know_it(committed: None) -> None:
    write(1)
    with pytest.raises(RuntimeError), transaction.atomic():
        write(1)
        raise RuntimeError
    write(1)
    assert Line.objects.count() == 2
    assert codes() == []


def test_a_denial_leaves_a_line_of_its_own(committed: None) -> None:
    actions.denied(None, "image.look", "image:1", "no_role")
    line = Line.objects.get()
    assert (line.actor, line.detail) == ("nobody", {"denied": "no_role"})


def test_many_writers_make_one_chain(committed: None) -> None:
    failures: list[BaseException] = []

    def some() -> None:
        try:
            write(10)
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Line.objects.count() == 40
    assert codes() == []


def test_details_that_a_database_might_change_are_refused_and_plain_ones_kept() -> None:
    with pytest.raises(TypeError):
        actions.write("x", "y", "z", share=0.5)
    line = actions.write("x", "y", "z", words={"b", "a"}, text="t" * 9999)
    assert line.detail["words"] == ["a", "b"] and len(line.detail["text"]) == actions.MAX_TEXT


def test_an_actor_outlives_their_account(world: Any, committed: None) -> None:
    user = world.user("leaver")
    actions.write(user, "something", "thing:1")
    email = user.email
    user.delete()
    assert email in Line.objects.get(object="thing:1").actor
    assert codes() == []


def test_the_key_is_outside_and_another_key_makes_every_line_wrong(home: Path, committed: None) -> None:
    write(3)
    key = home / "keys" / "audit"
    assert key.stat().st_mode & 0o077 == 0
    key.unlink()
    assert "edited" in codes()


def test_verify_as_a_command(committed: None) -> None:
    write(3)
    out = io.StringIO()
    call_command("audit", "verify", stdout=out)
    assert "the chain is whole" in out.getvalue()
    without_triggers(lambda: edit_first())
    with pytest.raises(SystemExit) as ended:
        call_command("audit", "verify", stdout=io.StringIO())
    assert ended.value.code == 1


def edit_first() -> None:
    sql(f"UPDATE {TABLE} SET act = 'nothing' WHERE seq = 1")


def test_a_role_that_is_not_the_owner_cannot_change_the_log_even_without_triggers(committed: None) -> None:
    write(3)
    if connection.vendor != "postgresql":
        with pytest.raises(CommandError):
            call_command("audit", "grants", "web")
        return
    role = f"web_{os.getpid()}"
    sql(f"CREATE ROLE {role}")
    call_command("audit", "grants", role, stdout=io.StringIO())
    append_only.run(connection, append_only.removal("postgresql", TABLE))
    try:
        sql(f"SET ROLE {role}")
        for change in (f"UPDATE {TABLE} SET act = 'x'", f"DELETE FROM {TABLE}", f"TRUNCATE {TABLE}", "DELETE FROM audit_head", f"DROP TABLE {TABLE}"):
            with pytest.raises(DatabaseError, match=r"permission denied|must be owner"), transaction.atomic():
                sql(change)
        write(2)  # what it is there for, it may
        assert Line.objects.count() == 5 and codes() == []
    finally:
        sql("RESET ROLE")
        append_only.run(connection, append_only.statements("postgresql", TABLE))
        sql(f"DROP OWNED BY {role}")
        sql(f"DROP ROLE {role}")


@pytest.mark.parametrize("name", ["web; DROP TABLE x", "Web", ""])
def test_a_role_s_name_is_no_statement(name: str) -> None:
    with pytest.raises(ValueError):
        append_only.grants(name, [TABLE], "audit_head")
