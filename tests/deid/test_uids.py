"""UIDs that name a thing of the hospital are replaced, whatever they look like; those that the standard registers stay."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID_dictionary

from deid import pseudonyms, uids

KEY = pseudonyms.PseudonymKey(b"p" * 32)
OURS = re.compile(r"2\.25\.[1-9]\d{0,38}\Z")
part = st.one_of(st.integers(0, 10**12).map(str), st.sampled_from(["007", "00", "20220711120504530807025"]))
uid = st.lists(part, min_size=2, max_size=8).map(".".join).filter(lambda text: len(text) <= 64 and text not in UID_dictionary)


@given(st.lists(uid, min_size=1, max_size=4))
def test_each_of_several_values_is_replaced_the_same_way_every_time(several):
    """Leading zeros too (PS3.5 9.1 forbids them; scanners write them): 1.02 and 1.2 are two names."""
    raw = "\\".join(several).encode()
    fresh, gone = uids.replace(raw, KEY)
    new = fresh.decode().rstrip("\0").split("\\")
    assert len(fresh) % 2 == 0 and len(new) == len(several) and gone == tuple(several)
    assert all(OURS.match(one) and len(one) <= 64 for one in new)
    assert new == [KEY.uid(one) for one in several]
    assert len(set(new)) == len(set(several))
    assert uids.replace(fresh, KEY) == (fresh, ())  # our own are known again


@given(st.binary(min_size=1, max_size=64))
def test_what_is_no_uid_is_replaced_too(raw):
    fresh, _ = uids.replace(raw, KEY)
    parts = fresh.decode().rstrip("\0").split("\\")
    assert len(fresh) % 2 == 0 and all(not one or OURS.match(one) or one in UID_dictionary for one in parts)


@pytest.mark.parametrize(
    "text", ["Quibblewick", "1.2.3.Zq7vex", "1.2.840.10008.19620304", "1.2.840.10008.5.1.4.1.1.4.4711", "1.2.840.100080.1", "MRN-4711", "1..2"]
)
def test_identity_behind_a_prefix_or_in_letters_goes(text):
    fresh, gone = uids.replace(text.encode(), KEY)
    assert gone == (text,) and text.encode() not in fresh and not uids.is_well_known(text)


@pytest.mark.parametrize("text", ["1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.3.1.2.3.1"])
@pytest.mark.parametrize("pad", [b"", b"\0", b" "])
def test_what_the_standard_registers_stays(text, pad):
    fresh, gone = uids.replace(text.encode() + pad, KEY)
    assert fresh.rstrip(b"\0") == text.encode() and gone == ()


def test_another_key_gives_other_names_and_does_not_know_ours():
    other = pseudonyms.PseudonymKey(b"q" * 32)
    mine = KEY.uid("1.2.3.4")
    assert other.uid("1.2.3.4") != mine and KEY.recognises(mine) and not other.recognises(mine) and other.uid(mine) != mine
