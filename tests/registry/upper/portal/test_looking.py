"""Looking at images: who is shown which, the bytes that the viewer gets, the words that stand in for it, and heads with a face for their steward alone."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.audit.models import Line
from registry.imaging import store, telling
from registry.imaging.models import Image
from registry.intake import actions, quarantine
from tests.registry.browsers import shown
from tests.registry.upper.conftest import PNG

pytestmark = pytest.mark.django_db(databases="__all__")
ELEMENTS = [
    {"tag": "(0010,0010)", "keyword": "PatientName", "in": "", "done": "replaced", "n": 3, "why": "so that files of one person stay together"},
    {"tag": "(0010,0030)", "keyword": "PatientBirthDate", "in": "", "done": "removed", "n": 3, "why": "it identifies"},
]
ACCOUNT = {"profile": "myelin-2026", "version": "7", "totals": {"replaced": 1, "removed": 1}, "review": {}, "elements": ELEMENTS}
METRICS = {"snr": {"value": 21.25, "unit": "", "percentile": 40}, "cnr": {"value": None}}
QUALITY = {
    "metrics": METRICS,
    "reasons": ["The signal is weak."],
    "flags": ["limit:snr"],
    "drivers": ["snr"],
    "norm": "No norm yet.",
    "unavailable": {"efc": "no air"},
}


def person(user: Any = None) -> Client:
    client = Client(raise_request_exception=False)
    if user is not None:
        shown(client, user)
        session = client.session
        session.update({"myelin_factor": str(user.pk), "myelin_stepped_up": int(time.time())})  # as after password, code and stepping up
        session.save()
    return client


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.content.decode()[:2000]
    return " ".join(answer.content.decode().split())


def body(answer: Any) -> bytes:
    """What was streamed, to its end: there the file is closed."""
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def lines(before: int) -> list[str]:
    return list(Line.objects.filter(seq__gt=before).order_by("seq").values_list("act", flat=True))


def told(house: Any, **fields: Any) -> Image:
    image: Image = house.image(house.person(), provenance={"deid": {"account": ACCOUNT, "masked_files": 2}, "quality": QUALITY}, **fields)
    return image


def with_mask(image: Image, space: str = "") -> Image:
    """A mask drawn on an image, as an image of its own with a sidecar that says so; `space`: on a copy in that space, which is the image then."""
    participant, stem = image.visit.participant, image.bids_path.removesuffix("_T1w.nii.gz").rsplit("/", 1)[-1]
    root, folder = "derivatives/annotations/", f"sub-{participant.label}/ses-m00/anat/"
    path, moved = (f"{root}{folder}{stem}_space-{space or 'T1w'}_{what}.nii.gz" for what in ("label-lesion_mask", "T1w"))
    row = Image.objects.create(
        visit=image.visit, study_id=image.study_id, run_id=image.run_id, bids_path=moved if space else path, suffix="T1w" if space else "mask", datatype="anat",
        grade="pass", deface_verdict="no_face", conversion_verdict="", state="accepted", decided_at=image.decided_at, decided_by=image.decided_by,
    )  # fmt: skip
    source = f"bids::{moved.removeprefix(root)}" if space else f"bids:raw:{image.bids_path}"
    files = [(path, "annotation", b"voxels"), (path.replace("nii.gz", "json"), "sidecar", json.dumps({"Sources": [source]}).encode())]
    for name, kind, data in [*files, *([(moved, "annotation", b"moved")] if space else [])]:
        sha256 = hashlib.sha256(data).hexdigest()
        store.put(participant, data, sha256)
        row.files.create(path=name, kind=kind, sha256=sha256, bytes=len(data))
    return row


def test_the_list_shows_what_one_may_see_and_filters_it(house: Any) -> None:
    first, second = house.image(house.person(), state="proposed", grade="fail"), house.image(house.person(), suffix="FLAIR")
    labels = [image.visit.participant.label for image in (first, second)]
    for asker in (house.contributor, house.steward):
        page = text(person(asker).get("/images"))
        assert all(label in page for label in labels)
    assert "There is no image that you may see yet" in text(person(house.world.user("stranger")).get("/images"))
    for query, place in (("grade=fail", 0), ("contrast=FLAIR", 1), ("state=accepted", 1), (f"dataset={house.dataset.slug}&state=proposed", 0)):
        page = text(person(house.steward).get(f"/images?{query}"))
        assert labels[place] in page and labels[1 - place] not in page, query
    assert "No image is like that" in text(person(house.steward).get("/images?contrast=bold"))
    assert person().get("/images").status_code == 401


def test_the_list_comes_in_pages_and_costs_the_same_however_many_there_are(house: Any) -> None:
    people = [house.person() for _ in range(3)]
    made = [house.image(people[n % 3], suffix=f"T{n}w", state="proposed") for n in range(3)]
    client = person(house.steward)
    client.get("/images")
    with CaptureQueriesContext(connection) as few:
        client.get("/images")
    made += [house.image(people[n % 3], suffix=f"T{n}w", state="proposed") for n in range(3, 30)]
    with CaptureQueriesContext(connection) as many:
        page = text(client.get("/images"))
    assert len(many) == len(few)
    assert sum(f"/images/{image.pk}" in page for image in made) == 25
    more = page.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    older = text(client.get(f"/images{more}"))
    assert sum(f"/images/{image.pk}" in older for image in made) == 5 and "These are all." in older


def test_one_image_is_told_in_words(house: Any) -> None:
    image = told(house)
    page = text(person(house.contributor).get(f"/images/{image.pk}"))
    for words in (
        "12 by 12 by 12 voxels of 2.0 by 2.0 by 2.0 mm", "The face was removed", "The signal is weak.", "limit:snr", "21.25", "no air", "Patient Name",
        "1 element removed", "covered in 2 files", "myelin-2026 7", image.files.first().sha256, str(image.run_id), "PatientName is replaced by the participant",
    ):  # fmt: skip
        assert words in page, words


def test_a_mask_is_offered_over_the_image_it_was_drawn_on(house: Any) -> None:
    image = told(house)
    mask = with_mask(image)
    page = text(person(house.steward).get(f"/images/{image.pk}"))
    assert reverse("portal:volume", args=[mask.pk, mask.files.get(kind="annotation").pk]) in page and "lesion · T1w" in page
    assert "drawn on another image" not in page
    own = text(person(house.steward).get(f"/images/{mask.pk}"))  # the page of a mask shows the image below it
    assert reverse("portal:volume", args=[image.pk, image.files.get(kind="image").pk]) in own


def test_a_normalised_image_is_shown_itself_with_the_masks_of_its_own_space(house: Any) -> None:
    """It lies under derivatives as its mask does, and its mask says `bids::`; the native head's mask lies in another world, and is not laid over it."""
    native = told(house)
    drawn = with_mask(native)
    image = with_mask(native, space="MNI152NLin2009cAsym")
    page = text(person(house.steward).get(f"/images/{image.pk}"))
    volume, mask = image.files.get(path=image.bids_path), image.files.get(path__endswith="_mask.nii.gz")
    assert reverse("portal:volume", args=[image.pk, volume.pk]) in page and reverse("portal:volume", args=[image.pk, mask.pk]) in page
    assert "lesion · MNI152NLin2009cAsym" in page and "lesion · T1w" not in page
    layers = telling.layers(house.steward, image)
    assert layers.base == volume and [(one.file, one.drawn_here) for one in layers.masks] == [(mask, True)]
    own = telling.layers(house.steward, native)
    assert own.base == native.files.get(kind="image") and [one.file.image_id for one in own.masks] == [drawn.pk]


