"""A hospital's folder in, a BIDS dataset and an account of every file out; killed or not, the result is the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bidstree import check
from deid.pseudonyms import new_key
from pipeline import outcome as outcomes
from pipeline.__main__ import main
from pipeline.isolate import ROOT
from pipeline.phantom_people import PARTICIPANTS, SITES, identifiers
from tests.pipeline.made import scan
from tests.pipeline.small_head import head


def pipeline(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


def tree(folder: Path) -> dict[str, str]:
    """relative path -> mode and digest of every file and folder"""
    found = {}
    for path in sorted(folder.rglob("*")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        found[path.relative_to(folder).as_posix()] = f"{path.stat().st_mode:o} {digest}"
    return found


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk with an upload on it: one visit with a mask, a scan of nobody, a study of two patients, half a file, and a letter."""
    desk = tmp_path_factory.mktemp("desk")
    new_key(desk / "key")
    head(desk / "in" / "JENSEN^ANNA")
    scan(desk / "in" / "nobody" / "1", study=8, PatientID="ANONYMOUS")
    scan(desk / "in" / "two" / "1", study=9, instance=1)
    scan(desk / "in" / "two" / "2", study=9, instance=2, PatientID="999999-0001", PatientBirthDate="19990101")
    whole = scan(desk / "half", study=10, PatientID="555555-0001").read_bytes()
    (desk / "in" / "half.dcm").write_bytes(whole[: len(whole) - 40])
    (desk / "in" / "letter.txt").write_text("Dear colleague, the patient Anna Jensen")
    return desk


