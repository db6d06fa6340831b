"""I make terms.json: the defined terms of coded strings (VR CS), gathered from the validator dciodvfy (Debian dicom3tools) and from the lists below me.

python deid/profiles/make_terms.py "$(which dciodvfy)" 1.00~20220618093127
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

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
ND ADC ASL SUB MPR MIP DIS PFA SAT FAT GRE FFE TFE TSE EPI IMA MAG REL RGB ROW COL YES NO
"""


def main(binary: str, version: str) -> None:
    found = re.findall(rb"[A-Z][A-Z0-9_ ]{1,15}(?=\0)", Path(binary).read_bytes())
    words = {run for term in found for run in re.findall(r"[A-Z]{4,}", term.decode("ascii"))} | set(re.findall(r"[A-Z]{4,}", VENDOR))
    short = {term.decode("ascii").strip() for term in found if len(term.strip()) <= 3} | set(SHORT.split())
    content = {
        "edition": f"dicom3tools {version}, with vendor terms of make_terms.py",
        "made_by": "make_terms.py",
        "words": " ".join(sorted(words)),
        "short": " ".join(sorted(short)),
    }
    (HERE / "terms.json").write_text(json.dumps(content, indent=0) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
