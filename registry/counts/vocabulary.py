"""What may be asked: every condition is a field and one of its closed values. Nothing can be negated, and no number can be cut where an asker likes.

Fields: `sex`, `age` (in bands), `diagnosis`, `visits` (how many, in bands), of accepted images `contrast`, `scanner` (its maker), `tesla` and `quality` (the
grade), `purpose` (the consent covers it, for a team in the countries of the dataset's sites that promises all that can be promised), and `INSTRUMENT.FIELD`
for every field of the clinical dictionary that has levels (`treatment.substance`). A person has a value if any of their records or images says it.
Of one dataset also `site` and `joined` (the year in which they were registered): their values are the dataset's own sites and years.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from django.db.models import Count
from django.db.models.fields.json import KT
from django.utils import timezone

from registry import rules
from registry.accounts.models import Dataset
from registry.clinical import dictionary
from registry.clinical.models import ClinicalRecord
from registry.consent import queries as consent
from registry.imaging.models import MAKERS, TESLAS, Image
from registry.subjects.models import Participant

CONTRASTS = ("T1w", "T2w", "PDw", "FLAIR", "T2starw", "UNIT1", "MEGRE", "MESE", "dwi", "bold", "asl")
GRADES = ("pass", "review", "fail")
PURPOSES = tuple(code for code in rules.PURPOSES if code != "DS")  # a disease is not a closed value
# Names of their own for two fields of the dictionary; and where numbers are cut: band -> from, up to but not including.
ALIAS = {"age": ("demographics", "age_years"), "diagnosis": ("demographics", "group")}
BANDS: dict[str, dict[str, tuple[float, float]]] = {
    "age": {"0-17": (0, 18), "18-29": (18, 30), "30-39": (30, 40), "40-49": (40, 50), "50-59": (50, 60), "60-69": (60, 70), "70-89": (70, 90)},
    "edss.edss_total": {"0-1.5": (0, 2), "2-3.5": (2, 4), "4-5.5": (4, 6), "6-10": (6, 10.5)},
    "sdmt.correct": {"0-29": (0, 30), "30-44": (30, 45), "45-59": (45, 60), "60-110": (60, 111)},
    "visits": {"1": (1, 2), "2": (2, 3), "3-4": (3, 5), "5+": (5, 10_000)},
}
OF_IMAGES = {"contrast": ("suffix", CONTRASTS), "scanner": ("maker", MAKERS), "tesla": ("tesla", TESLAS), "quality": ("grade", GRADES)}


@dataclass(frozen=True, order=True)
class Condition:
    """A field and one of its values."""

    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}:{self.value}"


@lru_cache
def _everywhere() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {"sex": ("F", "M", "O"), "age": tuple(BANDS["age"]), "visits": tuple(BANDS["visits"])}
    found |= {field: values for field, (_, values) in OF_IMAGES.items()} | {"purpose": PURPOSES}
    for name in dictionary.names():
        for key, spec in dictionary.instrument(name)["fields"].items():
            field = next((alias for alias, place in ALIAS.items() if place == (name, key)), f"{name}.{key}")
            if field in BANDS or spec.get("levels"):
                found[field] = tuple(BANDS.get(field, spec.get("levels", {})))
    return found


def fields(dataset: Dataset | None = None) -> dict[str, tuple[str, ...]]:
    """Every field that can be asked for, with its values; of a dataset its own sites and years too."""
    return _everywhere() if dataset is None else {**_everywhere(), "site": _sites(dataset), "joined": _years(dataset)}


def _sites(dataset: Dataset) -> tuple[str, ...]:
    return tuple(dataset.sites.order_by("code").values_list("code", flat=True))


def _years(dataset: Dataset) -> tuple[str, ...]:
    return tuple(str(year) for year in range(dataset.created_at.year, timezone.now().year + 1))


def read(words: Iterable[str], dataset: Dataset | None = None) -> frozenset[Condition]:
    """Conditions written `field:value`. Raises Invalid for what is none: a negation, a number, a field or value that is not in the list."""
    found, known = set(), fields(dataset)
    for n, word in enumerate(words):
        field, _, value = word.partition(":")
        if value not in known.get(field, ()):
            where = [{"field": f"where.{n}", "reason": "is no condition"}]
            raise rules.Invalid("unknown_condition", "A condition is not one that can be asked.", "Use field:value of GET /count-fields.", errors=where)
        found.add(Condition(field, value))
    return frozenset(found)


def values(field: str, dataset: Dataset | None = None) -> tuple[str, ...]:
    """The values of a field. Raises Invalid."""
    known = fields(dataset)
    if field not in known:
        raise rules.Invalid("unknown_condition", "There is no such field to count by.", "Use a field of GET /count-fields.")
    return known[field]


def having(dataset: Dataset, condition: Condition) -> set[UUID]:
    """Ids of the dataset's people for whom the condition holds; whoever they are, and whatever may be told of them."""
    return groups(dataset, [condition])[condition]


