"""Everything the portal says can be said in German: no word stands outside the tags that translate, and each has its German."""

from __future__ import annotations

from pathlib import Path

import polib
import pytest
from django.test import Client
from django.utils import translation

from tests.registry.upper.portal import words
from tests.registry.upper.portal.words import CATALOGUE, PORTAL, Phrase, bare, collected, key, of_python, of_template, placeholders, raw, terms

# Shown where no language can be asked for, in both.
BOTH = {"500.html"}
TEMPLATES = sorted(path for path in PORTAL.rglob("*.html") if path.name not in BOTH)


def test_no_word_of_a_template_stands_outside_the_tags_that_translate() -> None:
    assert len(TEMPLATES) > 10
    assert [f"{path.relative_to(PORTAL)}: {text}" for path in TEMPLATES for text in raw(path.read_text("utf-8"))] == []


def test_no_form_or_page_says_a_word_without_asking_for_its_translation() -> None:
    assert [f"{path.relative_to(PORTAL)}: {text}" for path in sorted(PORTAL.rglob("*.py")) for text in bare(path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("planted", "lawful"),
    [
        ("<p>Some words</p>", '<p>{% translate "Some words" %}</p>'),
        ('<a aria-label="Some words"></a>', "<a aria-label=\"{% translate 'Some words' %}\"></a>"),
        ('<p>{{ count }} words</p>{% translate "x" %}', "<p>{% blocktranslate %}{{ count }} words{% endblocktranslate %}</p>"),
        ("{% if a %}words{% endif %}", "{% if a %}<code>words</code>{% endif %}{# words #}"),
        ('<img alt="a scan">', '<img alt="{{ words }}" src="a/scan.png" class="some words">'),
    ],
)
def test_words_that_are_not_translated_are_seen_and_their_lawful_twin_is_not(planted: str, lawful: str) -> None:
    assert len(raw(planted)) == 1
    assert raw(lawful) == []


def test_bare_words_of_a_form_are_seen_and_translated_ones_are_not() -> None:
    assert bare('CharField(label="A name"); form.add_error(None, "No."); messages.success(request, f"{n} are done")') == [
        "'A name'",
        "'No.'",
        "f'{n} are done'",
    ]
    assert bare('CharField(label=_("A name")); form.add_error(None, _("No.")); log.error("broke"); messages.success(request, told)') == []


def test_phrases_are_found_wherever_gettext_looks_for_them() -> None:
    told = """{% translate "one" %}{% translate 'two' context "place" %}
        {% blocktranslate count n=n %}{{ n }} scan{% plural %}{{ n }} scans{% endblocktranslate %}
        {% blocktranslate trimmed with a=b %}three
        {{ a }}{% endblocktranslate %}{% include "x.html" with title=_("four") %}"""
    wanted = {Phrase("one"), Phrase("two", context="place"), Phrase("%(n)s scan", "%(n)s scans"), Phrase("three %(a)s"), Phrase("four")}
    assert of_template(told) == wanted
    assert set(of_python('_("one"); ngettext("a", "b", 2); pgettext_lazy("in", "two" " three"); other("four")')) == {
        Phrase("one"),
        Phrase("a", "b"),
        Phrase("two three", context="in"),
    }


def test_every_phrase_has_its_german_with_the_same_places_in_it() -> None:
    known = {key(entry): entry for entry in polib.pofile(str(CATALOGUE))}
    assert sorted((collected() | terms()) - set(known)) == []
    for one, entry in known.items():
        told = list(entry.msgstr_plural.values()) if one.plural else [entry.msgstr]
        assert all(told) and not entry.fuzzy, one
        places = [placeholders(one.words), placeholders(one.plural or one.words)]
        assert placeholders(told[0]) in places and placeholders(told[-1]) == places[-1], one


def test_the_compiled_catalogue_is_the_written_one() -> None:
    written, compiled = polib.pofile(str(CATALOGUE)), polib.mofile(str(CATALOGUE.with_suffix(".mo")))
    assert {key(entry): entry.msgstr or entry.msgstr_plural for entry in written} == {key(entry): entry.msgstr or entry.msgstr_plural for entry in compiled}


def test_renewing_keeps_what_is_german_and_drops_what_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "django.po"
    first = words.renew({Phrase("one"), Phrase("two")}, path)
    first[0].msgstr = "eins"
    first.save(str(path))
    second = words.renew({Phrase("one"), Phrase("three", "threes")}, path)
    assert [(entry.msgid, entry.msgstr) for entry in second] == [("one", "eins"), ("three", "")]


@pytest.mark.django_db(databases="__all__")
def test_a_reader_is_spoken_to_in_their_language_and_a_program_in_english() -> None:
    german = {"HTTP_ACCEPT_LANGUAGE": "de-CH,de;q=0.9"}
    page = Client().get("/sign-in", **german)
    assert "Anmelden" in page.content.decode() and '<html lang="de" dir="ltr">' in page.content.decode()
    assert '<html lang="en-gb"' in Client().get("/sign-in", HTTP_ACCEPT_LANGUAGE="en-US,en").content.decode()
    assert '<html lang="en-gb"' in Client().get("/sign-in", HTTP_ACCEPT_LANGUAGE="fr").content.decode()
    plain, asked = Client().get("/api/v1/me"), Client().get("/api/v1/me", **german)
    assert plain.json() == asked.json() and plain.status_code == 401
    assert translation.get_language() == "en-gb"


@pytest.mark.django_db(databases="__all__")
def test_the_chosen_language_wins_over_the_browser_s_and_leads_back_only_to_our_pages() -> None:
    client = Client(HTTP_ACCEPT_LANGUAGE="en")
    answer = client.post("/language", {"language": "de", "next": "/sign-in"})
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in")
    assert "Anmelden" in client.get("/sign-in").content.decode()
    cookie = answer.cookies["django_language"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    assert client.post("/language", {"language": "de", "next": "https://elsewhere.example/"})["Location"] == "/"
    client.post("/language", {"language": "xx", "next": "/"})
    assert "Anmelden" in client.get("/sign-in").content.decode()
    assert Client(enforce_csrf_checks=True).post("/language", {"language": "de"}).status_code == 403
