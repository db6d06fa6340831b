"""The room's own command: `python -m deid headers|explain|deface|new-key|codes`.

Exit status: 0 when every file has a verdict, even if some were refused; 1 on an internal failure; 2 on wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from deid import profile, reference, standalone
from deid.errors import REFUSALS, DeidError
from deid.inputs import Source
from deid.isolated import Broken, place
from deid.people import SEPARATE, WAIT
from deid.place import Usage
from deid.pseudonyms import new_key


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deid", description="Take identity out of MRI, and say what was taken.")
    acts = parser.add_subparsers(dest="act", required=True)
    headers = acts.add_parser("headers", help="de-identify a tree of DICOM into new DICOM")
    headers.add_argument("input", type=Path)
    headers.add_argument("output", type=Path)
    headers.add_argument("--key", type=Path, required=True, help="the key file (make one with new-key)")
    headers.add_argument("--profile", default=profile.DEFAULT)
    headers.add_argument("--site", default="", help="the site's code; equal PatientIDs of two sites never meet")
    headers.add_argument("--report", type=Path, help="where the report goes (JSON); it names files by number and hash")
    headers.add_argument("--names", type=Path, help="write file number -> input path here, for your eyes; never inside OUT")
    headers.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="how many cores to use (default 1)")
    headers.add_argument("--people", type=Path, metavar="FILE", help="a CSV that says which identifiers are one person, and whose an unnamed scan is")
    headers.add_argument(
        "--conflicts", choices=(SEPARATE, WAIT), default=SEPARATE,
        help="scans whose identifier stands for several people or nobody: separate people (default), or let them wait until --people says whose",
    )  # fmt: skip
    headers.add_argument("--no-pixels", action="store_true", help="do not search the pixels for writing (the header alone is cleaned)")
    explain = acts.add_parser("explain", help="say in English what happens to an attribute, or to all of them")
    explain.add_argument("tag", nargs="?", help="a keyword, or (gggg,eeee)")
    explain.add_argument("--profile", default=profile.DEFAULT)
    explain.add_argument("--page", action="store_true", help="print the reference page (Markdown)")
    acts.add_parser("deface", help="remove the face from one volume (see `deface --help`)", add_help=False)
    key = acts.add_parser("new-key", help="write a fresh key file that its owner alone may read")
    key.add_argument("file", type=Path)
    acts.add_parser("codes", help="list every refusal code with its reason and advice")
    return parser


def _jobs(text: str) -> int:
    """A number of cores from 1 to 256."""
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError("a number from 1 to 256")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["deface"]:
        from deid import faces

        return faces.main(arguments[1:])
    options = _options().parse_args(arguments)
    try:
        return {"headers": _headers, "explain": _explain, "new-key": _new_key, "codes": _codes}[options.act](options)
    except DeidError as refusal:
        print(f"{refusal.code}: {refusal.reason} {refusal.advice}", file=sys.stderr)
        return 2
    except Exception as error:  # noqa: BLE001 - the last door: a message of an unforeseen exception may quote a file
        words = f" ({error})" if isinstance(error, Broken) else ""
        print(f"deid: internal failure: {type(error).__name__} at {place(error)}{words}", file=sys.stderr)
        return 1


def _headers(options: argparse.Namespace) -> int:
    for file in (options.key, options.people, options.names, options.report):
        if file and file.resolve().is_relative_to(options.input.resolve()) and options.input.is_dir():
            return _wrong("The files of --key, --people, --names and --report must lie outside IN.")
    if options.names and options.names.resolve().is_relative_to(options.output.resolve()):
        return _wrong("The file of --names must lie outside OUT: it says who people are.")
    if not options.input.exists():
        return _wrong("There is no such input.")
    if any(file and not file.parent.is_dir() and file.parent.resolve() != options.output.resolve() for file in (options.report, options.names)):
        return _wrong("The folder of --report or --names does not exist.")
    asked = standalone.Request(
        options.input, options.output, options.key, options.profile, options.site, options.jobs, not options.no_pixels, options.people, options.conflicts,
        options.report,
    )  # fmt: skip
    try:
        report, sources = standalone.serve(asked)
    except Usage as usage:
        return _wrong(str(usage))
    if options.names:
        _write_names(options.names, sources)
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(_summary(report))
    return 0


def _wrong(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


def _summary(report: dict[str, Any]) -> str:
    """What came of the files, in a few lines."""
    words = ", ".join(f"{count} {verdict}" for verdict, count in sorted(report["totals"].items())) or "no files"
    lines = [f"{words}; {report['people']} people, {len(report['accounts'])} series"]
    lines += [f"  {count} {code}: {' '.join(REFUSALS[code])}" for code, count in sorted(report["codes"].items()) if code != "ok"]
    return "\n".join([*lines, *(f"  to review, {count} times: {what}" for what, count in sorted(report["review"].items()))])


def _write_names(path: Path, sources: Sequence[Source]) -> None:
    """Number and input path of every file, one a line, for the owner's eyes (mode 0600). Backslash, tab and line end are escaped."""
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
    text = "n\tpath\n" + "".join(f"{one.n}\t{one.name.translate(escapes)}\n" for one in sources)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(os.fsencode(text))


def _explain(options: argparse.Namespace) -> int:
    policy = profile.load(options.profile)
    if options.page:
        print(reference.page(policy), end="")
        return 0
    if options.tag:
        print(policy.explain(options.tag))
        return 0
    print(f"{policy.name} {policy.version}. What is not listed is removed.\n")
    for tag in sorted(policy.rules):
        print(policy.explain(tag))
    return 0


def _new_key(options: argparse.Namespace) -> int:
    try:
        new_key(options.file)
    except FileExistsError:
        print("The file exists already; a key is never overwritten.", file=sys.stderr)
        return 2
    return 0


def _codes(options: argparse.Namespace) -> int:
    for code, (reason, advice) in REFUSALS.items():
        print(f"{code}\t{reason}\t{advice}")
    return 0


def _leave(number: int, frame: FrameType | None) -> None:
    """Stop at once: killing this process at any moment is safe by design, and its children end with it."""
    os._exit(128 + number)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    sys.exit(main())
