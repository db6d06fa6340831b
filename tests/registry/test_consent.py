"""Consent is a row of events that nobody can change; what holds is computed, and the projection that SQL asks says the same."""

from __future__ import annotations

import dataclasses
import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import rules
from registry.consent import actions, diseases, duo, queries
from registry.consent.duo_table import table
from registry.consent.models import GRANTING, ConsentEvent, ConsentFact, ConsentTemplate, Standing
from registry.rules import Conflict, Invalid
from registry.subjects.models import Participant

pytestmark = pytest.mark.django_db(databases="__all__")
EVIDENCE = "0" * 63 + "1"
GROUNDS = {"legal_basis": "6.1.a", "transfer": "none"}
YESTERDAY, TOMORROW = (timezone.now().date() + timedelta(days=n) for n in (-1, 1))


@pytest.fixture
def someone(world: Any) -> Participant:
    site = world.site()
    return world.participant(world.dataset(site), site)


def give(who: Participant, kind: str = "given", permission: str = "GRU", **fields: Any) -> ConsentEvent:
    return actions.record(who, kind, permission, **{"evidence_sha256": EVIDENCE, **fields})


def test_without_an_event_nothing_is_agreed_to(someone: Participant) -> None:
    assert queries.current(someone) is None
    give(someone)
    assert queries.current(someone) == rules.ConsentFacts("GRU")


def test_each_event_states_the_whole_and_the_last_one_counts(someone: Participant) -> None:
    give(someone, commercial=True, ai_training=True)
    give(someone, "narrowed", "DS", diseases=["MONDO:0005301"])
    assert queries.current(someone) == rules.ConsentFacts("DS", diseases=frozenset({"MONDO:0005301"}))
    give(someone, "renewed", "HMB", modifiers=["NPU"])
    assert queries.current(someone) == rules.ConsentFacts("HMB", modifiers=frozenset({"NPU"}))
    actions.record(someone, "withdrawn")
    assert queries.current(someone) is None
    assert [event.number for event in queries.events(someone)] == [1, 2, 3, 4]


def test_a_consent_ends_with_its_last_day(someone: Participant) -> None:
    give(someone, valid_until=date(2026, 1, 31))
    assert queries.current(someone, on=date(2026, 1, 31)) is not None
    assert queries.current(someone, on=date(2026, 2, 1)) is None


def test_the_end_is_recorded_by_the_tick_for_the_record_only(someone: Participant, world: Any) -> None:
    other = world.participant(someone.dataset, someone.site)
    give(someone, valid_until=YESTERDAY)
    give(other, valid_until=TOMORROW)
    assert queries.current(someone) is None
    assert actions.end_by_time() == {"expired": 1, "lapsed_at_majority": 0}
    assert actions.end_by_time() == {"expired": 0, "lapsed_at_majority": 0}
    assert queries.events(someone).last().kind == "expired"
    assert queries.current(other) is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "assumed"},
        {"permission": ""},
        {"permission": "HBM"},
        {"modifiers": ["NPU", "XYZ"]},
        {"evidence_sha256": ""},
        {"evidence_sha256": "not a hash"},
        {"permission": "DS"},
        {"diseases": ["MONDO:0005301"]},
        {"permission": "DS", "diseases": ["multiple sclerosis"]},
        {"modifiers": ["GS"]},
        {"countries": ["Denmark"]},
        {"commercial": True, "modifiers": ["NCU"]},
        {"kind": "withdrawn", "permission": "GRU"},
    ],
)
def test_what_no_consent_can_say_is_invalid(someone: Participant, fields: dict[str, Any]) -> None:
    fields = {"kind": "given", "permission": "GRU", "evidence_sha256": EVIDENCE, **fields}
    with pytest.raises(Invalid):
        actions.record(someone, fields.pop("kind"), fields.pop("permission"), **fields)
    assert not queries.events(someone).exists()


def test_every_condition_that_can_be_said_is_taken(someone: Participant) -> None:
    give(someone, permission="DS", diseases=["MONDO:0005301"], modifiers=["GS", "MOR", "TS"], countries=["DK"], publish_after=date(2027, 1, 1), max_months=6)
    facts = queries.current(someone)
    assert facts is not None and (facts.publish_after, facts.max_months) == (date(2027, 1, 1), 6)


