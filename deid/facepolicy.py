"""What a dataset agreed on about faces, beyond the profile: which kinds of volume may pass where no face could be looked for, and what becomes of orbits.

By default nothing is exempt and orbits go to nobody. A policy has a name, so that every volume that passed by it says which one it was. Only kinds in
which fat is suppressed may be exempt: of 182 people 0 to 2 % were matched with photographs on diffusion and BOLD with nothing removed, against 96 to 98 % on
structural volumes (the study by sequence of the group of Schwarz 2021, doi:10.1016/j.neuroimage.2021.117845).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deid.errors import DeidError

EXEMPTIBLE = ("bold", "cbv", "dwi", "sbref")
SKINLESS = ("dwi", "func")  # the datatypes of those
SIZE_CAP = 1 << 20
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True)
class FacePolicy:
    """`exempt`: BIDS suffixes (of `EXEMPTIBLE`) that pass whole where no head was found and no face is seen, unless a person said that they are such.
    `orbits`: a series made of the orbits goes on whole, for two people to decide on; otherwise nothing of it does."""

    name: str = ""
    exempt: frozenset[str] = frozenset()
    orbits: bool = False


def parse(value: Mapping[str, Any]) -> FacePolicy:
    """The policy that JSON says: `name`, `exempt`, `orbits` (`withheld` or `restricted`). Nothing said: the default. Raises DeidError `bad_face_policy`."""
    if not value:
        return FacePolicy()
    name, exempt, orbits = value.get("name"), value.get("exempt", []), value.get("orbits", "withheld")
    right = isinstance(name, str) and NAME.fullmatch(name) and set(value) <= {"name", "exempt", "orbits"}
    if not right or not isinstance(exempt, list) or not all(one in EXEMPTIBLE for one in exempt) or orbits not in ("withheld", "restricted"):
        raise DeidError("bad_face_policy")
    return FacePolicy(str(name), frozenset(exempt), orbits == "restricted")


def at_a_desk(value: Any) -> FacePolicy:
    """The policy as a desk without stewards can keep it. Raises DeidError `bad_face_policy`, `orbits_need_stewards`."""
    policy = parse(value) if isinstance(value, Mapping) else None
    if policy is None:
        raise DeidError("bad_face_policy")
    if policy.orbits:
        raise DeidError("orbits_need_stewards")
    return policy


def read(path: Path) -> FacePolicy:
    """The policy in a JSON file, for a desk. Raises DeidError as `at_a_desk`."""
    try:
        value = json.loads(path.read_bytes()[:SIZE_CAP])
    except (OSError, ValueError, RecursionError):
        raise DeidError("bad_face_policy") from None
    return at_a_desk(value)
