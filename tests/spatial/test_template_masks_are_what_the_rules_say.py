"""The masks that are shipped can be drawn again by anybody, and are a head and a brain."""

from __future__ import annotations

import numpy as np

from spatial import template_masks, templates, volumes


def test_the_shipped_masks_are_those_the_rules_draw() -> None:
    drawn = template_masks.build()
    shipped = volumes.load(template_masks.DATA).data
    assert (drawn != shipped).mean() < 1e-4, "python -m spatial.template_masks"


def test_the_masks_have_the_size_of_a_head_and_lie_in_each_other() -> None:
    head = templates.head()
    ml = abs(np.linalg.det(head.volume.affine[:3, :3])) / 1000
    assert 1300 < head.brain.sum() * ml < 1700
    assert 3500 < head.head.sum() * ml < 4200
    assert not (head.brain & ~head.head).any() and not (head.brain & head.face).any()


def test_the_template_cannot_be_written_to() -> None:
    head = templates.head()
    assert not head.volume.data.flags.writeable and not head.brain.flags.writeable
    assert templates.head() is head, "prepared once per process"
