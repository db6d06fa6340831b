"""The rows of `make show-governance` about leaving: a thousand people and one goes, somebody in two datasets goes, and downloads that a departure cuts.

They run in this process over throw-away databases (`governance_house`); the download is a real one, from gunicorn over a socket.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import socket
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

from governance_house import engine, opened
from table import Result

PEOPLE = {"quick": 40, "usual": 300, "full": 1000}
MOMENTS = {"quick": 3, "usual": 12, "full": 50}
RECIPIENTS, MIB = 4, 1 << 20
PART = 64 * MIB
PACE = 24 * MIB  # bytes a second that the reader takes
WHO = "LEAVES-19560412"


def house_of(world: Any, slug: str) -> Any:
    """A dataset with its people, as the tests of the upper half have it."""
    from tests.registry.upper.conftest import House

    site = world.site(f"site-{slug}")
    dataset = world.dataset(site, slug=slug, min_count=2)
    return House(world, site, dataset, world.contributor(dataset, site), world.steward(dataset))


def carried() -> Any:
    from tests.registry.upper.conftest import Carried

    return Carried(Path(tempfile.mkdtemp(prefix="myelin-carried-")))


# --- a thousand people, one leaves ---------------------------------------------------------------------------------------------------------------


def withdrawal(depth: str) -> Result:
    """One of many leaves; times, notices and what is left."""
    people = PEOPLE[depth]
    house, carrier = house_of(opened(), "many"), carried()
    fill(house, carrier, people)
    say("filled")
    packages = given(house, carrier)
    say("given out")
    told = leave(house, packages)
    figure = f"of {people:,} people: unreachable in {told['unreachable']:.2f} s, new release in {told['released']:.1f} s without, "
    figure += f"all steps {told['done']:.1f} s, validated {told['validated']:.0f} s after; {told['notices']} notices to {told['recipients']} recipients, "
    figure += f"{told['sent']} mails delivered, {told['dead']} listed as dead; {told['outside']} traces outside the closed list, "
    figure += f"within it {told['within']}; source identifier {told['identifier']} traces, rows, files, vault and its log ({engine()})"
    met = told["unreachable"] < 5 and told["released"] < 60 and told["validated"] < 900
    met = met and told["recipients"] == RECIPIENTS - 1 and told["sent"] + told["dead"] == RECIPIENTS - 1
    return Result(figure, met=met and not told["outside"] and not told["identifier"], sample=people < PEOPLE["full"])


def say(what: str) -> None:
    print(f"{time.perf_counter():.0f} s: {what}", file=sys.stderr, flush=True)


def fill(house: Any, carrier: Any, people: int) -> None:
    """People with an image each; the one who leaves comes by an upload of their own, with originals, renderings and a clinical record."""
    from registry.clinical import actions as clinical
    from registry.imaging.models import Image
    from registry.intake import actions as intake
    from registry.subjects import actions as subjects

    sealed = subjects.seal_all(house.dataset, house.site, [{"patient_id": f"MANY-{n:06d}"} for n in range(people - 1)])
    for one in sealed:
        person = subjects.enter(one)
        house.world.consent(person)
        house.image(person)
    house.leaver = house.person(patient_id=WHO)
    visit = house.visit(house.leaver)
    clinical.record(house.contributor, [clinical.Row(visit, "edss", {"edss_total": 4.5})])
    upload = intake.begin_upload(house.contributor, house.dataset, house.site)
    bodies = [f"{WHO} a scan".encode(), f"{WHO} another".encode()]
    for n, body in enumerate(bodies, 1):
        intake.receive_file(house.contributor, upload, n, "", io.BytesIO(body), len(body), hashlib.sha256(body).hexdigest())
    upload = intake.complete_upload(house.contributor, upload, len(bodies), sum(map(len, bodies)))
    carrier.sort(str(upload.pk), [(WHO, date(2021, 3, 4)), (WHO, date(2021, 3, 4))])
    carrier.studies()
    first, *_ = Image.objects.filter(visit=visit)
    intake.accept_image(house.steward, first)  # the other is still waiting: its originals and renderings are there
    house.hashes = [file.sha256 for image in Image.objects.filter(visit=visit) for file in image.files.all() if file.kind == "image"]


def first_release(house: Any) -> None:
    """Put together the real way; the validator is asked about the one that follows."""
    from django.db import transaction

    with transaction.atomic():
        house.release()


def given(house: Any, carrier: Any) -> list[Any]:
    """Release 1, and packages of it: all but one were downloaded, one of them twice."""
    import pyrage

    from registry.releases import actions
    from registry.releases.models import Package

    first_release(house)
    packages = []
    for _ in range(RECIPIENTS):
        right = house.world.entitled(house.dataset, house.steward, recipient_key=str(pyrage.x25519.Identity.generate().to_public()))
        packages.append(actions.build_package(right.user, right))
    carrier.work()
    fresh = [Package.objects.get(pk=package.pk) for package in packages]
    for package in [*fresh[:-1], fresh[0]]:
        actions.start_download(package.entitlement.user, package, (0, 1))
    return fresh


def leave(house: Any, packages: list[Any]) -> dict[str, Any]:
    """The departure, its runs carried out at once by the runner; seconds and counts."""
    from registry.imaging import queries as imaging
    from registry.releases import actions, packing, remains
    from registry.releases.models import Notice, Release
    from registry.runs import mail, runner
    from registry.runs.models import Mail, Run

    Mail.objects.all().delete()
    code, label = house.leaver.code, house.leaver.label
    start = time.perf_counter()
    removal = actions.withdraw(house.contributor, house.leaver)
    dead = all(packing.gone(package.pk) for package in packages)
    listed = imaging.images(house.steward).filter(visit__participant=house.leaver).exists()
    told: dict[str, Any] = {"unreachable": time.perf_counter() - start if dead and not listed else float("inf")}
    watch = threading.Event()
    seen: list[float] = []

    def look() -> None:
        from django.db import connections

        while not watch.is_set() and not seen:
            if Release.objects.filter(dataset=house.dataset, number=2, state__in=["frozen", "validated"]).exists():
                seen.append(time.perf_counter() - start)
            watch.wait(0.2)
        connections.close_all()

    looker = threading.Thread(target=look)
    looker.start()
    runner.carry(str(removal.run_id))
    told["done"] = time.perf_counter() - start
    watch.set()
    looker.join()
    second = Release.objects.get(dataset=house.dataset, number=2)
    without = not second.people.filter(participant=house.leaver).exists()
    told["released"] = (seen or [told["done"]])[0] if without else float("inf")
    for run in Run.objects.filter(kind="validate", state="ready"):
        runner.carry(str(run.pk))
    second.refresh_from_db()
    told["validated"] = time.perf_counter() - start if second.state == "validated" else float("inf")
    mail.send_due()
    asked = Mail.objects.filter(subject__contains="has left")
    told |= {"sent": asked.filter(state="sent").count(), "dead": asked.filter(state="dead").count()}
    told |= {"notices": Notice.objects.filter(removal=removal).count(), "recipients": asked.values("to").distinct().count()}
    traces = remains.search([code, label, *house.hashes])
    for trace in traces:
        if not trace.kind:
            print("trace:", trace, file=sys.stderr)
    told["outside"] = sum(trace.count for trace in traces if not trace.kind)
    told["within"] = ", ".join(sorted({trace.kind for trace in traces if trace.kind}))
    told["identifier"] = len(remains.search([WHO])) + len(remains.in_vault_files([WHO]))
    return told


# --- two people with the same bytes --------------------------------------------------------------------------------------------------------------


def same_bytes(depth: str) -> Result:
    """Two people whose images and masks are byte for byte the same, and one leaves: every byte of the other's is there, in both releases."""
    house, carrier = house_of(opened(), "same"), carried()
    from registry.imaging import store
    from registry.releases import actions, freezing
    from registry.releases.models import Release

    going, staying = house.person(), house.person()
    equal = [house.image(person, seed="the very same") for person in (going, staying)]
    for image, person in zip(equal, (going, staying), strict=True):
        mask = image.bids_path.replace("sub-", "derivatives/annotations/sub-", 1).replace("_T1w", "_label-lesion_mask")
        sha256 = hashlib.sha256(b"a mask").hexdigest()
        store.put(person, b"a mask", sha256)
        image.files.create(path=mask, sha256=sha256, bytes=6, kind="annotation")
    shared = {file.sha256 for file in equal[0].files.all()} & {file.sha256 for file in equal[1].files.all()}
    first_release(house)
    actions.withdraw(house.contributor, going)
    carrier.work()
    files = wrong = 0
    for release in Release.objects.filter(dataset=house.dataset):
        for entry in freezing.entries(release):
            part = entry.part()
            files += part.file is not None
            wrong += part.file is not None and (not part.file.exists() or store.digest(part.file) != part.sha256)
    met = files == 6 and not wrong and len(shared) == 3 and not store.folder(going).exists()
    return Result(f"{len(shared)} files with the same bytes; {files} stored files of the other in 2 releases verified, {wrong} wrong ({engine()})", met=met)


