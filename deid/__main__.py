"""The room's own command: `python -m deid headers|explain|deface|new-key|codes`.

Exit status: 0 when every file has a verdict, even if some were refused; 1 on an internal failure; 2 on wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from deid import profile, reference, standalone
from deid.errors import REFUSALS, DeidError
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
    headers.add_argument("--jobs", type=int, default=1)
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


def _headers(options: argparse.Namespace) -> int:
    if not options.input.exists() or options.jobs < 1 or options.output.resolve().is_relative_to(options.input.resolve()):
        print("usage: the input must exist, the output must lie outside it, and --jobs is at least 1", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    report = standalone.run(
        options.input, options.output, options.key, profile_name=options.profile, site=options.site, jobs=options.jobs, look=not options.no_pixels
    )
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(report["totals"].items())) or "no files")
    for code, count in sorted(report["codes"].items()):
        if code != "ok":
            print(f"  {count} {code}: {REFUSALS[code][0]} {REFUSALS[code][1]}")
    return 1 if report["totals"].get("failed") else 0


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


if __name__ == "__main__":
    sys.exit(main())
