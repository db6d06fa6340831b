"""At a desk: perfusion that does not say what its volumes are waits, somebody says it once, and every later run writes it with its table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bidstree import check
from deid.pseudonyms import new_key
from pipeline import outcome as outcomes
from pipeline.isolate import ROOT

FIELDS = ['ArterialSpinLabelingType="PCASL"', "PostLabelingDelay=1.8", "LabelingDuration=1.8", "BackgroundSuppression=true", 'M0Type="Absent"']
FIELDS += ["TotalAcquiredPairs=4", "RepetitionTimePreparation=4.5", 'MRAcquisitionType="3D"']


def pipeline(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)


@pytest.mark.slow
@pytest.mark.needs("shared-data")
def test_perfusion_gets_its_context_once_somebody_told_it(tmp_path: Path, mri: Path) -> None:
    new_key(tmp_path / "key")
    source = mri / "dicom" / "philips_enh_pcasl"
    first = pipeline(source, tmp_path / "out", "--key", tmp_path / "key")
    (image,) = outcomes.read(tmp_path / "out" / "outcome.json")["images"]
    assert (image["bids"], image["contrast"]["code"]) == (None, "perfusion_incomplete")
    protocol = image["contrast"]["protocol"]
    assert f"protocol {protocol}" in first.stdout
    said = ["--key", tmp_path / "key", *(part for field in FIELDS for part in ("--field", field)), "--context", "deltam"]
    assert pipeline("correct", protocol, "perf/asl", *said).returncode == 0
    pipeline(source, tmp_path / "out", "--key", tmp_path / "key")
    (image,) = outcomes.read(tmp_path / "out" / "outcome.json")["images"]
    assert (image["contrast"]["suffix"], image["contrast"]["corrected"]) == ("asl", True)
    assert image["products"], image["deface"]
    (table,) = (tmp_path / "out" / "bids").rglob("*_aslcontext.tsv")
    assert table.read_text().split() == ["volume_type", "deltam"]
    assert table.name.removesuffix("context.tsv") + ".nii.gz" == Path(image["bids"]).name
    assert check.validate(tmp_path / "out" / "bids").errors == 0


@pytest.mark.parametrize(
    "wrong", [["x", "anat/T1w"], ["0" * 32, "anat/bold"], ["0" * 32, "anat/T1w", "--field", 'PatientName="x"'], ["0" * 32, "anat/T1w", "--field", "EchoTime=x"]]
)
def test_what_could_not_be_used_is_refused_when_it_is_said(tmp_path: Path, wrong: list[str]) -> None:
    new_key(tmp_path / "key")
    assert pipeline("correct", *wrong, "--key", tmp_path / "key").returncode == 2
    assert not (tmp_path / "key.corrections.json").exists()
    assert pipeline("correct", "0" * 32, "--keep-out", "derived_map", "--key", tmp_path / "key").returncode == 0
    assert json.loads((tmp_path / "key.corrections.json").read_text())["corrections"]["0" * 32]["code"] == "derived_map"