@pytest.mark.parametrize(("before", "kind"), [([], "renewed"), ([], "narrowed"), ([], "expired"), (["given"], "given"), (["given", "withdrawn"], "renewed")])
def test_events_follow_from_one_another(someone: Participant, before: list[str], kind: str) -> None:
    for earlier in before:
        actions.record(someone, earlier) if earlier == "withdrawn" else give(someone, earlier)
    with pytest.raises(Conflict):
        actions.record(someone, kind) if kind == "expired" else give(someone, kind)


def test_who_has_left_cannot_be_consented_for(someone: Participant) -> None:
    Participant.objects.update(state="withdrawn")
    with pytest.raises(Conflict):
        give(someone)
    actions.record(someone, "withdrawn")


def test_every_event_makes_a_new_epoch(someone: Participant) -> None:
    give(someone)
    actions.record(someone, "withdrawn")
    someone.refresh_from_db()
    assert someone.epoch == 2


def test_events_refuse_to_be_changed(someone: Participant) -> None:
    event = give(someone)
    event.commercial = True
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        event.save()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        ConsentEvent.objects.all().delete()
    give(someone, "renewed")


def test_the_database_itself_wants_a_permission_and_evidence(someone: Participant) -> None:
    for fields in (
        {"permission": "", "evidence_sha256": EVIDENCE},
        {"permission": "GRU", "evidence_sha256": ""},
        {"permission": "XX", "evidence_sha256": EVIDENCE},
        {"permission": "GRU", "evidence_sha256": EVIDENCE, "legal_basis": ""},
        {"permission": "GRU", "evidence_sha256": EVIDENCE, "transfer": "everywhere"},
        {"permission": "GRU", "evidence_sha256": EVIDENCE, "given_by": "parent"},
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            ConsentEvent.objects.create(participant=someone, number=1, kind="given", **{**GROUNDS, **fields})
    ConsentEvent.objects.create(participant=someone, number=1, kind="given", permission="GRU", evidence_sha256=EVIDENCE, **GROUNDS)


def test_equal_consents_share_one_row_however_many_people(someone: Participant, world: Any) -> None:
    people = [someone, *(world.participant(someone.dataset, someone.site) for _ in range(5))]
    for n, one in enumerate(people):
        give(one, permission="GRU" if n else "HMB", modifiers=["NPU", "IRB"] if n % 2 else ["IRB", "NPU"], valid_until=TOMORROW + timedelta(days=n))
    assert ConsentFact.objects.count() == 2
    assert len(queries.distinct_facts(someone.dataset_id)) == 2


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["given", "renewed", "narrowed", "withdrawn", "expired", "lapsed_at_majority"]),
        st.fixed_dictionaries(
            {
                "permission": st.sampled_from(["NRES", "GRU", "HMB", "POA"]),
                "modifiers": st.lists(st.sampled_from(rules.MODIFIERS[1:6]), max_size=3),
                "transfer": st.sampled_from(rules.TRANSFERS),
                "valid_until": st.none() | st.dates(date(2020, 1, 1), date(2030, 1, 1)),
                **{box: st.booleans() for box in rules.BOXES if box != "commercial"},
            }
        ),
        st.booleans(),
    ),
    max_size=6,
)


def events_of(someone: Participant, history: list[Any]) -> None:
    """Whatever of this history can be: what cannot follow is left out, and leaves nothing."""
    for kind, said, child in history:
        signing = {"given_by": "parent", "assent": "given", "reconsent_due": date(2024, 5, 1)} if child else {}
        try:
            actions.record(someone, kind) if kind not in GRANTING else give(someone, kind, **said, **signing)
        except Conflict:
            continue


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_projection_and_fold_say_the_same_after_any_history(someone: Participant, history: list[Any]) -> None:
    with transaction.atomic():
        events_of(someone, history)
        folded, standing = queries.fold(queries.events(someone)), queries.standing(someone)
        assert (folded is None) == (standing is None or standing.facts is None)
        if folded is not None and standing is not None and standing.facts is not None:
            assert queries.read(standing.facts) == dataclasses.replace(folded, valid_until=None, reconsent_due=None)
            assert (standing.valid_until, standing.lapses) == (folded.ends, folded.lapses)
        assert actions.rebuild()["changed"] == 0
        transaction.set_rollback(True)


def test_a_spoiled_projection_is_rebuilt_from_the_events(someone: Participant, world: Any) -> None:
    give(someone)
    give(world.participant(someone.dataset, someone.site), permission="HMB")
    Standing.objects.filter(participant=someone).update(facts=None)
    out = io.StringIO()
    call_command("consent", "rebuild", stdout=out)
    assert out.getvalue().strip() == "2 participants, 1 changed"
    assert queries.standing(someone).facts is not None  # type: ignore[union-attr]


