"""The row of `make show-governance` about clinical tables: 2,000 rows with 50 planted faults, each named, nothing written; mended, all; again, no change.

It runs in a process of its own over databases of its own: this file, run with MYELIN_HOME an empty folder, prints what was seen as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from table import ROOT, Result

ROWS, FAULTS, KILLS, KILLED_ROWS = 2000, 50, 6, 200
TARGET = "50 named by row and column, 0 rows written; after mending, all; again: 0 changes"


def clinical_import(depth: str) -> Result:
    """A wide table in the way of MSBase: 500 people with four visits each; and, but for `quick`, imports killed at random moments."""
    with tempfile.TemporaryDirectory(prefix="myelin-import-") as folder:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "MYELIN_HOME": folder, "DJANGO_SETTINGS_MODULE": "registry.settings"}
        environment.pop("DATABASE_URL", None)
        environment.pop("VAULT_URL", None)
        done = subprocess.run(
            [sys.executable, __file__, *([] if depth == "quick" else [str(KILLS)])], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        return Result(f"broke: {done.stderr.strip().splitlines()[-1][:200]}", met=False)
    told = json.loads(done.stdout.splitlines()[-1])
    figure = f"{told['named']} of {told['planted']} faults named by row, column and rule, {told['others']} others ({told['tried_s']:.1f} s); "
    figure += f"{'0 rows' if told['untouched'] else 'SOMETHING'} written; after mending {told['participants']} people, {told['visits']} visits and "
    figure += f"{told['records']} records of {told['rows']} rows in {told['taken_s']:.1f} s; again {told['again']} changes, tables "
    figure += "equal" if told["same"] else "DIFFERENT"
    if depth != "quick":
        figure += f"; killed at {KILLS} random moments: {told['half']} half written, {told['left']} left in the vault after reconcile"
    whole = (
        not told.get("half")
        and not told.get("left")
        and (told["named"], told["planted"], told["others"], told["again"], told["visits"]) == (FAULTS, FAULTS, 0, 0, ROWS)
    )
    return Result(figure, sample=depth == "quick", met=whole and told["untouched"] and told["same"])


def everything() -> str:
    """A hash over every row of every table that an import may write, the vault's and the key files' names among them."""
    from django.conf import settings

    from registry.clinical.models import ClinicalRecord
    from registry.subjects.models import Participant, SourceIdentifier, Visit

    rows = [list(model.objects.order_by("pk").values()) for model in (Participant, Visit, ClinicalRecord, SourceIdentifier)]
    keys = sorted(path.name for path in (Path(settings.MYELIN_KEYS) / "participants").glob("*"))
    return hashlib.sha256(json.dumps([rows, keys], default=str).encode()).hexdigest()


def measure() -> dict[str, Any]:
    """Everything the row says, over fresh databases."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("bootstrap", verbosity=0, stdout=sys.stderr)
    from registry.access import actions as access
    from registry.clinical import actions as clinical
    from registry.intake import importing
    from registry.rules import Invalid
    from tests.registry.upper import clinical_tables as tables

    site = access.open_site("system:measure", "aarhus", "Hospital", "DK")
    dataset = access.open_dataset("system:measure", "ms", "MS", [site], "Terms.")
    contributor = access.open_account("system:measure", "site@example.org")
    access.give_role("system:measure", contributor, dataset, "contributor", site)
    saved = clinical.save_mapping(contributor, dataset, site, "msbase", tables.MSBASE)
    rows = tables.msbase(ROWS)
    spoiled, planted = tables.spoil(rows, FAULTS)
    before, start = everything(), time.perf_counter()
    report = importing.try_table(contributor, saved, tables.text(spoiled))
    told: dict[str, Any] = {"tried_s": time.perf_counter() - start, "planted": len(planted), "rows": report.rows}
    found = {(one.row, one.column, one.rule) for one in report.faults if one.advice}
    told |= {"named": len(found & set(planted)), "others": report.faulty - len(found & set(planted))}
    try:
        importing.take_table(contributor, saved, tables.text(spoiled))
        refused = False
    except Invalid as error:
        refused = len(error.errors) == len(planted)
    told["untouched"] = refused and everything() == before
    start = time.perf_counter()
    taken = importing.take_table(contributor, saved, tables.text(rows))
    told |= {"taken_s": time.perf_counter() - start, **{name: count["new"] for name, count in taken.counts.items()}}
    after = everything()
    again = importing.take_table(contributor, saved, tables.text(rows))
    told["again"] = sum(count["new"] + count["changed"] for count in again.counts.values())
    told["same"] = everything() == after
    return told


def killed(times: int, whole_s: float) -> dict[str, int]:
    """The import of a smaller table in a process that is killed at a random moment, into a dataset of its own each time."""
    from registry.access import actions as access
    from registry.accounts.models import Site, User
    from registry.clinical import actions as clinical
    from registry.subjects import vault
    from registry.subjects.models import Participant, SourceIdentifier, Visit
    from tests.registry.upper import clinical_tables as tables

    rng, half, left = random.Random(11), 0, 0
    site, contributor = Site.objects.get(code="aarhus"), User.objects.get(email="site@example.org")
    for n in range(times):
        dataset = access.open_dataset("system:measure", f"killed{n}", "Killed", [site], "Terms.")
        access.give_role("system:measure", contributor, dataset, "contributor", site)
        clinical.save_mapping(contributor, dataset, site, "msbase", tables.MSBASE)
        child = subprocess.Popen([sys.executable, __file__, "take", dataset.slug], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert child.stdout is not None
        child.stdout.readline()  # it begins now
        time.sleep(rng.uniform(0.05, whole_s))
        child.kill()
        child.wait()
        people, visits = Participant.objects.filter(dataset=dataset), Visit.objects.filter(participant__dataset=dataset)
        half += (people.count(), visits.count()) not in ((0, 0), (KILLED_ROWS // 4, KILLED_ROWS))
        for link in vault.orphans(older_than_s=0):  # the tick waits an hour, for somebody may be registering at this moment
            vault.erase(link)
        left += SourceIdentifier.objects.count() - Participant.objects.filter(link__isnull=False).count()
    return {"half": half, "left": left}


def take(slug: str) -> None:
    """One import, in a process that may be killed."""
    import django

    django.setup()
    from registry.accounts.models import User
    from registry.clinical.models import Mapping
    from registry.intake import importing
    from tests.registry.upper import clinical_tables as tables

    saved, contributor = Mapping.objects.get(dataset__slug=slug), User.objects.get(email="site@example.org")
    table = tables.text(tables.msbase(KILLED_ROWS))
    print("begins", flush=True)
    importing.take_table(contributor, saved, table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["take"]:
        take(sys.argv[2])
    else:
        seen = measure()
        if sys.argv[1:]:
            seen |= killed(int(sys.argv[1]), seen["taken_s"] * KILLED_ROWS / ROWS)
        print(json.dumps(seen))
