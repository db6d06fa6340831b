"""What a contributor says of a file or of a protocol is checked against closed lists, reaches the pipeline's order, and is remembered for their site."""

from __future__ import annotations

import gzip
import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline import order as orders
from registry.audit.models import Line
from registry.imaging.models import Image, StoredFile
from registry.intake import actions
from registry.intake.models import Correction, Study, Upload
from registry.releases import whole
from registry.rules import Denied, Invalid
from registry.runs.models import Run

pytestmark = pytest.mark.django_db(databases="__all__")
DAY = date(2021, 3, 4)
PROTOCOL = "0123456789abcdef" * 2
ASL = {"datatype": "perf", "suffix": "asl", "fields": {"PostLabelingDelay": 1.8}, "context": ["control", "label"]}


@pytest.fixture
def hand_in(house: Any, carried: Any, door: Any) -> Any:
    """One upload of one file for each thing said, of a person whose visits are m00 and m12."""

    def do(*said: dict[str, Any], patient_id: str = "A-1") -> Upload:
        site = door(house.contributor)
        upload = site.post("/uploads", {"dataset": house.dataset.slug, "site": house.site.code}, 201)["id"]
        for n, one in enumerate(said, 1):
            site.put_file(upload, n, f"{upload} {n}".encode(), folder="1", said=one)
        rows = Upload.objects.get(pk=upload).files
        site.post(f"/uploads/{upload}/complete", {"count": len(said), "bytes": sum(rows.values_list("bytes", flat=True))}, 202)
        carried.sort(upload, [(patient_id, DAY)] * len(said))
        return Upload.objects.get(pk=upload)

    return do


@pytest.fixture
def person(house: Any) -> Any:
    found = house.person(patient_id="A-1")
    house.visit(found, day=DAY)
    house.visit(found, "m12", date(2022, 3, 4))
    return found


def ordered(study: Study) -> orders.Order:
    """The order that the newest run of a study would get."""
    made = actions.order_study(Run.objects.filter(subject_id=study.pk, kind="study").latest("created_at"))
    return orders.parse({**made, "run": "r", "attempt": 1})


def test_words_of_the_lists_reach_the_order_in_the_carrier_s_numbers(house: Any, person: Any, hand_in: Any, door: Any) -> None:
    lists = door(house.contributor).get("/annotations")
    assert {"lesion"} <= set(lists["words"]) and {"FLAIR", "MTon"} <= set(lists["contrasts"]) and "CSPINE" in lists["bodies"] and "new" in lists["meanings"]
    said = {"contrast": "FLAIR", "body": "CSPINE", "visit": "m12", "rater": "r1", "labels": "lesion:1,new:2", "beside": 1, "annotation": "lesion"}
    study = hand_in(said).studies.get()
    made = ordered(study)
    assert made.said[1] == {"contrast": "FLAIR", "body": "CSPINE", "session": "m12", "rater": "r1", "labels": {"lesion": 1, "new": 2}, "beside": 1} | {
        "annotation": "lesion"
    }


@pytest.mark.parametrize("name", ["contrast", "body", "processed", "visit", "rater", "labels", "beside", "resample", "annotation"])
def test_any_other_word_could_be_a_name_and_is_refused(name: str, house: Any, door: Any) -> None:
    site = door(house.contributor)
    upload = site.post("/uploads", {"dataset": house.dataset.slug, "site": house.site.code}, 201)["id"]
    told = site.put_file(upload, 1, b"x", said={name: "Hansen, Ole"}, status=400)
    assert told["code"] in ("unknown_word", "unknown_annotation") and "Hansen" not in json.dumps(told)
    assert not Upload.objects.get(pk=upload).files.exists()


def test_a_visit_is_an_ordinal_or_a_label_that_the_site_has_or_it_is_not_kept(house: Any, world: Any, person: Any, door: Any) -> None:
    site = door(house.contributor)
    upload = site.post("/uploads", {"dataset": house.dataset.slug, "site": house.site.code}, 201)["id"]
    told = site.put_file(upload, 1, b"x", said={"visit": "hansen"}, status=400)
    assert told["code"] == "unknown_word" and "hansen" not in json.dumps(told) and not Upload.objects.get(pk=upload).files.exists()
    lund = world.site("lund", "SE")
    house.dataset.sites.add(lund)
    elsewhere = door(world.contributor(house.dataset, lund))
    house.visit(person, "week4mri", date(2021, 5, 4))
    other = elsewhere.post("/uploads", {"dataset": house.dataset.slug, "site": "lund"}, 201)["id"]
    elsewhere.put_file(other, 1, b"x", said={"visit": "week4mri"}, status=400)
    site.put_file(upload, 1, b"x", said={"visit": "week4mri"})
    site.put_file(upload, 2, b"x", said={"visit": "m36"})
    assert [row.said for row in Upload.objects.get(pk=upload).files.order_by("number")] == [{"visit": "week4mri"}, {"visit": "m36"}]


