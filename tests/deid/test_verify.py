"""The last gate: what it finds in each place, what it lets pass, and that its fast way sees what a slow one sees."""

from __future__ import annotations

import gzip
import json
import random
import re
import string
import unicodedata
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from deid import verify
from deid.vocabulary import is_common
from tests.measure import gate_places

pytestmark = [pytest.mark.filterwarnings("ignore:Invalid value for VR"), pytest.mark.filterwarnings("ignore:The value length")]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[gate_places.Case]:
    return list(gate_places.cases(tmp_path_factory.mktemp("places")))


def test_a_removed_value_is_found_in_every_place_and_no_twin_is_taken_for_one(cases):
    needles = verify.Needles(gate_places.REMOVED)
    found = {case.name: bool(verify.search([case.path], needles, case.root)) for case in cases}
    assert {name for name, seen in found.items() if not seen} == {case.name for case in cases if not case.found}
    assert sum(case.found for case in cases) > 130 and sum(not case.found for case in cases) > 20


def test_no_finding_says_what_it_found(cases):
    found = repr(verify.search([case.path for case in cases], gate_places.REMOVED)).casefold()
    for secret in ("uibble", "zephy", "ller", "brien", "1962", "7788", "4711", "white"):
        assert secret not in found


def test_nothing_is_found_where_nothing_was_removed(cases):
    assert verify.search([case.path for case in cases if case.path.suffix != ".gz"], frozenset()) == []


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe{}", b'{"a": 1} x'])
def test_what_cannot_be_opened_is_not_clean(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert [one.kind for one in verify.search([path], {"Smithers"})] == ["unreadable"]
    path.write_bytes(b"{}")
    assert verify.search([path], {"Smithers"}) == []


@pytest.mark.parametrize("cut", [3, 12, 40, 90])
def test_half_a_gzip_file_is_not_clean(tmp_path, cut):
    path = tmp_path / "x.nii.gz"
    whole = gzip.compress(gate_places.nifti())
    path.write_bytes(whole[: len(whole) * cut // 100])
    assert "unreadable" in {one.kind for one in verify.search([path], {"Smithers"})}


def test_a_moved_date_is_lawful_and_one_that_was_left_is_not(tmp_path):
    """Two visits ten days apart, moved by ten days: the second's new date is the first's old one."""
    path, removed = tmp_path / "x.dcm", {"20190311", "20190301"}
    path.write_bytes(gate_places.dicom(gate_places.set_to("StudyDate", "20190301")))
    assert verify.search([path], removed, days=10) == []
    assert {one.kind for one in verify.search([path], removed)} == {"date"}
    path.write_bytes(gate_places.dicom(gate_places.set_to("StudyDate", "20190311")))
    assert {one.kind for one in verify.search([path], removed, days=10)} == {"date"}


def test_our_own_code_is_no_leak(tmp_path):
    """Input that we cleaned before carries our code as its PatientID; it is the same in the product."""
    code = "abcdefghijklmnopqrstuvwxy2"
    path = tmp_path / f"sub-{code}_T1w.json"
    path.write_bytes(gate_places.sidecar())
    assert verify.search([path], {code}) == []
    assert verify.search([path], {code + "0"}), "one that is not ours is looked for"


def test_words_nobody_could_place_may_stand_in_names_of_sequences_only(tmp_path):
    path = tmp_path / "x.json"
    for field, found in (("SequenceName", False), ("ReceiveCoilName", True)):
        path.write_bytes(gate_places.sidecar(**{field: "zqfl3d1"}))
        assert bool(verify.search([path], {"zqfl"})) is found
    path.write_bytes(gate_places.sidecar(SequenceName="zqfl3d1"))
    assert verify.search([path], {"Zqfl^Anna"}), "a person's name is looked for there too"


def test_what_names_no_person_and_is_vocabulary_is_not_looked_for(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(gate_places.sidecar(SeriesDescription="Axial EPI-FMRI brain White matter"))
    assert verify.search([path], {"FMRI", "MRI BRAIN", "White matter", "12:30", "7", "42"}) == []
    assert verify.search([path], {"White"}) and verify.search([path], {"FMRI^"}) and verify.search([path], {"BRAIN^ANNA"})


def test_a_large_image_is_searched_to_its_end_and_over_the_borders_of_blocks(tmp_path, monkeypatch):
    from deid import unpacked

    monkeypatch.setattr(unpacked, "BLOCK", 1 << 12)
    path = tmp_path / "x.nii"
    for at in (0, 4090, 4096 - 4, 8192 - 5, 12288 - 11, 16384 - 11):
        flat = bytearray(np.full(8192, 700, np.int16).tobytes())
        flat[at : at + 11] = b"Quibblewick"
        image = nibabel.Nifti1Image(np.frombuffer(bytes(flat), np.int16).reshape((32, 16, 16), order="F"), np.eye(4))
        path.write_bytes(image.to_bytes())
        assert [one.kind for one in verify.search([path], {"Quibblewick"})] == ["voxels"], at
    path.write_bytes(image.to_bytes() + b"Zephyrina")
    assert {one.where.split(": ")[1] for one in verify.search([path], {"Zephyrina"})} == {"bytes after the image"}


def test_a_gzip_bomb_is_not_looked_at_for_ever(tmp_path, monkeypatch):
    from deid import unpacked

    monkeypatch.setattr(unpacked, "MAX_INFLATED", 1 << 20)
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(b"\0" * (1 << 22)))
    assert [one.kind for one in verify.search([path], {"Smithers"})] == ["unreadable"]


def test_the_rules_are_published_where_people_look():
    assert verify.__doc__ is not None and all(rule in verify.__doc__ for rule in verify.RULES) and len(verify.RULES) > 10


# --- the slow way --------------------------------------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).casefold()


def slow(path: Path, removed: set[str]) -> bool:
    """Whether any value stands in any text that independent libraries get out of a product: substrings from four characters, else whole tokens."""
    texts: list[str] = [path.stem]
    if path.suffix == ".json":
        texts += re.findall(r'"((?:[^"\\]|\\.)*)"', path.read_text("utf-8")) + re.findall(r"(?<=[ \[])\d+", path.read_text("utf-8"))
    elif path.suffix == ".tsv":
        texts += re.split(r"[\t\n]", path.read_text("utf-8"))
    elif path.suffix == ".nii":
        header = nibabel.load(path).header
        texts += [bytes(header[name]).decode("latin-1") for name in ("descrip", "aux_file", "intent_name", "db_name")]
        texts += [extension.get_content().decode("latin-1") for extension in header.extensions]
    else:
        texts += [str(value) for element in pydicom.dcmread(path).iterall() if element.VR not in ("OB", "OW", "SQ") for value in [element.value]]
    folded = [plain(text) for text in texts]
    for value in removed:
        low = plain(value.strip("^"))
        if low.isdecimal() or len(low) < 4:
            whole = r"\d+" if low.isdecimal() else r"[^\W_]+"
            if any(low.lstrip("0") in [t.lstrip("0") for t in re.findall(whole, text)] for text in folded):
                return True
        elif any(low in text for text in folded):
            return True
    return False


def described(said: list[str]) -> Callable[[pydicom.Dataset], None]:
    def change(data: pydicom.Dataset) -> None:
        data.SeriesDescription, data.ImageComments = said[:2]

    return change


def word(chance: random.Random, length: int) -> str:
    return "".join(chance.choice("qxzjvkw") for _ in range(length))


def test_the_fast_gate_sees_what_a_slow_one_sees(tmp_path):
    chance = random.Random(11)
    pool = [word(chance, n) for n in (2, 3, 4, 5, 8, 11) for _ in range(6)]
    pool = [one for one in pool if not is_common(one)]  # two letters may be a term of DICOM
    pool += ["".join(chance.choices(string.digits[1:], k=n)) for n in (5, 6, 9) for _ in range(4)]
    pool = [chance.choice([w, w.upper(), w.title(), w.replace("z", "ž")]) for w in pool]
    agreed = {True: 0, False: 0}
    for n in range(240):
        removed = {value if value.isdecimal() else value + "^" for value in chance.sample(pool, 12)}
        places = ("{} t1", "t2 {}", "{}", "b1000_{}", "({})", "a{}", "t1 mprage", "t1 mprage")
        said = [chance.choice(places).format(chance.choice(pool)) for _ in range(3)]
        kind = ("json", "tsv", "nii", "dcm")[n % 4]
        path = tmp_path / f"{n}.{kind}"
        if kind == "json":
            path.write_text(json.dumps({"Comment": said[0], "ReceiveCoilName": said[1], "EchoTime": [1, 2], "Note": said[2]}, ensure_ascii=False))
        elif kind == "tsv":
            path.write_text(f"participant_id\tnote\nsub-x\t{said[0]}\nsub-y\t{said[1]}\n")
        elif kind == "nii":
            path.write_bytes(gate_places.nifti("descrip", plain(said[0]).encode(), extension=plain(said[1]).encode()))
        else:
            path.write_bytes(gate_places.dicom(described(said)))
        expected = slow(path, removed)
        assert bool(verify.search([path], removed)) is expected, (n, kind)
        agreed[expected] += 1
    assert min(agreed.values()) > 40
