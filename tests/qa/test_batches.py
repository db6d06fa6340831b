"""Several images at once give the numbers of one after the other, and what is wrong with one of them stays its own."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from scipy import ndimage

import qa
from qa import batch
from qa.examine import unreadable
from spatial import affines
from spatial.volumes import Volume, save

AGREE = 0.01
"""What the issue allows between devices; together and alone on one device differ by rounding."""


@pytest.fixture(scope="module")
def jobs(base, rician):
    """Two heads of 3 mm in two poses, between them noise in which there is none, and last a diffusion series whose b0 is not like its mean."""
    made = []
    for n, degrees in enumerate((0.0, 7.0)):
        turn = affines.rotation([0.0, 0.0, degrees])[:3, :3]
        middle = (np.array(base.shape) - 1) / 2
        turned = ndimage.affine_transform(base.data, turn, middle - turn @ middle, order=1)
        made.append({"volume": Volume(rician(ndimage.zoom(turned, 0.67, order=1), 8.0, n), base.affine @ np.diag([1.5, 1.5, 1.5, 1])), "suffix": "T1w"})
    noise = np.abs(np.random.default_rng(5).normal(0, 30, (40, 40, 40))).astype(np.float32)
    still = made[0]["volume"]
    weighted = [rician(0.3 * np.roll(still.data, 6, axis=1), 8.0, n) for n in (2, 3)]
    series = {"volume": Volume(np.stack([still.data, *weighted], axis=3), still.affine), "suffix": "dwi"}
    series |= {"bval": np.array([0, 1000, 1000]), "bvec": np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]).T}
    return [made[0], {"volume": Volume(noise, np.diag([4.0, 4, 4, 1])), "suffix": "T1w"}, made[1], series]


def devices():
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", devices())
def test_together_is_as_one_by_one(jobs, device):
    together = batch.measure_many([*jobs, unreadable("T1w", "It is broken.")], device)
    assert together.pop()["flags"] == ["unreadable"]
    for job, found in zip(jobs, together, strict=True):
        alone = qa.measure(**job, device=device)
        assert (found["grade"], found["flags"], found["unavailable"].keys()) == (alone["grade"], alone["flags"], alone["unavailable"].keys())
        for name, entry in alone["metrics"].items():
            value, other = entry["value"], found["metrics"][name]["value"]
            assert (value is None) == (other is None), name
            assert value is None or other == pytest.approx(value, rel=AGREE, abs=1e-6), name
    assert together[1]["flags"] == ["no_anatomy"]
    assert len({report["metrics"]["pose_deg"]["value"] for report in together[:3] if report["placement"]}) == 2, "each its own place"


def test_the_brains_are_placed_together_and_only_once(jobs, monkeypatch):
    asked = []
    monkeypatch.setattr(batch, "place_many", lambda grids, device: asked.append(len(grids)) or [qa.QaError("no_brain", "None.")] * len(grids))
    reports = batch.measure_many(jobs)
    assert len(asked) == 1
    assert asked[0] >= 2
    assert [report["unavailable"].get("snr_wm") for report in (reports[0], reports[2])] == ["None.", "None."], "a refusal is kept, and nothing is placed again"


def test_the_next_batch_is_read_while_this_one_is_worked_on(tmp_path, monkeypatch):
    paths = [tmp_path / f"{n}_T1w.nii" for n in range(5)]
    for n, path in enumerate(paths):
        save(Volume(np.full((4, 4, 4), n, np.int16), np.eye(4)), path)
    begun = [threading.Event() for _ in paths]
    real = batch.read

    def noted(path):
        begun[paths.index(path)].set()
        return real(path)

    monkeypatch.setattr(batch, "read", noted)
    seen = []
    for group in batch.ahead(paths, 2):
        for path, volume in group:
            seen.append(path)
            assert int(volume.data.max()) == paths.index(path)
        after = len(seen)
        assert after == len(paths) or begun[after].wait(5), "the one after is on its way"
        assert not any(one.is_set() for one in begun[after + 2 :]), "and no more than one batch ahead: memory has an end"
    assert seen == paths


def test_a_batch_ends_where_its_bytes_do(tmp_path, monkeypatch):
    paths = []
    for n, size in enumerate((10, 10, 90, 10, 10, 10)):
        paths.append(tmp_path / str(n))
        paths[-1].write_bytes(b"x" * size)
    monkeypatch.setattr(batch, "PACKED", 50)
    assert [[int(p.name) for p in group] for group in batch.batches(paths, 2)] == [[0, 1], [2], [3, 4], [5]]
