"""What stands behind a release: the gate, the version, the classes of its tables and who agreed to them, and the paper it is cited by."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from django.db import transaction

from registry.access import pairs
from registry.clinical import actions as clinical
from registry.consent import actions as consents
from registry.releases import accounting, actions, citing, differing, freezing, gate, tree, weighing
from registry.releases.gate import Offered
from registry.releases.models import Release, ReleaseFile
from registry.rules import Denied, Invalid
from registry.runs import runner
from registry.runs.models import Run

pytestmark = pytest.mark.django_db(databases="__all__")
SEEN = {"engine": "SimpleITK", "face_box_apart_mm": 1.2}
GOOD = Offered("defaced", "pass", "", {"profile": "p", "account": {}}, {"verdict": "defaced", "code": "ok", "second": SEEN}, {"grade": "pass"})
# code -> (what does not pass, the nearest that does)
TWINS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "account_missing": ({"deid": {"profile": "p", "account": None}}, {"deid": {"profile": "p", "account": {}}}),
    "deface_unverified": (
        {"deface": {"verdict": "defaced", "code": "ok", "second": None, "surface": None}},
        {"deface": {"verdict": "defaced", "code": "already_defaced", "second": None, "surface": {"visible": False}}},
    ),
    "deface_contradicted": (
        {"deface": {"verdict": "no_face", "code": "no_face_in_view"}},
        {"verdict": "no_face", "deface": {"verdict": "no_face", "code": "no_face_in_view"}},
    ),
    "face_reason_missing": (
        {"verdict": "exempt", "deface": {"verdict": "exempt", "code": "ok"}},
        {"verdict": "exempt", "deface": {"verdict": "exempt", "code": "exempt_by_policy"}},
    ),
    "doubt_not_settled": (
        {"verdict": "review", "note": " ", "deface": {"verdict": "review", "code": "engines_apart"}},
        {"verdict": "review", "note": "I saw no face.", "deface": {"verdict": "review", "code": "engines_apart"}},
    ),
    "face_not_given": ({"verdict": "withheld"}, {}),
    "quality_missing": ({"quality": None}, {"quality": {"grade": "pass"}}),
}  # fmt: skip


def test_a_note_settles_no_doubt_of_another_paper() -> None:
    """A head of which no paper tells, or one that was withheld, is not made clean by what somebody wrote."""
    for verdict in ("review", "orbit_restricted"):
        noted = dataclasses.replace(GOOD, verdict=verdict, note="Seen.")
        assert gate.lacks(dataclasses.replace(noted, deface=None)) == ["doubt_not_settled"]
        assert gate.lacks(dataclasses.replace(noted, deface={"verdict": "withheld", "code": "face_not_proven_gone"})) == ["deface_contradicted"]
        assert gate.lacks(dataclasses.replace(noted, deface={"verdict": verdict, "code": "x"})) == []


@pytest.mark.parametrize("code", TWINS)
def test_each_cause_keeps_an_image_out_and_its_twin_enters(code: str) -> None:
    kept_out, enters = TWINS[code]
    assert gate.lacks(dataclasses.replace(GOOD, **kept_out)) == [code] and code in gate.REASONS
    assert gate.lacks(dataclasses.replace(GOOD, **enters)) == []


def test_what_is_left_out_is_counted_by_reason(house: Any) -> None:
    person, ended = house.person(), house.person()
    house.image(person)
    house.image(person, suffix="T2w", provenance={"deid": {"profile": ""}})
    house.image(person, suffix="FLAIR", state="proposed")
    house.image(ended, provenance={"quality": {"grade": "fail"}})
    release = house.release()
    assert release.account["left_out"] == {"account_missing": 1, "undecided": 1, "quality_missing": 1}
    assert list(release.people.values_list("label", flat=True)) == [person.label] and not release.files.filter(path__contains="T2w").exists()
    assert release.account_sha256 == accounting.digest(release.account)
    assert [row["people"] for row in release.account["consents"]] == [1] and person.label not in str(release.account)
    assert release.account["versions"]["images"]["deid_profile"] == {"myelin-2026": 1}


def test_the_snapshot_names_the_version_of_the_form_that_each_signed_last(house: Any) -> None:
    first, second, danish = (
        consents.add_template(house.dataset, "adults", version, language, "Consent", f"I agree, {language} {version}.", {"permission": "GRU"})
        for version, language in ((1, "en"), (2, "en"), (2, "da"))
    )
    renewed, bare, only_now = house.person(None), house.person(), house.person(None)
    for person, form, kind in ((renewed, first, "given"), (renewed, second, "renewed"), (only_now, danish, "given")):
        house.world.consent(person, template=form, kind=kind)
    for person in (renewed, bare, only_now):
        house.image(person)
    ended = house.person(None)
    house.world.consent(ended, template=first)
    house.image(ended)
    consents.record(ended, "expired")
    before = house.release()
    signed = [(form["name"], form["version"], form["language"], form["people"]) for form in before.account["consent_forms"]]
    assert signed == [("adults", 2, "da", 1), ("adults", 2, "en", 1), (None, None, None, 1)]
    assert before.account["consent_forms"][0]["sha256"] == danish.sha256
    house.world.consent(only_now, template=second, kind="renewed")
    after = house.release()
    assert [form["people"] for form in after.account["consent_forms"]] == [2, 1] and after.account_sha256 != before.account_sha256
    assert accounting.digest(before.account) == before.account_sha256, "what was signed later does not change it"


def test_the_version_moves_with_what_changed(house: Any) -> None:
    person = house.person()
    image = house.image(person)
    assert house.release().version == "1.0.0"
    row = clinical.Row(person.visits.get(), "edss", {"edss_total": 3.0})
    clinical.record(house.contributor, [row])
    assert house.release().version == "1.1.0"
    other = house.person()
    house.image(other)
    last = house.release()
    assert last.version == "1.2.0" and last.account["difference"]["people"] == {"added": 1, "removed": 0}
    clinical.record(house.contributor, [clinical.Row(person.visits.get(), "edss", {"edss_total": 4.0})])
    assert house.release().version == "2.0.0"
    type(image).objects.filter(visit__participant=other).update(state="withdrawn")
    gone = house.release()
    assert gone.version == "2.0.1" and gone.account["difference"]["people"] == {"added": 0, "removed": 1}
    file = image.files.get(path__endswith=".json")
    data = b'{"MagneticFieldStrength": 1.5}'
    sha256 = actions.store.hashlib.sha256(data).hexdigest()
    actions.store.put(person, data, sha256)
    type(file).objects.filter(pk=file.pk).update(sha256=sha256, bytes=len(data))
    assert house.release().version == "3.0.0"
    release = freezing.open_release(house.dataset, "test", "", "minor")
    freezing.assemble(release, lambda: None)
    release.refresh_from_db()
    assert release.version == "3.1.0", "a steward may ask for more than changed"
    assert freezing.difference(last, Release.objects.get(version="2.0.0"))["values"] == {"added": 0, "removed": 0, "changed": 1}


def test_a_removal_never_moves_more_than_the_patch_and_an_asker_never_less() -> None:
    assert [differing.at_least(*pair) for pair in (("patch", ""), ("major", "patch"), ("patch", "major"))] == ["patch", "major", "major"]
    assert [differing.moved("1.2.3", part) for part in differing.PARTS] == ["1.2.4", "1.3.0", "2.0.0"]


def test_classes_are_weighed_in_each_table_and_over_all() -> None:
    def entry(path: str, text: str) -> tree.Entry:
        return tree._entry(path, text.encode())

    people = entry("participants.tsv", "participant_id\tsex\nsub-a\tF\nsub-b\tF\nsub-c\tM\nsub-d\tM\n")
    ages = [entry(f"sub-{who}/sub-{who}_sessions.tsv", f"session_id\tday\tage\nses-m00\t0\t{age}\n") for who, age in zip("abcd", (30, 40, 30, 40), strict=True)]
    told = weighing.weigh([people, *ages], 2, "myelin-clinical-2")
    assert [(one["table"], one["smallest"], one["unique"]) for one in told["tables"]] == [("participants", 2, 0), ("sessions", 2, 0)]
    assert told["linked"]["smallest"] == 1 and told["linked"]["unique"] == 4 and told["below_k"]
    bare = entry("participants.tsv", "participant_id\tspecies\nsub-a\thomo sapiens\nsub-b\thomo sapiens\n")
    assert weighing.weigh([bare], 3, "myelin-clinical-2")["below_k"] and not weighing.weigh([bare], 2, "myelin-clinical-2")["below_k"], "few people are few"
    assert not weighing.weigh([people], 2, "myelin-clinical-2")["below_k"] and weighing.weigh([people], 3, "myelin-clinical-2")["below_k"]
    other = weighing.weigh([entry("participants.tsv", "participant_id\tsex\nsub-a\tF\n"), *ages], 2, "myelin-clinical-2")
    assert other["sha256"] != told["sha256"]


def freeze(house: Any, code: str) -> Release:
    release = actions.freeze(house.steward, house.dataset)
    runner.carry(str(release.run_id))
    assert Run.objects.get(subject_id=release.pk, kind="freeze").code == code
    release.refresh_from_db()
    return release


def test_below_k_two_people_agree_to_these_tables_and_no_others(house: Any) -> None:
    type(house.dataset).objects.filter(pk=house.dataset.pk).update(k=3)
    house.dataset.refresh_from_db()
    for _ in range(2):
        person = house.person()
        type(person).objects.filter(pk=person.pk).update(sex="F")
        house.image(person)
    asked = actions.dry_run(house.steward, house.dataset)
    assert asked["needs_two_people"] and asked["version"] == "1.0.0" and not Release.objects.exists() and not ReleaseFile.objects.exists()
    assert freeze(house, "needs_two_people").state == "failed"
    proposal = pairs.propose(house.steward, house.dataset, "release_below_k", asked["object"], "Few are known.")
    with pytest.raises(Denied):
        pairs.second(house.steward, proposal)
    pairs.second(house.world.steward(house.dataset), proposal)
    release = freeze(house, "ok")
    assert release.state == "frozen" and release.account["approved"] == str(proposal.pk)
    assert freeze(house, "needs_two_people").state == "failed", "what was agreed is used once"
    with pytest.raises(Denied):
        actions.dry_run(house.contributor, house.dataset)


def test_without_a_small_class_nobody_is_asked(house: Any) -> None:
    type(house.dataset).objects.filter(pk=house.dataset.pk).update(k=2)
    house.dataset.refresh_from_db()
    for _ in range(2):
        person = house.person()
        type(person).objects.filter(pk=person.pk).update(sex="F")
        house.image(person)
    release = freeze(house, "ok")
    assert release.state == "frozen" and release.account["approved"] is None and release.account["privacy"]["smallest"] == 2


def test_a_departure_waits_for_no_agreement(house: Any) -> None:
    type(house.dataset).objects.filter(pk=house.dataset.pk).update(k=5)
    house.dataset.refresh_from_db()
    person = house.person()
    type(person).objects.filter(pk=person.pk).update(sex="F")
    house.image(person)
    release = freezing.open_release(house.dataset, "system:worker", "A participant has left.")
    freezing.assemble(release, lambda: None)
    with transaction.atomic():
        closed = freezing.close(release)
    assert closed.state == "failed" and closed.account["refused"] == "needs_two_people"


def test_the_paper_by_which_a_release_is_cited(house: Any) -> None:
    house.dataset.citation = citing.checked({"creators": [{"name": "Curie, Marie", "orcid": "0000-0001-2345-678X"}], "doi": "10.1234/abc", "subjects": ["MS"]})
    house.dataset.licence = "CC0"
    house.dataset.save()
    person = house.person()
    house.image(person)
    first = house.release()
    clinical.record(house.contributor, [clinical.Row(person.visits.get(), "edss", {"edss_total": 3.0})])
    second = house.release()
    told = second.account["datacite"]
    assert told["creators"][0]["nameIdentifiers"][0]["nameIdentifier"].endswith("678X") and told["version"] == "1.1.0"
    assert told["identifiers"] == [{"identifier": "10.1234/abc", "identifierType": "DOI"}] and told["rightsList"] == [{"rights": "CC0"}]
    (related,) = told["relatedIdentifiers"]
    assert related["relationType"] == "IsNewVersionOf" and str(first.pk) in related["relatedIdentifier"]
    assert person.label not in str(told)
    for wrong in ({"creators": [{}]}, {"doi": "x"}, {"more": 1}, {"creators": [{"name": "A", "orcid": "1"}]}, {"subjects": [1]}):
        with pytest.raises(Invalid):
            citing.checked(wrong)


def test_the_doors_of_a_release(house: Any, door: Any) -> None:
    house.image(house.person())
    first, second = house.release(), house.release()
    steward, contributor = door(house.steward), door(house.contributor)
    assert steward.post("/releases/dry-run", {"dataset": house.dataset.slug}, 200)["version"] == "1.0.2"
    contributor.post("/releases/dry-run", {"dataset": house.dataset.slug}, 403, "no_role")
    assert steward.get(f"/releases/{second.pk}/account")["account"]["left_out"] == {}
    assert steward.get(f"/releases/{second.pk}/difference/{first.pk}")["part"] == "patch"
    for address in (f"/releases/{second.pk}/account", f"/releases/{second.pk}/difference/{first.pk}"):
        contributor.get(address, 403)
    assert contributor.get(f"/releases/{second.pk}/datacite")["version"] == "1.0.1"
    assert steward.post(f"/releases/{first.pk}/verify", {}, 200)["ok"]
    contributor.post(f"/releases/{first.pk}/verify", {}, 403, "no_role")
    steward.post(f"/datasets/{house.dataset.slug}/citation", {"citation": {"publisher": "A hospital"}}, 200)
    steward.post(f"/datasets/{house.dataset.slug}/citation", {"citation": {"doi": "x"}}, 400, "citation_wrong")
    contributor.post(f"/datasets/{house.dataset.slug}/citation", {"citation": {}}, 403)
