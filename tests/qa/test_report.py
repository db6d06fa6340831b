"""A report is JSON as it stands, accounts for every measure, never shows a face before defacing, and reads without a network."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

import qa
from qa import pictures, protocol
from qa.metrics import METRICS, expected, kind
from qa.report import cohort, page, strip
from spatial.resample import resample
from spatial.templates import head
from spatial.volumes import Volume


def test_a_report_survives_json_and_drops_no_measure(clean_report):
    again = json.loads(json.dumps(clean_report, allow_nan=False))
    assert again == dict(clean_report)
    for report in (again,):
        for name in expected("structural"):
            entry = report["metrics"][name]
            assert (entry["value"] is None) == (name in report["unavailable"])
            assert {"value", "unit", "direction", "version"} <= set(entry)


def test_every_row_of_the_table_is_complete():
    assert len(METRICS) == len({row.name for row in METRICS.values()})
    for row in METRICS.values():
        assert row.direction in ("high", "low", "range", "none")
        assert row.kinds
        assert set(row.kinds) <= {"structural", "bold", "dwi", "spine"}
        assert row.sentence
        assert row.unit
    assert kind("FLAIR") == "structural"
    assert kind("T2w", "spine") == "spine"
    assert kind("ADC") == "map"


def test_the_input_is_not_changed(clean, clean_report):
    held = clean.data.copy()  # a copy: other tests share the scan, and torch does not take what cannot be written
    held.setflags(write=False)
    qa.measure(Volume(held, clean.affine), "T1w", placement=clean_report["placement"])
    assert np.array_equal(held, clean.data)


def test_the_same_scan_gives_the_same_numbers_in_any_storage_order(clean, clean_report):
    flipped = np.ascontiguousarray(clean.data.transpose(2, 0, 1)[::-1])
    affine = clean.affine @ np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, clean.shape[2] - 1], [0, 0, 0, 1.0]])
    report = qa.measure(Volume(flipped, affine), "T1w", placement=clean_report["placement"])
    for name, entry in report["metrics"].items():
        assert entry["value"] == pytest.approx(clean_report["metrics"][name]["value"], rel=1e-3, abs=1e-4), name


def test_brightness_does_not_matter(clean, clean_report):
    report = qa.measure(Volume(clean.data * np.float32(37.0), clean.affine), "T1w", placement=clean_report["placement"])
    for name in ("snr_total", "cnr", "cjv", "noise_sigma", "ghost_y", "aes", "wm2max", "inu_range", "kspike"):
        assert report["metrics"][name]["value"] == pytest.approx(clean_report["metrics"][name]["value"], rel=5e-3, abs=1e-4), name


@pytest.fixture(scope="module")
def defaced(clean, clean_report):
    """The clean head without its face, as pydeface would leave it."""
    template = head()
    zone = resample(Volume(template.face.astype(np.float32), template.volume.affine), clean, order="nearest").data > 0.5
    data = np.where(zone, 0, clean.data)
    return (
        zone,
        Volume(data, clean.affine),
        qa.measure(Volume(data, clean.affine), "T1w", stage="post-deface", deface_zone=zone, placement=clean_report["placement"]),
    )


def test_after_defacing_air_is_null_with_a_reason_and_the_brain_reads_as_before(defaced, clean_report):
    _, _, report = defaced
    assert report["grade"] == "pass"
    air = {name for name, row in METRICS.items() if "air" in row.needs and "structural" in row.kinds}
    assert air
    for name in air:
        assert report["metrics"][name]["value"] is None
        assert "air" in report["unavailable"][name]
    for name in ("snr_wm", "cjv", "contrast_gmwm", "brain_ml", "inu_range"):
        assert report["metrics"][name]["value"] == pytest.approx(clean_report["metrics"][name]["value"], rel=0.02), name


def test_masked_air_is_noticed_without_being_told(clean, clean_report):
    stripped = np.where(np.asarray(clean.data) > 60, clean.data, 0)
    report = qa.measure(Volume(stripped, clean.affine), "T1w", placement=clean_report["placement"])
    assert report["metrics"]["noise_sigma"]["value"] is None
    assert "masked" in report["unavailable"]["noise_sigma"]


def test_the_strip_is_a_picture_with_a_row_per_image(clean_report, defaced):
    one, two = strip({"clean": clean_report}), strip([clean_report, defaced[2]])
    a, b = Image.open(io.BytesIO(one)), Image.open(io.BytesIO(two))
    assert a.size[0] == b.size[0]
    assert b.size[1] - a.size[1] == pictures.SIDE + 12
    assert np.asarray(a)[: pictures.SIDE, : pictures.SIDE * 4].max() > 150
    assert Image.open(io.BytesIO(strip([json.loads(json.dumps(clean_report))]))).size == a.size  # without pictures, from stored JSON


def test_pictures_of_a_head_before_defacing_show_brain_only(clean_report, clean):
    shown = clean_report.pictures
    assert set(shown) == {"whole", "background", "brain", "masks"}
    text = page(clean_report, "sub-x_T1w.nii.gz")
    assert text.count("<img") == 2
    assert text.index("<summary>Masks") < text.index(shown_at(shown["masks"]))  # folded away
    assert "Axial slices of the brain" in text
    assert page(clean_report, "x", faces=True).count("<img") == 4
    # what the picture shows lies inside the brain: its lit share is far below a head's
    assert (shown["brain"] > 0).mean() < 0.85
    assert "pictures" not in clean_report


def test_the_page_of_a_defaced_image_shows_the_background(defaced):
    text = page(defaced[2], "sub-x_T1w.nii.gz", protocol=protocol.check({"MagneticFieldStrength": 3}))
    assert "background enhanced" in text
    assert "Protocol: conforms" in text


def test_pages_need_no_network_and_no_script(clean_report, defaced):
    for text in (page(clean_report, "a & b"), cohort({"sub-1/anat/x": clean_report, "sub-2/anat/y": defaced[2]}, links={"sub-1/anat/x": "p.html"})):
        assert "<script" not in text
        assert not re.search(r"(src|href)=\"https?:", text)
        assert 'lang="en"' in text
        assert "viewport" in text
        for tag in re.findall(r"<img[^>]*>", text):
            assert 'alt="' in tag
    assert "a &amp; b" in page(clean_report, "a & b")


def test_the_brain_found_is_the_templates(clean, clean_report):
    from qa.scene import Scene

    template = head()
    truth = resample(Volume(template.brain.astype(np.float32), template.volume.affine), clean, order="nearest").data > 0.5
    found = Scene(clean, "T1w", matrix=np.array(clean_report["placement"])).brain_native.numpy()
    dice = 2 * (truth & found).sum() / (truth.sum() + found.sum())
    assert dice > 0.95


def shown_at(picture):
    """How a picture stands in a page."""
    import base64

    from qa.report import png

    return base64.b64encode(png(picture)).decode()


def test_a_stewards_verdict_stands_beside_the_grade(clean_report):
    text = page(clean_report, "x", verdict={"state": "refused", "reason": "She <moved>."})
    assert "refused</strong>: She &lt;moved&gt;." in text
    assert 'class="grade pass">pass' in text
    assert "No person has decided" in page(clean_report, "x")


def test_the_cohort_page_shows_drift_per_scanner_where_times_are_known(clean_report):
    reports = {}
    for n in range(6):
        other = json.loads(json.dumps(clean_report))
        other["metrics"]["noise_sigma"]["value"] *= 1 + 0.1 * n
        reports[f"sub-{n}"] = other
    text = cohort(reports, when={f"sub-{n}": 30.0 * n for n in range(6)})
    assert "noise_sigma over 150 days, 6 scans, rank correlation with time +1.00" in text
    assert " ".join(clean_report["norm_key"]) in text
    assert "No scanner has 5 scans" in cohort(reports, when={"sub-1": 0.0})
