"""The reference page lists every measure with its unit and direction, and every code."""

from __future__ import annotations

import tomllib
from pathlib import Path

from qa.errors import CODES
from qa.metrics import METRICS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "quality.md"


def test_every_measure_and_every_code_is_documented_as_it_is():
    text = PAGE.read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(" `"): [c.strip() for c in line.split("|")] for line in text.splitlines() if line.startswith("| `")}
    assert set(METRICS) | set(CODES) == set(rows)
    for name, row in METRICS.items():
        assert rows[name][2:5] == [row.sentence, row.unit, row.direction], name
        assert rows[name][7:9] == ["yes" if row.judged else "no", row.version], name


def test_every_norm_free_limit_is_published_with_what_it_was_calibrated_on():
    text = PAGE.read_text(encoding="utf-8")
    limits = tomllib.loads((PAGE.parents[2] / "qa" / "limits.toml").read_text(encoding="utf-8"))["limit"]
    wanted = {f"| limit `{r['metric']}` | {r['side']} {r['value']:g} | {', '.join(r['kinds'])} | {r['calibration']} |" for r in limits}
    assert {line for line in text.splitlines() if line.startswith("| limit ")} == wanted
