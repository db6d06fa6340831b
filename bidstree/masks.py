"""An annotation belongs to the image whose voxels it was drawn on, and geometry says which: names are hints, voxel centres are proof.

A mask whose voxel centres are those of an image, in any order and direction of axes, is turned onto the image's own axes by permuting and flipping the
array: no value is computed, so nothing is lost, and the same turn backwards gives the mask again. Any other grid is refused with the numbers. Several
images of a visit can share one grid; then the words of the file's name decide, and after them the contrast lesions are usually drawn on.
Sidecar and name follow BIDS derivatives: `derivatives/annotations/sub-L/ses-S/DT/sub-L_ses-S_..._space-SUFFIX_label-X_desc-RATER_mask.nii.gz`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidstree import names
from bidstree.errors import BidsError
from spatial.errors import SpatialError
from spatial.resample import resample
from spatial.volumes import Volume, load

TOLERANCE = 0.01  # of a voxel edge, at any corner of the grid
PREFERRED = ("FLAIR", "T2w", "T1w", "T2starw", "PDw", "dwi")
FOLDER = "annotations"
MAX_LABELS = 512
HIGHEST = 65535  # no atlas numbers its labels higher, and no number of a person is as low

# BIDS labels of annotations (derivatives, common labels of segmentations, and those the field uses): word in a file name -> (label, BIDS mask Type).
LABELS: dict[str, tuple[str, str]] = {
    "lesion": ("lesion", "Lesion"),
    "les": ("lesion", "Lesion"),
    "gt": ("lesion", "Lesion"),
    "consensus": ("lesion", "Lesion"),
    "gmseg": ("GM", "ROI"),
    "gm": ("GM", "ROI"),
    "wm": ("WM", "ROI"),
    "csf": ("CSF", "ROI"),
    "brainmask": ("brain", "Brain"),
    "brain": ("brain", "Brain"),
    "cord": ("SC", "ROI"),
    "sc": ("SC", "ROI"),
    "tumor": ("tumor", "Lesion"),
    "tumour": ("tumor", "Lesion"),
    "stroke": ("lesion", "Lesion"),
}


def check_labels(data: NDArray[Any], dictionary: Mapping[str, int]) -> None:
    """Whether the values of an annotation are those of its dictionary (name -> value), all of them and no others but 0: a value that nothing has could be
    any number of a person. Of parts of 1 the dictionary may name the whole. Raises BidsError `labels_unknown`; names are letters and digits."""
    values = {int(value) for value in np.unique(np.ceil(data)) if value != 0}
    other = values ^ (set(dictionary.values()) - {0})
    if other or len(set(dictionary.values())) < len(dictionary) or not all(names.alphanumeric(name) == name and name for name in dictionary):
        reason = f"{len(other)} label(s) are in the mask and not in its dictionary, or the other way round, or the dictionary names one twice."
        raise BidsError("labels_unknown", reason, "Say what each value of the mask means, and of no other, in letters and digits.")


@dataclass(frozen=True)
class Attached:
    """`image`: key of the image it lies on; `volume`: the annotation on that image's own grid; `kind`: mask, dseg or probseg.

    `how` (JSON): axes (order of the annotation's axes along the image's), flipped, residual_voxel, same_grid (keys of all images that would do), voxels;
    of an annotation with a fourth axis also fourth: `volumes` (one mask for each volume of the image) or `labels` (one volume for each label).
    """

    image: str
    volume: Volume
    kind: str
    how: dict[str, Any] = field(default_factory=dict)


def attach(mask: Path, images: Mapping[str, Path], *, hint: str = "", prefer: Sequence[str] = (), resampled: bool = False) -> Attached:
    """Find the image of `images` (key, e.g. its BIDS path -> NIfTI) that `mask` was drawn on, and turn the mask onto its axes.

    `hint`: words that may name the contrast (the file's own name is used beside it, and never repeated anywhere). `prefer`: keys that go first, where
    their grid fits: images that the site says the mask belongs to. A fourth axis is that of the image's volumes where both have as many, else of labels.
    `resampled`: whether a mask of another grid may be brought to its image's (nearest value; parts of 1 linearly): only where its sender asked for it.
    Raises BidsError `mask_unreadable`, `mask_empty`, `mask_values`, `mask_without_image`, `mask_other_grid` (with both grids in numbers).
    """
    drawn = read(mask)
    what = kind(drawn.data)
    if not images:
        raise BidsError("mask_without_image", "There is no image in this visit that the mask could belong to.", "Hand in the image together with its mask.")
    grids = {key: _load_grid(path) for key, path in images.items()}
    fits = {key: turn for key, (affine, shape) in grids.items() if (turn := _turn(drawn, affine, shape)) is not None}
    if not fits and resampled and drawn.data.ndim == 3:
        return _brought(drawn, what, images, next((one for one in prefer if one in images), None) or _choose(sorted(images), f"{mask.name} {hint}"))
    if not fits:
        raise _other_grid(drawn, grids)
    timed = {one for one in fits if drawn.data.ndim == 4 and _volumes(images[one]) == drawn.shape[3]}
    able = sorted(timed or fits)
    key = next((one for one in prefer if one in able), None) or _choose(able, f"{mask.name} {hint}")
    if drawn.data.ndim == 4 and key not in timed:
        what = "probseg"  # one volume for each label: BIDS has no other name for them
    order, flips, residual = fits[key]
    data = _turned(drawn.data, order, flips)
    how = {
        "axes": list(order),
        "flipped": [axis for axis, flip in zip("ijk", flips, strict=True) if flip],
        "residual_voxel": round(residual, 5),
        "same_grid": sorted(fits),
        "voxels": int(np.count_nonzero(data)),
        **({"fourth": "volumes" if key in timed else "labels"} if drawn.data.ndim == 4 else {}),
    }
    return Attached(key, Volume(data, grids[key][0]), what, how)


def _brought(drawn: Volume, what: str, images: Mapping[str, Path], key: str) -> Attached:
    """A mask on the grid of one image. Raises BidsError `mask_other_grid` where a part of it would be lost: then it was drawn on something else."""
    image = load(images[key]).mean3d()
    done = resample(drawn, image, order="linear" if what == "probseg" else "nearest")
    before, after = (float(np.count_nonzero(one.data)) * float(np.prod(one.zooms)) for one in (drawn, done))
    if not 0.8 <= after / before <= 1.25:
        grids = {key: (image.affine, image.shape)}
        raise _other_grid(drawn, grids)
    data = np.asarray(done.data, dtype=np.float32 if what == "probseg" else drawn.data.dtype)
    how = {"resampled": "linear" if what == "probseg" else "nearest", "same_grid": [key], "voxels": int(np.count_nonzero(data))}
    return Attached(key, Volume(data, image.affine), what, how)


def read(path: Path) -> Volume:
    """The volume of an annotation. Raises BidsError `mask_unreadable`."""
    try:
        return load(path)
    except SpatialError as error:
        raise BidsError("mask_unreadable", f"The mask is no volume: {error.reason}", "Hand in the mask as NIfTI.") from error


def _load_grid(path: Path) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Affine and 3D shape of an image, from its header alone."""
    import nibabel as nib

    image = nib.load(path)
    return np.asarray(image.affine, dtype=np.float64), tuple(int(n) for n in image.shape[:3])


def _volumes(path: Path) -> int:
    """How many volumes an image has, from its header alone."""
    import nibabel as nib

    shape = nib.load(path).shape
    return int(shape[3]) if len(shape) > 3 else 1


def kind(data: NDArray[Any]) -> str:
    """`mask` (one value beside 0), `dseg` (several whole labels) or `probseg` (parts of 1). Raises BidsError `mask_values`, `mask_empty`."""
    values = np.unique(data)
    if not np.isfinite(values.astype(np.float64)).all() or values.min() < 0:
        raise BidsError("mask_values", "The mask holds negative or infinite values.", "A mask holds 0 and labels, or parts between 0 and 1.")
    if values.max() == 0:
        raise BidsError("mask_empty", "The mask marks no voxel.", "If there is truly no lesion, say so in the clinical table.")
    whole = bool((values == np.rint(values)).all())
    if not whole and values.max() > 1:
        raise BidsError(
            "mask_values", "The mask holds values that are neither labels nor parts between 0 and 1.", "Hand in the mask itself, not the masked image."
        )
    if values.max() > HIGHEST:
        raise BidsError("mask_values", f"The mask holds a value above {HIGHEST}.", "Number its labels from 1.")
    if whole and values.size > MAX_LABELS:
        raise BidsError("mask_values", f"The mask holds {values.size} labels: it looks like an image.", "Hand in the mask itself, not the masked image.")
    return "probseg" if not whole else ("mask" if values.size <= 2 else "dseg")


def _turn(drawn: Volume, affine: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[tuple[int, int, int], tuple[bool, bool, bool], float] | None:
    """How the mask's axes become the image's: `order[a]` the mask's axis along image axis a, whether to flip it, and the largest corner error in voxels."""
    between = np.linalg.inv(affine) @ drawn.affine  # voxel of the mask -> voxel of the image
    order = tuple(int(np.argmax(np.abs(between[a, :3]))) for a in range(3))
    if sorted(order) != [0, 1, 2] or tuple(drawn.shape[n] for n in order) != shape:
        return None
    flips = tuple(bool(between[a, order[a]] < 0) for a in range(3))
    ideal = np.eye(4)
    ideal[:3] = 0
    for a in range(3):
        ideal[a, order[a]] = -1 if flips[a] else 1
        ideal[a, 3] = shape[a] - 1 if flips[a] else 0
    ends = np.array([[i, j, k, 1.0] for i in (0, drawn.shape[0] - 1) for j in (0, drawn.shape[1] - 1) for k in (0, drawn.shape[2] - 1)])
    residual = float(np.abs(ends @ (between - ideal).T).max())
    return ((order[0], order[1], order[2]), (flips[0], flips[1], flips[2]), residual) if residual <= TOLERANCE else None


def _turned(data: NDArray[Any], order: Sequence[int], flips: Sequence[bool]) -> NDArray[Any]:
    turned = np.transpose(data, (*order, *range(3, data.ndim)))
    return np.ascontiguousarray(np.flip(turned, tuple(axis for axis, flip in enumerate(flips) if flip)))


def _choose(keys: list[str], words: str) -> str:
    """Among images of one grid: the one whose suffix the words name, then the usual contrast, then the first name."""
    lower = words.lower()

    def rank(key: str) -> tuple[bool, int, str]:
        suffix = PurePosixPath(key).name.split(".")[0].split("_")[-1]
        usual = PREFERRED.index(suffix) if suffix in PREFERRED else len(PREFERRED)
        return (suffix.lower() not in lower and suffix.lower().rstrip("w") not in re.split(r"[^a-z0-9]+", lower), usual, key)

    return min(keys, key=rank)


def _other_grid(drawn: Volume, grids: Mapping[str, tuple[NDArray[np.float64], tuple[int, ...]]]) -> BidsError:
    """The refusal, with the grid of the mask and of the image that comes closest."""

    def distance(grid: tuple[NDArray[np.float64], tuple[int, ...]]) -> float:
        affine, shape = grid
        a = affine @ np.array([*((np.array(shape) - 1) / 2), 1.0])
        b = drawn.affine @ np.array([*((np.array(drawn.shape[:3]) - 1) / 2), 1.0])
        return float(np.linalg.norm((a - b)[:3]))

    affine, shape = min(grids.values(), key=distance)
    reason = (
        f"The mask's grid ({_grid_words(drawn.affine, drawn.shape)}) is that of no image of the visit; the nearest has {_grid_words(affine, shape)}, "
        f"centres {distance((affine, shape)):.1f} mm apart."
    )
    return BidsError("mask_other_grid", reason, "Hand in the mask on the image it was drawn on, or that image too (registered, skull-stripped).")


def _grid_words(affine: NDArray[np.float64], shape: Sequence[int]) -> str:
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    return f"{' x '.join(str(n) for n in shape[:3])} voxels of {' x '.join(f'{z:.2f}' for z in zooms)} mm"


def label_of(file_name: str) -> tuple[str, str]:
    """(BIDS label, BIDS mask Type) that a file's name suggests; `("ROI", "ROI")` where it suggests nothing. The name itself goes nowhere."""
    # The last word counts: `t2_lesion_sc_seg` is the cord on an image of a lesion.
    words = re.split(r"[^a-z]+", file_name.lower())[::-1]
    for word in [*words, *(word.removesuffix("seg").removesuffix("mask") for word in words)]:
        if word in LABELS:
            return LABELS[word]
    return ("lesion", "Lesion") if "lesion" in file_name.lower() else ("ROI", "ROI")


def path(image: PurePosixPath | str, label: str, rater: str, what: str = "mask", extension: str = ".nii.gz") -> PurePosixPath:
    """Relative path of an annotation of `image` (a BIDS path), under derivatives/annotations. `label`, `rater`: letters and digits.

    `space-SUFFIX` says on which image's grid it lies, so annotations of two contrasts of a visit cannot collide; on an image in a template's space it is that
    space. Raises BidsError `name_not_bids`.
    """
    return placed(image, "", label, rater, what, extension)


def placed(image: PurePosixPath | str, space: str, label: str, rater: str, what: str, extension: str = ".nii.gz") -> PurePosixPath:
    """As `path`, in a space of that name; empty: the image's own."""
    source = PurePosixPath(image)
    *parts, suffix = source.name.split(".")[0].split("_")
    pairs = dict(part.split("-", 1) for part in parts)
    subject, session = pairs.pop("sub"), pairs.pop("ses", None)
    template = pairs.pop("space", "")
    if template:  # it has one name, whatever lies in it
        pairs.pop("desc", "")
    allowed = names.rule(source.parent.name, what).allowed
    # What an annotation's name may not have (mt, flip, inv) tells images of one grid apart all the same: it goes into the name of the space.
    space = (space or template or suffix) + pairs.pop("desc", "") + "".join(f"{key}{pairs.pop(key)}" for key in sorted(set(pairs) - allowed))
    entities = {**pairs, "space": space, "desc": rater, **({"label": label} if "label" in allowed and (what == "mask" or label) else {})}
    return PurePosixPath("derivatives", FOLDER) / names.path(subject, session, source.parent.name, what, entities, extension)


def named_volumes(volumes: int, dictionary: Mapping[str, int]) -> list[str]:
    """Names of the volumes of an annotation that has one for each label, in their order (BIDS `LabelMap`). `dictionary`: name -> number of the volume, from 1.

    Raises BidsError `labels_unknown` where it does not name each volume once.
    """
    if sorted(dictionary.values()) != list(range(1, volumes + 1)):
        reason = f"The mask has {volumes} volumes, as many as no image of the visit, and its dictionary does not name each of them once."
        raise BidsError("labels_unknown", reason, "Say what each volume of the mask marks, counted from 1.")
    return sorted(dictionary, key=lambda name: dictionary[name])


def address(image: PurePosixPath | str) -> str:
    """The BIDS URI of an image of the dataset (its path), as a file under derivatives/annotations writes it."""
    own = f"derivatives/{FOLDER}/"
    return f"bids::{str(image).removeprefix(own)}" if str(image).startswith(own) else f"bids:raw:{image}"


def sidecar(
    image: PurePosixPath | str, mask_type: str, how: Mapping[str, Any], *, kind: str = "mask", labels: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The JSON beside an annotation: BIDS `Type`, `Sources`, `SpatialReference`, and how its axes were turned (`Reorientation`).

    `labels`: name -> value (`Labels`), or name -> number of the volume where the fourth axis is one of labels (`LabelMap`).
    """
    volumes = how.get("fourth") == "labels" and bool(labels)
    uri = address(image)
    turned = {"Axes": how.get("axes", [0, 1, 2]), "Flipped": how.get("flipped", [])}
    return {
        **({"Type": mask_type} if kind == "mask" else {}),
        "Manual": True,
        "Sources": [uri],
        "SpatialReference": uri,
        **({"Resampled": how["resampled"]} if "resampled" in how else {"Reorientation": turned}),
        **({"LabelMap": named_volumes(len(labels or {}), labels or {})} if volumes else {"Labels": dict(labels)} if labels else {}),
    }
