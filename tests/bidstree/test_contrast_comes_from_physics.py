"""Which contrast: physics first, words second, and what is not certain goes to a person."""

from __future__ import annotations

from typing import Any

import pytest

from bidstree import classify, names, physics
from bidstree.convert import Conversion
from tests.bidstree.known import NAMES


def named(image: Any, facts: dict[str, Any] | None = None) -> classify.Contrast:
    weights = [float(value) for value in image.bval.read_text().split()] if image.bval else []
    return classify.contrast(image.sidecar, facts or {}, volumes=image.measures["volumes"], weights=weights)


def test_every_known_series_is_named_rightly_and_without_review(converted: dict[str, Conversion]) -> None:
    for start, suffixes in NAMES.items():
        images = [image for name, done in converted.items() if name.startswith(start) for image in done.images]
        answers = [named(image) for image in images]
        assert {one.suffix for one in answers} == suffixes, start
        assert not any(one.review for one in answers), start


def test_what_is_not_certain_goes_to_review_and_never_gets_a_wrong_name(converted: dict[str, Conversion]) -> None:
    unknown = [image for name, done in converted.items() if not name.startswith(tuple(NAMES)) for image in done.images]
    answers = {(one.suffix, one.code) for one in map(named, unknown) if one.review}
    # An EPI that hides its gradients, and a perfusion scan whose labelling nobody wrote down.
    assert answers == {("bold", "ok"), ("", "perfusion_incomplete")}
    assert all(named(image).review for image in unknown)


def test_every_answer_with_a_name_is_a_name_bids_has(converted: dict[str, Conversion]) -> None:
    for done in converted.values():
        for image in done.images:
            one = named(image)
            if one.code == "ok":
                names.path("x", "m00", one.datatype, one.suffix, one.entities, ".nii.gz")


SE, GR, EP = {"ScanningSequence": "SE"}, {"ScanningSequence": "GR", "SequenceVariant": "SP"}, {"ScanningSequence": ["EP", "SE"]}


@pytest.mark.parametrize(
    ("facts", "suffix"),
    [
        ({**SE, "EchoTime": 100, "RepetitionTime": 5000}, "T2w"),
        ({**SE, "EchoTime": 12, "RepetitionTime": 600}, "T1w"),
        ({**SE, "EchoTime": 15, "RepetitionTime": 3000}, "PDw"),
        ({"ScanningSequence": ["SE", "IR"], "EchoTime": 120, "RepetitionTime": 9000, "InversionTime": 2500}, "FLAIR"),
        ({"ScanningSequence": ["SE", "IR"], "EchoTime": 390, "RepetitionTime": 4800, "InversionTime": 1650}, "FLAIR"),
        ({"ScanningSequence": ["SE", "IR"], "EchoTime": 10, "RepetitionTime": 2000, "InversionTime": 800}, "T1w"),
        ({"ScanningSequence": ["GR", "IR"], "EchoTime": 3, "RepetitionTime": 2300, "InversionTime": 900, "FlipAngle": 9}, "T1w"),
        ({**GR, "EchoTime": 20, "RepetitionTime": 650, "FlipAngle": 20}, "T2starw"),
        ({**GR, "EchoTime": 2.5, "RepetitionTime": 250, "FlipAngle": 70, "MRAcquisitionType": "2D"}, "T1w"),
    ],
)
def test_physics_alone_names_a_silent_protocol(facts: dict[str, Any], suffix: str) -> None:
    """No word at all, and milliseconds as DICOM has them."""
    one = classify.contrast({}, facts)
    assert (one.suffix, one.review) == (suffix, False)


def test_seconds_of_a_sidecar_and_milliseconds_of_dicom_say_the_same() -> None:
    a = classify.contrast({"ScanningSequence": "SE", "EchoTime": 0.1, "RepetitionTime": 5.0}, {})
    b = classify.contrast({}, {"ScanningSequence": "SE", "EchoTime": 100, "RepetitionTime": 5000})
    assert (a.suffix, a.confidence) == (b.suffix, b.confidence) == ("T2w", 0.93)


