"""Finding: the catalogue for strangers, the cohort builder with its budget, kept cohorts, pictures; and that nobody is found by any of it."""

from __future__ import annotations

import csv
import io
import itertools
import random
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.utils import timezone

from registry import smallcells
from registry.access import actions as access
from registry.access import queries as access_queries
from registry.access.models import Request, RequestedParticipant
from registry.accounts.models import Dataset, User
from registry.audit.models import Line
from registry.counts import actions, cohorts, publishing, vocabulary
from registry.counts.models import Asked, CohortShare, SavedCohort, Told
from registry.imaging.models import Image, scanner
from registry.portal.finding.wording import Words
from registry.rules import Invalid
from registry.subjects.models import Participant
from tests.registry.browsers import shown
from tests.registry.upper import cohorts as people
from tests.registry.upper.invented import drawn

pytestmark = pytest.mark.django_db(databases="__all__")
PEOPLE = 150


class Place:
    """One dataset of 150 people at two sites, and everybody who may come to its pages."""

    def __init__(self, world: Any) -> None:
        self.world, self.sites = world, [world.site("aarhus"), world.site("odense")]
        self.dataset = world.dataset(*self.sites, slug="north", licence="CC-BY-4.0", description="Scans from the north.")
        self.facts = people.facts_of(world, self.dataset, self.sites[0])
        self.rows = drawn(random.Random(1), PEOPLE)
        self.people = people.put(self.dataset, self.sites[0], self.rows[:100], self.facts) + people.put(
            self.dataset, self.sites[1], self.rows[100:], self.facts
        )
        self.steward, self.contributor = world.steward(self.dataset), world.contributor(self.dataset, self.sites[0])
        self.one, self.other = (world.user(f"r{n}", institution=name) for n, name in enumerate(("An Institute", " an  INSTITUTE ")))

    def truth(self, *where: str) -> int:
        return sum(all(row[c.partition(":")[0]] == c.partition(":")[2] for c in where) for row in self.rows)


@pytest.fixture
def place(world: Any) -> Place:
    return Place(world)


def web(user: User | None = None, part: bool = False) -> Client:
    client = Client(headers={"HX-Request": "true"} if part else {})
    if user:
        shown(client, user)
    return client


