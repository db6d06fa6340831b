"""UIDs: which name a thing of this hospital, and which name an idea of the standard.

A UID that DICOM itself assigns (root 1.2.840.10008, PS3.6 Annex A) means the same everywhere and stays; every other one is replaced by a keyed one of the
form
2.25.<integer> (PS3.5 B.2), so equal UIDs stay equal, across files, studies, machines and years, and every reference still meets its target.
UIDs of the standard's root that are *not* in its registry are replaced too: a date or a number can hide behind a well-known prefix.
"""

from __future__ import annotations

import re

from deid.dictionary import uid_dictionary
from deid.pseudonyms import PseudonymKey

STANDARD_ROOT = "1.2.840.10008."
VALID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+\Z")


def is_well_known(uid: str) -> bool:
    """Whether the standard itself registers this UID (PS3.6 Annex A, as pydicom carries it)."""
    return uid.startswith(STANDARD_ROOT) and uid in uid_dictionary()


def replace(raw: bytes, key: PseudonymKey) -> tuple[bytes, tuple[str, ...]]:
    """The value field of a UI element with every UID replaced, and the UIDs that were taken out.

    raw: the encoded value, backslash between values, padded with NUL (or, wrongly but often, with a blank). Empty values stay empty.
    """
    old = raw.decode("ascii", "replace").split("\\")
    new = [key.uid(value.strip(" \0")) for value in old]
    gone = tuple(o.strip(" \0") for o, n in zip(old, new, strict=True) if o.strip(" \0") != n)
    out = "\\".join(new).encode("ascii")
    return out + b"\0" * (len(out) & 1), gone
