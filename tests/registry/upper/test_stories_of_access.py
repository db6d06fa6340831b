"""INNI, ADNI and ATLAS, over the API: four sites and a board; a year and its renewal; two views of one dataset. And images of the orbits."""

from __future__ import annotations

import io
import tarfile
from datetime import timedelta
from typing import Any

import pyrage
import pytest
from django.utils import timezone

from registry.access import actions as access
from registry.access import pairs
from registry.access.models import Entitlement
from registry.imaging.models import Image
from registry.intake import actions as intake
from registry.releases import packing
from registry.releases.models import Package
from registry.rules import Conflict, Invalid
from registry.runs.models import Mail

pytestmark = pytest.mark.django_db(databases="__all__")
ASKED = {"title": "A study", "abstract": "What we want to find out.", "purpose": "HMB"}


@pytest.fixture
def key() -> Any:
    return pyrage.x25519.Identity.generate()


def ask(desk: Any, dataset: Any, key: Any, **fields: Any) -> dict[str, Any]:
    drafted = desk.post("/requests", {"dataset": dataset.slug, **ASKED, "recipient_key": str(key.to_public()), **fields}, 201)
    return desk.post(f"/requests/{drafted['id']}/submit", {}, 200)


def signed(desk: Any, request: str) -> dict[str, Any]:
    return desk.post(f"/requests/{request}/sign", {"version": 1, "accept": True}, 200)


def packed(desk: Any, right: str, carried: Any) -> Package:
    made = desk.post("/packages", {"entitlement": right, "release": None}, 202)
    carried.work()
    return Package.objects.get(pk=made["id"])


def names(package: Package, key: Any) -> set[str]:
    plain = pyrage.decrypt(packing.place(package.pk).read_bytes(), [key])
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {member.name.split("/", 1)[1] for member in tar}


def test_inni_four_sites_see_their_own_and_a_board_votes(world: Any, door: Any, key: Any) -> None:
    sites = [world.site(code) for code in ("milan", "naples", "rome", "siena")]
    dataset = world.dataset(*sites)
    for site in sites:
        world.consent(world.participant(dataset, site))
    for site in sites:
        seen = door(world.contributor(dataset, site)).get("/participants")["results"]
        assert [row["site"] for row in seen] == [site.code]
    admin, steward = door(world.user("admin", is_superuser=True)), door(world.steward(dataset))
    admin.post(f"/datasets/{dataset.slug}/votes", {"quorum": 2, "voters": "committee"}, 200)
    board = [world.user("board", institution=f"Hospital {site.code}") for site in sites]
    for user in board:
        access.give_role("system:test", user, dataset, "committee")
    request = ask(door(world.user("researcher")), dataset, key)["id"]
    decide = {"verdict": "approve", "reason": ""}
    door(board[0]).post(f"/requests/{request}/vote", {"yes": True}, 200)
    steward.post(f"/requests/{request}/decide", decide, 409, "quorum_missing")
    door(board[1]).post(f"/requests/{request}/vote", {"yes": False, "reason": "Too wide."}, 200)
    door(board[2]).post(f"/requests/{request}/vote", {"yes": True}, 200)
    assert steward.post(f"/requests/{request}/decide", decide, 200)["state"] == "approved_pending_signatures"
    door(board[3]).post(f"/requests/{request}/vote", {"yes": True}, 409, "request_state")


def test_adni_no_answer_and_the_download_stops(house: Any, door: Any, key: Any, carried: Any) -> None:
    house.image(house.person())
    house.release()
    who = house.world.user("researcher")
    desk, steward = door(who), door(house.steward)
    request = ask(desk, house.dataset, key)["id"]
    steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 200)
    right = signed(desk, request)["id"]
    package = packed(desk, right, carried)
    for days in (30, 14, 7):
        Entitlement.objects.update(ends=timezone.now() + timedelta(days=days) - timedelta(hours=1))
        access.expire()
    assert Mail.objects.filter(to=who.email, subject="Your access ends soon").count() == 3
    assert desk.get(f"/requests/{request}")["state"] == "renewal_due"
    chunks = packing.chunks(package.pk, 0, package.bytes)
    next(chunks)
    # With an answer it goes on.
    desk.post(f"/requests/{request}/reports", {"done": "We counted lesions.", "months": 12}, 201)
    assert steward.post(f"/requests/{request}/renew", None, 200)["state"] == "active"
    assert desk.raw("get", f"/packages/{package.pk}/download").status_code == 200
    # Without one it stops the moment the end has come; no tick is needed.
    Entitlement.objects.update(starts=timezone.now() - timedelta(days=700), ends=timezone.now() - timedelta(seconds=1))
    desk.get(f"/packages/{package.pk}/download", 403)
    assert packing.gone(package.pk)[0] == "entitlement_ended"
    access.expire()
    access.expire()
    assert desk.get(f"/requests/{request}")["state"] == "expired"
    desk.post(f"/requests/{request}/close", None, 200)
    assert desk.post(f"/requests/{request}/attest", {"statement": "All is deleted."}, 200)["state"] == "closed"


