"""What may stand in a page and in its headers, for the tests and for `make show-portal`: each function lists what is wrong."""

from __future__ import annotations

import re
from typing import Any

from registry.portal.headers import LAWFUL, SCRIPTS

# Scripts, styles and handlers written into a page. `type="application/json"` would be data, but nobody needs it.
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", re.I)
# The API's own page writes styles into itself.
STYLED = ("/api/v1/docs",)
SAID = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def policy_of(answer: Any) -> dict[str, str]:
    parts = (part.strip().partition(" ") for part in answer["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


def loose(policy: dict[str, str]) -> list[str]:
    """What a policy lets in that no page of ours may: scripts from elsewhere, written into a page, or evaluated; anything at all from elsewhere."""
    found = [f"{name} {word}" for name, value in policy.items() for word in value.split() if re.search(r"https?:|wss?:|\*|^[\w.-]+\.\w+$", word)]
    return found + [f"{name} {word}" for name in SCRIPTS & set(policy) for word in policy[name].split() if not LAWFUL.fullmatch(word)]


def faults(path: str, answer: Any) -> list[str]:
    """What is wrong with an answer: its policy, its other headers, and what is written into it."""
    policy = policy_of(answer)
    kept = answer.headers.get("Content-Disposition", "").startswith("attachment")
    page = answer.headers.get("Content-Type", "").startswith("text/html") and not kept
    needed = ("default-src", *(("script-src", "base-uri", "form-action", "frame-ancestors") if page else ()))  # a file to keep may be told less
    found = loose(policy) + [f"no {name}" for name in needed if name not in policy]
    found += [f"{name} is not {value}" for name, value in SAID.items() if answer.headers.get(name) != value]
    if page and not path.startswith(STYLED):
        found += [f"written into it: {one}" for one in INLINE.findall(answer.content.decode())]
    return [f"{path}: {one}" for one in found]
