"""Trying again only when it is safe, and sending a token nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from client.api import Registry, wait_for
from client.errors import Refused, Unreachable, Usage
from client.records import Participant, record
from client.wire import Wire


def test_a_busy_registry_is_asked_again_and_answers(little: Any, registry: Registry) -> None:
    little.answers["/health"] = {"status": "ok"}
    little.trouble = lambda method, path, nth: 503 if nth < 3 else None
    assert registry.health() == {"status": "ok"}
    assert len(little.seen) == 3


def test_a_line_that_breaks_under_a_get_is_tried_again_but_never_under_a_post(little: Any, registry: Registry) -> None:
    little.answers["/health"] = {"status": "ok"}
    little.trouble = lambda method, path, nth: "cut" if nth == 1 else None
    assert registry.health() == {"status": "ok"}
    little.seen.clear()
    with pytest.raises(Unreachable) as no:
        registry.withdraw("p1")
    assert no.value.code == "line_broke"
    assert little.seen == [("POST", "/participants/p1/withdraw")]


def test_a_post_the_registry_did_not_begin_is_tried_again(little: Any, registry: Registry) -> None:
    little.answers["/uploads"] = {"id": "u1", "dataset": "d", "site": "s", "state": "receiving"}
    little.trouble = lambda method, path, nth: 429 if nth == 1 else None
    assert registry.open_upload("d", "s").id == "u1"
    little.seen.clear()
    # 502 may come after the act: not repeated.
    little.trouble = lambda method, path, nth: 502
    with pytest.raises(Refused):
        registry.open_upload("d", "s")
    assert len(little.seen) == 1


def test_attempts_end_and_the_reason_is_the_registrys_own(little: Any, registry: Registry) -> None:
    little.trouble = lambda method, path, nth: 503
    with pytest.raises(Refused) as no:
        registry.health()
    assert (no.value.status, no.value.code, no.value.reason, no.value.advice) == (503, "busy", "Come back later.", "Ask.")
    assert no.value.errors == ({"field": "a", "reason": "b"},)
    assert len(little.seen) == 4


def test_retry_after_is_obeyed() -> None:
    wire, answer = Wire("http://localhost"), __import__("requests").Response()
    answer.headers["Retry-After"] = "7"
    assert wire.wait(0, answer) == 7.0
    answer.headers["Retry-After"] = "86400"
    assert wire.wait(0, answer) == 60.0


def test_nobody_there_is_unreachable_not_a_traceback() -> None:
    with pytest.raises(Unreachable):
        Registry("http://127.0.0.1:9", "t", attempts=2, pause_s=0.01).me()


def test_a_token_is_not_sent_readable_to_another_machine_but_is_to_this_one(little: Any) -> None:
    with pytest.raises(Usage) as no:
        Registry("http://registry.example", "t")
    assert no.value.code == "insecure_url"
    Registry("https://registry.example", "t")
    Registry(little.url, "t")


def test_a_token_follows_neither_a_redirect_nor_a_foreign_next_page(little: Any, registry: Registry) -> None:
    little.trouble = lambda method, path, nth: 302
    with pytest.raises(Refused) as no:
        registry.me()
    assert no.value.code == "http_302"
    little.trouble = lambda method, path, nth: None
    little.answers["/images"] = {"next": "http://elsewhere.example/api/v1/images?cursor=2", "results": []}
    with pytest.raises(Usage) as wrong:
        registry.images()
    assert wrong.value.code == "foreign_address"


def test_every_page_of_a_list_comes(little: Any, registry: Registry) -> None:
    one = {"kind": "withdrawal", "dataset": "d", "label": "l", "package": None, "text": ""}
    little.answers["/notices"] = {"next": f"{little.url}/api/v1/notices2?cursor=x", "results": [{"id": "1", **one}]}
    little.answers["/notices2"] = {"next": None, "results": [{"id": "2", **one}]}
    assert [n.id for n in registry.notices()] == ["1", "2"]
    assert little.headers_seen[0]["Authorization"] == "Bearer myl_secret"


def test_something_else_answering_is_said_so(little: Any, registry: Registry) -> None:
    little.answers["/me"] = {"hello": "world"}
    with pytest.raises(Unreachable) as no:
        registry.me()
    assert no.value.code == "not_a_registry"
    assert "email" in no.value.reason
    little.answers["/me"] = {"id": "1", "email": "a@b.c", "from_the_future": 1}
    assert registry.me().email == "a@b.c"


def test_records_ignore_what_they_do_not_know() -> None:
    found = record(Participant, {"id": "1", "dataset": "d", "site": "s", "label": "x", "new": 2})
    assert found.label == "x"


def test_waiting_ends() -> None:
    looks = iter([1, 2, 3])
    assert wait_for(lambda: next(looks), lambda n: n == 3, pause_s=0) == 3
    with pytest.raises(Unreachable):
        wait_for(lambda: 1, lambda n: False, limit_s=0.05, pause_s=0.01)
