"""A package holds exactly those whom the entitlement covers, opens with one key, and is refused when anything about that is no longer so."""

from __future__ import annotations

import io
import json
import os
import tarfile
from datetime import timedelta
from typing import Any

import pyrage
import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from registry.access import actions as access
from registry.access import policy
from registry.access.models import Entitlement
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.audit.models import Head, Line
from registry.consent import actions as consent
from registry.imaging import store
from registry.releases import actions, packing, sealing
from registry.releases.models import Package, Release
from registry.rules import Conflict, Denied
from registry.runs import ledger, runner
from registry.runs.models import Run

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def key() -> Any:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def released(house: Any) -> Any:
    """Three people in release 1: two for general use, one for ancestry research only."""
    house.people = [house.person("GRU"), house.person("HMB"), house.person("POA")]
    for person in house.people:
        house.image(person)
    house.release()
    return house


@pytest.fixture
def right(released: Any, key: Any) -> Entitlement:
    granted: Entitlement = released.world.entitled(released.dataset, released.steward, recipient_key=str(key.to_public()))
    return granted


def built(right: Entitlement, carried: Any) -> Package:
    package = actions.build_package(right.user, right)
    carried.work()
    package.refresh_from_db()
    assert package.state == "ready", package.reason
    return package


def opened(package: Package, key: Any) -> dict[str, bytes]:
    plain = pyrage.decrypt(packing.place(package.pk).read_bytes(), [key])
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_it_holds_whom_consent_covers(released: Any, right: Entitlement, key: Any, carried: Any) -> None:
    package = built(right, carried)
    files = opened(package, key)
    told = {name.split("/")[1].split("_")[0] for name in files if "/sub-" in name}
    assert told == {f"sub-{person.label}" for person in released.people[:2]}
    assert set(package.people.values_list("participant", flat=True)) == {person.pk for person in released.people[:2]}
    everything = b"".join(files.values())
    assert released.people[2].label.encode() not in everything
    assert all(person.code.encode() not in everything for person in released.people)


def test_its_papers_are_inside_and_the_manifest_is_signed(released: Any, right: Entitlement, key: Any, carried: Any) -> None:
    package = built(right, carried)
    files = opened(package, key)
    root = f"{released.dataset.slug}-1.0.0"
    assert right.user.email.encode() in files[f"{root}/DATA_USE_NOTICE.txt"] and files[f"{root}/.gitignore"] == b"*\n"
    assert b"You keep the data to yourself." in files[f"{root}/TERMS.txt"]
    manifest = json.loads(files[f"{root}/MANIFEST.json"])
    signature = files[f"{root}/MANIFEST.sig"].decode().strip()
    public = sealing.public_key(packing.key_file())
    assert sealing.verify(manifest, signature, public) and manifest == package.manifest
    assert not sealing.verify({**manifest, "ends": "2999-01-01"}, signature, public)
    for row in manifest["files"]:
        data = files[row["path"]]
        assert (sealing.hashlib.sha256(data).hexdigest(), len(data)) == (row["sha256"], row["bytes"])


def test_what_a_consent_asks_of_the_recipient_is_in_the_notice(released: Any, key: Any, carried: Any) -> None:
    consent.record(released.people[0], "renewed", "GRU", modifiers=["PUB"], evidence_sha256="e" * 64)
    right = released.world.entitled(released.dataset, released.steward, recipient_key=str(key.to_public()), promises=["PUB"])
    files = opened(built(right, carried), key)
    assert b"\n- PUB: the recipient publishes the results.\n" in files[f"{released.dataset.slug}-1.0.0/DATA_USE_NOTICE.txt"]


NOTICED = b"\n- TS: no use for longer than 24 months.\n"


def notice(package: Package, key: Any) -> bytes:
    return next(data for name, data in opened(package, key).items() if name.endswith("DATA_USE_NOTICE.txt"))


def test_the_notice_says_what_the_consent_that_holds_now_asks(released: Any, right: Entitlement, key: Any, carried: Any) -> None:
    """Approved under one consent, packed under the next: a request's frozen answer is not what goes out."""
    consent.record(released.people[0], "renewed", "GRU", max_months=24, evidence_sha256="e" * 64)
    package = built(right, carried)
    assert NOTICED in notice(package, key) and package.manifest["obligations"] == ["TS: no use for longer than 24 months."]


