"""De-identify a whole tree of DICOM at the hospital's own desk: `python -m deid headers IN OUT --key FILE`.

Three rounds: *identify* every file (who, which study, when the study began); *judge* persons that contradict themselves and studies of two people; *clean* each
file into `OUT/CODE/STUDY/SERIES/N.dcm`, and look at the pixels of each series. The report names input files by number and hash, never by name, and has
each exactly once.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deid import account, headers, identity, pixels, profile, verify
from deid.errors import REFUSALS, DeidError
from deid.identity import Identity, Start
from deid.pseudonyms import CodeKey, PseudonymKey, fold, keys_from_file

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Job:
    """One series of one person, to be cleaned in one go."""

    files: tuple[tuple[int, str], ...]
    folder: str
    code: str
    key: str
    profile: str
    births: frozenset[datetime.date]
    starts: tuple[tuple[str, Start], ...]
    over_89: bool
    identifiers: frozenset[str]
    look: bool


def run(source: Path, target: Path, key: Path, *, profile_name: str = profile.DEFAULT, site: str = "", jobs: int = 1, look: bool = True) -> dict[str, Any]:
    """De-identify every file under `source` into `target` (made if missing). look: search pixels for writing.

    Gives the report: files[] {n, sha256, bytes, verdict, code, reason, advice, product}, accounts per series, totals. Raises DeidError for a bad key or
    profile.
    """
    codes, pseudonyms = keys_from_file(key)
    policy = profile.load(profile_name)
    paths = sorted(p for p in source.rglob("*") if p.is_file() and not p.is_symlink()) if source.is_dir() else [source]
    rows: Rows = [
        {"n": n, "sha256": _sha256(p), "bytes": p.stat().st_size, "verdict": "failed", **_words("failed"), "product": None} for n, p in enumerate(paths, 1)
    ]
    found = dict(_identify(paths, rows))
    _judge(found, rows)
    accounts: dict[str, Any] = {}
    for done in _map(_clean_series, list(_plan(found, rows, paths, target, codes, pseudonyms, site, key, profile_name, look)), jobs):
        for n, product, code in done["files"]:
            rows[n - 1].update(verdict="kept" if code == "ok" else "failed" if code == "failed" else "refused", product=product, **_words(code))
        if done["accounts"]:
            accounts[done["series"]] = account.add_up(done["accounts"])
    totals = Counter(row["verdict"] for row in rows)
    return {
        "schema": 1,
        "profile": policy.name,
        "version": policy.version,
        "files": rows,
        "totals": dict(totals),
        "codes": dict(Counter(row["code"] for row in rows)),
        "accounts": accounts,
    }


def _words(code: str) -> dict[str, str]:
    reason, advice = REFUSALS.get(code, ("", ""))
    return {"code": code, "reason": reason, "advice": advice}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _identify(paths: Sequence[Path], rows: Rows) -> Iterator[tuple[int, Identity]]:
    for n, path in enumerate(paths, 1):
        try:
            yield n, headers.identify(path)
        except DeidError as refusal:
            rows[n - 1].update(verdict="refused", **_words(refusal.code))


def _judge(found: dict[int, Identity], rows: Rows) -> None:
    """Files that name nobody, persons that contradict themselves, and studies of two people wait for a person; their files leave `found`."""
    quarrels = identity.conflicts(found.values())
    owners: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for one in found.values():
        owners[one.study_uid].add((fold(one.issuer), fold(one.patient_id)))
    for n, one in list(found.items()):
        who = (fold(one.issuer), fold(one.patient_id))
        code = (
            "no_identity"
            if one.placeholder
            else "two_patients"
            if len(owners[one.study_uid]) > 1 and one.study_uid
            else "identity_conflict"
            if who in quarrels
            else ""
        )
        if code:
            rows[n - 1].update(verdict="waiting", **_words(code))
            del found[n]


def _plan(
    found: dict[int, Identity],
    rows: Rows,
    paths: Sequence[Path],
    target: Path,
    codes: CodeKey,
    pseudonyms: PseudonymKey,
    site: str,
    key: Path,
    profile_name: str,
    look: bool,
) -> Iterator[_Job]:
    """One job per series, with what is known of the whole person and the whole study."""
    starts = identity.study_starts(found.values())
    people: dict[str, list[Identity]] = defaultdict(list)
    series: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for n, one in found.items():
        code = codes.code(site, one.issuer, one.patient_id)
        people[code].append(one)
        series[code, one.study_uid, one.series_uid].append(n)
    for (code, study, uid), numbers in sorted(series.items()):
        ones = people[code]
        births = frozenset(one.birth_date for one in ones if one.birth_date)
        folder = target / code / pseudonyms.study_code(study) / pseudonyms.study_code("series " + uid)
        yield _Job(
            tuple((n, str(paths[n - 1])) for n in numbers), str(folder), code, str(key), profile_name, births,
            tuple((s, start) for s, start in starts.items() if s == study), any(_above_89(one) for one in ones), frozenset(one.patient_id for one in ones),
            look,
        )  # fmt: skip


def _above_89(one: Identity) -> bool:
    from deid.dates import years_between

    if one.age[:3].isdecimal() and one.age[3:4].upper() == "Y" and int(one.age[:3]) > 89:
        return True
    return bool(one.birth_date and one.study_date and years_between(one.birth_date, one.study_date) > 89)


def _map(function: Any, jobs: list[_Job], workers: int) -> Iterator[dict[str, Any]]:
    if workers <= 1:
        yield from map(function, jobs)
        return
    with ProcessPoolExecutor(max_workers=workers) as pool:
        yield from pool.map(function, jobs)


def _clean_series(job: _Job) -> dict[str, Any]:
    """Clean the files of one series, look at their pixels, and search what was written for what was taken out."""
    _, pseudonyms = keys_from_file(job.key)
    subject = headers.Subject(job.code, pseudonyms, job.births, dict(job.starts), job.over_89, job.identifiers)
    policy = profile.load(job.profile)
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    verdicts: dict[int, tuple[str | None, str]] = {}
    written: dict[Path, int] = {}
    accounts = []
    removed: set[str] = set()
    for n, source in job.files:
        product = folder / f"{n:06d}.dcm"
        try:
            done = headers.clean_file(source, product, subject, policy)
        except DeidError as refusal:
            verdicts[n] = (None, refusal.code)
            continue
        except (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError, MemoryError):
            product.unlink(missing_ok=True)
            verdicts[n] = (None, "failed")
            continue
        accounts.append(done.account)
        removed |= done.removed
        written[product] = n
    for verdict in pixels.check(list(written), key=pseudonyms) if job.look else []:
        if verdict.code:
            _withhold(verdict.path, written, verdicts, verdict.code)
    needles = verify.Needles(removed)
    for product in list(written):
        if verify.search([product], needles):
            _withhold(product, written, verdicts, "still_identifying")
    root = folder.parent.parent.parent
    verdicts.update({n: (os.path.relpath(product, root), "ok") for product, n in written.items()})
    return {"series": os.path.relpath(folder, root), "files": [(n, *verdicts[n]) for n, _ in job.files], "accounts": accounts}


def _withhold(product: Path, written: dict[Path, int], verdicts: dict[int, tuple[str | None, str]], code: str) -> None:
    product.unlink(missing_ok=True)
    verdicts[written.pop(product)] = (None, code)
