"""Derived values are computed by versioned code, and left empty wherever the records do not suffice."""

from __future__ import annotations

from typing import Any

import pytest

from registry.clinical import derived, partial
from registry.clinical.derived import Seen

ONSET = Seen(0, "history", {"onset_day": -731, "relapses_complete": "yes"})


def edss(*pairs: tuple[int, float], **more: Any) -> list[Seen]:
    return [Seen(day, "edss", {"edss_total": total, **more}) for day, total in pairs]


@pytest.mark.parametrize(
    ("history", "day", "years"),
    [
        ({"onset_day": -731}, 0, 2.0),
        ({"onset_day": -731}, 365, 3.0),
        ({"onset_day": -731, "onset_precision": "year"}, 100, 2.0),
        ({"onset_day": 10, "onset_precision": "month"}, 0, 0.0),
        ({"onset_day": 10}, 0, None),
        ({"onset_day": "unknown"}, 0, None),
        ({}, 0, None),
    ],
)
def test_disease_duration(history: dict[str, Any], day: int, years: float | None) -> None:
    assert derived.disease_duration(day, [Seen(0, "history", history)]) == years


def test_what_was_told_last_of_the_onset_counts() -> None:
    seen = [Seen(0, "history", {"onset_day": -100}), Seen(365, "history", {"onset_day": -400}), Seen(730, "history", {"criteria": "McDonald2017"})]
    assert derived.disease_duration(0, seen) == 1.1


@pytest.mark.parametrize(
    ("relapses", "rate"),
    [
        ([], 0.0),
        ([{"onset_day": -10}], 0.5),
        ([{"onset_day": -10}, {"onset_day": -400}, {"onset_day": -729}], 1.5),
        ([{"onset_day": -800}], 0.0),
        ([{"onset_day": -10, "onset_precision": "month"}], None),  # it may lie after this day
        ([{"onset_day": -60, "onset_precision": "month"}], 0.5),
        ([{"onset_day": -600, "onset_precision": "year"}], None),
    ],
)
def test_the_relapse_rate_counts_two_years_and_doubts_what_may_lie_outside(relapses: list[dict[str, Any]], rate: float | None) -> None:
    assert derived.relapse_rate(0, [ONSET, *(Seen(0, "relapse", one) for one in relapses)]) == rate


def test_no_relapse_on_record_is_not_no_relapse() -> None:
    relapse = Seen(0, "relapse", {"onset_day": -10})
    assert derived.relapse_rate(0, [Seen(0, "history", {"onset_day": -731}), relapse]) is None
    assert derived.relapse_rate(30, [ONSET, relapse]) is None  # complete up to day 0 only
    assert derived.relapse_rate(0, [Seen(0, "history", {"onset_day": -90, "relapses_complete": "yes"}), relapse]) is None  # too short a time
    assert derived.relapse_rate(0, [Seen(0, "history", {"onset_day": -365, "relapses_complete": "yes"}), relapse]) == 1.0


@pytest.mark.parametrize(
    ("totals", "by", "weeks12", "weeks24"),
    [
        ([(0, 2.0)], 400, None, None),
        ([(0, 2.0), (100, 2.5), (300, 2.0)], 400, 0, 0),
        ([(0, 2.0), (100, 3.0), (190, 3.0)], 400, 1, 0),
        ([(0, 2.0), (100, 3.0), (190, 3.0)], 150, 0, 0),
        ([(0, 2.0), (100, 3.0), (190, 3.5), (280, 3.0)], 400, 1, 1),
        ([(0, 2.0), (100, 3.0), (150, 2.0), (190, 3.0)], 400, 0, 0),
        ([(0, 0.0), (100, 1.0), (300, 1.0)], 400, 0, 0),
        ([(0, 0.0), (100, 1.5), (300, 1.5)], 400, 1, 1),
        ([(0, 5.5), (100, 6.0), (300, 6.0)], 400, 0, 0),
        ([(0, 6.0), (100, 6.5), (300, 6.5)], 400, 1, 1),
    ],
)
def test_confirmed_progression(totals: list[tuple[int, float]], by: int, weeks12: int | None, weeks24: int | None) -> None:
    assert [derived.progressed(by, edss(*totals), weeks * 7) for weeks in (12, 24)] == [weeks12, weeks24]