@pytest.fixture(scope="module")
def out(desk: Path) -> Path:
    """The result of an undisturbed run."""
    done = pipeline(desk / "in", desk / "out", "--key", desk / "key", "--site", "aarhus", "--names", desk / "names.tsv", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    (desk / "said").write_text(done.stdout + done.stderr)
    return desk / "out"


def test_every_file_has_one_line_and_one_verdict(desk: Path, out: Path) -> None:
    value = outcomes.read(out / "outcome.json")
    files = [path for path in sorted((desk / "in").rglob("*")) if path.is_file()]
    assert [row["n"] for row in value["files"]] == list(range(1, len(files) + 1))
    names = dict(line.split("\t") for line in (desk / "names.tsv").read_text().splitlines()[1:])
    for row in value["files"]:
        path = desk / "in" / names[str(row["n"])]
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    codes = {names[str(row["n"])]: row["code"] for row in value["files"] if not names[str(row["n"])].startswith("JENSEN")}
    assert codes.pop("half.dcm") in ("truncated", "pixels_do_not_fit")
    assert codes == {"letter.txt": "not_dicom", "nobody/1": "no_identity", "two/1": "two_patients", "two/2": "two_patients"}
    kept = [row for row in value["files"] if row["verdict"] == "kept"]
    assert len(kept) == 61
    assert all((out / "bids" / row["product"]).is_file() for row in kept)


def test_the_dataset_is_valid_and_holds_the_defaced_image_with_its_mask(out: Path) -> None:
    value = outcomes.read(out / "outcome.json")
    (image,) = value["images"]
    assert (image["contrast"]["suffix"], image["deface"]["verdict"], image["conversion"]["verdict"]) == ("T1w", "defaced", "agreed")
    assert image["quality"]["grade"] in ("pass", "review")
    assert image["quality"]["after"]["stage"] == "post-deface"
    assert any("_mask.nii.gz" in product for product in image["products"])
    for product in value["products"]:
        path = out / "bids" / product["path"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == product["sha256"]
    (scans,) = (out / "bids").rglob("*_scans.tsv")
    header, row = scans.read_text().splitlines()
    assert header.split("\t")[0] == "filename" and row.split("\t")[0] == image["bids"].split("/", 2)[2] and "defaced" in row
    (sessions,) = (out / "bids").rglob("*_sessions.tsv")
    assert sessions.read_text().splitlines()[0].startswith("session_id\tday") and "\t0" in sessions.read_text().splitlines()[1]
    measures = [line.split("\t") for line in (out / "bids/derivatives/qa/phenotype" / f"qa_{image['bids'].split('/')[1][4:]}_T1w.tsv").read_text().splitlines()]
    told = dict(zip(*measures, strict=True))
    assert (told["source"], told["grade"]) == (f"bids:raw:{image['bids']}", image["quality"]["grade"]) and float(told["snr_total"]) > 1
    report = check.validate(out / "bids")
    assert report.errors == 0, [finding for finding in report.findings if finding.severity == "error"]


def test_nothing_planted_is_anywhere_in_the_result_nor_in_what_was_printed(desk: Path, out: Path) -> None:
    planted = [one.value for one in identifiers(PARTICIPANTS[:1], SITES)] + ["Jensen", "JENSEN", "999999-0001", "20210304"]
    texts = [(desk / "said").read_bytes()]
    for path in out.rglob("*"):
        texts.append(path.name.encode())
        if path.is_file():
            raw = path.read_bytes()
            texts.append(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    for text in texts:
        for value in planted:
            assert len(value) < 5 or value.encode() not in text
    assert (desk / "names.tsv").read_bytes().count(b"JENSEN") == 61  # the twin: the owner's list does name


def test_nothing_is_left_beside_the_result(desk: Path, out: Path) -> None:
    assert not [path.name for path in desk.iterdir() if path.name.startswith(".")]
    assert sorted(path.name for path in out.iterdir()) == ["bids", "outcome.json"]
    assert (desk / "names.tsv").stat().st_mode & 0o777 == 0o600


def stage(work: Path, pattern: str) -> Callable[[], bool]:
    return lambda: any(work.glob(pattern))


@pytest.mark.slow
def test_killed_in_the_middle_and_again_at_the_end_a_rerun_gives_the_same_bytes(desk: Path, out: Path) -> None:
    again, work = desk / "again", desk / ".again.myelin-work"
    command = [sys.executable, "-m", "pipeline", str(desk / "in"), str(again), "--key", str(desk / "key"), "--site", "aarhus", "--jobs", "2"]
    for reached in (stage(work, "study-*/scratch-*/nifti/*/*.nii"), stage(work, "pieces/*")):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        while not reached():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not again.exists()
    (piece,) = (work / "pieces").iterdir()
    made = piece.stat().st_mtime_ns
    changed = [(piece / "bids").stat().st_mtime_ns, made]
    assert subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert changed[1] == made
    assert tree(again) == tree(out)
    assert not work.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["in", "out2"],
        ["nowhere", "out2", "--key", "key"],
        ["in", "out2", "--key", "nowhere"],
        ["in", "in/out2", "--key", "key"],
        ["in", ".", "--key", "key"],
        ["in", "out2", "--key", "key", "--names", "out2/names.tsv"],
        ["in", "out2", "--key", "key", "--names", "in/names.tsv"],
        ["in", "full", "--key", "key"],
        ["in", "out2", "--key", "key", "--jobs", "0"],
        ["in", "out2", "--key", "key", "--device", "abacus"],
        ["serve"],
        ["serve", "nowhere"],
    ],
)
def test_wrong_usage_is_told_and_touches_nothing(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new_key(tmp_path / "key")
    scan(tmp_path / "in" / "1")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").touch()
    before = tree(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MYELIN_CARRIER", "1")  # or the carrier would replace this process
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_an_internal_failure_is_told_without_quoting_anybody(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    scan(tmp_path / "in" / "VESTERGAARD" / "1")
    (tmp_path / ".out.myelin-work").write_text("in the way")
    done = pipeline(tmp_path / "in", tmp_path / "out", "--key", tmp_path / "key")
    assert done.returncode == 1
    assert done.stderr.startswith("pipeline: internal failure: FileExistsError at pipeline/")
    assert "VESTERGAARD" not in done.stderr


def test_an_empty_folder_and_an_upload_of_nothing_usable_are_answered_too(tmp_path: Path) -> None:
    new_key(tmp_path / "key")
    (tmp_path / "in").mkdir()
    for count in (0, 1):
        done = pipeline(tmp_path / "in", tmp_path / "out", "--key", tmp_path / "key")
        assert done.returncode == 0, done.stderr
        assert len(json.loads((tmp_path / "out" / "outcome.json").read_text())["files"]) == count
        assert not (tmp_path / "out" / "bids").exists()
        (tmp_path / "in" / "note").write_text("nothing")


def test_two_runs_on_one_out_do_not_meet(tmp_path: Path) -> None:
    from pipeline.workspace import Lock, private

    new_key(tmp_path / "key")
    scan(tmp_path / "in" / "1", PatientID="")
    with Lock(private(tmp_path / ".out.myelin-work") / "lock"):
        assert pipeline(tmp_path / "in", tmp_path / "out", "--key", tmp_path / "key").returncode == 2
    assert pipeline(tmp_path / "in", tmp_path / "out", "--key", tmp_path / "key").returncode == 0
