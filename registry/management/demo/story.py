"""Acts 1 to 3: the scans are made, handed in and worked on; the steward looks and accepts; a release is frozen."""

from __future__ import annotations

import hashlib
from collections import Counter
from functools import partial
from typing import Any

from client import upload
from client.api import Registry, sign_in
from client.errors import Refused
from client.records import Image, Study
from pipeline import phantom
from pipeline.phantom import Person, Visit
from registry.management.demo import picture
from registry.management.demo.stage import ADMIN, DATASET, RESEARCHER, STEWARD, HandIn, Stage

WAITING = {"stranger": "unknown_participant", "two_patients": "two_patients", "no_consent": "no_consent"}
MAKING = ("freezing", "frozen")  # states of a release that still change by themselves
AGREEMENT = (
    "You may use these data for the purpose of your request only. You will not try to identify anybody, not pass the data on, keep them safe, and delete "
    "what a notice of withdrawal names. You will tell the registry what you publish."
)


def open_registry(stage: Stage) -> None:
    """The administrator opens sites, a dataset and accounts through the API; everybody gets a line of their own.

    The first two accounts are opened on the registry's own machine, and so are their tokens: in a browser they would set up a second factor first.
    """
    for email, scopes, options in ((ADMIN, ("read", "write", "admin"), ("--admin",)), (STEWARD, ("read", "write", "decide"), ())):
        stage.passwords[email] = stage.servers.person(email, "--institution", "Myelin", "--country", "NO", *options)
        token = stage.servers.manage("accounts", "token", email, "--name", "demo", "--scopes", ",".join(scopes), "--days", "30").strip()
        stage.lines[email] = Registry(stage.servers.url, token)
    admin = stage.lines[ADMIN]
    for site in stage.story.sites:
        admin.create("sites", code=site.code, name=site.name, country=site.country)
    about: dict[str, Any] = {"description": "Heads that never existed.", "licence": "Demo only", "terms": AGREEMENT, "agreement": AGREEMENT, "min_count": 2}
    about |= {"k": 1, "sites": [site.code for site in stage.story.sites]}
    admin.create("datasets", slug=DATASET, name="Sheath demo", **about)
    admin.create("roles", email=STEWARD, dataset=DATASET, site=None, kind="steward")
    for site in stage.story.sites:
        open_account(stage, f"contributor@{site.code}.example", site.name, site.country, ("read", "write"))
        admin.create("roles", email=f"contributor@{site.code}.example", dataset=DATASET, site=site.code, kind="contributor")
    open_account(stage, RESEARCHER, "Nerve Pharma", "CH", ("read", "write", "download"))
    admin.create("roles", email=RESEARCHER, dataset=DATASET, site=None, kind="researcher")


def open_account(stage: Stage, email: str, institution: str, country: str, scopes: tuple[str, ...]) -> None:
    """An account by the administrator, then a sign-in of that person, through the API."""
    password = "demo-" + hashlib.sha256(f"{email}{stage.servers.port}".encode()).hexdigest()[:14]
    stage.lines[ADMIN].create("users", email=email, password=password, institution=institution, country=country)
    sign(stage, email, password, scopes)


def sign(stage: Stage, email: str, password: str, scopes: tuple[str, ...]) -> None:
    """Sign in through the API and keep a token with the scopes that this registry knows."""
    stage.passwords[email] = password
    token = sign_in(stage.servers.url, email, password, name="demo", scopes=scopes)
    stage.lines[email] = Registry(stage.servers.url, token)


def make_scans(stage: Stage, *, full: bool) -> None:
    """Act 1: scans as a hospital would hand them in."""
    with stage.bar() as tick:
        stage.story = phantom.write(stage.folder / "scans", full=full, progress=lambda done, total: tick("making scans, studies", done, total))
    count, kinds = stage.story.files, len({p.kind for p in stage.story.planted})
    stage.ledger.note(
        "scans of 4 participants of 2 sites at 2 visits",
        len(stage.story.participants) == 4,
        f"{count} files, {len(stage.story.planted)} identifiers of {kinds} kinds",
    )
    stage.ledger.places["the hospitals' scans"] = str(stage.story.folder)


def hand_in(stage: Stage) -> None:
    """Act 2: register, consent, clinical visits, upload; the pipeline runs; what must not go on waits or is refused."""
    send_and_wait(stage)
    studies = [s for site in stage.story.sites for s in stage.contributor(site.code).studies(dataset=DATASET)]
    images = stage.steward.images(dataset=DATASET)
    check_waiting(stage, studies, images)
    check_files(stage)
    note_spoiled(stage, images)


