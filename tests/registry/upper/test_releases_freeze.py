"""A release: who is in it, that it never changes, that it can be rebuilt byte for byte, and that what is wrong with it stops it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from qa import tables as quality
from registry.clinical import actions as clinical
from registry.consent import actions as consent
from registry.imaging import store
from registry.releases import actions, freezing, queries, tree
from registry.releases.models import Release
from registry.rules import Conflict, Denied
from registry.runs import ledger, runner
from registry.runs.models import Run
from registry.subjects.models import Participant

pytestmark = pytest.mark.django_db(databases="__all__")
DAY = date(2021, 3, 4)
EDSS = {"edss_total": 3.0, "edss_ambulation": 500}


def frozen(house: Any, carried: Any, state: str = "validated") -> Release:
    release = actions.freeze(house.steward, house.dataset, "next")
    carried.work()
    release.refresh_from_db()
    assert release.state == state, release.validator
    return release


def labels(release: Release) -> set[str]:
    return set(release.people.filter(tombstone=False).values_list("label", flat=True))


def test_it_holds_those_whose_consent_holds_and_nobody_else(house: Any, carried: Any) -> None:
    here, never, expired, ended, refused = house.person(), house.person(None), house.person(None), house.person(), house.person()
    house.world.consent(expired, valid_until=timezone.now().date() - timedelta(days=1))
    consent.record(ended, "expired")
    for person in (here, never, expired, ended):
        house.image(person)
    house.image(refused, state="proposed")
    assert labels(frozen(house, carried)) == {here.label}
    house.world.consent(ended)
    assert labels(frozen(house, carried)) == {here.label, ended.label}


def test_the_same_people_give_the_same_bytes(house: Any, carried: Any) -> None:
    for _ in range(2):
        person = house.person()
        house.image(person)
        clinical.record(house.contributor, [clinical.Row(person.visits.get(), "edss", EDSS)])
    first, second = frozen(house, carried), frozen(house, carried)
    assert (first.number, second.number) == (1, 2)
    differing = set(rows_of(first)) ^ set(rows_of(second))
    assert {path for path, _ in differing} == {"README", "CHANGES"}  # which say the number
    rebuilt = [(entry.path, entry.part().digest, entry.part().bytes) for entry in freezing.entries(first)]
    assert freezing.digest(rebuilt) == first.sha256
    edss = next(entry.text for entry in freezing.entries(first) if entry.path == "phenotype/edss_m00.tsv")
    assert edss is not None and b"edss_fs_mismatch" in edss and edss.count(b"\n") == 3


def rows_of(release: Release) -> list[tuple[str, str]]:
    return list(release.files.values_list("path", "sha256"))


def test_what_changes_afterwards_does_not_change_it(house: Any, carried: Any) -> None:
    person = house.person()
    house.image(person)
    first = frozen(house, carried)
    clinical.record(house.contributor, [clinical.Row(person.visits.get(), "edss", EDSS)])
    house.image(person, suffix="T2w")
    again = [(entry.path, entry.part().digest, entry.part().bytes) for entry in freezing.entries(first)]
    assert freezing.digest(again) == first.sha256
    second = frozen(house, carried)
    assert {path for path, _ in set(rows_of(second)) - set(rows_of(first))} >= {"phenotype/edss_m00.tsv", "phenotype/edss_m00.json"}


def test_other_words_for_a_measure_change_no_release_made_before(house: Any, carried: Any, monkeypatch: Any) -> None:
    """Sentence, order of columns and edition of BIDS change in our code: old releases stay as they were, the next says the new words."""
    house.image(house.person(), provenance={"quality": {"grade": "pass", "metrics": {"efc": {"value": 0.5}, "snr_total": {"value": 9.0}}}})
    first = frozen(house, carried)
    efc = dataclasses.replace(quality.METRICS["efc"], sentence="other words", version="9")
    monkeypatch.setattr(quality, "METRICS", {"efc": efc, **{name: row for name, row in quality.METRICS.items() if name != "efc"}})
    monkeypatch.setattr(quality, "COLUMNS", dict(reversed(quality.COLUMNS.items())))
    monkeypatch.setattr(tree, "EDITION", "1.99.0")
    first.refresh_from_db()
    again = [(entry.path, entry.part().digest, entry.part().bytes) for entry in freezing.entries(first)]
    assert freezing.digest(again) == first.sha256
    release = freezing.open_release(house.dataset, "test", "")
    freezing.assemble(release, lambda: None)
    release.refresh_from_db()
    texts = {entry.path: (entry.text or b"").decode() for entry in freezing.entries(release)}
    assert "Other words" in texts["derivatives/qa/phenotype/qa_m00_T1w.json"] and "1.99.0" in texts["dataset_description.json"]
    header = texts["derivatives/qa/phenotype/qa_m00_T1w.tsv"].splitlines()[0].split("\t")
    assert header[-2:] == ["efc", "snr_total"] and header.index("unavailable") < header.index("participant_id")


# A release as it was frozen in November 2026: header and facts of two people, and the first 16 digits of the hash of every text made from them.
GOLDEN = json.loads((Path(__file__).parent / "golden_release.json").read_text("utf-8"))


def test_a_release_of_last_year_has_the_bytes_of_last_year() -> None:
    """Whoever breaks this changes every release that was ever made: leave old headers what they were, and let new ones say that they are new."""
    entries = tree.shared(GOLDEN["header"], GOLDEN["facts"], ["annotations"])
    entries += [entry for told in GOLDEN["facts"] for entry in tree.personal(Participant(label=told["label"]), told)]
    assert {entry.path: entry.sha256[:16] for entry in entries} == GOLDEN["hashes"]


def test_a_table_of_many_treatments_is_one_row_a_visit(house: Any, carried: Any) -> None:
    person = house.person()
    house.image(person)
    given = [
        clinical.Row(person.visits.get(), "treatment", {"substance": name, "start_day": day}, n)
        for n, (name, day) in enumerate([("fingolimod", -9), ("none", 4)], 1)
    ]
    clinical.record(house.contributor, given)
    release = frozen(house, carried)
    table = next(entry.text for entry in freezing.entries(release) if entry.path == "phenotype/treatment_m00.tsv")
    assert table is not None
    header, line = table.decode().splitlines()
    cells = dict(zip(header.split("\t"), line.split("\t"), strict=True))
    assert (cells["substance_1"], cells["start_day_2"], cells["dose_1"], cells["session_id"]) == ("fingolimod", "4", "n/a", "ses-m00")


def test_the_validator_takes_several_visits_with_every_instrument(house: Any, carried: Any) -> None:
    for _ in range(2):
        person = house.person()
        for label, day in (("m00", DAY), ("m12", DAY + timedelta(days=365))):
            visit = house.visit(person, label, day)
            house.image(person, visit, provenance={"quality": {"grade": "pass", "metrics": {"efc": {"value": 0.5}, "cnr": {"value": None}}}})
            rows = [("edss", EDSS), ("course", {"course": "RRMS"}), ("treatment", {"substance": "none"}), ("relapse", {"onset_day": -9})]
            clinical.record(house.contributor, [clinical.Row(visit, name, values) for name, values in rows])
    release = frozen(house, carried)
    tables = {path for path, _ in rows_of(release) if path.startswith("phenotype/") and path.endswith(".tsv")}
    assert tables == {f"phenotype/{name}_{label}.tsv" for name in ("edss", "course", "treatment", "relapse") for label in ("m00", "m12")}
    measured = next((entry.text or b"").decode() for entry in freezing.entries(release) if entry.path == "derivatives/qa/phenotype/qa_m12_T1w.tsv")
    header, *lines = (line.split("\t") for line in measured.splitlines())
    assert [dict(zip(header, line, strict=True))["efc"] for line in lines] == ["0.5", "0.5"]
    one = release.people.order_by("label").first()
    alone = next((entry.text or b"").decode() for entry in freezing.entries(release, [one.participant_id]) if entry.path.endswith("/qa_m12_T1w.tsv"))
    assert len(alone.splitlines()) == 2 and f"\nsub-{one.label}\t" in alone, "a table of a subset holds the subset"


def test_a_store_that_rots_stops_the_release(house: Any, carried: Any) -> None:
    person = house.person()
    image = house.image(person)
    path = store.path(person, image.files.first().sha256)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    release = pending(house, carried)
    assert runner.carry(str(release.run_id)) == "dead"
    release.refresh_from_db()
    assert (release.validator["code"], release.state) == ("store_damaged", "frozen")
    assert release not in freezing.given_to(house.world.entitled(house.dataset, house.steward))
    path.write_bytes(good)
    actions.validate(house.steward, release)
    carried.work()
    release.refresh_from_db()
    assert release.state == "validated"


def test_what_the_validator_refuses_is_not_given_out(house: Any, carried: Any) -> None:
    person = house.person()
    image = house.image(person)
    image.files.filter(path__endswith="nii.gz").update(path=f"sub-{person.label}/ses-m00/anat/sub-{person.label}_ses-m00_T1wrong.nii.gz")
    release = frozen(house, carried, "invalid")
    assert release.validator["errors"] > 0 and freezing.newest(house.dataset) is None
    image.files.filter(path__endswith="nii.gz").update(path=image.bids_path)
    assert frozen(house, carried) == freezing.newest(house.dataset)


def test_nothing_of_the_tree_is_left_behind(house: Any, carried: Any) -> None:
    house.image(house.person())
    frozen(house, carried)
    trees = Path(settings.MYELIN_ZONES["store"]) / freezing.TREES
    assert list(trees.iterdir()) == []


def test_somebody_who_leaves_while_it_is_made_is_not_in_it(house: Any) -> None:
    stays, leaves = house.person(), house.person()
    for person in (stays, leaves):
        house.image(person)
    release = actions.freeze(house.steward, house.dataset)
    run = ledger.claim("test:1:a", run_id=release.run_id)
    assert run is not None
    report = actions.work_freeze(run, lambda: None)
    actions.withdraw(house.steward, leaves)
    with pytest.raises(freezing.Moved), transaction.atomic():
        actions.record_freeze(run, report)
    report = actions.work_freeze(run, lambda: None)
    with transaction.atomic():
        actions.record_freeze(run, report)
    release.refresh_from_db()
    assert (release.state, labels(release)) == ("frozen", {stays.label})


def test_one_release_at_a_time_and_none_of_nothing(house: Any) -> None:
    with pytest.raises(Conflict, match="nothing_to_release"):
        actions.freeze(house.steward, house.dataset)
    house.image(house.person())
    actions.freeze(house.steward, house.dataset)
    with pytest.raises(Conflict, match="release_in_progress"):
        actions.freeze(house.steward, house.dataset)
    with pytest.raises(IntegrityError), transaction.atomic():
        Release.objects.create(dataset=house.dataset, number=9, version="x", created_by="nobody")


def test_only_the_steward_freezes(house: Any) -> None:
    house.image(house.person())
    other = house.world.dataset(house.site)
    for who in (house.contributor, house.world.user(), house.world.steward(other)):
        with pytest.raises(Denied):
            actions.freeze(who, house.dataset)
    assert actions.freeze(house.steward, house.dataset).state == "freezing"


def test_derivatives_get_a_description_of_their_own(house: Any, carried: Any) -> None:
    assert tree.derivatives_in(["derivatives/annotations/sub-x/a.nii.gz", "sub-x/b", "derivatives/x"]) == {"annotations"}
    entries = tree.shared({"name": "N", "description": "", "licence": "CC0", "version": "1", "slug": "n"}, [], ["annotations"])
    assert [entry.path for entry in entries if entry.path.startswith("derivatives")] == ["derivatives/annotations/dataset_description.json"]
    assert all(hashlib.sha256(entry.text or b"").hexdigest() == entry.sha256 for entry in entries)


def test_a_release_says_what_changed_what_made_it_and_on_what_terms(house: Any) -> None:
    house.image(house.person())
    house.dataset.terms = "Only for research."
    house.dataset.save()
    for changes in ("first people", ""):
        release = freezing.open_release(house.dataset, "test", changes)
        freezing.assemble(release, lambda: None)
        release.refresh_from_db()
        release = freezing.close(release, {"errors": 0, "warnings": 0, "findings": {}})
    texts = {entry.path: (entry.text or b"").decode() for entry in freezing.entries(release)}
    day = release.created_at.date().isoformat()
    assert texts["CHANGES"] == f"1.0.1 {day}\n\n  - No data changed.\n\n1.0.0 {day}\n\n  - first people. People are new; files are new.\n"
    assert "Only for research." in texts["README"]
    made = {row["Name"]: row.get("Version") for row in json.loads(texts["dataset_description.json"])["GeneratedBy"]}
    assert set(made) == {"myelin", "dcm2niix"} and all(made.values())


def test_a_release_tells_of_each_image_how_it_was_judged_and_of_each_visit_the_age(house: Any) -> None:
    person = house.person()
    house.image(person, provenance={"deid": {"age": 34}})
    release = freezing.open_release(house.dataset, "test", "")
    freezing.assemble(release, lambda: None)
    release.refresh_from_db()
    texts = {entry.path: (entry.text or b"").decode() for entry in freezing.entries(release)}
    who = f"sub-{person.label}"
    assert texts[f"{who}/ses-m00/{who}_ses-m00_scans.tsv"] == (f"filename\tquality\tdeface\tconversion\nanat/{who}_ses-m00_T1w.nii.gz\tpass\tdefaced\tagreed\n")
    assert texts[f"{who}/{who}_sessions.tsv"] == "session_id\tday\tage\nses-m00\t0\t34\n"


def pending(house: Any, carried: Any) -> Release:
    """A release that is frozen, its validation not begun."""
    release = actions.freeze(house.steward, house.dataset)
    assert runner.carry(str(release.run_id)) == "done"
    release.refresh_from_db()
    assert release.state == "frozen" and Run.objects.get(pk=release.run_id).kind == "validate"
    return release


def test_a_pending_release_is_given_out_only_where_it_takes_away_and_not_to_newcomers(house: Any, carried: Any) -> None:
    """The denied and the allowed: somebody new in it, somebody gone from it; entitled before, entitled after."""
    stays, leaves = house.person(), house.person()
    for person in (stays, leaves):
        house.image(person)
    first = frozen(house, carried)
    holder = house.world.entitled(house.dataset, house.steward, recipient_key=str(pyrage.x25519.Identity.generate().to_public()))
    consent.record(leaves, "expired")
    less = pending(house, carried)
    newcomer = house.world.entitled(house.dataset, house.steward)
    assert less.narrows == first and freezing.newest(house.dataset) == first and freezing.standing(house.dataset) == less
    assert list(freezing.given_to(holder)) == [less, first] and list(freezing.given_to(newcomer)) == [first]
    assert less in queries.releases(holder.user) and less not in queries.releases(newcomer.user)
    with pytest.raises(Conflict, match="release_not_validated"):
        actions.build_package(newcomer.user, newcomer, less)
    assert actions.build_package(holder.user, holder).release == less
    carried.work()
    assert list(freezing.given_to(newcomer)) == [less, first], "the validator was green"
    house.image(house.person())
    more = pending(house, carried)
    assert more.narrows is None and more not in freezing.given_to(holder)
    carried.work()
    assert more in freezing.given_to(holder) and more in freezing.given_to(newcomer)


def test_a_person_with_fewer_images_is_no_narrower_release(house: Any, carried: Any) -> None:
    person = house.person()
    house.image(person)
    image = house.image(person, suffix="T2w")
    frozen(house, carried)
    type(image).objects.filter(pk=image.pk).update(state="withdrawn")
    assert pending(house, carried).narrows is None


def test_what_the_validator_refuses_afterwards_kills_the_packages_made_meanwhile(house: Any, carried: Any, monkeypatch: Any) -> None:
    stays, leaves = house.person(), house.person()
    for person in (stays, leaves):
        house.image(person)
    frozen(house, carried)
    holder = house.world.entitled(house.dataset, house.steward)
    consent.record(leaves, "expired")
    less = pending(house, carried)
    package = actions.build_package(holder.user, holder)
    assert package.release == less
    with transaction.atomic():
        freezing.settle(less, {"errors": 1, "warnings": 0, "findings": {}})
    package.refresh_from_db()
    assert (package.state, package.code) == ("dead", "release_invalid") and less not in freezing.given_to(holder)


def test_a_validation_that_died_is_asked_for_again(house: Any, carried: Any, monkeypatch: Any) -> None:
    house.image(house.person())
    release = pending(house, carried)

    def broken(*_: Any) -> None:
        raise Conflict("validator_missing", "It is not there.")

    with monkeypatch.context() as patch:
        patch.setattr(freezing, "examine", broken)
        assert runner.carry(str(release.run_id)) == "dead"
    release.refresh_from_db()
    assert release.state == "frozen" and release.validator["code"] == "validator_missing"
    with pytest.raises(Denied):
        actions.validate(house.contributor, release)
    actions.validate(house.steward, release)
    carried.work()
    release.refresh_from_db()
    assert release.state == "validated"
    with pytest.raises(Conflict, match="release_not_frozen"):
        actions.validate(house.steward, release)


def test_a_tree_under_the_validator_is_swept_by_nobody(house: Any, carried: Any, monkeypatch: Any) -> None:
    house.image(house.person())
    release = pending(house, carried)
    seen, asked = [], freezing.check.validate

    def swept(root: Path) -> Any:
        actions._sweep_temporary()
        seen.append(root)
        return asked(root)

    monkeypatch.setattr(freezing.check, "validate", swept)
    carried.work()
    release.refresh_from_db()
    assert release.state == "validated" and len(seen) == 1, "the first attempt found its tree whole"
    seen[0].mkdir()
    actions._sweep_temporary()
    assert not seen[0].exists(), "left behind by a run that was killed"


@pytest.mark.parametrize("taken", ["file", "tombstone"])
def test_what_was_taken_away_under_the_validator_is_examined_again(taken: str, house: Any, carried: Any, monkeypatch: Any) -> None:
    image = house.image(house.person())
    release = pending(house, carried)
    whole = freezing.examine(release, lambda: None)
    assert whole["errors"] == 0
    asked = freezing.check.validate

    def disturbed(root: Path) -> Any:
        report = asked(root)
        if taken == "file":
            (root / image.bids_path).unlink()
        else:
            release.files.filter(path=image.bids_path).update(tombstone=True)
        return report

    with monkeypatch.context() as patch, pytest.raises(freezing.Moved):
        patch.setattr(freezing.check, "validate", disturbed)
        freezing.examine(release, lambda: None)
    release.refresh_from_db()
    assert release.state == "frozen"
