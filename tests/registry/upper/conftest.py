"""What tests of the upper half have: doors to knock on as somebody, and a carrier's answers written by hand.

The answers go the real way: order built and checked against its schema, outcome read as untrusted input, published, recorded under the ledger's fence.
Images are small real NIfTI volumes, so that the official BIDS validator has something to read.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import nibabel as nib
import numpy as np
import pytest
from django.test import Client
from django.utils import timezone

from pipeline.outcome import versions
from registry.accounts import keys
from registry.accounts.models import User
from registry.imaging import store
from registry.imaging.models import Image
from registry.intake.models import Upload
from registry.releases import freezing
from registry.runs import kinds, ledger, outcome, runner
from registry.runs.models import Run
from registry.subjects import actions as subjects
from tests.registry.browsers import shown

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
JSON = "application/json"
DAY = date(2021, 3, 4)
# What the pipeline says of an image that may enter a release.
PAPER: dict[str, Any] = {"deid": {"profile": "myelin-2026", "account": {}}, "deface": {"code": "ok", "second": {"face_box_apart_mm": 1.2}}}


@dataclass
class Door:
    """The API as one person sees it, signed in by session (as Django's test client does it) or by token."""

    client: Client
    token: str = ""

    def raw(self, method: str, path: str, data: Any = None, **headers: Any) -> Any:
        path = path if path.startswith("/api/") else f"/api/v1{path}"
        if self.token:
            headers["HTTP_AUTHORIZATION"] = f"Bearer {self.token}"
        body = {} if data is None else {"data": data if isinstance(data, bytes | str) else json.dumps(data), "content_type": headers.pop("content_type", JSON)}
        return getattr(self.client, method)(path, **body, **headers)

    def get(self, path: str, status: int = 200) -> Any:
        answer = self.raw("get", path)
        assert answer.status_code == status, answer.content
        return answer.json()

    def post(self, path: str, data: Any, status: int, code: str | None = None) -> Any:
        answer = self.raw("post", path, data)
        assert answer.status_code == status, (answer.status_code, answer.content)
        told = answer.json() if answer.content else None
        if code:
            assert told["code"] == code and answer["Content-Type"] == "application/problem+json", told
        return told

    def put_file(
        self, upload: str, number: int, body: bytes, folder: str = "", status: int = 201, annotation: str = "", said: Any = None, **headers: Any
    ) -> Any:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        headers = {"HTTP_CONTENT_DIGEST": f"sha-256=:{digest}:", "content_type": "application/octet-stream", **headers}
        asked = {name: value for name, value in {"folder": folder, "annotation": annotation, **(said or {})}.items() if value}
        query = f"?{urlencode(asked)}" if asked else ""
        answer = self.raw("put", f"/uploads/{upload}/files/{number}{query}", body, **headers)
        assert answer.status_code == status, (answer.status_code, answer.content)
        return answer.json()


@pytest.fixture
def door() -> Callable[[User | None], Door]:
    def knock(user: User | None = None) -> Door:
        client = Client(raise_request_exception=False)
        if user is not None:
            shown(client, user)
        return Door(client)

    return knock


@dataclass
class Carried:
    """Answers of a carrier. `folder`: where outcomes are written."""

    folder: Path

    def _go(self, run: Run, make: Callable[[dict[str, Any], Path], dict[str, Any]]) -> Run:
        """One run by hand, as `registry.runs.runner` does it, but for the waiting."""
        claimed = ledger.claim("test:1:a", run_id=run.pk)
        assert claimed is not None
        try:
            order = runner.make_order(claimed)
        except runner.Refusal as error:
            ledger.fail(claimed, error.code, error.reason, again=False)
            return claimed
        place = self.folder / f"{claimed.name}.{claimed.attempt}"
        for name in ("bids", "review"):
            (place / name).mkdir(parents=True)
        answer = {"schema": 1, "run": order["run"], "attempt": order["attempt"], "kind": order["kind"], "status": "done"}
        answer |= {"studies": [], "images": [], "products": [], "versions": versions(), **make(order, place)}
        (place / "outcome.json").write_text(json.dumps(answer))
        try:
            value = outcome.read(place, order)
            kinds.call(claimed.kind, "publish", claimed, value, place)
            ledger.commit(claimed, lambda held: kinds.call(claimed.kind, "record", held, value, place))
        except runner.Refusal as error:
            ledger.fail(claimed, error.code, error.reason, again=False)
        return claimed

    def sort(self, upload_id: str, files: list[Any]) -> Run:
        """Sort an upload: per file (in order of place) `(patient id, date)`, a code to wait for, or "junk"."""
        upload = Upload.objects.get(pk=upload_id)
        key = keys.code_key(upload.dataset)

        def make(order: dict[str, Any], place: Path) -> dict[str, Any]:
            found = sorted(path for path in Path(order["input"]).rglob("*") if path.is_file())
            rows, studies = [], []
            for n, (path, told) in enumerate(zip(found, files, strict=True), 1):
                row = {"n": n, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size, "product": None}
                study = {"study": key.code("study", upload.pk.hex, str(n)), "files": [n], "participant": None, "day": None}
                if told == "junk":
                    rows.append({**row, **said("refused", "unknown_format")})
                    continue
                if isinstance(told, str):
                    verdict = said("waiting", told)
                else:
                    code = key.code(upload.site.code, "", told[0])
                    verdict, study["participant"], study["day"] = said("kept", "ok"), code, key.day_code(code, told[1])
                rows.append({**row, **verdict})
                studies.append({**study, **verdict})
            return {"files": rows, "studies": studies}

        return self._go(Run.objects.get(pk=upload.run_id), make)

    def studies(self, make: Callable[[dict[str, Any], Path], dict[str, Any]] | None = None) -> int:
        """Answer every study that is ready with one T1w image; return how many."""
        ready = list(Run.objects.filter(kind="study", state="ready"))
        for run in ready:
            self._go(run, make or one_image)
        return len(ready)

    def really(self, kind: str) -> int:
        """Carry out every ready run of a kind with the pipeline itself; return how many."""
        from pipeline import carrier, order
        from pipeline.isolate import Pool
        from pipeline.workspace import Workspace

        ready = list(Run.objects.filter(kind=kind, state="ready"))
        for run in ready:
            claimed = ledger.claim("test:1:a", run_id=run.pk)
            assert claimed is not None
            made, place = runner.make_order(claimed), self.folder / f"{claimed.name}.{claimed.attempt}"
            place.mkdir(parents=True)
            with Pool(1) as pool:
                done = carrier.carry_out(order.parse(made), Workspace(self.folder / f"work-{claimed.attempt}-{claimed.name}", pool), place)
            for name in ("bids", "review"):
                (place / name).mkdir(exist_ok=True)
            done.write(place / "outcome.json")
            value = outcome.read(place, made)
            kinds.call(claimed.kind, "publish", claimed, value, place)
            ledger.commit(claimed, lambda held, value=value, place=place: kinds.call(held.kind, "record", held, value, place))
        return len(ready)

    def work(self) -> int:
        """Do every ready run that needs no carrier, and those that come of them, the real way; return how many."""
        done = 0
        while run := Run.objects.filter(state="ready", kind__in=["freeze", "validate", "package", "withdraw"]).first():
            assert runner.carry(str(run.pk)) == "done", Run.objects.get(pk=run.pk).reason
            done += 1
        return done


def said(verdict: str, code: str) -> dict[str, str]:
    return {"verdict": verdict, "code": code, "reason": "" if code == "ok" else "It is so.", "advice": ""}


def volume(seed: str) -> bytes:
    """A small head of noise, the same for the same seed."""
    noise = np.random.default_rng(int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16))
    image = nib.Nifti1Image(noise.integers(0, 900, (12, 12, 12)).astype(np.int16), np.diag([2.0, 2, 2, 1]))
    image.header.set_xyzt_units("mm", "sec")
    return gzip.compress(image.to_bytes(), mtime=0)


