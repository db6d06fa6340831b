"""The second factor: codes of an authenticator (TOTP, RFC 6238) and recovery codes. allauth's rows and arithmetic, our key, our counting.

Who may decide or runs the registry needs one: in a browser nothing of theirs answers before it is set up and given (`needed`). That is read from the roles
as they are at this moment; there is no setting that lifts it.
"""

from __future__ import annotations

import hmac
import secrets
import time

from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, generate_totp_secret, hotp_value
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from registry.accounts import limits, queries, sealed, sessions, throttles
from registry.accounts.models import Kind, Token, User
from registry.audit import actions as audit
from registry.rules import Conflict

PASSED = "myelin_factor"
PERIOD_S, DRIFT = 30, 1
CODES, SIGNS, ALPHABET = 10, 10, "23456789abcdefghjkmnpqrstuvwxyz"
GUARDED = frozenset({"decide", "admin"})  # scopes


class Adapter(DefaultMFAAdapter):
    """How allauth names us in an authenticator; whatever it writes, it seals."""

    def get_totp_issuer(self) -> str:
        return "Myelin"

    def encrypt(self, text: str) -> str:
        return sealed.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return sealed.unseal(encrypted_text)


def required(user: User) -> bool:
    """Whether this account decides on others' data or runs the registry."""
    return user.is_superuser or user.is_staff or any(role.kind == Kind.STEWARD for role in queries.living_roles(user))


def enrolled(user: User) -> bool:
    return Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists()


def lacking(user: User) -> bool:
    """Whether the account needs a second factor and has none."""
    return required(user) and not enrolled(user)


def refuses(token: Token, scope: str) -> bool:
    """Whether a token may not be used for this yet: it decides, its account lacks the factor it needs, and no operator issued it by hand."""
    return scope in GUARDED and not token.by_operator and lacking(token.user)


def needed(request: HttpRequest) -> str:
    """What this session still needs before anything of its account answers: `code`, `set_up`, or nothing."""
    if request.session.get(PASSED):
        return ""
    user = sessions.signed_in(request)
    return "code" if enrolled(user) else "set_up" if required(user) else ""


def complete(request: HttpRequest) -> bool:
    """Whether somebody is signed in with all that their account needs."""
    return request.user.is_authenticated and not needed(request)


# --- setting up ------------------------------------------------------------------------------------------------------------------------------------


def fresh_secret() -> str:
    return generate_totp_secret()


def pictured(user: User, secret: str) -> tuple[str, str]:
    """The otpauth: address of a secret, and its QR code as an SVG."""
    adapter = Adapter()
    url = adapter.build_totp_url(user, secret)
    return url, adapter.build_totp_svg(url)


def set_up(request: HttpRequest, secret: str, code: str, replace: bool = False) -> list[str]:
    """Takes an authenticator into use, and gives new recovery codes, which are shown this once. Raises Conflict for a code that is not its.

    `replace`: the one there is ends with it; whoever calls so has asked for a step-up. Counted as a guess. Raises TooManyTries.
    """
    user = sessions.signed_in(request)
    count(request, user)
    counter = _counter(secret, code, 0)
    if counter is None:
        raise Conflict(
            "wrong_code", "This is not the code that the authenticator shows now.", "Wait for the next code. Check that the device's clock is right."
        )
    with transaction.atomic():
        before = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).delete()[0] if replace else 0
        if enrolled(user):
            raise Conflict("second_factor_exists", "There is an authenticator already.", "Give a code of it first; then set up another.")
        data = {"secret": sealed.seal(secret, user.pk), "used": counter}
        Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data=data, last_used_at=timezone.now())
        codes = _new_codes(user)
        audit.write(user, "factor.replace" if before else "factor.set_up", user)
    request.session[PASSED] = str(user.pk)
    sessions.end_others(request)
    return codes


def new_codes(request: HttpRequest) -> list[str]:
    """Other recovery codes; the old ones end. Raises Conflict without an authenticator."""
    user = sessions.signed_in(request)
    if not enrolled(user):
        raise Conflict("no_second_factor", "There is no authenticator that recovery codes could stand in for.", "Set one up first.")
    with transaction.atomic():
        codes = _new_codes(user)
        audit.write(user, "factor.codes", user)
    return codes


