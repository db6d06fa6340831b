"""Which field map corrects which image: said twice, as BIDS has it, and only for images that saw the same field.

A field map is a set of images (magnitudes with a phase difference or two phases; EPI of opposite polarities). It holds for the echo-planar images of the
same visit that were taken with the same shim; where a header does not tell the shim, for those up to the next field map of its kind.
`B0FieldIdentifier` (on the maps) and `B0FieldSource` (on the images) name the set, `IntendedFor` lists the images as BIDS URIs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

# Suffixes that are parts of one map, by the kind of map.
_KINDS = {**dict.fromkeys(("magnitude1", "magnitude2", "magnitude", "phasediff", "phase1", "phase2", "fieldmap"), "gre"), "epi": "epi"}
_CORRECTED = frozenset({"bold", "sbref", "dwi", "asl"})
# What makes a set of these a map; magnitudes alone correct nothing.
_CARRIES = frozenset({"phasediff", "phase1", "phase2", "fieldmap"})


@dataclass(frozen=True)
class Scan:
    """One image of a visit: its BIDS path, the number of its series (order of acquisition), and the shim if the header tells it."""

    path: str
    series: int
    shim: tuple[float, ...] = ()

    @property
    def suffix(self) -> str:
        """The last word of the file's name."""
        return PurePosixPath(self.path).name.split(".")[0].split("_")[-1]

    @property
    def folder(self) -> str:
        """The datatype."""
        return PurePosixPath(self.path).parent.name

    def entities(self) -> dict[str, str]:
        """Key -> value of the file's name."""
        return dict(part.split("-", 1) for part in PurePosixPath(self.path).name.split(".")[0].split("_")[:-1])


@dataclass
class _Map:
    name: str
    kind: str
    parts: list[Scan] = field(default_factory=list)

    @property
    def series(self) -> int:
        return min(part.series for part in self.parts)

    def serves(self) -> bool:
        """Whether it can correct anything: a phase of some kind, or two polarities."""
        if self.kind == "epi":
            return len({part.entities().get("dir", "") for part in self.parts}) > 1
        return any(part.suffix in _CARRIES for part in self.parts)


def scan(path: str, series: int, sidecar: Mapping[str, Any]) -> Scan:
    """A `Scan` from what dcm2niix wrote beside the image."""
    shim = sidecar.get("ShimSetting")
    numbers = tuple(float(value) for value in shim if isinstance(value, int | float)) if isinstance(shim, list) else ()
    return Scan(path, series, numbers)


def link(scans: Sequence[Scan], *, intended: bool = True) -> dict[str, dict[str, Any]]:
    """BIDS path -> sidecar fields, for the images of one visit; images that no map serves are not in it.

    `intended=False` leaves `IntendedFor` out: it names files, so it is only true where it is certain that all of them stay together.
    """
    maps = _maps([one for one in scans if one.folder == "fmap" and one.suffix in _KINDS])
    fields: dict[str, dict[str, Any]] = {}
    served: dict[str, list[str]] = {one.name: [] for one in maps}
    for target in sorted((one for one in scans if one.folder != "fmap" and one.suffix in _CORRECTED), key=lambda one: one.path):
        chosen = [one for kind in ("epi", "gre") if (one := _serving(target, [each for each in maps if each.kind == kind])) is not None]
        for one in chosen:
            served[one.name].append(f"bids::{target.path}")
        if chosen:
            sources = [one.name for one in chosen]
            fields[target.path] = {"B0FieldSource": sources[0] if len(sources) == 1 else sources}
    for one in maps:
        for part in one.parts:
            fields[part.path] = {"B0FieldIdentifier": one.name, **({"IntendedFor": served[one.name]} if intended and served[one.name] else {})}
    return fields | (_calibrations(scans) if intended else {})


def _calibrations(scans: Sequence[Scan]) -> dict[str, dict[str, Any]]:
    """BIDS asks each calibration scan of ASL for the series it calibrates: those of the visit, of the same entities where several are."""
    labelled = sorted(one.path for one in scans if one.suffix == "asl")
    return {one.path: {"IntendedFor": [f"bids::{path}" for path in labelled]} for one in scans if one.suffix == "m0scan" and labelled}


def _maps(parts: Sequence[Scan]) -> list[_Map]:
    """The sets, named by what their files' names share; neighbours in acquisition belong together where names do not tell more."""
    found: dict[tuple[str, ...], _Map] = {}
    for one in sorted(parts, key=lambda part: (part.series, part.path)):
        kind = _KINDS[one.suffix]
        shared = {key: value for key, value in one.entities().items() if key not in {"sub", "ses", "dir", "part", "echo"}}
        key = (kind, *(f"{key}{value}" for key, value in sorted(shared.items())))
        found.setdefault(key, _Map("_".join(("fmap", *key)), kind)).parts.append(one)
    return [one for one in found.values() if one.serves()]


def _serving(target: Scan, maps: Sequence[_Map]) -> _Map | None:
    """The map with the target's shim; without shims, the last one before it, else the first after it."""
    shims = [(one, {part.shim for part in one.parts if part.shim}) for one in maps]
    if target.shim and any(known for _, known in shims):
        same = [one for one, known in shims if target.shim in known]
        return _nearest(target, same)
    return _nearest(target, list(maps))


def _nearest(target: Scan, maps: Sequence[_Map]) -> _Map | None:
    before = [one for one in maps if one.series <= target.series]
    if before:
        return max(before, key=lambda one: (one.series, one.name))
    return min(maps, key=lambda one: (one.series, one.name), default=None)
