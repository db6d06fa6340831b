"""Who hides: five people who never existed, and words that exist nowhere else.

A *token* is a value that must not survive. Most are words drawn by seed and used once, so that a leak names its hiding place; the others are what a real
hospital writes again and again (name, record number, birth date, telephone, physician) and are looked for in every file of their person, whatever the place.
A token is found by its bytes, case folded: in each encoding it may have been written in, and as it stands in its own transport form (base64, hexadecimal).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from functools import cached_property

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True)
class Token:
    """`text` was planted at `place` (a kind of hiding place); `detail` says where exactly. Bare numbers count only as whole numbers."""

    text: str
    place: str
    detail: str = ""
    encodings: tuple[str, ...] = ("utf-8",)

    @cached_property
    def needles(self) -> tuple[bytes, ...]:
        """What to look for in the case-folded bytes of a file."""
        found = {form.encode(codec, "ignore") for form in {self.text, self.text.lower()} for codec in self.encodings}
        return tuple(sorted({needle.lower() for needle in found if len(needle) >= 3}))

    @cached_property
    def pattern(self) -> re.Pattern[bytes] | None:
        """For a number: not inside a longer one; for up to four letters: a word of its own. None for everything else."""
        if len(self.text) < 5 and self.text.isascii():
            return re.compile(rb"(?<![a-z0-9])" + re.escape(self.text.lower().encode()) + rb"(?![a-z0-9])")
        digits = self.text.replace(".", "").isdecimal()
        return re.compile(rb"(?<![\d.])" + re.escape(self.text.encode()) + rb"(?!\d[^\0])") if digits else None

    def found(self, folded: bytes) -> bool:
        """Whether it stands in the lower-case bytes."""
        if self.pattern is not None:
            return self.text.lower().encode() in folded and self.pattern.search(folded) is not None
        return any(needle in folded for needle in self.needles)


@dataclass
class Words:
    """Draws words that were never drawn before."""

    seed: int
    _used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def _syllables(self, count: int) -> str:
        return "".join(self.chance.choice(CONSONANTS) + self.chance.choice(VOWELS) for _ in range(count))

    def word(self, longest: int = 64) -> str:
        """A name-like word, a number-like one, or two words: as people and machines write them. Never one drawn before."""
        while True:
            kind = self.chance.randrange(10)
            if longest < 10 or kind < 6:
                text = self._syllables(min(longest // 2, self.chance.choice((5, 6)))).capitalize()
            elif kind < 8:
                text = f"{self._syllables(2).upper()}{self.chance.randrange(10**4, 10**5)}"
            else:
                text = f"{self._syllables(2).capitalize()}-{self._syllables(3).capitalize()}"[:longest]
            if self._fresh(text):
                return text

    def number(self, digits: int = 9) -> str:
        while True:
            text = str(self.chance.randrange(10 ** (digits - 1), 2**31 - 1 if digits > 9 else 10**digits))
            if self._fresh(text):
                return text

    def uid(self) -> str:
        return f"1.2.826.0.1.3680043.9.7433.{self.number()}.{self.number(6)}"

    def _fresh(self, text: str) -> bool:
        folded = text.lower()
        if folded in self._used:
            return False
        self._used.add(folded)
        return True


@dataclass(frozen=True)
class Person:
    """One patient and the people and places around them. `name`: as PatientName; `charset`: the Specific Character Set it needs; `studies`: dates."""

    number: int
    name: str
    mrn: str
    birth: str
    sex: str
    phone: str
    physician: str
    operator: str
    institution: str
    address: str
    station: str
    vendor: str
    studies: tuple[str, ...]
    charset: str = "ISO_IR 100"
    codecs: tuple[str, ...] = ("utf-8",)

    @property
    def accessions(self) -> tuple[str, ...]:
        return tuple(f"ACC{self.number}{71193 + 17 * n}Q" for n in range(len(self.studies)))

    @property
    def digits(self) -> str:
        """The digits of the record number."""
        return "".join(c for c in self.mrn if c.isdecimal())

    def age(self, study: int) -> int:
        day = self.studies[study]
        return int(day[:4]) - int(self.birth[:4]) - (day[4:] < self.birth[4:])

    def said(self) -> list[str]:
        """What of this person a descriptor might say, in the forms people use."""
        family, given = re.split(r"[\^=]", self.name)[:2]
        y, m, d = self.birth[:4], self.birth[4:6], self.birth[6:]
        return [
            f"{given} {family.upper()} {y}-{m}-{d}",
            f"{family}, {given}",
            f"{family.upper()}^{given.upper()}",
            f"{given[0]}. {family}",
            f"{family} {self.mrn}",
            f"{self.mrn} {self.birth}",
            f"born {d}.{m}.{y}",
            f"{d}/{m}/{y} {family.lower()}",
            f"tel {self.phone}",
            f"Dr {self.physician.split('^')[0]}",
            f"{self.accessions[0]}",
            f"{given}_{family}",
        ]

    def tokens(self) -> list[Token]:
        """The values of this person that must be nowhere in any file written for them."""
        y, m, d = self.birth[:4], self.birth[4:6], self.birth[6:]
        family, given = re.split(r"[\^=]", self.name)[:2]
        values = [
            (family, "patient name"),
            (given, "patient name"),
            (self.mrn, "record number"),
            *((form, "birth date") for form in (self.birth, f"{y}-{m}-{d}", f"{d}.{m}.{y}", f"{d}/{m}/{y}")),
            (self.phone, "telephone"),
            *((part, "physician") for part in self.physician.split("^") if len(part) > 3),
            *((part, "operator") for part in self.operator.split("^") if len(part) > 3),
            (self.institution.split()[1], "institution"),
            (self.address.split()[1], "address"),
            (self.station, "station"),
            *((one, "accession number") for one in self.accessions),
            *((one, "study date") for one in self.studies),
        ]
        groups = [(part, "patient name in another script") for group in self.name.split("=")[1:] for part in group.split("^") if len(part) > 1]
        return [Token(text, "values of the person, again and again", what, self.codecs) for text, what in values + groups]


LATIN, JAPANESE, UNICODE = ("utf-8", "latin-1", "utf-16-le"), ("utf-8", "iso2022_jp", "utf-16-le"), ("utf-8", "utf-16-le")
PEOPLE = (
    Person(
        1, "Smith^John", "10482937", "19620304", "M", "+45 86174392", "Lindqvistberg^Torvald", "Abernathy^Kestrel", "St Brigidsworth Infirmary",
        "17 Kornblumenweg Aarhus", "NGMR07X", "SIEMENS", ("20170914", "20190314", "20211102"), codecs=LATIN,
    ),
    Person(
        2, "Okonkwoski^Chidiebere", "MRN-8804213", "19300721", "F", "(030) 4471 2290", "Vandersluis^Annelotte", "Pemberwick^Ross", "Klinik Hohenfelsen Nord",
        "4 Birkenallee Celle", "HFMR2201", "GE MEDICAL SYSTEMS", ("20200110", "20220703"), codecs=LATIN,
    ),
    Person(
        3, "Müllerhaus^Jörgen", "270855-0413", "19550827", "M", "0172 5518243", "Brøndbjerg^Søren", "Ångqvist^Malin", "Rigs Holmensgaard Afd",
        "9 Nørrestrand Odense", "RHPH3B", "Philips Medical Systems", ("20180505", "20181111"), "ISO_IR 100", LATIN,
    ),
    Person(
        4, "Yamadazaki^Tarouji=山田崎^太郎次=やまだざき^たろうじ", "JP55-90817", "19710915", "M", "03-5566-7788", "Kobayashimoto^Rin", "Watanabeko^Aoi",
        "Midori Sakuragawa Byoin", "3 Hanamizuki Chiba", "SKGMR9", "UIH", ("20230220", "20240229"), "ISO_IR 192", JAPANESE,
    ),
    Person(
        5, "Garciamendez^Lucinda^Maria", "0099812X", "19840219", "F", "555-832-1934", "Thistlethwaite^Ebenezer", "Quartermain^Odile", "Hospital Valdemossa Sur",
        "21 Azahares Elche", "VMOSR1", "TOSHIBA", ("20211224", "20220102"), codecs=LATIN,
    ),
)  # fmt: skip