def test_a_visit_that_the_person_does_not_have_is_waited_for(house: Any, person: Any, hand_in: Any) -> None:
    study = hand_in({"visit": "m24"}).studies.get()
    assert (study.state, study.code) == ("waiting", "unknown_visit")
    actions.add_visits(house.contributor, [(person, "m24", date(2023, 3, 4))])
    study.refresh_from_db()
    assert study.state == "ready"


def answered(one_image: Any, **contrast: Any) -> Any:
    def make(order: dict[str, Any], place: Path) -> dict[str, Any]:
        value = one_image(order, place)
        value["images"][0]["contrast"] |= {"protocol": PROTOCOL, **contrast}
        return dict(value)

    return make


def test_a_correction_is_remembered_for_the_site_and_the_next_upload_uses_it(
    house: Any, person: Any, hand_in: Any, carried: Any, door: Any, one_image: Any
) -> None:
    study = hand_in({}).studies.get()
    carried.studies(answered(one_image))
    image = Image.objects.get(state="proposed")
    kept = door(house.contributor).post(f"/images/{image.pk}/contrast", {"datatype": "anat", "suffix": "T2w"}, 200)
    assert kept["protocol"] == PROTOCOL and kept["correction"]["suffix"] == "T2w"
    image.refresh_from_db()
    study.refresh_from_db()
    assert (image.state, study.state) == ("refused", "ready") and Line.objects.filter(act="contrast.correct").exists()
    assert ordered(study).corrections[PROTOCOL]["suffix"] == "T2w"

    def renamed(order: dict[str, Any], place: Path) -> dict[str, Any]:
        value = json.loads(json.dumps(answered(one_image)(order, place)).replace("T1w", "T2w"))
        for path in sorted((place / "bids").rglob("*T1w*")):
            path.rename(path.with_name(path.name.replace("T1w", "T2w")))
        return dict(value)

    assert carried.studies(renamed) == 1
    assert Image.objects.get(state="proposed").suffix == "T2w"
    house.visit(house.person(patient_id="B-2"), day=DAY)
    later = hand_in({"contrast": "FLAIR"}, patient_id="B-2").studies.get()
    assert ordered(later).corrections[PROTOCOL]["datatype"] == "anat"
    assert [row["protocol"] for row in door(house.steward).get(f"/corrections?dataset={house.dataset.slug}")["results"]] == [PROTOCOL]
    assert door(house.world.user()).get("/corrections")["results"] == []


def test_a_study_done_again_gives_no_image_twice(house: Any, person: Any, hand_in: Any, carried: Any, one_image: Any) -> None:
    hand_in({})
    carried.studies(answered(one_image))
    image = Image.objects.get()
    actions.correct(house.contributor, image, {"code": "derived_map"})

    def withheld(order: dict[str, Any], place: Path) -> dict[str, Any]:
        return {
            "files": [{**row, "bytes": 6, "product": None, "verdict": "refused", "code": "derived_map", "reason": "", "advice": ""} for row in order["files"]]
        }

    carried.studies(withheld)
    assert Image.objects.get().state == "refused" and Correction.objects.get().correction["code"] == "derived_map"


def test_what_a_steward_refused_is_not_proposed_again_by_a_correction(house: Any, person: Any, hand_in: Any, carried: Any, one_image: Any) -> None:
    hand_in({})
    carried.studies(answered(one_image))
    image = actions.refuse_image(house.steward, Image.objects.get(), "Motion.")
    actions.correct(house.contributor, image, {"datatype": "anat", "suffix": "T1w", "entities": {"acq": "fast"}})
    assert carried.studies(answered(one_image)) == 1
    assert [(one.pk, one.state) for one in Image.objects.all()] == [(image.pk, "refused")]


