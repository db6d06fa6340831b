"""Every formula is held against an independent numpy computation, or against a case whose answer is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from qa import artifacts, contrast, coverage, diffusion, noise, robust, temporal
from qa.errors import QaError


def tensor(x):
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


def weighted_median(x, w):
    order = np.argsort(x)
    total = np.cumsum(w[order])
    return x[order][np.searchsorted(total, total[-1] / 2)]


def weighted_sd(x, w):
    centre = np.average(x, weights=w)
    return math.sqrt(np.average((x - centre) ** 2, weights=w))


@pytest.fixture(scope="module")
def tissues():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(m, s, n) for m, s, n in ((300, 60, 20_000), (600, 50, 60_000), (900, 45, 50_000))])
    w = {name: rng.uniform(0, 0.1, x.size) for name in ("csf", "gm", "wm")}
    for name, part in (("csf", slice(0, 20_000)), ("gm", slice(20_000, 80_000)), ("wm", slice(80_000, None))):
        w[name][part] = rng.uniform(0.8, 1.0, x[part].size)
    air = np.abs(rng.normal(0, 20, 40_000) + 1j * rng.normal(0, 20, 40_000))
    return x, w, air


def test_weighted_median_and_mad_from_a_histogram_are_those_of_a_sort(tissues):
    x, w, _ = tissues
    for name in w:
        middle = weighted_median(x, w[name])
        assert robust.median(tensor(x), tensor(w[name])) == pytest.approx(middle, rel=2e-4)
        assert robust.mad(tensor(x), tensor(w[name])) == pytest.approx(1.4826 * weighted_median(np.abs(x - middle), w[name]), rel=1e-3)
    assert robust.quantile(tensor(x), 0.9995) == pytest.approx(np.quantile(x, 0.9995), rel=2e-4)
    assert math.isnan(robust.median(tensor([])))


def test_one_wild_value_does_not_blur_the_histogram():
    x = np.append(np.random.default_rng(1).normal(100, 5, 50_001), 1e9)
    assert robust.median(tensor(x), tensor(np.ones_like(x))) == pytest.approx(np.median(x), rel=1e-4)


def test_otsu_finds_the_gap_and_says_how_clear_it_is():
    rng = np.random.default_rng(2)
    two = np.concatenate([rng.normal(10, 1, 5000), rng.normal(50, 1, 5000)])
    threshold, share = robust.otsu(tensor(two))
    assert 13 < threshold < 47
    assert share > 0.95
    assert robust.otsu(tensor(rng.normal(10, 1, 10_000)))[1] == pytest.approx(2 / math.pi, abs=0.03)  # closed form for one normal distribution


def test_snr_cnr_cjv_and_wm2max_are_what_numpy_says(tissues):
    x, w, air = tissues
    t, a = tensor(x), tensor(air)
    tw = {k: tensor(v) for k, v in w.items()}
    for name in w:
        n = w[name].sum()
        expected = weighted_median(x, w[name]) / (weighted_sd(x, w[name]) * math.sqrt(n / (n - 1)))
        assert noise.snr(t, tw[name]) == pytest.approx(expected, rel=1e-3)
    mu = {k: weighted_median(x, w[k]) for k in w}
    spread = {k: 1.4826 * np.median(np.abs(x[w[k] > 0.5 * w[k].max()] - mu[k])) for k in w}
    air_mad = 1.4826 * np.median(np.abs(air - np.median(air)))
    assert noise.snr_dietrich(mu["wm"], a) == pytest.approx(0.6551364 * mu["wm"] / air_mad, rel=1e-3)
    expected = abs(mu["wm"] - mu["gm"]) / math.sqrt(air.std() ** 2 + weighted_sd(x, w["wm"]) ** 2 + weighted_sd(x, w["gm"]) ** 2)
    assert contrast.cnr(t, tw["wm"], tw["gm"], a) == pytest.approx(expected, rel=1e-3)
    assert contrast.cjv(t, tw["wm"], tw["gm"]) == pytest.approx((spread["wm"] + spread["gm"]) / abs(mu["wm"] - mu["gm"]), rel=1e-3)
    assert contrast.wm2max(t, mu["wm"]) == pytest.approx(mu["wm"] / np.percentile(x, 99.95), rel=1e-3)
    assert contrast.relative(3.0, 1.0) == 0.5


def test_rayleigh_noise_gives_back_its_sigma(tissues):
    assert noise.noise_sigma(tensor(tissues[2]), 900.0) == pytest.approx(20 / 900, rel=0.01)


def test_efc_is_zero_for_one_voxel_one_for_none_standing_out_and_numpys_in_between():
    one = np.zeros((16, 16, 16))
    one[3, 4, 5] = 7
    assert noise.efc(tensor(one)) == pytest.approx(0, abs=1e-6)
    assert noise.efc(torch.full((16, 16, 16), 3.0)) == pytest.approx(1, abs=1e-5)
    x = np.random.default_rng(3).gamma(1.0, 100, (20, 30, 25))
    b = math.sqrt((x**2).sum())
    limit = math.sqrt(x.size) * math.log(1 / math.sqrt(x.size))
    assert noise.efc(tensor(x)) == pytest.approx(float((x / b * np.log((x + 1e-16) / b)).sum() / limit), rel=1e-4)


def test_fber_is_a_ratio_of_medians_and_refuses_an_empty_background():
    rng = np.random.default_rng(4)
    x = rng.gamma(2, 10, (20, 20, 20))
    head = np.zeros(x.shape, bool)
    head[5:15, 5:15, 5:15] = True
    expected = np.median(x[head] ** 2) / np.median(x[~head] ** 2)
    assert noise.fber(tensor(x), torch.from_numpy(head), torch.from_numpy(~head)) == pytest.approx(expected, rel=1e-4)
    x[~head] = 0
    with pytest.raises(QaError) as caught:
        noise.fber(tensor(x), torch.from_numpy(head), torch.from_numpy(~head))
    assert caught.value.code == "air_masked"


def test_qi_1_counts_a_blob_in_the_air_and_not_a_single_bright_voxel():
    rng = np.random.default_rng(5)
    x = np.abs(rng.normal(0, 5, (40, 40, 40)))
    head = np.zeros(x.shape, bool)
    head[15:25, 15:25, 15:25] = True
    x[2:5, 2:5, 2:5] = 300
    x[36, 36, 36] = 300
    distance = ndimage.distance_transform_edt(~head)
    value = noise.qi_1(tensor(x), torch.from_numpy(~head), tensor(distance))
    opened = 7  # a 3 x 3 x 3 block opened with the 6-neighbour cross leaves the cross
    assert value == pytest.approx(opened / (~head).sum(), rel=1e-6)


def test_fwhm_of_smoothed_noise_is_the_kernels():
    rng = np.random.default_rng(6)
    x = ndimage.gaussian_filter(rng.normal(size=(70, 70, 70)), (1.5, 2.0, 2.5), mode="wrap")
    found = artifacts.fwhm(tensor(x), torch.ones(x.shape, dtype=torch.bool), (1.0, 1.0, 2.0))
    for axis, sigma, zoom in (("x", 1.5, 1.0), ("y", 2.0, 1.0), ("z", 2.5, 2.0)):
        assert found[f"fwhm_{axis}"] == pytest.approx(2.3548 * math.sqrt(2) * sigma / math.sqrt(2) * zoom, rel=0.08)


def test_ringing_of_white_noise_is_two_thirds_and_of_an_alternation_is_one():
    x = np.random.default_rng(7).normal(size=(50, 50, 50))
    mask = torch.ones(x.shape, dtype=torch.bool)
    assert artifacts.ringing(tensor(x), mask)["ringing_x"] == pytest.approx(2 / 3, abs=0.01)
    comb = np.broadcast_to((-1.0) ** np.arange(50)[:, None, None], x.shape)
    assert artifacts.ringing(tensor(comb), mask)["ringing_x"] == pytest.approx(1, abs=1e-5)


def test_a_ghost_of_five_percent_along_one_axis_is_five_percent_there_and_nothing_elsewhere():
    head = torch.zeros(40, 40, 40, dtype=torch.bool)
    head[15:25, 15:25, 15:25] = True
    image = torch.where(head, 100.0, 2.0)
    image[:, :12, :][:, :, :][15:25, :, 15:25] += 5.0
    image[15:25, 28:, 15:25] += 5.0
    air = ~head
    air[15:25, 12:28, 15:25] = False
    found = artifacts.ghost(image, head, air, 100.0)
    assert found["ghost_y"] == pytest.approx(0.05, rel=1e-3)
    assert found["ghost_x"] == pytest.approx(0, abs=1e-6)
    assert found["ghost_z"] == pytest.approx(0, abs=1e-6)


def test_a_spike_in_k_space_stands_out_by_the_decades_it_was_given():
    x = np.random.default_rng(8).normal(size=(40, 40, 40))
    plain = artifacts.kspike(artifacts.spectrum(tensor(x)), x.shape)
    f = np.fft.fftn(x)
    usual = np.median(np.abs(f))
    f[9, 11, 7] = f[-9, -11, -7] = usual * 1000
    spiked = artifacts.kspike(artifacts.spectrum(tensor(np.fft.ifftn(f).real)), x.shape)
    assert plain < 0.8
    assert spiked == pytest.approx(3.0, abs=0.1)


def test_alternating_slices_and_one_jump_are_measured_in_units_of_the_level():
    image = torch.full((10, 10, 21), 100.0)
    mask = torch.ones(image.shape, dtype=torch.bool)
    assert artifacts.slices(image, mask, 2, 100.0) == {"slice_jump": 0.0, "odd_even": 0.0}
    striped = image.clone()
    striped[:, :, ::2] += 10
    assert artifacts.slices(striped, mask, 2, 100.0)["odd_even"] == pytest.approx(0.1)
    jump = image.clone()
    jump[:, :, 7] += 30
    found = artifacts.slices(jump, mask, 2, 100.0)
    assert found["slice_jump"] == pytest.approx(0.3)
    assert found["odd_even"] == 0


def test_saturation_and_voids_are_shares():
    image = torch.linspace(0, 1, 1000).reshape(10, 10, 10).clamp(max=0.9)
    assert artifacts.saturation(image) == pytest.approx(0.105, abs=0.003)
    core = torch.ones(image.shape, dtype=torch.bool)
    assert artifacts.voids(image, core, 0.8) == pytest.approx(0.2, abs=0.002)


def series(seed=9, t=40, shape=(12, 12, 8)):
    rng = np.random.default_rng(seed)
    mean = rng.uniform(500, 1000, shape)
    x = mean[None] + rng.normal(0, 10, (t, *shape)) + rng.normal(0, 4, t)[:, None, None, None]
    return x, np.ones(shape, bool)


def test_tsnr_gcor_and_dvars_are_what_numpy_says():
    x, mask = series()
    t, m = tensor(x), torch.from_numpy(mask)
    y = x[:, mask]
    assert temporal.tsnr(t, m) == pytest.approx(np.median(y.mean(0) / y.std(0)), rel=1e-3)
    z = y - y.mean(0)
    z /= np.linalg.norm(z, axis=0)
    assert temporal.gcor(t, m) == pytest.approx((z.mean(1) ** 2).sum(), rel=1e-3)
    scaled = y * 1000 / np.median(y)
    raw = np.sqrt(np.mean(np.diff(scaled, axis=0) ** 2, axis=1)).mean()
    assert temporal.dvars(t, m)["dvars_nstd"] == pytest.approx(raw, rel=1e-3)
    assert temporal.dvars(t, m)["dvars_std"] == pytest.approx(1, abs=0.15)  # nothing but what is expected happens


def test_a_spike_in_one_slice_of_one_volume_is_counted_once():
    x, mask = series(t=30)
    x[12, :, :, 3] += 300
    assert temporal.spikes(tensor(x), torch.from_numpy(mask)) == 1
    assert temporal.spikes(tensor(series(t=30)[0]), torch.from_numpy(mask)) == 0


def test_volumes_before_the_steady_state_are_counted():
    x, mask = series(t=30)
    x[:2] *= 1.3
    assert temporal.dummies(tensor(x), torch.from_numpy(mask)) == 2


def test_framewise_displacement_of_a_known_movement():
    rng = np.random.default_rng(10)
    still = ndimage.gaussian_filter(rng.uniform(0, 1000, (40, 40, 30)), 3)
    ball = (np.indices(still.shape) - np.array([20, 20, 15])[:, None, None, None]) / np.array([15, 15, 11])[:, None, None, None]
    still = (still + 200) * ((ball**2).sum(0) < 1)
    still = ndimage.gaussian_filter(still, 1)
    moved = ndimage.shift(ndimage.rotate(still, 2.0, axes=(0, 1), reshape=False, order=1), (0, 0.5, 0), order=1)
    x = tensor(np.stack([still, still, moved, still]))
    fd = temporal.displacement(temporal.rigid(x, (3.0, 3.0, 3.0), x[0] > 20)).tolist()
    expected = 1.5 + 50 * math.radians(2.0)
    assert fd[0] == pytest.approx(0, abs=0.02)
    assert fd[1] == pytest.approx(expected, rel=0.12)
    assert fd[2] == pytest.approx(expected, rel=0.12)


def test_ndc_takes_neighbours_in_q_space_with_antipodes_as_one():
    rng = np.random.default_rng(11)
    a, b = rng.normal(size=(2, 6, 6, 6))
    x = np.stack([rng.normal(size=a.shape), a, a + 0.01 * b, b, b + 0.01 * a])
    bval = np.array([0, 1000, 1000, 1000, 1000.0])
    bvec = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -0.999, 0.04]]).T
    mask = torch.ones(a.shape, dtype=torch.bool)
    pairs = [(1, 2), (2, 1), (3, 4), (4, 3)]
    expected = np.mean([np.corrcoef(x[i].ravel(), x[j].ravel())[0, 1] for i, j in pairs])
    assert diffusion.ndc(tensor(x), bval, bvec, mask) == pytest.approx(expected, rel=1e-4)


def test_a_lost_slice_of_a_weighted_volume_is_a_dropout():
    rng = np.random.default_rng(12)
    x = rng.normal(500, 5, (8, 10, 10, 6))
    bval, mask = np.array([0.0] + [1000.0] * 7), torch.ones(10, 10, 6, dtype=torch.bool)
    assert diffusion.dropouts(tensor(x), bval, mask) == 0
    x[4, :, :, 2] *= 0.4
    assert diffusion.dropouts(tensor(x), bval, mask) == 1


@pytest.mark.parametrize(
    ("bval", "bvec", "fine"),
    [
        ([0, 1000], [[0, 1], [0, 0], [0, 0]], True),
        ([0, 1000, 1000], [[0, 1], [0, 0], [0, 0]], False),
        ([0, 1000], [[0, 0.5], [0, 0], [0, 0]], False),
        ([0, -5], [[0, 1], [0, 0], [0, 0]], False),
    ],
)
def test_gradients_must_fit_the_series(bval, bvec, fine):
    said = diffusion.gradients_ok(np.array(bval, float), np.array(bvec, float), 2)
    assert (said == "") is fine


def test_pose_is_the_angle_the_head_was_turned():
    for angle, name in ((12.0, "pose_deg"), (9.0, "pitch_deg")):
        c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        turn = np.eye(4)
        turn[:3, :3] = [[c, -s, 0], [s, c, 0], [0, 0, 1]] if name == "pose_deg" else [[1, 0, 0], [0, c, -s], [0, s, c]]
        assert coverage.pose(turn @ np.diag([1.1, 0.95, 1.0, 1]))[name] == pytest.approx(angle, abs=1.5)


def test_defacing_must_not_touch_the_brain():
    before = torch.rand(10, 10, 10) + 1
    brain = torch.zeros(before.shape, dtype=torch.bool)
    brain[3:7, 3:7, 3:7] = True
    after = before.clone()
    after[:2] = 0
    assert coverage.integrity(before, after, brain) == {"brain_changed": 0.0, "brain_holes": 0.0}
    after[4, 4, 4] = 0
    after[5, 5, 5] += 1
    assert coverage.integrity(before, after, brain) == {"brain_changed": 2.0, "brain_holes": 1.0}


def test_kextent_is_where_k_space_was_cut_off():
    rng = np.random.default_rng(21)
    x = ndimage.gaussian_filter(rng.normal(0, 1, (96, 96, 96)), 0.6) * 500
    assert artifacts.kextent(artifacts.spectrum(tensor(x))) == 0.5
    for cut in (0.4, 0.3):
        k = np.fft.fft(x, axis=1)
        k[:, np.abs(np.fft.fftfreq(96)) > cut] = 0
        rung = np.fft.ifft(k, axis=1).real + rng.normal(0, 1, x.shape)
        assert artifacts.kextent(artifacts.spectrum(tensor(rung))) == pytest.approx(cut, abs=0.03)


def test_a_dark_patch_is_where_no_bright_tissue_is_near_and_a_ventricle_is_not_one():
    usual = torch.full((40, 40, 40), 800.0)
    usual[15:25, 15:25, 18:22] = 200
    place = torch.zeros(usual.shape, dtype=torch.bool)
    place[4:36, 4:36, 4:36] = True
    zooms = (2.0, 2.0, 2.0)
    assert artifacts.dark_patch(usual, place, zooms, 800.0) == pytest.approx(1, abs=0.05), "8 mm from a ventricle there is tissue"
    far = ((torch.stack(torch.meshgrid(*[torch.arange(40.0)] * 3, indexing="ij")) - 28) ** 2).sum(0)
    found = [artifacts.dark_patch(usual * (1 - s * torch.exp(-far / (2 * 6**2))), place, zooms, 800.0) for s in (0.5, 1.0)]
    assert found[0] < 0.9
    assert found[1] < found[0] - 0.1


def test_misfit_is_small_for_the_template_itself_and_grows_with_a_pulled_forehead():
    from spatial.templates import head

    template = head()
    mask = template.head[::2, ::2, ::2]
    affine = template.volume.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    still = coverage.misfit(torch.from_numpy(mask.copy()), affine, np.eye(4))
    assert still < 1
    pulled = mask.copy()
    front = np.argwhere(mask[:, :, 80:])[:, 1].max()  # the vault: a nose lies further to the front
    pulled[:, front - 12 :] = False
    assert coverage.misfit(torch.from_numpy(pulled), affine, np.eye(4)) > still + 1
