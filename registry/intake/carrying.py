"""What the ledger's runner asks of intake: orders for the carrier, and its outcomes turned into rows.

The outcome is untrusted: the ledger has checked its schema, hashes and paths; here it is held against our own rows (each file that arrived must be
accounted for, a product must belong to the participant of the order). `publish_study` brings bytes into the store before the fenced commit names them.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from bidstree.names import ENTITIES
from qa import norms
from registry.accounts import keys
from registry.audit import actions as audit
from registry.imaging import queries, store
from registry.imaging.models import LIVING, Decision, Image, StoredFile
from registry.intake import correcting, matching, quarantine, sending
from registry.intake.models import Study, Upload, UploadFile
from registry.rules import Conflict, Denied, Invalid
from registry.runs import mail
from registry.runs.models import Run
from registry.subjects.models import Participant, Visit

SYSTEM = "system:worker"
BATCH = 400
TAKEN_BACK = "recalled: wrong_person"  # what `registry.releases.ending` writes of an image that was bound wrongly
Json = Mapping[str, Any]


def _upload(run: Run) -> Upload:
    return Upload.objects.select_for_update(of=("self",)).select_related("dataset", "site").get(pk=run.subject_id)


def _study(run: Run) -> Study:
    related = ("upload__dataset", "upload__site", "participant__dataset", "visit__participant__dataset")
    return Study.objects.select_related(*related).get(pk=run.subject_id)


def _order(upload: Upload) -> dict[str, Any]:
    return {
        "schema": 1,
        "input": str(quarantine.folder(upload.pk)),
        "site": upload.site.code,
        "keys": keys.paths(upload.dataset),
        "profile": "myelin-2026",
        "device": settings.MYELIN_DEVICE,
        "jobs": settings.MYELIN_JOBS,
    }


# --- sort ------------------------------------------------------------------------------------------------------------------------------------------


def order_sort(run: Run) -> dict[str, Any]:
    """The order to sort an upload. Raises Conflict when its bytes are gone."""
    upload = Upload.objects.select_related("dataset", "site").get(pk=run.subject_id)
    if upload.wiped_at or upload.state not in (Upload.State.RECEIVED, Upload.State.SORTING):
        raise Conflict("upload_gone", "This upload is no longer there to be sorted.")
    Upload.objects.filter(pk=upload.pk, state=Upload.State.RECEIVED).update(state=Upload.State.SORTING)
    return {**_order(upload), "kind": "sort"}


def record_sort(run: Run, outcome: Json, folder: Path) -> dict[str, Any]:
    """Write down what an upload holds, study by study, and let each study go on or wait. Runs inside the ledger's fenced transaction."""
    upload = _upload(run)
    if outcome["status"] != "done":
        raise Invalid(str(outcome.get("code", "failed")), str(outcome.get("reason", "")), str(outcome.get("advice", "")))
    rows, changed = _match(upload, outcome["files"])
    if changed and (again := sending.send_again(upload, [row.piece_id for row in changed if row.piece_id], "digest_mismatch")):
        audit.write(SYSTEM, "upload.again", f"upload:{upload.pk}", dataset=upload.dataset, pieces=again)
        return {"again": again}
    _number(upload, outcome["files"], rows, changed)
    upload.state = Upload.State.SORTED
    upload.save(update_fields=["state"])
    for found in outcome["studies"]:
        _open_study(upload, found, rows)
    matching.settle(upload)
    if upload.contributor is not None and upload.studies.filter(state=Study.State.WAITING).exists():
        mail.queue(upload.contributor, "upload_waits", f"/uploads/{upload.pk}")
    counts = {state: upload.studies.filter(state=state).count() for state in ("waiting", "ready", "refused")}
    audit.write(SYSTEM, "upload.sorted", f"upload:{upload.pk}", dataset=upload.dataset, files=len(outcome["files"]), **counts)
    return counts


