"""The tables of the DICOM dictionary, without the rest of the library that holds them.

`import pydicom` reads its decoders, its network code and its example files: a third of a second, paid by the command and by every child it starts, for tables
of names. The tables are plain modules, so they are loaded from where the library lies, under their own names: should somebody import the library later, it
finds them there. PS3.6 chapters 6 to 8 and Annex A.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["DicomDictionary", "private_dictionaries", "tag_for_keyword", "uid_dictionary"]


def _table(name: str) -> ModuleType:
    """A module of pydicom that holds tables alone."""
    full = f"pydicom.{name}"
    if full in sys.modules:
        return sys.modules[full]
    library = importlib.util.find_spec("pydicom")  # does not import it
    spec = importlib.util.spec_from_file_location(full, Path(library.origin or "").with_name(f"{name}.py")) if library else None
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[full] = module
    return module


# Tag -> (VR, VM, name, "Retired" or "", keyword).
DicomDictionary: dict[int, tuple[str, str, str, str, str]] = _table("_dicom_dict").DicomDictionary
_TAGS = {entry[4]: tag for tag, entry in DicomDictionary.items()}


def tag_for_keyword(keyword: str) -> int | None:
    """The tag of an attribute, None where there is no such keyword."""
    return _TAGS.get(keyword)


@lru_cache(maxsize=1)
def private_dictionaries() -> dict[str, dict[str, tuple[str, ...]]]:
    """Creator -> "ggggxxee" -> (VR, VM, name, ...)."""
    found: dict[str, dict[str, tuple[str, ...]]] = _table("_private_dict").private_dictionaries
    return found


@lru_cache(maxsize=1)
def uid_dictionary() -> dict[str, Any]:
    """Well-known UID -> (name, type, ...)."""
    found: dict[str, Any] = _table("_uid_dict").UID_dictionary
    return found