@pytest.mark.parametrize(
    ("words", "suffix", "review"),
    [("Sag T2 TSE", "T2w", False), ("t1_se_tra", "T1w", True), ("", "T2w", False)],
)
def test_a_word_that_contradicts_physics_sends_the_image_to_a_person(words: str, suffix: str, review: bool) -> None:
    one = classify.contrast({}, {**SE, "EchoTime": 100, "RepetitionTime": 5000, "SeriesDescription": words})
    assert (one.candidates[0][1], one.review) == ("T2w", review)
    assert suffix in {candidate[1] for candidate in one.candidates}


@pytest.mark.parametrize(
    ("facts", "sure"),
    [
        ({"ContrastBolusAgent": "some agent", "SeriesDescription": "t1 post gd"}, True),
        ({"ContrastBolusAgent": "some agent", "SeriesDescription": "t1"}, True),
        ({"ContrastBolusAgent": "some agent", "SeriesDescription": "t1 pre"}, False),
        ({"SeriesDescription": "t1 post gd"}, False),
        ({"ContrastBolusAgent": "none", "SeriesDescription": "t1"}, True),
    ],
)
def test_contrast_agent_needs_header_and_words_in_harmony(facts: dict[str, Any], sure: bool) -> None:
    one = classify.contrast({}, {**SE, "EchoTime": 12, "RepetitionTime": 600, **facts})
    assert one.review is not sure
    assert one.entities.get("ce") == ("gadolinium" if sure and facts.get("ContrastBolusAgent") == "some agent" else one.entities.get("ce"))
    assert "some agent" not in str(one)


def test_diffusion_is_what_has_gradients_whatever_its_words_say() -> None:
    facts = {**EP, "EchoTime": 80, "RepetitionTime": 4000, "SeriesDescription": "bold rest"}
    assert classify.contrast({}, facts, volumes=7, weights=[0, 1000, 1000, 1000, 1000, 1000, 1000]).suffix == "dwi"
    lost = classify.contrast({}, {**facts, "SeriesDescription": "dwi"}, volumes=7)
    assert (lost.code, lost.review) == ("gradients_missing", True)


def test_susceptibility_double_inversion_and_phase_sensitive_keep_their_kind() -> None:
    swi = classify.contrast(
        {}, {**GR, "EchoTime": 20, "RepetitionTime": 28, "FlipAngle": 15, "SeriesDescription": "SWI", "ImageType": ["ORIGINAL", "PRIMARY", "P"]}
    )
    assert (swi.suffix, swi.entities["acq"], swi.entities["part"], swi.review) == ("T2starw", "swi", "phase", False)
    double = classify.contrast(
        {}, {"ScanningSequence": ["SE", "IR"], "EchoTime": 320, "RepetitionTime": 7500, "InversionTime": 3000, "SeriesDescription": "DIR"}
    )
    assert (double.suffix, double.entities["acq"], double.review) == ("FLAIR", "dir", False)


def test_localizers_captures_and_projections_are_kept_out() -> None:
    assert classify.contrast({}, {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}).code == "localizer"
    assert classify.contrast({}, {"SeriesDescription": "AAHead_Scout"}).code == "localizer"
    assert classify.contrast({}, {"Modality": "OT"}).code == "secondary_capture"
    assert classify.contrast({}, {"ImageType": ["DERIVED", "SECONDARY", "MINIP"], "SeriesDescription": "mIP TOF"}).code == "derived_map"


