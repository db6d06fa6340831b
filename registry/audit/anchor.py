"""The head of the chain, kept in a file outside the database: whoever cuts the log's tail in the database must also reach this file.

Written after each commit under a lock, whole or not at all, and only forwards. Send it off the host now and then (docs/how-to): that is the anchor
that nobody on this host can turn back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from registry.audit.seal import Sealer
from registry.keyfiles import private_folder, sync_folder


@dataclass(frozen=True)
class Anchor:
    """How many lines there were, and the seal of the last."""

    count: int
    last: str


def place() -> Path:
    return Path(settings.MYELIN_ANCHOR) / "audit.head"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    private_folder(folder)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def advance(count: int, last: str) -> None:
    """Moves the anchor to this head, unless it is further already."""
    path, sealer = place(), Sealer()
    with _locked(path.parent):
        known = read(sealer)
        if isinstance(known, Anchor) and known.count >= count:
            return
        draft = path.with_name(".audit.head")
        with draft.open("w", encoding="ascii") as out:
            json.dump({"count": count, "last": last, "mac": sealer.anchor(count, last)}, out)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(path)
        sync_folder(path.parent)


def read(sealer: Sealer) -> Anchor | str:
    """The anchor, or in a word why there is none: `anchor_missing`, `anchor_forged`."""
    try:
        value = json.loads(place().read_text(encoding="ascii"))
        count, last, mac = value["count"], value["last"], value["mac"]
    except FileNotFoundError:
        return "anchor_missing"
    except (OSError, ValueError, KeyError, TypeError):
        return "anchor_forged"
    return Anchor(count, last) if mac == sealer.anchor(count, last) else "anchor_forged"
