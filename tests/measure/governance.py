"""`make show-governance`: the rows of the issue "Consent that is enforced, access that is decided, departures that are carried through".

A row that is not built yet says so, and is not met. QUICK=1 asks the small table, a dozen worlds and every kind of tampering: seconds.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import governance_access_rows as access
import governance_rows as rows
from table import Measure, Result, Row, not_quick, show


def joined(module: str, name: str) -> Measure:
    """The measure of a row that has a file of its own beside this one."""
    if (Path(__file__).parent / f"{module}.py").is_file():
        found: Measure = getattr(importlib.import_module(module), name)
        return found
    return rows.not_built()


def tables(depth: str) -> Result:
    """Both tables in one row."""
    states, consents = access.state_by_role_by_command(depth), rows.consent_by_request(depth)
    return Result(f"{states.figure}; {consents.figure}", met=bool(states.met and consents.met))


ROWS = [
    Row("state x role x command matrix; consent x request table", "cells asked, 0 wrong", tables),
    Row("list and single answers agree", "10,000 random worlds, 0 differences", rows.agreement),
    Row("a purpose decided for 10,000 participants with 500 distinct consent rows", "under 1 s, and the SQL it became", not_quick(rows.purpose_decided)),
    Row(
        "withdrawal from a release of 1,000 participants",
        "unreachable under 5 s; new release under 60 s; notices = recipients; 0 traces; in a dump only the closed list",
        joined("governance_leaving_rows", "withdrawal"),
    ),
    Row("two participants with byte-identical masks, one leaves", "the other's release verifies", joined("governance_leaving_rows", "same_bytes")),
    Row("a person in two datasets leaves", "gone from both; unlinkable from a dump without the vault key", joined("governance_leaving_rows", "two_datasets")),
    Row(
        "withdrawal at 50 random moments of a download of at least 64 MiB",
        "at most 1 MiB after it, ends as an error, later 403, 404 or 410",
        not_quick(joined("governance_leaving_rows", "cut_downloads")),
    ),
    Row("differencing attacker over the live counts, 20 cohorts of 300", "0 claims", joined("governance_count_rows", "differencing")),
    Row(
        "50 readers during a freeze of 1,000 participants",
        "p95, 0 errors, chain verifies",
        not_quick(joined("governance_release_rows", "readers_during_freeze")),
    ),
    Row(
        "import of a 2,000-row clinical CSV with 50 planted faults",
        "50 named by row and column, 0 rows written; after mending, all; again: 0 changes",
        joined("governance_import_rows", "clinical_import"),
    ),
    Row("acceptance stories, one per system our users know", "each passes on both databases", joined("governance_story_rows", "stories")),
    # Last, for it leaves a record that nobody can believe any more.
    Row("13 kinds of tampering with the log", "13 found; 1,000,000 lines verified in under 60 s", rows.tampering),
]

if __name__ == "__main__":
    sys.exit(show("governance", ROWS))
