"""The words of the portal: collected from its templates, forms and pages, from what the models call their choices, and kept in the German catalogue.

`make words` adds to the .po what is new, drops what is gone, and compiles the .mo, which is committed: nobody needs gettext's own programs.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import polib
from django.apps import apps
from django.template.base import Lexer, TokenType
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[4]
PORTAL = ROOT / "registry/portal"
CATALOGUE = PORTAL / "locale/de/LC_MESSAGES/django.po"
STRING = r"""u?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
# What `templatize` writes: gettext('one'), pgettext('context', 'one'), ngettext('one', 'many', count), npgettext('context', 'one', 'many', count), _('one').
CALL = re.compile(rf"(?<![\w.])(npgettext|pgettext|ngettext|gettext|_)\(\s*({STRING})\s*(?:,\s*({STRING})\s*)?(?:,\s*({STRING})\s*)?[,)]")


class Phrase(NamedTuple):
    """What gettext looks up: the words, their context and their plural, where they have one."""

    words: str
    plural: str = ""
    context: str = ""


def phrase(call: str, given: list[str]) -> Phrase:
    """The phrase of a call to one of gettext's functions."""
    context = given.pop(0) if "pgettext" in call else ""
    return Phrase(given[0], given[1] if call.startswith("n") and len(given) > 1 else "", context)


def of_template(source: str) -> set[Phrase]:
    found = CALL.findall(templatize(source))
    return {phrase(call, [ast.literal_eval(one) for one in given if one]) for call, *given in found}


def of_python(source: str) -> Iterator[Phrase]:
    for node in ast.walk(ast.parse(source)):
        name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
        if re.fullmatch(r"_|n?p?gettext(_lazy)?", name) and isinstance(node, ast.Call):
            given = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            if given:
                yield phrase(name, given)


def terms() -> set[Phrase]:
    """What the registry's models call their choices: pages translate these by `{% translate thing.get_state_display %}`."""
    return {
        Phrase(str(label))
        for model in apps.get_models()
        if model.__module__.startswith("registry.")
        for field in model._meta.get_fields()
        for _, label in (getattr(field, "flatchoices", None) or ())
        if re.search("[A-Za-z]{2}", str(label))
    }


def collected(portal: Path = PORTAL) -> set[Phrase]:
    found = {one for path in portal.rglob("*.html") for one in of_template(path.read_text("utf-8"))}
    return found | {one for path in portal.rglob("*.py") for one in of_python(path.read_text("utf-8"))}


class RawText(HTMLParser):
    """Words of a page that stand outside every tag that translates: text, and the attributes that are read out."""

    SPOKEN = ("aria-label", "aria-description", "aria-roledescription", "title", "placeholder", "alt", "data-confirm", "hx-confirm")
    # Not words: what a program says or is told, and names.
    LEFT = frozenset({"code", "kbd", "pre", "samp", "script", "style"})
    NAMES = re.compile(r"\b(Myelin|English|Deutsch|JSON|CSV|SVG|PNG|BIDS|NIfTI|DICOM|DOI|ORCID|SHA-256|UTC|MiB|GiB|mm|ms|DUO|EDSS|MRI|TOTP|CC0)\b")

    def __init__(self) -> None:
        super().__init__()
        self.within: list[str] = []
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.within += [tag] if tag in self.LEFT else []
        if dict(attrs).get("lang"):
            self.within.append(tag)  # says its own language
        for name, value in attrs:
            if name in self.SPOKEN:
                self._words(value or "")

    def handle_endtag(self, tag: str) -> None:
        if self.within and self.within[-1] == tag:
            self.within.pop()

    def handle_data(self, data: str) -> None:
        if not self.within:
            self._words(data)

    def _words(self, text: str) -> None:
        if re.search(r"[A-Za-z]{2}", self.NAMES.sub("", re.sub(r"&\w+;", "", text))):
            self.found.append(" ".join(text.split()))


def raw(source: str) -> list[str]:
    """Words in a template that no tag translates. Template tags become a sign that is no letter; what a blocktranslate holds is translated."""
    text, inside = [], False
    for token in Lexer(source).tokenize():
        word = token.contents.split()[0] if token.contents.split() else ""
        if token.token_type == TokenType.BLOCK and word in ("blocktranslate", "blocktrans", "comment", "endblocktranslate", "endblocktrans", "endcomment"):
            inside = not word.startswith("end")
        elif token.token_type == TokenType.TEXT and not inside:
            text.append(token.contents)
        elif token.token_type in (TokenType.VAR, TokenType.BLOCK):
            text.append("¤")
    parser = RawText()
    # Not so <html lang>: it is the page's own.
    parser.feed(re.sub(r"<html[^>]*>", "", "".join(text).replace('lang="¤"', "")))
    return parser.found


def bare(source: str) -> list[str]:
    """Words that a form or a page says without asking for their translation."""
    said = {"label", "help_text", "empty_label", "verbose_name"}
    tells = {"add_error", "ValidationError", "success", "warning", "info", "error"}
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        over = getattr(getattr(node.func, "value", None), "id", "")
        given = [word.value for word in node.keywords if word.arg in said]
        if name in tells and (name in ("add_error", "ValidationError") or over == "messages"):
            given += node.args[0 if name == "ValidationError" else 1 :][:1]
        found += [ast.unparse(one) for one in given if speaks(one)]
    return found


def speaks(node: ast.AST) -> bool:
    """Whether a text, or a written part of an f-string, has words."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return any(isinstance(one, ast.Constant) and isinstance(one.value, str) and re.search("[A-Za-z]{2}", one.value) for one in parts)


def key(entry: polib.POEntry) -> Phrase:
    return Phrase(entry.msgid, entry.msgid_plural or "", entry.msgctxt or "")


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)[sd]|%[sd]|\{\w*\}|</?\w+", text))


def entry_of(one: Phrase) -> polib.POEntry:
    entry = polib.POEntry(msgid=one.words, msgid_plural=one.plural, msgctxt=one.context or None, msgstr_plural={0: "", 1: ""} if one.plural else {})
    if "%(" in one.words:
        entry.flags.append("python-format")
    return entry


def renew(wanted: set[Phrase], path: Path = CATALOGUE) -> polib.POFile:
    """The catalogue with all that is wanted and nothing else, what was translated kept."""
    old = {key(entry): entry for entry in polib.pofile(str(path))} if path.exists() else {}
    new = polib.POFile(wrapwidth=0)
    new.metadata = {
        "Language": "de",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
        "Plural-Forms": "nplurals=2; plural=(n != 1);",
    }
    new.extend(old.get(one) or entry_of(one) for one in sorted(wanted))
    return new


def main() -> int:
    import django

    django.setup()
    new = renew(collected() | terms())
    CATALOGUE.parent.mkdir(parents=True, exist_ok=True)
    new.save(str(CATALOGUE))
    CATALOGUE.with_suffix(".mo").write_bytes(new.to_binary())
    left = [entry.msgid for entry in new.untranslated_entries()]
    print(f"{len(new)} phrases, {len(left)} without German", *left, sep="\n  ")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