def test_an_examination_near_a_relapse_neither_begins_nor_confirms() -> None:
    course = edss((0, 2.0), (100, 3.0), (300, 3.0), (400, 2.0))
    assert derived.progressed(400, course, 84) == 1
    assert derived.progressed(400, [*course, Seen(0, "relapse", {"onset_day": 90})], 84) == 0
    assert derived.progressed(400, [*edss((0, 2.0), (300, 3.0), (400, 2.0)), *edss((100, 3.0), edss_relapse_30d="yes")], 84) == 0


REFERENCE = {"t25fw_mean": 10.0, "t25fw_sd": 5.0, "nhpt_inverse_mean": 0.04, "nhpt_inverse_sd": 0.01, "pasat_mean": 45, "pasat_sd": 10}


def test_the_composite_is_measured_against_the_reference_recorded_with_it() -> None:
    tests = [
        Seen(0, "t25fw", {"trial_1": 5.0, "trial_2": 5.0}),
        Seen(0, "nhpt", {"dominant_1": 20.0, "dominant_2": 20.0, "nondominant_1": 20.0}),
        Seen(0, "pasat", {"correct": 55, "interval": "3"}),
    ]
    assert derived.composite(0, tests) == {}
    told = derived.composite(0, [*tests, Seen(0, "msfc", REFERENCE)])
    assert told == {"msfc_walk_z": 1.0, "msfc_hand_z": 1.0, "msfc_cognition_z": 1.0, "msfc_z": 1.0}
    without = derived.composite(0, [*tests[:2], Seen(0, "pasat", {"correct": 55, "interval": "2"}), Seen(0, "msfc", REFERENCE)])
    assert without["msfc_cognition_z"] is None and without["msfc_z"] is None and without["msfc_walk_z"] == 1.0
    assert derived.composite(365, [*tests, Seen(0, "msfc", REFERENCE)]) == {}


@pytest.mark.parametrize(
    ("age", "onset", "told"),
    [
        ({"age_months": 150}, -365, {"onset_age": 11.0, "onset_before_18": 1.0}),
        ({"age_years": 30}, -365, {"onset_age": 29.0, "onset_before_18": 0.0}),
        ({"age_years": 19}, -365, {"onset_age": 18.0, "onset_before_18": 0.0}),
        ({"age_years": 18}, -182, {"onset_age": 18.0}),  # between 17.5 and 18.5: nobody can tell
        ({"age_years": 89}, -365, {}),
        ({}, -365, {}),
    ],
)
def test_age_at_onset(age: dict[str, Any], onset: int, told: dict[str, float]) -> None:
    found = derived.of_person([0], [Seen(0, "history", {"onset_day": onset}), Seen(0, "demographics", age)])[0]
    assert {key: value for key, value in found.items() if key.startswith("onset")} == told


def test_means_of_trials_and_only_of_numbers() -> None:
    assert derived.of_record("t25fw", {"trial_1": 4.0, "trial_2": 5.0}) == {"t25fw_mean": 4.5}
    assert derived.of_record("t25fw", {"trial_1": "not_done", "trial_2": 5.0}) == {"t25fw_mean": 5.0}
    assert derived.of_record("nhpt", {"dominant_1": 20.0}) == {"nhpt_dominant_mean": 20.0}
    assert derived.of_record("t25fw", {}) == {} == derived.of_record("sdmt", {"correct": 50})


@pytest.mark.parametrize(
    ("text", "order", "iso"),
    [
        ("12.05.2019", "DMY", "2019-05-12"), ("5/12/2019", "MDY", "2019-05-12"), ("2019-05-12", "YMD", "2019-05-12"), ("05.2019", "DMY", "2019-05"),
        ("2019-05", "YMD", "2019-05"), ("2019", "DMY", "2019"), ("00.05.2019", "DMY", "2019-05"), ("00.00.2019", "DMY", "2019"), ("12.00.2019", "DMY", None),
        ("31.02.2019", "DMY", None), ("12.05.19", "DMY", None), ("2019-05-12", "DMY", None), ("May 2019", "DMY", None), ("", "DMY", None),
    ],
)  # fmt: skip
def test_dates_as_sites_write_them(text: str, order: str, iso: str | None) -> None:
    assert partial.iso(text, order) == iso