def test_who_may_not_see_an_image_is_told_of_nothing_and_that_leaves_a_line(house: Any) -> None:
    image = told(house)
    file, stranger = image.files.get(kind="image"), house.world.user("stranger")
    for address in (f"/images/{image.pk}", f"/images/{image.pk}/volumes/{file.pk}", f"/images/{image.pk}/faces"):
        before = Line.objects.count()
        assert person(stranger).get(address).status_code == 404
        assert lines(before) == ["http.get"] and Line.objects.latest("seq").detail["denied"] == "http_404"
        assert Line.objects.latest("seq").dataset == str(house.dataset.pk)


def test_a_researcher_sees_what_was_granted_and_nobodys_name(house: Any) -> None:
    image, proposed = told(house), told(house, state="proposed")
    right = house.world.entitled(house.dataset, house.steward)
    client = person(right.user)
    page = text(client.get(f"/images/{image.pk}"))
    assert house.steward.email not in page and "The log" not in page and "Decide" not in page
    assert client.get(f"/images/{proposed.pk}").status_code == 404
    assert text(client.get("/images")).count("/images/") == 1
    assert body(client.get(f"/images/{image.pk}/volumes/{image.files.get(kind='image').pk}"))


def test_the_volume_is_given_as_it_lies_in_the_store_and_each_time_is_one_line(house: Any) -> None:
    image = told(house)
    file = image.files.get(kind="image")
    before = Line.objects.count()
    answer = person(house.contributor).get(f"/images/{image.pk}/volumes/{file.pk}")
    assert body(answer) == store.path(image.visit.participant, file.sha256).read_bytes()
    assert lines(before) == ["image.view"]
    assert "no-store" in answer["Cache-Control"] and answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
    sidecar = image.files.get(kind="sidecar")
    assert person(house.contributor).get(f"/images/{image.pk}/volumes/{sidecar.pk}").status_code == 404
    other = told(house)
    assert person(house.contributor).get(f"/images/{other.pk}/volumes/{file.pk}").status_code == 404
    store.path(image.visit.participant, file.sha256).unlink()
    assert person(house.contributor).get(f"/images/{image.pk}/volumes/{file.pk}").status_code == 409


