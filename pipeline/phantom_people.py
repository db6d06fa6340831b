"""Who is in the phantom hospital's scans: people who never lived, and every identifier planted with them.

The cast is data, so that a test can search a result for each planted value. Values are long and unusual on purpose: a search
for three letters would find itself in any file, a search for these finds only a leak. Names carry letters outside ASCII,
because a cleaner that looks for bytes of one alphabet misses the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path


@dataclass(frozen=True)
class Consent:
    """What a person wishes to allow, in DUO terms: a permission, modifiers, plain questions, and how far the data may go."""

    permission: str = "GRU"
    modifiers: tuple[str, ...] = ()
    commercial: bool = True
    ai_training: bool = True
    countries: tuple[str, ...] = ()
    transfer: str = "adequate"  # outside the EEA: to countries with a decision under GDPR Art. 45


@dataclass(frozen=True)
class Site:
    """One hospital: its code in the registry, and the identifying values its scanners write into every file."""

    code: str
    name: str
    country: str
    issuer: str
    institution: str
    address: str
    department: str
    station: str
    serial: str
    referring: str
    performing: str
    operator: str
    reading: str
    charset: str
    uid_root: str
    scanner: str
    field: float


@dataclass(frozen=True)
class Person:
    """One person of the cast. `name` is DICOM person name order (family^given), `source_id` is PatientID as it stands in the scans."""

    key: str
    site: str
    source_id: str
    issuer: str
    name: str
    sex: str
    birth_date: date
    address: str
    phone: str
    mother: str
    consent: Consent | None = None

    @property
    def family(self) -> str:
        return self.name.split("^")[0]

    @property
    def given(self) -> str:
        return self.name.split("^")[1]


@dataclass(frozen=True)
class Visit:
    """One study of one person: `folder` holds a folder for each series; `mask` is the lesion mask on the FLAIR's grid."""

    label: str
    date: date
    folder: Path
    study_uid: str
    accession: str
    files: int
    lesions: int = 0
    mask: Path | None = None
    measures: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Participant:
    """A person with the visits that were written for them."""

    person: Person
    visits: tuple[Visit, ...]


@dataclass(frozen=True)
class Extra:
    """Something that goes wrong on purpose. `kind`: stranger, two_patients, no_consent, burned_in, spoiled. `files` of `folder` are concerned."""

    kind: str
    site: str
    folder: Path
    files: int
    people: tuple[Person, ...] = ()


@dataclass(frozen=True)
class Planted:
    """One identifying value that stands in the scans. `kind` may be printed, `value` never."""

    value: str
    kind: str


NORDVIK = Site(
    code="nordvik",
    name="Nordvik sykehus",
    country="NO",
    issuer="NORDVIK-MRN",
    institution="Nordvik Universitetssykehus",
    address="Fjellgløttveien 117, 9414 Nordvik",
    department="Nevroradiologisk avdeling Nordvik",
    station="NVKMR03SKRIN",
    serial="PW-7730291-NVK",
    referring="Brynjulfsen^Torgeir^^Dr",
    performing="Kristoffersrud^Ragnfrid^^Dr",
    operator="Tømmerdalen^Ingvild",
    reading="Skjæråsen^Halvdan^^Prof",
    charset="ISO_IR 192",
    uid_root="1.3.6.1.4.1.98765431.11",
    scanner="Aurora 3T",
    field=3.0,
)
SANTELMO = Site(
    code="santelmo",
    name="Clínica San Telmo",
    country="ES",
    issuer="SANTELMO-HC",
    institution="Clínica Universitaria San Telmo",
    address="Calle de los Almendrales 48, 20003 Donostia",
    department="Unidad de Resonancia San Telmo",
    station="STRM1ALMENDRO",
    serial="PW-1182046-STM",
    referring="Arizmendiarrieta^Koldobika",
    performing="Goikoetxearen^Lourdes",
    operator="Villaescusa^Remedios",
    reading="Bustinzuriaga^Anselmo",
    charset="ISO_IR 100",
    uid_root="1.3.6.1.4.1.98765431.22",
    scanner="Meridian 1.5T",
    field=1.5,
)
SITES = (NORDVIK, SANTELMO)

