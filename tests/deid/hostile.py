"""What a hostile file may do to the process that reads it. Called in children of `deid.isolated` alone."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deid.errors import Refused


def abort() -> None:
    ctypes.CDLL(None).abort()


def crash() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(0)


def hoard() -> None:
    kept = [bytearray(1 << 24) for _ in range(10_000)]
    raise AssertionError(len(kept))


def one_great_block() -> None:
    raise AssertionError(len(b"x" * (1 << 40)))


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(600)


def dive() -> None:
    dive()


def write() -> None:
    with tempfile.TemporaryFile() as out:
        out.seek(1 << 31)
        out.write(b"x")


def refuse() -> None:
    raise Refused("truncated")


def fail() -> None:
    raise ValueError("Quibblewick")


def speak() -> None:
    print("Quibblewick", flush=True)
    sys.stderr.write("Quibblewick")
    os.write(1, b"Quibblewick")


def environment() -> list[str]:
    return sorted(os.environ)


def network() -> list[str]:
    """The interfaces this process has."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


DEEDS: dict[str, Callable[[], Any]] = {
    deed.__name__: deed for deed in (abort, crash, leave, hoard, one_great_block, spin, sleep, dive, write, refuse, fail, speak, environment, network)
}


def stumble(place: str) -> int:
    """Fails where nobody stumbled before."""
    if not Path(place).exists():
        Path(place).touch()
        raise TypeError("Quibblewick")
    return os.getpid()


def maker(common: str) -> Callable[[str], Any]:
    """Does the deed that an item names, stumbles over a path; of any other item it gives back what it was given, and by whom."""

    def work(item: str) -> Any:
        if item.startswith("/"):
            return stumble(item)
        return DEEDS[item]() if item in DEEDS else [common, item, os.getpid()]

    return work


def broken(common: str) -> Callable[[str], Any]:
    raise KeyError("Quibblewick")
