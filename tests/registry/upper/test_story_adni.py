"""ADNI: a year of data, reminders before its end, a report that renews it, no answer that ends it, and an agreement that every member signs again.

Time is moved by moving the end of the entitlements nearer, as in `test_access.py`: what is asked looks at the clock alone.
"""

from __future__ import annotations

import gzip
import hashlib
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import nibabel as nib
import numpy as np
import pyrage
import pytest
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from registry.access import actions as access
from registry.access.models import Entitlement, Request
from registry.accounts.models import User
from registry.imaging import store
from registry.releases import packing
from registry.releases.models import Package
from registry.rules import Conflict, Denied
from tests.registry.upper.desks import Desk, at_desk, opened, package_of, released

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def test_a_year_its_reminders_its_end_and_its_renewal(house: Any, live_server: Any, carried: Any) -> None:
    for n in range(2):
        house.image(house.person("HMB"), seed=f"head {n}")
    wide(house)
    released(house)
    steward = at_desk(live_server, house.steward)
    seeker, member = (house.world.user(name) for name in ("seeker", "member"))
    request, keys = granted(house, at_desk(live_server, seeker), steward, seeker, member)
    desks = [at_desk(live_server, user) for user in (seeker, member)]
    rights = {one.user_id: str(one.pk) for one in Entitlement.objects.filter(request=request)}
    packages = [package_of(desk, rights[user.pk], carried) for desk, user in zip(desks, (seeker, member), strict=True)]
    for desk, key, (_, told) in zip(desks, keys, packages, strict=True):
        assert opened(desk.raw("get", told["download"]).content, key)
    with pytest.raises(pyrage.DecryptError):
        opened(desks[0].raw("get", packages[0][1]["download"]).content, keys[1])

    reminded(request, [seeker, member])

    # Nobody answers: the download in progress stops at its next chunk once the end is there, and the next request is refused.
    package, told = packages[0]
    over_in(request, timedelta(hours=1))
    download = packing.chunks(package.pk, 0, package.bytes)
    assert len(next(download)) == packing.CHUNK < package.bytes
    assert desks[0].raw("get", told["download"]).status_code == 200
    over_in(request, -timedelta(seconds=1))
    with pytest.raises(Denied, match="entitlement_ended"):
        next(download)
    for desk, (_, mine) in zip(desks, packages, strict=True):
        desk.refused(mine["download"], 403, "entitlement_ended")

    # The report came before the end, and is accepted: the very same packages go on.
    over_in(request, timedelta(days=3))
    with pytest.raises(Conflict, match="report_missing"):
        access.renew_request(house.steward, request, latest(request))
    access.report(seeker, request, "Two papers.", publications="doi:10.1/x", months=12)
    for who in (seeker, member, house.contributor):
        with pytest.raises(Denied, match=r"no_role|self_approval"):
            access.renew_request(who, request, latest(request))
    access.renew_request(house.steward, request, latest(request))
    request.refresh_from_db()
    assert (request.state, request.months) == ("active", 24)
    assert Entitlement.objects.filter(request=request, ends__gt=timezone.now() + timedelta(days=360), reminded_days=365).count() == 2
    for desk, (_, mine) in zip(desks, packages, strict=True):
        assert desk.raw("get", mine["download"]).status_code == 200

    resigned(house, request, desks, [seeker, member], packages)
    ended(house, request, desks[0], packages[0])


def wide(house: Any) -> None:
    """An image of noise that takes several chunks, so that a download has a middle."""
    person = house.person("HMB")
    image = house.image(person)
    noise = np.random.default_rng(5).integers(0, 30_000, (64, 64, 96)).astype(np.int16)
    data = gzip.compress(nib.Nifti1Image(noise, np.eye(4)).to_bytes(), mtime=0)
    sha256 = hashlib.sha256(data).hexdigest()
    store.put(person, data, sha256)
    image.files.filter(kind="image").update(sha256=sha256, bytes=len(data))