def _match(upload: Upload, files: Iterable[Json]) -> tuple[dict[int, UploadFile], list[UploadFile]]:
    """Each received file with the carrier's number, by hash in path order; and those of which the carrier saw other bytes than their sender said."""
    queues: dict[str, deque[int]] = defaultdict(deque)
    for told in sorted(files, key=lambda told: int(told["n"])):
        queues[told["sha256"]].append(told["n"])
    rows: dict[int, UploadFile] = {}
    changed = []
    for row in upload.files.exclude(number=None).order_by("place"):
        if queue := queues[row.sha256]:
            row.n = queue.popleft()
            rows[row.n] = row
        else:
            changed.append(row)
    return rows, changed


def _number(upload: Upload, files: Iterable[Json], rows: dict[int, UploadFile], changed: Iterable[UploadFile]) -> None:
    """Write the carrier's numbers and verdicts; members of archives get rows of their own, in `rows` too. Nothing may be left over."""
    told = {row["n"]: row for row in files}
    UploadFile.objects.bulk_update(rows.values(), ["n"], batch_size=BATCH)
    members = {n: UploadFile(upload=upload, n=n, sha256=told[n]["sha256"], bytes=told[n]["bytes"]) for n in told if n not in rows}
    UploadFile.objects.bulk_create(members.values(), batch_size=BATCH)
    rows |= members
    lost = {"verdict": "failed", "code": "changed", "reason": "Its bytes are not those that arrived.", "advice": "Hand the upload in again."}
    UploadFile.objects.filter(pk__in=[row.pk for row in changed]).update(**lost)
    _say(rows, told.values())


def _say(rows: Mapping[int, UploadFile], verdicts: Iterable[Json], kept: str = "kept") -> None:
    """Write verdicts to rows, one statement per distinct verdict."""
    groups: dict[tuple[str, str, str, str, str], list[Any]] = defaultdict(list)
    for said in verdicts:
        word = kept if said["verdict"] == "kept" else said["verdict"]
        if said["n"] in rows:
            groups[(word, said["code"], said["reason"], said["advice"], said["product"] or "")].append(rows[said["n"]].pk)
    for (verdict, code, reason, advice, product), keys_ in groups.items():
        for start in range(0, len(keys_), BATCH):
            chosen = UploadFile.objects.filter(pk__in=keys_[start : start + BATCH])
            chosen.update(verdict=verdict, code=code, reason=reason, advice=advice, product=product)


def _open_study(upload: Upload, found: Json, rows: Mapping[int, UploadFile]) -> None:
    study = Study.objects.create(
        upload=upload, study_code=found["study"], participant_code=found["participant"] or "", day_code=found["day"] or "", state=Study.State.WAITING
    )
    mine = [rows[n].pk for n in found["files"] if n in rows]
    for start in range(0, len(mine), BATCH):
        UploadFile.objects.filter(pk__in=mine[start : start + BATCH]).update(study=study)
    study.files.filter(verdict="kept").update(verdict="pending", code="", reason="", advice="")
    if found["verdict"] == "waiting":
        matching.wait(study, found["code"], found["reason"], found["advice"])
    else:
        matching.go_on(study)


def sort_died(run: Run) -> None:
    """The upload could not be sorted: say so; its files failed, and it can be handed in again."""
    upload = _upload(run)
    upload.state, upload.code, upload.reason = Upload.State.FAILED, run.code, run.reason
    upload.save(update_fields=["state", "code", "reason"])
    upload.files.filter(verdict="pending").update(verdict="failed", code=run.code or "failed", reason=run.reason, advice="Hand the upload in again.")
    audit.write(SYSTEM, "upload.failed", f"upload:{upload.pk}", dataset=upload.dataset, code=run.code)


# --- study -----------------------------------------------------------------------------------------------------------------------------------------


def order_study(run: Run) -> dict[str, Any]:
    """The order for one study. Consent is asked again: without one there is no order, and the study waits (see `study_died`). Raises Denied, Conflict."""
    study = _study(run)
    if study.wiped_at or study.upload.wiped_at or study.state not in (Study.State.READY, Study.State.PROCESSING):
        raise Conflict("study_gone", "This study is no longer there to be processed.")
    assert study.participant is not None and study.visit is not None  # the database holds it for these states
    _may_go_on(study.participant)
    Study.objects.filter(pk=study.pk, state=Study.State.READY).update(state=Study.State.PROCESSING)
    files = list(study.files.exclude(n=None).exclude(sha256="").order_by("n"))
    corrections = correcting.remembered(study.upload.dataset, study.upload.site)
    return {
        **_order(study.upload),
        "kind": "study",
        "study": study.study_code,
        "participant": {"code": study.participant.code, "label": study.participant.label},
        "session": study.visit.label,
        "files": [{"n": row.n, "sha256": row.sha256} | _said(row, files) for row in files],
        **({"corrections": corrections} if corrections else {}),
        **({"protocol": agreed} if (agreed := _agreed(study.participant)) else {}),
        **({"faces": study.participant.dataset.faces} if study.participant.dataset.faces else {}),
    }


