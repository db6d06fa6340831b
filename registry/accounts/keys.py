"""Where a dataset's two keys lie. The web process reads the code key only; the pseudonym key is the carrier's."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from deid.pseudonyms import CodeKey, load_code_key
from registry import keyfiles
from registry.accounts.models import Dataset

NAMES = ("code", "pseudonym")


def folder(dataset: Dataset) -> Path:
    return Path(settings.MYELIN_KEYS) / "datasets" / str(dataset.pk)


def paths(dataset: Dataset) -> dict[str, str]:
    """Absolute paths of the two key files, as an order names them."""
    return {name: str(folder(dataset) / name) for name in NAMES}


def make(dataset: Dataset) -> None:
    """Makes what is missing; existing keys stay (another key would make other people of the same people)."""
    for name in NAMES:
        keyfiles.make(folder(dataset) / name)


def code_key(dataset: Dataset) -> CodeKey:
    """The key that turns a site's identifier into a code. Raises `deid.errors.KeyFileError` when the file is missing or open to others."""
    return load_code_key(folder(dataset) / "code")
