"""Keep the few numbers that conversion needs out of vendor data, and drop the rest.

A private element stays only if its creator, group and element are on the list (profiles/private-2026.toml, with a source for each), and then only as its kind
allows: numbers as numbers, words checked word by word, sequences item by item. Vendor blobs are taken apart and written again from the entries on an
allow-list:

* Siemens CSA headers (binary; layout as described at nipy.org/nibabel/dicom/siemens_csa.html): entries by name, values by form; names and padding are
re-written, for
  the original leaves stray memory behind the terminating zeros.
* Siemens protocol (MrPhoenixProtocol, MrProtocol, also raw in the XA private sequence): only the ASCCONV block, line by line; numbers stay, text only on
the word list.
* GE protocol data block (gzipped lines `KEY "value"`) and GE user data (a memory image, of which six numbers say how k-space was read).
"""

from __future__ import annotations

import gzip
import re
import struct
import tomllib
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from pydicom.datadict import private_dictionaries

from deid import dates, descriptors, elements, values
from deid.elements import Element, Item
from deid.errors import Refused

HERE = Path(__file__).resolve().parent / "profiles"
KINDS = ("number", "term", "fact", "items", "csa", "phoenix", "ge_block", "ge_user")
MAX_TEXT = 4 * 1024 * 1024

CSA_NUMBERS = frozenset(
    [
        "EchoLinePosition",
        "EchoColumnPosition",
        "EchoPartitionPosition",
        "UsedChannelMask",
        "Actual3DImaPartNumber",
        "B_value",
        "B_matrix",
        "Filter1",
        "Filter2",
        "ProtocolSliceNumber",
        "RealDwellTime",
        "SliceMeasurementDuration",
        "SequenceMask",
        "MeasuredFourierLines",
        "FlowEncodingDirection",
        "FlowVenc",
        "PhaseEncodingDirectionPositive",
        "NumberOfImagesInMosaic",
        "DiffusionGradientDirection",
        "SliceNormalVector",
        "TimeAfterStart",
        "FlipAngle",
        "RepetitionTime",
        "EchoTime",
        "InversionTime",
        "NumberOfAverages",
        "VoxelThickness",
        "VoxelPhaseFOV",
        "VoxelReadoutFOV",
        "VoxelPositionSag",
        "VoxelPositionCor",
        "VoxelPositionTra",
        "VoxelNormalSag",
        "VoxelNormalCor",
        "VoxelNormalTra",
        "VoxelInPlaneRot",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceLocation",
        "SliceThickness",
        "SliceResolution",
        "BandwidthPerPixelPhaseEncode",
        "FMRIStimulLevel",
        "MosaicRefAcqTimes",
        "AutoInlineImageFilterEnabled",
        "ImaAbsTablePosition",
        "ImaRelTablePosition",
        "MultistepIndex",
        "SignalMask",
        "PhaseSliceOversampling",
        "TablePositionOrigin",
        "SlicePosition_PCS",
        "Columns",
        "Rows",
        "MiscSequenceParam",
        "NonimageType",
        "TransmitterReferenceAmplitude",
        "TalesReferencePower",
        "PhaseNumber",
        "EchoNumbers",
        "EchoTrainLength",
        "PercentPhaseFieldOfView",
        "PercentSampling",
        "PixelBandwidth",
        "AcquisitionMatrix",
        "MagneticFieldStrength",
        "ImagingFrequency",
        "NumberOfPhaseEncodingSteps",
        "DwellTime",
        "SpacingBetweenSlices",
        "TriggerTime",
        "NominalInterval",
        "CardiacNumberOfImages",
        "ReadoutOS",
        "GradientMode_",
        "Isocentered",
        "CoilForGradient_",
        "FlowCompensation_",
        "AbsTablePosition",
        "Laterality4MF",
        "dBdt",
        "dBdt_max",
        "dBdt_thresh",
        "dBdt_limit",
        "SW_korr_faktor",
        "Stim_max_online",
        "Stim_lim",
        "Stim_faktor",
        "Stim_max_ges_norm_online",
        "RFPowerErrorIndicator",
        "RepetitionTimeEffective",
        "B1rms",
        "B1rmsSupervision",
        "RelTablePosition",
        "MrProtocolVersion",
        "UsedPatientWeight",
        "SARWholeBody",
        "NumberOfPrescans",
        "RepresentativeImage",
        "IntegralSAR",
        "SliceOrder",
    ]
)
CSA_WORDS = frozenset(
    [
        "ICE_Dims",
        "AcquisitionMatrixText",
        "DiffusionDirectionality",
        "ImaPATModeText",
        "ImaCoilString",
        "CoilString",
        "DataRepresentation",
        "ScanningSequence",
        "SequenceVariant",
        "ScanOptions",
        "MRAcquisitionType",
        "InPlanePhaseEncodingDirection",
        "PhaseEncodingDirection",
        "SequenceName",
        "CoilForGradient",
        "CoilForGradient2",
        "GradientMode",
        "FlowCompensation",
        "PositivePCSDirections",
        "PatientPosition",
        "TransmittingCoil",
        "ReceivingCoil",
        "ImagedNucleus",
        "AngioFlag",
        "VariableFlipAngleFlag",
        "Isocentered",
        "SafetyStandard",
        "OperationMode_flag",
        "SARMostCriticalAspect",
        "GradientEchoTrainLength",
        "RFSWDMostCriticalAspect",
        "GSWDDataType",
        "RFSWDDataType",
        "DeepLearning",
        "CoilTuningReflection_",
        "SpectrumTextRegionLabel_",
        "CompressedSensing",
        "ImageTypeText",
    ]
)
_CSA_NUMBER = re.compile(rb"[0-9+\-.eE \t]*\Z")
_PROTOCOLS = frozenset({"MrPhoenixProtocol", "MrProtocol"})
_SAFE_TEXT = re.compile(r"[A-Za-z0-9 _*#.,;:+\-/%()=|&<>\[\]\\~]{0,128}\Z")

