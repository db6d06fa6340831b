"""`python -m bidstree check DIR [--json]`: examine a dataset; exit status 0 without errors, 1 with, 2 on wrong usage."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bidstree import check
from bidstree.errors import BidsError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bidstree", description="Questions about BIDS datasets.")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="the official validator and our own questions")
    checking.add_argument("folder", type=Path, metavar="DIR")
    checking.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        report = check.validate(options.folder)
    except BidsError as error:
        print(f"{error.reason} {error.advice}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        for one in report.findings:
            print(f"{one.severity:8}{one.code:40}{one.where}  {one.message}  [{one.source}]")
        print(f"{report.errors} errors, {report.warnings} warnings")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
