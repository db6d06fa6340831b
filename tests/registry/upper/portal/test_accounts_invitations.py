"""Invitations and another password by mail: links that work once, lie nowhere, and tell nobody who has an account."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core import mail as outbox
from django.test import Client
from django.utils import timezone

from registry.access import actions as access
from registry.access import inviting
from registry.accounts.models import Invitation, Role, User
from registry.audit.models import Line
from registry.rules import Denied
from registry.runs import mail
from registry.runs.models import Mail
from tests.registry.browsers import shown
from tests.registry.upper.portal.test_accounts_factors import set_up
from tests.registry.upper.test_portal import PASSWORD, acts, browser, person, send

pytestmark = pytest.mark.django_db(databases="__all__")
NEW = "quite another long one"
BOTH = {"new_password1": NEW, "new_password2": NEW}


def link() -> str:
    """The path of the last mail's link, after the worker has sent what is due."""
    mail.send_due()
    found = re.search(r"http://127\.0\.0\.1:8000(/\S+)", outbox.outbox[-1].body)
    assert found
    return found[1]


def follow(path: str) -> tuple[Client, Any]:
    """A browser of somebody who follows a link, and the page it leads to."""
    client = Client(enforce_csrf_checks=True)
    return client, client.get(path, follow=True)


@pytest.fixture
def promised(house: Any) -> inviting.Promise:
    return inviting.Promise(house.dataset, "researcher")


def invited(house: Any, promised: Any, email: str = "New@Example.org") -> tuple[Invitation, str]:
    return inviting.invite(house.steward, email, "DK", "An institute", [promised]), link()


def test_a_steward_invites_through_the_page_and_the_invited_opens_an_account(house: Any) -> None:
    steward = shown(Client(), house.steward)
    asked = {"email": "new@example.org", "country": "DK", "dataset": house.dataset.slug, "kind": "researcher"}
    assert shown(Client(), house.steward, stepped=False).post("/invitations", asked).status_code == 403
    assert "on its way" in steward.post("/invitations", asked).content.decode()
    path = link()
    body = outbox.outbox[-1].body
    assert outbox.outbox[-1].to == ["new@example.org"] and house.dataset.slug not in body and "steward" not in body
    client, page = follow(path)
    assert page.redirect_chain[-1][0] == "/invitations/accept" and "new@example.org" in page.content.decode()
    weak = send(client, "/invitations/accept", "/invitations/accept", new_password1="short", new_password2="short")
    assert weak.status_code == 400 and not User.objects.filter(email="new@example.org").exists()
    assert "Your account is open" in send(client, "/invitations/accept", "/invitations/accept", **BOTH).content.decode()
    user = User.objects.get(email="new@example.org")
    assert (user.country, [role.kind for role in user.roles.all()]) == ("DK", ["researcher"])
    assert acts()[-3:] == ["account.open", "role.give", "invitation.accept"] and Line.objects.get(act="invitation.send").actor.startswith("user:")
    here = Client(enforce_csrf_checks=True)
    assert send(here, "/sign-in", "/sign-in", email=user.email, password=NEW).status_code == 302 and here.get("/account").status_code == 200
    assert "accepted" in steward.get("/invitations").content.decode()


def test_who_gives_no_roles_invites_nobody_and_a_steward_no_stewards(house: Any, promised: Any) -> None:
    other = house.world.steward(house.world.dataset(house.site))
    refused: list[tuple[User, list[inviting.Promise]]] = [
        (house.contributor, [promised]), (other, [promised]), (house.steward, [inviting.Promise(house.dataset, "steward")]), (house.steward, []),
    ]  # fmt: skip
    for actor, roles in refused:
        with pytest.raises(Denied):
            inviting.invite(actor, "new@example.org", "DK", roles=roles)
    assert shown(Client(), house.contributor).get("/invitations").status_code == 403
    admin = house.world.user("admin", is_superuser=True)
    inviting.invite(admin, "new@example.org", "DK")
    inviting.invite(admin, "new@example.org", "DK", roles=[inviting.Promise(house.dataset, "contributor", house.site)])
    assert Invitation.objects.count() == 2


def test_a_link_works_once_and_lies_nowhere(house: Any, promised: Any) -> None:
    invitation, path = invited(house, promised)
    secret = path.rsplit("/", 1)[1]
    assert len(secret) > 40
    kept = str(list(Mail.objects.values())) + str(list(Invitation.objects.values())) + str(list(Line.objects.values("object", "detail", "actor")))
    assert secret not in kept
    client, _ = follow(path)
    send(client, "/invitations/accept", "/invitations/accept", **BOTH)
    _, again = follow(path)
    assert again.status_code == 409 and "used already" in again.content.decode()
    invitation.refresh_from_db()
    assert invitation.state == "used" and User.objects.filter(email="new@example.org").count() == 1


