"""How far the clinical data of a dataset single people out, by the privacy classes of the dictionary.

For every quasi-identifying field: of how many people something is known, into how many values they fall, and how many share the rarest one. For the fields
that change little (sex, birth year band, and all quasi fields that are codes or ages): the classes of people who agree in all of them. Exact numbers, so
for stewards alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from registry.access import policy
from registry.accounts.models import Dataset, User
from registry.audit import actions as audit
from registry.clinical import dictionary
from registry.clinical.models import ClinicalRecord
from registry.subjects.models import Participant

PERSON = ("sex", "birth_year_band")


def report(actor: User, dataset: Dataset) -> dict[str, Any]:
    """`{"dictionary", "participants", "classes": {privacy class: fields in use}, "fields": [...], "together": {...}}`. Raises Denied."""
    policy.require_in(actor, "decide", dataset)
    people = {one.pk: {name: getattr(one, name) or None for name in PERSON} for one in Participant.objects.filter(dataset=dataset, state="active")}
    values, used = _first_values(dataset)
    fields = [_field("participant", name, [one[name] for one in people.values()]) for name in PERSON]
    quasi = [(name, key, spec) for name in dictionary.names() for key, spec in dictionary.instrument(name)["fields"].items() if spec["privacy"] == "quasi"]
    fields += [_field(name, key, list(values[name, key].values())) for name, key, _ in quasi if values[name, key]]
    steady = [(name, key) for name, key, spec in quasi if (spec["type"] == "code" or spec.get("unit") in ("a", "mo")) and values[name, key]]
    rows = Counter((*known.values(), *(values[place].get(pk) for place in steady)) for pk, known in people.items())
    audit.write(actor, "privacy.report", f"dataset:{dataset.slug}", dataset=dataset)
    together = {
        "fields": [*PERSON, *(f"{name}.{key}" for name, key in steady)],
        "smallest": min(rows.values(), default=0),
        "unique": sum(count == 1 for count in rows.values()),
        "below": sum(count for count in rows.values() if count < dataset.min_count),
        "min_count": dataset.min_count,
    }
    return {"dictionary": dictionary.version(), "participants": len(people), "classes": dict(used), "fields": fields, "together": together}


def _first_values(dataset: Dataset) -> tuple[dict[tuple[str, str], dict[Any, Any]], Counter[str]]:
    """The first known value of every field and person; and how many fields of each privacy class are in use."""
    values: dict[tuple[str, str], dict[Any, Any]] = defaultdict(dict)
    records = ClinicalRecord.objects.filter(visit__participant__dataset=dataset, visit__participant__state="active").order_by("visit__day", "number")
    for person, name, found in records.values_list("visit__participant", "instrument", "values"):
        for key, value in found.items():
            if value not in (None, *dictionary.load()["missing"]):
                values[name, key].setdefault(person, value)
    classes = {place: dictionary.instrument(place[0])["fields"].get(place[1], {}).get("privacy") for place in values}
    return values, Counter(one for one in classes.values() if one)


def _field(name: str, key: str, found: list[Any]) -> dict[str, Any]:
    counts = Counter(value for value in found if value is not None)
    return {"instrument": name, "field": key, "known": sum(counts.values()), "values": len(counts), "smallest": min(counts.values(), default=0)}
