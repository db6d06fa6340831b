"""A volume is an array and the place it has in the world; everything else in a NIfTI header is hearsay.

`load` looks at the header first and refuses what cannot be a volume before a byte of voxels is unpacked. `save` writes the same bytes for
the same volume (gzip without time or name), and with `like=` it gives every voxel back exactly as it was stored: the numbers a reader
sees are stored * slope + intercept, and turning them back is exact for up to 16-bit integers in float32 and for all others in float64.
Free text and extensions of a header (`descrip`, `aux_file`, ...) can name a person or a time: they are never carried over.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from spatial import affines
from spatial.affines import Matrix
from spatial.errors import SpatialError

MAX_AXIS, MAX_TIME, MAX_VOXELS = 2048, 20_000, 2**30
GZIP_LEVEL = 6


@dataclass(frozen=True, eq=False)
class Volume:
    """`data` (i, j, k) or (i, j, k, t), real values; `affine` (4, 4) float64, voxel -> world mm RAS+.

    Raises SpatialError as `affines.check`, and `bad_dimensions` for another number of axes or an empty one.
    """

    data: NDArray[Any]
    affine: Matrix

    def __post_init__(self) -> None:
        check_shape(self.data.shape)
        object.__setattr__(self, "affine", affines.check(self.affine))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along i, j, k (and t)."""
        return tuple(int(n) for n in self.data.shape)

    @property
    def zooms(self) -> tuple[float, float, float]:
        """Voxel edges along i, j, k in mm."""
        return affines.zooms(self.affine)

    @property
    def extent(self) -> tuple[float, float, float]:
        """Size of the box along i, j, k in mm."""
        a, b, c = (n * z for n, z in zip(self.shape, self.zooms, strict=False))
        return a, b, c

    def mean3d(self) -> Volume:
        """The 3D volume itself, or the mean over time, without NaN or infinity, as float32."""
        data = self.data
        if data.ndim == 4:
            data = data.mean(axis=3, dtype=np.float32)
        data = np.asarray(data, dtype=np.float32)
        if not np.isfinite(data).all():  # asked first: to mend what is whole costs a second for a large head
            data = np.nan_to_num(data, nan=0.0, posinf=0.0, neginf=0.0)
        return Volume(data, self.affine)


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuse what cannot be a volume. Raises SpatialError `bad_dimensions` or `too_large`."""
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise SpatialError("bad_dimensions", "The array does not have three or four axes with something in them.")
    if max(shape[:3]) > MAX_AXIS or (len(shape) == 4 and shape[3] > MAX_TIME) or int(np.prod(shape, dtype=np.int64)) > MAX_VOXELS:
        raise SpatialError("too_large", "The volume is larger than any scan.")


def load(path: Path) -> Volume:
    """Read a NIfTI-1, NIfTI-2 (also gzip) file as real values.

    Stored integers without scaling keep their type; scaled ones become float32 (float64 beyond 16 bits). Trailing axes of length one go.
    Raises SpatialError `unreadable_volume`, `unsupported_values`, `bad_dimensions`, `too_large`, `bad_spacing`, `singular_affine`, `no_orientation`.
    """
    _check_spacing(path)
    image = _open(path)
    header = image.header
    shape = _trimmed(tuple(int(n) for n in image.shape))
    check_shape(shape)
    _check_type(header)
    if int(header["sform_code"]) <= 0 and int(header["qform_code"]) <= 0:
        raise SpatialError("no_orientation", "The header does not say where the volume lies.")
    affine = affines.check(image.affine)
    return Volume(_values(image).reshape(shape), affine)


def save(volume: Volume, path: Path, *, like: Path | None = None) -> None:
    """Write a volume; the same volume gives the same bytes. `path` ends in .nii or .nii.gz; it appears whole or not at all.

    With `like`, type, scaling, units and orientation codes are those of that file, and values that came from it are stored bit for bit as there.
    Raises SpatialError `out_of_range` where that type cannot hold a value, `grid_mismatch` where the affine differs from that file's.
    """
    header = _fresh_header(volume) if like is None else _header_like(volume, like)
    stored = _stored(volume.data, header)
    body = io.BytesIO()
    header.write_to(body)
    body.write(b"\0" * (int(header["vox_offset"]) - body.tell()))
    body.write(stored.tobytes(order="F"))
    blob = body.getvalue()
    if path.suffix == ".gz":
        blob = _gzip(blob)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as sink:
        sink.write(blob)
        sink.flush()
        os.fsync(sink.fileno())
    part.replace(path)


def same_grid(a: Volume, b: Volume, tolerance: float = 0.01) -> bool:
    """Whether both have the same 3D shape and no corner lies further apart than `tolerance` (in voxel edges)."""
    if a.shape[:3] != b.shape[:3]:
        return False
    apart = affines.corners(a.shape, a.affine) - affines.corners(b.shape, b.affine)
    return bool(np.sqrt((apart**2).sum(axis=1)).max() <= tolerance * min(a.zooms))


def _open(path: Path) -> Any:
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel raises what its parts raise; a file that cannot be opened is one answer
        raise SpatialError("unreadable_volume", "The file could not be read as a NIfTI volume.") from error
    if not isinstance(image, nib.Nifti1Image | nib.Nifti2Image):
        raise SpatialError("unreadable_volume", "The file is not a NIfTI volume.")
    return image


def _check_spacing(path: Path) -> None:
    """Look at the voxel edges as they stand in the file: nibabel repairs bad ones silently when it opens it."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as source:
            kind = nib.Nifti2Header if source.read(4) in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nib.Nifti1Header
            source.seek(0)
            edges = np.asarray(kind.from_fileobj(source, check=False)["pixdim"][1:4], dtype=np.float64)
    except Exception as error:  # whatever breaks here, the file is no NIfTI
        raise SpatialError("unreadable_volume", "The file could not be read as a NIfTI volume.") from error
    if not np.isfinite(edges).all() or (edges <= 0).any():
        raise SpatialError("bad_spacing", "A voxel edge in the header is zero, negative or not a number.")


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop axes of length one after the third, and give a 2D image its third axis."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape + (1,) * (3 - len(shape)) if len(shape) == 2 else shape


