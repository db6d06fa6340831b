"""How people write other people: every form of a name, number, day or address that a technologist types, and machine fields that quietly carry one of them.

A token here is the very text that was typed. It stands in an attribute that a good tool keeps after cleaning: deleting the attribute
is no answer either.
"""

from __future__ import annotations

import base64
import datetime
import struct
from collections.abc import Callable

from hiding_images import MR, Planted, listed, uid
from hiding_people import Person, Words
from hiding_table import put
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

DESCRIPTORS = listed(
    """
    SeriesDescription StudyDescription ProtocolName ImageComments RequestedProcedureDescription PerformedProcedureStepDescription DerivationDescription
    AcquisitionComments AcquisitionProtocolDescription AcquisitionDeviceProcessingDescription StudyComments RequestedSeriesDescription
    """
)


def spellings(person: Person) -> list[str]:
    """Names, initials, record numbers, days, telephones and addresses, as typed."""
    family, given = person.name.split("=")[0].split("^")[:2]
    doctor, first = person.physician.split("^")
    born = datetime.datetime.strptime(person.birth, "%Y%m%d").date()
    digits = person.digits
    phone = "".join(c for c in person.phone if c.isdecimal())
    month, short = f"{born:%B}", f"{born:%b}"
    return [
        f"{given}{family}", f"{family}{given}", f"{given[0]}{family}", f"{family}{given[0]}", f"{given}.{family}", f"{given}-{family}", f"{family}/{given}",
        f"{family}_{given[0]}",
        f"{family},{given}", f"{given[0]}.{family}", f"{family} {given[0]}.", f"{family.upper()}", f"{given.lower()} {family.lower()}", f"{family}'s",
        f"({family})", f"#{family}#",
        f"{given.lower()}.{family.lower()}@clinic.example", f"mrn{digits}", f"ID:{person.mrn}", person.mrn.lower(), digits, f"PID_{digits}",
        person.mrn.replace("-", ""), person.mrn.replace("-", " "),
        f"{born:%d%m%Y}", f"{born:%d%m%y}", f"{born:%y%m%d}", f"{born:%m/%d/%Y}", f"{born:%d-%m-%Y}", f"{born:%d.%m.%y}", f"{born:%m/%d/%y}",
        f"{born:%Y/%m/%d}", f"{born:%Y.%m.%d}", f"{born:%Y %m %d}",
        f"{born.day} {month} {born.year}", f"{month} {born.day}, {born.year}", f"{born.day}{short}{born.year}", f"{born.day}-{short}-{born:%y}",
        f"{short} {born.day} {born.year}", f"{born:%d}{short.upper()}{born:%Y}",
        f"{born.day}.{born.month}.{born.year}", f"{born.month}/{born.day}/{born.year}", f"*{born:%d.%m.%Y}", f"{born.year}-{born.month}-{born.day}", phone,
        f"+{phone}", person.phone.replace(" ", "-"),
        f"Dr.{doctor}", f"{first[0]}.{doctor}", f"{doctor.lower()} req", person.operator.split("^")[0].upper(), person.institution,
        person.institution.split()[1].lower(), person.address, person.station.lower(),
        person.accessions[0].lower(), f"Acc {person.accessions[0]}", f"{family}{born.year}", f"{family[:4]}{born:%d%m}",
    ]  # fmt: skip


