"""I make terms.json, the fixed words of the standards, gathered from what is installed and never from memory:

- `words`, `short`: defined terms of coded strings (VR CS), from the validator dciodvfy (Debian dicom3tools), and the makers' terms listed below me;
- `keys`: names of sidecar fields and table columns, from the BIDS schema inside the validator of BIDS (bids-validator-deno), from the converter dcm2niix,
  and the keywords of DICOM (PS3.6, as pydicom carries it);
- `entities`, `values`, `suffixes`, `datatypes`, `files`: what BIDS names are made of, from the same schema.

python deid/profiles/make_terms.py
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

# Terms that vendors use in ImageType, ScanOptions and SequenceVariant, seen in the shared data and in the makers' conformance statements.
VENDOR = """
ORIGINAL DERIVED PRIMARY SECONDARY OTHER MIXED NORM DIS2D DIS3D MOSAIC VFRAME CSA MPR CSAPARALLEL CSAMIP FM3_2 FM4_1 MOCO TRACEW TENSOR COLFA FILTERED ECHO
ADC ASL RELCBF TTEST SUBTRACT
PERFUSION FFE IMAGINARY REAL MAGNITUDE PHASE VELOCITY DIFFUSION EPI GEMS ACC EDR FAST FILTERED PFF PFP SAT TRF VASTOF CARD RESP LOCALIZER AXIAL SAGITTAL
CORONAL OBLIQUE MAP MIP MINIP PROJECTION IMAGE
RESAMPLED REFORMATTED AVERAGE REFORMAT SCREEN SAVE PASTED POSDISP DISPLAY PROCESSED MEAN STDDEV SNR UNI INV1 INV2 GRAPHICS SYNTHETIC DIXON WATER FAT
WATERFAT INPHASE OUTPHASE OPPOSED PCASL PASL CONTROL LABEL
ROW COL COLUMN HEAD BRAIN ABDOMEN CHEST NECK SPINE CSPINE TSPINE LSPINE PELVIS KNEE WHOLEBODY EXTREMITY HEART LIVER CODE TEXT TIME WAVEFORM BODY LOCAL SMR
FULL PARTIAL SINGLE MULTIPLE VOLUME SAMPLED
FRACTIONAL GRAPPA SENSE ELLIPTICAL GRADIENT LINEAR UNKNOWN NONE YES BOTH EITHER RECTILINEAR RADIAL SPIRAL MONO MONOCHROME PALETTE COLOR BOLD DWI SWI RGB
QUIET NORMAL REMOVED MODIFIED UNMODIFIED
SPIN_ECHO GRADIENT_ECHO SOM5 SPI HIGH RESOLUTION SYMMETRIC ASYMMETRIC HEART CALC BVALUE T2MAP T1MAP T2STAR R2STAR FIT UNWARPED COMPOSED COMPOSITE ADDED
ADDITION DIVISION MULTIPLICATION
HFDR HFDL FFDR FFDL AFDR AFDL PFDR PFDL BORELOCAL B1RMS TRANSVERSE VFA MPRAGE STEADY STATE SPOILED SEGMENTED SKIP OVERSAMPLING MAGNETIZATION TRANSFER
TIMEREVERSED SAT1 SAT2 SLIST PARALLEL
"""

# Whole terms of two or three characters (patient positions, sequence variants, vendor ImageType values): they stay even where a patient has such a name.
SHORT = """
HFS HFP FFS FFP LFP LFS RFP RFS SE IR GR EP RM SK MTC SS TRS SP MP OSP NONE PER RG CG PPG FC PFF PFP SPI FS CT MR OT SC M F O P R I
YBR ICT RCT ND ADC ASL SUB MPR MIP DIS PFA SAT FAT GRE FFE TFE TSE EPI IMA MAG REL RGB ROW COL YES NO
"""


def terms(binary: str) -> tuple[set[str], set[str]]:
    """Runs of four letters or more, and whole terms of three characters or fewer."""
    found = re.findall(rb"[A-Z][A-Z0-9_ ]{1,15}(?=\0)", Path(binary).read_bytes())
    words = {run for term in found for run in re.findall(r"[A-Z]{4,}", term.decode("ascii"))} | set(re.findall(r"[A-Z]{4,}", VENDOR))
    return words, {term.decode("ascii").strip() for term in found if len(term.strip()) <= 3} | set(SHORT.split())


def schema() -> dict[str, Any]:
    """The schema inside the validator's bundle, read by running that one assignment."""
    import deno  # type: ignore[import-untyped]

    spec = importlib.util.find_spec("bids_validator_deno")
    if spec is None or spec.origin is None:
        raise SystemExit("bids-validator-deno is not installed")
    text = (Path(spec.origin).parent / "bids-validator.js").read_text(encoding="utf-8")
    start = text.index("var schema_default = {")
    end = text.index("};", text.index('schema_version: "', start)) + 2
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "schema.js"
        script.write_text(text[start:end] + "\nconsole.log(JSON.stringify(schema_default));", encoding="utf-8")
        done = subprocess.run([os.fsdecode(deno.find_deno_bin()), "run", "--no-config", str(script)], capture_output=True, check=True, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def keys(bids: dict[str, Any]) -> set[str]:
    """Names of fields and columns that BIDS, dcm2niix or DICOM define."""
    import dcm2niix  # type: ignore[import-untyped]
    from pydicom.datadict import DicomDictionary

    converter = (Path(dcm2niix.__file__).parent / "dcm2niix").read_bytes()
    theirs = {found.decode() for found in re.findall(rb'"([A-Za-z][A-Za-z0-9_]{2,60})": ?', converter)}
    objects = bids["objects"]
    fixed = {value.get("name", key) for group in ("metadata", "columns") for key, value in objects[group].items()}
    return theirs | fixed | {row[4] for row in DicomDictionary.values() if row[4]}


def main() -> None:
    binary = shutil.which("dciodvfy")
    if binary is None:
        raise SystemExit("dciodvfy (Debian package dicom3tools) is not installed")
    version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "dicom3tools"], capture_output=True, text=True, check=True).stdout
    words, short = terms(binary)
    bids = schema()
    objects = bids["objects"]

    def listed(found: set[str]) -> str:
        return " ".join(sorted(found))

    editions = [f"dicom3tools {version}, with vendor terms of make_terms.py", f"BIDS {bids['bids_version']}"]
    editions += [f"{name} {importlib.metadata.version(name)}" for name in ("dcm2niix", "pydicom")]
    content = {
        "edition": "; ".join(editions),
        "made_by": "make_terms.py",
        "words": listed(words),
        "short": listed(short),
        "keys": listed(keys(bids)),
        "entities": listed({value["name"] for value in objects["entities"].values()}),
        "values": listed({str(value) for one in objects["entities"].values() for value in one.get("enum", []) if isinstance(value, str)}),
        "suffixes": listed({value["value"] for value in objects["suffixes"].values()}),
        "datatypes": listed({value["value"] for value in objects["datatypes"].values()}),
        "files": listed({value.get("file_type") and key for key, value in objects["files"].items()} - {None}),
    }
    (HERE / "terms.json").write_text(json.dumps(content, indent=0) + "\n")


if __name__ == "__main__":
    main()