def groups(dataset: Dataset, conditions: Iterable[Condition]) -> dict[Condition, set[UUID]]:
    """`having` of many conditions, each field read once: a picture has a condition for each of its bars."""
    found: dict[Condition, set[UUID]] = {one: set() for one in conditions}
    wanted: dict[str, list[str]] = {}
    for one in found:
        wanted.setdefault(one.field, []).append(one.value)
    for field, values in wanted.items():
        for pk, value in READ.get(field, _clinical)(dataset, field, values):
            found[Condition(field, value)].add(pk)
    return found


Pairs = Iterable[tuple[UUID, str]]  # a person and a value that is said of them


def _person(path: str) -> Reader:
    """Values that stand in the participant itself."""

    def read(dataset: Dataset, field: str, values: Sequence[str]) -> Pairs:
        return Participant.objects.filter(dataset=dataset, **{f"{path}__in": values}).values_list("pk", path)

    return read


def _joined(dataset: Dataset, field: str, values: Sequence[str]) -> Pairs:
    rows = Participant.objects.filter(dataset=dataset, created_at__year__in=[int(value) for value in values])
    return ((pk, str(year)) for pk, year in rows.values_list("pk", "created_at__year"))


def _visits(dataset: Dataset, field: str, values: Sequence[str]) -> Pairs:
    rows = Participant.objects.filter(dataset=dataset).annotate(many=Count("visits")).values_list("pk", "many")
    return ((pk, band) for pk, many in rows for band in _bands(field, values, many))


def _image(dataset: Dataset, field: str, values: Sequence[str]) -> Pairs:
    name = OF_IMAGES[field][0]
    rows = Image.objects.filter(visit__participant__dataset=dataset, state=Image.State.ACCEPTED, **{f"{name}__in": values})
    return rows.order_by().values_list("visit__participant", name).distinct()


def _purpose(dataset: Dataset, field: str, values: Sequence[str]) -> Pairs:
    here = frozenset(dataset.sites.values_list("country", flat=True))
    facts, today = list(consent.distinct_facts(dataset.pk)), timezone.now().date()
    for value in values:
        purpose = rules.Purpose(value, countries=here, methods=value == "METHODS", promises=frozenset(rules.ALL_PROMISES))
        covered = [row.pk for row, said in facts if rules.decide(said, purpose, today).permitted]
        for pk in Participant.objects.filter(dataset=dataset, standing__facts__in=covered).values_list("pk", flat=True):
            yield pk, value


def _clinical(dataset: Dataset, field: str, values: Sequence[str]) -> Pairs:
    name, key = ALIAS.get(field) or field.split(".", 1)
    rows = ClinicalRecord.objects.filter(visit__participant__dataset=dataset, instrument=name).order_by()
    if field in BANDS:
        told = rows.values_list("visit__participant", f"values__{key}").distinct()
        return ((pk, band) for pk, number in told if isinstance(number, int | float) for band in _bands(field, values, number))
    wanted = set(values)
    texts = rows.annotate(said=KT(f"values__{key}")).values_list("visit__participant", "said").distinct()  # as text: a level may be "3"
    return ((pk, value) for pk, value in texts if value in wanted)


def _bands(field: str, values: Sequence[str], number: float) -> Iterator[str]:
    return (band for band in values if BANDS[field][band][0] <= number < BANDS[field][band][1])


Reader = Callable[[Dataset, str, Sequence[str]], Pairs]
READ: dict[str, Reader] = {
    "sex": _person("sex"), "site": _person("site__code"), "joined": _joined, "visits": _visits, "purpose": _purpose, **dict.fromkeys(OF_IMAGES, _image),
}  # fmt: skip
