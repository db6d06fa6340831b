"""The rows of `make show-governance` about consent, the rule and the log: the table, the random worlds, one purpose for ten thousand, tampering."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from governance_house import engine, opened
from table import ROOT, Result

WORLDS = {"quick": 12, "usual": 500, "full": 10_000}
PROCESSES = 3
PEOPLE, DISTINCT, LINES = 10_000, 500, 1_000_000


# --- the table -----------------------------------------------------------------------------------------------------------------------------------


def consent_by_request(depth: str) -> Result:
    """Half of the first row: every cell of the table consent x request."""
    from tests.registry import consent_table

    asked, permits, wrong = consent_table.wrong(most=1 if depth == "quick" else 2)
    for line in wrong[:10]:
        print(line, file=sys.stderr)
    return Result(f"consent x request: {asked:,} cells asked ({permits:,} of them permitted), {len(wrong)} wrong", met=not wrong)


# --- the worlds ----------------------------------------------------------------------------------------------------------------------------------


def agreement(depth: str) -> Result:
    """List and single answers on random worlds, drawn by Hypothesis; many of them in several processes, each with a seed of its own."""
    count = WORLDS[depth]
    parts = [agree(count, 0)] if depth == "quick" else _beside(count, PROCESSES)
    worlds, compared, differing = (sum(part[n] for part in parts) for n in range(3))
    return Result(
        f"{worlds:,} worlds, {compared:,} answers compared, {differing} differences ({engine_of()})",
        met=worlds >= count and not differing,
        sample=count < WORLDS["full"],
    )


def engine_of() -> str:
    return "PostgreSQL" if os.environ.get("DATABASE_URL", "").startswith("postgres") else "SQLite"


def agree(count: int, seed: int) -> tuple[int, int, int]:
    """So many random worlds: how many, how many answers were compared, how many differ."""
    world = opened()
    from hypothesis import HealthCheck, given, settings
    from hypothesis import seed as sown
    from hypothesis import strategies as st

    from tests.registry import worlds

    scene, told = worlds.scene_of(world), [0, 0, 0]

    @sown(seed)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**63))
    def ask(drawn: int) -> None:
        compared, differing = worlds.compared(scene, drawn)
        told[0], told[1], told[2] = told[0] + 1, told[1] + compared, told[2] + len(differing)
        if told[0] % 500 == 0:
            print(f"{told[0]} worlds, {told[2]} differences", file=sys.stderr, flush=True)
        for one in differing[:3]:
            print("differs:", *one, file=sys.stderr)

    ask()
    return told[0], told[1], told[2]


def _beside(count: int, processes: int) -> list[tuple[int, ...]]:
    """The same in several processes, each with databases of its own."""
    line = [sys.executable, str(ROOT / "tests" / "measure" / "governance_rows.py")]
    running = [
        subprocess.Popen([*line, str(-(-count // processes)), str(seed)], cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.PIPE, text=True)
        for seed in range(1, processes + 1)
    ]
    return [tuple(int(word) for word in process.communicate()[0].split()) for process in running]


# --- one purpose, ten thousand people ------------------------------------------------------------------------------------------------------------


def purpose_decided(depth: str) -> Result:
    """The policy asked for everybody an entitlement gives, of 10,000 people with 500 distinct consents; beside it the SQL that the answer became."""
    entitlement, distinct = _many_people(opened())
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from registry.access import policy

    policy.covered(entitlement).count()  # once before: the connection and the query plans are warm
    with CaptureQueriesContext(connection) as seen:
        start = time.perf_counter()
        people = len(policy.covered(entitlement).values_list("pk", flat=True))
        took = time.perf_counter() - start
    start = time.perf_counter()
    previewed = policy.preview(policy.purpose_of(entitlement.request), entitlement.dataset.participants.all())
    preview = time.perf_counter() - start
    permitted = sum(answer.permitted for answer in previewed.values())
    sql = _short(seen.captured_queries[-1]["sql"])
    figure = f"{took:.2f} s, {distinct} rows decided, {people:,} of {PEOPLE:,} people, {len(seen)} statements ({engine()}); "
    figure += f"with every reason of each person {preview:.2f} s"
    same = people == permitted and 0 < people < PEOPLE and distinct == DISTINCT
    return Result(f"{figure}. {sql}", met=took < 1 and preview < 1 and same)


def _short(sql: str) -> str:
    """The statement, its long lists of keys told as how many they are."""
    import re

    sql = re.sub(r"IN \(((?:'?[0-9a-f-]{32,36}'?(?:::uuid)?(?:, )?){3,})\)", lambda found: f"IN (… {found.group(1).count(',') + 1} keys)", sql)
    return re.sub(r"SELECT (?:\"\w+\"\.\"\w+\"(?: AS \"\w+\")?,? ?)+FROM", "SELECT … FROM", sql, count=1)


def _many_people(world: Any) -> tuple[Any, int]:
    """10,000 people of one dataset with 500 distinct consents in turn, and an entitlement for biomedical research that names all of them."""
    from registry.access.models import RequestedParticipant
    from registry.consent import actions, queries
    from registry.consent.models import Standing
    from registry.subjects.models import Participant

    site = world.site("many")
    dataset = world.dataset(site)
    steward, first = world.steward(dataset), world.participant(dataset, site)
    world.consent(first)
    entitlement = world.entitled(dataset, steward, months=12)
    facts = [actions.intern(queries.facts_of(event)) for event in distinct_consents(first)]
    rows = [Participant(dataset=dataset, site=site, code=code(n), label=f"p{n}") for n in range(PEOPLE - 1)]
    Participant.objects.bulk_create(rows, batch_size=1000)
    until = date.today() + timedelta(days=1)
    Standing.objects.bulk_create(
        [Standing(participant=who, facts=facts[n % DISTINCT], valid_until=until, events=1) for n, who in enumerate(rows)], batch_size=1000
    )
    Standing.objects.filter(participant=first).update(facts=facts[0])
    RequestedParticipant.objects.bulk_create(
        [RequestedParticipant(request=entitlement.request, participant=who, allowed=True) for who in rows], batch_size=1000
    )
    return entitlement, len(queries.distinct_facts(dataset.pk))


def code(n: int) -> str:
    """A code's form: 26 characters of a-z2-7."""
    return "".join("abcdefghijklmnopqrstuvwxyz234567"[n >> 5 * k & 31] for k in range(26))