def test_a_correction_refuses_every_waiting_image_of_its_protocol_and_no_other(house: Any, person: Any, hand_in: Any, carried: Any, one_image: Any) -> None:
    studies = [hand_in({}).studies.get()]
    carried.studies(answered(one_image))
    first = Image.objects.get(state="proposed")
    later, told = person.visits.get(label="m12"), {"contrast": {"protocol": PROTOCOL}}
    studies += [hand_in({}).studies.get()]
    carried.studies(answered(one_image))
    second = house.image(person, state="proposed", suffix="T2w", provenance=told)
    third = house.image(person, later, state="proposed", provenance=told)
    for image, study in zip((second, third), studies, strict=True):
        Image.objects.filter(pk=image.pk).update(study_id=study.pk)
    other = house.image(person, state="proposed", suffix="PDw", provenance={"contrast": {"protocol": "f" * 32}})
    taken = house.image(person, later, suffix="FLAIR", provenance=told)
    actions.correct(house.contributor, first, {"code": "localizer"})
    state = dict(Image.objects.values_list("pk", "state"))
    assert [state[one.pk] for one in (first, second, third)] == ["refused"] * 3
    assert [state[one.pk] for one in (other, taken)] == ["proposed", "accepted"]
    assert {f"image:{one.pk}" for one in (second, third)} <= set(Line.objects.filter(act="image.refuse").values_list("object", flat=True))
    assert [Study.objects.get(pk=study.pk).state for study in studies] == ["ready", "ready"]
    assert all(one.decisions.get().by == house.contributor.email for one in (second, third))


@pytest.mark.parametrize(("protocol", "state"), [(PROTOCOL, "refused"), ("f" * 32, "proposed")])
def test_an_image_of_a_run_that_a_correction_overtook_is_not_left_under_the_old_name(
    protocol: str, state: str, house: Any, person: Any, hand_in: Any, carried: Any, one_image: Any, django_capture_on_commit_callbacks: Any
) -> None:
    study = hand_in({}).studies.get()
    known = house.image(person, state="proposed", suffix="T2w", provenance={"contrast": {"protocol": protocol}})

    def meanwhile(order: dict[str, Any], place: Path) -> dict[str, Any]:
        actions.correct(house.contributor, known, {"code": "localizer"})
        return dict(answered(one_image)(order, place))

    with django_capture_on_commit_callbacks(execute=True):
        carried.studies(meanwhile)
    assert Image.objects.get(study_id=study.pk).state == state
    study.refresh_from_db()
    assert study.state == ("ready" if state == "refused" else "recorded")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"datatype": "anat", "suffix": "bold"}, "name_not_bids"),
        ({"datatype": "anat", "suffix": "T1w", "fields": {"PatientName": "Hansen"}}, "correction_not_listed"),
        ({"datatype": "anat", "suffix": "T1w", "entities": {"acq": "Hansen"}}, "correction_not_listed"),
        ({"datatype": "func", "suffix": "bold", "fields": {"TaskName": "Ole Hansen"}}, "correction_not_listed"),
        (ASL | {"context": ["Hansen"]}, "correction_not_listed"),
        ({"datatype": "anat", "suffix": "T1w", "context": ["label"]}, "correction_not_listed"),
    ],
)
def test_a_correction_that_could_not_be_used_is_refused(said: dict[str, Any], code: str, house: Any, door: Any, person: Any) -> None:
    image = house.image(person, state="proposed", provenance={"contrast": {"protocol": PROTOCOL}})
    door(house.contributor).post(f"/images/{image.pk}/contrast", said, 400, code=code)
    assert not Correction.objects.exists()
    assert door(house.contributor).post(f"/images/{image.pk}/contrast", ASL, 200)["correction"]["context"] == ["control", "label"]


def test_only_the_site_itself_corrects_and_only_what_is_not_decided(house: Any, world: Any, person: Any) -> None:
    lund = world.site("lund", "SE")
    house.dataset.sites.add(lund)
    image = house.image(person, state="proposed", provenance={"contrast": {"protocol": PROTOCOL}})
    for who in (world.contributor(house.dataset, lund), world.user()):
        with pytest.raises(Denied):
            actions.correct(who, image, {"datatype": "anat", "suffix": "T2w"})
    taken = house.image(person, suffix="T2w", provenance={"contrast": {"protocol": PROTOCOL}})
    with pytest.raises(Exception, match="image_decided"):
        actions.correct(house.contributor, taken, {"datatype": "anat", "suffix": "T2w"})
    blind = house.image(person, state="proposed", suffix="PDw")
    with pytest.raises(Exception, match="protocol_unknown"):
        actions.correct(house.contributor, blind, {"datatype": "anat", "suffix": "T2w"})
    assert actions.correct(house.contributor, image, {"datatype": "anat", "suffix": "T2w"}).site == house.site


# --- a release names nothing that is not in it -------------------------------------------------------------------------------------------------------


def beside(image: Image, path: str, text: dict[str, Any] | None = None) -> None:
    from registry.imaging import store

    for name, data in ((f"{path}.nii.gz", gzip.compress(path.encode(), mtime=0)), (f"{path}.json", json.dumps(text or {}).encode())):
        sha256 = hashlib.sha256(data).hexdigest()
        store.put(image.visit.participant, data, sha256)
        image.files.create(path=name, sha256=sha256, bytes=len(data), kind="annotation" if name.endswith("gz") else "sidecar")


