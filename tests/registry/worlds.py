"""Random worlds of who may have what, and whether the two faces of the policy say the same in them. Also asked by `make show-governance`, far more often."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry import rules
from registry.access import machine, policy
from registry.access.models import Entitlement, Member, Request, RequestedParticipant, View
from registry.accounts.models import Dataset, Role, User
from registry.consent import actions as consent
from registry.consent.models import ConsentEvent, ConsentFact, Standing
from registry.subjects.models import Participant

EVIDENCE = "a" * 64
NOW = timezone.now().replace(hour=12)


@dataclass
class Scene:
    """What every world is made of: places, people and users."""

    sites: list[Any]
    datasets: list[Any]
    people: list[Any]
    users: list[Any]


def scene_of(world: Any) -> Scene:
    """A scene of a test's `world`: two datasets at two sites, with one person in each."""
    sites = [world.site("aarhus"), world.site("odense")]
    datasets = [world.dataset(*sites), world.dataset(*sites)]
    people = [world.participant(dataset, site) for dataset, site in itertools.product(datasets, sites)]
    return Scene(sites, datasets, people, [world.user(f"u{n}") for n in range(2)])


class Dice(random.Random):
    """In every second world the first of several choices is taken far more often: otherwise some condition would deny nearly everybody everything."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.mild = seed % 2 == 0

    def pick(self, choices: list[Any]) -> Any:
        return choices[0] if self.mild and self.random() < 0.85 else self.choice(choices)

    def odd(self, share: float) -> bool:
        """True in about this share of cases, and seldom in a mild world."""
        return self.random() < (share / 6 if self.mild else share)


def _consent(rng: Dice, who: Participant) -> None:
    """Zero to two events, of any kind the database takes; ends around today."""
    for number in range(1, rng.pick([2, 1, 2, 3])):
        kind = rng.pick(["given", "given", "narrowed", "withdrawn", "expired", "lapsed_at_majority"])
        permission = rng.pick(["GRU", "HMB", *rules.PERMISSIONS]) if kind in ("given", "narrowed") else ""
        ConsentEvent.objects.create(
            participant=who, number=number, kind=kind, permission=permission, evidence_sha256=EVIDENCE if permission else "",
            modifiers=rng.sample(rules.MODIFIERS, rng.pick([0, 0, 1, 2])) if permission else [],
            diseases=["MONDO:0005301"] if permission == "DS" else [],
            countries=rng.pick([[], ["DK"], ["DK", "SE"]]) if permission else [],
            legal_basis=rng.pick(["6.1.a", *rules.LEGAL_BASES]) if permission else "", transfer=rng.pick(["any", *rules.TRANSFERS]) if permission else "",
            **{box: rng.random() < 0.3 for box in rules.BOXES},
            **({"given_by": "parent", "assent": "given", "reconsent_due": rng.pick([NOW.date() + timedelta(days=1), NOW.date()])} if rng.odd(0.3) else {}),
            max_months=rng.pick([None, 6, 24]),
            valid_until=rng.pick([None, NOW.date(), NOW.date() - timedelta(days=1), NOW.date() + timedelta(days=1)]),
        )  # fmt: skip
    if rng.random() < 0.9 or who.consent_events.exists():  # now and then nobody projected: then there are no events either
        consent.project(who)


def _request(rng: Dice, dataset: Dataset, by: User, decider: User, people: list[Participant]) -> None:
    state = rng.choice(sorted(machine.STATES)) if rng.odd(0.3) else rng.choice(sorted(machine.GIVES))
    decided = rng.choice([*rules.LEVELS, ""]) if rng.odd(0.3) else "restricted"
    view = rng.pick([None, None, *View.objects.filter(dataset=dataset)])
    code = rng.pick(["HMB", *rules.PURPOSES])
    request = Request.objects.create(
        dataset=dataset, requester=by, title="t", abstract="a", purpose=code, diseases=["MONDO:0005301"] if code == "DS" or rng.odd(0.2) else [],
        **{flag: rng.odd(0.3) for flag in policy.FLAGS if flag not in ("non_profit", "months")},
        non_profit=not rng.odd(0.3), country=rng.pick(["DK", "US"]), team_countries=rng.pick([[], ["SE"], ["CH", "BR"]]),
        months=rng.choice([6, 12]), promises=rng.sample(sorted(rules.ALL_PROMISES), rng.pick([5, 0, 2])), state=state, decided_by=decider, decided_at=NOW,
        view=view, decided_level=decided, attested_at=NOW,
    )  # fmt: skip
    if rng.odd(0.3):
        Member.objects.create(request=request, user=decider, country=rng.pick(["DK", "SE", "BR"]), dropped_at=NOW if rng.odd(0.3) else None)
    facts = list(ConsentFact.objects.all())
    current = {standing.participant_id: standing.facts for standing in Standing.objects.select_related("facts")}
    rows = []
    for one in people:
        if not rng.odd(0.3):
            settled = rng.choice([None, current.get(one.pk), rng.choice(facts) if facts else None])
            rows.append(RequestedParticipant(request=request, participant=one, allowed=not rng.odd(0.3), settled=settled))
    RequestedParticipant.objects.bulk_create(rows)
    starts = NOW + timedelta(hours=rng.pick([-24, -48, 0, 1]))
    Entitlement.objects.create(
        request=request, user=rng.pick([by, decider]), dataset=dataset, starts=starts, ends=starts + timedelta(hours=rng.pick([100, 1, 24])),
        resign_by=rng.pick([None, None, NOW, NOW + timedelta(hours=1)]), revoked_at=NOW if rng.odd(0.15) else None,
    )  # fmt: skip


def make(rng: Dice, scene: Scene) -> None:
    """Changes everything about the scene that can change."""
    for one in scene.people:
        _consent(rng, one)
        Participant.objects.filter(pk=one.pk).update(state=rng.pick(["active", "active", "withdrawn"]))
    roles: dict[Any, Role] = {}
    for user in scene.users:
        country = rng.pick(["DK", "DK", "US", "BR", ""])
        User.objects.filter(pk=user.pk).update(is_active=not rng.odd(0.1), is_superuser=rng.random() < 0.1, country=country)
        for _ in range(rng.randint(0, 2)):
            dataset, kind = rng.choice(scene.datasets), rng.choice(["contributor", "steward", "researcher", "auditor"])
            site = rng.choice(scene.sites) if kind == "contributor" else None
            if (user, dataset, kind, site) not in roles:
                roles[user, dataset, kind, site] = Role(user=user, dataset=dataset, kind=kind, site=site, ended_at=NOW if rng.random() < 0.2 else None)
    Role.objects.bulk_create(roles.values())
    for dataset in scene.datasets:
        Dataset.objects.filter(pk=dataset.pk).update(purpose_level=rng.choice(rules.LEVELS) if rng.odd(0.3) else "controlled")
        View.objects.create(dataset=dataset, name="some", title="Some", kinds=["image"], level=rng.pick(["open", "registered", *rules.LEVELS]))
    for _ in range(rng.randint(1, 4)):
        dataset, (by, decider) = rng.choice(scene.datasets), rng.sample(scene.users, 2)
        _request(rng, dataset, by, decider, scene.people)


def compared(scene: Scene, seed: int) -> tuple[int, list[Any]]:
    """The world of this seed, made and forgotten: how many answers were compared, and each that differs."""
    with transaction.atomic():
        rng = Dice(seed)
        make(rng, scene)
        told = list(_answers(rng, scene))
        transaction.set_rollback(True)
    return len(told), [(seed, *about) for about, same in told if not same]


def _answers(rng: Dice, scene: Scene) -> Iterator[tuple[Any, bool]]:
    """Every comparison: (what it is about, whether list and single answer are the same)."""
    askers = {asker: policy.facts_of_asker(asker) for asker in [None, *scene.users]}
    subjects = {one: policy.facts_of_participant(one) for one in Participant.objects.select_related("dataset")}
    for (asker, facts), action in itertools.product(askers.items(), rules.ACTIONS):
        listed = set(policy.limit(facts, action, Participant.objects.all(), "pk", at=NOW).values_list("pk", flat=True))
        for one, subject in subjects.items():
            yield (asker, action, one), rules.may(facts, action, subject, NOW).permitted == (one.pk in listed)
    # The facts are gathered afresh by both faces where nobody has gathered them.
    for asker, action, one in rng.sample(list(itertools.product(askers, rules.ACTIONS, subjects)), 2):
        answer = rules.may(askers[asker], action, subjects[one], NOW)
        yield (asker, action, one, "ask"), policy.ask(asker, action, one, at=NOW) == answer
        yield (asker, action, one, "list"), policy.participants(asker, action, at=NOW).filter(pk=one.pk).exists() == answer.permitted
    for entitlement in Entitlement.objects.all():
        yield from _one_entitlement(entitlement, subjects)
    yield from _one_request(subjects)


def _one_entitlement(entitlement: Entitlement, subjects: dict[Participant, rules.Subject]) -> Iterator[tuple[Any, bool]]:
    """What one entitlement covers is what the rule gives through it."""
    covered = set(policy.covered(entitlement, at=NOW).values_list("pk", flat=True))
    grant, alive = policy.grant_of(entitlement), User.objects.get(pk=entitlement.user_id).is_active
    only = rules.Asker("u", active=alive, grants=(grant,))
    for one, subject in subjects.items():
        yield (entitlement.pk, one), rules.may(only, "download", subject, NOW).permitted == (one.pk in covered)
    first = next(iter(subjects))
    yield (entitlement.pk, "still"), policy.still(entitlement.pk, [first.pk], at=NOW) == (first.pk in covered)


def _one_request(subjects: dict[Participant, rules.Subject]) -> Iterator[tuple[Any, bool]]:
    """What a request freezes for everybody at once is what the rule says of each, with the same reasons and obligations."""
    request = Request.objects.select_related("requester").first()
    if request is not None:
        purpose = policy.purpose_of(request)
        many = policy.preview(purpose, Participant.objects.all(), at=NOW)
        for one, subject in subjects.items():
            yield (request.pk, one, "preview"), many[one.pk] == rules.decide(subject.consent, purpose, NOW.date())
