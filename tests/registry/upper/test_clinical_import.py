"""A site's table comes in whole or not at all, every fault is named by row and column, and the same table again changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registry.clinical import actions as clinical
from registry.clinical.models import ClinicalRecord, Mapping
from registry.intake import importing
from registry.rules import Invalid
from registry.subjects import vault
from registry.subjects.models import Participant, SourceIdentifier, Visit
from tests.registry.upper import clinical_tables as tables

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def msbase(house: Any) -> Mapping:
    return clinical.save_mapping(house.contributor, house.dataset, house.site, "msbase", tables.MSBASE)


def everything() -> str:
    """All that an import could have changed."""
    people = list(Participant.objects.order_by("pk").values("pk", "code", "label", "sex", "birth_year_band", "epoch"))
    visits = list(Visit.objects.order_by("pk").values("pk", "label", "day", "day_code"))
    records = list(ClinicalRecord.objects.order_by("pk").values("pk", "instrument", "number", "values", "recorded_at"))
    return json.dumps([people, visits, records, SourceIdentifier.objects.count()], default=str)


def test_every_planted_fault_is_named_and_nothing_is_written_until_all_are_mended(house: Any, msbase: Mapping, home: Path) -> None:
    rows = tables.msbase(120)
    spoiled, planted = tables.spoil(rows, len(tables.FAULTS))
    before = everything()
    report = importing.try_table(house.contributor, msbase, tables.text(spoiled))
    assert [(one.row, one.column, one.rule) for one in report.faults] == sorted(planted)
    assert all(one.advice and one.reason for one in report.faults) and report.faulty == len(planted)
    cells = {cell for column, cell, _ in tables.FAULTS if len(cell) > 3}
    assert not [cell for cell in cells if cell in json.dumps(report.told()["faults"])]
    with pytest.raises(Invalid) as refused:
        importing.take_table(house.contributor, msbase, tables.text(spoiled))
    assert refused.value.code == "table_faulty" and len(refused.value.errors) == len(planted)
    assert everything() == before and not list((home / "keys" / "participants").glob("?" * 32))

    tried = importing.try_table(house.contributor, msbase, tables.text(rows))
    assert everything() == before and tried.faulty == 0 and not tried.applied
    taken = importing.take_table(house.contributor, msbase, tables.text(rows))
    assert taken.applied and taken.counts == tried.counts and taken.counts["participants"] == {"new": 30, "changed": 0, "same": 0}
    assert Visit.objects.count() == taken.counts["visits"]["new"] == 120 and ClinicalRecord.objects.count() == taken.counts["records"]["new"]
    assert all(vault.whole(one.link) for one in Participant.objects.all() if one.link)
    after = everything()
    again = importing.take_table(house.contributor, msbase, tables.text(rows))
    assert {name: (count["new"], count["changed"]) for name, count in again.counts.items()} == dict.fromkeys(("participants", "visits", "records"), (0, 0))
    assert everything() == after
