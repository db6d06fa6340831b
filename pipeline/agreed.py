"""What a study agreed on, for a desk without a registry: one JSON file that holds what an order's `protocol` and `faces` hold.

    {"protocol": {"profile": {...}, "inclusion": ["field_strength"]}, "faces": {"name": "trial-7", "exempt": ["bold"]}}

Without a steward nobody decides on orbits, so `orbits` is refused here; purposes of visits are named by session labels, which a desk gives itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deid import facepolicy
from deid.errors import DeidError
from pipeline.order import part
from qa.errors import QaError
from qa.protocol import rules_of

SIZE_CAP = 1 << 20


class NotAgreed(ValueError):
    """The file does not say what may be agreed on; the message says why and what to do."""


def read(path: Path) -> dict[str, dict[str, Any]]:
    """`protocol` and `faces` as the file says them. Raises NotAgreed."""
    try:
        value = json.loads(path.read_bytes()[:SIZE_CAP])
    except (OSError, ValueError, RecursionError):
        raise NotAgreed("The file of --agreed cannot be read as JSON.") from None
    if not isinstance(value, dict) or set(value) - {"protocol", "faces"}:
        raise NotAgreed("The file of --agreed holds protocol, faces or both, and nothing else.")
    for name, told in value.items():
        for error in part(name).iter_errors(told):
            place = "/".join(map(str, error.absolute_path))
            raise NotAgreed(f"The file of --agreed is wrong at {name}/{place}: see docs/reference/order.schema.json.")
    check(value.get("protocol", {}), value.get("faces", {}))
    return value


def check(protocol: Mapping[str, Any], faces: Mapping[str, Any]) -> None:
    """Whether the profile is one, its criteria are rules of it, and the policy about faces is one that a desk can keep. Raises NotAgreed."""
    try:
        rules = rules_of(protocol["profile"]) if "profile" in protocol else rules_of()
        facepolicy.at_a_desk(faces)
    except (QaError, DeidError) as error:
        raise NotAgreed(f"{error.reason} {error.advice}") from None
    if not set(protocol.get("inclusion", [])) <= set(rules):
        raise NotAgreed(f"A criterion of inclusion is no rule of the profile. The rules are {', '.join(rules)}.")
