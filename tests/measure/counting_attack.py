"""A differencing attacker: knows everybody by sex, diagnosis, course and so on, sees nothing but counts, and claims what it is sure of.

Two secrets are attacked: whether `csf.ocb` of a member is positive, and whether somebody is a member at all (of sixty people it is not sure of, half are).
Sets of questions are chosen so that they differ by one person (subset differencing, and different words for nearly the same group), cover whole and parts
of a field (complements, facets that add up), and overlap as much as possible. Three ways of concluding, each told apart in what it claims:

- `differ`: two answers of groups that differ by one person differ themselves;
- `edge`: one of two such answers is told and the other is not;
- `posterior`: all answers together, whole, parts, complements and rounding, as one linear system with the noise the mechanism is known to have.

It knows the mechanism. So it tries each way on cohorts of its own first, for which it plays the registry itself, and keeps those that are right more often
than guessing (`calibrated`). Somebody's leaving is the fourth way (`leaver_had`): the same questions before and after.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from registry import smallcells
from tests.registry.upper.invented import BASE, KNOWN, NEGATIVE, POSITIVE, SECRET, drawn

Ask = Callable[[frozenset[str]], int | None]
People = list[dict[str, str]]
PEOPLE, UNSURE, LEAST, SURE, MARGIN = 300, 60, 11, 0.95, 0.05
WORDS = [f"{name}:{value}" for name, values in KNOWN.items() for value in values]


# --- mechanisms that the attacker plays itself -------------------------------------------------------------------------------------------------------


def holds(row: dict[str, str], question: Iterable[str]) -> bool:
    return all(row[word.partition(":")[0]] == word.partition(":")[2] for word in question)


def mask(people: People, question: Iterable[str]) -> int:
    """Bit n: all of the question holds for person n."""
    return sum(1 << n for n, row in enumerate(people) if holds(row, question))


def exact(people: People, dice: random.Random) -> Ask:
    """The naive twin."""
    return lambda question: mask(people, question).bit_count()


def suppressed(people: People, dice: random.Random) -> Ask:
    """Below eleven is not told."""
    return lambda question: n if (n := mask(people, question).bit_count()) >= LEAST else None


def only_rounded(people: People, dice: random.Random) -> Ask:
    """Below eleven is not told, the rest is rounded to five."""
    return lambda question: smallcells.rounded(mask(people, question).bit_count(), LEAST)


def ours(people: People, dice: random.Random) -> Ask:
    """The registry's own law, on people in a list."""
    out = smallcells.left_out(len(people), LEAST)
    counted = sum(1 << n for n in sorted(dice.sample(range(len(people)), len(people) - out)))
    weight, known, told = len(people) / (len(people) - out), [], {}
    single: dict[str, int] = {}

    def settle(question: frozenset[str]) -> int | None:
        if question not in told:
            group = counted
            for word in question:
                group &= single.setdefault(word, mask(people, [word]))
            told[question], own = smallcells.tell(group, known, LEAST, dice, weight)
            known.extend([smallcells.Group(group, told[question])] if own else [])
        return told[question]

    def ask(question: frozenset[str]) -> int | None:
        for size in range(len(question)):
            for part in itertools.combinations(sorted(question), size):
                settle(frozenset(part))
        return settle(question)

    return ask


NOISE = {"exact": 0.3, "suppressed": 0.3, "only_rounded": 1.44, "ours": 4.5}
TWINS: dict[str, Callable[[People, random.Random], Ask]] = {"exact": exact, "suppressed": suppressed, "only_rounded": only_rounded, "ours": ours}


# --- what the attacker holds -------------------------------------------------------------------------------------------------------------------------


