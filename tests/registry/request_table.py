"""Every state x role x command, asked of the real acts on a real database: does each outcome equal the table (`registry.access.machine`)?

Also asked by `make show-governance`. Each state is built once; each cell is an act of its own, which its savepoint forgets.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.access import actions, machine, policy
from registry.access.models import Entitlement, Member, Renewal, Request, RequestedParticipant, Vote
from registry.rules import Refusal

KEY = "age1" + "q" * 58
ACTS: dict[str, Callable[[Any, Any, Request], Any]] = {
    "change": lambda who, scene, request: actions.change_request(who, request, title="Another"),
    "name_member": lambda who, scene, request: actions.name_member(who, request, scene.newcomer),
    "drop_member": lambda who, scene, request: actions.drop_member(who, scene.membership),
    "submit": lambda who, scene, request: actions.submit_request(who, request),
    "screen": lambda who, scene, request: actions.screen_request(who, request),
    "withdraw": lambda who, scene, request: actions.withdraw_request(who, request),
    "give_key": lambda who, scene, request: actions.set_recipient_key(who, request, KEY),
    "vote": lambda who, scene, request: actions.vote(who, request, True),
    "return": lambda who, scene, request: actions.return_request(who, request, "Which method?"),
    "approve": lambda who, scene, request: actions.approve_request(who, request),
    "reject": lambda who, scene, request: actions.reject_request(who, request, "Answered already."),
    "sign": lambda who, scene, request: actions.sign_agreement(who, request, 1),
    "suspend": lambda who, scene, request: actions.suspend_request(who, request, "A doubt."),
    "resume": lambda who, scene, request: actions.resume_request(who, request),
    "revoke": lambda who, scene, request: actions.revoke_request(who, request, "Misuse."),
    "revoke_one": lambda who, scene, request: actions.revoke_entitlement(who, _entitlement(request), "Misuse."),
    "fall_due": lambda who, scene, request: actions.fall_due(who, request),
    "report": lambda who, scene, request: actions.report(who, request, "We counted lesions."),
    "renew": lambda who, scene, request: actions.renew_request(who, request, getattr(Renewal.objects.filter(request=request).last(), "pk", None)),
    "expire": lambda who, scene, request: actions.expire_request(who, request),
    "close": lambda who, scene, request: actions.close_request(who, request),
    "attest": lambda who, scene, request: actions.attest_deletion(who, request, "All is deleted."),
}


def _entitlement(request: Request) -> Entitlement:
    """One of the request; of a request that has none, one that is not saved."""
    return Entitlement.objects.filter(request=request).first() or Entitlement(request=request, user=request.requester, dataset=request.dataset)


def scene_of(world: Any) -> Any:
    """A dataset that decides by a committee, a request with a team of two, and somebody for every role."""
    site = world.site()
    dataset = world.dataset(site, quorum=1, voters="committee")
    for _ in range(2):
        world.consent(world.participant(dataset, site))
    request = world.request(dataset)
    member = world.user("member")
    membership = Member.objects.create(request=request, user=member, country="DK", recipient_key=KEY)
    voter, steward = world.user("voter", institution="Elsewhere"), world.steward(dataset)
    auditor = world.user("auditor")
    for user, kind in ((voter, "committee"), (auditor, "auditor")):
        actions.give_role("system:test", user, dataset, kind)
    both = [world.user("both"), world.user("both")]  # stewards and voters who are of the team
    for kind in ("steward", "committee"):
        actions.give_role("system:test", both[0], dataset, kind)
    Member.objects.create(request=request, user=both[0], country="DK", recipient_key=KEY)
    people = {
        "requester": request.requester, "member": member, "steward": steward, "voter": voter, "contributor": world.contributor(dataset, site),
        "auditor": auditor, "administrator": world.user("admin", is_superuser=True), "researcher": world.user("other"), "nobody": None,
        "system": "system:test", "member steward voter": both[0],
    }  # fmt: skip
    return SimpleNamespace(request=request, people=people, membership=membership, newcomer=world.user("new"), decider=world.steward(dataset))


def put(scene: Any, state: str, over: bool = False) -> Request:
    """The request in a state, with what a request in it has: votes, answers, and from its grant on entitlements (`over`: whose time has ended)."""
    now, request = timezone.now(), scene.request
    told = {"decided_by": scene.decider, "decided_at": now, "decided_level": "controlled", "attested_at": now}
    Request.objects.filter(pk=request.pk).update(state=state, **told)
    RequestedParticipant.objects.filter(request=request).update(allowed=state in machine.DECIDED)
    Vote.objects.create(request=request, user=scene.people["voter"], yes=True, at=now + timedelta(seconds=1))
    if state in machine.GRANTED:
        ends = now - timedelta(seconds=1) if over else now + timedelta(days=20)
        team = (scene.people["requester"], scene.people["member"])
        Entitlement.objects.bulk_create(
            Entitlement(request=request, user=user, dataset=request.dataset, starts=now - timedelta(days=300), ends=ends) for user in team
        )
        Renewal.objects.create(request=request, done="We counted lesions.")
    return Request.objects.get(pk=request.pk)


def expected(state: str, roles: set[str], command: str) -> set[str]:
    """What the table says: the code of the refusal, or the states that may follow (a request that was handed in is screened at once)."""
    rule = machine.COMMANDS[command]
    if "nobody" in roles:
        return {"not_signed_in"}
    if not roles & rule.roles:
        return {"not_your_request" if rule.roles <= {"requester", "member"} else "no_role"}
    if rule.judges and roles & {"requester", "member"}:
        return {"self_approval"}
    if state not in rule.moves:
        return {"request_state"}
    after = set(rule.moves[state])
    return set(machine.COMMANDS["screen"].moves["screening"]) if command in ("submit", "screen") else after


def cell(scene: Any, request: Request, who: str, command: str) -> str:
    """What became of the act: the code of the refusal, or the state. It is forgotten by its savepoint."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                ACTS[command](scene.people[who], scene, request)
            found = Request.objects.values_list("state", flat=True).get(pk=request.pk)
        except Refusal as refused:
            found = refused.code
        transaction.set_rollback(True)
    return found


