"""Tables of people who never existed, as sites export them: a wide CSV in the way of MSBase, and a REDCap export with repeating instruments."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

SYSTEMS = ("visual", "brainstem", "pyramidal", "cerebellar", "sensory", "bowel_bladder", "cerebral")
COURSES = {"1": "CIS", "2": "RRMS", "3": "SPMS", "4": "PPMS"}
HEADER = [
    "pcode",
    "gender",
    "band",
    "visit_date",
    "edss",
    *(f"fs_{name}" for name in SYSTEMS),
    "course",
    "onset",
    "diagnosed",
    "criteria",
    "t25fw",
    "sdmt",
    "source",
]
MSBASE: dict[str, Any] = {
    "delimiter": ";",
    "missing": {"": None, "-9": "unknown"},
    "participant": {"column": "pcode", "register": True, "sex": {"column": "gender", "codes": {"1": "M", "2": "F"}}, "birth_year_band": "band"},
    "visit": {"date": {"column": "visit_date", "order": "DMY"}, "add": True},
    "records": [
        {"instrument": "edss", "fields": {"edss_total": "edss", **{f"edss_{name}": f"fs_{name}" for name in SYSTEMS}}},
        {"instrument": "course", "fields": {"course": {"column": "course", "codes": COURSES}}},
        {
            "instrument": "history",
            "fields": {
                "onset_date": {"column": "onset", "order": "DMY"},
                "diagnosis_date": {"column": "diagnosed", "order": "DMY"},
                "criteria": {"column": "criteria", "codes": {"2010": "McDonald2010", "2017": "McDonald2017"}},
            },
        },
        {"instrument": "t25fw", "fields": {"trial_1": "t25fw"}},
        {"instrument": "sdmt", "fields": {"correct": "sdmt"}},
    ],
    "ignore": ["source"],
}


def msbase(rows: int, visits: int = 4, seed: int = 7) -> list[dict[str, str]]:
    """`rows` visits of people with `visits` visits each, about a year apart; every value is one that the dictionary takes."""
    rng = random.Random(seed)
    told = []
    for n in range(rows):
        who, visit = divmod(n, visits)
        if visit == 0:
            first = date(2012, 1, 5) + timedelta(days=rng.randrange(1500))
            onset, gender = first - timedelta(days=rng.randrange(400, 3000)), rng.choice("12")
            low = rng.randrange(1950, 1995, 5)
        day = first + timedelta(days=visit * 365 + rng.randrange(-20, 20) * (visit > 0))
        told.append(
            {
                "pcode": f"MSB-{who:05d}-K",
                "gender": gender,
                "band": f"{low}-{low + 4}",
                "visit_date": f"{day:%d.%m.%Y}",
                "edss": rng.choice(["0", "1.0", "1.5", "2.0", "3.5", "6.0"]),
                **{f"fs_{name}": rng.choice(["0", "1", "2", "-9", ""]) for name in SYSTEMS},
                "course": rng.choice(list(COURSES)),
                "onset": rng.choice([f"{onset:%m.%Y}", f"{onset:%Y}"]) if visit == 0 else "",
                "diagnosed": f"{onset + timedelta(days=200):%d.%m.%Y}" if visit == 0 else "",
                "criteria": rng.choice(["2010", "2017"]) if visit == 0 else "",
                "t25fw": f"{rng.randrange(35, 120) / 10}",
                "sdmt": str(rng.randrange(20, 80)),
                "source": "export",
            }
        )
    return told


def text(rows: Iterable[Mapping[str, str]], header: Sequence[str] = HEADER, delimiter: str = ";") -> str:
    """The rows as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(header), delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


# One kind of fault each: column, what is written there, and the rule that must name it.
FAULTS: list[tuple[str, str, str]] = [
    ("edss", "0.5", "edss_without_half"),
    ("edss", "2.3", "step"),
    ("edss", "11", "range"),
    ("edss", "two", "number"),
    ("edss", "", "required"),
    ("fs_visual", "7", "range"),
    ("fs_sensory", "1.5", "whole"),
    ("gender", "3", "sex"),
    ("band", "1981-1985", "birth_year_band"),
    ("visit_date", "31.02.2015", "date"),
    ("visit_date", "2015-03-04x", "date"),
    ("visit_date", "04.03.2091", "date_future"),
    ("visit_date", "", "visit_missing"),
    ("visit_date", "03.2015", "date"),
    ("course", "9", "level"),
    ("pcode", "", "no_identifier"),
    ("pcode", "0000", "placeholder_identifier"),
    ("t25fw", "0.2", "range"),
    ("sdmt", "111", "range"),
    ("source", "someone@example.org", "identifier_value"),
    ("source", "+45 87 12 34 56", "identifier_value"),
    ("onset", "yesterday", "date"),
    ("diagnosed", "01.01.1999", "onset_before_diagnosis"),
    ("criteria", "1999", "level"),
]


def spoil(rows: Sequence[Mapping[str, str]], many: int, visits: int = 4) -> tuple[list[dict[str, str]], list[tuple[int, str, str]]]:
    """`many` rows with one fault each, spread over the table; and (row as a spreadsheet counts, column, rule) of each."""
    told, planted = [dict(row) for row in rows], []
    step = len(rows) // many
    for n in range(many):
        column, cell, rule = FAULTS[n % len(FAULTS)]
        at = n * step // visits * visits  # a first visit: only there do onset and diagnosis stand
        at += 0 if column in ("onset", "diagnosed", "criteria") or rule == "contradicts" else 1
        told[at][column] = cell
        planted.append((at + 2, column, rule))
    return told, planted
