"""A sidecar that somebody outside wrote may say numbers, flags and words of closed lists, and nothing else.

`bidstree.sidecar` holds the list for what we convert ourselves, from headers whose words were taken out before. A site's own JSON never went through that,
so of its words only those stay that are written down here: a maker, a model, a kind of sequence. No free word, no reference to another file (site paths are
made of names and dates), no object with keys of its own. Numbers are those of a scan: none that could be a number of a person. What a person says of a
protocol (`bidstree.corrections`) passes the same list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bidstree import sidecar, words
from bidstree.sidecar import Json, Test

MOST = 1e5  # no fact of a scan in BIDS units is larger; the number of a person, or a day written as a number, is
LONGEST = 4096  # values of a list: one for each volume or slice

_MAKERS = (
    "siemens|siemens healthineers|siemens healthcare gmbh|philips|philips medical systems|philips healthcare|ge|ge medical systems|ge healthcare|canon|"
    "canon mec|canon medical systems|toshiba|toshiba mec|toshiba medical systems|hitachi|hitachi medical corporation|uih|united imaging|bruker|"
    "bruker biospin mri gmbh|hyperfine|fujifilm|fujifilm healthcare corporation|esaote|mediso"
)
_MODELS = (
    "aera|allegra|altea|amira|avanto|avanto fit|biograph mmr|cima.x|connectom|connectom.x|espree|essenza|free.max|free.star|harmony|investigational device 7t|"
    "lumina|magnetom 7t|magnetom terra|magnetom vida|prisma|prisma fit|sempra|skyra|skyra fit|sola|sola fit|sonata|spectra|symphony|symphonytim|terra|terra.x|"
    "trio|triotim|verio|viato.mobile|vida|vida fit|"
    "achieva|achieva dstream|gyroscan intera|gyroscan nt|ingenia|ingenia ambition s|ingenia ambition x|ingenia cx|ingenia elition|ingenia elition s|"
    "ingenia elition x|ingenuity|intera|intera achieva|mr 5300|mr 7700|panorama hfo|"
    "brivo mr355|discovery mr450|discovery mr750|discovery mr750w|genesis signa|optima mr360|optima mr450w|signa architect|signa artist|signa creator|"
    "signa excite|signa explorer|signa hdx|signa hdxt|signa hero|signa pet/mr|signa pioneer|signa premier|signa voyager|"
    "titan|titan3t|vantage elan|vantage galan 3t|vantage orian|vantage titan|vantage titan 3t|airis|echelon|echelon oval|oasis|"
    "umr 560|umr 570|umr 580|umr 670|umr 680|umr 770|umr 780|umr 790|umr 870|umr 880|umr 890|upmr 790|swoop"
)
_IMAGE_TYPES = (
    "ORIGINAL DERIVED PRIMARY SECONDARY M P R I O MAG MAGNITUDE PHASE REAL IMAGINARY ND NORM DIS2D DIS3D MOSAIC MFSPLIT FM FM4 DIFFUSION NONE ADC FA TRACE "
    "TRACEW CALC_BVALUE UNI INV1 INV2 T1 T2 T2_STAR SE FFE IR FS W F WATER FAT IP OP IN_PHASE OUT_PHASE "
    "OPP_PHASE MIP MINIP MNIP MPR SWI SUB ASL PERFUSION TTEST MEAN "
    "MOCO COMB OTHER MIXED B0 FIELD_MAP M_FFE M_SE M_IR P_FFE R_FFE I_FFE PHASE_MAP MAP MAP_T1 RESAMPLED PROJECTION VOLUME FILTERED FLUID_ATTENUATED"
)
TASKS = (*words.TASKS, "unnamed")
# What stands in our sidecars because it is on a list here: nobody's words, whatever else is called so.
WORDS = frozenset(re.findall("[a-z]+", f"{_MAKERS} {_MODELS} {_IMAGE_TYPES} auto triple sum squares adaptive combine".lower()))


def _plain(value: str) -> str:
    return re.sub(r"[ _-]+", " ", value.lower()).strip()


def _named(choices: str) -> Test:
    known = frozenset(choices.split("|"))
    return lambda value: isinstance(value, str) and len(value) <= 64 and _plain(value) in known


def _tokens(choices: str) -> Test:
    """Coded words of one string (`GR_IR`, `SK\\SP`), each of a list."""
    known = frozenset(choices.split())
    return lambda value: isinstance(value, str) and len(value) <= 64 and all(part in known for part in re.split(r"[_\\ ]", value))


def _of(choices: str) -> Test:
    known = frozenset(choices.split("|"))
    return lambda value: isinstance(value, str) and value in known


def _coded(value: Json) -> bool:
    known = frozenset(_IMAGE_TYPES.split())
    return isinstance(value, list) and len(value) <= 16 and all(isinstance(one, str) and one in known for one in value)


# Fields whose value is a word, by name -> the words. Every other field of `sidecar.FIELDS` stays only as a number or a flag.
SPOKEN: dict[str, Test] = {
    "Manufacturer": _named(_MAKERS),
    "ManufacturersModelName": _named(_MODELS),
    "SoftwareVersions": lambda value: isinstance(value, str) and bool(re.fullmatch(r"syngo[ _]MR[ _](?:[ABDE]|V[AB]|XA)[0-9]{2}[A-Z]?", value)),
    "MatrixCoilMode": _of("SENSE|GRAPPA|Auto (CP)|Auto (Triple)"),
    "CoilCombinationMethod": _of("Sum of Squares|Adaptive Combine"),
    "ScanningSequence": _tokens("SE IR GR EP RM"),
    "SequenceVariant": _tokens("SK MTC SS TRSS SP MP OSP NONE"),
    "ScanOptions": _tokens("PER RG CG PPG FC PFF PFP SP FS IR DB CT NONE SAT1 SAT2 FAST EDR ACC GEMS EPI FILTERED SS MT"),
    "MTPulseShape": _of("HARD|GAUSSIAN|GAUSSHANN|SINC|SINCHANN|SINCGAUSS|FERMI"),
    "ParallelAcquisitionTechnique": _of("GRAPPA|SENSE|mSENSE|CAIPIRINHA|ARC|ASSET|SMASH|PILS"),
    "AcquisitionContrast": _of("DIFFUSION|FLOW_ENCODED|FLUID_ATTENUATED|PERFUSION|PROTON_DENSITY|STIR|TAGGING|T1|T2|T2_STAR|TOF|MIXED|UNKNOWN"),
    "SpoilingType": _of("RF|GRADIENT|COMBINED"),
    "ImageOrientationText": _of("Tra|Sag|Cor|TRA|SAG|COR"),
    "ImageType": _coded,
    "PASLType": _of("FAIR|EPISTAR|PICORE|PULSAR|STAR|TILT"),
    "BolusCutOffTechnique": _of("QUIPSS|QUIPSSII|QUIPSS II|Q2TIPS"),
    "TaskName": _of("|".join(TASKS)),
    "ConversionSoftware": _of("dcm2niix|dicom2nifti"),
}
# Fields that `sidecar` tests against a list of its own: there the list is as closed as here.
_CLOSED = (
    "PhaseEncodingDirection SliceEncodingDirection PhaseEncodingAxis InPlanePhaseEncodingDirectionDICOM MRAcquisitionType PartialFourierDirection "
    "PatientPosition Modality ArterialSpinLabelingType M0Type BodyPart ContrastBolusIngredient Units"
)
CLOSED = frozenset(_CLOSED.split())


def _a_number(value: Json) -> bool:
    return isinstance(value, bool) or (isinstance(value, int | float) and -MOST <= value <= MOST)


def _numbers(value: Json) -> bool:
    return _a_number(value) or (isinstance(value, list) and len(value) <= LONGEST and all(map(_a_number, value)))


def may_stay(key: str, value: Json) -> bool:
    """Whether one field of a sidecar from outside may be shared: of the list, of its kind, and no word but one of a closed list."""
    if key not in sidecar.FIELDS or not sidecar.FIELDS[key](value):
        return False
    if key in SPOKEN:
        return SPOKEN[key](value)
    return (key in CLOSED and isinstance(value, str)) or _numbers(value)


def clean(given: Mapping[str, Json]) -> dict[str, Json]:
    """The part of a sidecar from outside that may be shared, keys sorted. In BIDS units (seconds, degrees, mm); `given` is not changed."""
    return {key: given[key] for key in sorted(given) if may_stay(key, given[key])}


def dropped(given: Mapping[str, Json]) -> tuple[dict[str, str], int]:
    """What is not shared: field -> why, for names that we know, and how many others: a key of a site's JSON can be anybody's name."""
    gone = [key for key in sorted(given) if not may_stay(key, given[key])]
    known = {key: sidecar.DROPPED.get(key, "value of another kind") for key in gone if key in sidecar.DROPPED or key in sidecar.FIELDS}
    return known, len(gone) - len(known)