def text(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def acts(since: int) -> list[str]:
    return list(Line.objects.filter(seq__gt=since).order_by("seq").values_list("act", flat=True))


# --- catalogue -------------------------------------------------------------------------------------------------------------------------------------


def test_a_stranger_reads_the_catalogue_and_leaves_no_line(place: Place) -> None:
    assert "being counted" in text(web().get("/datasets"))
    assert publishing.tick() == 1
    before = Line.objects.count()
    told = text(web().get("/datasets"))
    numbers = publishing.published([place.dataset])[place.dataset.pk]
    assert numbers.total is not None
    assert numbers.total % 5 == 0
    for words in (f"about {numbers.total}", "CC-BY-4.0", "A steward decides", "too few yet to say", "Scans from the north."):
        assert words in told, words
    assert text(web().get("/datasets/north")).count(f"about {numbers.total}") == 1
    assert acts(before) == []
    assert publishing.tick() == 0
    assert not Asked.objects.exists()


def test_what_is_published_is_what_a_stranger_is_told_and_goes_with_who_left(place: Place) -> None:
    publishing.tick()
    told = publishing.published([place.dataset])[place.dataset.pk]
    answers = dict(actions.ask(None, place.dataset, [], by="sex").counts)
    assert told.facets["sex"] == {value: count for value, count in answers.items() if count is not None} != {}
    Participant.objects.filter(pk=place.people[0].pk).update(state="withdrawn")
    actions.tick()
    assert not publishing.published([place.dataset])[place.dataset.pk].counted


def test_a_closed_dataset_is_nowhere_for_who_may_not_know_it(place: Place) -> None:
    cohort = cohorts.save(place.one, place.dataset, "Mine", ["sex:F"])
    Dataset.objects.filter(pk=place.dataset.pk).update(purpose_level="closed")
    pages = ("/datasets/north", "/datasets/north/build", "/datasets/north/count", "/datasets/north/pictures", "/datasets/north/pictures/sex")
    for stranger in (None, place.one):
        assert "north" not in text(web(stranger).get("/datasets")).lower()
        for page in pages:
            before = Line.objects.count()
            assert web(stranger).get(page).status_code == 404, page
            assert len(acts(before)) == 1
    assert web(place.one).get(f"/cohorts/{cohort.pk}").status_code == 404
    assert "north" not in text(web(place.one).get("/cohorts")).lower()
    assert "Scans from the north." in text(web(place.steward).get("/datasets"))
    assert [web(place.steward).get(page).status_code for page in pages] == [200] * 5


def test_the_search_finds_by_name_and_description_and_says_what_to_do_when_it_finds_nothing(place: Place) -> None:
    place.world.dataset(place.sites[0], slug="south", description="Scans of the spine.")
    assert "Dataset south" in text(web().get("/datasets?q=spine scans")) and "Dataset north" not in text(web().get("/datasets?q=spine"))
    assert "Use fewer words" in text(web().get("/datasets?q=kidney"))


def decided(place: Place, number: int, days: int, state: str) -> None:
    now = timezone.now()
    for _ in range(number):
        made = access.draft_request(place.one, place.dataset, title="T", abstract="A", purpose="HMB")
        told = {"submitted_at": now - timedelta(days=days), "decided_at": now, "decided_by": place.steward, "state": state}
        Request.objects.filter(pk=made.pk).update(**told)


def test_how_long_decisions_take_is_told_from_five_on(place: Place) -> None:
    decided(place, 3, 10, "approved_pending_signatures")
    decided(place, 1, 2, "rejected")
    assert access_queries.pace([place.dataset])[place.dataset.pk] == access_queries.Pace()
    assert "too few yet to say" in text(web().get("/datasets/north"))
    decided(place, 1, 12, "approved_pending_signatures")
    assert "10 days in the middle; 80 % granted" in text(web().get("/datasets/north"))


def test_a_dataset_s_page_names_its_views_and_how_its_releases_are_cited(house: Any) -> None:
    house.image(house.person())
    Dataset.objects.filter(pk=house.dataset.pk).update(citation={"creators": [{"name": "Berg, Ada"}], "doi": "10.1234/abc"})
    house.dataset.refresh_from_db()
    page = f"/datasets/{house.dataset.slug}"
    assert "There is no release yet" in text(web().get(page))
    access.open_view(house.steward, house.dataset, "masks", "Masks alone", ["mask"], "controlled")
    release = house.release()
    told = text(web().get(page))
    assert (
        f"Berg, Ada ({release.created_at.year}). {house.dataset.name} (Version {release.version}) [Dataset]. Myelin registry. https://doi.org/10.1234/abc"
        in told
    )
    assert "Masks alone" in told
    assert f"/api/v1/releases/{release.pk}/datacite" in web(house.steward).get(page).content.decode()
    assert "neuromyelitis optica" in text(web().get("/dictionary"))


def test_why_is_answered_in_sentences_to_who_may_know_and_not_to_others(house: Any) -> None:
    person, stranger = house.person("POA"), house.world.user("stranger")
    assert "You may." in text(web(house.steward).get(f"/why?participant={person.pk}"))
    told = text(web(stranger).get(f"/why?participant={person.pk}&action=download"))
    assert "You may not." in told and "nothing_here" in told
    assert "no_grant" in text(web(house.steward).get(f"/why?participant={person.pk}&action=download"))
    assert web(stranger).get("/why?participant=19700101-1234").status_code == 422
    assert web().get("/why").status_code == 401


# --- the builder -----------------------------------------------------------------------------------------------------------------------------------


def test_half_typed_words_ask_nothing_and_whole_ones_are_counted(place: Place) -> None:
    before = Line.objects.count()
    half = web(place.one, part=True).get("/datasets/north/count", {"where": ["Sex: fem", ""]})
    assert half.status_code == 422
    assert "Not a condition yet: Sex: fem" in text(half)
    assert acts(before) == [] and not Asked.objects.exists()
    whole = web(place.one, part=True).get("/datasets/north/count", {"where": ["sex:  FEMALE", ""]})
    count = dict(Told.objects.values_list("question", "count"))["sex:F"]
    assert f"About {count} people" in text(whole) and "has 99 of 100 new questions" in text(whole)
    assert acts(before) == ["count.ask"]
    assert "<html" not in whole.content.decode() and "<html" in web(place.one).get("/datasets/north/count?where=Sex:+female").content.decode()


def test_strangers_ask_with_two_conditions_and_the_third_is_denied_with_one_line(place: Place) -> None:
    page = web().get("/datasets/north/build").content.decode()
    assert (page.count('name="where"'), "Sign in to ask with 3 conditions" in page) == (2, True)
    assert web(place.one).get("/datasets/north/build").content.decode().count('name="where"') == 3
    three = {"where": ["sex:F", "diagnosis:ms", "csf.ocb:positive"]}
    before = Line.objects.count()
    assert web(part=True).get("/datasets/north/count", three).status_code == 403
    assert len(acts(before)) == 1
    assert web(place.one, part=True).get("/datasets/north/count", three).status_code == 200


def test_what_a_question_costs_is_told_before_and_is_what_is_paid(place: Place) -> None:
    shown = web(place.one, part=True).get("/datasets/north/count?where=sex:F")
    assert "Costs 8 of the 99 new questions" in text(shown)  # the diagnosis
    offers = actions.prices(place.one, place.dataset, ["sex:F"], [("diagnosis",), ("site", "quality"), ("sex", "age", "visits")])
    assert [offer and offer.new for offer in offers] == [8, 6, None]
    web(place.one, part=True).get("/datasets/north/pictures/diagnosis?where=sex:F")
    assert Asked.objects.count() == 9
    again = actions.prices(place.other, place.dataset, ["sex:F"], [("diagnosis",), ()])
    assert [(one.new, one.left) for one in again if one] == [(0, 91), (0, 91)]
    assert actions.prices(place.steward, place.dataset, ["sex:F"], [()])[0] == actions.Price(0, None, exact=True)


def test_two_accounts_of_one_institution_share_the_budget_and_when_it_is_spent_the_page_says_so(place: Place) -> None:
    asked = {"dataset": place.dataset, "institution": "an institute", "edition": 1, "day": timezone.now().date()}
    actions.ask(place.one, place.dataset, [])
    Asked.objects.bulk_create(Asked(**asked, question=str(n)) for n in range(smallcells.A_DAY - 2))
    assert "has 0 of 100" in text(web(place.one, part=True).get("/datasets/north/count?where=sex:F"))
    refused = web(place.other, part=True).get("/datasets/north/count?where=sex:M")
    assert refused.status_code == 429 and "Ask again tomorrow" in text(refused)
    assert web(place.other, part=True).get("/datasets/north/count?where=sex:F").status_code == 200
    assert "only 0 new questions are left today" in text(web(place.other).get("/datasets/north/pictures"))
    elsewhere = place.world.user("r9", institution="Elsewhere")
    assert web(elsewhere, part=True).get("/datasets/north/count?where=sex:M").status_code == 200


def test_stewards_count_exactly_and_contributors_their_own_site(place: Place) -> None:
    few = "csf.ocb:positive", "sex:O"
    exact = place.truth(*few)
    assert exact < 11
    ask = "/datasets/north/count?where=csf.ocb:positive&where=sex:O"
    assert re.search(rf"\b{exact} (person|people), exactly", text(web(place.steward, part=True).get(ask)))
    assert "Not told" in text(web(place.one, part=True).get(ask))
    own = web(place.contributor, part=True).get(ask + "&site=aarhus")
    assert "exactly" in text(own) and "Hospital aarhus" in text(own)
    assert "Not told" in text(web(place.contributor, part=True).get(ask))
    for who, site in ((place.contributor, "odense"), (place.one, "aarhus")):
        before = Line.objects.count()
        assert web(who, part=True).get(f"{ask}&site={site}").status_code == 403
        assert len(acts(before)) == 1
    assert 'value="aarhus"' in web(place.contributor).get("/datasets/north/build").content.decode()


def test_a_stranger_who_counts_without_end_is_held(place: Place, settings: Any) -> None:
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "address": (2, 86_400)}
    told = [web(part=True).get("/datasets/north/count?where=sex:F").status_code for _ in range(3)]
    assert told == [200, 200, 429]
    assert web().get("/datasets").status_code == 200