def send_and_wait(stage: Stage) -> None:
    """Every site registers its people and hands its folder in; then wait until nothing moves without a person."""
    for site in stage.story.sites:
        register_site(stage, site.code)
        send_site(stage, site.code)
    for entry in stage.uploads:
        line = stage.contributor(entry.site)
        entry.upload = stage.wait(f"pipeline {entry.site}, studies", partial(line.upload, entry.upload.id), settled, settled_studies)


def register_site(stage: Stage, site: str) -> None:
    """Everybody but the stranger and the neighbour: participants, visits, consents, clinical records."""
    line = stage.contributor(site)
    cast: list[tuple[Person, list[Visit]]] = [(p.person, list(p.visits)) for p in stage.story.participants if p.person.site == site]
    unasked = stage.story.gone_wrong("no_consent")
    if unasked.site == site:
        cast.append((unasked.people[0], []))
    people = [{"patient_id": p.source_id, "issuer": p.issuer, "sex": p.sex, "birth_year_band": band(p)} for p, _ in cast]
    for (person, _), row in zip(cast, line.register(DATASET, site, people), strict=True):
        stage.registered[person.key] = row
    dates = [(p, v.label, v.date) for p, visits in cast for v in visits] + [(p, "m00", phantom.ODD_DAY) for p, visits in cast if not visits]
    rows = [{"participant": stage.registered[p.key].id, "label": label, "date": day.isoformat()} for p, label, day in dates]
    for (person, label, _), visit in zip(dates, line.add_visits(rows), strict=True):
        stage.visits[person.key, label] = visit
    line.add_consents(consent(stage, p) for p, _ in cast if p.consent)
    line.add_clinical(
        {"visit": stage.visits[p.key, v.label].id, "instrument": "edss", "values": {"edss_total": dict(v.measures)["edss"]}}
        for p, visits in cast
        for v in visits
    )


def band(person: Person) -> str:
    low = person.birth_date.year // 5 * 5
    return f"{low}-{low + 4}"


def consent(stage: Stage, person: Person) -> dict[str, Any]:
    """The consent a person signed, as the contributor records it; the paper itself stays at the site, its hash is kept."""
    wish = person.consent
    assert wish is not None
    signed = {"kind": "given", "valid_until": None, "evidence_sha256": hashlib.sha256(f"signed by {person.name}".encode()).hexdigest()}
    covers = {"permission": wish.permission, "modifiers": list(wish.modifiers), "diseases": [], "countries": list(wish.countries), "transfer": wish.transfer}
    return {"participant": stage.registered[person.key].id, **signed, **covers, "commercial": wish.commercial, "ai_training": wish.ai_training}


def send_site(stage: Stage, site: str) -> None:
    """Hash and send one site's folder."""
    line = stage.contributor(site)
    with stage.bar() as tick:
        entries = upload.manifest(stage.story.folder / site, lambda what, done, total: tick(f"{what} {site}, files", done, total))
        opened = line.open_upload(DATASET, site)
        sent = upload.hand_in(line, opened.id, entries, progress=lambda what, done, total: tick(f"{what} {site}, files", done, total))
    stage.uploads.append(HandIn(site, entries, sent.upload))


def settled(found: Any) -> bool:
    moving = found.studies.get("ready", 0) + found.studies.get("processing", 0)
    return found.state in ("done", "failed") or (found.state == "sorted" and not moving)


def settled_studies(found: Any) -> tuple[int, int]:
    ended = sum(found.studies.get(state, 0) for state in ("recorded", "refused", "waiting"))
    return (ended if found.state != "sorting" else 0), max(sum(found.studies.values()), 1)


def check_waiting(stage: Stage, studies: list[Study], images: list[Image]) -> None:
    """The three studies that must wait do, with their reasons, and nothing of them was converted."""
    waiting = {s.code: s for s in studies if s.state == "waiting"}
    for kind, code in WAITING.items():
        found = waiting.get(code)
        stage.ledger.note(f"{kind.replace('_', ' ')}: waits", found is not None, f"{code}: {found.reason if found else 'no study waits for this'}")
    mine = {stage.registered[p.person.key].id for p in stage.story.participants}
    strange = [i for i in images if i.participant not in mine]
    stage.ledger.note("3 of 3 wait, 0 converted", sorted(waiting) == sorted(WAITING.values()) and not strange, f"{len(waiting)} wait, {len(strange)} converted")
    done = Counter(s.state for s in studies)
    expected = sum(len(p.visits) for p in stage.story.participants)
    stage.ledger.note(
        f"all {expected} studies with consent went through", done["recorded"] == expected, ", ".join(f"{n} {state}" for state, n in sorted(done.items()))
    )


