"""The law, case by case: each denial has a twin that is allowed."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import rules, uses, verdicts
from registry.rules import ConsentFacts, Disease, Purpose, Verdict
from tests.registry import consent_table

TODAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MS, EPILEPSY, BRAIN = "MONDO:0005301", "MONDO:0005027", "MONDO:0005560"


def consent(permission: str = "GRU", *modifiers: str, **fields: Any) -> ConsentFacts:
    return ConsentFacts(permission, frozenset(modifiers), **fields)


def purpose(code: str = "HMB", **fields: Any) -> Purpose:
    return Purpose(code, **{"countries": frozenset({"DK"}), **fields})


def verdict(facts: ConsentFacts | None, use: Purpose) -> str:
    return rules.decide(facts, use, TODAY).verdict.value


DS_MS = ConsentFacts("DS", diseases=frozenset({MS}))
HIERARCHY = [
    # consent, purpose, answer: GRU over HMB over DS, POA apart
    (consent("NRES"), purpose("GRU"), "permit"),
    (consent("NRES"), purpose("POA"), "permit"),
    (consent("GRU"), purpose("GRU"), "permit"),
    (consent("GRU"), purpose("HMB"), "permit"),
    (consent("GRU"), purpose("METHODS"), "permit"),
    (consent("GRU"), purpose("DS", diseases=(Disease(MS),)), "permit"),
    (consent("GRU"), purpose("POA"), "permit"),
    (consent("HMB"), purpose("GRU"), "deny"),
    (consent("HMB"), purpose("HMB"), "permit"),
    (consent("HMB"), purpose("DS", diseases=(Disease(MS),)), "permit"),
    (consent("HMB"), purpose("METHODS"), "permit"),
    (consent("HMB"), purpose("POA"), "deny"),
    (DS_MS, purpose("DS", diseases=(Disease(MS),)), "permit"),
    (DS_MS, purpose("DS", diseases=(Disease(EPILEPSY),)), "deny"),
    (DS_MS, purpose("DS", diseases=(Disease(MS), Disease(EPILEPSY))), "deny"),
    (DS_MS, purpose("HMB"), "deny"),
    (DS_MS, purpose("GRU"), "deny"),
    (DS_MS, purpose("METHODS"), "deny"),
    (DS_MS, purpose("METHODS", diseases=(Disease(MS),)), "permit"),
    (ConsentFacts("DS", diseases=frozenset({BRAIN})), purpose("DS", diseases=(Disease(MS, frozenset({BRAIN})),)), "permit"),
    (DS_MS, purpose("DS", diseases=(Disease(BRAIN),)), "deny"),
    (consent("POA"), purpose("POA"), "permit"),
    (consent("POA"), purpose("HMB"), "deny"),
]


@pytest.mark.parametrize(("facts", "use", "answer"), HIERARCHY)
def test_a_wider_consent_covers_a_narrower_purpose_and_never_the_other_way(facts: ConsentFacts, use: Purpose, answer: str) -> None:
    assert verdict(facts, use) == answer


# modifier, purpose that it denies (or leaves to a human), the same purpose mended
TWINS = [
    (consent("GRU", "NMDS"), purpose("METHODS"), purpose("HMB"), "deny"),
    (consent("GRU", "NMDS"), purpose("HMB", methods=True), purpose("HMB"), "deny"),
    (consent("GRU", "NPOA"), purpose("POA"), purpose("HMB"), "deny"),
    (consent("GRU"), purpose(ai_training=True), purpose(), "deny"),
    (consent("GRU"), purpose(commercial=True), purpose(), "deny"),
    (consent("GRU", "NCU"), purpose(commercial=True), purpose(), "deny"),
    (consent("GRU", "NPU"), purpose(non_profit=False), purpose(), "deny"),
    (consent("GRU", "NPUNCU"), purpose(non_profit=False), purpose(), "deny"),
    (consent("GRU", "NPUNCU"), purpose(commercial=True), purpose(), "deny"),
    (consent("GRU", "GS", countries=frozenset({"DK", "SE"})), purpose(countries=frozenset({"DK", "US"})), purpose(), "deny"),
    (consent("GRU", countries=frozenset({"DK"})), purpose(countries=frozenset({"US"})), purpose(), "deny"),
    (consent("GRU", "GSO"), purpose(), purpose(genetic=True), "deny"),
    (consent("GRU"), purpose(clinical_care=True), purpose(), "deny"),
    (consent("GRU", "TS", max_months=12), purpose(months=24), purpose(months=12), "deny"),
    (consent("GRU", "IRB"), purpose(), purpose(promises=frozenset({"IRB"})), "deny"),
    (consent("GRU", "COL"), purpose(), purpose(promises=frozenset({"COL"})), "deny"),
    (consent("GRU", "PUB"), purpose(), purpose(promises=frozenset({"PUB"})), "deny"),
    (consent("GRU", "RTN"), purpose(), purpose(promises=frozenset({"RTN"})), "deny"),
]


@pytest.mark.parametrize(("facts", "wrong", "right", "answer"), TWINS)
def test_each_condition_denies_what_it_excludes_and_permits_its_twin(facts: ConsentFacts, wrong: Purpose, right: Purpose, answer: str) -> None:
    assert verdict(facts, wrong) == answer
    assert verdict(facts, right) == "permit"


@pytest.mark.parametrize("facts", [consent("GRU", "MOR"), consent("GRU", "TS"), *(consent("GRU", code) for code in rules.BY_HAND)])
def test_what_the_rule_cannot_tell_is_left_to_a_human(facts: ConsentFacts) -> None:
    assert verdict(facts, purpose()) == "ask"


def test_deny_beats_ask_beats_permit() -> None:
    assert verdict(consent("GRU", "RS"), purpose()) == "ask"
    assert verdict(consent("GRU", "RS", "NPU"), purpose(non_profit=False)) == "deny"


def test_what_is_permitted_by_clear_words_is_permitted() -> None:
    assert verdict(consent("GRU", commercial=True), purpose(commercial=True)) == "permit"
    assert verdict(consent("GRU", ai_training=True), purpose(ai_training=True)) == "permit"
    assert verdict(consent("GRU", "CC"), purpose(clinical_care=True)) == "permit"
    assert verdict(consent("GRU", "MOR", publish_after=date(2027, 1, 1)), purpose()) == "permit"


def test_no_consent_is_a_no_and_so_is_one_that_has_ended() -> None:
    assert rules.decide(None, purpose(), TODAY).reasons[0].code == "no_consent"
    assert rules.decide(consent(valid_until=TODAY - timedelta(days=1)), purpose(), TODAY).reasons[0].code == "consent_expired"
    assert rules.decide(consent(valid_until=TODAY), purpose(), TODAY).permitted


def test_what_this_version_does_not_know_gives_nothing() -> None:
    assert verdict(consent("XYZ"), purpose()) == "deny"
    assert verdict(consent("GRU", "XYZ"), purpose()) == "deny"
    assert verdict(consent("HMB"), purpose("XYZ")) == "deny"


def test_obligations_come_with_a_permission_and_not_with_a_denial() -> None:
    facts = consent("GRU", "PUB", "MOR", publish_after=date(2027, 1, 1))
    told = rules.decide(facts, purpose(promises=frozenset({"PUB"})), TODAY).obligations
    assert any(line.startswith("PUB") for line in told) and any("2027-01-01" in line for line in told)
    assert rules.decide(facts, purpose(), TODAY).obligations == ()
    assert not any(line.startswith("MOR") for line in rules.decide(facts, purpose(promises=frozenset({"PUB"})), date(2028, 1, 1)).obligations)


def test_every_answer_says_why_in_a_sentence() -> None:
    for facts, use, _ in HIERARCHY:
        for reason in rules.decide(facts, use, TODAY).reasons:
            assert reason.sentence[0].isupper() and reason.sentence.endswith(".") and reason.code.islower()


def test_a_purpose_that_says_too_little_is_invalid_and_its_twin_is_not() -> None:
    for wrong in (Purpose("NRES", countries=frozenset({"DK"})), Purpose("DS", countries=frozenset({"DK"})), Purpose("HMB")):
        with pytest.raises(rules.Invalid):
            wrong.check()
    purpose("DS", diseases=(Disease(MS),)).check()


FACTS = st.builds(
    ConsentFacts,
    permission=st.sampled_from(rules.PERMISSIONS),
    modifiers=st.frozensets(st.sampled_from(rules.MODIFIERS), max_size=4),
    diseases=st.frozensets(st.sampled_from([MS, EPILEPSY]), max_size=2),
    countries=st.frozensets(st.sampled_from(["DK", "SE", "US"]), max_size=3),
    commercial=st.booleans(),
    ai_training=st.booleans(),
    max_months=st.none() | st.integers(1, 36),
)
USES = st.builds(
    Purpose,
    code=st.sampled_from(rules.PURPOSES),
    diseases=st.lists(st.sampled_from([Disease(MS), Disease(EPILEPSY)]), max_size=2).map(tuple),
    countries=st.frozensets(st.sampled_from(["DK", "SE", "US"]), min_size=1, max_size=3),
    commercial=st.booleans(),
    non_profit=st.booleans(),
    ai_training=st.booleans(),
    methods=st.booleans(),
    months=st.integers(1, 36),
    promises=st.frozensets(st.sampled_from(sorted(rules.PROMISES))),
)
ORDER = {Verdict.DENY: 0, Verdict.ASK: 1, Verdict.PERMIT: 2}


@given(FACTS, USES, st.sampled_from([code for code in rules.MODIFIERS if code != "CC"]))
def test_a_further_condition_never_gives_more(facts: ConsentFacts, use: Purpose, modifier: str) -> None:
    """Monotone: whatever consent and purpose, a modifier only takes away (CC alone adds, and only for clinical care)."""
    more = dataclasses.replace(facts, modifiers=facts.modifiers | {modifier})
    assert ORDER[rules.decide(more, use, TODAY).verdict] <= ORDER[rules.decide(facts, use, TODAY).verdict]


@given(FACTS, USES)
def test_a_smaller_purpose_is_never_given_less(facts: ConsentFacts, use: Purpose) -> None:
    """Whatever is given to a commercial, AI-training, long use is given to the same use without."""
    less = dataclasses.replace(use, commercial=False, non_profit=True, ai_training=False, months=1, promises=frozenset(rules.PROMISES))
    if less.code != "METHODS":
        less = dataclasses.replace(less, methods=False)
    assert ORDER[rules.decide(facts, less, TODAY).verdict] >= ORDER[rules.decide(facts, use, TODAY).verdict]


# --- who may do what -----------------------------------------------------------------------------------------------------------------------------

D, E, HERE, THERE = "dataset", "other", "here", "there"
OK = consent("GRU")
GRANT = rules.Grant("r1", D, purpose(), NOW - timedelta(days=1), NOW + timedelta(days=1))
ASKERS = {
    "nobody": rules.NOBODY,
    "disabled steward": rules.Asker("u", active=False, roles=frozenset({rules.Role("steward", D)})),
    "admin": rules.Asker("u", admin=True),
    "contributor": rules.Asker("u", roles=frozenset({rules.Role("contributor", D, HERE)})),
    "contributor elsewhere": rules.Asker("u", roles=frozenset({rules.Role("contributor", D, THERE)})),
    "steward": rules.Asker("u", roles=frozenset({rules.Role("steward", D)})),
    "other steward": rules.Asker("u", roles=frozenset({rules.Role("steward", E)})),
    "auditor": rules.Asker("u", roles=frozenset({rules.Role("auditor", D)})),
    "researcher": rules.Asker("u", roles=frozenset({rules.Role("researcher", D)})),
    "granted": rules.Asker("u", grants=(GRANT,)),
    "granted elsewhere": rules.Asker("u", grants=(dataclasses.replace(GRANT, dataset=E),)),
    "grant over": rules.Asker("u", grants=(dataclasses.replace(GRANT, ends=NOW),)),
    "grant to come": rules.Asker("u", grants=(dataclasses.replace(GRANT, starts=NOW + timedelta(hours=1)),)),
    "grant revoked": rules.Asker("u", grants=(dataclasses.replace(GRANT, revoked=True),)),
    "grant of another request": rules.Asker("u", grants=(dataclasses.replace(GRANT, request="r2"),)),
}
SUBJECTS = {
    "active": rules.Subject(D, HERE, consent=OK, allowed=frozenset({"r1"})),
    "no consent": rules.Subject(D, HERE, allowed=frozenset({"r1"})),
    "expired": rules.Subject(D, HERE, consent=dataclasses.replace(OK, valid_until=NOW.date() - timedelta(days=1)), allowed=frozenset({"r1"})),
    "withdrawn": rules.Subject(D, HERE, withdrawn=True, consent=OK, allowed=frozenset({"r1"})),
    "closed": rules.Subject(D, HERE, closed=True, consent=OK, allowed=frozenset({"r1"})),
    "narrowed": rules.Subject(D, HERE, consent=consent("DS", diseases=frozenset({EPILEPSY})), allowed=frozenset({"r1"})),
    "asks": rules.Subject(D, HERE, consent=consent("GRU", "RS"), allowed=frozenset({"r1"})),
    "settled": rules.Subject(D, HERE, consent=consent("GRU", "RS"), allowed=frozenset({"r1"}), settled=frozenset({"r1"})),
}
# action -> asker -> subjects of whom it is allowed. What does not stand here is denied: the table is the whole truth.
ALLOWED: dict[str, dict[str, set[str]]] = {
    "know": {who: set(SUBJECTS) for who in ("contributor", "steward", "auditor")},
    "see": {who: set(SUBJECTS) - {"withdrawn"} for who in ("contributor", "steward")} | {"granted": {"active", "settled"}},
    "contribute": {"contributor": set(SUBJECTS) - {"withdrawn"}},
    "review": {"steward": set(SUBJECTS) - {"withdrawn", "no consent", "expired"}},
    "accept": {"steward": set(SUBJECTS) - {"withdrawn", "no consent", "expired"}},
    "release": {"steward": set(SUBJECTS) - {"withdrawn", "no consent", "expired"}},
    "download": {"granted": {"active", "settled"}},
    "withdraw": {who: set(SUBJECTS) for who in ("contributor", "steward")},
}


def test_the_table_names_every_action() -> None:
    assert set(ALLOWED) == set(rules.ACTIONS)


@pytest.mark.parametrize("action", list(rules.ACTIONS))
def test_every_action_of_every_asker_on_every_participant(action: str) -> None:
    for who, whom in itertools.product(ASKERS, SUBJECTS):
        answer = rules.may(ASKERS[who], action, SUBJECTS[whom], NOW)
        assert answer.permitted == (whom in ALLOWED[action].get(who, set())), (who, whom)
        if not answer.permitted:
            with pytest.raises(rules.Denied):
                answer.require()


IN_DATASET = {
    "register": {"contributor"},
    "upload": {"contributor"},
    "decide": {"steward"},
    "freeze": {"steward"},
    "see_work": {"steward", "contributor"},
    "read_audit": {"steward", "auditor"},
    "give_roles": {"steward", "admin"},
}


@pytest.mark.parametrize("action", list(rules.DATASET_ACTIONS))
def test_every_act_upon_a_dataset(action: str) -> None:
    for who in ASKERS:
        assert rules.may_in(ASKERS[who], action, D, HERE).permitted == (who in IN_DATASET[action]), who


@pytest.mark.parametrize("action", sorted(rules.ADMIN_ACTIONS))
def test_running_the_registry_is_for_who_runs_it(action: str) -> None:
    for who in ASKERS:
        assert rules.may_run(ASKERS[who], action).permitted == (who == "admin"), who


def test_an_action_that_does_not_exist_is_an_error_and_no_answer() -> None:
    with pytest.raises(KeyError):
        rules.may(ASKERS["steward"], "peek", SUBJECTS["active"], NOW)
    with pytest.raises(KeyError):
        rules.may_in(ASKERS["steward"], "peek", D)
    with pytest.raises(KeyError):
        rules.may_run(ASKERS["admin"], "peek")


def test_every_consent_against_every_request_answers_as_the_table_says() -> None:
    asked, permits, wrong = consent_table.wrong(most=1)
    assert wrong == [] and asked > 2500 and permits > 500, wrong[:5]


def test_a_wrong_cell_of_the_table_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "EEA", uses.EEA | {"BR"})
    assert len(consent_table.wrong(most=1)[2]) > 5


FACTS = st.builds(
    ConsentFacts,
    permission=st.sampled_from(["GRU", "HMB", "POA"]),
    modifiers=st.frozensets(st.sampled_from(rules.MODIFIERS), max_size=3),
    countries=st.sampled_from([frozenset(), frozenset({"DK"}), frozenset({"DK", "CH"})]),
    transfer=st.sampled_from(rules.TRANSFERS),
    max_months=st.sampled_from([None, 6, 24]),
    publish_after=st.sampled_from([None, date(2030, 1, 1)]),
    valid_until=st.sampled_from([None, TODAY, date(2026, 5, 31)]),
    **{box: st.booleans() for box in rules.BOXES},
)
USES = st.builds(
    Purpose,
    code=st.sampled_from(["GRU", "HMB", "METHODS", "POA"]),
    countries=st.sampled_from([frozenset({"DK"}), frozenset({"DK", "CH"}), frozenset({"US"}), frozenset({"BR"})]),
    promises=st.frozensets(st.sampled_from(rules.ALL_PROMISES)),
    **{box: st.booleans() for box in ("commercial", "ai_training", "public_crowd", "genetic_linkage", "recontact", "genetic", "clinical_care", "non_profit")},
)


@given(FACTS, FACTS, USES)
def test_a_narrower_consent_permits_nothing_that_a_wider_one_does_not(one: ConsentFacts, other: ConsentFacts, use: Purpose) -> None:
    both = dataclasses.replace(one, modifiers=(one.modifiers | other.modifiers) - {"CC"}, transfer=min(one.transfer, other.transfer, key=rules.TRANSFERS.index))
    timed = dataclasses.replace(both, max_months=other.max_months, publish_after=other.publish_after)
    for narrow, wide in ((one, other), (both, one), (timed, one)):
        if rules.narrower(narrow, wide) and verdict(narrow, use) == "permit":
            assert verdict(wide, use) == "permit"
    assert rules.narrower(both, one)


@pytest.mark.parametrize(
    ("unclear", "clear"),
    [({"modifiers": frozenset({"TS"})}, {"max_months": 600}), ({"modifiers": frozenset({"MOR"})}, {"publish_after": date(2000, 1, 1)})],
)
def test_a_value_that_answers_what_was_left_to_a_human_narrows_nothing(unclear: dict[str, Any], clear: dict[str, Any]) -> None:
    old = ConsentFacts("GRU", **unclear)
    new = dataclasses.replace(old, **clear)
    assert (verdict(old, purpose()), verdict(new, purpose())) == ("ask", "permit")
    assert not rules.narrower(new, old)
    tighter = dataclasses.replace(old, permission="HMB")
    assert verdict(tighter, purpose()) == "ask" and rules.narrower(tighter, old) and rules.narrower(new, dataclasses.replace(old, modifiers=frozenset()))


def test_silence_permits_nothing() -> None:
    assert rules.weigh([]).verdict is Verdict.DENY


def test_the_law_needs_nothing_but_the_standard_library() -> None:
    for law in (rules, uses, verdicts):
        tree = ast.parse(Path(law.__file__).read_text(encoding="utf-8"))
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        assert names and all(name.split(".")[0] in sys.stdlib_module_names or name in ("registry.uses", "registry.verdicts") for name in names)


FREE = ConsentFacts("NRES", transfer="any", commercial=True, ai_training=True, public_crowd=True, genetic_linkage=True)
SHUT: dict[str, dict[str, Any]] = {
    "not_unrestricted": {"permission": "GRU"},
    "open_conditions": {"modifiers": frozenset({"IRB"})},
    "open_countries": {"countries": frozenset({"DK"})},
    "open_transfer": {"transfer": "safeguards"},
    "open_commercial": {"commercial": False},
    "open_ends": {"valid_until": TODAY + timedelta(days=900)},
    "open_time": {"max_months": 60},
    "open_too_early": {"publish_after": TODAY + timedelta(days=1)},
    "no_ai_training": {"ai_training": False},
    "no_public_crowd": {"public_crowd": False},
    "no_genetic_linkage": {"genetic_linkage": False},
    "unknown_legal_basis": {"legal_basis": "because"},
}


@pytest.mark.parametrize("code", SHUT)
def test_each_limit_of_a_consent_shuts_open_sharing_and_without_it_it_is_open(code: str) -> None:
    answer = rules.openly(dataclasses.replace(FREE, **SHUT[code]), TODAY)
    assert answer.verdict is Verdict.DENY and [reason.code for reason in answer.reasons] == [code]
    assert answer.reasons[0].sentence.endswith(".") and rules.openly(FREE, TODAY).permitted


def test_open_sharing_ends_with_the_consent_and_takes_what_only_gives() -> None:
    assert [reason.code for reason in rules.openly(None, TODAY).reasons] == ["no_consent"]
    ended = dataclasses.replace(FREE, valid_until=TODAY - timedelta(days=1))
    assert [reason.code for reason in rules.openly(ended, TODAY).reasons] == ["consent_expired"]
    child = dataclasses.replace(FREE, reconsent_due=TODAY + timedelta(days=400))
    assert [reason.code for reason in rules.openly(child, TODAY).reasons] == ["open_ends"]
    for fine in ({"modifiers": frozenset({"CC"})}, {"legal_basis": "irb_waiver"}, {"publish_after": TODAY}):
        assert rules.openly(dataclasses.replace(FREE, **fine), TODAY).permitted


@pytest.mark.parametrize("use", [{}, {"commercial": True, "non_profit": False}, {"ai_training": True}, {"public_crowd": True}, {"genetic_linkage": True}])
def test_what_may_be_open_covers_every_reader(use: dict[str, bool]) -> None:
    for code in ("GRU", "HMB", "METHODS", "POA"):
        for country in ("DK", "US", "CN"):
            purpose = Purpose(code, countries=frozenset({country}), months=60, **use)  # type: ignore[arg-type]
            assert rules.decide(FREE, purpose, TODAY).permitted
