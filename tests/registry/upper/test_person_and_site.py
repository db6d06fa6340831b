"""What is held of a person is told through their site alone; and a site takes its own data home, and nobody else's."""

from __future__ import annotations

import io
import json
import stat
import tarfile
import time
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.core.management import CommandError, call_command

from registry.audit.models import Line
from registry.releases import actions, reporting
from registry.releases.models import Package
from registry.rules import Denied, Invalid
from tests.registry.upper.leavers import WHO, in_two_datasets

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def twice(house: Any, carried: Any) -> Any:
    """`in_two_datasets`, and somebody who had it."""
    in_two_datasets(house, carried)
    right = house.world.entitled(house.dataset, house.steward, recipient_key=str(pyrage.x25519.Identity.generate().to_public()))
    package = actions.build_package(right.user, right)
    carried.work()
    actions.start_download(right.user, Package.objects.get(pk=package.pk), (0, 1))
    house.researcher = right.user
    return house


def test_all_that_is_held_in_every_dataset(twice: Any, door: Any) -> None:
    before, start = Line.objects.count(), time.perf_counter()
    body = {"dataset": twice.dataset.slug, "site": twice.site.code, "patient_id": f" {WHO.lower()}"}
    told = door(twice.contributor).post("/person-report", body, 200)
    assert time.perf_counter() - start < 60
    assert {one["dataset"] for one in told["participations"]} == {twice.dataset.slug, twice.second.slug}
    here = next(one for one in told["participations"] if one["dataset"] == twice.dataset.slug)
    assert here["identifiers"]["patient_id"] == WHO and here["identifiers"]["code"] == twice.leaver.code
    assert here["why"]["basis"] == "6.1.a" and here["consents"][0]["permission"] == "GRU"
    assert here["clinical_records"][0]["values"] == {"edss_total": 4.5} and len(here["visits"]) == 1
    assert here["recipients"][0]["recipient"] == twice.researcher.email and here["recipients"][0]["files"]
    assert here["releases"][0]["files"] and here["images"][0]["files"] and {row["act"] for row in here["log"]}
    assert twice.stayer.label not in json.dumps(told) and twice.stayer.code not in json.dumps(told)
    (line,) = Line.objects.filter(seq__gt=before)
    assert line.act == "participant.report" and WHO not in json.dumps(line.detail) + line.object and twice.second.slug not in json.dumps(line.detail)


def test_nobody_else_can_ask(twice: Any, door: Any) -> None:
    lund = twice.world.site("lund", "SE")
    twice.dataset.sites.add(lund)
    admin = twice.world.user("admin", is_superuser=True, is_staff=True)
    for who in (twice.steward, twice.world.contributor(twice.dataset, lund), twice.researcher, admin):
        with pytest.raises(Denied):
            reporting.person_report(who, twice.dataset, twice.site, WHO)
    with pytest.raises(Invalid, match="unknown_person"):
        reporting.person_report(twice.contributor, twice.dataset, twice.site, "NOBODY-1")
    # Known at the same site, but not in the dataset asked in: nothing is said of elsewhere.
    only = twice.world.participant(twice.second, twice.site, "ONLY-THERE")
    assert only.pk
    with pytest.raises(Invalid, match="unknown_person"):
        reporting.person_report(twice.contributor, twice.dataset, twice.site, "ONLY-THERE")
    door(twice.steward).post("/person-report", {"dataset": twice.dataset.slug, "site": twice.site.code, "patient_id": WHO}, 403)


def test_who_left_is_told_what_remains(twice: Any, carried: Any) -> None:
    actions.withdraw(twice.contributor, twice.leaver)
    carried.work()
    (here,) = reporting.person_report(twice.contributor, twice.dataset, twice.site, WHO)["participations"]
    assert here["state"] == "withdrawn" and here["identifiers"]["patient_id"] is None and not here["images"] and not here["visits"]
    assert here["recipients"][0]["files"] and here["notices"] and here["removals"][0]["state"] == "done"


def test_the_command_writes_for_its_owner_alone(twice: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(WHO + "\n"))
    place = ["--dataset", twice.dataset.slug, "--site", twice.site.code]
    call_command("person_report", "-", *place, "--as", twice.contributor.email, "--out", str(tmp_path / "out"))
    assert json.loads((tmp_path / "out/report.json").read_text())["person"]["participations"] == 2
    assert WHO in (tmp_path / "out/report.html").read_text() and WHO not in capsys.readouterr().out
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "out").iterdir()} == {0o600}
    with pytest.raises(CommandError, match="no_role"):
        call_command("person_report", WHO, *place, "--as", twice.steward.email, "--out", str(tmp_path / "other"))


def taken(answer: Any) -> dict[str, bytes]:
    assert answer.status_code == 200, answer.content
    with tarfile.open(fileobj=io.BytesIO(b"".join(answer.streaming_content))) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


def test_a_site_takes_its_own_home(twice: Any, carried: Any, door: Any) -> None:
    lund = twice.world.site("lund", "SE")
    twice.dataset.sites.add(lund)
    foreign = twice.world.participant(twice.dataset, lund)
    twice.world.consent(foreign)
    twice.image(foreign)
    waiting = twice.image(twice.stayer, suffix="FLAIR", state="proposed")
    before = Line.objects.count()
    files = taken(door(twice.contributor).raw("get", f"/datasets/{twice.dataset.slug}/own?site={twice.site.code}"))
    root = f"{twice.dataset.slug}-{twice.site.code}"
    image = twice.leaver.visits.get().images.get()
    assert f"{root}/{image.bids_path}" in files and f"{root}/participants.tsv" in files
    assert twice.leaver.label.encode() in files[f"{root}/participants.tsv"]
    text = b"".join(files.values()) + "".join(files).encode()
    assert foreign.label.encode() not in text and f"{root}/{waiting.bids_path}" not in files and WHO.encode() not in text
    assert [line.act for line in Line.objects.filter(seq__gt=before)] == ["site.download"]
    for who, site in ((twice.steward, twice.site), (twice.contributor, lund), (twice.researcher, twice.site)):
        assert door(who).raw("get", f"/datasets/{twice.dataset.slug}/own?site={site.code}").status_code == 403
    actions.withdraw(twice.contributor, twice.leaver)
    carried.work()
    files = taken(door(twice.contributor).raw("get", f"/datasets/{twice.dataset.slug}/own?site={twice.site.code}"))
    assert twice.leaver.label.encode() not in b"".join(files.values()) + "".join(files).encode()


def test_it_has_a_receipt_of_every_upload(house: Any, carried: Any, door: Any) -> None:
    import hashlib
    from datetime import date

    from registry.intake import actions as intake

    person = house.person(patient_id="MRN-1")
    house.visit(person)
    upload = intake.begin_upload(house.contributor, house.dataset, house.site)
    intake.receive_file(house.contributor, upload, 1, "", io.BytesIO(b"scan"), 4, hashlib.sha256(b"scan").hexdigest())
    upload = intake.complete_upload(house.contributor, upload, 1, 4)
    carried.sort(str(upload.pk), [("MRN-1", date(2021, 3, 4))])
    carried.studies()
    files = taken(door(house.contributor).raw("get", f"/datasets/{house.dataset.slug}/own?site={house.site.code}"))
    receipt = json.loads(files[f"{house.dataset.slug}-{house.site.code}/receipts/{upload.pk}.json"])
    assert receipt["pieces"] == []
    assert receipt["files"][0]["verdict"] == "kept" and receipt["studies"][0]["state"] == "recorded"