def granted(house: Any, desk: Desk, steward: Desk, seeker: User, member: User) -> tuple[Request, list[Any]]:
    """A request of a team of two for twelve months, granted; each signs the numbered clauses and gives a key."""
    access.publish_agreement(house.steward, house.dataset, "1. Keep it.\n2. Pass it to nobody.\n3. Report each year.")
    keys = [pyrage.x25519.Identity.generate() for _ in range(2)]
    wanted = {"dataset": house.dataset.slug, "title": "Atrophy", "abstract": "We measure.", "purpose": "HMB", "months": 12}
    made = desk.post("/requests", {**wanted, "recipient_key": str(keys[0].to_public())}, 201)
    request = Request.objects.get(pk=made["id"])
    access.name_member(seeker, request, member)
    desk.post(f"/requests/{request.pk}/submit", {}, 200)
    steward.post(f"/requests/{request.pk}/decide", {"verdict": "approve", "reason": "Good."}, 200)
    access.set_recipient_key(member, request, str(keys[1].to_public()))
    version = desk.get(f"/requests/{request.pk}/agreement")["version"]
    desk.post(f"/requests/{request.pk}/sign", {"version": version - 1, "accept": True}, 409, "agreement_changed")
    desk.post(f"/requests/{request.pk}/sign", {"version": version, "accept": True}, 202)
    assert not Entitlement.objects.exists()  # one of the two has not signed
    access.sign_agreement(member, request, version)
    assert Entitlement.objects.filter(request=request).count() == 2
    return request, keys


def over_in(request: Request, time: timedelta) -> None:
    """The year began long ago, and ends in so much time from now."""
    now = timezone.now()
    Entitlement.objects.filter(request=request).update(starts=now - timedelta(days=400), ends=now + time)


def tick() -> None:
    call_command("tick", "--force", stdout=StringIO())


def reminded(request: Request, team: list[User]) -> None:
    """A letter to each of the team 30, 14 and 7 days before the end, once each, and none in between."""
    tick()
    mail.outbox.clear()
    for days, letters in ((31, 0), (29, 2), (15, 0), (13, 2), (6, 2), (2, 0)):
        over_in(request, timedelta(days=days))
        tick()
        tick()  # what one tick queues, the next sends
        sent = [one for one in mail.outbox if str(request.pk) in str(one.body)]
        assert {one.subject for one in sent} == ({"Your access ends soon"} if letters else set())
        assert sorted(one.to[0] for one in sent) == (sorted(user.email for user in team) if letters else []), days
        mail.outbox.clear()
    request.refresh_from_db()
    assert request.state == "renewal_due"


def resigned(house: Any, request: Request, desks: list[Desk], team: list[User], packages: list[tuple[Package, dict[str, Any]]]) -> None:
    """A material change stops each member until that member has signed again; another change stops nobody."""
    access.publish_agreement(house.steward, house.dataset, "A word was mended.")
    assert desks[0].raw("get", packages[0][1]["download"]).status_code == 200
    access.publish_agreement(house.steward, house.dataset, "4. Delete it within a week when told to.", material=True)
    for desk, (_, mine) in zip(desks, packages, strict=True):
        desk.refused(mine["download"], 403, "agreement_unsigned")
    version = desks[0].get(f"/requests/{request.pk}/agreement")["version"]
    desks[0].post(f"/requests/{request.pk}/sign", {"version": version, "accept": True}, 200)
    assert desks[0].raw("get", packages[0][1]["download"]).status_code == 200
    desks[1].refused(packages[1][1]["download"], 403, "agreement_unsigned")
    access.sign_agreement(team[1], request, version)
    assert desks[1].raw("get", packages[1][1]["download"]).status_code == 200


def ended(house: Any, request: Request, desk: Desk, mine: tuple[Package, dict[str, Any]]) -> None:
    """Left unanswered to its end, the tick marks it, the package is dead for good, and no renewal brings it back."""
    over_in(request, timedelta(days=20))
    tick()
    over_in(request, -timedelta(days=1))
    tick()
    request.refresh_from_db()
    assert request.state == "expired" and not packing.place(mine[0].pk).exists()
    with pytest.raises(Conflict, match="request_state"):
        access.report(request.requester, request, "Too late.")
    assert desk.raw("get", mine[1]["download"]).status_code in (403, 410)


def latest(request: Any) -> Any:
    """The report that waits or was accepted last; something else where there is none."""
    last = request.renewals.last()
    return last.pk if last else uuid4()
