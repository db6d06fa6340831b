"""Nothing that is drawn may show a face: before an annotation is written, each zone where a face was taken is held against it, place by place.

Whether a file is a mask or a picture of a head scaled to parts of 1, its values do not tell. So it is not asked what it is, but where it says something: a
voxel that is not 0 inside a zone refuses it, on whatever grid and with however many volumes it comes. Where an image has no zone of its own, for it was
stripped to the brain or is too small a box, an annotation may also say nothing where the image itself holds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.codes import Refused
from spatial import affines
from spatial.affines import Matrix
from spatial.volumes import Volume, load

__all__ = ["clear", "labels", "marked", "meet", "on_image"]

# Share of an annotation that may lie where its image is empty: rims of brain masks and clipped ventricles do, a face beside a bare brain is far more.
MOST_OFF = 0.1


def clear(drawn: Volume, zones: Iterable[tuple[str, Matrix | None]]) -> None:
    """Refuse an annotation that says anything inside a zone. `zones`: file of each, and the map from the annotation's world (mm, RAS) to the zone's (None: one
    world). Raises Refused `mask_in_zone`."""
    own = marked(drawn)
    if any(meet(own, marked(load(Path(path))), way) for path, way in zones):
        raise Refused("mask_in_zone")


def on_image(drawn: Volume, image: Volume) -> None:
    """Refuse an annotation of which more than a tenth lies where its image, on the same grid, holds nothing but background (the value of its corners).

    Raises Refused `mask_off_image`.
    """
    own = marked(drawn).data > 0
    whole = image.mean3d().data
    empty = whole == np.median(whole[np.ix_(*((0, -1),) * 3)])
    if float(empty[own].mean()) > MOST_OFF:
        raise Refused("mask_off_image")


def marked(volume: Volume) -> Volume:
    """Where a volume (3D, or 4D: in any of its volumes) is not 0, as 3D uint8; what is no number counts as something."""
    said = volume.data != 0
    return Volume((said.any(axis=3) if said.ndim == 4 else said).astype(np.uint8), volume.affine)


def meet(a: Volume, b: Volume, way: Matrix | None = None) -> bool:
    """Whether two 3D marks share a place: the centre of a marked voxel of either lies in a marked voxel of the other. `way`: world of `a` -> world of `b`."""
    way = np.eye(4) if way is None else way
    return bool(len(_landing(a, b, way)) or len(_landing(b, a, affines.inverse(way))))


def labels(drawn: Volume, zone: Volume) -> list[int]:
    """The label values of an annotation (3D or 4D) inside a zone, whichever way the axes of either run."""
    from deid import faces

    own = marked(drawn)
    inside = np.zeros(own.shape, dtype=np.bool_)
    inside[tuple(_landing(own, marked(zone), np.eye(4)).T)] = True
    return faces.labels_in_zone(inside, drawn.data)


def _landing(points: Volume, other: Volume, way: Matrix) -> NDArray[np.int64]:
    """The marked voxels (n, 3) of `points` whose centres lie in marked voxels of `other`."""
    voxels = np.argwhere(points.data)
    at = np.rint(affines.apply(affines.inverse(other.affine) @ way @ points.affine, voxels)).astype(np.int64)
    within = ((at >= 0) & (at < np.array(other.shape))).all(axis=1)
    voxels, at = voxels[within], at[within]
    return np.asarray(voxels[other.data[tuple(at.T)] > 0])
