"""What stops a download on its next chunk, and images of the orbits, over the API. INNI, ADNI and ATLAS have stories of their own."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pyrage
import pytest

from registry.access import actions as access
from registry.access import pairs
from registry.intake import actions as intake
from registry.releases import packing
from registry.releases.models import Package
from registry.rules import Conflict, Invalid

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