def test_duo_is_shipped_as_data_and_the_rule_knows_every_term(tmp_path: Path) -> None:
    assert set(rules.PERMISSIONS) | set(rules.MODIFIERS) == set(duo.terms())
    assert duo.terms()["HMB"].id == "DUO:0000006"
    assert all(term.id.startswith("DUO:") and term.definition for term in duo.terms().values())
    rows = "\n".join(f'{term.id},{term.shorthand},"{term.label}","{term.definition}"' for term in duo.terms().values())
    (tmp_path / "duo.csv").write_text(f"id,shorthand,label,description\n{rows}\nDUO:0000001,,x,y\n", encoding="utf-8")
    assert table(tmp_path / "duo.csv") == json.loads(Path(duo.__file__).with_name("duo.json").read_text(encoding="utf-8"))


def test_events_are_asked_for_in_one_query(someone: Participant, django_assert_num_queries: Any) -> None:
    give(someone)
    with django_assert_num_queries(1):
        queries.current(someone)


# --- children, grounds, forms --------------------------------------------------------------------------------------------------------------------

CHILD = {"given_by": "parent", "assent": "given"}
FIRST = TOMORROW.replace(day=1)
PAST, FUTURE = (FIRST - timedelta(days=40)).replace(day=1), (FIRST + timedelta(days=70)).replace(day=1)


def test_a_parents_consent_ends_with_majority_and_says_so(someone: Participant, world: Any) -> None:
    other = world.participant(someone.dataset, someone.site)
    give(someone, **CHILD, reconsent_due=PAST)
    give(other, **CHILD, reconsent_due=FUTURE)
    assert (queries.current(someone), queries.current(other) is not None) == (None, True)
    assert queries.current(someone, on=PAST - timedelta(days=1)) is not None
    assert rules.holds(queries.fold(queries.events(someone)), TOMORROW).reasons[0].code == "consent_lapsed"
    assert actions.end_by_time() == {"expired": 0, "lapsed_at_majority": 1}
    assert [event.kind for event in queries.events(someone)] == ["given", "lapsed_at_majority"]
    give(someone)  # now they speak for themselves
    assert queries.current(someone) is not None


def test_an_end_that_comes_first_is_the_one_told(someone: Participant) -> None:
    give(someone, **CHILD, reconsent_due=FUTURE, valid_until=YESTERDAY)
    assert rules.holds(queries.fold(queries.events(someone)), TOMORROW).reasons[0].code == "consent_expired"
    with pytest.raises(Conflict, match="consent_not_a_parents"):
        actions.record(someone, "lapsed_at_majority")
    actions.record(someone, "expired")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"given_by": "parent", "reconsent_due": FUTURE}, "consent_assent"),
        ({"given_by": "parent", "assent": "refused", "reconsent_due": FUTURE}, "consent_assent"),
        ({"given_by": "parent", "assent": "given"}, "consent_majority"),
        ({"given_by": "parent", "assent": "given", "reconsent_due": FUTURE + timedelta(days=16)}, "consent_majority"),
        ({"assent": "given"}, "consent_assent"),
        ({"given_by": "neighbour"}, "consent_given_by"),
        ({"given_by": "board"}, "consent_given_by"),
        ({"legal_basis": "irb_waiver"}, "consent_given_by"),
        ({"legal_basis": "irb_waiver", "given_by": "board", "recontact": True}, "consent_contradicts"),
        ({"legal_basis": "because"}, "consent_legal_basis"),
        ({"transfer": "everywhere"}, "consent_transfer"),
    ],
)
def test_what_no_consent_can_say(someone: Participant, fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Invalid, match=code):
        give(someone, **fields)
    give(someone, legal_basis="irb_waiver", given_by="board", transfer="any")
    assert queries.current(someone) == rules.ConsentFacts("GRU", legal_basis="irb_waiver", transfer="any")