def test_what_the_scanner_made_of_susceptibility_is_kept_apart_from_what_it_measured() -> None:
    for kinds, words, desc in ((["M", "MNIP"], "mIP SWI", "minip"), (["M", "SWI"], "SWI images", "processed")):
        answer = classify.contrast({}, {"ImageType": ["DERIVED", "PRIMARY", *kinds], "SeriesDescription": words})
        assert (answer.suffix, answer.entities, answer.derived, answer.review) == ("T2starw", {"acq": "swi"}, desc, False)
    raw = names.path("p", "m", "anat", "T2starw", {"acq": "swi", "run": 2}, ".nii.gz")
    assert names.derived(raw, "minip").as_posix() == "derivatives/scanner/sub-p/ses-m/anat/sub-p_ses-m_acq-swi_run-2_desc-minip_T2starw.nii.gz"
    assert classify.contrast({}, {}).code == "contrast_unknown"


def test_the_spine_is_told_from_the_brain() -> None:
    facts = {**SE, "EchoTime": 100, "RepetitionTime": 5000}
    assert classify.contrast({}, {**facts, "SeriesDescription": "T2 C-Spine sag"}).entities["acq"] == "cspine"
    assert classify.contrast({}, {**facts, "BodyPartExamined": "LSPINE"}).fields["BodyPart"] == "LSPINE"
    assert "acq" not in classify.contrast({}, {**facts, "BodyPartExamined": "HEAD"}).entities


def test_no_word_of_a_description_comes_out() -> None:
    facts = {**EP, "ScanningSequence": ["EP", "GR"], "EchoTime": 30, "RepetitionTime": 2000, "SeriesDescription": "bold task Mustermann Erika 1969"}
    one = classify.contrast({"RepetitionTime": 2.0}, facts, volumes=100)
    assert one.suffix == "bold" and not any(word in str(one) for word in ("Muster", "muster", "rika", "1969"))


def test_fluid_is_nulled_where_the_equation_says() -> None:
    """TI for CSF of T1 4.3 s: long TR tends to T1 ln 2, short TR to half of it."""
    assert physics.null_time(1000.0) == pytest.approx(4.3 * 0.693147, rel=1e-4)
    assert physics.null_time(9.0) == pytest.approx(2.48, abs=0.02)
    assert physics.null_time(0.5) < 0.26


def test_a_name_whose_required_fields_are_missing_is_not_given() -> None:
    facts = {"ScanningSequence": ["EP", "GR"], "EchoTime": 30, "RepetitionTime": 2000, "SeriesDescription": "bold rest"}
    assert classify.contrast({"RepetitionTime": 2.0}, facts, volumes=100).code == "ok"
    lacking = classify.contrast({}, facts, volumes=100)
    assert (lacking.code, lacking.suffix, lacking.review) == ("fields_missing", "", True)
    phase = {**GR, "ImageType": ["ORIGINAL", "PRIMARY", "P"], "SeriesDescription": "gre_field_mapping", "EchoNumbers": 2}
    assert classify.contrast({"EchoTime1": 0.005, "EchoTime2": 0.007}, phase).suffix == "phasediff"
    assert classify.contrast({"EchoTime": 0.007}, phase).code == "fields_missing"


MGE = {"ScanningSequence": "GR", "SequenceVariant": "SP", "RepetitionTime": 0.04, "FlipAngle": 15, "MRAcquisitionType": "3D"}


def test_echoes_of_one_series_are_one_multi_echo_image_and_a_single_echo_is_not() -> None:
    sidecars = [{**MGE, "EchoTime": value} for value in (0.021, 0.005, 0.013)]
    answers = [classify.contrast(one, {}) for one in sidecars]
    done = classify.together(answers, sidecars)
    assert [(one.suffix, one.entities["echo"], one.review) for one in done] == [("MEGRE", 3, False), ("MEGRE", 1, False), ("MEGRE", 2, False)]
    for one in done:
        names.path("x", "m00", one.datatype, one.suffix, one.entities, ".nii.gz")
    assert classify.together(answers[:1], sidecars[:1]) == answers[:1]