# --- the vocabulary --------------------------------------------------------------------------------------------------------------------------------


def test_images_are_counted_by_scanner_strength_quality_and_people_by_visits_site_and_year(house: Any) -> None:
    def report(*key: str) -> dict[str, Any]:
        return {"quality": {"norm_key": ["T1w", "iso1.0", *key]}}

    first, second, third = (house.person() for _ in range(3))
    house.image(first, provenance=report("3T", "siemens", "prisma"))
    house.image(second, provenance=report("1.5T", "Toshiba", "titan"), grade="review")
    house.image(second, visit=house.visit(second, "m12", timezone.now().date()), state="proposed", provenance=report("7T", "philips", "x"))
    house.image(third, provenance={"quality": {}})
    for where, number in (
        ("scanner:siemens", 1), ("scanner:canon", 1), ("scanner:philips", 0), ("tesla:3T", 1), ("tesla:7T", 0), ("quality:review", 1), ("visits:2", 1),
        ("visits:1", 2), (f"site:{house.site.code}", 3), (f"joined:{timezone.now().year}", 3),
    ):  # fmt: skip
        assert actions.ask(house.steward, house.dataset, [where]).counts[0][1] == number, where
    assert scanner({"quality": {"norm_key": ["T2w", "thick3", "0.5T", "?", "?"]}}) == ("", "other")
    assert set(Image.objects.values_list("maker", flat=True)) == {"siemens", "canon", "philips", ""}
    table = actions.table(house.steward, house.dataset, [], "scanner", "quality")
    assert dict(table.rows)["siemens"] == (1, 0, 0)


