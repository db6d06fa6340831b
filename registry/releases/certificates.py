"""A certificate on paper: plain HTML without scripts, made from what the steps said, with the other datasets for the site's eyes."""

from __future__ import annotations

import html
from typing import Any

from registry.accounts.models import User
from registry.releases import departures
from registry.releases.models import Removal
from registry.rules import Conflict

WORDS = {
    "ended": "Consent ended; packages and lists lost it",
    "released": "The next release was made without it",
    "tombstoned": "Releases of before keep path and hash only",
    "bytes_deleted": "Files were deleted",
    "quarantine_wiped": "Originals and pictures were destroyed",
    "vault_erased": "Who the person was is forgotten",
    "notified": "Past recipients were told to delete",
    "certified": "This certificate was made",
}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Certificate {id}</title>
<style>body{{font:16px/1.5 serif;max-width:40em;margin:3em auto}}td,th{{text-align:left;padding:.2em 1em .2em 0;vertical-align:top}}</style>
<h1>{title}</h1><p>Certificate {id}</p>
<table>{facts}</table><h2>What was done</h2><table>{steps}</table>{elsewhere}</html>
"""


def page(asker: User, removal: Removal) -> str:
    """The page. Raises Conflict while the removal is still being carried through."""
    told = removal.certificate
    if told is None:
        raise Conflict("not_certified", "This is still being carried through.", "Ask again in a few minutes.")
    recalled = removal.kind == Removal.Kind.RECALL
    facts = {"Dataset": told["dataset"], "Site": told["site"], "Participant": f"sub-{told['label']}", "Date": told["withdrawn_at"]}
    facts |= {"Cause": told["cause"], "Files": len(told["files"])} if recalled else {}
    facts |= {"Notices": told["notices"], "Recipients told": told["recipients"]}
    steps = {f"{removal.steps[name]['at']}": _said(name, removal.steps[name]) for name in WORDS if name in removal.steps}
    title = "Files were called back" if recalled else "A participant has left"
    return PAGE.format(id=removal.pk, title=title, facts=_rows(facts), steps=_rows(steps), elsewhere=_elsewhere(asker, removal))


def _said(name: str, step: dict[str, Any]) -> str:
    numbers = ", ".join(f"{key.replace('_', ' ')}: {value}" for key, value in step.items() if key != "at" and value is not None)
    return f"{WORDS[name]}{f' ({numbers})' if numbers else ''}"


def _elsewhere(asker: User, removal: Removal) -> str:
    told = departures.elsewhere(asker, removal)
    if not told["datasets"]:
        return ""
    names = html.escape(", ".join(told["datasets"]))
    text = f"The person stays in {names}: {html.escape(told['only_here'])}" if told["only_here"] else f"The person left these datasets as well: {names}."
    return f"<h2>For the site alone</h2><p>{text}</p>"


def _rows(told: dict[str, Any]) -> str:
    return "".join(f"<tr><th>{html.escape(str(key))}</th><td>{html.escape(str(value))}</td></tr>" for key, value in told.items())
