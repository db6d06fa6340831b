"""Acts 4 to 6: a researcher asks and receives; a participant leaves; the log is verified and every planted identifier is looked for."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

from bidstree import check
from client import package
from client.errors import ClientError, Refused
from client.records import Entitlement, Package
from registry.management.demo import search
from registry.management.demo.stage import DATASET, Stage
from registry.management.demo.story import examined

LEFT_OUT, LEAVES = "p3", "p2"
PURPOSE = {
    "title": "Lesion detection for a product",
    "abstract": "A company tests its lesion counter.",
    "purpose": "HMB",
    "diseases": [],
    "commercial": True,
    "ai_training": False,
    "non_profit": False,
    "months": 12,
    "promises": [],
}


def ask_and_receive(stage: Stage) -> Package:
    """Act 4: request, decision, agreement, download; one participant is left out because of their consent."""
    researcher, steward = stage.researcher, stage.steward
    identity = stage.folder / "researcher.key"
    request = researcher.submit(researcher.draft(dataset=DATASET, recipient_key=package.new_identity(identity), **PURPOSE).id)
    seen = steward.request(request.id)
    note_left_out(stage, seen.participants)
    decided = steward.decide(seen, "approve", "The purpose is sound.")
    stage.ledger.note("the steward approves", decided.state == "approved_pending_signatures", decided.state)
    agreement = researcher.agreement(request.id)
    entitlement = researcher.sign(request.id, agreement.version)
    assert isinstance(entitlement, Entitlement)
    stage.ledger.note("the agreement is signed", entitlement.alive, f"version {agreement.version}")
    ready = receive(stage, entitlement.id, "package")
    opened = open_package(stage, ready, "package")
    people = sorted(p.name for p in opened.folder.glob("sub-*"))
    labels = {f"sub-{stage.registered[k].label}" for k in ("p1", "p2", "p4")}
    stage.ledger.note("the package holds the 3 who allow it", set(people) == labels, f"{len(people)} participants, {opened.files} files")
    report = check.validate(opened.folder)
    stage.ledger.note("the opened package passes the BIDS validator", report.errors == 0, f"{report.errors} errors, {report.warnings} warnings")
    return ready


def note_left_out(stage: Stage, participants: list[dict[str, Any]]) -> None:
    """One of the four is left out because the purpose is commercial, and the steward reads why; who never consented is left out too."""
    out = {p["id"]: {r["code"]: r["sentence"] for r in p["reasons"]} for p in participants if not p["allowed"]}
    reason = out.pop(stage.registered[LEFT_OUT].id, {}).get("no_commercial_use", "")
    others = set(out) - {stage.registered["p5"].id}
    stage.ledger.note("one consent does not cover the purpose: left out", bool(reason) and not others, reason or f"{len(out)} left out")


def receive(stage: Stage, entitlement: str, where: str) -> Package:
    """Have a package built and download it to the researcher's desk."""
    asked = stage.researcher.pack(entitlement)
    found = stage.wait(
        f"building the {where}", lambda: stage.researcher.package(asked.id), lambda p: p.state != "building", lambda p: (int(p.state != "building"), 1)
    )
    if found.state != "ready":
        raise Refused(found.code, found.reason)
    with stage.bar() as tick:
        sealed = package.fetch(stage.researcher, found, stage.folder / where, progress=tick)
    head = sealed.read_bytes()[:21]
    stage.ledger.note(f"the {where} arrives encrypted to the researcher's key", head == b"age-encryption.org/v1", f"{found.bytes or 0:,} bytes, hash agrees")
    return found


def open_package(stage: Stage, found: Package, where: str) -> package.Opened:
    """Open and prove what was downloaded."""
    folder = stage.folder / where
    with stage.bar() as tick:
        opened = package.verify(
            package.unpack(folder / f"{found.id}.age", package.read_identity(stage.folder / "researcher.key"), folder), stage.researcher.signing_key(), tick
        )
    stage.ledger.note(f"the {where} opens and every file is as signed", opened.files > 0, f"{opened.files} files")
    stage.ledger.places[f"the opened {where}"] = str(opened.folder)
    return opened