def typed(planted: Planted, words: Words) -> None:
    """Each spelling in a descriptor of its own: first the image's, then those of its requests."""
    data, person = planted.data, planted.person
    forms = [text for text in spellings(person) if text.isprintable() and len(text) < 50]
    requests = []
    for n, text in enumerate(forms):
        said = f"T1 {planted.plant(text, 'forms of a name, number or day', f'spelling {n}', *person.codecs)} head"
        if n % 5 == 0 and n // 5 < len(DESCRIPTORS):
            setattr(data, DESCRIPTORS[n // 5], said)
        else:
            item = Dataset()
            item.ScheduledProcedureStepDescription, item.RequestedProcedureDescription = said, said.replace("T1 ", "").replace(" head", "")
            requests.append(item)
    data.RequestAttributesSequence = Sequence(requests)


def machine_fields(planted: Planted, words: Words) -> None:
    """Fields that machines fill, carrying somebody: numbers, days with text behind them, the name of the character set, an age that is a word."""
    data, person, plant = planted.data, planted.person, planted.plant
    digits = person.digits
    place = "machine fields that carry somebody"
    for keyword in (
        "SeriesNumber",
        "AcquisitionNumber",
        "TemporalPositionIdentifier",
        "NumberOfTemporalPositions",
        "ImagesInAcquisition",
        "EchoNumbers",
        "EchoTrainLength",
    ):
        setattr(data, keyword, digits)
    for keyword in ("SliceLocation", "TriggerTime", "RepetitionTime", "WindowCenter", "WindowWidth", "PatientWeight", "SAR"):
        setattr(data, keyword, person.birth)
    plant(digits, place, "record number in IS")
    plant(person.birth, place, "birth date in DS")
    put(
        data,
        0x00080005,
        "CS",
        ["ISO_IR 100", plant(words.word(12).upper(), place, "SpecificCharacterSet")] if person.charset == "ISO_IR 100" else person.charset,
    )
    put(data, 0x00080022, "DA", f"{person.studies[planted.study]} {plant(words.word(10), place, 'text behind AcquisitionDate')}")
    put(data, 0x00080033, "TM", f"093000 {plant(words.word(10), place, 'text behind ContentTime')}")
    put(data, 0x0008002A, "DT", f"{person.studies[planted.study]}093000 {plant(words.word(10), place, 'text behind AcquisitionDateTime')}")
    put(data, 0x00101010, "AS", plant(words.word(8)[:6], place, "PatientAge"))
    put(data, 0x00201040, "LO", plant(words.word(), place, "PositionReferenceIndicator"))
    for tag in (0x00189004, 0x00189070, 0x00204000, 0x00181060):
        put(data, tag, "UN", struct.pack("<16s", plant(words.word(10), place, f"{tag:08X} as UN").encode()))
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = MR, uid(planted.number, "instance")
    reference.ReferencedFrameNumber, reference.PurposeOfReferenceCodeSequence = digits, Sequence([Dataset()])
    reference.PurposeOfReferenceCodeSequence[0].CodeValue = plant(words.word(14), place, "code of a reference")
    data.SourceImageSequence = Sequence([reference])
    for creator, group, low, vr in (
        ("SIEMENS MR HEADER", 0x19, 0x0C, "IS"),
        ("GEMS_ACQU_01", 0x19, 0x9C, "LO"),
        ("GEMS_PARM_01", 0x43, 0x39, "IS"),
        ("Philips Imaging DD 001", 0x2001, 0x13, "SL"),
    ):
        data.private_block(group, creator, create=True).add_new(low, vr, int(digits) % 2**31 if vr == "SL" else digits)


def forms(planted: Planted, words: Words) -> None:
    """What identifies, as base64, hexadecimal, UTF-16, reversed order and spaced letters, in text that is kept."""
    data, person = planted.data, planted.person
    place, plant = "UTF-16, base64 and hexadecimal forms", planted.plant
    name = person.name.split("=")[0].replace("^", " ")
    data.ImageComments = f"head {plant(base64.b64encode(name.encode()).decode(), place, 'name, base64')} T1"
    data.SeriesDescription = f"T1 {plant(base64.b64encode(person.mrn.encode()).decode().rstrip('='), place, 'record number, base64')} mprage"
    data.StudyDescription = f"Head {plant(name.encode('utf-8').hex(), place, 'name, hexadecimal')}"
    data.ProtocolName = f"t1 {plant(person.mrn.encode().hex().upper(), place, 'record number, hexadecimal')}"
    data.RequestedProcedureDescription = f"MRI {plant(person.birth.encode().hex(), place, 'birth date, hexadecimal')}"
    data.PerformedProcedureStepDescription = f"head {plant(base64.b32encode(name.encode()).decode().rstrip('='), place, 'name, base32')}"
    data.private_block(0x0011, "SOMEBODY", create=True).add_new(0x01, "OB", plant(words.word(), place, "UTF-16", "utf-16-le", "utf-16-be").encode("utf-16-le"))
    data.AcquisitionComments = "scan " + plant(" ".join(name.split()[0].upper()), place, "spaced letters")


SAID_IN = listed(
    """
    SeriesDescription ProtocolName StudyDescription ImageComments RequestedProcedureDescription PerformedProcedureStepDescription DerivationDescription
    AcquisitionComments PatientComments StudyComments ContrastBolusAgent AcquisitionDeviceProcessingDescription
    """
)


def no_names(planted: Planted, words: Words) -> None:
    """Text attributes hold the person's own values again and again: the name in a comment, the telephone in the protocol."""
    data, person = planted.data, planted.person
    said = person.said()
    for keyword, text in zip(SAID_IN, said, strict=False):
        setattr(data, keyword, f"T1 head {text} contrast"[:64])
    data.SequenceName, data.ImageType = person.name.split("^")[0][:16], ["ORIGINAL", "PRIMARY", "M", person.name.split("^")[0].upper()[:16]]
    data.ManufacturerModelName, data.SoftwareVersions = f"Prisma {person.station}", f"E11 {person.institution}"
    data.DeviceSerialNumber, data.PositionReferenceIndicator = person.mrn, person.name.split("^")[0]
    data.ReceiveCoilName, data.ImagedNucleus = person.mrn[:16], person.station[:16]


SCRIPTS = (
    ("ISO_IR 144", "iso8859_5", "Люксембургова^Роза"), ("ISO_IR 126", "iso8859_7", "Διονυσιοςπουλος^Νικος"), ("ISO_IR 127", "iso8859_6", "قبانيالدين^لنزار"),
    ("ISO_IR 138", "iso8859_8", "שרוןברג^דבורה"), ("ISO_IR 166", "tis_620", "นามสกุลไทย^ชื่อไทย"), ("GB18030", "gb18030", "王小东西^小东北"),
    ("ISO_IR 192", "utf-8", "Łukasiewicz-Öztürk^Þórbjörg"),
    ("ISO_IR 101", "iso8859_2", "Wałęsowski^Świętosław"), ("ISO_IR 148", "iso8859_9", "Çavuşoğlular^Buğrahan"), ("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞｻﾞｷ^ﾀﾛｳｼﾞ"),
    ("\\ISO 2022 IR 87", "iso2022_jp", "山田崎^太郎次"), ("\\ISO 2022 IR 149", "euc_kr", "김희중선^홍길동전"), ("GBK", "gbk", "欧阳小东^东北人民"),
)  # fmt: skip


def script(n: int) -> Callable[[Planted, Words], None]:
    """A name in another character set: as PatientName, and again in descriptors."""

    def plant(planted: Planted, words: Words) -> None:
        charset, codec, name = SCRIPTS[n]
        data = planted.data
        data.SpecificCharacterSet = charset.split("\\") if "\\" in charset else charset
        family, given = name.split("^")
        put(data, 0x00100010, "PN", name)
        for part in (family, given):
            planted.plant(part, "all character sets", charset, "utf-8", codec, "utf-16-le")
        data.SeriesDescription, data.PatientComments = f"T1 {family} head"[:20], f"{given} {family}"
        data.ImageComments, data.ReferringPhysicianName = f"{family}, {given}", name

    return plant
