"""The clinical data dictionary and the rules of its import, as a page: docs/reference/clinical.md.

PYTHONPATH=. python tests/measure/clinical_page.py        writes the page anew; tests/registry/upper/test_clinical_page.py holds that it is up to date
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry.clinical import dictionary, identifying, reading, sheet

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "clinical.md"
HEAD = """# The clinical dictionary

One file, `registry/clinical/dictionary.json`, says what a clinical value may be. It checks what reaches the database, makes forms (`GET /forms/SLUG`),
reads tables ([how to hand one in](../how-to/import-clinical-tables.md)), writes the JSON beside every table that goes out, and says what the privacy report
weighs. This page is made from it (`PYTHONPATH=. python tests/measure/clinical_page.py`).

Version `{version}`. A release is described by the dictionary of its time (`dictionary-1.json` is the first).

- **Days, not dates.** Days count from the participant's day zero, negative before it. Where a field is a day (`onset_day`), a date may be given instead
  (`onset_date`), to the day, month or year; it becomes a day with its precision, the middle of the month or year, and is forgotten
  ([why](../decisions/0012-partial-dates-become-days.md)).
- **Missing**: {missing}. Any field that is not required takes these; tables that go out write `n/a` for all of them.
- **Codes of standards** are empty wherever they were not looked up in the list itself: none is guessed. `standard` names where a table belongs.
- **Privacy**: {privacy}.
- **Derived** values are computed by versioned code (`registry/clinical/derived.py`) and cannot be sent; they are left empty where the records do not suffice.
- Units are UCUM.
"""


def allowed(field: dict[str, Any]) -> str:
    """What a field takes, in words."""
    if field["type"] == "code":
        return ", ".join(f"`{code}`" + (f" {words}" if words != code else "") for code, words in field["levels"].items())
    if field["type"] == "pattern":
        return f"`{field['pattern']}`"
    step = f", steps of {field['step']}" if field.get("step") else ", whole" if field["type"] == "integer" else ""
    unit = f" {field['unit']}" if field.get("unit") and field["unit"] != "1" else ""
    return f"{field['minimum']} to {field['maximum']}{unit}{step}"


def instrument(name: str) -> list[str]:
    spec = dictionary.instrument(name)
    facts = [spec["description"], f"Standard: {spec['standard']}." if spec["standard"] else ""]
    facts += [f"Repeats at a visit; the same record is known by {', '.join(f'`{key}`' for key in spec['key'])}, or by its number."] if spec["repeats"] else []
    lines = [f"## {spec['title']} (`{name}`)", "", " ".join(fact for fact in facts if fact), "", "| field | what | takes | privacy |", "|---|---|---|---|"]
    for key, field in spec["fields"].items():
        required = ", required" if field["required"] else ""
        lines.append(f"| `{key}`{required} | {field['label']}: {field['description']} | {allowed(field)} | {field['privacy']} |")
    lines += [f"| `{key}`, derived | {words} | | sensitive |" for key, words in spec["derived"].items()]
    return [*lines, ""]


def rules() -> list[str]:
    """Every rule by which something of a table may be refused, with what to do."""
    from registry.intake import planning  # needs Django

    kinds = {
        "the table": sheet.ADVICE,
        "who must not be named": identifying.ADVICE,
        "columns, dates, counts": reading.ADVICE,
        "people and visits": planning.ADVICE,
        "values": {key: words for key, words in dictionary.ADVICE.items() if key not in ("instrument", "shape", "field", "number_once")},
    }
    lines = ["## Rules of an import", "", "| about | rule | what to do |", "|---|---|---|"]
    return [*lines, *(f"| {kind} | `{rule}` | {words} |" for kind, table in kinds.items() for rule, words in table.items()), ""]


def page() -> str:
    """The page as Markdown. Needs Django set up."""
    words = dictionary.load()
    missing = ", ".join(f"`{code}` ({said})" for code, said in words["missing"].items())
    privacy = "; ".join(f"*{name}* {said}" for name, said in words["privacy"].items())
    lines = [HEAD.format(version=words["version"], missing=missing, privacy=privacy)]
    for name in dictionary.names():
        lines += instrument(name)
    lines += ["## Derived from several records (`derived`)", "", "| column | what | unit | computed by | privacy |", "|---|---|---|---|---|"]
    for key, field in words["derived"].items():
        lines.append(f"| `{key}` | {field['label']}: {field['description']} | {field['unit'] or ''} | `{field['version']}` | {field['privacy']} |")
    return "\n".join([*lines, "", *rules()])


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
    django.setup()
    PAGE.write_text(page(), encoding="utf-8")
