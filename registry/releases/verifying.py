"""Is a release still what it was when it was closed: every hash computed anew, from the bytes of the store and from the facts that tables are made of.

A release is rebuilt byte for byte. Once somebody in it has left, their files are tombstones (path and hash stay, the bytes are gone), and the tables that
told of several people are made without them: these are named as `remade`, and nothing else may differ. What is gone or other without a tombstone is damage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from registry.imaging import store
from registry.releases import accounting, freezing, tree
from registry.releases.models import Release, ReleaseFile
from registry.subjects.models import Participant

CLOSED = (Release.State.FROZEN, Release.State.VALIDATED, Release.State.INVALID)
ALIKE = frozenset({"README", "CHANGES", "dataset_description.json"})  # tell of nobody: a departure changes nothing in them
Told = dict[Any, tuple[Participant, dict[str, Any]]]


def verify(release: Release, beat: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """`{"ok", "files", "tombstones", "remade", "missing", "changed", "list", "account"}`: paths of what differs; whether list and account have their hashes."""
    rows = list(release.files.order_by("path"))
    told, lost = _facts(release)
    texts = {entry.path: entry.sha256 for entry in _made(release, rows, told)}
    found: dict[str, list[str]] = {"tombstones": [], "remade": [], "missing": [], "changed": []}
    departed = release.people.filter(tombstone=True).exists()
    for row in rows:
        beat()
        if what := _what(row, told, lost, texts, departed):
            found[what].append(row.path)
    listed = freezing.digest((row.path, row.sha256, row.bytes) for row in rows) == release.sha256
    # A release of before accounts has none, and no hash of one.
    account = not release.account_sha256 or accounting.digest(release.account) == release.account_sha256
    ok = listed and account and not found["missing"] and not found["changed"]
    gone = len(found.pop("tombstones"))
    return {"ok": ok, "files": len(rows), "tombstones": gone, **found, "list": listed, "account": account}


def _facts(release: Release) -> tuple[Told, dict[Any, str]]:
    """The facts of everybody who is still there; and of whom they are `missing` or `changed`."""
    told: Told = {}
    lost: dict[Any, str] = {}
    for row in release.people.filter(tombstone=False).select_related("participant__dataset").order_by("label"):
        try:
            told[row.participant_id] = (row.participant, tree.read_facts(row.participant, row.facts_sha256))
        except store.Corrupt:
            lost[row.participant_id] = "changed" if store.path(row.participant, row.facts_sha256).exists() else "missing"
    return told, lost


def _made(release: Release, rows: list[ReleaseFile], told: Told) -> list[tree.Entry]:
    """Every text of the release as it is made today."""
    paths = [row.path for row in rows if row.image_id is not None and row.participant_id in told and not row.tombstone]
    own = [entry for person, facts in told.values() for entry in tree.personal(person, facts)]
    return own + tree.shared(release.manifest, [facts for _, facts in told.values()], tree.derivatives_in(paths))


def _what(row: ReleaseFile, told: Told, lost: dict[Any, str], texts: dict[str, str], departed: bool) -> str:
    """What is to be said of one file; empty when it is as it was."""
    if row.tombstone:
        return "tombstones"
    if row.image_id is not None:
        # Facts may be damaged where images are not: the person is looked up for themselves.
        person = told[row.participant_id][0] if row.participant_id in told else row.participant
        return _stored(person, row.sha256) if person is not None else "missing"
    if texts.get(row.path) == row.sha256:
        return ""
    if row.participant_id is not None:
        return lost.get(row.participant_id, "changed")
    if lost:  # made from what is damaged
        return sorted(lost.values())[0]
    return "remade" if departed and row.path not in ALIKE else "changed"


def _stored(person: Participant, sha256: str) -> str:
    """Whether a file of the store is there and what it was: read whole, for nothing else proves it."""
    try:
        with store.path(person, sha256).open("rb") as file:
            return "" if hashlib.file_digest(file, "sha256").hexdigest() == sha256 else "changed"
    except FileNotFoundError:
        return "missing"