@pytest.mark.parametrize("where", ["site:odense", "joined:1999", "scanner:Siemens", "visits:7", "quality:-pass"])
def test_what_is_no_value_of_this_dataset_cannot_be_asked(house: Any, where: str) -> None:
    with pytest.raises(Invalid, match="unknown_condition"):
        actions.ask(house.steward, house.dataset, [where])


def test_words_and_conditions_are_each_other_s_mirror(place: Place) -> None:
    words = Words(place.dataset)
    typed = words.suggestions()
    good, bad = words.read(typed)
    assert bad == [] and len(good) == len(typed) == sum(len(values) for values in vocabulary.fields(place.dataset).values())
    assert words.read(["Age: 30-39", "age: 30–39", "site: hospital AARHUS", "Disease course: RRMS?"]) == (
        ["age:30-39", "site:aarhus"],
        ["Disease course: RRMS?"],
    )


# --- pictures --------------------------------------------------------------------------------------------------------------------------------------


def test_a_picture_has_a_title_a_table_and_a_file_that_say_the_same(place: Place) -> None:
    page = web(place.one).get("/datasets/north/pictures/sex").content.decode()
    rows = list(csv.reader(io.StringIO(web(place.one).get("/datasets/north/pictures/sex?format=csv").content.decode())))
    assert rows[0] == ["Sex", "People", "numbers"] and [row[0] for row in rows[1:]] == ["female", "male", "other"]
    assert rows[3][1:] == ["not told", "about"]
    for word, number, _about in rows[1:]:
        assert re.search(rf">{word}</text>", page) and f"{word}: {number}." in page
        assert re.search(rf'<th scope="row">{word}</th>\s*<td class="number">{number}</td>', page)
    assert '<svg class="drawing"' in page and "<title id=" in page and "<desc id=" in page and "currentColor" in page
    assert " style=" not in page and 'fill="#' not in page
    exact = list(csv.reader(io.StringIO(web(place.steward).get("/datasets/north/pictures/sex?format=csv").content.decode())))
    assert [row[1:] for row in exact[1:]] == [[str(place.truth(f"sex:{one}")), "exact"] for one in "FMO"]