def test_majority_is_bounded_by_the_birth_years_on_record(someone: Participant, world: Any) -> None:
    year = timezone.now().year
    child = world.participant(someone.dataset, someone.site, birth_year_band=f"{year - year % 5 - 10}-{year - year % 5 - 6}")
    last = date(year - year % 5 - 6 + 19, 1, 1)  # the youngest of the band has come of age before
    for wrong in (
        {**CHILD, "reconsent_due": last.replace(month=2)},
        {**CHILD, "reconsent_due": date(2082, 5, 1)},
        {"given_by": "self"},
        {"given_by": "representative"},
        {"given_by": "representative", "reconsent_due": last.replace(month=2)},
        {"given_by": "representative", "reconsent_due": last.replace(day=2)},
    ):
        with pytest.raises(Invalid, match="consent_majority"):
            give(child, **wrong)
    give(child, **CHILD, reconsent_due=last)
    give(child, "renewed", given_by="representative", reconsent_due=last)
    assert queries.standing(child).valid_until == last - timedelta(days=1)  # type: ignore[union-attr]


def test_whose_birth_years_are_not_known_comes_of_age_in_18_years_at_the_latest(someone: Participant, world: Any) -> None:
    today = timezone.now().date()
    last = today.replace(year=today.year + 18, day=1)
    with pytest.raises(Invalid, match="consent_majority"):
        give(someone, **CHILD, reconsent_due=(last + timedelta(days=31)).replace(day=1))
    give(someone, **CHILD, reconsent_due=last)
    for who in (world.participant(someone.dataset, someone.site, birth_year_band="1980-1984"), world.participant(someone.dataset, someone.site)):
        give(who, given_by="representative")  # of somebody who may be of age
        give(who, "renewed")


def test_narrowing_gives_no_more_than_before(someone: Participant) -> None:
    give(someone, permission="HMB", ai_training=True, transfer="adequate")
    for wider in ({"permission": "GRU"}, {"permission": "HMB", "commercial": True}, {"permission": "HMB", "transfer": "any"}):
        with pytest.raises(Conflict, match="consent_wider"):
            give(someone, "narrowed", **wider)
    give(someone, "narrowed", permission="HMB", transfer="adequate")
    give(someone, "renewed", permission="GRU", commercial=True)


def form(someone: Participant, version: int = 1, language: str = "en", **more: Any) -> ConsentTemplate:
    told = {"codes": {"permission": "HMB", "modifiers": ["NPU"], "transfer": "adequate"}, "options": ["ai_training", "commercial"], **more}
    return actions.add_template(someone.dataset, "adults", version, language, "Consent", f"I agree. ({language} {version})", **told)


def test_a_form_implies_its_codes_and_leaves_its_options_open(someone: Participant) -> None:
    template = form(someone)
    event = actions.record(someone, "given", template=template, ai_training=True, evidence_sha256=EVIDENCE)
    assert event.template == template
    assert queries.current(someone) == rules.ConsentFacts("HMB", frozenset({"NPU"}), transfer="adequate", ai_training=True)
    for other in ({"transfer": "any"}, {"recontact": True}, {"permission": "GRU"}):
        with pytest.raises(Invalid, match="consent_template"):
            actions.record(someone, "renewed", template=template, evidence_sha256=EVIDENCE, **other)


LIMITED = {"permission": "HMB", "modifiers": ["NPU", "IRB"], "max_months": 24, "publish_after": "2027-01-01", "countries": ["DK", "SE"]}
LIMITS = ["modifiers", "max_months", "publish_after", "countries"]


def test_an_option_that_limits_stays_as_the_form_says_where_nothing_is_said(someone: Participant) -> None:
    template = form(someone, codes=LIMITED, options=LIMITS)
    actions.record(someone, "given", template=template, evidence_sha256=EVIDENCE)
    held = queries.current(someone)
    assert held is not None and (held.modifiers, held.max_months) == ({"NPU", "IRB"}, 24)
    assert (held.countries, held.publish_after) == ({"DK", "SE"}, date(2027, 1, 1))


@pytest.mark.parametrize(
    ("loose", "tight"),
    [
        ({"modifiers": []}, {"modifiers": ["IRB", "NPU", "PUB"]}),
        ({"modifiers": ["NPU", "IRB", "CC"]}, {"modifiers": ["NPU", "IRB"]}),
        ({"max_months": None}, {"max_months": 12}),
        ({"max_months": 25}, {"max_months": 24}),
        ({"publish_after": None}, {"publish_after": date(2028, 1, 1)}),
        ({"publish_after": date(2026, 1, 1)}, {"publish_after": date(2027, 1, 1)}),
        ({"countries": []}, {"countries": ["DK"]}),
        ({"countries": ["DK", "US"]}, {"countries": ["SE", "DK"]}),
    ],
)
def test_an_option_that_limits_may_only_be_narrowed(someone: Participant, loose: dict[str, Any], tight: dict[str, Any]) -> None:
    template = form(someone, codes=LIMITED, options=LIMITS)
    with pytest.raises(Invalid, match="consent_template"):
        actions.record(someone, "given", template=template, evidence_sha256=EVIDENCE, **loose)
    event = actions.record(someone, "given", template=template, evidence_sha256=EVIDENCE, **tight)
    assert {name: getattr(event, name) for name in tight} == {name: sorted(value) if isinstance(value, list) else value for name, value in tight.items()}


