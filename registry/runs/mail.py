"""Mail as an outbox: a row in the act's own transaction, sent by the worker, tried again for two days, and then dead where a steward sees it.

A mail holds one of the sentences below and a link, never data, a code or a name: mail is read by machines on the way.
Delivery is at least once (the Message-ID is the row's, so a receiver can tell a doubled one).
"""

from __future__ import annotations

import logging
import re
import smtplib
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db.models import F, Q
from django.utils import timezone

from registry.accounts import links
from registry.runs.models import Mail

log = logging.getLogger(__name__)

LETTERS = {
    "request_submitted": ("A request waits for your decision", "A researcher asks for data of a dataset you are steward of."),
    "team_named": ("You were named for a team", "A researcher named you for the team of a request for data. The page says which, once you have signed in."),
    "request_approved": ("Your request was approved", "Your request was approved, for all or some of the participants. Sign the agreement to get access."),
    "request_returned": ("Your request has a question for you", "Your request came back to you. The page says what is asked."),
    "request_renewed": ("Your access was renewed", "Your report was accepted, and your access lasts longer. The page says until when."),
    "request_rejected": ("Your request was not approved", "Your request was not approved. The page says why."),
    "entitlement_ends": ("Your access ends soon", "Your access to a dataset ends soon. You can report on your work and ask for more time."),
    "entitlement_suspended": ("Your access is suspended", "Your access to a dataset is suspended until a steward has decided. The page says why."),
    "renewal_asked": ("A report waits for your decision", "A researcher reports on the use of data, and asks for more time."),
    "agreement_changed": ("Please sign the new agreement", "The agreement of a dataset has a new version. Without your signature your access stops."),
    "entitlement_ended": ("Your access has ended", "Your access to a dataset has ended. Please delete the data as the agreement says."),
    "upload_done": ("Your upload was looked at", "Every file of your upload has a verdict."),
    "upload_waits": ("Part of your upload waits for you", "Some of your upload cannot go on without you. The page says why and what to do."),
    "upload_again": ("Part of your upload must be sent again", "Some of your upload did not arrive as it was. The page says what to send again."),
    "retention_soon": ("Originals will be deleted soon", "Originals of an upload will be deleted in seven days. The page says what still needs them."),
    "image_returned": ("An image came back to you", "A steward has a question about an image of your site. The page says what is asked."),
    "images_wait": ("Images wait for your decision", "New images of a dataset you are steward of wait for your decision."),
    "package_ready": ("Your package is ready", "The package you asked for is ready to be downloaded."),
    "withdrawal_notice": ("A participant has left: please delete their files", "A participant has left. The page lists the files that you must delete."),
    "recall_notice": ("Files were called back: please delete them", "Files that you received were called back. The page lists those that you must delete."),
    "notice_due": ("Please say that you deleted the files", "Files that you were asked to delete are still waiting for your word. The page lists them."),
    "notice_overdue": (
        "Your access is suspended",
        "You did not say within 30 days that you deleted the files you were asked to. Your access is suspended until you do.",
    ),
    "recall_done": ("A recall was carried through", "A recall was carried through. The certificate is ready."),
    "withdrawal_done": ("A withdrawal was carried through", "A withdrawal was carried through. The certificate is ready."),
    "invitation": (
        "You are invited to Myelin",
        "You are invited to a registry of MRI scans. The link opens your account; it lasts seven days and is for you alone.",
    ),
    "password_reset": (
        "Another password for Myelin",
        "Somebody, probably you, asked for another password of your account. The link lasts two hours. If it was not you, do nothing.",
    ),
    "sign_in_changed": ("How you sign in was changed", "How you sign in to your account was changed. If it was not you, tell those who run this registry."),
    "work_failed": ("Something could not be done", "Work on a dataset you are steward of was given up. The page says why."),
}
WAITS_S = (60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
HOLD = timedelta(minutes=10)

SECRET = re.compile(r"\[(invitation|reset):([0-9a-f-]{36})\]")


def secret_path(before: str, kind: str, pk: Any) -> str:
    """A path whose end is worked out when the mail is handed over, so that whoever reads the database cannot follow the link."""
    return f"{before}[{kind}:{pk}]"


def queue(to: Any, letter: str, path: str) -> Mail:
    """Queues a letter to a user (or an address) with a link to `path` of this registry, in the caller's transaction.

    Raises KeyError for a letter that does not exist, ValueError when `path` is not a plain path.
    """
    subject, sentence = LETTERS[letter]
    if not path.startswith("/") or path.startswith("//") or "?" in path or "#" in path:
        raise ValueError("A mail links to a plain path of this registry.")
    body = f"{sentence}\n\n{settings.MYELIN_URL}{path}\n"
    return Mail.objects.create(to=getattr(to, "email", to), subject=subject, body=body, next_try_at=timezone.now())


def send_due(limit: int = 200) -> dict[str, int]:
    """Sends what is due. Idempotent: each mail is claimed by an update before it is handed over."""
    told = {"sent": 0, "again": 0, "dead": 0}
    due = Mail.objects.filter(Q(next_try_at__lte=timezone.now()), state="queued").order_by("next_try_at").values_list("pk", flat=True)
    for pk in list(due[:limit]):
        now = timezone.now()
        if Mail.objects.filter(pk=pk, state="queued", next_try_at__lte=now).update(next_try_at=now + HOLD, tries=F("tries") + 1):
            told[_send(Mail.objects.get(pk=pk))] += 1
    return told


def again(mail: Mail) -> bool:
    """Lets a mail that was given up be tried anew; whether it was one."""
    return bool(Mail.objects.filter(pk=mail.pk, state="dead").update(state="queued", tries=0, error_code="", next_try_at=timezone.now()))


def forget(mail: Mail) -> bool:
    """Takes a mail that was given up off the list for good; whether it was one."""
    return bool(Mail.objects.filter(pk=mail.pk, state="dead").delete()[0])


def _send(mail: Mail) -> str:
    """Hands one claimed mail over; returns `sent`, `again` or `dead`."""
    host = urlsplit(settings.MYELIN_URL).hostname or "localhost"
    body = SECRET.sub(lambda found: links.secret(found[1], found[2]), mail.body)
    message = EmailMessage(mail.subject, body, settings.DEFAULT_FROM_EMAIL, [mail.to], headers={"Message-ID": f"<{mail.pk}@{host}>"})
    try:
        message.connection = get_connection()
        message.send()
    except Exception as error:  # noqa: BLE001 - whatever the server or the network does
        return _not_sent(mail, error_code(error), final(error))
    Mail.objects.filter(pk=mail.pk).update(state="sent", sent_at=timezone.now(), next_try_at=None, error_code="")
    return "sent"


def _not_sent(mail: Mail, code: str, is_final: bool) -> str:
    if is_final or mail.tries > len(WAITS_S):
        log.warning("mail %s is given up: %s", mail.pk, code)
        Mail.objects.filter(pk=mail.pk).update(state="dead", error_code=code, next_try_at=None)
        return "dead"
    wait = timedelta(seconds=WAITS_S[mail.tries - 1])
    Mail.objects.filter(pk=mail.pk).update(error_code=code, next_try_at=timezone.now() + wait)
    return "again"


def final(error: Exception) -> bool:
    """Whether the server said that this address will never take it (5xx for every recipient)."""
    return isinstance(error, smtplib.SMTPRecipientsRefused) and all(500 <= code < 600 for code, _ in error.recipients.values())


def error_code(error: Exception) -> str:
    """A stable word for what went wrong; never the server's text, which quotes addresses."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"smtp_{max(code for code, _ in error.recipients.values())}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"smtp_{error.smtp_code}"
    return f"not_reached_{type(error).__name__}"[:60]