def outcomes(scene: Any, state: str, people: Iterable[str], commands: Iterable[str]) -> dict[tuple[str, str], str]:
    """What becomes of these commands by these people in one state, which is built once (for `expire` once more)."""
    found = {}
    for over, named in itertools.groupby(sorted(commands, key="expire".__eq__), key="expire".__eq__):
        with transaction.atomic():
            request = put(scene, state, over)
            found |= {(who, command): cell(scene, request, who, command) for command in named for who in people}
            transaction.set_rollback(True)
    return found


def wrong(scene: Any, commands: Collection[str] = tuple(machine.COMMANDS)) -> tuple[int, int, list[str]]:
    """How many cells were asked, how many of them were allowed, and each that is not as the table says."""
    asked, allowed, differing = 0, 0, []
    for state in machine.STATES:
        for (who, command), found in outcomes(scene, state, scene.people, commands).items():
            said = expected(state, set(who.split()), command)
            asked, allowed = asked + 1, allowed + (found in machine.STATES)
            if found not in said:
                differing.append(f"{state} x {who} x {command}: {found}, not {' or '.join(sorted(said))}")
    return asked, allowed, differing


def gives(scene: Any, state: str) -> tuple[int, int]:
    """To how many people in a state the policy gives images, by the list, and asked one by one."""
    with transaction.atomic():
        request = put(scene, state)
        who = scene.people["requester"]
        people = [row.participant for row in RequestedParticipant.objects.filter(request=request)]
        told = policy.participants(who, "download").count(), sum(policy.ask(who, "download", one).permitted for one in people)
        transaction.set_rollback(True)
    return told
