"""The law of small counts: what may be told of how many people there are, so that no two answers differ by a single person.

Standard library only. A question is a group of people; a group is a bit mask over the people who are counted, so that two groups can be laid over each
other. Five things stand between a count and somebody's secret, each against an attack that the others let pass
(`docs/decisions/0013-how-counts-are-told.md`):

- what may be asked: few conditions, none negated, so many new questions a day;
- who is counted: some people, drawn by lot, are left out, and again others once anybody joined or left (`left_out`): no answer says that somebody is in;
- near groups share one answer: two numbers told are of groups that differ by at least as many people as a group must have (`tell`);
- a number is shaken once, when it is first told, and kept: asking again tells nothing new (`shaken`);
- then it is rounded to five, and not told below the least (`rounded`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

STEP = 5
CONDITIONS_OF_NOBODY, CONDITIONS = 2, 3  # without and with a login
A_DAY = 100  # new questions a day, of one institution to one dataset
LEFT_OUT = 0.05  # share of people left out; never fewer than the dataset's least count
SCALE = 3.0  # of the two-sided geometric noise: standard deviation 4.2; at 2.0 the measured attacker found members (decision 0013)
WIDE = 4  # a shared number is told only of a group of so many times the least: it then is off by a quarter at most


@dataclass(frozen=True)
class Group:
    """People of whom a question was answered: a bit mask, and the number told (None: not told)."""

    people: int
    told: int | None


def rounded(count: float, least: int) -> int | None:
    """A count as it may be told: None below `least`, else rounded to five."""
    return None if count < least else STEP * round(count / STEP)


def left_out(people: int, least: int) -> int:
    """How many of so many people are not counted."""
    return min(people, max(least, math.ceil(people * LEFT_OUT)))


def shaken(dice: random.Random) -> int:
    """Noise that no answer bounds: two-sided geometric."""
    odds = 1 - math.exp(-1 / SCALE)
    one, other = (math.floor(math.log(1 - dice.random()) / math.log(1 - odds)) for _ in range(2))
    return one - other


def tell(people: int, known: Iterable[Group], least: int, dice: random.Random, weight: float = 1.0) -> tuple[int | None, bool]:
    """The answer about a group, and whether it is the group's own: to be kept, and given with `known` from then on.

    A group that differs from a known one by fewer than `least` people has no number of its own: it shares the known one's, or is told none where that
    group is not large. `weight`: all people over those counted. `people` not told by itself is kept too, so that no larger neighbour tells of it.
    """
    for group in known:
        if (group.people ^ people).bit_count() < least:
            return (group.told if group.people.bit_count() >= WIDE * least else None), False
    size = people.bit_count()
    return (rounded(size * weight + shaken(dice), least) if size >= least else None), True
