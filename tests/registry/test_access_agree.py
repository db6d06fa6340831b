"""One rule, two faces: on random worlds, the list holds exactly those of whom the single answer permits."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import rules
from registry.access import policy
from registry.access.models import Entitlement, Request, RequestedParticipant
from registry.accounts.models import Dataset, Role, User
from registry.consent import actions as consent
from registry.consent.models import ConsentEvent, ConsentFact
from registry.subjects.models import Participant

pytestmark = pytest.mark.django_db(databases="__all__")
EVIDENCE = "a" * 64
NOW = timezone.now().replace(hour=12)


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
    state = rng.pick(["approved", "approved", "closed", "rejected"])
    code = rng.pick(["HMB", *rules.PURPOSES])
    request = Request.objects.create(
        dataset=dataset, requester=by, title="t", abstract="a", purpose=code, diseases=["MONDO:0005301"] if code == "DS" or rng.odd(0.2) else [],
        **{flag: rng.odd(0.3) for flag in policy.FLAGS if flag not in ("non_profit", "months")},
        non_profit=not rng.odd(0.3), country=rng.pick(["DK", "US"]), team_countries=rng.pick([[], ["SE"], ["CH", "BR"]]),
        months=rng.choice([6, 12]), promises=rng.sample(sorted(rules.ALL_PROMISES), rng.pick([5, 0, 2])), state=state, decided_by=decider, decided_at=NOW,
    )  # fmt: skip
    facts = list(ConsentFact.objects.all())
    for one in people:
        if not rng.odd(0.3):
            standing = getattr(Participant.objects.select_related("standing").get(pk=one.pk), "standing", None)
            settled = rng.choice([None, standing.facts if standing else None, rng.choice(facts) if facts else None])
            RequestedParticipant.objects.create(request=request, participant=one, allowed=not rng.odd(0.3), settled=settled)
    starts = NOW + timedelta(hours=rng.pick([-24, -48, 0, 1]))
    Entitlement.objects.create(
        request=request, user=by, dataset=dataset, starts=starts, ends=starts + timedelta(hours=rng.pick([100, 1, 24])),
        revoked_at=NOW if rng.odd(0.15) else None,
    )  # fmt: skip


def _world(rng: Dice, scene: Any) -> None:
    """Changes everything about the scene that can change."""
    for one in scene["people"]:
        _consent(rng, one)
        Participant.objects.filter(pk=one.pk).update(state=rng.pick(["active", "active", "withdrawn"]))
    for user in scene["users"]:
        User.objects.filter(pk=user.pk).update(is_active=not rng.odd(0.1), is_superuser=rng.random() < 0.1)
        for _ in range(rng.randint(0, 2)):
            dataset, kind = rng.choice(scene["datasets"]), rng.choice(["contributor", "steward", "researcher", "auditor"])
            site = rng.choice(scene["sites"]) if kind == "contributor" else None
            Role.objects.get_or_create(user=user, dataset=dataset, kind=kind, site=site, defaults={"ended_at": NOW if rng.random() < 0.2 else None})
    for dataset in scene["datasets"]:
        Dataset.objects.filter(pk=dataset.pk).update(purpose_level=rng.pick(["controlled", "controlled", "closed"]))
    for _ in range(rng.randint(1, 4)):
        dataset, (by, decider) = rng.choice(scene["datasets"]), rng.sample(scene["users"], 2)
        _request(rng, dataset, by, decider, scene["people"])


@pytest.fixture
def scene(world: Any) -> dict[str, list[Any]]:
    sites = [world.site("aarhus"), world.site("odense")]
    datasets = [world.dataset(*sites), world.dataset(*sites)]
    people = [world.participant(dataset, site) for dataset, site in itertools.product(datasets, sites) for _ in range(2)]
    return {"sites": sites, "datasets": datasets, "people": people, "users": [world.user(f"u{n}") for n in range(3)]}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, 2**63))
def test_list_and_single_answer_agree_on_random_worlds(scene: dict[str, list[Any]], seed: int) -> None:
    compared, rng = 0, Dice(seed)
    with transaction.atomic():
        _world(rng, scene)
        everybody = [None, *scene["users"]]
        subjects = {one: policy.facts_of_participant(one) for one in Participant.objects.select_related("dataset")}
        for asker, action in itertools.product(everybody, rules.ACTIONS):
            listed = set(policy.limit(asker, action, Participant.objects.all(), "pk", at=NOW).values_list("pk", flat=True))
            facts = policy.facts_of_asker(asker)
            for one, subject in subjects.items():
                single = rules.may(facts, action, subject, NOW).permitted
                assert single == (one.pk in listed), (seed, asker, action, one.pk)
                compared += 1
        for asker, action, one in rng.sample(list(itertools.product(everybody, rules.ACTIONS, subjects)), 6):
            assert policy.ask(asker, action, one, at=NOW) == rules.may(policy.facts_of_asker(asker), action, subjects[one], NOW)
        for entitlement in Entitlement.objects.all():
            _one_entitlement(entitlement, subjects)
        transaction.set_rollback(True)
    assert compared == 4 * len(rules.ACTIONS) * 8


def _one_entitlement(entitlement: Entitlement, subjects: dict[Participant, rules.Subject]) -> None:
    """What one entitlement covers is what the rule gives through it."""
    covered = set(policy.covered(entitlement, at=NOW).values_list("pk", flat=True))
    grant, alive = policy.grant_of(entitlement), User.objects.get(pk=entitlement.user_id).is_active
    for one, subject in subjects.items():
        only = rules.Asker("u", active=alive, grants=(grant,))
        single = rules.may(only, "download", subject, NOW).permitted
        assert single == (one.pk in covered)
    one = next(iter(subjects))
    assert policy.still(entitlement.pk, [one.pk], at=NOW) == (one.pk in covered)


def test_the_random_worlds_are_worth_asking(scene: dict[str, list[Any]]) -> None:
    """The test above would prove little if nobody were ever given anything, or everybody everything."""
    told = {"granted": 0, "asked": 0}
    for seed in range(15):
        with transaction.atomic():
            _world(Dice(seed), scene)
            for user in scene["users"]:
                told["granted"] += policy.participants(user, "download", NOW).count()
                told["asked"] += len(scene["people"])
            transaction.set_rollback(True)
    assert 0.05 < told["granted"] / told["asked"] < 0.5, told
