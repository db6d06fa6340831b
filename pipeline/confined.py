"""What runs in a child of `pipeline.isolate`: limits first, then one line in, one line out, until standard input ends.

A child trusts nothing of an item and is trusted with nothing but the item: no network, no way to grow, no standard output or error, and of an
exception that nobody foresaw it tells the class and the line of our source, never the message.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deid.confine import confine
from pipeline.codes import CODES

__all__ = ["ROOT", "Death", "child", "death", "place"]

ROOT = Path(__file__).resolve().parent.parent
OURS = ("spatial", "deid", "qa", "bidstree", "pipeline")
MIB = 1024 * 1024
# A file of any size may be mapped and read; only private memory is scarce.
MAPPED = 64 * 1024 * MIB


@dataclass(frozen=True)
class Death:
    """Why an item has no value. `code`, `reason` and `advice` may be shown to anybody; `error` is an exception's class, `where` a line of our source."""

    code: str
    reason: str
    advice: str
    error: str = ""
    where: str = ""


def death(code: str, *, error: str = "", where: str = "") -> Death:
    """The death with a code of `pipeline.codes`."""
    _, reason, advice = CODES[code]
    return Death(code, reason, advice, error, where)


def child() -> None:
    """The child's whole life: limits first, then one line in, one line out, until standard input ends."""
    limits = json.loads(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    void = os.open(os.devnull, os.O_WRONLY)
    os.dup2(void, 1)
    restrain(limits)
    functions: dict[str, Callable[[Any], Any]] = {}
    for line in sys.stdin.buffer:
        message = json.loads(line)
        name = message["function"]
        if name not in functions:
            try:
                functions[name] = load(name)
            except Exception as error:  # noqa: BLE001 - whatever an import raises is told to the parent, which stops
                reply: dict[str, Any] = {"broken": f"{name}: {type(error).__name__}: {error}"}
                functions.pop(name, None)
        if name in functions:
            reply = attempt(functions[name], message["item"], message["cpu_s"])
        answers.write(json.dumps(reply).encode() + b"\n")
        answers.flush()


def load(name: str) -> Callable[[Any], Any]:
    """The function called "module:name"."""
    module, _, attribute = name.partition(":")
    found: Callable[[Any], Any] = getattr(importlib.import_module(module), attribute)
    return found


def restrain(limits: Mapping[str, Any]) -> None:
    """Put this process under its limits (Linux; where a limit is unknown the kernel's refusal is an error, not a silence)."""
    memory = int(limits["memory_mb"]) * MIB
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    if limits["address_space"]:
        resource.setrlimit(resource.RLIMIT_AS, (memory + MAPPED, memory + MAPPED))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limits["file_mb"]) * MIB,) * 2)
    confine(network=not limits["address_space"])


def attempt(function: Callable[[Any], Any], item: Any, cpu_s: int) -> dict[str, Any]:
    """Run one item under its own CPU limit. "fresh" asks the parent for a new child, for after such an end this one cannot be trusted."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + cpu_s + 1, resource.RLIM_INFINITY))
    try:
        return {"value": function(item)}
    except MemoryError:
        return {"death": death("memory_limit").__dict__, "fresh": True}
    except RecursionError:
        return {"death": death("nested_too_deep").__dict__, "fresh": True}
    except Exception as error:  # noqa: BLE001 - hostile bytes raise anything; every kind becomes a verdict
        return {"death": told(error).__dict__, "fresh": False}


def told(error: Exception) -> Death:
    """The death that stands for an exception: its own code, reason and advice where it is one of ours, else only its class and our line."""
    code, reason, advice = (getattr(error, name, None) for name in ("code", "reason", "advice"))
    ours = type(error).__module__.partition(".")[0] in OURS
    if ours and isinstance(code, str) and isinstance(reason, str) and isinstance(advice, str):
        return Death(code, reason, advice)
    return death("unforeseen_error", error=type(error).__name__, where=place(error))


def place(error: BaseException) -> str:
    """The last line of our own source that an exception came through, as "room/module.py:line": it says where, and quotes nothing."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and ".venv" not in path.parts:
            return f"{path.relative_to(ROOT)}:{frame.lineno}"
    return ""
