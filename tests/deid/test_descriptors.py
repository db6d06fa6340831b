"""Descriptors are cleaned and kept: what goes, what stays, and names that are words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deid import descriptors, verify
from deid.spellings import fold, spelled, telling_parts, whole_names
from tests.measure import descriptions, gate_places, gate_rows

SMITH = descriptors.Scrubber(frozenset({"SMITH^John"}), frozenset({"AB1234", "MRN-004711"}))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("T1 mprage for John SMITH 1962-03-04", "T1 mprage for"),
        ("t1_mprage_sag_SMITH_J", "t1_mprage_sag"),
        ("Smìth, JOHN ax dwi b1000", "ax dwi b1000"),
        ("AX T2 FLAIR 4 March 1962 AB1234", "AX T2 FLAIR"),
        ("J.Smith T2", "T2"),
        ("jsmith T2", "T2"),
        ("T2 SMITHJOHN", "T2"),
        ("T2 John's scan", "T2 scan"),
        ("T2 Dr. Smith", "T2"),
        ("T2 (Smith)", "T2"),
        ("Coefficient (mm2/s) Smith", "Coefficient (mm2/s)"),
        ("LAVA Flex +C Smith", "LAVA Flex +C"),
        ("axial FLAIR jsmith@example.org", "axial FLAIR"),
        ("T1_john_smith@example.org", "T1"),
        ("T1 tel 555 1234 567", "T1"),
        ("T1 +45 86 12 34 56 sag", "T1 sag"),
        ("T2 mrn 4711 sag", "T2 sag"),
        ("T2 ab-1234 sag", "T2 sag"),
        ("T1 4. März 1962", "T1"),
        ("T1 4 mars 1962", "T1"),
        ("T1 04MAR62", "T1"),
        ("T1 1962063 sag", "T1 sag"),
        ("T1 14:35 sag", "T1 sag"),
        ("TR 2500 TE 30 b=1000 220FOV", "TR 2500 TE 30 b=1000 220FOV"),
        ("b 1000 2000", "b 1000 2000"),
        ("3 mag 2 set 64 dir", "3 mag 2 set 64 dir"),
        ("3 mark", "3 mark"),
        ("DWI_dir80_PA_ColFA", "DWI_dir80_PA_ColFA"),
        ("T1 Quackenbush", "T1"),
        ("T1 田中", "T1"),
        ("T1 1.2.840.113619.2.5 sag", "T1 sag"),
        ("T1 sag http://a.example/smith", "T1 sag"),
    ],
)
def test_identity_goes_and_the_rest_stays(text, kept):
    assert SMITH.clean(text).text == kept


@pytest.mark.parametrize("seed", range(2))
def test_no_identity_is_left_in_descriptions_of_any_maker_and_the_words_of_sequences_stay(seed):
    done = gate_rows.description_words(seed)
    assert done.said > 900 and done.left == []
    assert done.kept / done.of >= 0.99


def test_a_description_without_identity_is_not_touched():
    clean = descriptors.Scrubber(frozenset(), frozenset())
    touched = [said for _, said in descriptions.all_protocols() if clean.clean(said).text != said]
    assert len(descriptions.all_protocols()) > 300 and touched == []


# Names as public documents and repositories spell them; not in the vocabulary's own table of examples.
HELD_OUT = """AAHScout_32|ep2d_bold_p2_s4_3mm_rest|t2_tse_cor_hippo_0.4x0.4x2|t1_se_cor_fs_post|Obl Axial T2|Sag T1 FLAIR|Cor T2 FLAIR FS|AX DIFFUSION
Ax T2* GRE|3D MPRAGE SAG|AXIAL FLAIR|COR T1 POST GAD|Sag_IR_FSPGR|dti_30dir_b1000_AP|fieldmap_magnitude|ASL_CBF|Perfusion_Weighted|SWI_minIP
MP2RAGE_UNI_Images|T2_BLADE_tra|tse_vfl_pd|T2W_aTSE|sag_3d_ir_prep|nCoV chest|DelRec - Ax T2|ciss_3d_tra|cs_t1_mprage|rsfMRI_eyes_open
EPI 2.5mm iso TE30|WIP MB3 SENSE|B0 MAP|Double_TSE|PD_T2_TSE|MPRAGE_GRAPPA2|task-nback_run-01_bold|func_task-rest_acq-mb4_dir-PA
anat-T1w_acq-mprage|fmap_acq-dwi_dir-AP|dwi_acq-multiband_dir-98|T1_3D_TFE_ISO|t2_flair_sag_3d_fs|GRE_FIELD_MAP_2|CINE_IPAT SAX
LIVER_MULTIECHO|SHMOLLI_192i|T2_star_QSM|gradient echo"""


def test_descriptions_from_elsewhere_lose_next_to_nothing():
    clean = descriptors.Scrubber(frozenset(), frozenset())
    said = [text.strip() for text in re.split(r"[|\n]", HELD_OUT)]
    words = [(word, clean.clean(text).gone) for text in said for word in re.findall(r"[^\W_]+", text)]
    lost = [word for word, gone in words if word in gone]
    assert len(words) > 150 and len(lost) / len(words) <= 0.03, lost


def test_what_nobody_could_place_is_counted():
    done = SMITH.clean("T1 Quackenbush Featherstone 4711-08 SMITH")
    assert done.unknown >= 2 and "Quackenbush" in done.gone and "SMITH" in done.gone
    assert SMITH.clean("T1 sag").unknown == 0 and SMITH.clean("T1 sag").gone == ()


def test_a_steward_sees_the_count_and_nothing_is_refused(mr, saved, clean):
    from deid import account

    data = mr()
    data.SeriesDescription = "T1 Quackenbush sag"
    _, done = clean(saved(data))
    assert done.facts["SeriesDescription"] == "T1 sag" and "Quackenbush" in done.removed
    review = account.add_up([done.account, done.account])["review"]
    assert any("SeriesDescription" in key for key in review) and "uacken" not in repr(review) and sum(review.values()) >= 2
    _, plain = clean(saved(mr()))
    assert not any("SeriesDescription" in key for key in plain.account["review"])


def test_in_facts_the_vocabulary_wins_over_a_name():
    scrub = descriptors.Scrubber(frozenset({"Philips^White"}))
    assert scrub.clean("Philips T2 white matter").text == "T2 matter"
    assert scrub.clean("Philips Healthcare White 3T", free=False).text == "Philips Healthcare White 3T"
    assert descriptors.Scrubber(frozenset({"Quibblewick^Z"})).clean("Head Quibblewick", free=False).text == "Head"


@pytest.mark.parametrize(("family", "given"), gate_rows.ORDINARY)
def test_a_name_that_is_a_word_is_handled_as_the_rules_say(family: str, given: str, tmp_path: Path):
    assert gate_rows.ordinary_name(family, given, tmp_path) == []


def test_there_are_fifty_of_them():
    assert len(set(gate_rows.ORDINARY)) == 50


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("O'Brien^Siobhán", {"brien", "siobhan"}),
        ("van der Berg^Anneke", {"berg", "anneke"}),
        ("Van^Le", {"van", "le"}),
        ("Müller^Jürgen", {"muller", "mueller", "jurgen", "juergen"}),
        ("Dr. Smith^John^^^Jr", {"smith", "john"}),
        ("山田^太郎=やまだ^たろう", {"山田", "太郎", "やまた", "たろう"}),
    ],
)
def test_the_telling_words_of_a_name(name, parts):
    assert parts <= telling_parts(name)
    assert not {"van der", "dr", "jr", "der"} & telling_parts(name)


def test_a_name_glued_together_is_known_in_any_order():
    assert {"smithjohn", "johnsmith"} <= whole_names("SMITH^John") and "liwei" in whole_names("Li^Wei") and "obrien" in whole_names("O'Brien^S")
    assert {"soerensen", "sorensen"} <= spelled("Sørensen") and "muller" in spelled("Mueller") and fold("Groß") == "gross"


def test_what_was_cut_from_a_description_is_found_by_the_gate_and_the_clean_file_is_not_withheld(mr, saved, clean, tmp_path):
    data = mr()
    data.SeriesDescription, data.ImageComments = "T1 for Featherstone 12:30 sag 2013", "call 8612 3456, ID X-77-1234"
    product, done = clean(saved(data))
    assert verify.search([product], done.removed) == []
    (tmp_path / "x.json").write_text('{"Comment": "featherstone"}')
    assert verify.search([tmp_path / "x.json"], done.removed)


def test_a_cleaned_descriptor_is_remembered_by_how_it_was_asked_for():
    scrub = descriptors.Scrubber(frozenset({"White^A"}))
    assert scrub.clean("White 3T").text == "3T" and scrub.clean("White 3T", free=False).text == "White 3T" and scrub.clean("White 3T").text == "3T"


def test_headers_and_gate_agree_on_the_people_of_the_table(mr, saved, clean, tmp_path):
    """A file of each person: cleaned of the name in every form, and each form is found by the gate in free text."""
    for person in descriptions.PEOPLE:
        forms = [form for form in descriptions.name_forms(person) if len(form) > 3] + descriptions.date_forms(person.born)
        data = mr(patient_id=person.number, name=person.name)
        data.PatientBirthDate = "{:04}{:02}{:02}".format(*person.born)
        data.SeriesDescription = f"T1 {forms[0]} sag"
        product, done = clean(saved(data))
        assert done.facts["SeriesDescription"] == "T1 sag" and verify.search([product], done.removed) == []
        needles = verify.Needles(done.removed)
        missed = []
        for form in forms:
            (tmp_path / "x.json").write_bytes(gate_places.sidecar(Comment=form))
            missed += [form] if not verify.search([tmp_path / "x.json"], needles) else []
        assert missed == [], len(missed)