# ASCCONV: what is dropped though it is a number (people, time stamps, serials, sites), and which quoted texts may stay, word by word.
_ASC_DROP = re.compile(
    r"(?i)patient|birth|serial|uid|guid|loid|date|stamp|starttime|study|physician|institution|user(?!scal)|host|comment|referenceimage|evaprot|history|address|phone"
)
_ASC_WORDS = re.compile(
    r"(?i)^(sCoilSelect\w*|tSequenceFileName|tProtocolName|tCoilID|tElement|tNucleus|.*\.tCoilID|.*\.tElement|.*\.tNucleus|.*\.tNominalB0|.*\.tName|.*\.tFlow.*|.*\.tFree|.*tMode|.*sWipMemBlock\.tFree|.*sCoilStringForConversion)$"
)
_ASC_LINE = re.compile(r"^\s*([A-Za-z_][\w.\[\]@]*)\s*=\s*(.*?)\s*$")
_ASC_BASELINE = re.compile(
    r'sProtConsistencyInfo\.t(?:Measured)?BaselineString\s*=\s*"{1,2}(?:N4_V[A-Z]\d{2}[A-Z]?_LATEST_\d{8}(?:_P\d{1,3})?|\d{8})"{1,2}\Z'
)  # a software build
_ASC_NUMBER = re.compile(r"(?:0x[0-9a-fA-F]{1,8}|[+-]?\d{1,10}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?)(?:\s*#.*)?\Z")
_ASC_BLOCK = re.compile(r"### ASCCONV BEGIN([^\n#]{0,400})###(.*?)### ASCCONV END ###", re.S)
_GE_LINE = re.compile(r'^([A-Z0-9_]{2,32}) "([^"]{0,512})"\s*$')
_GE_DROP = re.compile(r"UID|PDGM|DATE|TIME_?STAMP|PATIENT|NAME|USER(?!CV)|OPERATOR|COMMENT|HIST|CLINICALCOIL")


class Context(Protocol):
    """What a vendor rule needs of the file it works on (`headers._Work`)."""

    codecs: tuple[str, ...]
    scrub: descriptors.Scrubber
    removed: set[str]

    def clean_items(self, element: Element, place: str) -> list[Item]:
        """The items of a sequence, each cleaned by the profile."""
        ...


