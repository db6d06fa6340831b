"""People who leave, for tests and for the rows of `make show-governance`: one in two datasets, and what a dump of the registry says of somebody."""

from __future__ import annotations

from typing import Any

from django.db import connections

from registry.clinical import actions as clinical
from registry.consent.models import ConsentEvent
from registry.releases import actions
from registry.releases.models import Removal
from registry.runs.models import Mail

WHO = "KLEIN-4711"
ORDER = ("prev", "mac")  # the chain of the log says what came after what, as its times do


def in_two_datasets(house: Any, carried: Any) -> Any:
    """One person in two datasets of one site, one other in each; everybody has an image in a release."""
    house.second = house.world.dataset(house.site, min_count=2)
    house.second_steward = house.world.steward(house.second)
    house.second_hand = house.world.contributor(house.second, house.site)
    house.leaver, house.stayer = house.person(patient_id=WHO), house.person()
    house.other = house.world.participant(house.second, house.site, f"  {WHO.lower()} ")
    house.beside = house.world.participant(house.second, house.site)
    for person in (house.other, house.beside):
        house.world.consent(person)
    for person in (house.leaver, house.stayer, house.other, house.beside):
        person.refresh_from_db()
        house.image(person)
    clinical.record(house.contributor, [clinical.Row(house.leaver.visits.get(), "edss", {"edss_total": 4.5})])
    for dataset in (house.dataset, house.second):
        actions.freeze(house.steward if dataset == house.dataset else house.second_steward, dataset)
    carried.work()
    Mail.objects.all().delete()
    return house


def dump(tables: set[str] | None, person: Any) -> list[dict[str, Any]]:
    """The rows of the registry's database in which a participation occurs, by id, code or label."""
    found, connection = [], connections["default"]
    words = {person.pk.hex, str(person.pk), person.code, person.label, person.key}
    words |= {pk.hex for pk in Removal.objects.filter(participant=person).values_list("pk", flat=True)}
    words |= {pk.hex for pk in ConsentEvent.objects.filter(participant=person).values_list("pk", flat=True)}
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        for table in sorted(set(names) & tables if tables else names):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            columns = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                told = dict(zip(columns, row, strict=True))
                if any(word in str(value) for word in words for value in told.values()):
                    found.append({"table": table, **told})
    return found


def shared_secrets(one: Any, other: Any, *others: Any) -> set[str]:
    """Values that stand in rows of both participations and of nobody else's: what would tell that they are one person's."""
    mine, theirs, *rest = [{str(value) for row in dump(None, person) for name, value in row.items() if name not in ORDER} for person in (one, other, *others)]
    assert len(mine) > 50
    return {value for value in (mine & theirs).difference(*rest) if len(value) > 6}
