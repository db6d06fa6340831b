"""The life of a request, the levels and the kinds of file, as a page: docs/reference/requests.md.

PYTHONPATH=. python tests/measure/requests_page.py        writes the page anew; tests/registry/test_access_machine.py holds that it is up to date
"""

from __future__ import annotations

from pathlib import Path

from registry.access import filekinds, machine

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "requests.md"
HEAD = """# Requests: states, roles, commands

Made from `registry/access/machine.py` (`PYTHONPATH=. python tests/measure/requests_page.py`); a test asks the acts for every state, role and command.
Consent is asked of each participant in every state that gives, for every list, package and 256 KiB of a download, whatever stands here.
"""
LEVELS = """## Levels

How strictly a dataset, or a view of it, is given out ([why](../decisions/0014-levels-and-views.md)). A stricter level ends what was granted at a laxer one.

| level | given |
|---|---|
"""
AFTER = """
- **Teams.** A request names its members, each with a country; all countries are part of the purpose. Each signs, has a key and an entitlement of their own.
- **Agreements.** A *material* new version is signed again: without a grace (the default) nothing is given from that moment until one has. Another new version
  binds who signs from then on.
- **The end.** Letters at 30, 14 and 7 days; `renewal_due` from 30 days before. Without a report that a steward accepts, the download stops at the end, by the
  clock itself. What is over is closed once the requester says that everything is deleted.
- **Two people** propose and second (`POST /dangerous-acts`): a restricted approval, approving several requests at once, a release below the dataset's k, and
  accepting an image of the orbits. What was said of a request falls once it asks for something else.
"""


def page() -> str:
    """The page as Markdown. Needs Django set up."""
    from registry.accounts.models import Level

    lines = [HEAD, "## States", "", "| state | a request in it | gives data |", "|---|---|---|"]
    lines += [f"| `{state}` | {words} | {'yes' if state in machine.GIVES else ''} |" for state, words in machine.STATES.items()]
    lines += ["", "## Roles", "", "| role | who |", "|---|---|", *(f"| {role} | {words} |" for role, words in machine.ROLES.items())]
    lines += ["", "## Commands", "", "Whoever is not named is denied; in a state that is not named it is a conflict (`request_state`).", ""]
    lines += ["| command | what | who | from: to | only if |", "|---|---|---|---|---|"]
    for name, command in machine.COMMANDS.items():
        who = ", ".join(role for role in machine.ROLES if role in command.roles) + (", not of the team" if command.judges else "")
        moves = "; ".join(f"`{state}`: {' or '.join(f'`{one}`' for one in after)}" for state, after in command.moves.items())
        lines.append(f"| `{name}` | {command.sentence} | {who} | {moves} | {'; '.join(command.when)} |")
    lines += ["", LEVELS.rstrip("\n"), *(f"| `{level.value}` | {level.label} |" for level in Level)]
    lines += [
        "",
        "## Kinds of file",
        "",
        "A view names kinds. A request without a view is for all but `orbit`, which only restricted views may name.",
        "",
    ]
    lines += ["| kind | what |", "|---|---|", *(f"| `{kind}` | {words} |" for kind, words in filekinds.KINDS.items()), AFTER]
    return "\n".join(lines)


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
    django.setup()
    PAGE.write_text(page(), encoding="utf-8")
