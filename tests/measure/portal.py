"""`make show-portal`: the rows of the issue "A portal people like: hand in, look, decide, find, ask, receive".

A row that is not built yet says so, and is not met. QUICK=1 looks at fewer pages of a house of 1,000 people and sends nothing: under 40 seconds.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from table import Measure, Result, Row, show


def joined(module: str, name: str) -> Measure:
    """The measure of a row that has a file of its own beside this one."""
    if (Path(__file__).parent / f"{module}.py").is_file():
        found: Measure = getattr(importlib.import_module(module), name)
        return found
    return lambda depth: Result("not built yet", met=False)


ROWS = [
    Row("the whole story in a real browser", "contributor, steward, researcher, the leaving person's site; screenshots", joined("portal_story_rows", "story")),
    Row("100,000 small files handed in", "server memory growth under 256 MiB; hashes equal", joined("portal_upload_rows", "small_files")),
    Row("one file of 5 GB handed in", "server memory growth under 256 MiB; hashes equal", joined("portal_upload_rows", "one_file")),
    Row(
        "kill -9 of server and of browser at 10 random points each",
        "resumed; at most one chunk or bundle sent again; never a false complete",
        joined("portal_upload_rows", "kills"),
    ),
    Row("policy and headers, every page as every role", "0 findings; check --deploy clean; no inline script", joined("portal_page_rows", "headers")),
    Row("axe, every page as every role at 360 and 1280 px, light and dark", "0 violations, nothing wider than the window", joined("portal_page_rows", "axe")),
    Row("first view", "every page under 300 KiB without the viewer", joined("portal_page_rows", "first_view")),
    Row("server time of every page with 10,000 participants", "under 1 s", joined("portal_page_rows", "server_time")),
]

if __name__ == "__main__":
    sys.exit(show("portal", ROWS))
