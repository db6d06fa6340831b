"""No table without its dictionary, no column without a word about it, no age finer than BIDS allows, no true date."""

from __future__ import annotations

import json

import pytest

from bidstree import tables
from bidstree.errors import BidsError


@pytest.mark.parametrize(
    ("years", "shown"), [(34.9, 34), (89.0, 89), (101.2, 89), (17.96, 17.9), (2.0, 2.0), (1.99, 1.92), (0.5, 0.5), (None, "n/a"), ("n/a", "n/a"), (0, 0)]
)
def test_ages_are_coarse_and_capped(years: object, shown: object) -> None:
    assert tables.cap_age(years) == shown


@pytest.mark.parametrize("years", [-1, float("nan"), float("inf")])
def test_an_age_that_is_none_is_refused(years: object) -> None:
    with pytest.raises(BidsError) as error:
        tables.cap_age(years)
    assert error.value.code == "age_not_a_number"


def test_rows_have_one_order_and_missing_values_one_sign() -> None:
    rows = [{"participant_id": "sub-b", "sex": "F"}, {"participant_id": "sub-a", "age": 40, "sex": None}]
    table = tables.participants(rows)
    assert table.tsv == "participant_id\tage\tsex\nsub-a\t40\tn/a\nsub-b\tn/a\tF\n"
    assert table == tables.participants(reversed(rows))
    assert set(json.loads(table.json())) == {"participant_id", "age", "sex"}


def test_a_column_nobody_explained_is_not_written_and_an_explained_one_is() -> None:
    rows = [{"participant_id": "sub-a", "shoe": 42}]
    with pytest.raises(BidsError) as error:
        tables.participants(rows)
    assert error.value.code == "column_unexplained" and "shoe" not in error.value.reason
    assert "shoe" in tables.participants(rows, {"shoe": {"Description": "Size of shoe"}}).tsv


def test_ids_are_there_and_there_once() -> None:
    assert tables.participants([{"participant_id": "sub-a"}, {"participant_id": "sub-b"}])
    for code, rows in (("row_without_id", [{"sex": "F"}]), ("rows_doubled", [{"participant_id": "sub-a"}, {"participant_id": "sub-a"}])):
        with pytest.raises(BidsError) as error:
            tables.participants(rows)
        assert error.value.code == code


def test_a_true_date_is_refused_and_a_shifted_one_is_not() -> None:
    assert "1901-02-03" in tables.sessions([{"session_id": "ses-a", "acq_time": "1901-02-03T00:00:00"}]).tsv
    for value in ("2021-02-03T00:00:00", "yesterday", "1926-01-01"):
        with pytest.raises(BidsError) as error:
            tables.sessions([{"session_id": "ses-a", "acq_time": value}])
        assert error.value.code == "date_not_shifted" and value not in str(error.value)


def test_clinical_tables_have_a_row_per_participant_and_session() -> None:
    rows = [{"participant_id": "sub-a", "session_id": s, "edss": e} for s, e in (("ses-m12", 3.5), ("ses-m00", 2.0))]
    table = tables.phenotype("edss", rows, {"edss": {"Description": "Expanded Disability Status Scale"}})
    assert table.tsv.splitlines()[1:] == ["sub-a\tses-m00\t2.0", "sub-a\tses-m12\t3.5"]
    with pytest.raises(BidsError) as error:
        tables.phenotype("../edss", rows, {"edss": {}})
    assert error.value.code == "name_not_bids"


def test_cells_never_break_a_line() -> None:
    assert tables.cell("a\tb\nc") == "a b c" and tables.cell(True) == "true" and tables.cell("") == "n/a" and tables.cell(float("nan")) == "n/a"


@pytest.mark.parametrize(("text", "age"), [("034Y", 34), ("093Y", 89), ("007Y", 7.0), ("018M", 1.5), ("012W", 0.17), ("", None), ("34", None), ("ABCY", None)])
def test_the_age_of_a_header_is_years_and_never_days(text: str, age: object) -> None:
    assert tables.years(text) == age