P1 = Person(
    "p1",
    "nordvik",
    "NVK-4821307",
    "NORDVIK-MRN",
    "Quistgaard^Margrethe^Ulla",
    "F",
    date(1979, 4, 23),
    "Bjørkelundstubben 9, 9411 Nordvik",
    "+4777550123914",
    "Lindestrømsen",
    Consent(),
)
P2 = Person(
    "p2",
    "nordvik",
    "NVK-5530916",
    "NORDVIK-MRN",
    "Øvrebergstad^Þorvaldur",
    "M",
    date(1985, 11, 2),
    "Havnepromenaden 230B, 9409 Nordvik",
    "+4777550987442",
    "Aasmundrudsen",
    Consent(),
)
# Their consent covers health research by non-profits only: the demo's commercial request must leave them out, and say why.
P3 = Person(
    "p3",
    "santelmo",
    "ST.00917744",
    "SANTELMO-HC",
    "Echeverríagaray^Inmaculada",
    "F",
    date(1972, 8, 30),
    "Avenida Pasaialdea 77, 20110 Pasaia",
    "+3494355501732",
    "Olaizolaberri",
    Consent("HMB", ("NCU",), commercial=False, ai_training=False),
)
P4 = Person(
    "p4",
    "santelmo",
    "ST.01022583",
    "SANTELMO-HC",
    "Zubizarretandia^Fermín",
    "M",
    date(1990, 1, 17),
    "Plaza Gernikazarra 3, 20008 Donostia",
    "+3494355509821",
    "Mendizabalgoitia",
    Consent(),
)
# Registered, but nobody asked them yet.
P5 = Person(
    "p5",
    "nordvik",
    "NVK-6107742",
    "NORDVIK-MRN",
    "Halvorsgaarden^Sunniva",
    "F",
    date(1968, 6, 9),
    "Kvernhusløkka 14, 9402 Nordvik",
    "+4777550666103",
    "Fossheimdal",
)
# Never registered.
STRANGER = Person(
    "stranger",
    "santelmo",
    "ST.07770001",
    "SANTELMO-HC",
    "Wojciechowskaya^Bronislawa",
    "F",
    date(1955, 12, 11),
    "Camino Ulialdegi 5, 20013 Donostia",
    "+3494355504488",
    "Kowalczykowna",
)
NEIGHBOUR = Person(
    "neighbour",
    "santelmo",
    "ST.03344556",
    "SANTELMO-HC",
    "Urrutikoetxeaga^Maialen",
    "F",
    date(1981, 3, 5),
    "Camino Ulialdegi 6, 20013 Donostia",
    "+3494355504577",
    "Agirregomezkorta",
)
PARTICIPANTS = (P1, P2, P3, P4)
EVERYBODY = (*PARTICIPANTS, P5, STRANGER, NEIGHBOUR)


def identifiers(people: tuple[Person, ...], sites: tuple[Site, ...]) -> list[Planted]:
    """Every value of these people and sites that the writer puts into files, as the bytes of a reader would spell it.

    Dates stand as DICOM writes them (YYYYMMDD). A site's UID root stands for all UIDs under it.
    """
    found = []
    for person in people:
        found += [
            Planted(person.family, "family name"), Planted(person.given, "given name"), Planted(person.source_id, "patient id"),
            Planted(person.birth_date.strftime("%Y%m%d"), "birth date"), Planted(person.address, "address"), Planted(person.phone, "telephone"),
            Planted(person.mother, "mother's birth name"),
        ]  # fmt: skip
    for site in sites:
        found += [
            Planted(site.institution, "institution"), Planted(site.address, "institution address"), Planted(site.department, "department"),
            Planted(site.station, "station"), Planted(site.serial, "device serial number"),
            Planted(site.uid_root, "uid root"), Planted(site.issuer, "issuer of patient id"),
        ]  # fmt: skip
        staff = {"referring physician": site.referring, "performing physician": site.performing, "operator": site.operator, "reading physician": site.reading}
        found += [Planted(value.split("^")[0], kind) for kind, value in staff.items()]
    return found