def one_image(order: dict[str, Any], place: Path, grade: str = "pass", deface: str = "defaced") -> dict[str, Any]:
    """The outcome of a study that is one T1w image, with its sidecar and a picture for the steward."""
    label, session = order["participant"]["label"], order["session"]
    stem = f"sub-{label}/ses-{session}/anat/sub-{label}_ses-{session}_T1w"
    made = {f"{stem}.nii.gz": volume(order["study"]), f"{stem}.json": json.dumps({"MagneticFieldStrength": 3}, indent=2).encode()}
    products = []
    for name, data in made.items():
        file = place / "bids" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        products.append({"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
    picture = f"{uuid.uuid4().hex}.png"
    (place / "review" / picture).write_bytes(PNG)
    image = {
        "bids": f"{stem}.nii.gz",
        "contrast": {"suffix": "T1w", "datatype": "anat", "confidence": 0.9, "words": "T1-weighted"},
        "conversion": {"verdict": "agreed"},
        "deface": {"verdict": deface, "code": "ok" if deface == "defaced" else deface, "second": {"face_box_apart_mm": 1.2}},
        "quality": {"grade": grade, "reasons": [], "metrics": {}},
        "protocol": {},
        "deid": {"profile": "myelin-2026", "masked_files": 0, "account": {}},
        "files": [row["n"] for row in order["files"]],
        "products": list(made),
        "review": [picture],
    }
    files = [{**row, "bytes": 6, "product": f"{stem}.nii.gz", **said("kept", "ok")} for row in order["files"]]
    return {"files": files, "images": [image], "products": products}


@pytest.fixture
def carried(tmp_path: Path) -> Carried:
    return Carried(tmp_path / "carrier")


@pytest.fixture(autouse=True)
def static_files(settings: Any, home: Path) -> None:
    """Static files are looked up where they lie: nothing is collected for a test."""
    settings.WHITENOISE_AUTOREFRESH = True
    settings.WHITENOISE_USE_FINDERS = True
    settings.STATIC_ROOT = str(home / "static")
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@dataclass
class House:
    """One dataset with one site and its people, and images put into the store without a pipeline."""

    world: Any
    site: Any
    dataset: Any
    contributor: User
    steward: User

    def person(self, consent: str | None = "GRU", patient_id: str | None = None) -> Any:
        person = self.world.participant(self.dataset, self.site, patient_id)
        if consent:
            self.world.consent(person, consent)
        person.refresh_from_db()
        return person

    def visit(self, person: Any, label: str = "m00", day: date = DAY) -> Any:
        return subjects.add_visit(person, label, day)

    def image(self, person: Any, visit: Any = None, state: str = "accepted", seed: str = "", **fields: Any) -> Image:
        visit = visit or person.visits.first() or self.visit(person)
        stem = f"sub-{person.label}/ses-{visit.label}/anat/sub-{person.label}_ses-{visit.label}_{fields.get('suffix', 'T1w')}"
        told = {"suffix": "T1w", "datatype": "anat", "grade": "pass", "deface_verdict": "defaced", "conversion_verdict": "agreed", **fields}
        verdict = told["deface_verdict"]
        proof = {"deid": PAPER["deid"], "quality": {"grade": told["grade"]}, "deface": {**PAPER["deface"], "verdict": verdict}}
        given = told.get("provenance", {})
        told["provenance"] = {**given, **{name: {**paper, **(given.get(name) or {})} for name, paper in proof.items()}}
        decided = {"decided_by": self.steward, "decided_at": timezone.now()} if state == "accepted" else {}
        image = Image.objects.create(visit=visit, study_id=uuid.uuid4(), run_id=uuid.uuid4(), bids_path=f"{stem}.nii.gz", state=state, **decided, **told)
        for path, data in ((f"{stem}.nii.gz", volume(seed or stem)), (f"{stem}.json", b'{"MagneticFieldStrength": 3}')):
            sha256 = hashlib.sha256(data).hexdigest()
            store.put(person, data, sha256)
            image.files.create(path=path, sha256=sha256, bytes=len(data), kind="image" if path.endswith("gz") else "sidecar")
        return image

    def release(self) -> Any:
        """The next release, put together the real way, its validator's report taken for green: other tests ask the validator."""
        release = freezing.open_release(self.dataset, "test", "")
        freezing.assemble(release, lambda: None)
        release.refresh_from_db()
        return freezing.close(release, {"errors": 0, "warnings": 0, "findings": {}})


@pytest.fixture
def house(world: Any) -> House:
    site = world.site()
    dataset = world.dataset(site, min_count=2)
    return House(world, site, dataset, world.contributor(dataset, site), world.steward(dataset))


@pytest.fixture(name="one_image")
def one_image_fixture() -> Any:
    return one_image
