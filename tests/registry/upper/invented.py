"""Invented people as plain rows, field -> value: what an attacker on counts knows of them, and the one value that nobody should learn."""

from __future__ import annotations

import random

# What an attacker knows of everybody, and how often; what nobody should learn is whether `csf.ocb` is positive.
KNOWN: dict[str, dict[str, int]] = {
    "sex": {"F": 68, "M": 31, "O": 1},
    "diagnosis": {"ms": 84, "nmosd": 6, "mogad": 4, "control_healthy": 6},
    "demographics.handedness": {"right": 87, "left": 10, "ambidextrous": 3},
    "demographics.race": {"white": 80, "black": 9, "asian": 6, "several": 3, "other": 2},
    "history.onset_age_band": {"10-19": 8, "20-29": 32, "30-39": 34, "40-49": 18, "50-59": 8},
    "course.course": {"RRMS": 62, "SPMS": 16, "PPMS": 11, "CIS": 11},
}
SECRET, POSITIVE, NEGATIVE, BASE = "csf.ocb", "csf.ocb:positive", "csf.ocb:negative", 0.6


def drawn(rng: random.Random, people: int) -> list[dict[str, str]]:
    """So many people, as field -> value."""
    rows = [{field: rng.choices(list(levels), list(levels.values()))[0] for field, levels in KNOWN.items()} for _ in range(people)]
    for row in rows:
        row[SECRET] = "positive" if rng.random() < BASE else "negative"
    return rows