def test_the_page_of_an_image_is_one_line_and_its_policy_lets_only_the_viewer_do_more(house: Any) -> None:
    image = told(house)
    before = Line.objects.count()
    policy = person(house.steward).get(f"/images/{image.pk}")["Content-Security-Policy"]
    assert lines(before) == ["http.get"]
    assert "img-src 'self' data: blob:" in policy and "script-src 'self';" in policy and "unsafe" not in policy
    assert "blob:" not in person(house.steward).get("/images")["Content-Security-Policy"]


def test_heads_with_a_face_are_for_the_steward_and_each_look_is_one_line(house: Any, tmp_path: Path) -> None:
    image = told(house, state="proposed")
    Image.objects.filter(pk=image.pk).update(review=2, provenance={**image.provenance, "pictures": ["after", "before"]})
    (tmp_path / "p.png").write_bytes(PNG)
    quarantine.keep_review(image.study_id, [(f"{image.pk.hex}-{n}.png", tmp_path / "p.png") for n in (0, 1)])
    page = text(person(house.steward).get(f"/images/{image.pk}/faces"))
    assert f"/images/{image.pk}/faces/1.png" in page and f"/images/{image.pk}/faces/0.png" in page
    before = Line.objects.count()
    answer = person(house.steward).get(f"/images/{image.pk}/faces/1.png")
    assert answer.content == PNG and "no-store" in answer["Cache-Control"]
    assert lines(before) == ["image.look"]
    for address in (f"/images/{image.pk}/faces", f"/images/{image.pk}/faces/1.png"):
        before = Line.objects.count()
        assert person(house.contributor).get(address).status_code == 403
        assert Line.objects.filter(seq__gt=before).get().detail["denied"] == "no_role"
    assert f"/images/{image.pk}/faces" not in text(person(house.contributor).get(f"/images/{image.pk}"))
    quarantine.wipe_review(image.study_id)
    assert person(house.steward).get(f"/images/{image.pk}/faces/1.png").status_code == 410


def test_the_history_tells_decisions_to_those_who_work_there(house: Any) -> None:
    image = told(house, state="proposed")
    actions.return_image(house.steward, image, "Which follow-up is this?")
    page = text(person(house.contributor).get(f"/images/{image.pk}"))
    assert "Which follow-up is this?" in page and "Answer the steward" in page and "sent back to its site" in page
    assert "Answer the steward" not in text(person(house.steward).get(f"/images/{image.pk}"))
    assert "image.returned" in text(person(house.steward).get(f"/images/{image.pk}"))