@dataclass
class Target:
    """One cohort as the attacker sees it. `listed`: everybody it knows of; bits of `certain` are members for sure, of `unsure` perhaps."""

    listed: People
    certain: int
    unsure: int
    secret: bool  # the secret value of members is attacked; otherwise membership
    truth: int  # bits of those who have what is attacked: for the score alone
    sets: dict[frozenset[str], int] = field(default_factory=dict)

    @property
    def attacked(self) -> int:
        return self.certain if self.secret else self.unsure

    @property
    def prior(self) -> float:
        return BASE if self.secret else 0.5

    def group(self, question: frozenset[str]) -> int:
        """Bits of everybody listed for whom the known part of the question holds."""
        known = frozenset(word for word in question if not word.startswith(SECRET))
        if known not in self.sets:
            self.sets[known] = mask(self.listed, known)
        return self.sets[known]


def targets(members: People, rng: random.Random) -> tuple[Target, Target]:
    """The two attacks on a cohort: the members' secret, and who is a member among sixty people of whom thirty are."""
    strangers = drawn(rng, UNSURE // 2)
    everybody, all_members = members + strangers, (1 << len(members)) - 1
    unsure = sum(1 << n for n in rng.sample(range(len(members)), UNSURE // 2)) | ((1 << len(everybody)) - 1) ^ all_members
    secret = Target(members, all_members, 0, secret=True, truth=mask(members, [POSITIVE]))
    return secret, Target(everybody, all_members & ~unsure, unsure, secret=False, truth=all_members)


def questions(target: Target, most: int, budget: int | None, least: int, rng: random.Random) -> list[frozenset[str]]:
    """What to ask of groups of at least `least`: those that differ by one person first, then whole and parts; with `budget`, the best of them."""
    tail = [frozenset({POSITIVE}), frozenset({NEGATIVE})] if target.secret else [frozenset[str]()]
    room = most - (1 if target.secret else 0)
    bases = [frozenset(one) for size in range(room + 1) for one in itertools.combinations(WORDS, size)]
    bases = [one for one in bases if target.group(one).bit_count() >= least and not _twice(one)]
    wanted: dict[frozenset[str], None] = {}
    for whole, part in _pairs(target, bases, rng):
        wanted |= dict.fromkeys((whole | tail[0], part | tail[0]))
    rest = [one | end for one in bases for end in tail]
    rng.shuffle(rest)
    if least == 1:  # one person alone is found first
        rest.sort(key=lambda one: target.group(one).bit_count())
    return list((wanted | dict.fromkeys(rest)).keys())[:budget]


def _twice(question: frozenset[str]) -> bool:
    """Two values of one field: nobody has both."""
    fields = [word.partition(":")[0] for word in question]
    return len(set(fields)) < len(fields)


def _pairs(target: Target, bases: Sequence[frozenset[str]], rng: random.Random) -> list[tuple[frozenset[str], frozenset[str]]]:
    """Pairs of groups of which one has exactly one person more, among those attacked; each person once, in an order of chance."""
    found: dict[int, tuple[frozenset[str], frozenset[str]]] = {}
    for one, other in itertools.combinations(bases, 2):
        more = target.group(one) ^ target.group(other)
        if more.bit_count() == 1 and more & target.attacked:
            found.setdefault(more, (one, other) if target.group(one) & more else (other, one))
    pairs = list(found.values())
    rng.shuffle(pairs)
    return pairs


# --- what it concludes -------------------------------------------------------------------------------------------------------------------------------

Claims = dict[str, dict[int, bool]]  # way -> person (a place in `listed`) -> what is claimed of them


def conclude(target: Target, asked: dict[frozenset[str], int | None], noise: float) -> Claims:
    """Everything each way is sure of."""
    return {**_by_pairs(target, asked), "posterior": _by_posterior(target, asked, noise)}


def _by_pairs(target: Target, asked: dict[frozenset[str], int | None]) -> Claims:
    differ: dict[int, bool] = {}
    edge: dict[int, bool] = {}
    ends = (frozenset({POSITIVE}), frozenset({NEGATIVE})) if target.secret else (frozenset[str](),)
    for end in ends:
        same = [one for one in asked if end <= one and (end or not any(word.startswith(SECRET) for word in one))]
        for one, other in itertools.combinations(same, 2):
            more = target.group(one) ^ target.group(other)
            if more.bit_count() != 1 or not more & target.attacked:
                continue
            whole, part = (asked[one], asked[other]) if target.group(one) & more else (asked[other], asked[one])
            person, value = more.bit_length() - 1, end != ends[1] if target.secret else True
            if whole is not None and part is not None and whole != part:
                differ[person] = value
            elif (whole is None) != (part is None):
                edge[person] = value
    return {"differ": differ, "edge": edge}


def _by_posterior(target: Target, asked: dict[frozenset[str], int | None], noise: float) -> dict[int, bool]:
    """Linear estimate of every attacked bit from all answers at once; what it is `SURE` of. Answers not told say little and are left out."""
    places = [n for n in range(len(target.listed)) if target.attacked >> n & 1]
    rows, seen, spread, used = [], [], [], []
    for question, count in asked.items():
        negative = NEGATIVE in question
        if count is None or (not target.secret and any(word.startswith(SECRET) for word in question)):
            continue
        group = target.group(question)
        sign = np.array([group >> n & 1 for n in places], float)
        if target.secret and POSITIVE not in question:  # a whole, or the other part: of these the positive are what is left
            if not negative:
                continue
            count = int(sign.sum()) - count
        if noise > 2 and any(told == (negative, asked[question]) and (other ^ group).bit_count() < LEAST for other, told in used):
            continue  # near groups share one answer: it is no second one
        used.append((group, (negative, asked[question])))
        rows.append(sign)
        seen.append(count - (0 if target.secret else (group & target.certain).bit_count()))
        # What is left out by lot is noise too, the larger the group is; none where the counts are exact or only rounded.
        spread.append(noise**2 + (smallcells.LEFT_OUT * group.bit_count() * target.prior if noise > 2 else 0))
    return _sure(np.array(rows), np.array(seen, float), np.array(spread), target.prior, places) if rows else {}


def _sure(matrix: Any, seen: Any, spread: Any, prior: float, places: list[int]) -> dict[int, bool]:
    before = prior * (1 - prior)
    gain = before * matrix.T @ np.linalg.inv(before * matrix @ matrix.T + np.diag(spread))
    mean = prior + gain @ (seen - prior * matrix.sum(axis=1))
    after = np.clip(before - before * np.einsum("ij,ji->i", gain, matrix), 1e-9, None)
    told = np.clip(1 / after - 1 / before, 1e-9, None)  # what the answers say of a bit, its own prior taken out again
    centre = (mean / after - prior / before) / told
    odds = math.log(prior / (1 - prior)) + told * (centre - 0.5)
    sure = math.log(SURE / (1 - SURE))
    return {n: bool(one > 0) for n, one in zip(places, odds, strict=True) if abs(one) >= sure}


# --- trying it at home -------------------------------------------------------------------------------------------------------------------------------


@dataclass
class Score:
    """How many claims were made, and how many are right."""

    made: int = 0
    right: int = 0

    def add(self, claims: dict[int, bool], truth: int) -> None:
        self.made += len(claims)
        self.right += sum(bool(truth >> n & 1) == value for n, value in claims.items())

    def better(self, base: float) -> bool:
        """Whether so many right ones are more than guessing and the margin would bring, with 95 % certainty (Wilson's lower bound)."""
        if not self.made:
            return False
        share, z = self.right / self.made, 1.645
        low = (share + z * z / (2 * self.made) - z * math.sqrt(share * (1 - share) / self.made + z * z / (4 * self.made**2))) / (1 + z * z / self.made)
        return low > base + MARGIN


ASKERS = {"anonymous": (smallcells.CONDITIONS_OF_NOBODY, None), "signed in": (smallcells.CONDITIONS, smallcells.A_DAY)}  # conditions, budget


def attack(target: Target, ask: Ask, asker: str, twin: str, rng: random.Random) -> Claims:
    """Asks as `asker` may, and concludes as is right for the mechanism."""
    asked = questions(target, *ASKERS[asker], 1 if twin == "exact" else LEAST, rng)
    return conclude(target, {one: ask(one) for one in asked}, NOISE[twin])


def at_home(twin: str, cohorts: int, seed: int, askers: Iterable[str] = ASKERS) -> dict[tuple[str, bool, str], Score]:
    """What comes of each way (asker, secret or membership, way) on so many cohorts of one's own under one mechanism."""
    scores: dict[tuple[str, bool, str], Score] = {}
    for n in range(cohorts):
        rng = random.Random(seed + n)
        members = drawn(rng, PEOPLE)
        ask = TWINS[twin](members, rng)
        for target, asker in itertools.product(targets(members, rng), askers):
            for way, claims in attack(target, ask, asker, twin, rng).items():
                scores.setdefault((asker, target.secret, way), Score()).add(claims, target.truth)
    return scores


def base_rate(secret: bool) -> float:
    """How often who always guesses the commoner value is right."""
    return max(BASE, 1 - BASE) if secret else 0.5


def calibrated(scores: dict[tuple[str, bool, str], Score]) -> set[tuple[str, bool, str]]:
    """The ways worth claiming by."""
    return {key for key, score in scores.items() if score.better(base_rate(key[1]))}


# --- somebody leaves ---------------------------------------------------------------------------------------------------------------------------------


def about(person: dict[str, str]) -> list[frozenset[str]]:
    """Every question that needs no login about a group to which this person belongs, for both values of the secret."""
    known = [frozenset[str](), *(frozenset({f"{name}:{person[name]}"}) for name in KNOWN)]
    return [one | {end} for one in known for end in (POSITIVE, NEGATIVE)]


def fallen(before: dict[frozenset[str], int | None], after: dict[frozenset[str], int | None]) -> float | None:
    """By how much more the answers about the positive fell than those about the negative when somebody left: 1 or -1 where counts are exact."""
    fell: dict[str, list[int]] = {POSITIVE: [], NEGATIVE: []}
    for question, was in before.items():
        now = after.get(question)
        if was is not None and now is not None:
            fell[POSITIVE if POSITIVE in question else NEGATIVE].append(was - now)
    return float(np.mean(fell[POSITIVE]) - np.mean(fell[NEGATIVE])) if all(fell.values()) else None


def leavers_at_home(twin: str, people: int, seed: int) -> dict[bool, list[float]]:
    """How answers fell in so many cohorts of one's own when somebody left who had the secret, or had not."""
    seen: dict[bool, list[float]] = {True: [], False: []}
    for n in range(people):
        rng = random.Random(seed + n)
        members = drawn(rng, PEOPLE)
        leaver, ask, later = members[0], TWINS[twin](members, rng), TWINS[twin](members[1:], rng)
        asked = about(leaver)
        fell = fallen({one: ask(one) for one in asked}, {one: later(one) for one in asked})
        if fell is not None:
            seen[leaver[SECRET] == "positive"].append(fell)
    return seen


def leaver_had(fell: float | None, home: dict[bool, list[float]]) -> bool | None:
    """What is claimed of who left, by what was seen at home; None where it is not sure."""
    if fell is None or min(len(one) for one in home.values()) < 2:
        return None
    logs = {had: _log_normal(fell, float(np.mean(one)), float(np.std(one, ddof=1)) + 0.05) for had, one in home.items()}
    odds = math.log(BASE / (1 - BASE)) + logs[True] - logs[False]
    return odds > 0 if abs(odds) >= math.log(SURE / (1 - SURE)) else None


def _log_normal(x: float, mean: float, deviation: float) -> float:
    return -((x - mean) ** 2) / (2 * deviation**2) - math.log(deviation)
