"""Only hard facts fail a scan; each has a twin that is odd but allowed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import qa
import qa.protocol
from qa.errors import CODES, QaError
from qa.examine import subject_of
from qa.facts import facts_of
from spatial.volumes import Volume


def with_data(volume, change):
    data = np.array(volume.data, dtype=np.float32)
    out = change(data)
    return Volume(data if out is None else out, volume.affine)


@pytest.fixture(scope="session")
def again(clean, clean_report):
    """Measure a changed copy of the clean scan; the head lies where it lay, so the registration is not repeated."""

    def run(change, **options):
        return qa.measure(with_data(clean, change), options.pop("suffix", "T1w"), placement=clean_report["placement"], **options)

    return run


def test_a_clean_head_passes_and_every_number_is_there(clean_report):
    assert clean_report["grade"] == "pass"
    assert clean_report["reasons"] == []
    assert clean_report["norm"].startswith("ungraded: no norm")
    assert clean_report["unavailable"] == {}


def slab(data):
    data[:, :, 60:68] = 0


def test_a_slab_of_zeros_fails_along_any_axis(again):
    report = again(slab)
    assert report["grade"] == "fail"
    assert "dead_slices" in report["flags"]
    assert report["metrics"]["zero_slices"]["value"] == 8
    assert "dead_slices" in again(lambda d: d.__setitem__(slice(45, 50), 0))["flags"]


def test_a_slab_of_noise_without_signal_fails_too(again):
    def silence(data):
        data[:, :, 60:66] = np.abs(np.random.default_rng(3).normal(0, 8, data[:, :, 60:66].shape))

    assert "dead_slices" in again(silence)["flags"]


def test_zero_padding_around_the_head_is_allowed(again):
    def pad(data):
        data[:3] = 0
        data[-3:] = 0
        data[:, :, -4:] = 0

    assert again(pad)["grade"] == "pass"


def test_slices_filled_with_copies_of_their_neighbour_fail(again):
    def copy(data):
        data[:, :, 61:64] = data[:, :, 60:61]

    report = again(copy)
    assert report["flags"] == ["repeated_slices", "brain_erased"] or "repeated_slices" in report["flags"]
    assert report["grade"] == "fail"


def test_a_box_of_the_brain_set_to_any_constant_fails(again):
    for value in (0.0, 321.0):
        report = again(lambda d, v=value: d.__setitem__((slice(35, 50), slice(60, 75), slice(75, 88)), v))
        assert report["grade"] == "fail"
        assert "brain_erased" in report["flags"]


def test_a_cavity_full_of_noisy_fluid_is_a_patient_and_no_fault(again):
    def cavity(data):
        ball = (np.indices(data.shape) - np.array([40, 70, 80])[:, None, None, None]) ** 2
        inside = ball.sum(0) < 9**2
        data[inside] = np.abs(60 + np.random.default_rng(4).normal(0, 8, int(inside.sum())))

    assert again(cavity)["grade"] != "fail"


def test_a_clipped_receiver_asks_for_a_look_and_a_region_of_the_maximum_fails(again, clean):
    inside = clean.data[48, 40:80, 70:100]
    for most in (80, 40):
        report = again(lambda d, q=most: np.minimum(d, np.float32(np.percentile(inside, q))))
        assert report["grade"] == "review", "soft measures never fail, however strong"
        assert "limit:sat_frac" in report["flags"]
    top = float(clean.data.max())
    report = again(lambda d: d.__setitem__((slice(35, 50), slice(60, 75), slice(75, 88)), top))
    assert "brain_erased" in report["flags"], "written by somebody: nothing lies just below it"


@pytest.mark.parametrize("sigma", [2.0, 12.0])
def test_what_is_clipped_elsewhere_excuses_no_region_of_the_maximum(base, rician, clean_report, sigma):
    noisy = rician(base.data, sigma, 9)  # 12: 3 % of white matter
    first = subject_of(Volume(noisy, base.affine), "T1w", placement=clean_report["placement"]).scene
    inside = noisy[first.brain_native.numpy()]

    def erased(percent, box):
        data = np.minimum(noisy, np.float32(np.percentile(inside, 100 - percent)))
        if box:
            data[20:40, 50:70, 62:82] = data.max()
        subject = subject_of(Volume(data, base.affine), "T1w", placement=clean_report["placement"])
        subject.scene._brain = first.brain  # one and the same head
        return "brain_erased" in [fact.code for fact in facts_of(subject)]

    assert [erased(percent, True) for percent in (0.5, 2)] == [True, True]
    assert [erased(percent, False) for percent in (2, 5, 20)] == [False, False, False]


def test_half_a_head_fails(again):
    report = again(lambda d: d.__setitem__(slice(0, 45), 0))
    assert report["grade"] == "fail"


def test_a_field_of_view_that_cuts_the_brain_fails_and_one_that_cuts_the_neck_does_not(clean):
    def cut(top, bottom):
        affine = clean.affine.copy()
        affine[2, 3] += 2.0 * bottom
        return qa.measure(Volume(np.ascontiguousarray(clean.data[:, :, bottom:top]), affine), "T1w")

    neck = cut(116, 30)
    assert neck["grade"] != "fail"
    crown = cut(82, 0)
    assert crown["grade"] == "fail"
    assert crown["flags"] == ["brain_cut"]
    assert "upper end" in crown["reasons"][0]


def test_a_cut_brain_is_no_fault_of_a_series_not_meant_to_cover_it(clean):
    report = qa.measure(Volume(np.ascontiguousarray(clean.data[:, :, :82]), clean.affine), "bold")
    assert "brain_cut" not in report["flags"]


def test_nan_is_a_fact_and_the_rest_is_still_measured(again):
    report = again(lambda d: d.__setitem__((3, 3, 3), np.nan))
    assert report["flags"] == ["not_finite"]
    assert report["metrics"]["snr_wm"]["value"] > 1


def test_nothing_but_noise_fails_and_a_noisy_head_does_not(again, clean, rician):
    nothing = again(lambda d: np.abs(np.random.default_rng(5).normal(0, 30, d.shape)).astype(np.float32))
    assert nothing["flags"] == ["no_anatomy"]
    drowned = again(lambda d: rician(d, 900.0, 6))
    assert drowned["grade"] == "fail"
    grainy = again(lambda d: rician(d, 60.0, 7))
    assert grainy["grade"] == "review"
    assert grainy["flags"] == ["limit:noise_sigma"]
    assert "norm-free limit" in grainy["reasons"][0]


def test_a_constant_image_and_a_single_slice_fail_without_a_traceback(clean):
    flat = qa.measure(Volume(np.full((20, 20, 20), 5, dtype=np.int16), np.eye(4)), "T1w")
    assert flat["flags"] == ["constant"]
    assert set(flat["unavailable"]) == set(flat["metrics"])
    thin = qa.measure(Volume(np.array(clean.data[:, :, 50:51]), clean.affine), "T1w")
    assert thin["flags"] == ["wrong_shape"]


def test_a_dead_volume_in_a_series_fails(clean, rician, clean_report):
    small = ndimage.zoom(clean.data, 0.5, order=1)
    affine = clean.affine.copy()
    affine[:3, :3] *= 2
    still = np.stack([rician(small, 8.0, s) for s in range(6)], axis=3)
    assert qa.measure(Volume(still, affine), "bold", placement=clean_report["placement"])["grade"] == "pass"
    still[..., 4] = 0
    report = qa.measure(Volume(still, affine), "bold", placement=clean_report["placement"])
    assert report["flags"][0] == "volumes_dead"
    assert "number 5" in report["reasons"][0]


def test_directions_that_do_not_fit_fail_a_diffusion_series(clean, rician, clean_report):
    small = ndimage.zoom(clean.data, 0.5, order=1)
    affine = clean.affine.copy()
    affine[:3, :3] *= 2
    data = np.stack([rician(small * (1 if n == 0 else 0.5), 8.0, n) for n in range(5)], axis=3)
    bval = np.array([0, 1000, 1000, 1000, 1000])
    bvec = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, 0.8, 0]]).T
    fine = qa.measure(Volume(data, affine), "dwi", bval=bval, bvec=bvec, placement=clean_report["placement"])
    assert fine["grade"] == "pass"
    assert fine["metrics"]["bvec_unique"]["value"] == 4
    wrong = qa.measure(Volume(data, affine), "dwi", bval=bval[:-1], bvec=bvec, placement=clean_report["placement"])
    assert wrong["flags"] == ["bvec_mismatch"]
    assert wrong["metrics"]["ndc"]["value"] is None
    assert "4 b-values" in wrong["unavailable"]["ndc"]


def test_a_brain_that_defacing_touched_fails_and_an_untouched_one_says_so(clean, clean_report):
    middle = tuple(n // 2 for n in clean.shape)
    zone = np.zeros(clean.shape, bool)
    zone[:, -20:, :30] = True
    kept = Volume(np.where(zone, 0, clean.data), clean.affine)
    same = {"stage": "post-deface", "deface_zone": zone, "placement": clean_report["placement"], "whole": clean}
    report = qa.measure(kept, "T1w", **same)
    assert report["integrity"]["brain_changed"] == 0
    assert report["integrity"]["compared"] > 50_000
    assert "brain_touched" not in report["flags"]
    harmed = np.array(kept.data)
    harmed[middle] = 0
    report = qa.measure(Volume(harmed, clean.affine), "T1w", **same)
    assert report["grade"] == "fail"
    assert report["flags"] == ["brain_touched"]
    assert report["integrity"] == {"brain_changed": 1.0, "brain_holes": 1.0, "compared": report["integrity"]["compared"]}


def test_a_broken_protocol_rule_fails_only_where_the_dataset_asks_for_it(clean, clean_report):
    weak = qa.protocol.check({"MagneticFieldStrength": 1.0}, suffix="T1w")
    asked = {"placement": clean_report["placement"], "conformity": weak}
    assert qa.measure(clean, "T1w", **asked)["grade"] == "pass"
    assert qa.measure(clean, "T1w", **asked, inclusion=["brain_in_plane"])["grade"] == "pass"  # unknown breaks nothing
    report = qa.measure(clean, "T1w", **asked, inclusion=["field_strength"])
    assert report["flags"] == ["not_included"]
    assert "1.5 T" in report["reasons"][0]


def test_a_head_that_cannot_be_placed_is_looked_for_once(clean, monkeypatch):
    from qa import masks

    asked = []

    def lost(*args, **more):
        asked.append(1)
        raise QaError("no_brain", "None.")

    monkeypatch.setattr(masks, "place", lost)
    report = qa.measure(clean, "T1w")
    assert len(asked) == 1
    assert report["placement"] is None
    assert report["unavailable"]["snr_wm"] == "None."
    assert (report["grade"], report["flags"]) == ("review", ["no_brain"]), "nobody measured it, so somebody looks"
    assert qa.measure(clean, "T1w", body="spine")["flags"] != ["no_brain"], "a spine has none to place"


def test_a_zone_of_another_shape_is_refused(clean):
    with pytest.raises(QaError) as caught:
        qa.measure(clean, "T1w", deface_zone=np.zeros((3, 3, 3), bool))
    assert caught.value.code == "mask_mismatch"


def test_every_code_has_a_sentence_and_no_number_in_it():
    for code, (reason, advice) in CODES.items():
        assert code == code.lower().replace(" ", "_")
        assert reason.endswith(".")
        assert advice == "" or advice.endswith(".")