def distinct_consents(who: Any) -> list[Any]:
    """500 consents of which no two are the same."""
    from registry.consent.models import ConsentEvent

    permissions, modifiers = ("GRU", "HMB", "POA", "NRES"), ([], ["NPU"], ["PUB"], ["NCU"], ["NMDS"])
    return [
        ConsentEvent(
            participant=who, permission=permissions[n % 4], modifiers=modifiers[n // 4 % 5], transfer="none", legal_basis="6.1.a", max_months=12 + n // 20
        )
        for n in range(DISTINCT)
    ]


# --- the log -------------------------------------------------------------------------------------------------------------------------------------


def tampering(depth: str) -> Result:
    """Each kind of tampering on a chain of its own, and how long a million lines take to verify."""
    opened()
    from tests.registry.tampering import TAMPERINGS, codes, without_triggers, write

    found, quiet = [], []
    for name, tamper in TAMPERINGS.items():
        emptied()
        write()
        quiet += [name] if codes() else []
        without_triggers(tamper)
        found += [name] if codes() else []
    kinds = f"{len(TAMPERINGS)} kinds (the 13 and {len(TAMPERINGS) - 13} more): {len(found)} found, {len(quiet)} false alarms"
    met = len(found) == len(TAMPERINGS) and not quiet
    if depth == "quick":
        return Result(f"{kinds}; a million lines not run now (QUICK=1)", met=None if met else False, sample=True)
    lines = LINES if depth == "full" else LINES // 10
    took, clean = million(lines)
    figure = f"{kinds}; {lines:,} lines verified in {took:.1f} s ({engine()})"
    return Result(figure, met=met and clean and took < 60 * lines / LINES, sample=lines < LINES)


def emptied() -> None:
    """An empty log: what the owner of a database of tests can do."""
    from registry.audit import anchor
    from registry.audit.models import Head
    from tests.registry.tampering import TABLE, sql, without_triggers

    without_triggers(lambda: sql(f"DELETE FROM {TABLE}"))
    Head.objects.all().delete()
    anchor.place().unlink(missing_ok=True)


def million(lines: int) -> tuple[float, bool]:
    """Seconds to verify a chain of so many lines, and whether it was found whole and a word changed in its middle was found too."""
    from registry.audit import queries
    from registry.audit.models import Line
    from tests.registry.tampering import TABLE, sql, without_triggers

    emptied()
    chain(lines)
    start = time.perf_counter()
    whole = not list(queries.verify())
    took = time.perf_counter() - start
    middle = lines // 2
    without_triggers(lambda: sql(f"UPDATE {TABLE} SET act = 'nothing' WHERE seq = %s", middle))
    seen = [(one.code, one.seq) for one in queries.verify()]
    assert Line.objects.count() == lines
    return took, whole and seen == [("edited", middle)]


def chain(lines: int) -> None:
    """A whole chain of plain lines, written in bulk."""
    from registry.audit import anchor
    from registry.audit.models import Head, Line
    from registry.audit.seal import GENESIS, Sealer

    sealer, last, batch = Sealer(), GENESIS, []
    for seq in range(1, lines + 1):
        fields = {
            "seq": seq, "at": "2026-06-01T12:00:00.000000+00:00", "actor": "user:00000000-0000-4000-8000-000000000000 someone@example.org",
            "act": "http.get", "object": f"ImageDoor:{seq:032x}", "dataset": "", "detail": {"rows": seq % 100}, "prev": last,
        }  # fmt: skip
        last = sealer.line(**fields)
        batch.append(Line(**fields, mac=last))
        if len(batch) == 5000 or seq == lines:
            Line.objects.bulk_create(batch)
            batch = []
    Head.objects.create(pk=1, count=lines, last=last, mac=sealer.head(lines, last))
    anchor.advance(lines, last)


def not_built(what: str = "") -> Callable[[str], Result]:
    """A row that the issue asks for and nobody has built: it is said, and it is not met."""
    return lambda depth: Result(f"not built yet{': ' if what else ''}{what}", met=False)


if __name__ == "__main__":
    print(*agree(int(sys.argv[1]), int(sys.argv[2])))
