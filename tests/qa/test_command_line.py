"""The command line: one image to the screen or as JSON, a whole dataset to pages; wrong use says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from bidstree import check
from qa.__main__ import DESCRIPTION, _times, main
from spatial.volumes import Volume, save


@pytest.fixture(scope="module")
def small(clean):
    affine = clean.affine.copy()
    affine[:3, :3] *= 2
    return Volume(ndimage.zoom(clean.data, 0.5, order=1), affine)


def test_an_image_gives_json_with_the_grade(tmp_path, capsys, small):
    path = tmp_path / "sub-x_T1w.nii.gz"
    save(small, path)
    assert main([str(path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["grade"] in ("pass", "review")
    assert report["suffix"] == "T1w"


def test_a_defaced_image_is_measured_as_one(tmp_path, capsys, small):
    path, mask = tmp_path / "sub-x_T1w.nii.gz", tmp_path / "zone.nii.gz"
    zone = np.zeros(small.shape, np.uint8)
    zone[:, 55:, :20] = 1
    save(small, path)
    save(Volume(zone, small.affine), mask)
    assert main([str(path), "--mask-deface", str(mask)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(("pass", "review"))
    line = next(line for line in said.splitlines() if line.startswith("noise_sigma"))
    assert line.split()[1] == "-"
    assert "The face was removed." in line


def test_a_file_that_is_no_image_is_a_failed_report_and_status_1(tmp_path, capsys):
    path = tmp_path / "secretname_T1w.nii.gz"
    path.write_bytes(b"not an image")
    assert main([str(path), "--json"]) == 1
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["grade"] == "fail"
    assert report["flags"] == ["unreadable"]
    assert "secretname" not in said.out + said.err


def test_a_dataset_gets_a_page_and_a_sidecar_per_image_and_a_page_of_all(tmp_path, capsys, small):
    folder = tmp_path / "sub-a" / "ses-1" / "anat"
    folder.mkdir(parents=True)
    save(small, folder / "sub-a_ses-1_T1w.nii.gz")
    broken = np.array(small.data)
    broken[:, :, 30:34] = 0
    save(Volume(broken, small.affine), folder / "sub-a_ses-1_FLAIR.nii.gz")
    save(small, folder / "sub-a_ses-1_label-lesion_mask.nii.gz")
    assert main([str(tmp_path), "--report", "--batch", "2"]) == 0
    out, pages = tmp_path / "derivatives" / "qa", tmp_path / "derivatives" / "qa-pages"
    sidecar = json.loads((pages / "sub-a/ses-1/anat/desc-qa_FLAIR.json").read_text())
    assert sidecar["grade"] == "fail"
    assert sidecar["source"] == "bids::sub-a/ses-1/anat/sub-a_ses-1_FLAIR.nii.gz"
    index = (pages / "index.html").read_text()
    assert "2 images: 1 fail" in index
    assert index.index("FLAIR") < index.index("_T1w")
    assert (pages / "sub-a/ses-1/anat/desc-qa_T1w.html").is_file()
    assert "mask" not in capsys.readouterr().out
    rows = [line.split("\t") for line in (out / "phenotype/qa_1_FLAIR.tsv").read_text().splitlines()]
    said = dict(zip(*rows, strict=True))
    assert (said["participant_id"], said["grade"], said["noise_sigma"]) == ("sub-a", "fail", "n/a")
    assert "noise_sigma: " in said["unavailable"], "what could not be had says why"
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0", "DatasetType": "raw"}')
    found = [(one.code, one.where) for one in check.validate(tmp_path).findings if "qa" in one.where or "phenotype" in one.where]
    assert found == [], "the official validator takes the whole derivative as it is"


def test_the_validator_does_look_at_the_derivative(tmp_path, small):
    folder = tmp_path / "sub-a" / "anat"
    folder.mkdir(parents=True)
    save(small, folder / "sub-a_T1w.nii.gz")
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0", "DatasetType": "raw"}')
    lone = tmp_path / "derivatives/qa/sub-a/anat/sub-a_desc-qa_T1w.json"
    lone.parent.mkdir(parents=True)
    lone.write_text("{}")
    (tmp_path / "derivatives/qa/dataset_description.json").write_text(json.dumps(DESCRIPTION))
    assert "SIDECAR_WITHOUT_DATAFILE" in {one.code for one in check.validate(tmp_path).findings}


def test_times_come_from_the_sessions_tables_and_odd_ones_are_left_out(tmp_path):
    (tmp_path / "sub-a").mkdir()
    rows = "session_id\tacq_time\nses-1\t1925-01-11T00:00:00\nses-2\t1925-01-01T00:00:00\nses-3\tn/a\n"
    (tmp_path / "sub-a" / "sub-a_sessions.tsv").write_text(rows)
    names = [f"sub-a/ses-{n}/anat/x.nii.gz" for n in (1, 2, 3)] + ["sub-b/anat/y.nii.gz"]
    found = _times(tmp_path, names)
    assert set(found) == set(names[:2])
    assert found[names[0]] - found[names[1]] == pytest.approx(10)


def test_wrong_use_is_status_2(tmp_path, capsys, small):
    assert main([str(tmp_path), "--report"]) == 2
    assert "no_images" in capsys.readouterr().err
    path = tmp_path / "sub-x_T1w.nii.gz"
    save(small, path)
    assert main([str(path), "--report"]) == 2
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