def test_magnitude_and_phase_of_an_echo_share_its_number_and_susceptibility_keeps_its_kind() -> None:
    kinds = [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]]
    sidecars = [{**MGE, "EchoTime": te, "ImageType": kind} for te in (0.007, 0.020) for kind in kinds]
    done = classify.together([classify.contrast(one, {"SeriesDescription": "SWI"}) for one in sidecars], sidecars)
    assert [(one.suffix, one.entities["echo"], one.entities["part"], one.entities["acq"]) for one in done] == [
        ("MEGRE", 1, "mag", "swi"),
        ("MEGRE", 1, "phase", "swi"),
        ("MEGRE", 2, "mag", "swi"),
        ("MEGRE", 2, "phase", "swi"),
    ]


def test_field_map_magnitudes_are_no_multi_echo_image(converted: dict[str, Conversion]) -> None:
    images = converted["siemens_fieldmap/2_gre_field_magph"].images
    answers = [named(image) for image in images]
    assert classify.together(answers, [image.sidecar for image in images]) == answers


@pytest.mark.parametrize(
    ("words", "more", "state", "review"),
    [
        ("gre mt1", {}, "on", False),
        ("gre mt0", {}, "off", False),
        ("MT on", {"ScanOptions": "MT"}, "on", False),
        ("MTR", {"MagnetizationTransfer": "NONE"}, "off", False),
        ("MT off", {"ScanOptions": "MT"}, "on", True),  # header and words contradict each other
        ("MTR", {}, "on", True),  # nobody says which
    ],
)
def test_magnetisation_transfer_says_which_of_the_pair(words: str, more: dict[str, Any], state: str, review: bool) -> None:
    one = classify.contrast({}, {**GR, "EchoTime": 2, "RepetitionTime": 30, "FlipAngle": 9, "SeriesDescription": words, **more})
    assert (one.suffix, one.entities["mt"], one.fields["MTState"], one.review) == ("MTR", state, state == "on", review)


def test_an_agent_once_given_is_expected_in_every_later_image_of_the_visit() -> None:
    visit = [(2, "T1w", False), (5, "T1w", True), (6, "T2w", False), (7, "FLAIR", False), (8, "T1w", True)]
    assert classify.agent_forgotten(visit) == [3]
    assert classify.agent_forgotten([(number, suffix, False) for number, suffix, _ in visit]) == []


PLANAR = {"ScanningSequence": "EP\\GR", "EchoTime": 30, "RepetitionTime": 1500, "FlipAngle": 60}
FAST = {"ScanningSequence": "GR", "SequenceVariant": "SP", "MRAcquisitionType": "3D", "EchoTime": 3.4, "RepetitionTime": 22, "FlipAngle": 18}
STIR = {"ScanningSequence": ["SE", "IR"], "EchoTime": 60, "RepetitionTime": 4000, "InversionTime": 180, "FlipAngle": 150}


def test_what_only_looks_like_a_contrast_of_bids_is_not_named_by_it() -> None:
    assert classify.contrast({"RepetitionTime": 1.5}, PLANAR, volumes=60).suffix == "bold"
    assert classify.contrast({}, PLANAR | {"ContrastBolusAgent": "Gadovist"}, volumes=60).review, "a bolus passing through"
    assert classify.contrast({}, PLANAR | {"SeriesDescription": "ep2d_perf"}, volumes=60).code == "perfusion_incomplete"
    assert classify.contrast({}, FAST | {"SeriesDescription": "t1_vibe"}).suffix == "T1w"
    assert classify.contrast({}, FAST | {"SeriesDescription": "t1_vibe_dyn"}, volumes=40).code == "contrast_unknown"
    assert classify.contrast({}, FAST | {"AngioFlag": "Y"}).suffix == "angio"
    tirm = classify.contrast({}, STIR | {"SeriesDescription": "t2_tirm_sag"})
    assert (tirm.suffix, tirm.entities, tirm.review) == ("T2w", {"acq": "stir"}, False)
    assert classify.contrast({}, STIR | {"SeriesDescription": "t2_flair_sag"}).review, "a FLAIR does not null fat"