@lru_cache(maxsize=1)
def table() -> dict[tuple[str, int], dict[int, str]]:
    """(creator, group) -> element's low byte -> kind."""
    out: dict[tuple[str, int], dict[int, str]] = {}
    for entry in tomllib.loads((HERE / "private-2026.toml").read_text())["creator"]:
        kinds = out.setdefault((entry["name"], entry["group"]), {})
        for kind in KINDS:
            for low in entry.get(kind, "").split():
                kinds[int(low, 16)] = "any" if kinds.get(int(low, 16)) in ("number", "term") and kind in ("number", "term") else kind
    return out


@lru_cache(maxsize=4096)
def private_vr(creator: str, group: int, low: int) -> str:
    """The VR that pydicom's private dictionary gives an element; UN where it does not know it."""
    known = private_dictionaries.get(creator, {})
    found = known.get(f"{group:04x}xx{low:02X}") or known.get(f"{group:04x}xx{low:02x}")
    return found[0] if found and found[0] in elements.VRS else "UN"


def keep(creator: str, group: int, low: int, element: Element, work: Context) -> Element | None:
    """What stays of one private element: itself, a cleaned copy, or nothing."""
    kind = table().get((creator, group), {}).get(low)
    if kind is None:
        return None
    vr = element.vr
    if vr == "UN" and (known := private_vr(creator, group, low)) != "UN":
        element = _declared(element, known)
        vr = element.vr
    if kind == "items" or (vr == "SQ" and kind not in ("csa", "phoenix")):
        if element.items is None:
            return None
        return Element(element.tag, "SQ", None, work.clean_items(element, f"{creator} {low:02X}"), element.undefined)
    if element.value is None:
        return None
    if kind in _BLOBS:
        fresh = _BLOBS[kind](element.bytes, work)
        return None if fresh is None else Element(element.tag, vr if vr != "UN" else "OB", fresh)
    return _plain(element, kind, work)


def _declared(element: Element, vr: str) -> Element:
    """An undeclared element as what the private dictionary says it is."""
    if vr != "SQ":
        return Element(element.tag, vr, element.value, element.items, element.undefined)
    if element.items is not None:
        return element
    try:
        return Element(element.tag, "SQ", None, elements.items_in(element.bytes))
    except Refused:
        return element


def _plain(element: Element, kind: str, work: Context) -> Element | None:
    vr, raw = element.vr, element.value or b""
    if vr in elements.WIDTH and vr not in ("OW", "OF", "OD", "OL", "OV"):
        return element if kind in ("number", "any") and len(raw) % elements.WIDTH[vr] == 0 else None
    if vr in ("DS", "IS"):
        dated = any(looks_like_a_date(part) for part in bytes(raw).decode("latin-1").split("\\"))
        return (
            element
            if kind in ("number", "any") and not dated and values.NUMBER_TEXT.match(raw) and not re.search(rb"\d{9,}(?!\.)", re.sub(rb"\.\d+", b"", bytes(raw)))
            else None
        )
    if vr not in values.STRINGS or vr in ("PN", "DA", "DT", "TM", "UI", "AE", "AS"):
        return None
    parts = values.texts(element, work.codecs)
    if kind == "number":
        return element if all(re.fullmatch(r"[0-9+\-.eE ]{0,24}|[A-Z]{1,3}", p) for p in parts) else None
    if kind in ("term", "any"):
        return element if all(descriptors.is_term(p) and not _someone(p, work) for p in parts) else None
    fresh = [work.scrub.clean(p, descriptors.FACT, False).text if _SAFE_TEXT.match(p) else "" for p in parts]
    if fresh == parts:
        return element
    return Element(element.tag, vr, values.encode_text(fresh)) if any(fresh) else None


def _someone(part: str, work: Context) -> bool:
    return len(part) > 2 and part.upper() not in descriptors.short_terms() and not descriptors.is_vocabulary(part) and work.scrub.carries(part)


# --- Siemens CSA ----------------------------------------------------------------------------------------------------------------------------------------


