"""One head that is nobody's: a mean of many, with a face, and masks that say where face, brain and skin are on it.

The picture and the face mask are pydeface's (MIT; Gulban et al., doi:10.5281/zenodo.3524400), read from its wheel without importing it, for the
import would load FSL interfaces. Head and brain masks are ours (`spatial.template_masks`). All masks lie on the template's grid.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spatial import affines, volumes
from spatial.errors import SpatialError
from spatial.template_masks import BRAIN_BIT, DATA, HEAD_BIT
from spatial.volumes import Volume

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Template:
    """`volume`: T1-weighted mean head, about 1 mm, RAS+. `face`, `brain`, `head`: bool masks on its grid (face: what pydeface removes)."""

    volume: Volume
    face: Mask
    brain: Mask
    head: Mask


@functools.cache
def head() -> Template:
    """The template, read once per process; its arrays cannot be written to. Raises SpatialError `no_template`."""
    picture = read_template()
    mask = volumes.load(_file("facemask.nii.gz"))
    ours = volumes.load(DATA)
    if not (volumes.same_grid(picture, mask) and volumes.same_grid(picture, ours)):
        raise SpatialError("no_template", "The template and its masks do not lie on one grid.")
    parts = (mask.data < 0.5, (ours.data & BRAIN_BIT) > 0, (ours.data & HEAD_BIT) > 0)
    for part in (picture.data, *parts):
        part.setflags(write=False)
    return Template(picture, *parts)


@functools.cache
def face_box() -> NDArray[np.float64]:
    """World corners (8, 3) of the box around what pydeface's mask takes off the head: where an alignment has to be right. Raises SpatialError `no_template`."""
    template = head()
    found = np.argwhere(template.face & template.head)
    ends = np.stack([found.min(axis=0), found.max(axis=0)]).astype(np.float64)
    box = affines.apply(template.volume.affine, np.stack(np.meshgrid(*ends.T, indexing="ij"), axis=-1).reshape(-1, 3))
    box.setflags(write=False)
    return box


def read_template() -> Volume:
    """The picture alone."""
    return volumes.load(_file("mean_reg2mean.nii.gz"))


def _file(name: str) -> Path:
    found = importlib.util.find_spec("pydeface")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "data" / name
        if path.is_file():
            return path
    raise SpatialError("no_template", "The template head is not installed.")