def test_each_kind_of_picture_is_drawn_for_a_steward_and_each_leaves_one_line(place: Place) -> None:
    page = web(place.steward).get("/datasets/north/pictures").content.decode()
    found = set(re.findall(r'hx-get="(/datasets/north/pictures/[\w-]+)\?', page)) | {"/datasets/north/pictures/accrual"}
    assert len(found) == 14
    for address in sorted(found):
        before = Line.objects.count()
        answer = web(place.steward, part=True).get(address)
        assert answer.status_code == 200 and "<svg" in answer.content.decode(), address
        assert len(acts(before)) == 1, address
    assert web(place.steward).get("/datasets/north/pictures/nothing").status_code == 404


def test_growth_by_month_is_for_who_may_know_it_exactly(place: Place) -> None:
    month = timezone.now().strftime("%Y-%m")
    assert f"{month},{PEOPLE},exact" in web(place.steward).get("/datasets/north/pictures/accrual?format=csv").content.decode()
    assert f"{month},100,exact" in web(place.contributor).get("/datasets/north/pictures/accrual?site=aarhus&format=csv").content.decode()
    before = Line.objects.count()
    for who, more in ((place.one, ""), (place.contributor, ""), (place.contributor, "?site=odense"), (place.one, "?site=aarhus")):
        assert web(who).get(f"/datasets/north/pictures/accrual{more}").status_code == 403, more
    assert web().get("/datasets/north/pictures/accrual").status_code == 403
    assert len(acts(before)) == 5


def test_storage_is_shown_to_stewards_of_theirs_and_of_all_to_who_runs_the_registry(house: Any) -> None:
    image = house.image(house.person())
    kept = sum(image.files.values_list("bytes", flat=True))
    house.world.dataset(house.site, slug="another")
    mine = web(house.steward).get("/storage?format=csv").content.decode()
    assert sum(int(row.split(",")[3]) for row in mine.splitlines()[1:]) == kept
    admin = house.world.user("admin", is_superuser=True)
    before = Line.objects.count()
    assert "Dataset another" in web(admin).get("/storage").content.decode() and "Dataset another" not in web(house.steward).get("/storage").content.decode()
    assert acts(before) == ["http.get"] * 2
    for nobody in (house.contributor, house.world.user()):
        assert web(nobody).get("/storage").status_code == 403


def test_pictures_cannot_be_differenced(place: Place) -> None:
    """The attacker of tests/measure/counting_attack.py in small: it knows everybody's sex, course and so on, draws pictures of groups that differ by a few
    people, and compares bar with bar. No two bars of groups that differ by fewer than eleven are told differently, whichever is drawn first."""
    fields = ("course.course", "csf.ocb", "sex", "demographics.handedness")
    told: dict[frozenset[str], int | None] = {}
    key = {"course.course": "course", "csf.ocb": "ocb", "sex": "sex", "demographics.handedness": "hand"}
    for where in ([], ["diagnosis:ms"], ["sex:F"], ["demographics.handedness:right"], ["diagnosis:ms", "sex:F"]):
        for field in fields:
            if field not in {one.partition(":")[0] for one in where} and key[field]:
                answer = actions.ask(None if len(where) < 2 else place.world.user("a", institution=f"{where}{field}"), place.dataset, where, by=field)
                told |= {frozenset([*where, f"{field}:{value}"]): count for value, count in answer.counts}
    groups = {one: sum(1 << n for n, row in enumerate(place.rows) if all(row[c.partition(":")[0]] == c.partition(":")[2] for c in one)) for one in told}
    near = [(a, b) for a, b in itertools.combinations(told, 2) if 0 < (groups[a] ^ groups[b]).bit_count() < 6]
    assert len(near) > 20
    assert all(told[a] == told[b] or None in (told[a], told[b]) for a, b in near)
    assert any(groups[a].bit_count() != groups[b].bit_count() for a, b in near)  # exact bars would differ
    assert all(count is None or (count % 5 == 0 and count >= 10) for count in told.values())


