"""The row of `make show-governance` about counts: a differencing attacker over the live API, and the same one against counts that are exact."""

from __future__ import annotations

import itertools
import random
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import counting_attack as attacker
from counting_attack import Ask, Score, Target
from governance_house import engine, opened
from table import Result

COHORTS = {"quick": 1, "usual": 4, "full": 20}
AT_HOME = {"quick": 20, "usual": 20, "full": 60}
QUICK_QUESTIONS = 25  # QUICK=1 does not let the anonymous asker come to the end of its list
SEED = 20_261_129


@dataclass
class Campaign:
    """What came of it: claims by (asker, whether the secret is attacked, way), for the registry and for its naive twin; and what was asked."""

    ours: dict[tuple[str, bool, str], Score] = field(default_factory=dict)
    naive: dict[tuple[str, bool, str], Score] = field(default_factory=dict)
    asked: int = 0
    over: int = 0  # questions answered beyond a budget

    def add(self, scores: dict[tuple[str, bool, str], Score], asker: str, target: Target, claims: attacker.Claims) -> None:
        for way, made in claims.items():
            scores.setdefault((asker, target.secret, way), Score()).add(made, target.truth)


def differencing(depth: str) -> Result:
    """Anonymous, one user and two accounts of one institution against each of so many cohorts of 300; whoever leaves afterwards is attacked too."""
    world, campaign = opened(), Campaign()
    homes = attacker.at_home("ours", AT_HOME[depth], SEED + 1000)
    worth = attacker.calibrated(homes)
    leavers = {twin: attacker.leavers_at_home(twin, 10 * AT_HOME[depth], SEED + 5000) for twin in ("ours", "exact")}
    for n in range(COHORTS[depth]):
        _one_cohort(world, n, campaign, leavers, short=depth == "quick")
        print(f"cohort {n + 1}: {campaign.asked} questions", file=sys.stderr, flush=True)
    claims, guesses, naive = _claims(campaign.ours, worth), _sum(campaign.ours.values()), _sum(campaign.naive.values())
    met = claims.made == 0 and campaign.over == 0 and naive.made > 10 * COHORTS[depth] and naive.right > 0.9 * naive.made
    figure = f"{claims.made} claims in {COHORTS[depth]} cohorts of {attacker.PEOPLE}, {campaign.asked:,} questions over the API ({engine()}), "
    figure += (
        f"{campaign.over} beyond a budget; what no way of concluding that proved itself on {AT_HOME[depth]} cohorts of its own would claim: {_told(guesses)}; "
    )
    figure += f"the same attacker against exact counts: {_told(naive)}"
    return Result(figure, met=met, sample=COHORTS[depth] < COHORTS["full"])


def _sum(scores: Any) -> Score:
    found = list(scores)
    return Score(sum(one.made for one in found), sum(one.right for one in found))


def _told(score: Score) -> str:
    return f"{score.made}" + (f", {round(100 * score.right / score.made)} % right" if score.made else "")


def _claims(scores: dict[tuple[str, bool, str], Score], worth: set[tuple[str, bool, str]]) -> Score:
    """What the attacker claims: by the ways that proved themselves at home for who may ask as much. Who left is claimed about whenever it is sure."""
    return _sum(score for (asker, secret, way), score in scores.items() if way == "leaving" or (KIND[asker], secret, way) in worth)


KIND = {"anonymous": "anonymous", "one user": "signed in", "two accounts": "signed in"}


def _one_cohort(world: Any, n: int, campaign: Campaign, leavers: dict[str, dict[bool, list[float]]], short: bool) -> None:
    from tests.registry.upper import cohorts, invented

    rng = random.Random(SEED + n)
    members = invented.drawn(rng, attacker.PEOPLE)
    site = world.site(f"site-{n}")
    dataset = world.dataset(site)
    people = cohorts.put(dataset, site, members, cohorts.facts_of(world, dataset, site))
    secret, member = attacker.targets(members, rng)
    users = [world.user("attacker", institution=name) for name in (f"Lone {n}", f"Both {n}", f" both  {n}")]
    turns = {"anonymous": [None], "one user": users[:1], "two accounts": users[1:]}
    attacks = [("anonymous", secret), ("anonymous", member), ("one user", secret), ("two accounts", member)]
    for asker, target in attacks:
        live = Live(dataset, turns[asker])
        asked = attacker.questions(target, *attacker.ASKERS[KIND[asker]], attacker.LEAST, rng)
        asked = asked[: QUICK_QUESTIONS if short and asker == "anonymous" else None]
        answers = {one: live.ask(one) for one in asked}
        campaign.add(campaign.ours, asker, target, attacker.conclude(target, answers, attacker.NOISE["ours"]))
        naive = attacker.attack(target, attacker.exact(members, rng), KIND[asker], "exact", rng)
        campaign.add(campaign.naive, asker, target, naive)
        campaign.asked += live.asked
        campaign.over += live.beyond() if asker != "anonymous" and len(asked) == attacker.smallcells.A_DAY else 0
    _leaver(dataset, people[0], members, campaign, leavers)


def _leaver(dataset: Any, person: Any, members: attacker.People, campaign: Campaign, leavers: dict[str, dict[bool, list[float]]]) -> None:
    """The first member leaves: every question about their groups before and after."""
    from registry.subjects.models import Participant

    live, asked = Live(dataset, [None]), attacker.about(members[0])
    before = {one: live.ask(one) for one in asked}
    Participant.objects.filter(pk=person.pk).update(state="withdrawn")
    after = {one: live.ask(one) for one in asked}
    campaign.asked += live.asked
    exact: list[Ask] = [attacker.exact(rows, random.Random(0)) for rows in (members, members[1:])]
    told = {"ours": attacker.fallen(before, after), "exact": attacker.fallen(*({one: ask(one) for one in asked} for ask in exact))}
    for twin, scores in (("ours", campaign.ours), ("exact", campaign.naive)):
        had = attacker.leaver_had(told[twin], leavers[twin])
        scores.setdefault(("anonymous", True, "leaving"), Score()).add({} if had is None else {0: had}, attacker.mask(members[:1], [attacker.POSITIVE]))


class Live:
    """The API of the registry as these accounts have it in turn; None: nobody signed in."""

    def __init__(self, dataset: Any, users: list[Any]) -> None:
        from django.conf import settings
        from django.test import Client

        settings.MYELIN_LIMITS = dict.fromkeys(settings.MYELIN_LIMITS, (10**9, 60))  # an attacker has many addresses and much time
        self.path, self.asked = f"/api/v1/datasets/{dataset.slug}/count", 0
        self.clients = [Client(raise_request_exception=False) for _ in users]
        for client, user in zip(self.clients, users, strict=True):
            if user is not None:
                client.force_login(user)
        self.turn = itertools.cycle(self.clients)

    def ask(self, question: frozenset[str]) -> int | None:
        """The number told. Raises AssertionError where the door refuses: the attacker keeps to what it may ask."""
        answer = self._get(next(self.turn), question)
        assert answer.status_code == 200, answer.content
        self.asked += 1
        count: int | None = answer.json()["counts"][0]["count"]
        return count

    def beyond(self) -> int:
        """How many accounts are still answered when the budget is spent."""
        new = frozenset({"treatment.route:oral", "labs.jcv:positive", "sex:F"})
        return sum(self._get(client, new).status_code != 429 for client in self.clients)

    def _get(self, client: Any, question: frozenset[str]) -> Any:
        return client.get(f"{self.path}?{urlencode([('where', word) for word in sorted(question)])}")