def test_a_package_that_tells_too_little_is_refused_and_made_again(released: Any, right: Entitlement, key: Any, carried: Any) -> None:
    package, person = built(right, carried), released.people[0]
    actions.start_download(right.user, package, (0, package.bytes))
    assert NOTICED not in notice(package, key)
    consent.record(person, "renewed", "GRU", max_months=24, evidence_sha256="e" * 64)
    assert (packing.gone(package.pk) or ("",))[0] == "obligations_grew"
    with pytest.raises(Denied, match="obligations_grew"):
        actions.start_download(right.user, package, (0, package.bytes))
    again = built(right, carried)
    package.refresh_from_db()
    assert (package.state, package.code, again.pk != package.pk) == ("dead", "obligations_grew", True)
    assert NOTICED in notice(again, key)
    actions.start_download(right.user, again, (0, again.bytes))
    consent.record(person, "renewed", "GRU", evidence_sha256="e" * 64)  # fewer obligations: what was said still covers it
    assert packing.gone(again.pk) is None and actions.build_package(right.user, right).pk == again.pk


def test_a_package_of_before_obligations_were_told_is_made_again(released: Any, key: Any, carried: Any) -> None:
    consent.record(released.people[0], "renewed", "GRU", max_months=24, evidence_sha256="e" * 64)
    right = released.world.entitled(released.dataset, released.steward, recipient_key=str(key.to_public()))
    package = built(right, carried)
    assert actions.build_package(right.user, right).pk == package.pk
    Package.objects.filter(pk=package.pk).update(manifest={name: value for name, value in package.manifest.items() if name != "obligations"})
    package.refresh_from_db()
    with pytest.raises(Denied, match="obligations_grew"):
        actions.start_download(right.user, package, (0, package.bytes))
    assert actions.build_package(right.user, right).pk != package.pk


def test_obligations_that_grow_while_it_is_packed_stop_it(released: Any, right: Entitlement, carried: Any) -> None:
    package = actions.build_package(right.user, right)
    run = ledger.claim("test:1:a", run_id=package.run_id)
    assert run is not None
    result = actions.work_package(run, lambda: None)
    consent.record(released.people[0], "renewed", "GRU", max_months=24, evidence_sha256="e" * 64)
    with pytest.raises(Denied, match="obligations_grew"):
        ledger.commit(run, lambda held: actions.record_package(held, result))
    consent.record(released.people[0], "renewed", "GRU", evidence_sha256="e" * 64)
    ledger.commit(run, lambda held: actions.record_package(held, result))
    package.refresh_from_db()
    assert package.state == "ready"


def test_plaintext_lies_nowhere_but_in_the_store(released: Any, right: Entitlement, carried: Any, home: Any) -> None:
    package = built(right, carried)
    image = next(row for row in package.manifest["files"] if row["path"].endswith("nii.gz"))
    found = [path for path in home.rglob("*") if path.is_file() and sealing.hashlib.sha256(path.read_bytes()).hexdigest() == image["sha256"]]
    assert [path.relative_to(home).parts[0] for path in found] == ["store"]


@pytest.mark.parametrize("spoil", ["flip", "cut", "drop", "swap", "another key"])
def test_what_was_tampered_with_does_not_open(spoil: str, right: Entitlement, key: Any, carried: Any) -> None:
    package = built(right, carried)
    whole = packing.place(package.pk).read_bytes()
    assert pyrage.decrypt(whole, [key])
    middle = len(whole) // 2
    other = {"flip": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "cut": whole[:-20], "drop": whole[:middle] + whole[middle + 9 :]}
    other["swap"] = whole[:300] + whole[middle : middle + 99] + whole[399:middle] + whole[300:399] + whole[middle + 99 :]
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(other.get(spoil, whole), [key if spoil != "another key" else pyrage.x25519.Identity.generate()])


def test_the_same_again_is_the_same_package(right: Entitlement, carried: Any) -> None:
    package = built(right, carried)
    assert actions.build_package(right.user, right).pk == package.pk
    assert Package.objects.count() == 1


def test_only_its_holder_builds_it(released: Any, right: Entitlement) -> None:
    for who in (released.steward, released.world.user()):
        with pytest.raises(Denied, match="not_yours"):
            actions.build_package(who, right)
    assert actions.build_package(right.user, right).state == "building"