def _agreed(participant: Participant) -> dict[str, Any]:
    """What the order says of protocols: the dataset's own profile, its criteria of inclusion, and what this person's visits were for."""
    dataset = participant.dataset
    purposes = dict(Visit.objects.filter(participant=participant).exclude(purpose="").values_list("label", "purpose"))
    told = {"profile": dataset.protocol, "inclusion": dataset.inclusion, "purposes": purposes}
    return {name: value for name, value in told.items() if value}


def _said(row: UploadFile, files: Iterable[UploadFile]) -> dict[str, Any]:
    """What the sender said of one file, in the carrier's terms: its numbers, and the label of a visit as the session's."""
    told = {name: value for name, value in row.said.items() if name not in ("visit", "beside")}
    if row.annotation:
        told["annotation"] = row.annotation
    if "visit" in row.said:
        told["session"] = row.said["visit"]
    beside = next((other.n for other in files if other.number is not None and other.number == row.said.get("beside")), None)
    return told | ({"beside": beside} if beside else {})


def _may_go_on(participant: Participant) -> None:
    if Participant.objects.get(pk=participant.pk).state != "active":
        raise Denied("participant_withdrawn", "This participant has left the registry.")
    if not matching.consents(participant).permitted:
        raise Denied("no_consent", "No consent that holds is on record for this participant.")


def _image_ids(study: Study, images: Iterable[Json]) -> list[uuid.UUID]:
    """The same image of the same study has the same id, in every attempt; images without a name are told apart by their order.

    One that was taken back as another person's, and comes to its place again, is another image: the old one stays in the history.
    """
    seen: Counter[str] = Counter()
    ids = []
    for image in images:
        name = f"{image['bids']}|{min(image['files'], default=0)}"
        seen[name] += 1
        id_ = uuid.uuid5(study.pk, name if seen[name] == 1 else f"{name}|{seen[name]}")
        while Decision.objects.filter(image_id=id_, verdict="withdrawn", reason=TAKEN_BACK).exists():
            id_ = uuid.uuid5(id_, "again")
        ids.append(id_)
    return ids


def publish_study(run: Run, outcome: Json, folder: Path) -> None:
    """Bring the products into the participant's part of the store, and the renderings into the review zone. Raises Denied when consent has ended."""
    study = _study(run)
    assert study.participant is not None
    if outcome["status"] != "done":
        return
    _may_go_on(study.participant)
    for product in outcome["products"]:
        if _personal(product["path"], study.participant.label):
            store.put(study.participant, folder / "bids" / product["path"], product["sha256"])
    ids = _image_ids(study, outcome["images"])
    pictures = [
        (f"{id_.hex}-{k}.png", folder / "review" / name) for id_, image in zip(ids, outcome["images"], strict=True) for k, name in enumerate(image["review"])
    ]
    if pictures:
        quarantine.keep_review(study.pk, pictures)
        try:  # who left while they were brought in: nobody would look for them there any more
            _may_go_on(Participant.objects.get(pk=study.participant_id))
        except Denied:
            quarantine.wipe_review(study.pk)
            raise


def _personal(path: str, label: str) -> bool:
    """Whether a product is this participant's own. Files of the whole dataset are made at release. Raises Invalid for another person's."""
    parts = Path(path).parts
    people = [part for part in parts if part.startswith("sub-")]
    if any(part != f"sub-{label}" and not part.startswith(f"sub-{label}_") for part in people):
        raise Invalid("product_of_another", "The pipeline answered with a file of another participant.")
    return bool(people)


