"""ATLAS: one dataset in two views. `normalised` (images in MNI space) is for whoever signs; `full` (native images too) for whom a steward says so.

Its packages open with one key alone, are fetched again from any byte on, and are made anew for a new key.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import nibabel as nib
import numpy as np
import pyrage
import pytest

from registry.access import actions as access
from registry.access.models import Request, View
from registry.accounts.models import User
from registry.imaging import store
from registry.imaging.models import Image
from registry.releases import packing
from registry.releases.models import Release
from tests.registry.upper.conftest import volume
from tests.registry.upper.desks import Desk, accept, at_desk, bind, opened, package_of

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.slow]
SPACE = "MNI152NLin2009cAsym"
FULL = ["image", "mask", "normalised", "normalised_mask", "clinical", "quality"]


def test_two_views_and_their_keys(house: Any, live_server: Any, carried: Any) -> None:
    people = [house.person("GRU") for _ in range(3)]
    for person in people:
        normalised(person, house.image(person))
    steward, seeker, other = (at_desk(live_server, user) for user in (house.steward, house.world.user("seeker"), house.world.user("other")))
    release = steward.post("/releases", {"dataset": house.dataset.slug, "changes": "first"}, 202)
    while carried.work():
        pass
    assert steward.get(f"/releases/{release['id']}")["state"] == "validated", Release.objects.get().validator

    access.set_level("system:test", house.dataset, "registered")
    slim = access.open_view(house.steward, house.dataset, "normalised", "In MNI space", ["normalised", "normalised_mask"], "registered")
    full = access.open_view(house.steward, house.dataset, "full", "All images", FULL, "controlled")
    holder = User.objects.get(email=seeker.get("/me")["email"])
    key = pyrage.x25519.Identity.generate()

    # The normalised view: the rule alone decides, the seeker signs, and no native file is in the package.
    right = entitled(seeker, asked(holder, slim, key), "approved_pending_signatures")
    package, told = package_of(seeker, right, carried)
    sealed = seeker.raw("get", told["download"]).content
    files = opened(sealed, key)
    heads = [name for name in files if name.endswith(".nii.gz")]
    assert len(heads) == 2 * len(people) and all(f"_space-{SPACE}_" in name for name in heads), heads
    assert not [name for name in files if "/anat/" in name and "_space-" not in name]
    native = {file.sha256 for image in Image.objects.all() for file in image.files.exclude(path__contains="_space-")}
    assert native and not native & {hashlib.sha256(data).hexdigest() for data in files.values() if data != SIDECAR}

    # The full view of the same person: in review until a steward decides; then native images are there.
    wide = asked(holder, full, key)
    assert wide.state == "in_review"
    seeker.post(f"/requests/{wide.pk}/sign", {"version": 1, "accept": True}, 409)
    steward.post(f"/requests/{wide.pk}/decide", {"verdict": "approve", "reason": "Good."}, 200)
    _, whole = package_of(seeker, entitled(seeker, wide, "approved_pending_signatures"), carried)
    inside = opened(seeker.raw("get", whole["download"]).content, key)
    assert sum(name.startswith("sub-") and name.endswith("_T1w.nii.gz") for name in inside) == len(people)

    keys(seeker, other, sealed, told["download"], key)
    rotated(seeker, carried, right, package.pk, told["download"])


SIDECAR = b'{"MagneticFieldStrength": 3}'


def normalised(person: Any, image: Image) -> None:
    """The same head in MNI space, with a lesion on it, as derivatives of the native image."""
    session = image.visit.label
    stem = f"sub-{person.label}/ses-{session}/anat/sub-{person.label}_ses-{session}_space-{SPACE}"
    native = f"bids:raw:{image.bids_path}"
    made: dict[str, dict[str, Any]] = {f"derivatives/annotations/{stem}_T1w": {"Sources": [native], "SpatialReference": SPACE, "SkullStripped": False}}
    moved = f"bids::{stem}_T1w.nii.gz"
    made[f"derivatives/annotations/{stem}_label-lesion_mask"] = {"Sources": [moved], "SpatialReference": moved, "Type": "Lesion"}
    for path, sidecar in made.items():
        for ending, data in ((".nii.gz", volume(path)), (".json", json.dumps(sidecar).encode())):
            sha256 = hashlib.sha256(data).hexdigest()
            store.put(person, data, sha256)
            image.files.create(path=path + ending, sha256=sha256, bytes=len(data), kind="annotation")


def test_a_head_that_its_site_normalised_comes_in_by_the_doors_and_out_by_the_view(house: Any, door: Any, live_server: Any, carried: Any) -> None:
    """A contributor hands in each head twice, native and in MNI space with the lesion drawn there: real pipeline, a steward's eyes, and the slim package."""
    site, steward = door(house.contributor), door(house.steward)
    person = house.person("GRU")
    visit = house.visit(person)
    upload = site.post("/uploads", {"dataset": house.dataset.slug, "site": house.site.code}, 201)["id"]
    neck = np.random.default_rng(1).normal(600, 40, (32, 30, 20)).astype(np.int16)
    lesion = np.zeros(neck.shape, np.uint8)
    lesion[5:9, 10:14, 8:12] = 1
    there = np.diag([1.0, 1.0, 2.0, 1.0])
    there[:3, 3] = (-16, -40, -60)
    told = {"contrast": "T1w", "body": "CSPINE"}
    files: list[tuple[Any, Any, dict[str, Any]]] = [
        (neck, np.diag([1.0, 1.0, 2.0, 1.0]), told),
        (neck[::-1], there, {**told, "space": SPACE, "beside": 1}),
        (lesion, there, {"rater": "r1", "beside": 2}),
    ]
    raws = [nib.Nifti1Image(data, affine).to_bytes() for data, affine, _ in files]
    for n, (raw, (_, _, said)) in enumerate(zip(raws, files, strict=True), 1):
        site.put_file(upload, n, raw, folder="1", annotation="" if "contrast" in said else "lesion", said=said)
    refused = site.raw("put", f"/uploads/{upload}/files/9?contrast=T1w&space=Hansens", raws[0], content_type="application/octet-stream")
    assert refused.status_code == 400 and b"Hansen" not in refused.content
    site.post(f"/uploads/{upload}/complete", {"count": 3, "bytes": sum(map(len, raws))}, 202)
    bind(site, carried, upload, {"id": str(person.pk)}, {"id": str(visit.pk)})
    assert accept(steward) == 2 and {row["verdict"] for row in site.get(f"/uploads/{upload}/receipt")["files"]} == {"kept"}

    steward.post("/releases", {"dataset": house.dataset.slug, "changes": "first"}, 202)
    carried.work()
    assert Release.objects.get().state == "validated", Release.objects.get().validator
    access.set_level("system:test", house.dataset, "registered")
    view = access.open_view(house.steward, house.dataset, "normalised", "In MNI space", ["normalised", "normalised_mask"], "registered")
    seeker, key = at_desk(live_server, house.world.user("seeker")), pyrage.x25519.Identity.generate()
    holder = User.objects.get(email=seeker.get("/me")["email"])
    right = entitled(seeker, asked(holder, view, key), "approved_pending_signatures")
    inside = opened(seeker.raw("get", package_of(seeker, right, carried)[1]["download"]).content, key)
    heads = sorted(name for name in inside if name.endswith(".nii.gz"))
    assert [name.rsplit(f"_space-{SPACE}_")[-1] for name in heads] == ["T1w.nii.gz", "label-lesion_desc-r1_mask.nii.gz"], heads
    assert json.loads(inside[heads[0].replace(".nii.gz", ".json")])["SpatialReference"] == SPACE


