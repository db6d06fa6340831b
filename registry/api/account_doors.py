"""Doors of who is who: session, tokens, sites, datasets, users, roles; and whether the registry is well."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import logout
from django.db import DatabaseError, connection
from django.middleware.csrf import get_token
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import Throttled
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from pipeline.outcome import ours
from registry.access import actions, policy, queries
from registry.accounts import devices, factors, sessions, signing, stepup
from registry.accounts.models import Role, Site, Token, User
from registry.api import account_shapes, shapes
from registry.api.doors import Door, find, told
from registry.api.errors import StepUpNeeded, document
from registry.releases import packing, sealing
from registry.rules import Conflict, Denied, Invalid
from registry.runs import spool
from registry.runs.models import Run


class HealthDoor(Door):
    """Whether the registry is well; nobody needs to sign in for that."""

    gives = False
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []  # whoever watches over this machine asks often

    @told(shapes.Health, summary="Is the registry well?", tags=["health"])
    def get(self, request: Request) -> Response:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            database = "ok"
        except DatabaseError:
            database = "away"
        answer = {"status": "ok" if database == "ok" else "ill", "version": ours(), "database": database}
        return Response({**answer, "worker": "alive" if spool.carrier_alive() else "absent"}, status=200 if database == "ok" else 503)


class KeysDoor(Door):
    """The public key that signs manifests."""

    gives = False
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @told(shapes.Keys, summary="The registry's public signing key", tags=["health"])
    def get(self, request: Request) -> Response:
        return Response({"signing": sealing.public_key(packing.key_file())})


class SessionDoor(Door):
    """Sign in and out with a cookie. Guessing is limited per account and address, so that a stranger cannot lock the owner out."""

    gives = False
    permission_classes = [AllowAny]

    @told(account_shapes.SessionShape, summary="Who is signed in, and the CSRF token", tags=["session"])
    def get(self, request: Request) -> Response:
        return self._answer(request)

    @told(account_shapes.SessionShape, request=account_shapes.SignIn, summary="Sign in", tags=["session"])
    def post(self, request: Request) -> Response:
        SessionAuthentication().enforce_csrf(request)  # nobody is signed in yet, so nothing else asks for it
        given = self.body(account_shapes.SignIn)
        try:
            user = signing.sign_in(request._request, given["email"], given["password"])
            if user is None:
                return refused("wrong_credentials", "Address and password do not fit.", "Check both.")
            if given["code"] and factors.needed(request._request) == "code" and not factors.give(request._request, given["code"]):
                sessions.end(request._request)
                logout(request._request)
                return refused("wrong_code", "The code does not fit.")
        except signing.TooManyTries as error:
            raise Throttled(wait=error.wait_s) from None
        if given["step_up"]:
            stepup.at_sign_in(request._request)
        answer = self._answer(request, user)
        if factors.complete(request._request):
            devices.remember(answer, user)
        return answer

    @told(None, status=204, summary="Sign out", tags=["session"])
    def delete(self, request: Request) -> Response:
        sessions.end(request._request)
        logout(request._request)
        return Response(status=204)

    def _answer(self, request: Request, user: Any = None) -> Response:
        user = user or (request.user if request.user.is_authenticated else None)
        needs = factors.needed(request._request) if user else ""
        answer = Response({"user": account_shapes.UserShape(user).data if user else None, "csrf": get_token(request._request), "needs": needs})
        answer["Cache-Control"] = "no-store"
        return answer


class ConfirmDoor(Door):
    """Stepping up, and giving the second factor where the session still lacks it."""

    permission_classes = [IsAuthenticated]

    @told(account_shapes.SessionShape, request=account_shapes.Confirm, summary="Say once more who one is, for ten minutes", tags=["session"])
    def post(self, request: Request) -> Response:
        if isinstance(request.auth, Token):
            raise Denied("session_needed", "A token cannot step up.")
        given, here = self.body(account_shapes.Confirm), request._request
        try:
            if factors.needed(here) == "code":
                if not factors.give(here, given["code"]):
                    return refused("wrong_code", "The code does not fit.")
            elif not stepup.confirm(here, given["password"], given["code"]):
                return refused("wrong_credentials", "Password or code do not fit.", "Check both.")
        except signing.TooManyTries as error:
            raise Throttled(wait=error.wait_s) from None
        answer = {"user": account_shapes.UserShape(self.asker).data, "csrf": get_token(here), "needs": factors.needed(here)}
        return Response(answer, headers={"Cache-Control": "no-store"})


def refused(code: str, reason: str, advice: str = "") -> Response:
    """401 of who is not known."""
    return Response(document(code, 401, reason, advice), status=401, content_type="application/problem+json")


class MeDoor(Door):
    gives = False

    @told(account_shapes.UserShape, summary="The account that asks", tags=["session"])
    def get(self, request: Request) -> Response:
        return Response(account_shapes.UserShape(self.asker).data)


class TokensDoor(Door):
    gives = False

    @told(account_shapes.TokenShape, many=True, summary="One's living tokens", tags=["session"])
    def get(self, request: Request) -> Response:
        return self.listing(Token.objects.filter(user=self.asker, revoked_at=None), account_shapes.TokenShape)

    @told(account_shapes.TokenMade, request=account_shapes.NewToken, status=201, summary="Make a token; it is shown this once", tags=["session"])
    def post(self, request: Request) -> Response:
        if isinstance(request.auth, Token):
            raise Denied("session_needed", "A token cannot make tokens.")
        given = self.body(account_shapes.NewToken)
        if stepup.dangerous(given["scopes"]) and not stepup.done(request._request):
            raise StepUpNeeded
        token, text = actions.issue_token(self.asker, given["name"], given["scopes"], given["days"])
        answer = Response({**account_shapes.TokenShape(token).data, "token": text}, status=201)
        answer["Cache-Control"] = "no-store"
        return answer


class TokenDoor(Door):
    @told(None, status=204, summary="Revoke a token, at once", tags=["session"])
    def delete(self, request: Request, pk: Any) -> Response:
        actions.revoke_token(self.asker, find(Token.objects.filter(user=self.asker, revoked_at=None), pk=pk))
        return Response(status=204)


class SitesDoor(Door):
    gives = False
    scopes = {"POST": "admin"}

    @told(account_shapes.SiteShape, many=True, summary="Sites", tags=["administration"])
    def get(self, request: Request) -> Response:
        return self.listing(Site.objects.all(), account_shapes.SiteShape)

    @told(account_shapes.SiteShape, request=account_shapes.SiteShape, status=201, summary="Open a site", tags=["administration"])
    def post(self, request: Request) -> Response:
        return Response(account_shapes.SiteShape(actions.open_site(self.asker, **self.body(account_shapes.SiteShape))).data, status=201)


class DatasetsDoor(Door):
    gives = False
    scopes = {"POST": "admin"}

    @told(account_shapes.DatasetShape, many=True, summary="Datasets that one may know of", tags=["administration"])
    def get(self, request: Request) -> Response:
        return self.listing(queries.datasets(self.asker), account_shapes.DatasetShape)

    @told(account_shapes.DatasetShape, request=account_shapes.NewDataset, status=201, summary="Open a dataset; its keys are made", tags=["administration"])
    def post(self, request: Request) -> Response:
        given = self.body(account_shapes.NewDataset)
        codes = given.pop("sites")
        sites = list(Site.objects.filter(code__in=codes))
        if len(sites) != len(set(codes)):
            raise Invalid(
                "invalid", "A site named is not there.", "Open the site first.", errors=[{"field": "sites", "reason": "names a site that is not there"}]
            )
        dataset = actions.open_dataset(self.asker, given.pop("slug"), given.pop("name"), sites, given.pop("agreement"), **given)
        return Response(account_shapes.DatasetShape(dataset).data, status=201)


class DatasetDoor(Door):
    gives = False

    @told(account_shapes.DatasetShape, summary="One dataset", tags=["administration"])
    def get(self, request: Request, slug: str) -> Response:
        return Response(account_shapes.DatasetShape(find(queries.datasets(self.asker), slug=slug)).data)


class ProtocolDoor(Door):
    scopes = {"POST": "decide"}

    @told(account_shapes.DatasetShape, request=account_shapes.NewProtocol, summary="Agree on a protocol and on criteria of inclusion", tags=["administration"])
    def post(self, request: Request, slug: str) -> Response:
        dataset = find(queries.datasets(self.asker), slug=slug)
        return Response(account_shapes.DatasetShape(actions.agree_protocol(self.asker, dataset, **self.body(account_shapes.NewProtocol))).data)


class FacesDoor(Door):
    scopes = {"POST": "decide", "DELETE": "decide"}

    @told(account_shapes.DatasetShape, request=account_shapes.FacesPolicy, summary="Agree on a policy about faces", tags=["administration"])
    def post(self, request: Request, slug: str) -> Response:
        dataset = find(queries.datasets(self.asker), slug=slug)
        return Response(account_shapes.DatasetShape(actions.agree_faces(self.asker, dataset, self.body(account_shapes.FacesPolicy))).data)

    @told(account_shapes.DatasetShape, summary="End the policy about faces: nothing is exempt", tags=["administration"])
    def delete(self, request: Request, slug: str) -> Response:
        dataset = find(queries.datasets(self.asker), slug=slug)
        return Response(account_shapes.DatasetShape(actions.agree_faces(self.asker, dataset, {})).data)


class UsersDoor(Door):
    scopes = {"POST": "admin"}

    @told(account_shapes.UserShape, request=account_shapes.NewUser, status=201, summary="Open an account", tags=["administration"])
    def post(self, request: Request) -> Response:
        given = self.body(account_shapes.NewUser)
        user = actions.open_account(self.asker, given.pop("email"), given.pop("password"), **given)
        return Response(account_shapes.UserShape(user).data, status=201)


class RolesDoor(Door):
    scopes = {"POST": "admin"}

    @told(account_shapes.RoleShape, request=account_shapes.NewRole, status=201, summary="Give somebody a role", tags=["administration"])
    def post(self, request: Request) -> Response:
        given = self.body(account_shapes.NewRole)
        dataset = find(queries.datasets(self.asker), slug=given["dataset"])
        site = find(dataset.sites.all(), code=given["site"]) if given["site"] else None
        policy.require_in(self.asker, "give_roles", dataset)  # before the account is looked up: who may not give roles learns nothing of accounts
        user = User.objects.filter(email__iexact=given["email"]).first()
        if user is None:
            raise Conflict("no_account", "Nobody has an account with this address.", "Open the account first.")
        return Response(account_shapes.RoleShape(actions.give_role(self.asker, user, dataset, given["kind"], site)).data, status=201)


class RoleDoor(Door):
    scopes = {"DELETE": "admin"}

    @told(None, status=204, summary="End a role, at once", tags=["administration"])
    def delete(self, request: Request, pk: Any) -> Response:
        role = find(Role.objects.filter(ended_at=None, dataset__in=queries.datasets(self.asker)).select_related("dataset"), pk=pk)
        actions.end_role(self.asker, role)
        return Response(status=204)


class RunDoor(Door):
    gives = False

    @told(shapes.RunShape, summary="One run of the ledger", tags=["health"])
    def get(self, request: Request, pk: Any) -> Response:
        run = find(Run.objects.filter(dataset_id__in=queries.datasets(self.asker).values("pk")), pk=pk)
        return Response(shapes.RunShape(run).data)
