"""One value, many spellings: the folded form in which two texts are compared, the words of a name, and the ways a word may be transliterated.

A person is written Müller, MUELLER, muller; O'Brien or OBRIEN; de la Cruz or delaCruz. Whoever looks for a value (the scrubber in free text, the last gate
in products) looks for all its spellings, and both take them from here, so that what one cuts the other does not miss.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import permutations

# Letters without a decomposition in Unicode that people write with others (Latin-1 Supplement, Latin Extended-A).
_WRITTEN_AS = {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ı": "i", "þ": "th", "æ": "ae", "œ": "oe", "ħ": "h", "ŧ": "t", "ŋ": "n"}
_TABLE = str.maketrans(_WRITTEN_AS)
_DIGRAPHS = (("ae", "a"), ("oe", "o"), ("ue", "u"), ("aa", "a"), ("ss", "s"), ("th", "t"))
_ACCENTED = {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "œ": "oe", "ß": "ss"}
_BETWEEN = re.compile(r"[\s^=,.;_\-'\"/\\()*\d’‘ʼ`´‐‑–—・·|]+")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# Words of names that are nobody's alone: they count only where a name has nothing else.
TITLES = frozenset(["dr", "mr", "mrs", "ms", "prof", "md", "phd", "msc", "bsc", "dipl", "ing", "sir", "jr", "sr"])
PARTICLES = frozenset(
    (
        *("van", "von", "de", "la", "le", "der", "den", "del", "di", "da", "el", "al", "na", "no", "id", "the", "ter", "ten", "te", "dos", "das", "du", "des"),
        *("zu", "zur", "y", "e", "i", "af", "av", "bin", "ben", "ibn", "abu", "san", "st"),
    )
)


def fold(text: str) -> str:
    """Folded for comparison: compatibility forms, accents, case and signs of no width are gone, blanks collapsed."""
    if text.isascii():
        return " ".join(text.lower().split())
    plain = unicodedata.normalize("NFKD", text)
    kept = "".join(c for c in plain if not unicodedata.combining(c) and unicodedata.category(c) != "Cf").casefold()
    return " ".join(kept.translate(_TABLE).split())


@lru_cache(maxsize=4096)
def _fold_char(char: str) -> str:
    plain = unicodedata.normalize("NFKD", char)[0].casefold()
    return _WRITTEN_AS.get(plain, plain)[0] if plain else " "


def fold_same_length(text: str) -> str:
    """The text, letter for letter, without accents and case."""
    return text.lower() if text.isascii() else "".join(_fold_char(char) for char in text)


def spelled(word: str) -> frozenset[str]:
    """The folded spellings of one word: accents dropped or written as two letters (ü: u, ue), and two letters written as one (ue: u)."""
    lower = unicodedata.normalize("NFC", word).casefold() if not word.isascii() else word.lower()
    out = {fold(word), fold_same_length(unicodedata.normalize("NFC", word))}
    if not word.isascii():
        long = "".join(_ACCENTED.get(c, c) for c in unicodedata.normalize("NFC", word.lower()))
        out.add(fold(long))
        lower = fold(long)
    if len(lower) >= 5:
        for two, one in _DIGRAPHS:
            if two in lower and len(lower.replace(two, one)) >= 4:
                out.add(fold(lower.replace(two, one)))
    return frozenset(out - {""})


def name_parts(name: str) -> list[str]:
    """The single words of a person name in all its component groups, folded letter for letter, two characters or more, one where the script is not
    Latin (PS3.5 6.2.1.1: = between groups, ^ between components)."""
    folded = fold_same_length(unicodedata.normalize("NFC", name))
    return [part for part in _BETWEEN.split(folded) if len(part) > 1 or (part and not part.isascii())]


def telling_parts(name: str) -> frozenset[str]:
    """The words of a name that point at somebody, in every spelling: titles never; particles (van, de) only in a component that is nothing else."""
    out: set[str] = set()
    for component in re.split(r"[\^=]", unicodedata.normalize("NFC", name)):
        words = [w for w in _BETWEEN.split(component) if len(w) > 1 or (w and not w.isascii())]
        telling = [w for w in words if fold(w) not in TITLES]
        named = [w for w in telling if fold(w) not in PARTICLES] or telling
        out.update(form for word in named for form in spelled(word))
    return frozenset(part for part in out if len(part) > 1 or not part.isascii())


def whole_names(name: str) -> frozenset[str]:
    """A name's words in one: each component without its signs (`obrien`, `delacruz`), and components glued in any order (`smithjohn`, `johnsmith`)."""
    out: set[str] = set()
    for group in unicodedata.normalize("NFC", name).split("="):
        components = ["".join(w for w in _BETWEEN.split(c)) for c in re.split(r"[\^,]", group)]
        named = [c for c in components if c and fold(c) not in TITLES]
        glued = ["".join(pair) for pair in permutations(named[:4], 2)]
        words = [w for w in _BETWEEN.split(group) if w and fold(w) not in TITLES]
        glued += ["".join(pair) for pair in permutations(words[:5], 2)] + ["".join(words), "".join(reversed(words))]
        out.update(form for word in [*named, *glued] for form in spelled(word))
    return frozenset(w for w in out if len(w) >= 4 or (len(w) > 1 and _HAN.match(w)))


def is_ideographic(text: str) -> bool:
    """Whether a text is written without blanks between words (Han, kana, Hangul)."""
    return bool(_HAN.search(text))


def is_written_like_a_name(value: str) -> bool:
    """Whether one word is written as a name is (White), not as a machine or a department is (FMRI, test)."""
    return value.isalpha() and value.istitle() and len(value) > 1