def test_a_mask_goes_with_any_of_its_images_and_a_field_map_forgets_what_is_not_there(house: Any, person: Any) -> None:
    first, second = (house.image(person, visit, suffix="FLAIR") for visit in person.visits.order_by("day"))
    names = [image.bids_path for image in (first, second)]
    at = f"derivatives/annotations/sub-{person.label}/ses-m12/anat/sub-{person.label}_ses-m12_space-"
    beside(second, f"{at}common_label-lesion_desc-r1_mask", {"Sources": [f"bids:raw:{name}" for name in names]})
    beside(second, f"{at}FLAIR_label-lesion_desc-r1_mask", {"Sources": [f"bids:raw:{names[1]}"], "SpatialReference": f"bids:raw:{names[1]}"})
    local = f"{at}common_label-lesion_desc-r1_mask.nii.gz".removeprefix("derivatives/annotations/")
    beside(second, f"{at}common_label-lesion_desc-majority_mask", {"Sources": [f"bids:raw:{names[1]}", f"bids::{local}"]})
    fmap = f"sub-{person.label}/ses-m12/fmap/sub-{person.label}_ses-m12_phasediff"
    beside(second, fmap, {"B0FieldIdentifier": "fmap_gre", "IntendedFor": [f"bids::{name}" for name in names]})
    everything = list(StoredFile.objects.filter(image__in=[first, second]))
    assert {file.path for file in whole.kept(person, everything)[0]} == {file.path for file in everything}
    files, written = whole.kept(person, [file for file in everything if file.image_id == second.pk])
    without = {file.path: file for file in files}
    assert {path.split("space-")[1] for path in without if "space-" in path} == {
        "FLAIR_label-lesion_desc-r1_mask.nii.gz",
        "FLAIR_label-lesion_desc-r1_mask.json",
    }
    told = json.loads(written[without[f"{fmap}.json"].sha256])
    assert told == {"B0FieldIdentifier": "fmap_gre", "IntendedFor": [f"bids::{names[1]}"]}
    assert StoredFile.objects.get(path=f"{fmap}.json").sha256 != without[f"{fmap}.json"].sha256


def test_a_mask_names_its_image_by_the_number_that_it_got(house: Any, person: Any, hand_in: Any, carried: Any, one_image: Any) -> None:
    visit = person.visits.get(label="m00")
    there = house.image(person, visit)
    hand_in({})

    def with_mask(order: dict[str, Any], place: Path) -> dict[str, Any]:
        value = one_image(order, place)
        name = f"derivatives/annotations/sub-{person.label}/ses-m00/anat/sub-{person.label}_ses-m00_space-T1w_label-lesion_desc-r1_mask"
        for path, data in ((f"{name}.nii.gz", b"mask"), (f"{name}.json", json.dumps({"Sources": [f"bids:raw:{there.bids_path}"]}).encode())):
            (place / "bids" / path).parent.mkdir(parents=True, exist_ok=True)
            (place / "bids" / path).write_bytes(data)
            value["products"].append({"path": path, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
            value["images"][0]["products"].append(path)
        return dict(value)

    carried.studies(with_mask)
    image = Image.objects.get(state="proposed")
    assert "_run-2_" in image.bids_path
    sidecar = image.files.get(path__endswith="_mask.json")
    assert json.loads(whole.store.path(person, sidecar.sha256).read_bytes()) == {"Sources": [f"bids:raw:{image.bids_path}"]}
    assert "_run-2_" in sidecar.path


def test_an_outcome_with_a_visit_of_nobody_is_refused(house: Any, person: Any, hand_in: Any, carried: Any, one_image: Any) -> None:
    study = hand_in({}).studies.get()

    def elsewhere(order: dict[str, Any], place: Path) -> dict[str, Any]:
        value = json.loads(json.dumps(one_image(order, place)).replace("ses-m00", "ses-m99"))
        (place / "bids").rename(place / "old")
        for path in [path for path in (place / "old").rglob("*") if path.is_file()]:
            target = place / "bids" / path.relative_to(place / "old").as_posix().replace("ses-m00", "ses-m99")
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        return dict(value)

    carried.studies(elsewhere)
    assert not Image.objects.exists() and Study.objects.get(pk=study.pk).state == "waiting"


def test_nothing_said_is_nothing_kept() -> None:
    from registry.intake import correcting

    assert correcting.checked({"contrast": "", "beside": None, "labels": {}}) == {}
    with pytest.raises(Invalid):
        correcting.checked({"surname": "Hansen"})
    with pytest.raises(Invalid):
        correcting.checked({"rater": "hansen1"})
    assert correcting.checked({"rater": "rater12"}) == {"rater": "rater12"}