def asked(holder: User, view: View, key: Any) -> Request:
    """A request for a view, handed in."""
    told = {"title": "Stroke", "abstract": "We train.", "purpose": "HMB", "recipient_key": str(key.to_public())}
    return access.submit_request(holder, access.draft_request(holder, view.dataset, view, **told))


def entitled(desk: Desk, request: Request, state: str) -> str:
    """The right that signing gives, where the request waits for nothing else."""
    assert desk.get(f"/requests/{request.pk}")["state"] == state
    version = desk.get(f"/requests/{request.pk}/agreement")["version"]
    return str(desk.post(f"/requests/{request.pk}/sign", {"version": version, "accept": True}, 200)["id"])


def keys(seeker: Desk, other: Desk, sealed: bytes, download: str, key: Any) -> None:
    """Another's key opens nothing, another's login fetches nothing, and a broken download goes on where it stopped."""
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [pyrage.x25519.Identity.generate()])
    other.refused(download, 404, "not_found")
    middle, tag = len(sealed) // 2, f'"{hashlib.sha256(sealed).hexdigest()}"'
    rest = seeker.raw("get", download, HTTP_RANGE=f"bytes={middle}-", HTTP_IF_RANGE=tag)
    assert (rest.status_code, rest.headers["Content-Range"]) == (206, f"bytes {middle}-{len(sealed) - 1}/{len(sealed)}")
    assert pyrage.decrypt(sealed[:middle] + rest.content, [key]) == pyrage.decrypt(sealed, [key])
    fresh = seeker.raw("get", download, HTTP_RANGE=f"bytes={middle}-", HTTP_IF_RANGE='"of another package"')
    assert (fresh.status_code, len(fresh.content)) == (200, len(sealed))


def rotated(seeker: Desk, carried: Any, right: str, before: Any, download: str) -> None:
    """After a new key the same question gives another package, for that key; the one for the old key is dead, and its bytes go."""
    request = Request.objects.get(entitlements=right)
    fresh = pyrage.x25519.Identity.generate()
    assert seeker.post("/packages", {"entitlement": right}, 202)["id"] == str(before)  # the same key: the same package
    access.set_recipient_key(request.requester, request, str(fresh.to_public()))
    package, told = package_of(seeker, right, carried)
    assert package.pk != before and opened(seeker.raw("get", told["download"]).content, fresh)
    assert seeker.raw("get", download).status_code == 410
    from registry.releases.actions import tick

    tick()
    assert packing.place(package.pk).exists() and not packing.place(before).exists()
