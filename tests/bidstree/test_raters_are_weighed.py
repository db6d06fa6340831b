"""Three raters and a truth we know: agreement and consensus come out as computed by hand or planted."""

from __future__ import annotations

import numpy as np
import pytest

from bidstree import raters
from bidstree.errors import BidsError


def test_dice_and_majority_by_hand() -> None:
    a, b, c = (np.array(values).reshape(2, 2, 1) for values in ([1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]))
    assert raters.dice([a, b, c]).tolist() == [[1.0, 0.5, 1.0], [0.5, 1.0, 0.5], [1.0, 0.5, 1.0]]
    assert raters.majority([a, b, c]).ravel().tolist() == [True, True, False, False]
    assert not raters.majority([a, b]).ravel()[1], "a tie is no majority"


def test_staple_finds_the_planted_raters_and_does_better_than_the_majority() -> None:
    rng = np.random.default_rng(7)
    truth = np.zeros((40, 40, 20), bool)
    truth[10:25, 12:28, 5:14] = True
    quality = [(0.95, 0.99), (0.9, 0.985), (0.45, 0.97)]
    masks = [np.where(truth, rng.random(truth.shape) < p, rng.random(truth.shape) > q) for p, q in quality]
    likely, found = raters.staple(masks)
    assert found == pytest.approx(np.array(quality), abs=0.03)
    wrong = int(((likely > 0.5) != truth).sum())
    assert wrong <= int((raters.majority(masks) != truth).sum())
    assert wrong < 0.05 * truth.size


def test_empty_masks_and_other_grids_are_answered() -> None:
    none = np.zeros((3, 3, 3))
    assert raters.dice([none, none]).min() == 1.0 and not raters.staple([none, none])[0].any()
    for code, masks in (("raters_missing", []), ("raters_differ_in_grid", [none, np.zeros((2, 3, 3))])):
        with pytest.raises(BidsError) as error:
            raters.majority(masks)
        assert error.value.code == code
