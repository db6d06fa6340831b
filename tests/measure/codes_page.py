"""Every code that a verdict, a refusal or a grade can carry, gathered from the source into docs/reference/codes.md.

    python tests/measure/codes_page.py        writes the page anew

A code stands in the source beside its sentences: as arguments of an error, in a row of a table, or in a dictionary of reasons. That is what is looked for,
with the standard library's `ast`, so a code that is added without a sentence is found missing by `tests/pipeline/test_codes.py`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "codes.md"
ROOMS = ("pipeline", "deid", "bidstree", "qa", "spatial")
WORDS = ("kept", "refused", "waiting", "failed")
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*\Z")
HEAD = """# Codes

Every verdict carries a code that does not change, a sentence why, and a sentence what to do. This page is gathered from the source
(`python tests/measure/codes_page.py` writes it anew); `...` stands for what is counted or measured in the case at hand.

`kept`: it went through. `refused`: the file is at fault, and the advice says what to do. `waiting`: a person must say something first. `failed`: the fault
is ours.
"""


def sentence(node: ast.expr) -> str | None:
    """The text of a string that reads as a sentence, with `...` for each inserted value; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
    else:
        return None
    return text if " " in text and not text[0].islower() and text.rstrip().endswith((".", "...")) else None


def code(node: ast.expr | None) -> str | None:
    """The text of a string that reads as a code."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.match(node.value) and node.value not in WORDS else None


def rows(sequence: Sequence[ast.expr]) -> Iterator[tuple[str, str, str]]:
    """(code, reason, advice) for a code that is followed by a sentence, and perhaps by another."""
    for n, node in enumerate(sequence[:-1]):
        name, reason = code(node), sentence(sequence[n + 1])
        if name and reason:
            yield name, reason, (sentence(sequence[n + 2]) or "") if n + 2 < len(sequence) else ""


def found(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    """All (code, reason, advice) in a module. In a table called ADVICE the single sentence is the advice."""
    advice = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign) and "ADVICE" in ast.unparse(node).partition("=")[0]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from rows(node.args)
        elif isinstance(node, ast.Tuple | ast.List):
            yield from rows(node.elts)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                name = code(key)
                parts = [sentence(part) for part in (value.elts if isinstance(value, ast.Tuple) else [value])]
                said = [part for part in parts if part]
                if name and said:
                    yield (name, "", said[0]) if id(node) in advice else (name, said[0], said[1] if len(said) > 1 else "")


def gather() -> dict[str, dict[str, tuple[str, str]]]:
    """room -> code -> (reason, advice), the first that stands in the source; files in sorted order."""
    pages: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    for room in ROOMS:
        # The pipeline keeps all of its own in one table, and tests/pipeline/test_codes.py holds that it uses no other.
        for path in sorted((ROOT / room).rglob("codes.py" if room == "pipeline" else "*.py")):
            for name, reason, advice in found(ast.parse(path.read_text(encoding="utf-8"))):
                old = pages[room].get(name, ("", ""))
                pages[room][name] = (old[0] or reason, old[1] or advice)
    return dict(pages)


TITLES = {
    "pipeline": "Of the pipeline",
    "deid": "Of de-identification",
    "bidstree": "Of conversion and BIDS",
    "qa": "Of quality",
    "spatial": "Of volumes",
}


def page() -> str:
    """The page as Markdown."""
    from pipeline.codes import CODES

    gathered = gather()
    gathered["pipeline"] = {name: (reason, advice) for name, (_, reason, advice) in CODES.items()}
    lines = [HEAD]
    for room, codes in gathered.items():
        ours = room == "pipeline"
        columns = ["code", *(["verdict"] if ours else []), "reason", "advice"]
        lines += [f"## {TITLES[room]} (`{room}/`)", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
        for name, (reason, advice) in sorted(codes.items()):
            cells = [f"`{name}`", *([CODES[name][0]] if ours else []), reason, advice]
            lines.append("| " + " | ".join(cell.replace("|", "/").strip() for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
