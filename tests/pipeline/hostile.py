"""What a child may be asked to do in the tests of isolation: each function is one way in which hostile bytes end a process."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from pipeline.codes import Refused


def echo(item: Any) -> Any:
    return item


def seen(item: Any) -> dict[str, Any]:
    """What this child can see of the world."""
    return {"environment": dict(os.environ), "pid": os.getpid(), "core": __import__("resource").getrlimit(4)}


def call_home(port: int) -> str:
    """Try to reach a server of this machine."""
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return "no way out"
    return "reached"


def act(item: str) -> str:
    """Do as told, or answer."""
    if item == "abort":
        os.abort()
    if item == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "spin":
        while True:
            pass
    if item == "sleep":
        time.sleep(600)
    if item.startswith("nap "):
        Path(item[4:]).touch()
        time.sleep(600)
    if item == "eat":
        hoard = []
        while True:
            hoard.append(bytearray(64 * 1024 * 1024))
    if item == "nest":
        return act("nest" if item else "")
    if item == "raise":
        raise ValueError("Jensen^Anna 010203-1234")
    if item == "refuse":
        raise Refused("empty_file")
    if item == "print":
        print("Jensen^Anna")
        os.write(1, b'{"value": "forged"}\n')
    if item.startswith("fill "):
        with Path(item[5:]).open("wb") as file:
            for _ in range(64):
                file.write(bytes(1024 * 1024))
    if item == "orphan":
        return str(subprocess.Popen(["sleep", "300"]).pid)
    return "done " + item
