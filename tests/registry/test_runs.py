"""The ledger: a run is done once, whoever dies, freezes or comes late; its fence, its cap, its wake-up calls."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from registry.rules import Conflict, Denied
from registry.runs import actions, ledger, queries, runner, ticking
from registry.runs.models import Lease, Run, State

pytestmark = pytest.mark.django_db(databases="__all__")
DONE: list[Any] = []


# --- a kind of run of this test's own, without a carrier -------------------------------------------------------------------------------------------


def work(run: Run, beat: Any) -> dict[str, Any]:
    beat()
    DONE.append(("work", run.attempt))
    return {"made": 3}


def record(run: Run, result: dict[str, Any]) -> None:
    DONE.append(("record", result["made"]))


def work_fails(run: Run, beat: Any) -> None:
    raise ValueError("Doe^Jane is in this message")


def work_refuses(run: Run, beat: Any) -> None:
    raise Denied("no_consent", "No consent is on record.")


def record_fails(run: Run, result: dict[str, Any]) -> None:
    Lease.objects.create(name="written by record", until=timezone.now())
    raise ValueError


def died(run: Run) -> None:
    DONE.append(("died", run.code))


@pytest.fixture(autouse=True)
def kinds(settings: Any, monkeypatch: Any) -> None:
    DONE.clear()
    runner.stopping.clear()
    here = {name: function for name, function in globals().items() if callable(function)}
    monkeypatch.setattr("registry.runs.kinds.function", lambda path: here[path])
    settings.MYELIN_RUN_KINDS = {
        "good": {"work": "work", "record": "record", "dead": "died"},
        "bad": {"work": "work_fails", "record": "record", "dead": "died"},
        "refused": {"work": "work_refuses", "record": "record", "dead": "died"},
        "unrecorded": {"work": "work", "record": "record_fails", "dead": "died"},
        "carried": {"order": "work", "record": "record", "dead": "died"},
    }
    settings.MYELIN_LEASE_S = 3


def a_run(kind: str = "good", **fields: Any) -> Run:
    return actions.enqueue(kind, uuid.uuid4(), **fields)


def stale(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(heartbeat_at=ledger.now() - timedelta(seconds=10))


# --- the ordinary way ------------------------------------------------------------------------------------------------------------------------------


def test_a_run_is_carried_to_its_end_once(committed: None) -> None:
    run = a_run()
    assert runner.carry(str(run.pk)) == "done"
    assert runner.carry(str(run.pk)) == "not_claimed"
    run.refresh_from_db()
    assert (run.state, run.result, run.attempt) == ("done", {"made": 3}, 1) and run.finished_at is not None
    assert DONE == [("work", 1), ("record", 3)]


def test_one_piece_of_work_has_one_living_run() -> None:
    subject = uuid.uuid4()
    one = actions.enqueue("good", subject)
    assert actions.enqueue("good", subject) == one
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.create(kind="good", subject_id=subject)
    ledger.commit(ledger.claim("me"), lambda run: None)  # type: ignore[arg-type]
    assert actions.enqueue("good", subject) != one
    with pytest.raises(KeyError):
        actions.enqueue("unheard of", subject)


def test_the_announcement_goes_out_on_commit_and_not_on_roll_back(committed: None) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        a_run()
        raise RuntimeError
    assert (Run.objects.count(), DBTaskResult.objects.count()) == (0, 0)
    run = a_run(priority=5)
    message = DBTaskResult.objects.get()
    assert (message.args_kwargs["args"], message.priority, message.status) == ([str(run.pk)], 5, "READY")


def test_runs_are_claimed_by_priority_then_age_and_from_the_queues_one_hears() -> None:
    old, urgent, gpu = a_run(), a_run(priority=9), a_run(queue="gpu", priority=50)
    order = [ledger.claim("me", queues=("default",)) for _ in range(3)]
    assert order == [urgent, old, None]
    assert ledger.claim("me", queues=("gpu",)) == gpu


def test_many_workers_take_each_run_once(committed: None) -> None:
    runs = {a_run().pk for _ in range(30)}
    taken: list[Any] = []

    def some() -> None:
        while run := ledger.claim(ledger.new_owner()):
            taken.append(run.pk)
        connections.close_all()

    threads = [threading.Thread(target=some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 30 and set(taken) == runs


# --- what goes wrong -------------------------------------------------------------------------------------------------------------------------------


def test_an_error_costs_the_attempt_and_at_the_cap_the_run_is_dead_with_a_reason_and_no_name(committed: None) -> None:
    run = a_run("bad")
    for attempt in (1, 2, 3):
        Run.objects.update(not_before=None)
        assert runner.carry(str(run.pk)) == ("ready" if attempt < 3 else "dead")
    run.refresh_from_db()
    assert (run.state, run.code, run.attempt) == ("dead", "internal_error", 3)
    assert "ValueError at test_runs.py" in run.reason and "Doe" not in run.reason
    assert DONE == [("died", "internal_error")]
    assert list(queries.dead()) == [run]


def test_a_pause_lies_between_two_attempts(committed: None) -> None:
    run = a_run("bad")
    runner.carry(str(run.pk))
    assert runner.carry(str(run.pk)) == "not_claimed"
    run.refresh_from_db()
    assert run.not_before is not None and run.not_before > timezone.now()
    assert DBTaskResult.objects.filter(run_after__gt=timezone.now(), run_after__lt=timezone.now() + timedelta(hours=1)).count() == 1


def test_a_refusal_is_final_and_keeps_its_code(committed: None) -> None:
    run = a_run("refused")
    assert runner.carry(str(run.pk)) == "dead"
    run.refresh_from_db()
    assert (run.code, run.reason, run.attempt) == ("no_consent", "No consent is on record.", 1)


def test_what_record_wrote_is_rolled_back_when_it_fails(committed: None) -> None:
    run = a_run("unrecorded")
    assert runner.carry(str(run.pk)) == "ready"
    assert not Lease.objects.filter(name="written by record").exists()


def test_a_dead_run_can_be_tried_anew_and_a_living_one_cannot(committed: None) -> None:
    run = a_run("refused")
    with pytest.raises(Conflict):
        actions.retry(run)
    runner.carry(str(run.pk))
    assert actions.retry(run).state == "ready"
    assert runner.carry(str(run.pk)) == "dead"
    again = actions.enqueue("refused", run.subject_id)
    with pytest.raises(Conflict):
        actions.retry(run)
    assert again.state == "ready"


def test_without_a_carrier_a_carried_run_is_not_even_claimed(committed: None, monkeypatch: Any) -> None:
    run = a_run("carried")
    monkeypatch.setattr("registry.runs.runner._carrier_comes", lambda: False)
    assert runner.carry(str(run.pk)) == "no_carrier"
    run.refresh_from_db()
    assert (run.state, run.attempt) == ("ready", 0)


def test_a_worker_that_is_asked_to_stop_gives_the_run_back_uncounted(committed: None) -> None:
    run = a_run()
    runner.stopping.set()
    assert runner.carry(str(run.pk)) == "given_back"
    runner.stopping.clear()
    run.refresh_from_db()
    assert (run.state, run.attempt, run.max_attempts, run.owner) == ("ready", 1, 4, "")
    assert runner.carry(str(run.pk)) == "done"


# --- who owns it -----------------------------------------------------------------------------------------------------------------------------------


def test_a_frozen_owner_that_thaws_finds_the_fence(committed: None) -> None:
    a_run()
    frozen = ledger.claim("frozen")
    assert frozen is not None
    stale(frozen)
    assert actions.reconcile()["taken_back"] == 1
    Run.objects.update(not_before=None)
    living = ledger.claim("living")
    assert living is not None and living.attempt == 2
    for late in (
        lambda: ledger.beat(frozen),
        lambda: ledger.fail(frozen, "x", "y"),
        lambda: ledger.give_back(frozen),
        lambda: ledger.commit(frozen, lambda run: None),
    ):
        with pytest.raises(ledger.Lost):
            late()
    wrote = []
    with pytest.raises(ledger.Lost):
        ledger.commit(frozen, lambda run: wrote.append(run))  # type: ignore[arg-type,return-value]
    assert wrote == []
    ledger.beat(living)
    ledger.commit(living, lambda run: {"by": "living"})
    assert Run.objects.get().result == {"by": "living"}


def test_the_same_owner_s_earlier_attempt_is_fenced_off_too(committed: None) -> None:
    a_run()
    first = ledger.claim("me")
    assert first is not None
    ledger.give_back(first)
    second = ledger.claim("me")
    assert second is not None
    with pytest.raises(ledger.Lost):
        ledger.beat(first)
    ledger.beat(second)


def test_a_heart_that_beats_is_left_alone_and_one_that_stopped_is_not(committed: None) -> None:
    a_run()
    run = ledger.claim("me")
    assert run is not None
    assert actions.reconcile() == {"taken_back": 0, "announced": 0}
    stale(run)
    assert actions.reconcile()["taken_back"] == 1
    assert actions.reconcile()["taken_back"] == 0


def test_lost_again_and_again_a_run_is_dead_and_says_so(committed: None) -> None:
    run = a_run()
    for _ in range(3):
        Run.objects.update(not_before=None)
        claimed = ledger.claim("me")
        assert claimed is not None
        stale(claimed)
        actions.reconcile()
    run.refresh_from_db()
    assert (run.state, run.code) == ("dead", "runner_lost")
    assert DONE == [("died", "runner_lost")]


def test_the_heart_notices_when_the_run_was_taken_away(committed: None, settings: Any) -> None:
    settings.MYELIN_LEASE_S = 0.3
    a_run()
    run = ledger.claim("me")
    assert run is not None
    with runner.Beating(run) as beating:
        beating.check()
        Run.objects.update(owner="somebody else")
        assert beating.lost.wait(5)
        with pytest.raises(ledger.Lost):
            beating.check()


# --- wake-up calls ---------------------------------------------------------------------------------------------------------------------------------


def test_a_lost_announcement_is_made_again_and_no_flood_of_them(committed: None) -> None:
    run = a_run()
    DBTaskResult.objects.all().delete()  # the queue lost it
    Run.objects.update(woken_at=timezone.now() - timedelta(minutes=1))
    assert actions.reconcile()["announced"] == 1
    assert actions.reconcile()["announced"] == 0
    Run.objects.update(woken_at=timezone.now() - timedelta(minutes=1))
    assert actions.reconcile()["announced"] == 0  # one waits to be heard
    assert DBTaskResult.objects.get().args_kwargs["args"] == [str(run.pk)]


def test_a_doubled_announcement_changes_nothing(committed: None) -> None:
    run = a_run()
    actions.wake(run)
    assert [runner.carry(str(run.pk)) for _ in range(2)] == ["done", "not_claimed"]
    assert runner.carry(str(uuid.uuid4())) == "not_claimed"


def test_old_messages_are_removed_and_waiting_ones_kept(committed: None) -> None:
    a_run()
    a_run()
    first = DBTaskResult.objects.first()
    DBTaskResult.objects.filter(pk=first.pk).update(status="SUCCESSFUL", enqueued_at=timezone.now() - timedelta(days=2))
    assert actions.prune() == 1
    assert DBTaskResult.objects.count() == 1


def test_the_database_holds_a_run_to_its_states() -> None:
    wrong = [
        {"state": "running"},
        {"state": "dead", "finished_at": timezone.now()},
        {"state": "done"},
        {"state": "ready", "finished_at": timezone.now()},
        {"state": "lost"},
    ]
    for fields in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            Run.objects.create(kind="good", subject_id=uuid.uuid4(), **fields)
    Run.objects.create(kind="good", subject_id=uuid.uuid4(), state=State.DEAD, code="x", finished_at=timezone.now())


# --- the tick --------------------------------------------------------------------------------------------------------------------------------------


def due() -> str:
    DONE.append("due")
    return "done"


def breaks() -> None:
    raise RuntimeError("Doe^Jane")


def test_each_thing_is_done_when_it_is_due_by_one_of_many(committed: None, settings: Any) -> None:
    settings.MYELIN_TICK = [("a", "due", 60), ("b", "breaks", 60), ("c", "due", 60)]
    assert ticking.tick("one") == {"a": "done", "b": {"error": "RuntimeError at test_runs.py:" + line_of("raise RuntimeError(")}, "c": "done"}
    assert ticking.tick("two") == {}
    Lease.objects.filter(name="a").update(ran_at=timezone.now() - timedelta(seconds=61), until=timezone.now() - timedelta(seconds=61))
    assert ticking.tick("two") == {"a": "done"}
    assert set(ticking.tick("two", force=True)) == {"a", "b", "c"}


def line_of(text: str) -> str:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return str(next(n for n, line in enumerate(lines, 1) if text in line))


def test_two_ticks_at_once_do_each_thing_once(committed: None, settings: Any) -> None:
    settings.MYELIN_TICK = [("a", "due", 60)]
    barrier = threading.Barrier(4)

    def one() -> None:
        barrier.wait()
        ticking.tick(ledger.new_owner())
        connections.close_all()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert DONE == ["due"]


def test_a_lease_whose_holder_died_is_free_again_after_its_time() -> None:
    assert ticking.take("x", "one", 0)
    assert not ticking.take("x", "two", 0)
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert ticking.take("x", "two", 0)
    ticking.let_go("x", "one")  # late, and no longer its own
    assert not ticking.take("x", "three", 0)