def test_an_overlap_is_three_questions_with_one_line(place: Place) -> None:
    first, second = (cohorts.save(place.one, place.dataset, name, [where]) for name, where in (("Women", "sex:F"), ("MS", "diagnosis:ms")))
    cohorts.save(place.one, place.dataset, "Much", ["csf.ocb:positive", "course.course:RRMS", "demographics.race:white"])
    page = web(place.one).get(f"/cohorts/{first.pk}").content.decode()
    assert "Overlap with MS" in page and "Overlap with Much" not in page
    before = Line.objects.count()
    answer = web(place.one).get(f"/cohorts/{first.pk}/with/{second.pk}?format=csv").content.decode()
    both = dict(Told.objects.values_list("question", "count"))["diagnosis:ms&sex:F"]
    assert f"both,{both},about" in answer
    assert acts(before) == ["count.ask"] and Asked.objects.count() == 3
    assert web(place.other).get(f"/cohorts/{first.pk}/with/{second.pk}").status_code == 404


# --- kept cohorts ----------------------------------------------------------------------------------------------------------------------------------


def kept(place: Place, **more: Any) -> SavedCohort:
    told = {"name": "Women", "where": ["sex:F"], **more}
    web(place.one).post("/datasets/north/cohorts", told)
    return SavedCohort.objects.get(name=told["name"])


def test_a_kept_question_that_a_newer_dictionary_does_not_know_is_shown_and_can_be_deleted(place: Place) -> None:
    cohort = kept(place)
    assert SavedCohort.objects.filter(pk=cohort.pk).update(where=["edss.a_field_of_before:3"]) == 1
    page = web(place.one)
    assert "edss.a_field_of_before: 3" in page.get("/cohorts").content.decode()
    assert page.get(f"/cohorts/{cohort.pk}").status_code == 422
    assert page.post(f"/cohorts/{cohort.pk}/delete").status_code == 302 and not SavedCohort.objects.filter(pk=cohort.pk).exists()


def test_a_cohort_is_kept_as_its_question_shared_by_address_or_link_and_unshared(place: Place) -> None:
    cohort = kept(place)
    assert (cohort.where, cohort.owner) == (["sex:F"], place.one)
    page = f"/cohorts/{cohort.pk}"
    assert web(place.one).get(page).status_code == 200 and web(place.other).get(page).status_code == 404
    answers = [web(place.one).post(f"{page}/share", {"email": email}) for email in (place.other.email.upper(), "nobody@example.org")]
    told = {(answer.status_code, answer["Location"], *(str(one) for one in get_messages(answer.wsgi_request))) for answer in answers}
    assert told == {(302, page, "If there is an account with this address, it sees the cohort now.")}
    assert set(CohortShare.objects.values_list("email", flat=True)) == {place.other.email, "nobody@example.org"}
    assert "Women" in text(web(place.other).get("/cohorts")) and web(place.other).get(page).status_code == 200
    third = place.world.user("third")
    web(place.one).post(f"{page}/link")
    link = f"/cohorts/link/{SavedCohort.objects.get().link}"
    opened = web(third).get(link)
    assert "Keep a copy" in text(opened) and "Freeze, and begin" not in text(opened) and web().get(link).status_code == 401
    assert web(third).get(page).status_code == 404
    for act in ("share", "link", "unshare", "delete"):
        assert web(place.other).post(f"{page}/{act}", {"email": third.email}).status_code == 403, act
    web(place.one).post(f"{page}/unshare")
    assert web(place.other).get(page).status_code == web(third).get(link).status_code == 404
    web(place.one).post(f"{page}/delete")
    assert not SavedCohort.objects.exists()