def record_study(run: Run, outcome: Json, folder: Path) -> dict[str, Any]:
    """Write down the images of one study and the verdict of its files. Runs inside the ledger's fenced transaction. Raises Denied, Invalid."""
    study = _study(run)
    Study.objects.select_for_update().get(pk=study.pk)
    assert study.participant is not None and study.visit is not None
    if outcome["status"] != "done":
        raise Invalid(str(outcome.get("code", "failed")), str(outcome.get("reason", "")), str(outcome.get("advice", "")))
    _may_go_on(Participant.objects.select_for_update().get(pk=study.participant_id))
    rows = {row.n: row for row in study.files.exclude(n=None)}
    _say({n: row for n, row in rows.items() if n is not None}, outcome["files"])
    products = {product["path"]: product for product in outcome["products"]}
    ids = _image_ids(study, outcome["images"])
    renamed: dict[str, str] = {}
    usual = queries.usual()
    images = [{**image, "quality": norms.against(image["quality"], usual)} for image in outcome["images"]]
    made = [_record_image(run, study, id_, image, products, outcome["versions"], renamed) for id_, image in zip(ids, images, strict=True)]
    _call_by_new_names(study.participant, [row for row in made if row is not None], renamed)
    study.state, study.code, study.reason, study.advice = Study.State.RECORDED, "ok", "", ""
    study.save()
    for image in correcting.overtaken(study, run.created_at):
        audit.write(SYSTEM, "image.refuse", f"image:{image.pk}", dataset=study.upload.dataset, code="overtaken")
    matching.settle(study.upload)
    detail = {"images": sum(image is not None for image in made), "participant": str(study.participant_id)}
    audit.write(SYSTEM, "study.recorded", f"study:{study.pk}", dataset=study.upload.dataset, **detail)
    return detail


def _record_image(run: Run, study: Study, id_: uuid.UUID, image: Json, products: Mapping[str, Json], versions: Json, renamed: dict[str, str]) -> Image | None:
    """One image row with its files; None when the very same image of this visit is there already. `renamed`: gets old path -> new path of what was."""
    assert study.visit is not None and study.participant is not None
    files = [products[path] for path in image["products"] if path in products and _personal(path, study.participant.label)]
    visit = _visit_of(study, image["bids"])
    if files and _known(visit, files):
        return None
    withheld = _withheld(image, files)
    if before := Image.objects.filter(pk=id_).first():  # the study was done again
        if withheld or before.state != Image.State.REFUSED or before.decided_by_id:  # what a steward refused stays refused
            return None
        id_ = uuid.uuid5(id_, str(run.pk))
    run_number = _free_run(visit, image["bids"]) if image["bids"] else None
    renamed |= {file["path"]: _renumber(file["path"], run_number) for file in files if run_number is not None}
    row = Image.objects.create(
        id=id_,
        visit=visit,
        study_id=study.pk,
        run_id=run.pk,
        bids_path=_renumber(image["bids"], run_number) if image["bids"] else "",
        suffix=str(image["contrast"].get("suffix") or ""),
        datatype=str(image["contrast"].get("datatype") or ""),
        entities=image["contrast"].get("entities") or {},
        grade=image["quality"]["grade"],
        deface_verdict=image["deface"]["verdict"],
        conversion_verdict=str(image["conversion"].get("verdict") or ""),
        provenance=_provenance(image, versions),
        review=len(image["review"]),
        state=Image.State.REFUSED if withheld else Image.State.PROPOSED,
        reason=withheld,
    )
    StoredFile.objects.bulk_create(
        StoredFile(image=row, path=_renumber(file["path"], run_number), sha256=file["sha256"], bytes=file["bytes"], kind=_kind(file["path"])) for file in files
    )
    return row


def _visit_of(study: Study, path: str | None) -> Visit:
    """The visit whose label stands in a path: files of one study handed in as NIfTI may be of several. Raises Invalid for one that is not this person's."""
    assert study.visit is not None
    session = next((part.removeprefix("ses-") for part in Path(path or "").parts if part.startswith("ses-")), study.visit.label)
    if session == study.visit.label:
        return study.visit
    visit = Visit.objects.filter(participant=study.participant, label=session).first()
    if visit is None:
        raise Invalid("visit_unknown", "The pipeline answered with a visit that this participant does not have.")
    return visit