def check_files(stage: Stage) -> None:
    """Every file has a verdict; the screen with a name burned in is refused; every lesion mask is kept."""
    verdicts: Counter[str] = Counter()
    by_path = {}
    for entry in stage.uploads:
        files = {f.number: f for f in stage.contributor(entry.site).upload_files(entry.upload.id)}
        verdicts.update(f.verdict for f in files.values())
        by_path.update({e.path: files.get(e.number) for e in entry.entries})
    missing = sum(1 for f in by_path.values() if f is None or f.verdict not in ("kept", "refused", "waiting", "failed"))
    told = ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items()))
    stage.ledger.note("every file has a verdict", missing == 0 and len(by_path) == stage.story.files, f"{len(by_path)} files: {told}")
    screens = [f for path, f in by_path.items() if stage.story.gone_wrong("burned_in").folder in path.parents and f is not None]
    reasons = {f"{f.code}: {f.reason}" for f in screens}
    stage.ledger.note("a burned-in name: refused", bool(screens) and all(f.verdict == "refused" for f in screens), "; ".join(reasons))
    masks = [by_path.get(v.mask) for p in stage.story.participants for v in p.visits if v.mask]
    kept = sum(1 for f in masks if f is not None and f.verdict == "kept")
    unkept = {f"{f.code}: {f.reason}" for f in masks if f is not None and f.verdict != "kept"}
    stage.ledger.note("8 lesion masks are kept", kept == len(masks) == 8, f"{kept} kept {' '.join(unkept)}".strip())


def note_spoiled(stage: Stage, images: list[Image]) -> None:
    """The scan that lost slices fails its quality check, and it alone."""
    person = stage.story.gone_wrong("spoiled").people[0]
    visit = stage.visits[person.key, "m12"].id
    failed = [i for i in images if i.grade == "fail"]
    hit = [i for i in failed if i.visit == visit and i.suffix == "T2w"]
    stage.ledger.note("a spoiled scan: fails quality", bool(hit), "; ".join(words(r) for r in hit[0].reasons) if hit else "not found")
    stage.ledger.note(
        "no other scan fails",
        len(failed) == len(hit) > 0,
        f"{len(images)} images: " + ", ".join(f"{n} {g}" for g, n in sorted(Counter(i.grade for i in images).items())),
    )


def words(reason: Any) -> str:
    return str(reason.get("reason") or reason.get("sentence") or reason) if isinstance(reason, dict) else str(reason)


def accept_and_freeze(stage: Stage) -> None:
    """Act 3: the steward looks, refuses what failed, accepts the rest; a release is frozen and passes the validator."""
    steward = stage.steward
    images = steward.images(dataset=DATASET, state="proposed")
    stage.ledger.places["pictures"] = str(stage.folder / "pictures")
    drawn = picture.draw(stage, images)
    stage.ledger.note("pictures: before and after defacing, quality", drawn >= 2, f"{drawn} PNG files")
    bad = [i for i in images if i.grade == "fail"]
    for image in bad:
        steward.refuse_image(image.id, "Slices are missing.")
    good = [i for i in images if i.grade != "fail"]
    for address in (address for i in good if i.deface == "review" for address in i.pictures["review"]):
        steward.picture(address)  # where it is in doubt whether a face is left, a steward looks before accepting
    accepted = accept(steward, good)
    stage.ledger.note("the steward accepts what is good", len(accepted) == len(good) > 0, f"{len(accepted)} accepted, {len(bad)} refused")
    release = freeze(stage, "First release")
    errors = (release.validator or {}).get("errors")
    stage.ledger.note(
        "release 1 passes the official BIDS validator", release.state == "validated" and errors == 0, f"{release.state}: {errors} errors, {release.files} files"
    )
    stage.ledger.note("release 1 holds 4 participants", release.participants == 4, f"version {release.version}, {release.participants} participants")


def accept(steward: Any, good: list[Any]) -> list[Any]:
    """All at once. Of many the registry draws a sample, and takes them from nobody who has not looked at it: it says which, and the steward looks."""
    ids, note = [i.id for i in good], "Looked at: no face is left."
    try:
        return list(steward.accept_images(ids, note))
    except Refused as error:
        if error.code != "sample_not_looked_at":
            raise
        named = {row["field"].removeprefix("images:") for row in error.errors}
    for image in good:
        if image.id in named:
            steward.picture(image.pictures["after"])
    return list(steward.accept_images(ids, note))


def freeze(stage: Stage, changes: str) -> Any:
    return examined(stage, "freezing and validating", stage.steward.freeze(DATASET, changes).id)


def examined(stage: Stage, what: str, release: str) -> Any:
    """The release once the validator has answered."""
    return stage.wait(what, lambda: stage.steward.release(release), lambda r: r.state not in MAKING, lambda r: (int(r.state not in MAKING), 1))
