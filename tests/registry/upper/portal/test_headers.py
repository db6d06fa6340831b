"""What the browser is told it may do, page by page; and an administration that is closed until it is opened."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from django.views import View

from registry.portal.headers import POLICY, ContentSecurityPolicy, wider
from tests.registry.browsers import shown
from tests.registry.upper.portal.strict import faults, loose, policy_of

pytestmark = pytest.mark.django_db(databases="__all__")


def views(resolver: Any = None) -> list[tuple[str, Any]]:
    found = []
    for one in (resolver or get_resolver()).url_patterns:
        if isinstance(one, URLResolver):
            found += views(one)
        elif isinstance(one, URLPattern):
            found.append((one.name or "", one.callback))
    return found


def test_no_view_asks_for_a_policy_that_is_loose() -> None:
    asked = {name: getattr(getattr(view, "view_class", view), "csp", {}) for name, view in views()}
    assert len(asked) > 60
    assert {name: loose(POLICY | dict(csp)) for name, csp in asked.items() if loose(POLICY | dict(csp))} == {}
    # A wider policy is an exception, and each is named here.
    assert {name for name, csp in asked.items() if csp} <= {"image", "before_after"}


def test_what_is_loose_is_seen_and_the_policy_is_not() -> None:
    assert loose(POLICY) == []
    for name, value in [
        ("script-src", "'self' 'unsafe-inline'"),
        ("script-src", "'unsafe-eval'"),
        ("img-src", "https:"),
        ("connect-src", "*"),
        ("worker-src", "cdn.org"),
    ]:
        assert loose(POLICY | {name: value}), value


class Viewer(View):
    csp = {"connect-src": "'self' blob:", "script-src": "'self' 'wasm-unsafe-eval'"}

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("")


class Loose(Viewer):
    csp = {"script-src": "'self' 'unsafe-inline'", "img-src": "'self' blob:"}


def through(view: Any, rf: RequestFactory) -> dict[str, str]:
    request = rf.get("/")
    request.resolver_match = type("Match", (), {"func": staticmethod(view), "url_name": "one"})()
    return policy_of(ContentSecurityPolicy(lambda asked: view(asked))(request))  # type: ignore[arg-type]


def test_a_view_may_ask_for_more_but_never_for_scripts_written_into_it(rf: RequestFactory) -> None:
    asked = through(Viewer.as_view(), rf)
    assert (asked["connect-src"], asked["script-src"], asked["img-src"]) == ("'self' blob:", "'self' 'wasm-unsafe-eval'", POLICY["img-src"])
    refused = through(Loose.as_view(), rf)
    assert (refused["script-src"], refused["img-src"]) == ("'self'", "'self' blob:")
    assert wider(None) == {}


@pytest.mark.parametrize(
    "path", ["/", "/sign-in", "/account", "/account/password", "/nowhere", "/admin/", "/static/portal/base.js", "/api/v1/docs", "/api/v1/health"]
)
def test_every_answer_has_every_header(path: str, house: Any, door: Any) -> None:
    for user in (None, house.steward):
        answer = door(user).client.get(path)
        assert faults(path, answer) == []
        assert path == "/api/v1/docs" or policy_of(answer)["style-src"] == "'self'"
        assert "camera=()" in answer["Permissions-Policy"]
        for close in answer._resource_closers:  # not answer.close(), which would end the test's connection
            close()


def test_the_administration_is_closed_until_it_is_opened_and_then_open_to_staff_alone(house: Any, settings: Any) -> None:
    staff, plain = house.world.user("admin", is_superuser=True, is_staff=True), house.steward

    def asked(user: Any, path: str) -> int:
        client = Client()
        if user is not None:
            shown(client, user)
        status: int = client.get(path).status_code
        return status

    paths = ["/admin/", "/admin/login/", "/admin/accounts/user/", f"/admin/accounts/user/{staff.pk}/change/"]
    assert {asked(user, path) for user in (None, plain, staff) for path in paths} == {404}
    assert Client().post("/admin/login/", {"username": staff.email, "password": "x"}).status_code == 404
    settings.MYELIN_ADMIN = True
    assert [asked(staff, path) for path in paths] == [200, 302, 200, 200]
    assert [asked(user, path) for user in (None, plain) for path in paths] == [302, 200, 302, 302] * 2
    assert asked(staff, "/admin/accounts/user/add/") == 403
    client = Client()
    shown(client, staff)
    assert client.post(f"/admin/accounts/user/{staff.pk}/change/", {"email": "another@example.org"}).status_code == 403


def test_what_is_written_into_a_page_and_a_missing_header_are_seen() -> None:
    answer = Client().get("/")
    assert faults("/", answer) == []
    answer.content += b"<p style='color: red'></p><script>one()</script>"
    del answer.headers["X-Frame-Options"]
    assert faults("/", answer) == ["/: X-Frame-Options is not DENY", "/: written into it:  style=", "/: written into it: <script"]
