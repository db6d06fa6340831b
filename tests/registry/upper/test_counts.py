"""How many people there are: who is told what, what it costs, and that nobody is found by it."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from registry import rules, smallcells
from registry.accounts.models import Dataset
from registry.audit.models import Line
from registry.clinical.models import ClinicalRecord
from registry.consent.models import Standing
from registry.counts import actions, vocabulary
from registry.counts.models import Asked, Edition, Told
from registry.subjects.models import Participant
from tests.registry.upper import cohorts
from tests.registry.upper.invented import KNOWN, NEGATIVE, POSITIVE, drawn

pytestmark = pytest.mark.django_db(databases="__all__")
PEOPLE = 200


class Counted:
    """Two sites, 200 people at the first, 40 at the second, and those who ask."""

    def __init__(self, world: Any) -> None:
        self.world, self.sites = world, [world.site("aarhus"), world.site("odense")]
        self.dataset = world.dataset(*self.sites)
        self.facts = cohorts.facts_of(world, self.dataset, self.sites[0])
        self.rows = drawn(random.Random(1), PEOPLE + 40)
        self.people = cohorts.put(self.dataset, self.sites[0], self.rows[:PEOPLE], self.facts)
        self.people += cohorts.put(self.dataset, self.sites[1], self.rows[PEOPLE:], self.facts)
        self.contributor, self.steward = world.contributor(self.dataset, self.sites[0]), world.steward(self.dataset)
        self.one, self.other = (world.user(f"r{n}", institution=name) for n, name in enumerate(("An Institute", " an  INSTITUTE ")))
        self.asked = {"dataset": self.dataset, "institution": "an institute", "edition": 1, "day": timezone.now().date()}
        self.path = f"/datasets/{self.dataset.slug}/count"

    def truth(self, *where: str) -> int:
        return sum(all(row[c.partition(":")[0]] == c.partition(":")[2] for c in where) for row in self.rows)


@pytest.fixture
def counted(world: Any) -> Counted:
    return Counted(world)


def only(answer: Any) -> Any:
    return answer["counts"][0]["count"]


# --- who may ask what ------------------------------------------------------------------------------------------------------------------------------


def test_nobody_asks_with_two_conditions_and_whoever_signs_in_with_three(counted: Counted, door: Any) -> None:
    two, three = "?where=sex:F&where=diagnosis:ms", "?where=sex:F&where=diagnosis:ms&where=course.course:RRMS"
    assert only(door(None).get(counted.path + two)) % 5 == 0
    refused = door(None).raw("get", counted.path + three)
    assert (refused.status_code, refused.json()["code"]) == (403, "too_many_conditions")
    assert only(door(counted.one).get(counted.path + three)) % 5 == 0
    four = door(counted.one).raw("get", counted.path + three + "&where=demographics.race:white")
    assert four.status_code == 403
    by = door(None).raw("get", f"{counted.path}{two}&by=course.course")  # a facet is one condition more
    assert by.status_code == 403 and len(door(counted.one).get(f"{counted.path}{two}&by=course.course")["counts"]) == len(vocabulary.values("course.course"))


@pytest.mark.parametrize("where", ["!sex:F", "sex:!F", "-sex:F", "sex:X", "sex", "labs.nfl:3", "age:31", "edss.edss_total:0-10", "demographics.group:ms"])
def test_what_is_not_in_the_list_cannot_be_asked(counted: Counted, door: Any, where: str) -> None:
    answer = door(None).raw("get", f"{counted.path}?where={where}")
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_condition")
    fields = {row["field"]: row["values"] for row in door(None).get("/count-fields")["results"]}
    assert only(door(None).get(f"{counted.path}?where=sex:{fields['sex'][0]}"))


def test_a_closed_dataset_is_not_there_for_strangers_and_is_for_its_own(counted: Counted, door: Any) -> None:
    Dataset.objects.filter(pk=counted.dataset.pk).update(purpose_level="closed")
    for stranger in (None, counted.one):
        assert door(stranger).raw("get", counted.path).status_code == 404
    assert only(door(counted.steward).get(counted.path)) == PEOPLE + 40


def test_stewards_and_a_contributors_own_site_are_told_exactly(counted: Counted, door: Any) -> None:
    where = "?where=sex:O"
    assert only(door(counted.steward).get(counted.path + where)) == counted.truth("sex:O") < 11
    own = sum(row["sex"] == "O" for row in counted.rows[:PEOPLE])
    told = door(counted.contributor).get(f"{counted.path}{where}&site=aarhus")
    assert told["exact"] and only(told) == own
    assert only(door(counted.contributor).get(counted.path + where)) is None  # of the whole dataset, as anybody
    for who, site, status in ((counted.contributor, "odense", 403), (counted.one, "aarhus", 403), (None, "aarhus", 401)):
        assert door(who).raw("get", f"{counted.path}{where}&site={site}").status_code == status
    assert only(door(counted.steward).get(f"{counted.path}?site=odense")) == 40


# --- what is told ----------------------------------------------------------------------------------------------------------------------------------


def test_counts_are_near_the_truth_rounded_and_never_of_a_few(counted: Counted, door: Any) -> None:
    seen = 0
    for field in ("sex", "diagnosis", "demographics.race", "course.course"):
        for row in door(counted.one).get(f"{counted.path}?by={field}")["counts"]:
            truth = counted.truth(f"{field}:{row['value']}")
            assert row["count"] is not None or truth < 40, (field, row)
            if row["count"] is not None:
                assert row["count"] % 5 == 0 and truth >= 11 and abs(row["count"] - truth) < 45
                seen += 1
    assert seen > 6


def test_without_consent_nobody_is_counted_and_with_it_they_are(counted: Counted) -> None:
    assert (actions.ask(None, counted.dataset, ["sex:F"]).counts[0][1] or 0) > 90
    Standing.objects.filter(participant__in=counted.people).update(valid_until=timezone.now().date() - timedelta(days=1))
    assert actions.ask(None, counted.dataset, ["sex:F"]).counts[0][1] is None


def test_purposes_and_contrasts_can_be_counted_by(counted: Counted) -> None:
    told = dict(actions.ask(None, counted.dataset, [], by="purpose").counts)
    assert all((told[code] or 0) > 180 for code in ("GRU", "HMB"))  # all of them: a near group shares the answer of the whole
    assert actions.ask(None, counted.dataset, ["contrast:T1w"]).counts[0][1] is None


def test_a_small_dataset_tells_nothing(world: Any) -> None:
    site = world.site()
    dataset = world.dataset(site)
    cohorts.put(dataset, site, drawn(random.Random(2), 9), cohorts.facts_of(world, dataset, site))
    assert actions.ask(None, dataset, []).counts == ((None, None),)
    assert actions.ask(world.steward(dataset), dataset, []).counts == ((None, 9),)


# --- what it costs ---------------------------------------------------------------------------------------------------------------------------------


def test_an_institution_has_a_hundred_new_questions_a_day_over_all_its_accounts(counted: Counted, door: Any) -> None:
    questions = [f"?{urlencode({'where': f'history.onset_age_band:{value}'})}" for value in vocabulary.values("history.onset_age_band")][:4]
    spent = smallcells.A_DAY - len(questions)
    Asked.objects.bulk_create(Asked(**counted.asked, question=str(n)) for n in range(spent))
    for n, question in enumerate(questions, spent):
        told = door((counted.one, counted.other)[n % 2]).get(counted.path + question)
        assert told["left"] == smallcells.A_DAY - n - 1
    new = "?where=sex:F&where=diagnosis:ms"
    for who in (counted.one, counted.other):
        refused = door(who).raw("get", counted.path + new)
        assert (refused.status_code, refused.json()["code"]) == (429, "questions_spent")
        assert door(who).get(counted.path + questions[0])["left"] == 0  # asked before: costs nothing
    elsewhere = counted.world.user("r3", institution="Another")
    assert only(door(elsewhere).get(counted.path + new)) is not None
    Asked.objects.update(day=timezone.now().date() - timedelta(days=1))
    assert door(counted.one).get(counted.path + new)["left"] == smallcells.A_DAY - 1


def test_a_facet_costs_its_values_and_is_given_whole_or_not_at_all(counted: Counted) -> None:
    values = len(vocabulary.values("diagnosis"))
    assert actions.ask(counted.one, counted.dataset, [], by="diagnosis").left == smallcells.A_DAY - values
    Asked.objects.bulk_create(Asked(**counted.asked, question=str(n)) for n in range(90))
    with pytest.raises(rules.Denied, match="new questions"):
        actions.ask(counted.one, counted.dataset, [], by="demographics.handedness")
    assert Asked.objects.filter(dataset=counted.dataset).count() == 90 + values
    assert actions.ask(counted.one, counted.dataset, ["diagnosis:ms"]).counts[0][1]


def test_each_question_that_is_answered_leaves_one_line(counted: Counted, door: Any) -> None:
    for who in (None, counted.one, counted.steward):
        before = Line.objects.count()
        for _ in range(2):
            door(who).get(f"{counted.path}?where=sex:F&by=diagnosis" if who else f"{counted.path}?where=sex:F")
        lines = list(Line.objects.filter(seq__gt=before))
        assert [line.act for line in lines] == ["count.ask", "count.ask"] and lines[0].detail["asked"][0] == "sex:F"
    before = Line.objects.count()
    door(None).raw("get", f"{counted.path}?where=sex:F&where=sex:M&where=sex:O")
    assert [line.detail["denied"] for line in Line.objects.filter(seq__gt=before)] == ["too_many_conditions"]


# --- nobody is found -------------------------------------------------------------------------------------------------------------------------------


def test_the_same_question_gets_the_same_answer_from_everybody_in_any_order(counted: Counted, door: Any) -> None:
    written = ("where=sex:F&where=diagnosis:ms", "where=diagnosis:ms&where=sex:F&where=sex:F")
    told = {only(door(who).get(f"{counted.path}?{one}")) for who in (None, counted.one, counted.other) for one in written for _ in range(3)}
    assert len(told) == 1


def test_no_two_numbers_are_of_groups_that_differ_by_fewer_than_eleven(counted: Counted) -> None:
    rng = random.Random(3)
    words = [f"{field}:{value}" for field, values in KNOWN.items() for value in values] + [POSITIVE, NEGATIVE]
    for _ in range(25):
        actions.ask(None, counted.dataset, rng.sample(words, 2))
    rows = list(Told.objects.exclude(people=None))
    groups = [int.from_bytes(row.people, "big") for row in rows]
    assert min((a ^ b).bit_count() for n, a in enumerate(groups) for b in groups[:n]) >= 11
    assert len(rows) > 8 and Told.objects.filter(people=None).exists()
    assert all(row.count is None or (row.size or 99) >= 11 for row in Told.objects.all())


@pytest.mark.parametrize("first", [0, 1])
def test_a_group_and_the_same_without_one_person_are_told_alike_or_not_both(first: int) -> None:
    """The core of differencing: whatever the secret of the one person, and whatever is asked first."""
    dice, one = random.Random(4), 1
    for size in (*range(9, 60), 200):
        rest = ((1 << size) - 1) << 1
        for whole in (rest, rest | one):
            pair, known, told = [whole, rest], [], {}
            for group in (pair[first], pair[1 - first]):
                told[group], own = smallcells.tell(group, known, 11, dice)
                known += [smallcells.Group(group, told[group])] if own else []
            assert told[whole] == told[rest] or (whole != rest and None in told.values()), (size, told)


@pytest.mark.parametrize(("large", "small", "shared"), [(12, 2, False), (43, 40, False), (44, 40, True), (200, 190, True)])
def test_a_near_group_shares_a_number_only_where_it_is_hardly_off(large: int, small: int, shared: bool) -> None:
    known = smallcells.Group((1 << large) - 1, 5 * round(large / 5))
    assert smallcells.tell((1 << small) - 1, [known], 11, random.Random(6)) == (known.told if shared else None, False)


def test_smaller_questions_are_answered_first(counted: Counted) -> None:
    """Else a part that was asked first would stand in the way of its whole, and the order of asking would tell of the people between them."""
    actions.ask(None, counted.dataset, ["sex:F", "diagnosis:ms"])
    assert list(Told.objects.order_by("pk").values_list("question", flat=True)) == ["", "diagnosis:ms", "sex:F", "diagnosis:ms&sex:F"]


def test_who_leaves_is_gone_at_once_and_what_was_told_with_them(counted: Counted) -> None:
    actions.ask(None, counted.dataset, ["sex:F"])
    edition = Edition.objects.get(dataset=counted.dataset)
    leaver = counted.people[0]
    Participant.objects.filter(pk=leaver.pk).update(state="withdrawn")
    actions.tick()
    after = Edition.objects.get(dataset=counted.dataset)
    assert after.number == edition.number + 1 and not after.told.exists()
    assert str(leaver.pk) not in {*after.members, *after.left_out} and len(after.members) + len(after.left_out) == PEOPLE + 39
    assert set(after.left_out) != set(edition.left_out)  # others are left out, so that the leaver's leaving is not seen alone
    actions.tick()
    assert Edition.objects.get(dataset=counted.dataset).number == after.number


def test_people_who_join_are_counted_when_they_are_enough(counted: Counted) -> None:
    actions.ask(None, counted.dataset, [])
    before = list(Told.objects.values_list("question", "count"))
    for some, number in ((10, 1), (1, 2)):
        cohorts.put(counted.dataset, counted.sites[0], drawn(random.Random(some), some), counted.facts)
        actions.ask(None, counted.dataset, [])
        assert Edition.objects.get(dataset=counted.dataset).number == number
        assert (list(Told.objects.values_list("question", "count")) == before) or number == 2
    Edition.objects.update(began_at=timezone.now() - timedelta(days=31))
    ClinicalRecord.objects.update(recorded_at=timezone.now() - timedelta(days=32))
    actions.tick()
    assert Edition.objects.get(dataset=counted.dataset).number == 2  # nothing changed, so an old edition goes on
    ClinicalRecord.objects.first().save()  # type: ignore[union-attr]
    actions.tick()
    assert Edition.objects.get(dataset=counted.dataset).number == 3


def test_a_value_that_is_corrected_changes_no_answer_of_this_edition(counted: Counted) -> None:
    before = actions.ask(None, counted.dataset, ["csf.ocb:positive"]).counts
    for record in ClinicalRecord.objects.filter(instrument="csf")[:5]:
        record.values = {"ocb": "negative" if record.values["ocb"] == "positive" else "positive"}
        record.save()
    assert actions.ask(None, counted.dataset, ["csf.ocb:positive"]).counts == before
    assert Told.objects.filter(question="csf.ocb:positive").count() == 1


def test_noise_is_two_sided_and_not_bounded_by_a_few() -> None:
    dice = random.Random(5)
    drawn = [smallcells.shaken(dice) for _ in range(5000)]
    assert abs(sum(drawn)) < 900 and 3.7 < (sum(n * n for n in drawn) / 5000) ** 0.5 < 4.7 and max(drawn) > 12 < -min(drawn)
