"""Runs inside a peer's own environment, never in ours: one tool over a list of files, as its documentation shows, one file at a time.

    build/peers/NAME/bin/python tests/measure/peer_work.py NAME FILES.json OUT

Needs nothing but the peer itself. A file that the tool raises on is counted and left out, and the next one is tried: its own loop would often have stopped
there. Prints {"cpu": seconds of this process over the files, "failed": {exception: count}} as its last line.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

Work = Callable[[Path, int], object]


def dicognito(out: Path) -> Work:
    """https://github.com/blairconrad/dicognito: one Anonymizer for all files; the file is named by its new UID."""
    import pydicom
    from dicognito.anonymizer import Anonymizer

    anonymizer = Anonymizer(seed="2026")

    def work(path: Path, n: int) -> None:
        data = pydicom.dcmread(path, force=False)
        anonymizer.anonymize(data)
        data.save_as(out / f"{data.SOPInstanceUID}.dcm")

    return work


def dicom_anonymizer(out: Path) -> Work:
    """https://github.com/KitwareMedical/dicom-anonymizer: anonymize_dicom_file with its default rules (private elements deleted)."""
    from dicomanonymizer.simpledicomanonymizer import anonymize_dicom_file

    return lambda path, n: anonymize_dicom_file(str(path), str(out / f"{n:05d}.dcm"))


def deid(out: Path, **more: bool) -> Work:
    """https://pydicom.github.io/deid: replace_identifiers with the default recipe; it names its outputs after the input."""
    from deid.dicom import replace_identifiers
    from deid.logger import bot

    bot.level = -5
    return lambda path, n: replace_identifiers(dicom_files=[str(path)], save=True, overwrite=True, output_folder=str(out), **more)


def idiscore(out: Path) -> Work:
    """https://github.com/sjoerdk/idiscore: the default core."""
    import pydicom
    from idiscore.defaults import create_default_core

    core = create_default_core()

    def work(path: Path, n: int) -> None:
        core.deidentify(pydicom.dcmread(path)).save_as(out / f"{n:05d}.dcm", write_like_original=False)

    return work


def openmed(out: Path, **more: object) -> Work:
    """openmed.multimodal.dicom.deidentify_dicom_headers with its default policy."""
    from openmed.multimodal.dicom import deidentify_dicom_headers

    return lambda path, n: deidentify_dicom_headers(path, policy={"output_path": out / f"{n:05d}.dcm", "uid_salt": "measured here", **more})


def openmed_long(out: Path) -> Work:
    """The same with longitudinal dates: a shift by patient key and secret."""
    import pydicom

    def work(path: Path, n: int) -> None:
        patient = str(pydicom.dcmread(path, specific_tags=["PatientID"], force=True).get("PatientID", ""))
        dated = {"retain_longitudinal_temporal_information": True, "patient_key": patient, "date_shift_secret": "measured here", "date_shift_max_days": 3650}
        openmed(out, **dated)(path, n)

    return work


TOOLS: dict[str, Callable[[Path], Work]] = {
    "dicognito": dicognito,
    "dicom-anonymizer": dicom_anonymizer,
    "deid": deid,
    "deid, private removed": lambda out: deid(out, remove_private=True),
    "idiscore": idiscore,
    "openmed": openmed,
    "openmed, longitudinal": openmed_long,
}


def main(name: str, listed: Path, out: Path) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    out.mkdir(parents=True, exist_ok=True)
    work, failed = TOOLS[name](out), Counter[str]()
    files = [Path(text) for text in json.loads(listed.read_text("utf-8"))]
    started = time.process_time()
    for n, path in enumerate(files):
        try:
            work(path, n)
        except Exception as error:
            failed[type(error).__name__] += 1
        except SystemExit:
            failed["SystemExit"] += 1
    print("\n" + json.dumps({"cpu": time.process_time() - started, "failed": dict(failed)}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
