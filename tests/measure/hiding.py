"""A hospital that never existed, as one folder of DICOM files with a planted identifier in every hiding place we could think of.

`write` makes the set: classic, enhanced, converted and captured MR of five people over years, five makers, and documents. Each file knows its tokens by
construction, so nothing has to be guessed afterwards: what must be gone (`Planted.tokens`), whether it can be cleaned at all (`Planted.image`), and what of it
research needs. The same seed gives the same bytes. `form`: "small" is one file per family of places and 20 plain images; "whole"
has every family for several people, and 60 plain images.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hiding_bytes as odd_bytes
import hiding_forms as forms
import hiding_odd as odd
import hiding_private as private
import hiding_table as table
import pydicom.config
from hiding_images import MR, Planted, capture, mr, multi_frame, uid
from hiding_people import PEOPLE, Person, Words
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

SEED = 2026
PLAIN = 60
BASES = (
    "T1 mprage sag", "T2 FLAIR 3D", "ax DWI b1000", "t2_tse_tra", "SWI", "pd tse fatsat cor", "ep2d_bold rest", "localizer", "gre field mapping", "T1 post gad",
    "DTI 32 dir", "3D TOF angio",
)  # fmt: skip

Hide = Callable[[Planted, Words], Any]


@dataclass(frozen=True)
class Set:
    """All files of one hospital."""

    folder: Path
    files: tuple[Planted, ...]

    @property
    def by_number(self) -> dict[int, Planted]:
        return {one.number: one for one in self.files}


def _syntax(change: Callable[[Planted], Any]) -> Hide:
    return lambda planted, words: change(planted)


# Family of places -> how a file hides it. A change of bytes is what the function returns.
FAMILIES: dict[str, Hide] = {
    "table": table.at_the_top,
    **{f"nested {depth}": (lambda planted, words, depth=depth: table.nested(planted, words, depth)) for depth in (1, 2, 3, 6)},
    "sequences": table.in_table_sequences,
    "unknown VR": table.as_unknown,
    "CSA2": private.siemens,
    "CSA1": lambda planted, words: private.siemens(planted, words, two=False),
    "GE": private.ge,
    **{
        f"private {family[0]}": (lambda planted, words, family=family: private.dictionary(planted, words, family))
        for family in (("SIEMENS",), ("GEMS_",), ("Philips", "PHILIPS", "SPI-P"), ("Image Private Header",), ("TOSHIBA", "CANON"), ("HITACHI", "HMC"))
    },
    "private shapes": private.shapes,
    "text outside": odd.text_outside,
    "codes outside": odd.codes_outside,
    "UIDs outside": odd.uids_outside,
    "times outside": odd.times_outside,
    "numbers outside": odd.numbers_outside,
    "bulk outside": odd.bulk_outside,
    "numbers that spell": odd.numbers_that_spell,
    "unknown public": odd.unknown_public,
    "graphics": odd.graphics,
    "codes": odd.codes,
    "UIDs": odd.uids,
    "dates": odd.dates,
    "many values": odd.many,
    "forms": forms.forms,
    "said again": forms.no_names,
    "typed": forms.typed,
    "machine fields": forms.machine_fields,
    "behind the picture": odd.behind_the_picture,
    "meta": odd_bytes.meta,
    "preamble program": odd_bytes.preamble,
    "preamble TIFF": lambda planted, words: odd_bytes.preamble(planted, words, b"II*\0\x10\0\0\0"),
    "behind": odd_bytes.behind,
    "behind zeros": lambda planted, words: odd_bytes.behind(planted, words, b"\0" * 64),
    "archive": odd_bytes.archive_behind,
    "padding": odd_bytes.padding,
    "twice": odd_bytes.twice,
    "out of order": odd_bytes.middle,
    "other groups": odd_bytes.other_groups,
    "after NUL": odd_bytes.after_nul,
    "numbers with words": odd_bytes.numbers_with_words,
    **{
        f"lies {declared.decode() or 'none'} {codec}": odd_bytes.lying(declared, codec)
        for declared, codec in (
            (b"ISO_IR 192", "latin-1"),
            (b"ISO_IR 100", "utf-8"),
            (b"", "utf-8"),
            (b"ISO_IR 999", "latin-1"),
            (b"ISO_IR 192", "gb18030"),
            (b"ISO_IR 100", "utf-16-le"),
        )
    },
    **{f"script {charset}": forms.script(n) for n, (charset, _, _) in enumerate(forms.SCRIPTS)},
    "implicit": lambda planted, words: (table.nested(planted, words, 2), private.safe_values(planted), odd_bytes.implicit(planted))[0],
    "big endian": lambda planted, words: (private.shapes(planted, words), odd_bytes.big_endian(planted))[1],
    "deflated": lambda planted, words: (forms.no_names(planted, words), odd_bytes.deflated)[1],
    "without preamble": lambda planted, words: (forms.no_names(planted, words), odd_bytes.bare)[1],
    "run length": lambda planted, words: (forms.no_names(planted, words), odd_bytes.run_length(planted))[1],
    "JPEG 2000": odd_bytes.jpeg_2000,
}
MULTI: dict[str, Hide] = {
    "functional groups": odd.functional_groups,
    "XA protocol": private.siemens_xa,
    "enhanced table": table.at_the_top,
    "enhanced nested": lambda planted, words: table.nested(
        planted, words, 3, ("SharedFunctionalGroupsSequence", "ReferencedImageSequence", "PurposeOfReferenceCodeSequence")[1:]
    ),
}
CAPTURES: dict[str, Hide] = {"capture table": table.at_the_top, "capture private": private.shapes, "JPEG": odd_bytes.jpeg}
# Families whose file is the only one of its patient: they give a name, an issuer or a sex that the person's other files contradict.
ALONE = (
    "script", "lies", "table", "enhanced table", "capture table", "unknown VR", "twice", "out of order", "codes", "other groups", "numbers outside", "dates",
    "machine fields",
)  # fmt: skip
# Names of files and folders that tell.
PATHS = ("{name}/{mrn}/{birth}_{n}.dcm", "{family}_{given}/study {date}/IM{n}", "{n}_{accession}.{family}.dcm")


def write(folder: Path, *, seed: int = SEED, form: str = "whole") -> Set:
    """Write the set below `folder` (made if missing)."""
    words = Words(seed)
    files: list[Planted] = []
    people = PEOPLE[:1] if form == "small" else PEOPLE
    for person in people:
        for k, (family, hide) in enumerate(FAMILIES.items()):
            if form == "small" or k % 2 == person.number % 2 or family in ("table", "nested 3", "sequences", "said again", "meta", "typed", "machine fields"):
                files.append(_hidden(folder, len(files) + 1, person, family, hide, words, mr))
        for family, hide in MULTI.items():
            for legacy in (False, True):
                if form == "small" or family == "functional groups" or legacy is bool(person.number % 2):
                    files.append(_hidden(folder, len(files) + 1, person, family, hide, words, multi_frame, legacy=legacy))
        for family, hide in CAPTURES.items():
            files.append(_hidden(folder, len(files) + 1, person, family, hide, words, capture))
        for sop, modality in odd_bytes.DOCUMENTS if form == "small" or person.number < 3 else ():
            files.append(_hidden(folder, len(files) + 1, person, "document", lambda p, w, s=sop, m=modality: odd_bytes.document(p, w, s, m), words, mr))
    files += _plain(folder, len(files) + 1, words, 20 if form == "small" else PLAIN)
    return Set(folder, tuple(files))


def _alone(person: Person, number: int, family: str) -> Person:
    """Somebody else with the same habits, for a family that gives the patient another name or sex: one record number never has two names."""
    name = {f"script {charset}": name for charset, _, name in forms.SCRIPTS}.get(family, person.name)
    return replace(person, number=100 + number, mrn=f"{70000000 + number * 131}", name=name)


def _hidden(folder: Path, number: int, person: Person, family: str, hide: Hide, words: Words, make: Callable[..., Planted], **more: Any) -> Planted:
    person = _alone(person, number, family) if family.startswith(ALONE) else person
    study = number % len(person.studies)
    # A few files to a series: what one family hides must not decide what becomes of all others.
    series = {"mr": 10, "multi_frame": 300, "capture": 500}[make.__name__] + (number // 6 if make is mr else number)
    planted = make(number, person, study, series, **({} if make is not mr else {"instance": number}), **more)
    planted.tokens += person.tokens()
    with as_told():
        change = hide(planted, words)
        content = odd_bytes.as_bytes(planted.data)
    content = change(content) if callable(change) else content
    # A family may have overwritten what every image carries.
    planted.tokens = [token for token in planted.tokens if token.place not in EVERY_IMAGE or token.text.encode() in content]
    return _save(folder, planted, content, family)


EVERY_IMAGE = frozenset(["clock times", "UIDs of the image itself"])


@contextmanager
def as_told() -> Iterator[None]:
    """pydicom writes what it is told: no value is checked, and UN stays UN."""
    before = pydicom.config.replace_un_with_known_vr
    pydicom.config.replace_un_with_known_vr = False
    try:
        with pydicom.config.disable_value_validation():
            yield
    finally:
        pydicom.config.replace_un_with_known_vr = before


def _save(folder: Path, planted: Planted, content: bytes, family: str) -> Planted:
    person = planted.person
    name = person.name.split("=")[0]
    what = {
        "name": name.replace("^", " "),
        "family": name.split("^")[0],
        "given": name.split("^")[1],
        "mrn": person.mrn.replace("/", "-"),
        "birth": person.birth,
    }
    what |= {"date": person.studies[planted.study], "accession": person.accessions[planted.study], "n": f"{planted.number:04d}"}
    planted.path = PATHS[planted.number % len(PATHS)].format(**what)
    target = folder / planted.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    planted.kind = f"{planted.kind}: {family}"
    return planted


def _plain(folder: Path, first: int, words: Words, count: int) -> list[Planted]:
    """Plain series as research gets them: descriptors that name the patient, references within the study, safe private numbers beside other private text."""
    out = []
    for n in range(count):
        person = PEOPLE[n % len(PEOPLE)]
        turn = n // len(PEOPLE)
        study = turn % len(person.studies)
        planted = mr(first + n, person, study, series=2 + turn // len(person.studies), instance=turn + 1, kind="plain MR")
        planted.tokens += person.tokens()
        data = planted.data
        base = BASES[n % len(BASES)]
        planted.words = base
        said = person.said()[(n * 5) % len(person.said())]
        data.SeriesDescription = f"{base} for {said}" if n % 3 else f"{said} {base}"
        private.safe_values(planted)
        data.private_block(0x0099, "HOSPITAL", create=True).add_new(0x01, "LO", planted.plant(words.word(), "private flat", "beside safe values"))
        # Of the same study: the next two of this person's turns there, round and round.
        turns = [t for t in range(count // len(PEOPLE)) if t % len(person.studies) == study]
        others = [turns[(turns.index(turn) + step) % len(turns)] for step in (1, 2)]
        data.ReferencedImageSequence = Sequence([_reference(first + t * len(PEOPLE) + n % len(PEOPLE)) for t in others])
        data.SourceImageSequence = Sequence([_reference(first + n)])
        out.append(_save(folder, planted, odd_bytes.as_bytes(data), "plain"))
    return out


def _reference(number: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = MR, uid(number, "instance")
    return item


def words_of(text: str) -> set[str]:
    """The words of a descriptor, for asking whether one kept them."""
    return set(re.findall(r"[a-z0-9]+", text.lower()))