def test_a_name_that_is_taken_or_a_question_that_is_none_is_refused_with_words(place: Place) -> None:
    kept(place)
    assert web(place.one).post("/datasets/north/cohorts", {"name": "Women", "where": ["sex:M"]}).status_code == 409
    assert web(place.one).post("/datasets/north/cohorts", {"name": "", "where": ["sex:M"]}).status_code == 422
    assert web(place.one).post("/datasets/north/cohorts", {"name": "Four", "where": ["sex:X"]}).status_code == 422
    assert SavedCohort.objects.count() == 1
    assert web().post("/datasets/north/cohorts", {"name": "Nobody's", "where": ["sex:M"]}).status_code == 401


ASKED = {"title": "Women", "abstract": "What we want.", "purpose": "HMB", "diseases": ""}


def test_asking_freezes_who_is_in_it_now_and_tells_the_counted_number_alone(place: Place) -> None:
    cohort = kept(place)
    assert web(place.one).post(f"/cohorts/{cohort.pk}/ask", ASKED).status_code == 302
    request = Request.objects.get()
    told = dict(Told.objects.values_list("question", "count"))["sex:F"]
    assert request.cohort == {"where": ["sex:F"], "told": told}
    women = {person.pk for person, row in zip(place.people, place.rows, strict=True) if row["sex"] == "F"}
    assert set(RequestedParticipant.objects.values_list("participant", flat=True)) == women
    people.put(place.dataset, place.sites[0], [{**row, "sex": "F"} for row in drawn(random.Random(5), 3)], place.facts)
    left = next(iter(women))
    Participant.objects.filter(pk=left).update(state="withdrawn")
    access.submit_request(place.one, request)
    request.refresh_from_db()
    assert set(RequestedParticipant.objects.values_list("participant", flat=True)) == women - {left}
    summary = access_queries.summary(request)
    assert summary["asked"] == told and all(reason["count"] is None for reason in summary["reasons"])
    access.approve_request(place.steward, request)
    request.refresh_from_db()
    assert access_queries.summary(request)["allowed"] is None  # until they are given, when they can be counted anyway
    everybody = place.world.request(place.dataset, place.other)
    assert everybody.requested.count() == PEOPLE + 2 and access_queries.summary(everybody)["asked"] == 150


def test_freezing_does_not_say_whether_a_group_that_is_not_told_has_somebody_in_it(place: Place) -> None:
    """Else a request that can be made, or not, would answer every question that counting refuses."""
    rare, none = ["sex:O", "diagnosis:ms"], ["sex:O", "treatment.substance:trial"]
    assert 0 < place.truth(*rare) < 11
    answers = []
    for n, where in enumerate((rare, none)):
        cohort = kept(place, name=f"Few {n}", where=where)
        answer = web(place.one).post(f"/cohorts/{cohort.pk}/ask", ASKED)
        answers.append((answer.status_code, "is not told, so it cannot be asked for" in text(answer)))
    assert answers == [(422, True)] * 2
    assert not Request.objects.exists()
    assert web(place.one).post(f"/cohorts/{kept(place).pk}/ask", ASKED).status_code == 302


# --- speed -----------------------------------------------------------------------------------------------------------------------------------------


def test_pages_ask_the_database_as_often_for_many_datasets_as_for_one(place: Place, django_assert_max_num_queries: Any) -> None:
    for n in range(12):
        place.world.dataset(place.sites[0], slug=f"more-{n}")
    publishing.tick()
    stranger, researcher = web(), web(place.one)
    with django_assert_max_num_queries(8):
        assert stranger.get("/datasets").content.decode().count('class="card"') == 13
    with django_assert_max_num_queries(36):
        researcher.get("/datasets/north/build?where=sex:F")
    actions.ask(place.one, place.dataset, ["sex:F"])
    with django_assert_max_num_queries(75):
        researcher.get("/datasets/north/count?where=sex:F")