def test_an_entitlement_that_is_over_builds_nothing(released: Any, right: Entitlement, carried: Any) -> None:
    actions.build_package(right.user, right)
    Entitlement.objects.filter(pk=right.pk).update(starts=timezone.now() - timedelta(days=9), ends=timezone.now() - timedelta(days=1))
    run = Run.objects.get(kind="package")
    assert runner.carry(str(run.pk)) == "dead"
    package = Package.objects.get()
    assert (package.state, package.code) == ("failed", "entitlement_ended")
    right.refresh_from_db()
    with pytest.raises(Denied, match="entitlement_ended"):
        actions.build_package(right.user, right)


def test_somebody_who_leaves_while_it_is_packed_is_not_given_out(released: Any, right: Entitlement, carried: Any) -> None:
    package = actions.build_package(right.user, right)
    run = ledger.claim("test:1:a", run_id=package.run_id)
    assert run is not None
    result = actions.work_package(run, lambda: None)
    actions.withdraw(released.steward, released.people[0])
    with pytest.raises(Denied, match="consent_denies"):
        ledger.commit(run, lambda held: actions.record_package(held, result))
    assert ledger.fail(run, "consent_denies", "left", again=False) == "dead"
    package.refresh_from_db()
    assert (package.state, package.people.count()) == ("failed", 0)
    actions.tick()
    assert not packing.place(package.pk).exists()
    carried.work()
    assert built(right, carried).people.count() == 1


def test_a_store_file_that_rots_is_not_packed(released: Any, right: Entitlement) -> None:
    person = released.people[0]
    volume = store.path(person, released.dataset.releases.get().files.filter(participant=person, path__endswith="nii.gz").get().sha256)
    volume.write_bytes(os.urandom(volume.stat().st_size))
    package = actions.build_package(right.user, right)
    assert runner.carry(str(package.run_id)) == "ready"  # to be tried again
    package.refresh_from_db()
    assert package.state == "building" and not packing.place(package.pk).exists()


@pytest.mark.parametrize("change", ["narrowed away", "narrowed, still covered", "expired", "over its end", "leaves", "revoked", "disabled", "ended"])
def test_every_chunk_asks_again(change: str, released: Any, right: Entitlement, carried: Any) -> None:
    package, person = built(right, carried), released.people[0]
    assert packing.gone(package.pk) is None
    evidence = {"evidence_sha256": "c" * 64}
    now = timezone.now()
    match change:
        case "narrowed away":
            consent.record(person, "narrowed", "POA", **evidence)
        case "narrowed, still covered":
            consent.record(person, "narrowed", "HMB", **evidence)
        case "expired":
            consent.record(person, "expired")
        case "over its end":
            consent.record(person, "renewed", "GRU", valid_until=now.date() - timedelta(days=1), **evidence)
        case "leaves":
            actions.withdraw(released.steward, person)
        case "revoked":
            access.revoke_entitlement("system:test", right, "test")
        case "disabled":
            access.disable_account("system:test", right.user)
        case "ended":
            Entitlement.objects.filter(pk=right.pk).update(starts=now - timedelta(days=2), ends=now)
    codes = {"leaves": "participant_withdrawn", "revoked": "entitlement_revoked", "disabled": "not_signed_in", "ended": "entitlement_ended"}
    expected = None if change == "narrowed, still covered" else codes.get(change, "consent_denies")
    why = packing.gone(package.pk)
    assert (why and why[0]) == expected


def test_a_consent_that_comes_to_its_end_by_itself_ends_the_package(released: Any, key: Any, carried: Any) -> None:
    """No event is recorded on that day: the end was known when the package was made, and is compared for every chunk."""
    today = timezone.now().date()
    consent.record(released.people[0], "renewed", "GRU", valid_until=today, evidence_sha256="d" * 64)
    right = released.world.entitled(released.dataset, released.steward, recipient_key=str(key.to_public()))
    package = built(right, carried)
    assert packing.gone(package.pk) is None
    ends = package.people.get(participant=released.people[0]).consent_ends
    assert ends is not None and ends.date() == today + timedelta(days=1)
    package.people.update(consent_ends=timezone.now() - timedelta(seconds=1))
    assert packing.gone(package.pk) is None  # the full question still says yes today: the mark only makes it be asked


def test_one_query_a_chunk(right: Entitlement, carried: Any, django_assert_max_num_queries: Any) -> None:
    package = built(right, carried)
    with django_assert_max_num_queries(1):
        assert packing.gone(package.pk) is None