def leave(stage: Stage, old: Package) -> None:
    """Act 5: a participant leaves; the old package is dead, the next release lacks them, the recipient is told."""
    site = next(p.person.site for p in stage.story.participants if p.person.key == LEAVES)
    started = stage.contributor(site).withdraw(stage.registered[LEAVES].id, "Changed their mind.")
    stage.ledger.note("the old package is refused at once", refused(stage, old), why(stage, old))
    done = stage.wait("carrying the departure through", lambda: stage.contributor(site).withdrawal(started.id), lambda w: w.state == "done", steps)
    missing = [s["step"] for s in done.steps if not s["done"]]
    stage.ledger.note("the departure is carried through and certified", not missing and done.certificate is not None, ", ".join(s["step"] for s in done.steps))
    note_next_release(stage)
    note_notice(stage, old)
    fresh = receive(stage, old.entitlement, "second package")
    opened = open_package(stage, fresh, "second package")
    stage.ledger.note(
        "the new package lacks them",
        not (opened.folder / f"sub-{stage.registered[LEAVES].label}").exists(),
        f"{len(list(opened.folder.glob('sub-*')))} participants",
    )


def steps(found: Any) -> tuple[int, int]:
    return sum(1 for s in found.steps if s["done"]), max(len(found.steps), 1)


def refused(stage: Stage, old: Package) -> bool:
    """Whether the download of a package is refused, not merely broken."""
    try:
        with stage.researcher.open_download(old.id):
            return False
    except Refused as no:
        return no.status in (403, 410)


def why(stage: Stage, old: Package) -> str:
    try:
        with stage.researcher.open_download(old.id):
            return "it was given out"
    except ClientError as no:
        return f"{no.code}: {no.reason}"


def note_next_release(stage: Stage) -> None:
    """The newest release is valid and does not name the one who left."""
    rows = sorted(stage.steward.rows("releases", dataset=DATASET), key=lambda r: r["number"])
    newest = examined(stage, "validating it", rows[-1]["id"])
    manifest = stage.steward.wire.get(f"/releases/{newest.id}/manifest")
    label = f"sub-{stage.registered[LEAVES].label}"
    named = sum(1 for f in manifest["files"] if f["path"].startswith(label) and not f.get("tombstone"))
    good = newest.number > 1 and newest.state == "validated" and newest.participants == 3 and named == 0
    stage.ledger.note(
        "the next release lacks them", good, f"release {newest.number} {newest.state}: {newest.participants} participants, {named} files of theirs"
    )


def note_notice(stage: Stage, old: Package) -> None:
    """The recipient has a notice, deletes what it names, and says so."""
    notices = [n for n in stage.researcher.notices() if n.package == old.id]
    stage.ledger.note("the recipient has a notice", len(notices) == 1, f"{len(notices)} notice, {len(notices[0].files) if notices else 0} files named")
    if not notices:
        return
    for folder in (stage.folder / "package").glob("*-*"):
        shutil.rmtree(folder / f"sub-{stage.registered[LEAVES].label}", ignore_errors=True)
    said = stage.researcher.acknowledge(notices[0].id)
    stage.ledger.note("the recipient confirms the deletion", said.acknowledged_at is not None, said.acknowledged_at or "")


def prove(stage: Stage) -> None:
    """Act 6: the log is whole, and no planted identifier is anywhere but in quarantine and the vault."""
    answer = stage.steward.verify_audit()
    stage.ledger.note(
        "the audit chain verifies",
        bool(answer.get("ok")) and answer.get("lines", 0) > 20,
        f"{answer.get('lines')} lines, {len(answer.get('problems', []))} problems",
    )
    home = stage.servers.home
    places: dict[str, list[Path]] = {
        "the downloaded packages": [stage.folder / "package", stage.folder / "second package"],
        "the registry's store": [home / "store", home / "outbox"],
        "database, cache, mail and logs": [*home.glob("registry.sqlite3*"), *home.glob("cache.sqlite3*"), home / "mail", stage.folder / "logs"],
    }
    for name, folders in places.items():
        with stage.bar() as tick:
            found = search.look(folders, stage.story.planted, partial(tick, f"searching {name}"))
        kinds = ", ".join(sorted({f.kind for f in found.hits}))
        stage.ledger.note(f"0 identifiers in {name}", not found.hits and found.files > 0, f"{len(found.hits)} found in {found.files} files {kinds}".strip())
    with stage.bar() as tick:
        sample = [next(stage.story.participants[0].visits[0].folder.glob("00*"))]
        known = search.look(sample, stage.story.planted, partial(tick, "the same search on the scans"), most=20)
    stage.ledger.note(
        "the search finds them where they are",
        len({h.kind for h in known.hits}) >= 10,
        f"{len({h.kind for h in known.hits})} kinds in {known.files} original files",
    )
