"""Conditions in words that people read and type, and back: "Sex: female" is `sex:F`. The closed values are those of `registry.counts.vocabulary`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from django.utils.translation import gettext_lazy as _

from registry.accounts.models import Dataset
from registry.clinical import dictionary
from registry.counts import vocabulary

FIELDS: Mapping[str, Any] = {
    "sex": _("Sex"), "age": _("Age"), "diagnosis": _("Diagnosis"), "visits": _("Visits"), "contrast": _("Contrast"), "scanner": _("Scanner"),
    "tesla": _("Field strength"), "quality": _("Image quality"), "purpose": _("Consent covers"), "site": _("Site"), "joined": _("Year of joining"),
}  # fmt: skip
SECTIONS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (_("People"), ("sex", "age", "diagnosis", "visits", "site", "joined")),
    (_("Images and their quality"), ("contrast", "scanner", "tesla", "quality")),
    (_("Consent"), ("purpose",)),
)
VALUES: Mapping[str, Mapping[str, Any]] = {
    "sex": {"F": _("female"), "M": _("male"), "O": _("other")},
    "quality": {"pass": _("passes"), "review": _("wants a look"), "fail": _("fails")},
    "scanner": {
        "siemens": "Siemens", "philips": "Philips", "ge": "GE", "canon": "Canon, Toshiba", "fujifilm": "Fujifilm, Hitachi",
        "united_imaging": "United Imaging", "other": _("another maker"),
    },
    "tesla": {"1.5T": "1.5 T", "3T": "3 T", "7T": "7 T", "other": _("another strength")},
    "purpose": {
        "GRU": _("any research"), "HMB": _("health research"), "POA": _("ancestry research"), "METHODS": _("development of methods"),
        "NRES": _("any use"),
    },
}  # fmt: skip


@lru_cache
def _of_dictionary() -> dict[str, tuple[str, str, Mapping[str, str]]]:
    """Field -> title of its table, its label, words of its values."""
    found = {}
    for name in dictionary.names():
        spec = dictionary.instrument(name)
        for key, one in spec["fields"].items():
            found[f"{name}.{key}"] = (spec["title"], one["label"], one.get("levels") or {})
    return found


class Words:
    """The words of one dataset: its sites are called by their names, which are looked up when they are needed."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    @cached_property
    def known(self) -> Mapping[str, tuple[str, ...]]:
        """Every field that can be asked of it, with its values."""
        return vocabulary.fields(self.dataset)

    @cached_property
    def sites(self) -> dict[str, str]:
        """Names of its sites by their codes."""
        return dict(self.dataset.sites.values_list("code", "name"))

    def field(self, field: str) -> str:
        """What a field is called; one that a newer dictionary has no more, in a cohort that was kept, by its own key."""
        if field in FIELDS:
            return str(FIELDS[field])
        title, label, _levels = _of_dictionary().get(field, (field, field, {}))
        return label if label == title or field == "edss.edss_total" else f"{title}, {label}"

    def value(self, field: str, value: str) -> str:
        """What a value of a field is called."""
        if field == "site":
            return str(self.sites.get(value, value))
        if field in VALUES:
            return str(VALUES[field].get(value, value))
        place = ".".join(vocabulary.ALIAS.get(field, (field,)))
        levels = _of_dictionary().get(place, ("", "", {}))[2]
        return str(levels.get(value, value)).replace("-", "–") if field in vocabulary.BANDS else str(levels.get(value, value))

    def condition(self, written: str) -> str:
        """A condition `field:value` in words."""
        field, _colon, value = written.partition(":")
        return f"{self.field(field)}: {self.value(field, value)}"

    def all(self) -> list[tuple[str, list[tuple[str, list[tuple[str, str]]]]]]:
        """Everything that can be asked, by section and field: (condition, word of the value)."""
        sections = [(str(title), list(fields)) for title, fields in SECTIONS]
        placed = {field for _title, fields in SECTIONS for field in fields}
        tables: dict[str, list[str]] = {}
        for field in self.known:
            if field not in placed:
                tables.setdefault(_of_dictionary()[field][0], []).append(field)
        sections += list(tables.items())
        return [
            (title, [(self.field(field), [(f"{field}:{one}", self.value(field, one)) for one in self.known[field]]) for field in fields])
            for title, fields in sections
        ]

    def suggestions(self) -> list[str]:
        """Every condition in words, for typing."""
        return [f"{field}: {word}" for _title, fields in self.all() for field, values in fields for _written, word in values]

    def read(self, typed: Iterable[str]) -> tuple[list[str], list[str]]:
        """(conditions, what is none) of what was typed: words, or `field:value`. Empty lines are left out."""
        known = {_plain(f"{name}: {word}"): written for _t, fields in self.all() for name, values in fields for written, word in values}
        good, bad = [], []
        for text in typed:
            field, _colon, value = text.strip().partition(":")
            written = known.get(_plain(text)) or (text.strip() if value in self.known.get(field, ()) else "")
            (good if written else bad).append(written or text.strip())
        return [one for one in dict.fromkeys(good) if one], [one for one in bad if one]


def _plain(text: str) -> str:
    return " ".join(text.replace("–", "-").casefold().replace(":", ": ").split())