# --- one person in two datasets ------------------------------------------------------------------------------------------------------------------


def two_datasets(depth: str) -> Result:
    """Somebody in two datasets leaves; two others leave as well, so that there is something to compare with."""
    world = opened()
    from registry.releases import actions, remains
    from registry.releases.models import Removal
    from registry.subjects import vault
    from registry.subjects.models import Participant, SourceIdentifier
    from tests.registry.upper import leavers

    carrier = carried()
    house = leavers.in_two_datasets(house_of(world, "first"), carrier)
    links = [house.leaver.link, house.other.link]
    actions.withdraw(house.contributor, house.leaver)
    carrier.work()
    gone = Participant.objects.filter(pk__in=[house.leaver.pk, house.other.pk], state="withdrawn", link=None).count()
    actions.withdraw(house.contributor, house.stayer)
    actions.withdraw(house.second_hand, house.beside)
    carrier.work()
    linked = leavers.shared_secrets(house.leaver, house.other, house.stayer, house.beside)
    identifier = len(remains.search([leavers.WHO])) + len(remains.in_vault_files([leavers.WHO]))
    left = SourceIdentifier.objects.filter(link__in=links).count()
    removal = Removal.objects.get(participant=house.leaver)
    site = vault.unshut(removal.sealed, house.leaver.pk)["datasets"] == [house.second.slug]
    figure = (
        f"gone from {gone} of 2, {left} rows in the vault, {identifier} traces of the identifier; values in rows of both and of nobody else: {len(linked)} "
    )
    figure += f"(time and order excepted: docs/explanation/leaving.md); the sealed certificate names the other: {site} ({engine()})"
    return Result(figure, met=gone == 2 and not linked and not left and not identifier and site)


