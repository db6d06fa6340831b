"""`make show-portal`: the rows of the issue "A portal people like: hand in, look, decide, find, ask, receive".

A row that is not built yet says so, and is not met. QUICK=1 looks at one page of each kind, in a house of 1,000 people, and
sends nothing: under 40 seconds.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import portal_page_rows as pages
from table import Measure, Result, Row, not_quick, show


def joined(module: str, name: str) -> Measure:
    """The measure of a row that has a file of its own beside this one."""
    there = (Path(__file__).parent / f"{module}.py").is_file()
    found: Measure | None = getattr(importlib.import_module(module), name, None) if there else None
    return not_quick(found) if found else lambda depth: Result("not built yet", met=False)


ROWS = [
    Row("the whole story in a real browser", "contributor, steward, researcher, the leaving person's site; screenshots", joined("portal_story_rows", "story")),
    Row("100,000 small files handed in", "server memory growth under 256 MiB; hashes equal", joined("portal_upload_rows", "small_files")),
    Row("one file of 5 GB handed in", "server memory growth under 256 MiB; hashes equal", joined("portal_upload_rows", "one_file")),
    Row(
        "kill -9 of the server at 10 random points of an upload",
        "resumed; at most one chunk or bundle sent again; never a false complete",
        joined("portal_upload_rows", "killed_server"),
    ),
    Row(
        "kill -9 of the browser at 10 random points of an upload",
        "resumed; at most one chunk or bundle sent again; never a false complete",
        joined("portal_browser_rows", "killed_browser"),
    ),
    Row("policy and headers, every page as every role", "0 findings; check --deploy clean; no inline script", pages.headers),
    Row("axe, every page as every role at 360 and 1280 px, light and dark", "0 violations, nothing wider than the window", pages.axe),
    Row("first view", "every page under 300 KiB without the viewer", pages.first_view),
    Row("server time of every page with 10,000 participants", "under 1 s", pages.server_time),
]

if __name__ == "__main__":
    sys.exit(show("portal", ROWS))