def rewrite_csa(raw: bytes, work: Context) -> bytes | None:
    """A CSA header with only allow-listed entries, or None where it does not parse. Both layouts (CSA1 without, CSA2 with the mark SV10)."""
    two = raw[:4] == b"SV10"
    pos = 8 if two else 0
    try:
        count = struct.unpack_from("<I", raw, pos)[0]
        if not 1 <= count <= 1024:
            return None
        pos += 8
        out = [raw[:4] + b"\x04\x03\x02\x01" if two else b"", b""]
        kept = 0
        first: int | None = None
        for n in range(count):
            pos, tag, items, first = _csa_tag(raw, pos, two, first)
            fresh = _csa_values(tag[0], items, work)
            if fresh is None and n:
                continue
            out.append(_csa_write(tag, fresh or [b""] * len(items), two, first))
            kept += 1
    except (struct.error, ValueError):
        return None
    out[1] = struct.pack("<II", kept, 77)
    body = b"".join(out)
    return body + b"\0" * (-len(body) % 4)


def _csa_tag(raw: bytes, pos: int, two: bool, first: int | None) -> tuple[int, tuple[str, int, bytes, int, int], list[bytes], int]:
    """One entry at `pos`: where the next begins, its head (name, vm, vr, syngo type, mark), its values, and the first entry's item count."""
    name, vm, vr, syngo, count, mark = struct.unpack_from("<64si4siii", raw, pos)
    pos += 84
    if not 0 <= count <= 65536 or mark not in (77, 205):
        raise ValueError("mark")
    items = []
    first = count if first is None else first
    for _ in range(count):
        lengths = struct.unpack_from("<4i", raw, pos)
        pos += 16
        size = lengths[1] if two else lengths[0] - first
        if not two and not 0 <= size <= len(raw):
            size = 0
        if not 0 <= size <= len(raw) - pos:
            raise ValueError("length")
        items.append(raw[pos : pos + size])
        pos += (size + 3) // 4 * 4
    return pos, (name.split(b"\0")[0].decode("latin-1"), vm, vr.split(b"\0")[0][:2], syngo, mark), items, first


def _csa_values(name: str, items: list[bytes], work: Context) -> list[bytes] | None:
    """The values of an entry that may stay (each NUL-terminated as it was), or None where the entry goes."""
    bare = [item.split(b"\0")[0] for item in items]
    if name in CSA_NUMBERS:
        fresh = [b if _CSA_NUMBER.match(b) and len(b) <= 32 and not looks_like_a_date(b.decode("latin-1")) else b"" for b in bare]
    elif name in CSA_WORDS:
        texts = [b.decode("latin-1").strip() for b in bare]
        fresh = [t.encode("ascii") if _SAFE_TEXT.match(t) and work.scrub.clean(t, descriptors.FACT, False).text == t else b"" for t in texts]
    elif name in _PROTOCOLS:
        fresh = [rewrite_protocol(item.decode("latin-1"), work).encode("latin-1", "replace") if item else b"" for item in items]
    else:
        return None
    return [value + b"\0" if value or old else b"" for value, old in zip(fresh, items, strict=True)]


def _csa_write(tag: tuple[str, int, bytes, int, int], items: list[bytes], two: bool, first: int) -> bytes:
    name, vm, vr, syngo, mark = tag
    out = [
        struct.pack(
            "<64si4siii", name.encode("latin-1", "replace")[:63] if re.fullmatch(r"[A-Za-z0-9_]{1,63}", name) else b"Removed", vm, vr, syngo, len(items), mark
        )
    ]
    for item in items:
        size = len(item)
        out.append(struct.pack("<4i", *((size, size, 77 if size else 205, size) if two else (size + first, size, 77 if size else 205, size))))
        out.append(item + b"\0" * (-size % 4))
    return b"".join(out)


# --- Siemens protocol --------------------------------------------------------------------------------------------------------------------------------------


def rewrite_protocol(text: str, work: Context) -> str:
    """The ASCCONV block of a protocol text, line by line: numbers on keys that say nothing about people stay, quoted texts only on the word list."""
    out = []
    for block in _ASC_BLOCK.finditer(text[:MAX_TEXT]):
        lines = [line for raw in block[2].splitlines() if (line := _asc_line(raw, work))]
        version = re.search(r"version=(\d{1,12})", block[1])
        head = f" object=MrProtDataImpl@MrProtocolData version={version[1]} " if version else " "
        out.append(f"### ASCCONV BEGIN{head}###\n" + "\n".join(lines) + "\n### ASCCONV END ###")
    return "\n".join(out) + "\n" if out else ""


