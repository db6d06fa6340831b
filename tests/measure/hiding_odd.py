"""Places inside a data set that no table lists: attributes of the dictionary outside Table E.1-1, graphics, forms of a value, lying character sets, numbers.

One function hides one family of places in one image. What needs bytes that no library would write is in `hiding_bytes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hiding_images import MR, Planted, picture
from hiding_people import Words
from hiding_table import TEXT, put, rows, value
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

# Groups that hold the picture, its size, or what a reader needs to read it.
STRUCTURE = (0x0028, 0x7FE0, 0x5200)
OPENING = frozenset([0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00080060, 0x00100010, 0x00100020])


def dictionary(vrs: set[str]) -> Iterator[tuple[int, str, str]]:
    """(tag, keyword, VR) of the public attributes outside Table E.1-1 with one of the VRs."""
    listed = {tag for tag, _, _ in rows()}
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        first = vr.split(" or ")[0]
        if first in vrs and keyword and tag not in listed and tag not in OPENING and tag >> 16 not in (0, 2, 4, *STRUCTURE) and tag >> 16 < 0x7F00:
            yield tag, keyword, first


def outside(vrs: set[str], place: str) -> Callable[[Planted, Words], None]:
    """Every attribute outside the table whose VR is one of these."""

    def plant(planted: Planted, words: Words) -> None:
        for n, (tag, keyword, vr) in enumerate(dictionary(vrs)):
            what, token = value(vr, words, n) or ("", "")
            put(planted.data, tag, vr, what)
            if token:
                planted.plant(token, place, keyword)

    return plant


text_outside = outside({*TEXT, "UR"}, "text attributes outside the table")
codes_outside = outside({"CS"}, "name inside a coded attribute")
uids_outside = outside({"UI"}, "UIDs outside the table")
times_outside = outside({"DA", "DT", "TM"}, "dates and times outside the table")


def numbers_outside(planted: Planted, words: Words) -> None:
    """Every IS and DS of the dictionary says the record number, or a birth date."""
    for n, (tag, _, vr) in enumerate(dictionary({"DS", "IS"})):
        if tag not in (0x00200032, 0x00200037):
            digits = planted.person.digits
            put(planted.data, tag, vr, planted.person.birth if n % 2 else digits)
    if planted.person.mrn.isdecimal():
        planted.plant(planted.person.mrn, "record number in IS and DS", "all")
    planted.plant(planted.person.birth, "birth date in IS and DS", "all")


def bulk_outside(planted: Planted, words: Words) -> None:
    """Every byte, word and float array of the dictionary spells a word."""
    for tag, keyword, vr in dictionary({"OB", "OW", "OF", "OD", "OL", "OV", "UN"}):
        text = planted.plant(words.word(30), "bytes of a bulk attribute", keyword)
        put(planted.data, tag, vr, text.encode().ljust(64))
    for tag, vr in ((0x00281201, "OW"), (0x00281202, "OW"), (0x00282000, "OB"), (0x00283006, "OW")):
        put(planted.data, tag, vr, planted.plant(words.word(30), "bytes of a bulk attribute", f"{tag:08X}").encode().ljust(64))


def numbers_that_spell(planted: Planted, words: Words) -> None:
    """Binary numbers whose bytes are letters: public, functional-group and safe private ones."""
    item = Dataset()
    for tag in (0x00189087, 0x00189089, 0x00181310, 0x00189073, 0x00189602, 0x00209057, 0x00189098):
        text = planted.plant(words.word(8)[:8], "numbers whose bytes are letters", f"{tag:08X}")
        put(planted.data if tag & 2 else item, tag, "UN", text.encode().ljust(24 if tag == 0x00189089 else 8))
    planted.data.MRDiffusionSequence = Sequence([item])
    safe = planted.data.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    for low in (0x0E, 0x27, 0x29):
        safe.add_new(low, "OB", planted.plant(words.word(24), "numbers whose bytes are letters", f"SIEMENS MR HEADER {low:02X}").encode().ljust(48))


def unknown_public(planted: Planted, words: Words) -> None:
    """Even tags that no edition of the dictionary has."""
    for n, tag in enumerate((0x00189999, 0x00109998, 0x00129999, 0x00209996, 0x40109999, 0x77770010, 0x00080F0F)):
        put(
            planted.data,
            tag,
            ("LO", "UN", "UT", "SQ", "PN", "OB", "LT")[n] if n != 3 else "LO",
            _bytes(planted.plant(words.word(), "unknown public tag", f"{tag:08X}"), n),
        )


def _bytes(text: str, n: int) -> object:
    return text.encode().ljust(64) if n in (1, 5) else text


def graphics(planted: Planted, words: Words) -> None:
    """Overlays with data, label, description, comments; curves; an icon; lookup tables with an explanation."""
    data = planted.data
    for group in (0x6000, 0x6002, 0x601E):
        for low, vr, what in (
            (0x10, "US", 64),
            (0x11, "US", 64),
            (0x15, "IS", "1"),
            (0x40, "CS", "G"),
            (0x50, "SS", [1, 1]),
            (0x100, "US", 1),
            (0x102, "US", 0),
        ):
            put(data, group << 16 | low, vr, what)
        for low, vr, name in ((0x22, "LO", "description"), (0x45, "LO", "subtype"), (0x1500, "LO", "label"), (0x4000, "LT", "comments")):
            put(data, group << 16 | low, vr, planted.plant(words.word(), f"overlay {name}", f"{group:04X}"))
        put(data, group << 16 | 0x3000, "OW", planted.plant(words.word(), "overlay data", f"{group:04X}").encode().ljust(512, b"\0"))
    for group in (0x5000, 0x5002):
        put(data, group << 16 | 5, "US", 1)
        for low, vr in ((0x22, "LO"), (0x30, "SH"), (0x40, "SH"), (0x2500, "LO"), (0x2600, "LO")):
            put(data, group << 16 | low, vr, planted.plant(words.word(16), "curve", f"{group:04X},{low:04X}"))
        put(data, group << 16 | 0x3000, "OW", planted.plant(words.word(), "curve", "data").encode().ljust(64))
    icon = Dataset()
    icon.Rows = icon.Columns = 8
    icon.SamplesPerPixel, icon.PhotometricInterpretation, icon.BitsAllocated, icon.BitsStored, icon.HighBit, icon.PixelRepresentation = (
        1,
        "MONOCHROME2",
        8,
        8,
        7,
        0,
    )
    icon.PixelData = planted.plant(words.word(), "icon image", "pixels").encode().ljust(64, b"\0")
    icon.add_new(0x00091001, "LO", planted.plant(words.word(), "icon image", "private"))
    data.IconImageSequence = Sequence([icon])
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTExplanation = [4, 0, 16], planted.plant(words.word(), "lookup table", "explanation")
    lut.add_new(0x00283006, "OW", planted.plant(words.word(8)[:8], "lookup table", "data").encode().ljust(8))
    data.VOILUTSequence = Sequence([lut])
    data.WindowCenter, data.WindowWidth, data.WindowCenterWidthExplanation = (
        "400",
        "800",
        f"BRAIN {planted.plant(words.word(), 'lookup table', 'window explanation')}",
    )


def codes(planted: Planted, words: Words) -> None:
    """A name where a term belongs."""
    data, family = planted.data, planted.person.name.split("^")[0]
    plant = planted.plant

    def term(detail: str) -> str:
        return plant(words.word(14).upper().replace("-", "_"), "name inside a coded attribute", detail)

    data.ImageType = ["ORIGINAL", "PRIMARY", term("ImageType"), family.upper()[:16]]
    data.BodyPartExamined, data.PatientPosition, data.PatientSex = term("BodyPartExamined"), term("PatientPosition"), family.upper()[:16]
    data.ScanningSequence, data.Laterality, data.Modality = ["GR", term("ScanningSequence")], term("Laterality"), "MR"
    data.SequenceName = f"*tfl {plant(words.word(10), 'name inside a coded attribute', 'SequenceName')}"
    for scheme, place in (("DCM", "code of a public scheme"), (plant(words.word(14), "code sequence", "scheme"), "code of a local scheme")):
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator = plant(words.word(14), "code sequence", f"{place}: value"), scheme
        item.CodeMeaning, item.CodingSchemeVersion = (
            f"Head {plant(words.word(), 'code sequence', f'{place}: meaning')}",
            plant(words.word(14), "code sequence", f"{place}: version"),
        )
        item.ContextIdentifier, item.LongCodeValue = term("ContextIdentifier"), plant(words.word(), "code sequence", f"{place}: long value")
        for keyword in ("AnatomicRegionSequence", "ProcedureCodeSequence", "PerformedProtocolCodeSequence", "DerivationCodeSequence"):
            setattr(data, keyword, Sequence([*getattr(data, keyword, []), item]))


def uids(planted: Planted, words: Words) -> None:
    """UIDs that say a birth date and a record number, multi-valued ones, and one padded with text."""
    person, data = planted.person, planted.data
    digits = person.digits.lstrip("0")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(
            data,
            keyword,
            planted.plant(f"1.2.826.0.1.3680043.9.7433.{digits}.{person.birth}.{len(keyword)}.{planted.number}", "UIDs with a date and an id in them", keyword),
        )
    data.IrradiationEventUID = [planted.plant(words.uid(), "multi-valued fields", "IrradiationEventUID") for _ in range(3)]
    put(data, 0x00081155, "UI", f"1.2.840.10008.{planted.plant(person.birth, 'UIDs with a date and an id in them', 'under the root of DICOM')}.{digits}")
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
        planted.plant(words.uid(), "UIDs outside the table", "ReferencedSOPClassUID"),
        planted.plant(words.uid(), "UIDs outside the table", "reference"),
    )
    data.ReferencedImageSequence = Sequence([reference])


def dates(planted: Planted, words: Words) -> None:
    """Days and clock times in DA, DT, TM, with ranges, offsets, and as text; an age that tells."""
    data, person, plant = planted.data, planted.person, planted.plant
    data.AcquisitionDateTime = f"{plant('20010203040506.789123', 'dates in every shape', 'DT')}+0100"
    data.ContentDate, data.ContentTime = plant("2001.02.03", "dates in every shape", "old DA"), plant("04:05:06.789", "dates in every shape", "old TM")
    data.SeriesDate = plant("20010204-20010209", "dates in every shape", "range")
    data.PatientAge, data.AcquisitionComments = (
        plant("103Y", "dates in every shape", "age"),
        f"scan of {plant('3 February 2001', 'dates in every shape', 'text')} 07h45",
    )
    data.ProtocolName = f"t1 {plant('2001-02-05', 'dates in every shape', 'ProtocolName')} sag"
    data.SoftwareVersions = ["syngo MR E11", plant("20010206", "dates in every shape", "SoftwareVersions")]
    data.DateOfLastCalibration, data.TimeOfLastCalibration = (
        [plant("20010207", "dates of a device", "calibration"), plant("20010208", "dates of a device", "second calibration")],
        ["120000", "121212"],
    )
    data.DateOfManufacture, data.DateOfInstallation = (
        plant("19990105", "dates of a device", "manufacture"),
        plant("19990611", "dates of a device", "installation"),
    )
    put(data, 0x00400244, "DA", "unknown")
    data.InstanceCreationDate, data.InstanceCreationTime = "20170230", plant("996161.123456", "dates in every shape", "TM that does not parse")
    data.PatientBirthTime, data.TimezoneOffsetFromUTC = plant("031415.926535", "dates in every shape", "birth time"), "+0300"
    data.ImageComments = f"{person.birth} {person.birth[:4]}-{person.birth[4:6]}-{person.birth[6:]}"


def many(planted: Planted, words: Words) -> None:
    """Several values in one field, of which one is somebody."""
    data, plant = planted.data, planted.plant

    def one(detail: str, longest: int = 30) -> str:
        return plant(words.word(longest), "multi-valued fields", detail)

    data.SoftwareVersions, data.ReceiveCoilName = ["syngo MR E11", one("SoftwareVersions")], f"Head {one('ReceiveCoilName', 10)}"
    data.OperatorsName = [f"{one('OperatorsName')}^A", f"{one('OperatorsName')}^B"]
    data.OtherPatientIDs, data.DeidentificationMethod = (
        [one("OtherPatientIDs"), one("OtherPatientIDs")],
        ["Somebody 1.0", one("DeidentificationMethod"), planted.person.name.split("=")[0]],
    )
    data.PatientIdentityRemoved = "YES"
    data.DerivationDescription, data.ContrastBolusAgent = f"filtered for {one('DerivationDescription')}", f"Gadovist {one('ContrastBolusAgent')}"
    data.OtherPatientNames = [f"{one('OtherPatientNames')}^{one('OtherPatientNames')}", planted.person.name]
    data.ScanOptions, data.SequenceVariant = ["IR", plant(words.word(14).upper().replace("-", "_"), "multi-valued fields", "ScanOptions")], ["SK", "MP"]


def functional_groups(planted: Planted, words: Words) -> None:
    """Text, names, dates, UIDs and private elements in shared and per-frame functional groups, and in those of a conversion."""
    data, plant = planted.data, planted.plant
    for place, group in (
        ("shared functional groups", data.SharedFunctionalGroupsSequence[0]),
        *(("per-frame functional groups", frame) for frame in data.PerFrameFunctionalGroupsSequence),
    ):
        content = Dataset()
        content.FrameComments, content.FrameLabel = plant(words.word(), place, "FrameComments"), plant(words.word(), place, "FrameLabel")
        content.StackID, content.InStackPositionNumber = plant(words.word(14), place, "StackID"), 1
        content.FrameAcquisitionDateTime = plant(f"20030405060708.{words.number(6)}", place, "FrameAcquisitionDateTime")
        if "FrameContentSequence" in group:
            content.DimensionIndexValues, content.FrameAcquisitionNumber = [1, int(group.FrameContentSequence[0].InStackPositionNumber)], 1
            content.InStackPositionNumber = group.FrameContentSequence[0].InStackPositionNumber
        group.FrameContentSequence = Sequence([content])
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = MR, plant(words.uid(), place, "reference")
        reference.PatientName = plant(words.word(), place, "PatientName in a reference")
        group.ReferencedImageSequence = Sequence([reference])
        group.private_block(0x0021, "SIEMENS MR SDI 02", create=True).add_new(0x56, "LO", plant(words.word(), place, "private"))
        group.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(0x71, "LO", plant(words.word(), place, "private"))
        rest = Dataset()
        for n, (tag, keyword, vr) in enumerate(rows()):
            if n % 6 == planted.number % 6 and vr in ("LO", "SH", "PN", "DA", "LT"):
                what, token = value(vr, words, n) or ("", "")
                put(rest, tag, vr, what)
                plant(token, place, f"unassigned {keyword}")
        kind = "UnassignedSharedConvertedAttributesSequence" if place.startswith("shared") else "UnassignedPerFrameConvertedAttributesSequence"
        setattr(group, kind, Sequence([rest]))
        source = Dataset()
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = MR, plant(words.uid(), place, "conversion source")
        source.PatientID = plant(words.word(), place, "conversion source PatientID")
        group.ConversionSourceAttributesSequence = Sequence([source])
    dimension = Dataset()
    dimension.DimensionOrganizationUID, dimension.DimensionDescriptionLabel = (
        plant(words.uid(), "shared functional groups", "dimension"),
        plant(words.word(), "shared functional groups", "dimension label"),
    )
    data.DimensionIndexSequence = Sequence([dimension])


def behind_the_picture(planted: Planted, words: Words) -> None:
    """Pixel data longer than the picture."""
    planted.data.PixelData = picture(planted.number).tobytes() + planted.plant(words.word(), "pixel bytes behind the last frame").encode().ljust(64)
    planted.data["PixelData"].VR = "OW"
