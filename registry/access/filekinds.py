"""What kind of file a file is: the words by which a view says what it holds. Told from the path in the BIDS tree, and for orbits from the face's verdict.

A view is a named set of kinds with a level of its own (`registry.access.models.View`). Papers of the tree itself belong to every view.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

KINDS: Mapping[str, str] = {
    "image": "an image as it was acquired, defaced, with its sidecar and gradients",
    "normalised": "an image in a common space, with its sidecar",
    "mask": "an annotation on an image as it was acquired",
    "normalised_mask": "an annotation in a common space",
    "derivative": "another image that was computed from others",
    "clinical": "clinical tables",
    "quality": "quality measures of images",
    "orbit": "an image of the orbits, which defacing would destroy, and what lies on it",
    "paper": "what describes the tree: participants, sessions and scans, the README; in every view",
}
USUAL = frozenset(KINDS) - {"orbit"}  # what a request without a view is for
GUARDED = frozenset({"orbit"})  # only in views that are restricted, or stricter
ANNOTATION = re.compile(r"_(mask|dseg|probseg)\.[a-z.]+\Z")
# The template spaces of BIDS (appendix "coordinate systems") and the cord's PAM50. Any other space is a person's own grid: `space-FLAIR` is the native FLAIR's
# (`bidstree.masks`), `space-common` that of a person's visits laid on each other (`bidstree.common_space`).
TEMPLATE = re.compile(r"_space-(MNI|ICBM452|IXI549Space|NIHPD|UNCInfant|OASIS30|Talairach|fsaverage|fsLR|PAM50)[A-Za-z0-9]*(?=[_.])")
TABLE = re.compile(r"_(sessions|scans)\.(tsv|json)\Z")


def addressed(uris: Iterable[object]) -> set[str]:
    """The paths in the tree that BIDS URIs in a sidecar under derivatives/annotations name; others name nothing. `bidstree.masks.address` writes them."""
    heads = (("bids:raw:", ""), ("bids::", "derivatives/annotations/"))
    return {folder + str(one).removeprefix(head) for one in uris for head, folder in heads if str(one).startswith(head)}


def space(path: str) -> str:
    """The template space that a path names (`MNI152NLin2009cAsym`); empty for a person's own."""
    found = TEMPLATE.search(path)
    return found[0].removeprefix("_space-") if found else ""


def of(path: str, *, orbit: bool = False) -> str:
    """The kind of the file at this path. `orbit`: it belongs to an image of the orbits. What is not known is taken as an image."""
    if orbit:
        return "orbit"
    if path.startswith("phenotype/"):
        return "clinical"
    if path.startswith("derivatives/qa/"):
        return "quality"
    if "/" not in path or path.endswith("/dataset_description.json") or TABLE.search(path):
        return "paper"
    normalised = bool(space(path))
    if ANNOTATION.search(path):
        return "normalised_mask" if normalised else "mask"
    if normalised:
        return "normalised"
    return "derivative" if path.startswith("derivatives/") else "image"