def looks_like_a_date(text: str) -> bool:
    """Whether a number reads as a day of our time (YYYYMMDD): scanners do write the day as a number."""
    found = re.match(r"\s*((?:19|20)\d{6})(?!\d)", text)
    return bool(found and dates.parse_date(found[1]))


def _asc_line(raw: str, work: Context) -> str:
    found = _ASC_LINE.match(raw)
    if not found or len(raw) > 1024:
        return ""
    key, value = found[1], found[2]
    if _ASC_BASELINE.match(raw.strip()):
        return f"{key}\t = \t{value}"
    if _ASC_NUMBER.match(value):
        return "" if _ASC_DROP.search(key) or looks_like_a_date(value) else f"{key}\t = \t{value.split('#')[0].strip()}"
    if _ASC_WORDS.match(key):
        quote = '""' if value.startswith('""') else '"'
        inner = value.strip('"')
        if not _SAFE_TEXT.match(inner):
            return ""
        head, _, tail = inner.rpartition("\\")
        head = re.sub(r"[^%\\]*", lambda m: m.group() if m.group() in ("SiemensSeq", "CustomerSeq") else "", head) if head else ""
        fresh = (head + "\\" if head.startswith("%") else "") + work.scrub.clean(tail, descriptors.FACT, False).text
        return f"{key}\t = \t{quote}{fresh}{quote}"
    return ""


def _phoenix(raw: bytes, work: Context) -> bytes | None:
    if raw[:4] == b"SV10":
        return rewrite_csa(raw, work)
    fresh = rewrite_protocol(raw.decode("latin-1"), work)
    return b"<XProtocol> \n{\n}\n" + fresh.encode("latin-1", "replace") if fresh else None


# --- GE --------------------------------------------------------------------------------------------------------------------------------------------------


def _ge_block(raw: bytes, work: Context) -> bytes | None:
    """The protocol data block: a 4-byte length, then gzip. Its gzip header names a file; that goes too."""
    start = raw.find(b"\x1f\x8b\x08")
    if not 0 <= start <= 8:
        return None
    engine = zlib.decompressobj(31)
    try:
        text = engine.decompress(raw[start:], MAX_TEXT).decode("latin-1")
    except zlib.error:
        return None
    lines = []
    for line in text.splitlines():
        found = _GE_LINE.match(line)
        if not found or _GE_DROP.search(found[1]) or not _SAFE_TEXT.match(found[2]):
            continue
        value = found[2] if re.fullmatch(r"[0-9+\-. ;]*", found[2]) else work.scrub.clean(found[2], descriptors.FACT, False).text
        lines.append(f'{found[1]} "{value}"')
    packed = gzip.compress(("\n".join(lines) + "\n").encode("latin-1"), mtime=0)
    return struct.pack("<I", len(packed)) + packed if start == 4 else packed


def _ge_user(raw: bytes, work: Context) -> bytes | None:
    """Zeros of the same length, but for the header offset, the version, and three flags of the EPI read-out (offsets as dcm2niix reads them)."""
    if len(raw) < 916:
        return None
    start = struct.unpack_from("<H", raw, 24)[0]
    if start + 1024 > len(raw):
        return None
    version = struct.unpack_from("<f", raw, start)[0]
    if not 5.0 <= version <= 40.0:
        return None
    shift, ky = (0x4C, 0x394 - 0x8C) if version >= 25.002 else (0, 0x394)
    out = bytearray(len(raw))
    for at, size in ((24, 2), (start, 4), (start + shift + 0x3A, 2), (start + shift + 0x30, 2), (start + shift + ky, 2)):
        out[at : at + size] = raw[at : at + size]
    return bytes(out)


_BLOBS = {"csa": rewrite_csa, "phoenix": _phoenix, "ge_block": _ge_block, "ge_user": _ge_user}
