"""`python -m pipeline IN OUT --key FILE`: DICOM in, BIDS and an account of every file out. `python -m pipeline serve SPOOL`: the carrier.

Exit status: 0 when every file has a verdict, even if some were refused; 1 on an internal failure; 2 on wrong usage.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.outcome import Outcome


def main(arguments: list[str]) -> int:
    """Run the command; its exit status."""
    try:
        return {"serve": serve, "correct": correct}.get(arguments[0] if arguments else "", convert)(arguments)
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001 - the last door: a message of an unforeseen exception may quote a file
        from pipeline.isolate import place

        print(f"pipeline: internal failure: {type(error).__name__} at {place(error)}", file=sys.stderr)
        return 1


def common(parser: argparse.ArgumentParser) -> None:
    """Options of both commands."""
    parser.add_argument("--jobs", type=jobs, default=1, metavar="N", help="how many cores to use (default 1)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute (default cpu)")


def jobs(text: str) -> int:
    """A number of cores from 1 to 256."""
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError("a number from 1 to 256")
    return int(text)


def convert(arguments: list[str]) -> int:
    """`python -m pipeline IN OUT --key FILE ...`"""
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="DICOM in, de-identified BIDS and an account of every file out.")
    parser.epilog = (
        "python -m pipeline serve SPOOL: carry out orders from a folder. python -m pipeline correct: say what a protocol's images are. --help tells more."
    )
    parser.add_argument("input", type=Path, metavar="IN", help="a folder or a zip of DICOM files, or of visits held as NIfTI (a folder for each person)")
    parser.add_argument("out", type=Path, metavar="OUT", help="OUT/bids and OUT/outcome.json appear here")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the secret key file (make one: python -m deid new-key FILE)")
    parser.add_argument("--site", default="local", metavar="NAME", help="equal patient numbers of two sites are two people (default: local)")
    parser.add_argument("--names", type=Path, metavar="FILE", help="write file number -> input path here, for your eyes; never inside OUT")
    parser.add_argument("--agreed", type=Path, metavar="FILE", help="what the study agreed on about its protocol and about faces (JSON, pipeline/agreed.py)")
    common(parser)
    options = parser.parse_args(arguments)
    from pipeline import agreed
    from pipeline.standalone import Request, Usage, run
    from pipeline.workspace import Taken

    try:
        told = agreed.read(options.agreed) if options.agreed else {}
        request = Request(options.input, options.out, options.key, options.site, options.jobs, options.device, options.names, told)
        with Bar() as bar:
            outcome = run(request, bar.show)
    except (Usage, agreed.NotAgreed) as error:
        parser.error(str(error))
    except Taken:
        parser.error("Another run works on the same OUT. Wait for it, or choose another OUT.")
    print(summary(outcome, options.out))
    return 0


def correct(arguments: list[str]) -> int:
    """`python -m pipeline correct PROTOCOL SUFFIX --key FILE ...`"""
    parser = argparse.ArgumentParser(prog="python -m pipeline correct", description="Say once what the images of a protocol are; every later run knows it.")
    parser.add_argument("protocol", metavar="PROTOCOL", help="32 digits: contrast.protocol of the image in outcome.json")
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="datatype/suffix of BIDS: anat/T2w, perf/asl")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the secret key file; what is said is kept beside it")
    parser.add_argument("--entity", action="append", default=[], metavar="KEY=VALUE", help="an entity of the name: acq=dir, ce=gadolinium")
    parser.add_argument("--field", action="append", default=[], metavar="NAME=JSON", help="a sidecar field: PostLabelingDelay=1.8")
    parser.add_argument("--context", nargs="*", default=[], metavar="WORD", help="ASL: what the volumes are, in order: m0scan label control")
    parser.add_argument("--keep-out", choices=("localizer", "derived_map", "secondary_capture"), help="these images are none to share, and why")
    options = parser.parse_args(arguments[1:])
    import json

    from bidstree.corrections import Memory, parse
    from bidstree.errors import BidsError
    from pipeline.standalone import corrections_of

    datatype, _, suffix = options.name.partition("/")
    entities, fields = (dict(text.partition("=")[::2] for text in many) for many in (options.entity, options.field))
    try:
        row = {"datatype": datatype, "suffix": suffix, "entities": entities, "fields": {name: json.loads(text) for name, text in fields.items()}}
        Memory(corrections_of(options.key)).remember(options.protocol, parse(row | {"context": options.context, "code": options.keep_out or "ok"}))
    except BidsError as error:
        parser.error(f"{error.reason} {error.advice}")
    except ValueError:
        parser.error("The value of --field is JSON: a number, true, false, or a text in quotes.")
    print("It is remembered: run the conversion again.")
    return 0


def leave(number: int, frame: FrameType | None) -> None:
    """Stop at once; what is finished is kept for the next run."""
    os._exit(128 + number)


def summary(outcome: Outcome, out: Path) -> str:
    """What came of the files, in a few lines."""
    value = outcome.as_json()
    counts = Counter((row["verdict"], row["code"]) for row in value["files"])
    images = sum(1 for image in value["images"] if image["products"])
    lines = [f"{len(value['files'])} files, {len(value['studies'])} studies, {images} images, {len(value['products'])} products in {out}"]
    unsure = sum(1 for image in value["images"] if image["products"] and image["contrast"].get("review"))
    if unsure:
        lines.append(f"{unsure} images have a contrast that is not sure: look at contrast.words in outcome.json")
    asked = Counter(image["contrast"]["protocol"] for image in value["images"] if image["contrast"].get("review") and image["contrast"].get("protocol"))
    lines += [f"protocol {mark} ({count} images) waits for a name: python -m pipeline correct {mark} ..." for mark, count in sorted(asked.items())]
    reasons = {(row["verdict"], row["code"]): row["reason"] for row in value["files"]}
    for (verdict, code), count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        lines.append(f"{count:7d} {verdict:8s} {code:24s} {reasons[(verdict, code)] if verdict != 'kept' else ''}".rstrip())
    return "\n".join(lines)


class Bar:
    """A progress bar on a terminal, for what takes over two seconds; nothing where nobody watches."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        self.progress = Progress(TextColumn("{task.description:14s}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console, transient=True)
        self.watched = console.is_terminal
        self.started = time.monotonic()
        self.tasks: dict[str, int] = {}

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.tasks:
            self.progress.stop()

    def show(self, step: str, done: int, total: int) -> None:
        """Tell how far a step is; one bar for what is going on, one for the studies."""
        if not self.watched or time.monotonic() - self.started < 2.0:
            return
        self.progress.start()
        name = "studies" if step == "studies" else "step"
        if name not in self.tasks:
            self.tasks[name] = self.progress.add_task(step)
        from rich.progress import TaskID

        self.progress.update(TaskID(self.tasks[name]), description=step.replace("_", " "), completed=done, total=total or None)


def serve(arguments: list[str]) -> int:
    """`python -m pipeline serve SPOOL ...`"""
    parser = argparse.ArgumentParser(prog="python -m pipeline serve", description="Carry out orders from a folder, without a database.")
    parser.add_argument("spool", type=Path, metavar="SPOOL")
    parser.add_argument("--once", action="store_true", help="stop when no order waits")
    common(parser)
    options = parser.parse_args(arguments[1:])
    from pipeline import carrier

    carrier.cleaned(arguments)
    try:
        carrier.serve(options.spool, once=options.once, jobs=options.jobs, device=options.device)
    except FileNotFoundError:
        parser.error("There is no such spool.")
    return 0


if __name__ == "__main__":
    # Killing this process at any moment is safe by design, so that is how it stops; its children end with it. (The carrier has a way of its own.)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    sys.exit(main(sys.argv[1:]))
