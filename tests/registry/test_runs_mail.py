"""Mail goes out through a real SMTP server, is tried again when it must be, given up when it must be, and never holds anything but a link."""

from __future__ import annotations

import email
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from django.db import transaction
from django.utils import timezone

from registry import environment as env
from registry.runs import mail, queries
from registry.runs.models import Mail

pytestmark = pytest.mark.django_db(databases="__all__")


class Post:
    """A mail server's handler that keeps what it gets, and refuses whom it is told to refuse."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.refuse: dict[str, str] = {}

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
        return "250 OK"


@pytest.fixture
def post(settings: Any, tmp_path: Path) -> Iterator[Post]:
    handler = Post()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(handler, hostname="127.0.0.1", port=port)
    server.start()
    for name, value in env.email(f"smtp://127.0.0.1:{port}", tmp_path).items():
        setattr(settings, name, value)
    yield handler
    server.stop()


def later(**time: float) -> None:
    Mail.objects.filter(state="queued").update(next_try_at=timezone.now() - timedelta(seconds=1))


def test_a_letter_arrives_with_its_sentence_and_its_link(post: Post, settings: Any, world: Any) -> None:
    settings.MYELIN_URL = "https://registry.example.org"
    user = world.user("reader")
    row = mail.queue(user, "package_ready", "/packages/1234")
    assert mail.send_due() == {"sent": 1, "again": 0, "dead": 0}
    assert mail.send_due() == {"sent": 0, "again": 0, "dead": 0}
    [(to, message)] = post.got
    assert to == [user.email]
    assert message["Subject"] == "Your package is ready" and message["Message-ID"] == f"<{row.pk}@registry.example.org>"
    assert message.get_payload().split() == [*mail.LETTERS["package_ready"][1].split(), "https://registry.example.org/packages/1234"]
    assert Mail.objects.get().state == "sent"


def test_a_letter_of_an_act_that_was_rolled_back_is_never_sent(post: Post) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        mail.queue("a@example.org", "package_ready", "/packages/1")
        raise RuntimeError
    mail.send_due()
    assert post.got == []


def test_a_server_that_is_busy_is_asked_again_with_growing_pauses_until_it_takes_it(post: Post) -> None:
    post.refuse["a@example.org"] = "451 try later"
    mail.queue("a@example.org", "package_ready", "/packages/1")
    pauses = []
    for _ in range(3):
        assert mail.send_due()["again"] == 1
        row = Mail.objects.get()
        pauses.append((row.next_try_at - timezone.now()).total_seconds())
        assert (row.error_code, row.state) == ("smtp_451", "queued")
        assert mail.send_due() == {"sent": 0, "again": 0, "dead": 0}
        later()
    assert pauses == sorted(pauses) and pauses[0] > 50
    post.refuse.clear()
    assert mail.send_due()["sent"] == 1
    assert Mail.objects.get().tries == 4


def test_an_address_that_does_not_exist_is_given_up_at_once_and_the_others_get_theirs(post: Post) -> None:
    post.refuse["gone@example.org"] = "550 no such user"
    for to in ("gone@example.org", "here@example.org"):
        mail.queue(to, "package_ready", "/packages/1")
    assert mail.send_due() == {"sent": 1, "again": 0, "dead": 1}
    assert [(row.to, row.error_code) for row in queries.dead_mails()] == [("gone@example.org", "smtp_550")]


def test_a_server_that_is_never_reached_is_given_up_in_the_end(settings: Any, tmp_path: Path) -> None:
    for name, value in env.email("smtp://127.0.0.1:1", tmp_path).items():
        setattr(settings, name, value)
    mail.queue("a@example.org", "package_ready", "/packages/1")
    told = []
    for _ in range(len(mail.WAITS_S) + 1):
        told.append(mail.send_due())
        later()
    assert [one["again"] for one in told] == [1] * len(mail.WAITS_S) + [0]
    assert told[-1]["dead"] == 1
    row = Mail.objects.get()
    assert (row.state, row.error_code) == ("dead", "not_reached_ConnectionRefusedError")


def test_two_senders_at_once_send_it_once(post: Post, monkeypatch: Any) -> None:
    mail.queue("a@example.org", "package_ready", "/packages/1")
    send = mail._send

    def slow(row: Mail) -> str:
        assert mail.send_due() == {"sent": 0, "again": 0, "dead": 0}  # another worker comes by meanwhile
        return send(row)

    monkeypatch.setattr(mail, "_send", slow)
    assert mail.send_due()["sent"] == 1
    assert len(post.got) == 1


def test_a_sender_that_died_in_between_is_followed_by_another(post: Post) -> None:
    mail.queue("a@example.org", "package_ready", "/packages/1")
    Mail.objects.update(tries=1, next_try_at=timezone.now() + mail.HOLD)  # claimed, and then the process was killed
    assert mail.send_due()["sent"] == 0
    later()
    assert mail.send_due()["sent"] == 1


def test_without_a_server_letters_are_files(settings: Any, tmp_path: Path) -> None:
    for name, value in env.email("", tmp_path / "mail").items():
        setattr(settings, name, value)
    mail.queue("a@example.org", "package_ready", "/packages/1")
    assert mail.send_due()["sent"] == 1
    [path] = (tmp_path / "mail").iterdir()
    assert "/packages/1" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["packages/1", "//evil.example/x", "/packages?code=abc", "/packages#label", "https://evil.example"])
def test_a_letter_links_to_a_plain_path_of_ours_only(path: str) -> None:
    with pytest.raises(ValueError, match="plain path"):
        mail.queue("a@example.org", "package_ready", path)
    with pytest.raises(KeyError):
        mail.queue("a@example.org", "love_letter", "/")
    mail.queue("a@example.org", "package_ready", "/packages/1")


def test_a_line_break_in_an_address_makes_no_second_header(post: Post) -> None:
    mail.queue("a@example.org\nBcc: b@example.org", "package_ready", "/packages/1")
    assert mail.send_due()["sent"] == 0
    assert post.got == []
