"""A mask over several visits lies in a space of its own: the images that were brought there come with it, made again from the published ones.

New-lesion masks are drawn where the images of two visits have been aligned. The site's own transforms (ITK text files) say how; from them and the images
that are published, each image is resampled onto the mask's grid, linearly, and kept beside the mask as a derivative. The mask itself is never resampled.
That transforms and mask belong together is not believed but seen: around the mask, the images of the visits must resemble each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidstree import masks, names
from bidstree.errors import BidsError
from spatial.resample import resample
from spatial.volumes import Volume, load

ALIKE = 0.6  # correlation of two aligned visits around the mask; 0.94 in the shared case, below 0.1 with the transforms turned round
_KINDS = ("MatrixOffsetTransformBase_double_3_3", "AffineTransform_double_3_3", "Euler3DTransform_double_3_3", "VersorRigid3DTransform_double_3_3")
_MAX_BYTES = 65536
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Shared:
    """`volume`: the mask as drawn; `images`: BIDS path -> that image on the mask's grid; `how` (JSON): alike (lowest correlation), voxels;
    of a mask with four axes also fourth (`labels`)."""

    volume: Volume
    kind: str
    images: dict[str, Volume]
    how: dict[str, Any] = field(default_factory=dict)


def read_transform(path: Path) -> NDArray[np.float64]:
    """(4, 4) map from world mm (RAS) of the common space to world mm of the image, from an ITK text file of one affine.

    ITK (LPS): y = M (x - c) + t + c with Parameters M (row by row) and t, FixedParameters c; it maps points of the output to points of the input.
    Raises BidsError `transform_unreadable`.
    """
    refused = BidsError("transform_unreadable", "The transform is no ITK text file of one affine.", "Hand in the text file that the registration wrote.")
    try:
        text = path.read_bytes()[:_MAX_BYTES].decode("ascii")
        found = dict(re.findall(r"^(Transform|Parameters|FixedParameters):[ \t]*(.*)$", text, re.MULTILINE))
        numbers, centre = (np.array([float(word) for word in found[key].split()]) for key in ("Parameters", "FixedParameters"))
    except (OSError, UnicodeDecodeError, KeyError, ValueError) as error:
        raise refused from error
    if text.count("Transform:") != 1 or found["Transform"].strip() not in _KINDS[:2] or numbers.size != 12 or centre.size < 3:
        raise refused
    matrix = np.eye(4)
    matrix[:3, :3] = numbers[:9].reshape(3, 3)
    matrix[:3, 3] = numbers[9:] + centre[:3] - matrix[:3, :3] @ centre[:3]
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 0.1:
        raise refused
    turned: NDArray[np.float64] = _LPS @ matrix @ _LPS
    return turned


def attach(mask: Path, images: Mapping[str, tuple[Path, Path]]) -> Shared:
    """Bring each image to the grid of `mask` by its transform. `images`: BIDS path -> (published image, ITK transform of the site).

    Raises BidsError as `masks.attach` for the mask itself, `transform_unreadable`, and `spaces_differ` where the brought images do not resemble each other.
    """
    drawn = masks.read(mask)
    labelled = drawn.data.ndim == 4  # one volume for each label: BIDS has no other name for them
    kind = masks.kind(drawn.data)
    where: NDArray[Any] = np.asarray(drawn.data.any(axis=3) if labelled else drawn.data > 0)
    if not images:
        raise BidsError("mask_without_image", "There is no image that the mask could belong to.", "Hand in the images together with their mask.")
    brought = {key: resample(load(image), drawn, read_transform(transform)) for key, (image, transform) in sorted(images.items())}
    alike = min((_likeness(brought[a].data, brought[b].data, where) for a, b in combinations(brought, 2)), default=1.0)
    if alike < ALIKE:
        reason = f"Brought to the mask's space, the images resemble each other by {alike:.2f} only (at least {ALIKE})."
        raise BidsError("spaces_differ", reason, "Check which transform belongs to which image, or hand in the registered images.")
    covered = min(float((one.data[where] != 0).mean()) for one in brought.values())
    if covered < 0.99:
        raise BidsError("spaces_differ", f"Only {covered:.0%} of the mask lies on an image.", "Check which transform belongs to which image.")
    how = {"alike": round(alike, 3), "voxels": int(np.count_nonzero(drawn.data)), **({"fourth": "labels"} if labelled else {})}
    return Shared(drawn, "probseg" if labelled else kind, brought, how)


def _likeness(a: NDArray[Any], b: NDArray[Any], drawn: NDArray[Any]) -> float:
    """Correlation of two images within the box around the mask, 40 voxels wider in the plane and 8 across."""
    where = np.argwhere(drawn > 0)
    margin = np.array([40, 40, 8])
    low, high = where.min(axis=0) - margin, where.max(axis=0) + margin + 1
    box = tuple(slice(max(int(lo), 0), int(hi)) for lo, hi in zip(low, high, strict=True))
    x, y = a[box].ravel(), b[box].ravel()
    inside = (x > 0) & (y > 0)
    if int(inside.sum()) < 100 or x[inside].std() == 0 or y[inside].std() == 0:
        return 0.0
    return float(np.corrcoef(x[inside], y[inside])[0, 1])


def brought_path(image: PurePosixPath | str, space: str = "common") -> PurePosixPath:
    """Where an image in the common space lies: beside the annotations, with `space-common_desc-aligned`. `space`: another, where a study has several."""
    return names.derived(PurePosixPath(image), "aligned", masks.FOLDER, space)


def brought_sidecar(image: PurePosixPath | str) -> dict[str, Any]:
    """The JSON beside it: from which image of the dataset it was made."""
    return {"SkullStripped": False, "Sources": [f"bids:raw:{image}"], "SpatialReference": "The space of the annotation beside it: both visits, aligned."}


def mask_path(image: PurePosixPath | str, label: str, rater: str, kind: str = "mask", extension: str = ".nii.gz", space: str = "common") -> PurePosixPath:
    """Where the mask lies: under the visit of `image` (the later one, by custom), in `space-common`. Raises BidsError `name_not_bids`."""
    return masks.placed(image, space, label, rater, kind, extension)


def mask_sidecar(
    images: Mapping[str, Any] | list[str],
    reference: PurePosixPath | str,
    mask_type: str,
    *,
    kind: str = "mask",
    how: Mapping[str, Any] | None = None,
    labels: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The JSON beside the mask: all its source images (raw), and the aligned image whose grid it lies on (`reference`: its path in the dataset).

    `kind`, `how`, `labels`: as for `masks.sidecar`.
    """
    sources = [f"bids:raw:{image}" for image in sorted(images)]
    return masks.sidecar(reference, mask_type, how or {}, kind=kind, labels=labels) | {"Sources": sources}