def codes_left(user: User) -> int:
    row = Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).first()
    return len(row.data["marks"]) if row else 0


def remove(request: HttpRequest) -> None:
    """Ends one's own second factor. Raises Conflict for who needs one."""
    user = sessions.signed_in(request)
    if required(user):
        raise Conflict("second_factor_required", "Your roles need a second factor.", "Set up another authenticator instead; the old one ends with it.")
    with transaction.atomic():
        Authenticator.objects.filter(user=user).delete()
        audit.write(user, "factor.remove", user)
    request.session.pop(PASSED, None)
    sessions.end_others(request)


def forget(user: User) -> None:
    """Ends the second factor of somebody who has lost it, with every session of theirs; `registry.access` asks who may, and writes the line."""
    Authenticator.objects.filter(user=user).delete()
    sessions.end_all(user)


def _new_codes(user: User) -> list[str]:
    codes = ["".join(secrets.choice(ALPHABET) for _ in range(SIGNS)) for _ in range(CODES)]
    marks = [sealed.mark("recovery", user.pk, code) for code in codes]
    Authenticator.objects.update_or_create(user=user, type=Authenticator.Type.RECOVERY_CODES, defaults={"data": {"marks": marks}})
    return [f"{code[:5]}-{code[5:]}" for code in codes]


# --- giving a code ---------------------------------------------------------------------------------------------------------------------------------


def give(request: HttpRequest, code: str) -> bool:
    """Whether this code is the second factor of who has signed in: then the session is whole. Counted as a guess. Raises `throttles.TooManyTries`."""
    user = sessions.signed_in(request)
    count(request, user)
    how = spend(user, code)
    if not how:
        audit.denied(user, "session.factor", user, "wrong_code")
        return False
    request.session[PASSED] = str(user.pk)
    sessions.renewed(request)
    audit.write(user, "session.factor", user, how=how)
    return True


def count(request: HttpRequest, user: User) -> None:
    """Counts one try: like a sign-in, and where the device is unknown by account and day too, for a code has six digits only. Raises TooManyTries."""
    throttles.try_(request, user.email, "shown")
    if not throttles.known_device(request, user.email):
        throttles.allowed(limits.hit("code", str(user.pk), *settings.MYELIN_LIMITS["code"]))


def spend(user: User, code: str) -> str:
    """`totp` or `recovery` where the code is one that the account may use now, and uses it up; empty otherwise."""
    text = "".join(code.split()).replace("-", "").lower()
    with transaction.atomic():
        rows = {row.type: row for row in Authenticator.objects.select_for_update().filter(user=user)}
        totp, recovery = rows.get(Authenticator.Type.TOTP), rows.get(Authenticator.Type.RECOVERY_CODES)
        if totp is None:
            return ""
        if _totp(totp, text):
            return "totp"
        return "recovery" if recovery is not None and _recovery(recovery, text) else ""


def _totp(row: Authenticator, code: str) -> bool:
    """A code counts once: none is taken that is not newer than the last one taken."""
    counter = _counter(sealed.unseal(row.data["secret"], row.user_id), code, row.data["used"])
    if counter is None:
        return False
    row.data["used"], row.last_used_at = counter, timezone.now()
    row.save(update_fields=["data", "last_used_at"])
    return True


def _counter(secret: str, code: str, after: int) -> int | None:
    """The period whose code this is, among the present one and its neighbours that come later than `after`."""
    now = int(time.time()) // PERIOD_S
    text = "".join(code.split())
    for counter in range(max(now - DRIFT, after + 1), now + DRIFT + 1):
        if hmac.compare_digest(format_hotp_value(hotp_value(secret, counter)).encode(), text.encode()):
            return counter
    return None


def _recovery(row: Authenticator, code: str) -> bool:
    given = sealed.mark("recovery", row.user_id, code)
    marks = row.data["marks"]
    if not any(hmac.compare_digest(given, mark) for mark in marks):
        return False
    row.data["marks"], row.last_used_at = [mark for mark in marks if mark != given], timezone.now()
    row.save(update_fields=["data", "last_used_at"])
    return True
