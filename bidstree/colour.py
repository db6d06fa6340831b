"""Colours become three volumes: red, green and blue of a colour map, for readers and for whatever must look at its voxels, as numbers.

A converter writes a colour FA map with a data type of three bytes a voxel, which few readers of NIfTI know, and in which no face can be looked for. The same
bytes as a fourth axis of length three lose nothing, and the affine stays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def unpack(path: Path) -> bool:
    """Rewrite an uncompressed NIfTI of RGB voxels in place as (i, j, k, 3) bytes; whether it was one. Other images are left alone."""
    import nibabel as nib
    import numpy as np

    image: Any = nib.load(path)
    kind = image.get_data_dtype()
    if kind.fields is None or set(kind.fields) != {"R", "G", "B"} or len(image.shape) != 3:
        return False
    stored = np.asanyarray(image.dataobj)
    planes = np.stack([stored[name] for name in "RGB"], axis=-1)
    fresh = nib.Nifti1Image(planes, image.affine)
    for name in ("sform_code", "qform_code"):
        fresh.header[name] = image.header[name]
    fresh.header.set_xyzt_units("mm", "sec")
    blob = fresh.to_bytes()
    path.write_bytes(blob)
    return True
