"""The dictionary is the library's own, and reading it does not bring the whole library along."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from pydicom import charset, datadict, uid

from deid import dictionary, printable, values


def test_the_tables_are_those_of_the_library():
    assert dictionary.DicomDictionary == datadict.DicomDictionary
    assert all(dictionary.tag_for_keyword(keyword) == tag for keyword, tag in datadict.keyword_dict.items())
    assert dictionary.tag_for_keyword("NoSuchKeyword") is None
    assert dictionary.private_dictionaries() == datadict.private_dictionaries
    assert dictionary.uid_dictionary() == uid.UID_dictionary


def test_every_character_set_is_known_as_the_library_knows_it():
    for name, codec in charset.python_encoding.items():
        assert values.encodings(name) == (codec,)
    assert values.encodings("ISO_IR 100\\ISO 2022 IR 87") == (charset.python_encoding["ISO_IR 100"], charset.python_encoding["ISO 2022 IR 87"])
    assert values.encodings("nobody knows") == ("iso8859",)


@pytest.mark.parametrize(
    ("modules", "said"), [("deid.standalone", ""), ("deid.headers, deid.pixels, deid.verify", ""), ("deid.standalone, pydicom", "pydicom")]
)
def test_neither_the_command_nor_its_child_imports_the_library_at_their_start(modules, said):
    heavy = "('pydicom', 'scipy', 'cv2', 'onnxruntime')"
    words = f"import sys, {modules}; sys.exit(' '.join(name for name in {heavy} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False).stderr.strip() == said


def test_the_library_still_works_when_it_is_imported_afterwards():
    words = "import deid.headers, pydicom; from deid import dictionary as d; assert pydicom.datadict.DicomDictionary is d.DicomDictionary"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("phase", [0, 1])
@pytest.mark.parametrize("level", [40, 4000, 20000], ids=["dark noise that is itself printable", "a picture", "a bright picture"])
def test_a_word_among_pixels_is_seen_in_either_order_at_either_phase(encoding, phase, level):
    noise = np.random.default_rng(2026).normal(level, 12, 4096).clip(0).astype("<u2").tobytes()
    word = "Zimmerma".encode(encoding)
    assert "Zimmerma" not in printable.runs(noise)
    for at in (0 + phase, 2000 + phase, len(noise) - len(word) - 2 + phase):
        hidden = noise[:at] + word + noise[at + len(word) :]
        assert "Zimmerma" in printable.runs(hidden)
        assert "Zimmerma" in printable.runs(hidden + b"\0")


def test_shorter_words_and_no_words_are_none():
    for text in (b"", b"Z", "Zimmer".encode("utf-16-le"), b"Zimmer", bytes(4096)):
        assert printable.runs(bytes(64) + text + bytes(64)).strip("\n\0") == ""