def test_a_release_that_is_not_validated_is_not_given_out(released: Any, right: Entitlement) -> None:
    released.dataset.releases.update(state="invalid")
    with pytest.raises(Conflict, match="release_not_validated"):
        actions.build_package(right.user, right, released.dataset.releases.get())
    with pytest.raises(Conflict, match="no_release"):
        actions.build_package(right.user, right)


def test_who_has_somebody_s_data_is_listed_file_by_file(released: Any, right: Entitlement, carried: Any) -> None:
    package, out = built(right, carried), io.StringIO()
    person = released.people[0]
    actions.start_download(right.user, package, (0, package.bytes))
    for name in (person.label, f"sub-{person.label}", person.code, str(person.pk)):
        call_command("who_has", name, stdout=out)
    text = out.getvalue()
    assert text.count(right.user.email) == 4 and text.count(f"sub-{person.label}_ses-m00_T1w.nii.gz") == 4
    assert not any(other.label in text for other in released.people[1:]) and "first given out: 20" in text
    out = io.StringIO()
    call_command("who_has", released.people[2].label, stdout=out)
    assert "0 package(s)" in out.getvalue()
    with pytest.raises(CommandError):
        call_command("who_has", "nobody")


def test_who_has_says_nothing_that_it_could_not_record(released: Any, right: Entitlement, carried: Any) -> None:
    built(right, carried)
    person, out = released.people[0], io.StringIO()
    before = Line.objects.count()
    head = Head.objects.get()
    Head.objects.update(count=1)
    with pytest.raises(audit.AuditBroken):
        call_command("who_has", person.label, stdout=out)
    assert (out.getvalue(), Line.objects.count()) == ("", before)
    head.save()
    call_command("who_has", person.label, stdout=out)
    assert "1 package(s)" in out.getvalue() and Line.objects.count() == before + 1


def test_a_recipient_who_moves_to_where_a_consent_does_not_reach_is_given_nothing_more(house: Any, key: Any, carried: Any) -> None:
    """The country of an account is part of the purpose: a chunk says of it what the policy says, for the requester and for a member."""
    person = house.person(None)
    house.world.consent(person, "GRU", countries=["DK"])
    house.image(person)
    house.release()
    draft = access.draft_request(house.world.user("seeker"), house.dataset, title="T", abstract="A", purpose="HMB", recipient_key=str(key.to_public()))
    member = access.name_member(draft.requester, draft, house.world.user("member"))
    access.set_recipient_key(member.user, draft, str(key.to_public()))
    access.approve_request(house.steward, access.submit_request(draft.requester, draft))
    access.sign_agreement(member.user, draft, 1)
    package = built(access.sign_agreement(draft.requester, draft, 1), carried)
    for mover in (draft.requester, member.user):
        for country, code in (("DK", None), ("US", "consent_denies"), ("DK", None)):
            User.objects.filter(pk=mover.pk).update(country=country)
            why = packing.gone(package.pk)
            assert (why[0] if why else None) == code and policy.still(package.entitlement_id, [person.pk]) == (code is None)


@pytest.mark.parametrize("state", ["invalid", "failed"])
def test_a_release_that_was_refused_is_given_to_nobody(state: str, released: Any, right: Entitlement, carried: Any) -> None:
    """Neither what is ready of it, nor what was being made; the same package may be had while the release is validated."""
    package = built(right, carried)
    assert packing.gone(package.pk) is None
    Release.objects.filter(pk=package.release_id).update(state=state)
    assert (packing.gone(package.pk) or ("",))[0] == "release_invalid"
    Release.objects.filter(pk=package.release_id).update(state="validated")
    assert packing.gone(package.pk) is None


def test_a_release_refused_while_its_package_was_made(released: Any, right: Entitlement) -> None:
    package = actions.build_package(right.user, right)
    run = Run.objects.get(pk=package.run_id)
    made = actions.work_package(run, lambda: None)
    Release.objects.filter(pk=package.release_id).update(state="invalid")
    with pytest.raises(Denied, match="release_not_validated"), transaction.atomic():
        actions.record_package(run, made)
    Release.objects.filter(pk=package.release_id).update(state="validated")
    with transaction.atomic():
        assert actions.record_package(run, made)["state"] == "ready"