def test_a_blank_that_the_form_leaves_is_filled_in_by_the_person(someone: Participant) -> None:
    template = form(someone, codes={"permission": "GRU", "modifiers": ["TS"]}, options=["max_months"])
    assert actions.record(someone, "given", template=template, evidence_sha256=EVIDENCE).max_months is None
    assert actions.record(someone, "renewed", template=template, evidence_sha256=EVIDENCE, max_months=6).max_months == 6


def test_a_no_that_the_form_does_not_foresee_is_not_recorded_as_a_yes(someone: Participant) -> None:
    implied = {"permission": "HMB", "ai_training": True, "commercial": True, "transfer": "any"}
    fixed, free = form(someone, codes=implied, options=[]), form(someone, version=2, codes=implied, options=["ai_training", "commercial", "transfer"])
    for struck in ({"ai_training": False}, {"commercial": False}, {"transfer": "none"}):
        with pytest.raises(Invalid, match="consent_template"):
            actions.record(someone, "given", template=fixed, evidence_sha256=EVIDENCE, **struck)
        event = actions.record(someone, "renewed" if queries.current(someone) else "given", template=free, evidence_sha256=EVIDENCE, **struck)
        assert (event.ai_training, event.commercial, event.transfer) == (False, False, "none")  # what is not ticked is not agreed to
    event = actions.record(someone, "renewed", template=fixed, evidence_sha256=EVIDENCE, ai_training=True)
    assert (event.ai_training, event.commercial, event.transfer) == (True, True, "any")


def test_a_form_has_versions_that_say_the_same_in_every_language(someone: Participant, world: Any) -> None:
    first = form(someone)
    form(someone, language="da")
    with pytest.raises(Conflict, match="consent_template_languages"):
        form(someone, language="de", codes={"permission": "GRU"})
    with pytest.raises(Conflict, match="consent_template_exists"):
        form(someone)
    with pytest.raises(Conflict, match="consent_template_version"):
        form(someone, version=3)
    form(someone, version=2, codes={"permission": "GRU"})
    stranger = world.participant(world.dataset(someone.site), someone.site)
    with pytest.raises(Invalid, match="consent_template"):
        actions.record(stranger, "given", template=first, evidence_sha256=EVIDENCE)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        ConsentTemplate.objects.filter(pk=first.pk).update(text="I agree to everything.")


@pytest.mark.parametrize("wrong", [{"codes": {"permission": "XX"}}, {"codes": {"permission": "GRU", "valid_until": None}}, {"options": ["everything"]}])
def test_a_form_that_means_nothing_is_not_published(someone: Participant, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        form(someone, **wrong)


OBO = """format-version: 1.2
data-version: releases/made-up

[Term]
id: MONDO:0000001
name: top

[Term]
id: MONDO:0000002
is_a: MONDO:0000001 ! top

[Term]
id: MONDO:0000003
is_a: MONDO:0000002 {source="x"} ! middle
is_a: HP:0000001 ! not of MONDO

[Term]
id: MONDO:0000004
is_a: MONDO:0000003
is_obsolete: true

[Typedef]
id: MONDO:0000005
is_a: MONDO:0000001
"""


def test_diseases_lie_under_each_other_as_the_hospitals_edition_says(home: Path) -> None:
    assert diseases.ancestors() == {}
    table = diseases.read_obo(OBO.splitlines())
    assert table["edition"] == "releases/made-up" and set(table["parents"]) == {"MONDO:0000002", "MONDO:0000003"}
    (home / "diseases.json").write_text(json.dumps(table))
    assert diseases.ancestors()["MONDO:0000003"] == {"MONDO:0000001", "MONDO:0000002"}
    assert diseases.above({"a": ["b"], "b": ["a"]}) == {"a": frozenset({"b"}), "b": frozenset({"a"})}
