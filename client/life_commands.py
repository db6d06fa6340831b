"""Commands of a request's life, of views, and of what went wrong: each a function of one call of `myelin`, and what it asks on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from client import package
from client.api import Registry
from client.errors import Usage

CAUSES = ("face", "text", "mask", "quality", "wrong_person")
LEVELS = ("open", "registered", "controlled", "restricted", "remote_only", "closed")


class Call(Protocol):
    """One call of `myelin` (`client.cli.Command`)."""

    args: argparse.Namespace

    def registry(self) -> Registry: ...
    def answer(self, data: Any, text: str = "") -> int: ...


def key(call: Call) -> int:
    """make a key for packages: the file keeps the private half, the public half is printed"""
    path = Path(call.args.file)
    if path.exists():
        raise Usage("file_exists", "There is such a file already.", "Name another: a key that is written over opens nothing any more.")
    public = package.new_identity(path)
    if call.args.request:
        call.registry().give_key(call.args.request, public)
    return call.answer({"recipient_key": public}, public)


def open_package(call: Call) -> int:
    """open a package that the browser downloaded, and prove every file; --key works without the registry"""
    asked = call.args
    sealed = Path(asked.file)
    if not sealed.is_file():
        raise FileNotFoundError
    out = Path(asked.out)
    out.mkdir(parents=True, exist_ok=True)
    folder = package.unpack(sealed, package.read_identity(Path(asked.identity)), out)
    opened = package.verify(folder, asked.key or call.registry().signing_key())
    return call.answer({"folder": str(folder), "files": opened.files}, f"{opened.files} files, each as signed by the registry, in {folder}")


def team(call: Call) -> int:
    """the team of a request: look, --name somebody, --drop a member"""
    registry, asked = call.registry(), call.args
    if asked.name:
        return call.answer(registry.name_member(asked.request, asked.name, asked.country))
    if asked.drop:
        registry.drop_member(asked.drop)
    waiting = [one for one in registry.namings() if one.request == asked.request]
    return call.answer({"members": registry.team(asked.request), "named": waiting})


def join(call: Call) -> int:
    """teams you were named for: look, or say yes (--no: say no) to one"""
    registry, asked = call.registry(), call.args
    if not asked.naming:
        return call.answer(registry.namings())
    if asked.no:
        registry.decline(asked.naming)
        return call.answer({"joined": False}, "You are not of this team.")
    return call.answer(registry.join(asked.naming))


def ethics(call: Call) -> int:
    """put the document of an ethics board (PDF) to a draft, or --save it"""
    registry, asked = call.registry(), call.args
    if asked.save:
        data = registry.paper(asked.request)
        with Path(asked.save).open("xb") as file:
            file.write(data)
        return call.answer({"bytes": len(data)}, f"{len(data)} bytes in {asked.save}")
    if not asked.file:
        raise Usage("incomplete", "Name the PDF, or --save FILE.", "See: myelin ethics --help")
    return call.answer(registry.attach(asked.request, Path(asked.file)))


def report(call: Call) -> int:
    """say what was done with the data and ask for more time; without --done, look at the reports"""
    registry, asked = call.registry(), call.args
    if not asked.done:
        return call.answer(registry.reports(asked.request))
    said = {"publications": asked.publications, "incidents": asked.incidents, "months": asked.months}
    return call.answer(registry.report(asked.request, asked.done, **said))


def close(call: Call) -> int:
    """be done with a request (its access ends at once), and with --deleted say that everything is deleted"""
    registry, asked = call.registry(), call.args
    found = registry.request(asked.request)
    if found.state != "closing":
        found = registry.close_request(asked.request)
    return call.answer(registry.attest(asked.request, asked.deleted) if asked.deleted else found)


def views(call: Call) -> int:
    """views of a dataset: look, --open one (name, --title, --kind, --level), --end one"""
    registry, asked = call.registry(), call.args
    if asked.open:
        if not (asked.title and asked.kind and asked.level):
            raise Usage("incomplete", "A view needs --title, --kind and --level.", "See: myelin views --help")
        return call.answer(registry.open_view(asked.dataset, asked.open, asked.title, asked.kind, asked.level))
    if asked.end:
        registry.end_view(asked.end)
    return call.answer(registry.views(asked.dataset))


def recall(call: Call) -> int:
    """call an image back, or with --path one of its masks: nobody is given it from now on"""
    return call.answer(call.registry().recall(call.args.image, call.args.cause, call.args.reason, call.args.path))


def move(call: Call) -> int:
    """take a wrongly bound study to the right --visit, or back to be handed in again"""
    return call.answer(call.registry().move(call.args.study, call.args.reason, call.args.visit))


def add(command: Callable[[str, Callable[[Any], int]], argparse.ArgumentParser]) -> None:
    """These commands, onto the command line."""
    made = command("key", key)
    made.add_argument("file")
    made.add_argument("--request", help="give the public half to this request at once")
    opened = command("open", open_package)
    opened.add_argument("file")
    opened.add_argument("--identity", required=True, help="the file with the private key")
    opened.add_argument("--out", default=".")
    opened.add_argument("--key", help="the registry's signing key, base64 (else: asked of the registry)")
    people = command("team", team)
    people.add_argument("request")
    people.add_argument("--name", metavar="EMAIL")
    people.add_argument("--country", default="", help="of their institution, two capital letters")
    people.add_argument("--drop", metavar="MEMBER")
    named = command("join", join)
    named.add_argument("naming", nargs="?")
    named.add_argument("--no", action="store_true")
    board = command("ethics", ethics)
    board.add_argument("request")
    board.add_argument("file", nargs="?")
    board.add_argument("--save", metavar="FILE")
    said = command("report", report)
    said.add_argument("request")
    for name in ("done", "publications", "incidents"):
        said.add_argument(f"--{name}", default="")
    said.add_argument("--months", type=int, default=12)
    ended = command("close", close)
    ended.add_argument("request")
    ended.add_argument("--deleted", metavar="WORDS", default="", help="what was deleted, and where")
    add_stewards(command)


def add_stewards(command: Callable[[str, Callable[[Any], int]], argparse.ArgumentParser]) -> None:
    """The commands of those who answer for a dataset."""
    seen = command("views", views)
    seen.add_argument("dataset")
    seen.add_argument("--open", metavar="NAME")
    seen.add_argument("--title", default="")
    seen.add_argument("--kind", action="append", default=[], help="a kind of file (docs/reference/requests.md); may be repeated")
    seen.add_argument("--level", choices=LEVELS)
    seen.add_argument("--end", metavar="VIEW")
    back = command("recall", recall)
    back.add_argument("image")
    back.add_argument("--cause", required=True, choices=CAUSES)
    back.add_argument("--reason", required=True)
    back.add_argument("--path", default="", help="a mask of the image")
    moved = command("move", move)
    moved.add_argument("study")
    moved.add_argument("--visit")
    moved.add_argument("--reason", required=True)
