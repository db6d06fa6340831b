"""Codes and UIDs: the same for the same person for ever, and nobody else's."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deid import dates, pseudonyms

CODES, KEY = pseudonyms.CodeKey(b"c" * 32), pseudonyms.PseudonymKey(b"p" * 32)


def test_equal_people_have_equal_codes_however_they_are_spelled():
    code = CODES.code("aarhus", "AUH", "Ab 12")
    assert code == CODES.code(" AARHUS", "auh ", "ab\u00a012\0") and len(code) == 26 and set(code) <= set("abcdefghijklmnopqrstuvwxyz234567")
    others = {
        CODES.code("odense", "AUH", "Ab 12"),
        CODES.code("aarhus", "", "Ab 12"),
        CODES.code("aarhus", "AUH", "Ab12"),
        pseudonyms.CodeKey(b"d" * 32).code("aarhus", "AUH", "Ab 12"),
    }
    assert code not in others and len(others) == 4


def test_a_code_is_its_own_code_and_a_strangers_is_not():
    code = CODES.code("s", "i", "p")
    assert CODES.code("other", "x", code) == code and CODES.recognises(code)
    assert not pseudonyms.CodeKey(b"d" * 32).recognises(code)
    assert not CODES.recognises("a" * 26)


def test_people_named_in_other_ways_never_meet_and_are_known_as_ours():
    codes = [
        CODES.code("s", "", "anna"),
        CODES.declared("s", "anna"),
        CODES.of_study("s", "anna"),
        CODES.apart(CODES.code("s", "", "anna"), "born 1962-03-04"),
        CODES.apart(CODES.code("s", "", "anna"), "born 1962-03-05"),
        CODES.apart(CODES.declared("s", "anna"), "born 1962-03-04"),
        CODES.declared("t", "anna"),
    ]
    assert len(set(codes)) == len(codes) and all(CODES.recognises(code) for code in codes)
    assert CODES.declared(" S ", "ANNA") == CODES.declared("s", "anna")


@pytest.mark.parametrize("text", ["", "***", "anonymous", "ANON", "xxxx", "0000", "Anonymized", None, " - "])
def test_stand_ins_name_nobody(text):
    assert pseudonyms.is_placeholder(text)


@pytest.mark.parametrize("text", ["4711", "crlab", "DEV", "7", "11", "MRN-0001", "12345", "Smith"])
def test_real_identifiers_are_no_stand_ins(text):
    assert not pseudonyms.is_placeholder(text)


def test_uids_are_replaced_for_good_and_well_known_ones_stay():
    new = KEY.uid("1.2.3")
    assert new.startswith("2.25.") and len(new) <= 44 and KEY.uid(new) == new and KEY.recognises(new) and not KEY.recognises("2.25.7")
    assert KEY.uid("1.2.840.10008.1.2.1") == "1.2.840.10008.1.2.1"
    assert KEY.uid("1.2.840.10008.19620304") != "1.2.840.10008.19620304", "the standard's root alone is no pass"


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=200)
def test_folding_twice_is_folding_once(one, two):
    assert pseudonyms.fold(pseudonyms.fold(one)) == pseudonyms.fold(one)
    if pseudonyms.fold(one) != pseudonyms.fold(two) and not pseudonyms.is_placeholder(one):
        assert CODES.code("s", "", one) != CODES.code("s", "", two)


@given(st.from_regex(r"[a-z2-7]{26}", fullmatch=True))
@settings(max_examples=50)
def test_every_person_has_one_offset_of_1_to_3650_days_and_every_day_its_code(code):
    assert 1 <= KEY.offset_days(code) <= 3650 and KEY.offset_days(code) == KEY.offset_days(code.upper())
    assert CODES.day_code(code, datetime.date(2020, 1, 2)) != CODES.day_code(code, datetime.date(2020, 1, 3))


def test_one_file_yields_both_keys_and_its_owner_alone_may_read_it(tmp_path):
    path = tmp_path / "key"
    pseudonyms.new_key(path)
    assert path.stat().st_mode & 0o777 == 0o600 and len(pseudonyms.fingerprint(path)) == 12
    codes, uids = pseudonyms.keys_from_file(path)
    again = pseudonyms.keys_from_file(path)
    assert codes.code("s", "", "1") == again[0].code("s", "", "1") and uids.uid("1.2") == again[1].uid("1.2")
    with pytest.raises(FileExistsError):
        pseudonyms.new_key(path)
    path.chmod(0o604)
    with pytest.raises(pseudonyms.KeyFileError):
        pseudonyms.keys_from_file(path)
    (tmp_path / "short").write_text("abc")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(pseudonyms.KeyFileError):
        pseudonyms.keys_from_file(tmp_path / "short")


@given(st.dates(min_value=datetime.date(1930, 1, 1)), st.integers(1, 3650))
@settings(max_examples=100)
def test_every_date_moves_by_the_offset(day, days):
    moved = dates.move_date(day.strftime("%Y%m%d"), dates.Shift(days))
    assert moved and dates.parse_date(moved) == day - datetime.timedelta(days=days)