def _call_by_new_names(participant: Participant, images: Iterable[Image], renamed: Mapping[str, str]) -> None:
    """Sidecars that name a file which got another number name it by its new path: a mask its image, a field map the images that it serves."""
    if not renamed:
        return
    local = "derivatives/annotations/"
    names = {
        f"{head}{old.removeprefix(cut)}": f"{head}{new.removeprefix(cut)}"
        for old, new in renamed.items()
        for head, cut in (("bids:raw:", ""), ("bids::", local))
    }
    for file in StoredFile.objects.filter(image__in=[image.pk for image in images], kind="sidecar"):
        text = store.path(participant, file.sha256).read_text(encoding="utf-8")
        fresh = re.sub(r"bids:(raw)?:[A-Za-z0-9_./+-]+", lambda found: names.get(found[0], found[0]), text)
        if fresh != text:
            data = fresh.encode()
            file.sha256, file.bytes = hashlib.sha256(data).hexdigest(), len(data)
            store.put(participant, data, file.sha256)
            file.save(update_fields=["sha256", "bytes"])


def _withheld(image: Json, files: list[Json]) -> str:
    """Why the pipeline gave nothing of an image out; empty when it did. An image without a volume is withheld, whatever else is said of it."""
    if image["bids"] and image["deface"]["verdict"] != "withheld" and any(file["path"] == image["bids"] for file in files):
        return ""
    told = image["deid"].get("withheld") or image["deface"]
    return str(told.get("reason") or "Withheld by the pipeline.")[:1000]


def _provenance(image: Json, versions: Json) -> dict[str, Any]:
    told = {key: image[key] for key in ("contrast", "conversion", "deface", "quality", "protocol", "deid")}
    pictures = [Path(name).stem.rsplit("_", 1)[-1] for name in image["review"]]  # before, after, quality: which of them is which
    return {**told, "source_files": list(image["files"]), "versions": dict(versions), "pictures": pictures}


def _known(visit: Visit, files: list[Json]) -> bool:
    """Whether a living image of this visit has exactly these volumes already (the same study handed in twice)."""
    volumes = {file["sha256"] for file in files if file["path"].endswith(".nii.gz")}
    held = StoredFile.objects.filter(image__visit=visit, image__state__in=LIVING, sha256__in=volumes)
    return bool(volumes) and set(held.values_list("sha256", flat=True)) == volumes


def _free_run(visit: Visit, path: str) -> int | None:
    """The run number an image must take because another of this visit has its name; None when the name is free."""
    taken = set(Image.objects.filter(visit=visit, state__in=LIVING).values_list("bids_path", flat=True))
    if path not in taken:
        return None
    return next(number for number in range(2, 1000) if _renumber(path, number) not in taken)


def _renumber(path: str, number: int | None) -> str:
    """The BIDS path with `run-NUMBER` at its place in the name; unchanged for None."""
    if number is None:
        return path
    head, _, name = path.rpartition("/")
    *pairs, suffix = name.split("_")
    values = dict(pair.split("-", 1) for pair in pairs) | {"run": str(number)}
    stem = "_".join(f"{key}-{values[key]}" for key in ENTITIES if key in values)
    return f"{head}/{stem}_{suffix}" if head else f"{stem}_{suffix}"


def _kind(path: str) -> str:
    if path.endswith((".nii.gz", ".nii")):
        return "annotation" if path.startswith("derivatives/") else "image"
    return {".json": "sidecar", ".bval": "gradients", ".bvec": "gradients", ".tsv": "table"}.get(Path(path).suffix, "other")


def study_died(run: Run) -> None:
    """No outcome for this study: it waits again (for consent, or for a person to look), or ends because the person has left."""
    study = _study(run)
    code = run.code if run.code in matching.WAITS else "processing_failed"
    if code == "participant_withdrawn":
        matching.left(study)
    elif study.state != Study.State.REFUSED:
        matching.wait(study, code)
    matching.settle(study.upload)
    audit.write(SYSTEM, "study.failed", f"study:{study.pk}", dataset=study.upload.dataset, code=run.code)
