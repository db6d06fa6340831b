"""Signing in by an OpenID Connect provider (ORCID, say). A provider tells who somebody is; whether they have an account is ours to say.

An account is found by issuer and subject alone, which its owner linked while signed in, or when they accepted an invitation; never by an e-mail address. The
code flow with PKCE; state and nonce belong to the browser's session and are used once; the token's signature, issuer, audience and time are checked always.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any

import jwt
import requests
from allauth.socialaccount.internal import jwtkit, statekit
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.urls import reverse

from registry.accounts import sessions
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.rules import Conflict, Denied

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})  # signatures, never a shared secret
PROCESSES = frozenset({"sign_in", "link", "invitation"})
CALLBACK = "portal:provider_back"


class Refused(Denied):
    """The provider's answer is not one that is believed; nothing of it is shown or logged."""

    def __init__(self, code: str, reason: str, advice: str = "Begin anew from the sign-in.") -> None:
        super().__init__(code, reason, advice)


class Adapter(OpenIDConnectOAuth2Adapter):
    """allauth's client of a provider, stricter: the provider must be who was named, and every token's signature is checked."""

    @property
    def openid_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().openid_config
        if str(config.get("issuer", "")).rstrip("/") != self.provider_id:
            raise Refused("provider_wrong", "The provider says it is another one than was agreed.", "Tell those who run this registry.")
        return config

    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return request.build_absolute_uri(reverse(CALLBACK))

    def subject(self, token: str, nonce: str) -> str:
        """Who the id token is about. Raises Refused, OAuth2Error, requests.RequestException."""
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise Refused("token_refused", "The provider's answer is not signed as it must be.")
        config = self.openid_config
        told = jwtkit.verify_and_decode(
            credential=token, keys_url=config["jwks_uri"], issuer=config["issuer"], audience=self.get_provider().app.client_id, lookup_kid=jwtkit.lookup_kid_jwk
        )
        if not nonce or not hmac.compare_digest(str(told.get("nonce", "")).encode(), nonce.encode()):
            raise Refused("nonce_wrong", "The provider's answer belongs to another sign-in.")
        subject = told.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise Refused("token_refused", "The provider does not say who you are.")
        return subject


def name() -> str:
    """What the provider is called on our pages; empty where there is none."""
    apps = settings.SOCIALACCOUNT_PROVIDERS.get("openid_connect", {}).get("APPS", [])
    return str(apps[0]["name"]) if apps else ""


def issuer() -> str:
    """The provider's own name. Raises Denied where there is none."""
    apps = settings.SOCIALACCOUNT_PROVIDERS.get("openid_connect", {}).get("APPS", [])
    if not apps:
        raise Denied("no_provider", "This registry has no provider to sign in by.", "Sign in with address and password.")
    return str(apps[0]["provider_id"])


def begin(request: HttpRequest, process: str, wanted: str = "") -> str:
    """The address at the provider to send the browser to. Raises Denied (no provider), Refused (not reached, or another)."""
    if process not in PROCESSES:
        raise KeyError(process)
    adapter = Adapter(request, issuer())
    provider = adapter.get_provider()
    pkce = provider.get_pkce_params()
    state = {"process": process, "wanted": wanted, "nonce": secrets.token_urlsafe(24), "verifier": pkce.pop("code_verifier")}
    state["user"] = str(sessions.signed_in(request).pk) if process == "link" else ""
    try:
        client = adapter.get_client(request, provider.app)
        client.state = statekit.stash_state(request, provider_id=adapter.provider_id, state=state, state_id=secrets.token_urlsafe(24))
        return str(client.get_redirect_url(adapter.authorize_url, provider.get_scope(), {**pkce, "nonce": state["nonce"]}))
    except (requests.RequestException, ValueError, KeyError):
        raise Refused("provider_away", "The provider cannot be reached.", "Try again later, or sign in with address and password.") from None


def back(request: HttpRequest) -> tuple[dict[str, Any], str]:
    """What was begun, and the subject that the provider vouches for. Raises Refused."""
    adapter = Adapter(request, issuer())
    state = statekit.unstash_state(request, state_id=request.GET.get("state", ""), provider_id=adapter.provider_id)
    if state is None:
        raise Refused("state_wrong", "This answer belongs to no sign-in that was begun in this browser, or comes too late.")
    if "code" not in request.GET:
        raise Refused("provider_refused", "The provider did not say who you are.")
    app = adapter.get_provider().app
    try:
        told = adapter.get_access_token_data(request, app, adapter.get_client(request, app), pkce_code_verifier=state["verifier"])
        return state, adapter.subject(str(told.get("id_token", "")), state["nonce"])
    except (OAuth2Error, requests.RequestException, jwt.PyJWTError, ValueError, KeyError, TypeError, AttributeError):
        raise Refused("token_refused", "The provider's answer is not one that can be believed.") from None


def account(subject: str) -> User | None:
    """The active account that this subject is linked to."""
    row = SocialAccount.objects.select_related("user").filter(provider=issuer(), uid=subject).first()
    return row.user if row is not None and row.user.is_active else None


def sign_in(request: HttpRequest, subject: str) -> User:
    """Begins a session of the account that is linked. Raises Refused where none is; which addresses have accounts is told to nobody."""
    user = account(subject)
    if user is None:
        raise Refused(
            "not_linked", "No account here is linked with this sign-in.", "Sign in with address and password, and link it on the page of your account."
        )
    sessions.begin(request, user, via="provider")
    return user


def link(user: User, subject: str) -> None:
    """Links the account with this subject. Raises Conflict where the subject is another account's, or the account is linked already."""
    try:
        with transaction.atomic():
            if SocialAccount.objects.filter(user=user, provider=issuer()).exclude(uid=subject).exists():
                raise Conflict("linked_already", "Your account is linked with another sign-in of this provider.", "End that link first.")
            SocialAccount.objects.create(user=user, provider=issuer(), uid=subject)
            audit.write(user, "account.link", user)
    except IntegrityError:
        raise Conflict("subject_taken", "This sign-in is linked already.", "Sign in by it, or end the link there.") from None


def linked(user: User) -> bool:
    return SocialAccount.objects.filter(user=user, provider=issuer()).exists() if name() else False


def unlink(user: User) -> None:
    """Ends the link. Raises Conflict for who could not sign in without it."""
    if not user.has_usable_password():
        raise Conflict("only_way_in", "This is your only way to sign in.", "Ask those who run this registry for a password first.")
    with transaction.atomic():
        SocialAccount.objects.filter(user=user).delete()
        audit.write(user, "account.unlink", user)
