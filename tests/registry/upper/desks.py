"""People of an acceptance story at their desks: doors knocked on over real HTTP with a token, and packages opened with an age key."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from typing import Any

import pyrage
import requests
from django.db import transaction
from django.test import Client

from registry.access import actions as access
from registry.accounts.models import User
from registry.releases.models import Package
from tests.registry.upper.conftest import JSON, Door

SCOPES = ["read", "write", "decide", "download"]


@dataclass
class Desk(Door):
    """The API over a socket, as one person's program speaks to it."""

    server: str = ""

    def raw(self, method: str, path: str, data: Any = None, **headers: Any) -> requests.Response:
        kind = headers.pop("content_type", JSON)
        told = {name.removeprefix("HTTP_").replace("_", "-"): value for name, value in headers.items()}
        told |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        told |= {"Content-Type": kind} if data is not None else {}
        body = data if data is None or isinstance(data, bytes | str) else json.dumps(data)
        url = path if path.startswith("http") else f"{self.server}{path if path.startswith('/api/') else f'/api/v1{path}'}"
        return requests.request(method, url, data=body, headers=told, timeout=60)

    def post(self, path: str, data: Any, status: int, code: str | None = None) -> Any:
        answer = self.raw("post", path, data)
        assert answer.status_code == status, (answer.status_code, answer.content)
        told = answer.json() if answer.content else None
        assert not code or (told["code"] == code and answer.headers["Content-Type"] == "application/problem+json"), told
        return told

    def refused(self, path: str, status: int, code: str) -> None:
        """A question that is denied, with the reason's code."""
        answer = self.raw("get", path)
        assert (answer.status_code, answer.json().get("code")) == (status, code), answer.content


def at_desk(live_server: Any, user: User | None = None) -> Desk:
    """Somebody with a token of their own; nobody without."""
    return Desk(Client(), access.issue_token(user, "desk", SCOPES, 30, by_operator=True)[1] if user else "", live_server.url)


def released(house: Any) -> Any:
    """The next release, its validator's report taken for green."""
    with transaction.atomic():
        return house.release()


def package_of(desk: Desk, entitlement: str, carried: Any) -> tuple[Package, dict[str, Any]]:
    """A package that its holder had made: the row, and what the holder is told of it."""
    made = desk.post("/packages", {"entitlement": entitlement}, 202)
    carried.work()
    told = desk.get(f"/packages/{made['id']}")
    assert told["state"] == "ready", told
    return Package.objects.get(pk=made["id"]), told


def opened(sealed: bytes, key: Any) -> dict[str, bytes]:
    """The files of a package, by path below its root. Raises pyrage.DecryptError with another key."""
    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt(sealed, [key]))) as tar:
        return {member.name.partition("/")[2]: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def bind(site: Any, carried: Any, upload: str, person: dict[str, Any], visit: dict[str, Any]) -> None:
    """Sort, say whose the one study is, and let the pipeline work."""
    assert carried.really("sort") == 1
    (study,) = site.get(f"/studies?upload={upload}")["results"]
    assert (study["state"], study["code"]) == ("waiting", "no_identity"), study
    site.post(f"/studies/{study['id']}/bind", {"participant": person["id"], "visit": visit["id"]}, 200)
    assert carried.really("study") == 1


def accept(desk: Any) -> int:
    """The steward looks at every image and takes it."""
    images = desk.get("/images?state=proposed")["results"]
    for image in images:
        for picture in image["pictures"]["review"]:
            assert desk.raw("get", picture).status_code == 200
        desk.post(f"/images/{image['id']}/accept", {"note": "A crop of the neck without any part of a face."}, 200)
    return len(images)
