"""What was done, element by element, and why: never an old value.

An entry says where (attribute, and the sequence it stood in), what was done, how often, and by which rule of which profile version. Entries of many files
add up to the provenance a steward reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from deid.profile import Profile

# What was done to an element.
KEPT, CLEANED, REPLACED, MOVED, REMOVED, EMPTIED, WRITTEN = "kept", "cleaned", "replaced", "moved", "removed", "emptied", "written"
Note = tuple[str, int, str, str]


class Account:
    """The tally of one file. `noted`: what was done, in order; `asked`: what a person should look at, and how often."""

    def __init__(self) -> None:
        self.noted: list[Note] = []
        self.asked: list[tuple[str, int]] = []

    def note(self, done: str, tag: int, parent: str = "", why: str = "") -> None:
        """One element of `parent` (a keyword, "" at the top) had this done to it. why: where it is not the rule's own reason."""
        self.noted.append((done, tag, parent, why))

    def ask(self, sentence: str, times: int = 1) -> None:
        """A person should look at this."""
        self.asked.append((sentence, times))

    def as_dict(self, profile: Profile) -> dict[str, Any]:
        """JSON-able: profile, version, totals by action, and one entry per (action, tag, place, reason). Read only: equal files share it."""
        return _in_any_order(profile, tuple(self.noted), tuple(self.asked))


@lru_cache(maxsize=64)
def _in_any_order(profile: Profile, noted: tuple[Note, ...], asked: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    return _as_dict(profile, tuple(sorted(Counter(noted).items())), asked)


@lru_cache(maxsize=512)
def _as_dict(profile: Profile, entries: tuple[tuple[Note, int], ...], asked: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    totals: Counter[str] = Counter()
    review: Counter[str] = Counter()
    rows = []
    for (done, tag, parent, said), count in entries:
        totals[done] += count
        rule = profile.rules.get(tag)
        why = said or (rule.why if rule else "private" if tag >> 16 & 1 else "not named by the profile")
        rows.append(
            {"tag": f"({tag >> 16:04X},{tag & 0xFFFF:04X})", "keyword": rule.keyword if rule else "", "in": parent, "done": done, "n": count, "why": why}
        )
    for sentence, times in asked:
        review[sentence] += times
    return {"profile": profile.name, "version": profile.version, "editions": profile.editions, "totals": dict(totals), "review": dict(review), "elements": rows}


def add_up(accounts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The account of a series from those of its files."""
    rows: Counter[tuple[str, str, str, str, str]] = Counter()
    totals: Counter[str] = Counter()
    review: Counter[str] = Counter()
    head: dict[str, Any] = {}
    files = 0
    for one in accounts:
        files += 1
        head = {key: one[key] for key in ("profile", "version", "editions") if key in one}
        totals.update(one["totals"])
        review.update(one["review"])
        for row in one["elements"]:
            rows[row["tag"], row["keyword"], row["in"], row["done"], row["why"]] += row["n"]
    elements = [{"tag": t, "keyword": k, "in": i, "done": d, "n": n, "why": w} for (t, k, i, d, w), n in sorted(rows.items())]
    return {**head, "files": files, "totals": dict(totals), "review": dict(review), "elements": elements}
