"""NIfTI from a site is untrusted too: what its header could tell is dropped, what cannot be a scan is refused, and the voxels stay as they were stored.

Free text of the header (descrip, aux_file, intent_name, db_name), extensions (which can hold a whole DICOM header) and the file name inside gzip are gone
by construction: a new header is written from shape, type, scaling and orientation alone (`spatial.volumes.save`). Sizes are looked at before memory is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bidstree import foreign
from bidstree import sidecar as sidecars
from bidstree.errors import BidsError
from spatial.errors import SpatialError
from spatial.volumes import load, save

_LEAST = 5  # characters; shorter words stand in every header by chance


@dataclass(frozen=True)
class Taken:
    """`shape` (i, j, k[, t]), `zooms` in mm, `sidecar`: the fields that may stay, `dropped`: names of those that may not -> why.

    `others`: how many more were dropped whose names are on no list of ours; those names are told nowhere.
    """

    shape: tuple[int, ...]
    zooms: tuple[float, float, float]
    sidecar: dict[str, Any]
    dropped: dict[str, str]
    others: int = 0


def told(sidecar: Mapping[str, Any]) -> set[str]:
    """Values of a site's sidecar that say whose it is. They are dropped by construction; this is for whoever searches a result for them."""
    found = {str(value).strip() for name, value in sidecar.items() if sidecars.DROPPED.get(name) == "the person" and isinstance(value, str | int)}
    return {word for word in found if len(word) >= _LEAST}


def nifti(source: Path, target: Path, sidecar: Mapping[str, Any] | None = None) -> Taken:
    """Write a clean copy of a site's NIfTI to `target` (.nii.gz): same grid, same stored values, no text.

    `sidecar`: the JSON that came with it, filtered by the list of `bidstree.foreign`. Raises BidsError `nifti_refused` with the reason: unreadable,
    no real numbers, absurd or empty dimensions, zero or infinite spacing, a singular affine, no orientation.
    """
    given = dict(sidecar or {})
    try:
        volume = load(source)
        save(volume, target, like=source)
    except SpatialError as error:
        raise BidsError("nifti_refused", f"The NIfTI cannot be taken: {error.reason}", "Export it again from the program that made it.") from error
    return Taken(volume.shape, volume.zooms, foreign.clean(given), *foreign.dropped(given))
