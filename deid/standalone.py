"""De-identify a whole tree of DICOM at the hospital's own desk: `python -m deid headers IN OUT --key FILE`.

    1. number every file of IN                                (`deid.inputs`)
    2. read whose each is, and how its study began            (`deid.tasks.identifier`, in children)
    3. decide who is who                                      (`deid.people`)
    4. person by person: clean, look at pixels, search        (`deid.person`, in children)
    5. put the tree in the place of OUT                       (`OUT/CODE/STUDY/SERIES/INSTANCE.dcm`, every name a keyed code)

This process parses nothing (`deid.isolated`): a file that kills its reader costs itself. All work is done in a private folder beside OUT, where each
finished person is kept, so that a run which was killed goes on where it was; OUT holds the old state or the new. The tree depends on the input, the
key and the options alone, not on how many jobs made it or how often it was begun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deid import inputs, profile, tasks
from deid.declared import Declared
from deid.errors import REFUSALS
from deid.identity import Identity
from deid.inputs import Source
from deid.isolated import Batch, Limits, Pool
from deid.people import SEPARATE, sort_out
from deid.person import Desk, Rows, in_turn, plan
from deid.place import Place
from deid.profile import Profile
from deid.pseudonyms import keys_from_file

__all__ = ["Request", "run", "serve"]

IDENTIFY_TOGETHER = 64
WAITING = frozenset({"no_identity", "two_patients", "identity_conflict"})


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks. people: the contributor's file of declared people; conflicts: `separate` or `wait` (`deid.people`); look: search pixels for
    writing; report: where the report will lie, for it may lie in OUT."""

    source: Path
    target: Path
    key: Path
    profile: str = profile.DEFAULT
    site: str = ""
    jobs: int = 1
    look: bool = True
    people: Path | None = None
    conflicts: str = SEPARATE
    report: Path | None = None


def run(
    source: Path,
    target: Path,
    key: Path,
    *,
    profile_name: str = profile.DEFAULT,
    site: str = "",
    jobs: int = 1,
    look: bool = True,
    people: Path | None = None,
    conflicts: str = SEPARATE,
) -> dict[str, Any]:
    """De-identify every file under `source` into `target` (made if missing). See `Request` for the options, `serve` for what it gives and raises."""
    return serve(Request(source, target, key, profile_name, site, jobs, look, people, conflicts))[0]


def serve(asked: Request) -> tuple[dict[str, Any], list[Source]]:
    """Carry a request out. Gives the report, JSON-able and without any name: files[] {n, sha256, bytes, verdict, code, reason, advice, product}, totals, codes,
    people, accounts (by series); and the files by number.

    Raises DeidError for a bad key, profile or people file, and `place.Usage` where OUT cannot be written to or holds something else.
    """
    codes, pseudonyms = keys_from_file(asked.key)
    policy = profile.load(asked.profile)
    place = Place(asked.target, asked.source, codes, asked.report)
    listed = inputs.sources(asked.source.resolve())
    declared = Declared.read(asked.people, {one.n: one.folder for one in listed}) if asked.people else Declared()
    rows: Rows = {one.n: {"n": one.n, "sha256": "", "bytes": one.bytes, "verdict": "", "code": one.code, "product": None} for one in listed}
    with place, Pool(asked.jobs) as pool:
        found = _identify([one for one in listed if not one.code], rows, pool)
        who = sort_out(found, codes, asked.site, declared, asked.conflicts)
        for n, code in who.waiting.items():
            rows[n]["code"] = code
        desk = Desk(asked.key.resolve(), asked.profile, asked.look, pseudonyms, place.pieces, pool)
        plans = [plan(person, found, {one.n: one for one in listed}, rows, desk) for person in who.people]
        place.claim({f"{one.person.code}/{name}" for one in plans for name in one.names.values()})
        accounts: dict[str, Any] = {}
        for piece in in_turn(plans, desk):
            accounts |= piece.tell(rows)
            place.add(piece.person.code, piece.tree)
        place.publish()
    return _report(policy, [_row(rows[one.n], one) for one in listed], accounts), listed


def _report(policy: Profile, files: list[dict[str, Any]], accounts: dict[str, Any]) -> dict[str, Any]:
    """What `serve` gives: each file once, and what was done, added up."""
    return {
        "schema": 1,
        "profile": policy.name,
        "version": policy.version,
        "files": files,
        "totals": dict(Counter(row["verdict"] for row in files)),
        "codes": dict(Counter(row["code"] for row in files)),
        "people": len({row["product"].split("/")[0] for row in files if row["product"]}),
        "accounts": accounts,
        "review": dict(sum((Counter(one["review"]) for one in accounts.values()), Counter())),
    }


def _identify(listed: Sequence[Source], rows: Rows, pool: Pool) -> dict[int, Identity]:
    """Whose each file says it is; rows get hash and refusal. A file that killed its reader is hashed here, which parses nothing."""
    groups = [listed[start : start + IDENTIFY_TOGETHER] for start in range(0, len(listed), IDENTIFY_TOGETHER)]
    found: dict[int, Identity] = {}
    for answer in pool.each(_batches(groups)):
        row, one = rows[groups[answer.batch][answer.index].n], groups[answer.batch][answer.index]
        value = answer.value or {}
        row["sha256"], row["code"] = value.get("sha256", ""), value.get("code", answer.code)
        if answer.where:
            row["where"] = answer.where
        if not row["code"]:
            try:
                found[one.n] = tasks.unpack(value["who"])
            except (TypeError, ValueError, LookupError, AttributeError):  # a reader that a file has turned may say anything
                row["code"] = "reader_died"
    return dict(sorted(found.items()))


def _batches(groups: Sequence[Sequence[Source]]) -> Iterator[Batch]:
    for group in groups:
        yield Batch("deid.tasks:identifier", {}, tuple({"path": str(one.path)} for one in group), Limits.of(max(one.bytes for one in group)))


def _row(row: Mapping[str, Any], one: Source) -> dict[str, Any]:
    """A row of the report: each code with its verdict and words."""
    code = row["code"] or "failed"
    verdict = "kept" if code == "ok" else "waiting" if code in WAITING else "failed" if code in ("failed", "unreadable") else "refused"
    reason, advice = REFUSALS.get(code, ("", ""))
    sha256 = row["sha256"] or ("" if code in ("link", "not_a_file") else inputs.digest(one.path))
    return {**row, "sha256": sha256, "code": code, "verdict": verdict, "reason": reason, "advice": advice}