def _check_type(header: Any) -> None:
    kind = header.get_data_dtype()
    if kind.fields is not None or kind.kind not in "iuf":
        raise SpatialError("unsupported_values", "The voxels are colours or complex numbers.")


def _values(image: Any) -> NDArray[Any]:
    try:
        stored = np.asanyarray(image.dataobj.get_unscaled())
        slope, inter = image.dataobj.slope, image.dataobj.inter
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise SpatialError("unreadable_volume", "The voxels could not be read to the end.") from error
    if slope == 1 and inter == 0:
        return np.ascontiguousarray(stored) if stored.dtype.isnative else stored.astype(stored.dtype.newbyteorder("="))
    wide = np.float32 if stored.dtype.itemsize <= 2 else np.float64
    return np.asarray(stored.astype(np.float64) * slope + inter, dtype=wide)


def _scaling(header: Any) -> tuple[float, float]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    return slope, inter if np.isfinite(inter) else 0.0


def _stored(data: NDArray[Any], header: Any) -> NDArray[Any]:
    """Real values back to the numbers in the file, exactly where they came from it."""
    kind = header.get_data_dtype()
    slope, inter = _scaling(header)
    if (slope, inter) == (1.0, 0.0) and data.dtype == kind.newbyteorder("="):
        return data.astype(kind)
    raw = data if (slope, inter) == (1.0, 0.0) else (data.astype(np.float64) - inter) / slope
    if kind.kind == "f":
        return np.asarray(raw, dtype=kind)
    raw = np.rint(raw)
    limits = np.iinfo(kind)
    if raw.size and not (np.isfinite(raw).all() and raw.min() >= limits.min and raw.max() <= limits.max):
        raise SpatialError("out_of_range", "A value does not fit the data type of the file.")
    return np.asarray(raw, dtype=kind)


def _fresh_header(volume: Volume) -> Any:
    kind = np.dtype(np.uint8) if volume.data.dtype == np.bool_ else volume.data.dtype
    if kind.kind not in "iuf" or kind.itemsize > 8 or kind == np.float16:
        raise SpatialError("unsupported_values", "Only real numbers that NIfTI has a name for are written.")
    header = nib.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(volume.shape)
    header.set_xyzt_units("mm", "sec")
    header.set_sform(volume.affine, code=1)
    header.set_qform(volume.affine, code=1, strip_shears=True)
    header["scl_slope"], header["scl_inter"] = 1.0, 0.0
    return _finish(header)


def _header_like(volume: Volume, like: Path) -> Any:
    image = _open(like)
    if _trimmed(tuple(image.shape)) != volume.shape or not np.allclose(image.affine, volume.affine, atol=1e-4):
        raise SpatialError("grid_mismatch", "The volume no longer lies on the grid of the file it came from.")
    header = image.header.copy()
    header.set_data_shape(volume.shape)
    slope, inter = image.dataobj.slope, image.dataobj.inter
    header["scl_slope"], header["scl_inter"] = slope, inter
    return _finish(header)


def _finish(header: Any) -> Any:
    """Blank what is free text, drop extensions, and put the voxels right after the header."""
    for name in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        if name in header:
            header[name] = b""
    header.extensions = type(header.extensions)()
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    return header


def _gzip(blob: bytes) -> bytes:
    sink = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0, compresslevel=GZIP_LEVEL) as packer:
        packer.write(blob)
    return sink.getvalue()