@pytest.mark.parametrize("stop", ["suspend", "revoke", "material", "level"])
def test_a_stop_bites_on_the_next_chunk(house: Any, key: Any, carried: Any, stop: str, door: Any) -> None:
    house.image(house.person())
    house.release()
    right = house.world.entitled(house.dataset, house.steward, recipient_key=str(key.to_public()))
    package = packed(door(right.user), str(right.pk), carried)
    assert packing.gone(package.pk) is None and packing.in_full(package.pk) is None
    match stop:
        case "suspend":
            access.suspend_request(house.steward, right.request, "A doubt.")
        case "revoke":
            access.revoke_request(house.steward, right.request, "Misuse.")
        case "material":
            access.publish_agreement(house.steward, house.dataset, "Stricter.", material=True)
        case "level":
            access.set_level("system:test", house.dataset, "closed")
    codes = {"suspend": "entitlement_suspended", "revoke": "entitlement_revoked", "material": "agreement_unsigned", "level": "dataset_closed"}
    assert packing.gone(package.pk)[0] == codes[stop] and packing.in_full(package.pk)[0] == "consent_denies"
    if stop == "suspend":
        access.resume_request(house.steward, right.request)
    elif stop == "material":
        access.sign_agreement(right.user, right.request, 2)
    assert (packing.gone(package.pk) is None) == (stop in ("suspend", "material"))


def normalised(house: Any, person: Any) -> Image:
    """An image in a common space, as a contributed derivative."""
    image = house.image(person, suffix="T2w", seed=f"mni {person.label}")
    for file in image.files.all():
        file.path = "derivatives/contributed/" + file.path.replace("_T2w", "_space-MNI152NLin2009cAsym_desc-preproc_T2w")
        file.save()
    image.bids_path = image.files.get(path__endswith=".nii.gz").path
    image.save()
    return image


def test_atlas_two_views_of_one_dataset(house: Any, door: Any, key: Any, carried: Any) -> None:
    person = house.person()
    house.image(person)
    normalised(house, person)
    house.image(house.person("POA"))  # whose consent covers other uses only
    house.release()
    steward = door(house.steward)
    for name, kinds, level in (("normalised", ["normalised", "normalised_mask"], "registered"), ("full", ["image", "normalised", "mask"], "controlled")):
        steward.post(f"/datasets/{house.dataset.slug}/views", {"name": name, "title": name, "kinds": kinds, "level": level}, 201)
    who = house.world.user("researcher")
    desk = door(who)
    easy = ask(desk, house.dataset, key, view="normalised")
    assert easy["state"] == "approved_pending_signatures" and easy["level"] == "registered"
    package = packed(desk, signed(desk, easy["id"])["id"], carried)
    inside = names(package, key)
    pictures = {name for name in inside if name.endswith(".nii.gz")}
    assert pictures and all("space-MNI" in name for name in pictures) and not any(name.startswith("phenotype") for name in inside)
    assert not any(f"sub-{person.label}/ses-m00/anat" in name and not name.startswith("derivatives") for name in inside)
    assert desk.get("/images")["results"] == []  # looking around would show the other kinds
    with pytest.raises(pyrage.DecryptError):
        names(package, pyrage.x25519.Identity.generate())
    door(house.world.user("other")).get(f"/packages/{package.pk}", 404)
    full = ask(desk, house.dataset, key, view="full")
    assert full["state"] == "in_review"
    steward.post(f"/requests/{full['id']}/decide", {"verdict": "approve"}, 200)
    whole = names(packed(desk, signed(desk, full["id"])["id"], carried), key)
    assert pictures < {name for name in whole if name.endswith(".nii.gz")}


def test_images_of_the_orbits_are_accepted_by_two_and_given_in_a_restricted_view_only(house: Any, door: Any, key: Any, carried: Any) -> None:
    person = house.person()
    house.image(person)
    image = house.image(person, suffix="T2w", state="proposed", deface_verdict="orbit_restricted")
    with pytest.raises(Invalid, match="reason_missing"):
        intake.accept_image(house.steward, image)
    with pytest.raises(Conflict, match="needs_two_people"):
        intake.accept_image(house.steward, image, "For the optic nerve.")
    second = house.world.steward(house.dataset)
    pairs.second(second, pairs.propose(house.steward, house.dataset, "orbit_release", image, "For the optic nerve."))
    assert intake.accept_image(house.steward, image, "For the optic nerve.").state == "accepted"
    house.release()
    steward = door(house.steward)
    wanted = {"name": "orbits", "title": "Orbits", "kinds": ["orbit"], "level": "controlled"}
    steward.post(f"/datasets/{house.dataset.slug}/views", wanted, 400, "kind_needs_restricted")
    steward.post(f"/datasets/{house.dataset.slug}/views", wanted | {"level": "restricted"}, 201)
    right = house.world.entitled(house.dataset, house.steward, recipient_key=str(key.to_public()))
    desk = door(right.user)
    usual = names(packed(desk, str(right.pk), carried), key)
    assert any(name.endswith("T1w.nii.gz") for name in usual) and not any("T2w" in name for name in usual)
    assert [row["bids_path"].rsplit("_")[-1] for row in desk.get("/images")["results"]] == ["T1w.nii.gz"]
    request = ask(desk, house.dataset, key, view="orbits")["id"]
    steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 409, "needs_two_people")
    told = {"dataset": house.dataset.slug, "act": "restricted_approval", "object": f"request:{request}", "reason": "Sound."}
    proposal = steward.post("/dangerous-acts", told, 201)["id"]
    steward.post(f"/dangerous-acts/{proposal}/second", None, 403, "self_approval")
    door(second).post(f"/dangerous-acts/{proposal}/second", None, 200)
    steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 200)
    orbits = {name for name in names(packed(desk, signed(desk, request)["id"], carried), key) if name.endswith(".nii.gz")}
    assert orbits and all("T2w" in name for name in orbits)