# --- downloads that are cut ----------------------------------------------------------------------------------------------------------------------


def cut_downloads(depth: str) -> Result:
    """At seeded random moments of a download of 64 MiB somebody in it leaves; bytes are counted at the reader's socket from the commit on."""
    world = opened()
    from django.conf import settings

    from tests.registry.upper.test_download_live import served

    house, rng = house_of(world, "cut"), random.Random(7)
    late: list[int] = []
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, served(Path(settings.MYELIN_HOME), Path(folder)) as url:
        for n in range(MOMENTS[depth]):
            got, whole, after = one_cut(house, url, rng.randrange(MIB, PART - 8 * MIB))
            late.append(got)
            wrong += whole or after not in (403, 404, 410)
            say(f"download {n + 1}: {got:,} bytes after, then {after}")
    most = max(late)
    figure = f"{len(late)} moments, {PART // MIB} MiB each: at most {most / MIB:.2f} MiB after the commit (kernels' buffers counted), median "
    figure += f"{sorted(late)[len(late) // 2] / MIB:.2f}; {wrong} that did not end as an error or were not denied afterwards ({engine()})"
    return Result(figure, met=most <= MIB and not wrong, sample=len(late) < MOMENTS["full"])


def one_cut(house: Any, url: str, moment: int) -> tuple[int, bool, int]:
    """(bytes after the commit, whether all of it arrived, the status of the next request) of one download cut after so many bytes."""
    import requests
    from django.db import transaction

    from registry.access import actions as access
    from registry.releases import actions, ending

    person = house.person()
    package = packed(house, person)
    token = access.issue_token(package.entitlement.user, "desk", ["read", "write", "download"], 5)[1]
    reader = Reader(url, str(package.pk), token)
    reader.start()
    while reader.got < moment and reader.is_alive():
        time.sleep(0.001)
    at_commit: list[int] = []
    begins = ending.person

    def watched(*told: Any) -> Any:
        transaction.on_commit(lambda: at_commit.append(reader.got))  # the first thing after the commit
        return begins(*told)

    ending.person = watched
    try:
        actions.withdraw(house.steward, person)
    finally:
        ending.person = begins
    before = at_commit[0]
    reader.join(60)
    answer = requests.get(f"{url}/api/v1/packages/{package.pk}/download", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    return reader.got - before, reader.got >= PART, answer.status_code


class Reader(threading.Thread):
    """Reads a download from a plain socket at an even pace, with a small buffer, and counts the bytes of the body."""

    def __init__(self, url: str, package: str, token: str) -> None:
        super().__init__()
        self.got, self.host, self.port = 0, "127.0.0.1", int(url.rsplit(":", 1)[1])
        self.ask = f"GET /api/v1/packages/{package}/download HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode()

    def run(self) -> None:
        with socket.create_connection((self.host, self.port), timeout=30) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            line.sendall(self.ask)
            head = b""
            while b"\r\n\r\n" not in head:
                head += line.recv(4096)
            self.got, start = len(head.split(b"\r\n\r\n", 1)[1]), time.perf_counter()
            try:
                while chunk := line.recv(64 * 1024):
                    self.got += len(chunk)
                    time.sleep(max(0.0, self.got / PACE - (time.perf_counter() - start)))
            except ConnectionResetError:
                pass


NOISE: list[bytes] = []


def packed(house: Any, person: Any) -> Any:
    """A ready package of 64 MiB of noise with this person in it: what is tested is who gets which byte."""
    from registry.releases import packing
    from registry.releases.models import Package

    if not NOISE:
        NOISE.append(os.urandom(PART))
    entitlement = house.world.entitled(house.dataset, house.steward)
    number = house.dataset.releases.count() + 1
    release = house.dataset.releases.create(number=number, version=f"1.{number}.0", state="validated", sha256="0" * 64, created_by="measure")
    made = Package.objects.create(
        entitlement=entitlement, release=release, recipient_key="age1", state="ready", sha256=hashlib.sha256(NOISE[0]).hexdigest(), bytes=PART,
        manifest={"files": [{"path": f"x/sub-{person.label}/a.nii.gz", "sha256": "1" * 64, "bytes": 1}]},
    )  # fmt: skip
    made.people.create(participant=person, label=person.label, epoch=person.epoch)
    packing.place(made.pk).parent.mkdir(parents=True, exist_ok=True)
    packing.place(made.pk).write_bytes(NOISE[0])
    return made