@pytest.mark.parametrize("how", ["revoked", "expired", "inviter", "none"])
def test_what_is_over_opens_nothing(house: Any, promised: Any, how: str) -> None:
    invitation, path = invited(house, promised)
    if how == "revoked":
        assert shown(Client(), house.steward).post(f"/invitations/{invitation.pk}/revoke").status_code == 302
    elif how == "expired":
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    elif how == "inviter":
        access.end_role("test", Role.objects.get(user=house.steward))
    client, page = follow(path if how != "none" else path[:-1])
    if how == "inviter":
        page = send(client, "/invitations/accept", "/invitations/accept", **BOTH)
    assert page.status_code == 409, page.content
    assert not User.objects.filter(email="new@example.org").exists()


def test_nobody_takes_anothers_invitation_back(house: Any, promised: Any) -> None:
    invitation, _ = invited(house, promised)
    other = house.world.steward(house.dataset)
    assert shown(Client(), other).post(f"/invitations/{invitation.pk}/revoke").status_code == 404
    invitation.refresh_from_db()
    assert invitation.state == "open"


def test_who_has_an_account_signs_in_and_takes_it_and_nobody_else_does(house: Any, promised: Any) -> None:
    user, other = person(house.world), person(house.world, "otto")
    _, path = invited(house, promised, user.email)
    _, page = follow(path)
    assert "has an account already" in page.content.decode() and "new_password" not in page.content.decode()
    wrong = browser(other)
    wrong.get(path, follow=True)
    assert send(wrong, "/invitations/accept", "/invitations/accept").status_code == 409
    assert not user.roles.exists() and not other.roles.exists()
    right = browser(user)
    right.get(path, follow=True)
    assert send(right, "/invitations/accept", "/invitations/accept").status_code == 302
    assert [role.kind for role in user.roles.all()] == ["researcher"]


# --- another password ------------------------------------------------------------------------------------------------------------------------------


def ask(email: str, client: Client | None = None) -> Any:
    return send(client or Client(enforce_csrf_checks=True), "/account/forgotten", "/account/forgotten", email=email)


def test_the_answer_is_the_same_for_everybody_and_mail_goes_to_one(world: Any) -> None:
    user, program = person(world), world.user("program")
    gone = person(world, "gone")
    access.disable_account("test", gone)
    answers = []
    for email in (user.email, "nobody@example.org", program.email, gone.email):
        before = Line.objects.count()
        answer = ask(email)
        answers.append((answer.status_code, re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())))
        assert Line.objects.count() == before + 1
    assert len(set(answers)) == 1 and answers[0][0] == 200
    assert list(Mail.objects.filter(subject__contains="password").values_list("to", flat=True)) == [user.email]


def test_a_reset_ends_sessions_keeps_the_second_factor_and_works_once(world: Any) -> None:
    user = person(world)
    client = browser(user)
    set_up(client)
    ask(user.email)
    path = link()
    assert str(list(Mail.objects.values_list("body", flat=True))).count(path.rsplit("-", 1)[1]) == 0
    here, page = follow(path)
    assert page.redirect_chain[-1][0] == "/account/reset"
    assert send(here, "/account/reset", "/account/reset", new_password1="short", new_password2="short").status_code == 400
    assert "is set" in send(here, "/account/reset", "/account/reset", **BOTH).content.decode()
    assert client.get("/account").status_code == 401 and here.get("/account").status_code == 401
    again, page = follow(path)
    assert page.status_code == 409 and "used already" in page.content.decode()
    assert send(again, "/sign-in", "/sign-in", email=user.email, password=PASSWORD).status_code == 401
    assert send(again, "/sign-in", "/sign-in", email=user.email, password=NEW).status_code == 302
    assert again.get("/account")["Location"].startswith("/sign-in/code")  # the second factor is still asked for
    assert "account.password_reset" in acts()


def test_a_reset_link_ends_by_time_and_with_the_account(world: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user = person(world)
    ask(user.email)
    path = link()
    assert follow(path)[1].status_code == 200
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert follow(path)[1].status_code == 409
    settings.PASSWORD_RESET_TIMEOUT = 7200
    access.disable_account("test", user)
    assert follow(path)[1].status_code == 409


def test_asking_is_limited_by_address_and_by_account(world: Any, settings: Any) -> None:
    user = person(world)
    for n in range(7):
        page = Client()
        assert page.post("/account/forgotten", {"email": user.email}, REMOTE_ADDR=f"10.0.{n}.1").status_code == 200
    assert Mail.objects.count() == 5
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "letters": (2, 86_400)}
    assert [ask(f"{n}@example.org").status_code for n in range(3)] == [200, 200, 429]


def test_of_allauths_own_addresses_none_is_there() -> None:
    for path in ("/accounts/signup/", "/accounts/login/", "/signup", "/accounts/password/reset/", "/accounts/openid_connect/x/login/", "/accounts/2fa/"):
        assert Client().get(path).status_code == 404, path
    urls = (Path(__file__).resolve().parents[4] / "registry/urls.py").read_text()
    assert "allauth" not in urls
