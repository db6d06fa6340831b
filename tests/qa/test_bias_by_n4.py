"""N4 is another way to the same field: on a real head, plain and shaded on purpose, both find it, and tissue is told apart the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import qa
from qa import inhomogeneity
from qa.__main__ import main
from qa.errors import QaError
from qa.examine import VERSION
from qa.scene import Scene
from spatial.volumes import Volume, load, save

MS = "nifti/ms_longitudinal_patient01/raw/patient01"


@pytest.mark.needs("shared-data")
def test_both_ways_find_the_shading_and_the_same_tissue_on_a_real_head(mri):
    given = load(mri / MS / "study2_T1W.nii.gz")
    by = [max(1, round(2 / zoom)) for zoom in given.zooms[:3]]
    data = np.asarray(given.data, np.float32)[tuple(slice(None, None, n) for n in by)]
    affine = given.affine @ np.diag([*by, 1.0])
    side = np.linspace(-0.3, 0.3, data.shape[0], dtype=np.float32)[:, None, None]
    ranges: dict[str, list[float]] = {"fit": [], "n4": []}
    placed = None
    for image in (data, data * np.exp(side)):
        one = Scene(Volume(image, affine), "T1w", matrix=placed)
        placed = one.brain.matrix
        other = Scene(Volume(image, affine), "T1w", matrix=placed, bias="n4")
        (a, tissue_a), (b, tissue_b) = one.field_and_tissue, other.field_and_tissue
        assert float((b / a)[one.inner].std()) < 0.08, "the fields differ by some per cent"
        assert float(torch.corrcoef(torch.stack([a[one.inner], b[one.inner]]))[0, 1]) > 0.7
        assert tissue_a.mean == pytest.approx(tissue_b.mean, rel=0.05)
        for way, field in (("fit", a), ("n4", b)):
            ranges[way].append(inhomogeneity.inu(field[one.brain.mask])["inu_range"])
    for way, (plain, shaded) in ranges.items():
        assert shaded > plain + 0.05, f"{way} sees the shading that was added"


def test_numbers_by_n4_say_so_and_what_needs_no_field_stays(clean, clean_report):
    report = qa.measure(clean, "T1w", bias="n4", placement=clean_report["placement"])
    assert (clean_report["qa_version"], report["qa_version"]) == (VERSION, f"{VERSION}+n4"), "never compared with a norm of the other"
    for name in ("efc", "kspike", "brain_ml", "fwhm_x"):
        assert report["metrics"][name]["value"] == pytest.approx(clean_report["metrics"][name]["value"], rel=1e-4), name
    assert report["metrics"]["inu_range"]["value"] != clean_report["metrics"]["inu_range"]["value"]


def test_without_simpleitk_it_is_refused_and_fit_still_works(clean, clean_report, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None)
    with pytest.raises(QaError) as caught:
        qa.measure(clean, "T1w", bias="n4")
    assert caught.value.code == "no_n4"
    save(clean, tmp_path / "x_T1w.nii.gz")
    assert main([str(tmp_path / "x_T1w.nii.gz"), "--bias", "n4"]) == 2
    assert "no_n4" in capsys.readouterr().err
    assert qa.measure(clean, "T1w", placement=clean_report["placement"])["metrics"]["snr_wm"]["value"] is not None
