"""The command at the desk: every file once, nothing named, the same tree however often it was begun."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pydicom
import pytest

from deid import __main__ as command
from deid import elements, pseudonyms

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def desk(mr, tmp_path):
    """IN with two people (three studies, seven images), and a key."""
    source = tmp_path / "in"
    (source / "Quibblewick").mkdir(parents=True)
    for study, date in ((1, "20190314"), (2, "20200314")):
        for n in (1, 2, 3):
            mr(n=n, study=study, date=date).save_as(source / "Quibblewick" / f"{study}{n}.dcm", enforce_file_format=True)
    mr(patient_id="MRN-9", name="White^Li", study=3).save_as(source / "li.dcm", enforce_file_format=True)
    pseudonyms.new_key(tmp_path / "key")
    return tmp_path


def run(desk: Path, *more: str, source: str = "in", out: str = "out", key: str = "key") -> dict:
    """The report of one run (pixels are not looked at: see test_pixels)."""
    report = desk / f"{out}.json"
    assert command.main(["headers", str(desk / source), str(desk / out), "--key", str(desk / key), "--report", str(report), "--no-pixels", *more]) == 0
    return json.loads(report.read_text())


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def codes(report: dict) -> dict[int, tuple[str, str]]:
    return {row["n"]: (row["verdict"], row["code"]) for row in report["files"]}


def test_every_file_has_one_verdict_and_none_is_named(desk, capsys):
    (desk / "in" / "notes.txt").write_text("nothing")
    report = run(desk, "--names", str(desk / "names"))
    assert [row["n"] for row in report["files"]] == list(range(1, 9)) and report["totals"] == {"kept": 7, "refused": 1} and report["people"] == 2
    assert codes(report)[8] == ("refused", "not_dicom") and report["files"][7]["reason"] and report["files"][7]["advice"]
    everything = capsys.readouterr().out + json.dumps(report) + " ".join(tree(desk / "out"))
    assert "uibble" not in everything and "notes" not in everything and "li.dcm" not in everything
    assert (desk / "names").read_text().splitlines()[8] == "8\tnotes.txt" and (desk / "names").stat().st_mode & 0o77 == 0
    assert set(tree(desk / "out")) == {row["product"] for row in report["files"] if row["product"]}
    assert sorted(len(part) for part in report["files"][0]["product"].removesuffix(".dcm").split("/")) == [26] * 4


def test_what_is_no_plain_file_is_accounted_for_and_not_opened(desk, mr):
    source = desk / "in"
    (source / "a-link").symlink_to(source / "li.dcm")
    (source / "b-folder-link").symlink_to(source / "Quibblewick")
    os.mkfifo(source / "c-fifo")
    (source / "d-empty").write_bytes(b"")
    with zipfile.ZipFile(source / "e.zip", "w") as archive:
        archive.write(source / "li.dcm")
    shutil.copy(source / "li.dcm", source / "li-again.dcm")
    shutil.copy(source / "li.dcm", os.fsencode(source) + b"/n\xff\xfe\n.dcm")  # a name that is no text
    directory = mr(n=1, study=9)
    directory.SOPClassUID = "1.2.840.10008.1.3.10"
    directory.save_as(source / "DICOMDIR", enforce_file_format=True)
    report = run(desk, "--names", str(desk / "names"))
    names = (desk / "names").read_text(errors="surrogateescape").splitlines()[1:]
    said = {line.split("\t")[1]: codes(report)[n][1] for n, line in enumerate(names, 1)}
    assert {name: code for name, code in said.items() if code != "ok"} == {
        "DICOMDIR": "dicomdir", "a-link": "link", "b-folder-link": "link", "c-fifo": "not_a_file", "d-empty": "empty_file", "e.zip": "archive_not_opened",
    }  # fmt: skip
    assert said["li-again.dcm"] == said["li.dcm"] == "ok", "a second copy is written beside the first"
    twins = [row for row in report["files"] if row["sha256"] == report["files"][-1]["sha256"]]
    assert len({row["product"] for row in twins}) == 3 and len({(desk / "out" / row["product"]).read_bytes() for row in twins}) == 1


def test_what_may_not_be_read_is_accounted_for(desk):
    (desk / "in" / "li.dcm").chmod(0)
    (desk / "in" / "closed").mkdir(mode=0)
    words = [sys.executable, "-m", "deid", "headers", str(desk / "in"), str(desk / "out"), "--key", str(desk / "key"), "--report", str(desk / "r.json")]
    if os.getuid() == 0:  # root may read everything, unless it gives that right away
        if not shutil.which("setpriv"):
            pytest.skip("needs setpriv")
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search", *words]
    subprocess.run([*words, "--no-pixels"], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    assert sorted(row["code"] for row in json.loads((desk / "r.json").read_text())["files"])[-2:] == ["unreadable", "unreadable"]


def test_our_own_output_comes_out_the_same_under_the_same_key_only(desk):
    first = run(desk)
    again = run(desk, "--site", "elsewhere", source="out", out="twice")
    assert tree(desk / "twice") == tree(desk / "out"), "bytes, codes and names"
    assert {row["product"] for row in again["files"]} == {row["product"] for row in first["files"]}
    pseudonyms.new_key(desk / "other")
    foreign = run(desk, source="out", out="thrice", key="other")
    assert foreign["totals"] == {"kept": 7} and set(tree(desk / "thrice").values()).isdisjoint(tree(desk / "out").values())
    ones = [pydicom.dcmread(path) for folder in ("out", "thrice") for path in sorted((desk / folder).rglob("*.dcm"))]
    assert len({one.PatientID for one in ones}) == 4 and len({one.SOPInstanceUID for one in ones}) == 14


def test_our_own_output_altered_is_refused(desk):
    run(desk)
    paths = sorted((desk / "out").rglob("*.dcm"))
    paths[0].write_bytes(paths[0].read_bytes() + b"\x00\x40\x00\xa0")
    data = pydicom.dcmread(paths[1])
    data.PatientComments = "Quibblewick"
    data.save_as(paths[1])
    report = run(desk, source="out", out="twice")
    assert report["codes"] == {"ok": 5, "own_output_altered": 2}


def test_a_foreign_promise_that_identity_was_removed_is_not_believed(desk, mr):
    data = mr(study=7)
    data.PatientIdentityRemoved, data.DeidentificationMethod = "YES", "Basic Application Confidentiality Profile"
    data.save_as(desk / "in" / "promise.dcm", enforce_file_format=True)
    row = run(desk)["files"][-1]
    out = pydicom.dcmread(desk / "out" / row["product"])
    assert row["code"] == "ok" and b"uibblewick" not in (desk / "out" / row["product"]).read_bytes()
    assert out.DeidentificationMethod[0] == "Basic Application Confidentiality Profile" and len(out.DeidentificationMethod) > 1


def test_people_who_share_a_number_are_told_apart_and_the_contributor_can_say_who_they_are(desk, mr):
    twin = mr(study=5, name="Housemartin^Gregor")
    twin.PatientBirthDate, twin.PatientSex = "19700101", "M"
    twin.save_as(desk / "in" / "x1.dcm", enforce_file_format=True)
    mr(study=6, patient_id="***").save_as(desk / "in" / "x2.dcm", enforce_file_format=True)
    report = run(desk)
    folders = [row["product"].split("/")[0] for row in report["files"]]
    assert report["totals"] == {"kept": 9} and len(set(folders)) == 4 and len(set(folders[:6])) == 1
    assert run(desk, "--conflicts", "wait", out="waits")["codes"] == {"ok": 1, "identity_conflict": 7, "no_identity": 1}
    (desk / "people.csv").write_text("person,PatientID,PatientBirthDate\nz,MRN-4711,1962-03-04\nz,***,\nz,MRN-9,\ng,MRN-4711,19700101\n")
    report = run(desk, "--conflicts", "wait", "--people", str(desk / "people.csv"), out="bound")
    assert report["totals"] == {"kept": 9} and report["people"] == 2
    days = {pydicom.dcmread(path).StudyDate for path in (desk / "bound" / report["files"][0]["product"].split("/")[0]).rglob("*.dcm")}
    assert len(days) == 2, "one person, one offset: the two days of the scans"


def test_names_of_one_visit_are_taken_out_of_the_words_of_another(desk, mr):
    """`white` is a word of imaging, and goes only because the same person was called White on another day."""
    data = mr(n=4, study=8, name="White^Zephyrina")
    data.SeriesDescription = "T1 mprage grey"
    data.save_as(desk / "in" / "y.dcm", enforce_file_format=True)
    other = mr(n=5, study=1)
    other.SeriesDescription = "T1 mprage white grey"
    other.save_as(desk / "in" / "z.dcm", enforce_file_format=True)
    report = run(desk)
    said = [str(pydicom.dcmread(desk / "out" / row["product"]).SeriesDescription) for row in report["files"][-2:]]
    assert said == ["T1 mprage grey", "T1 mprage grey"] and report["files"][-1]["product"][:26] == report["files"][-2]["product"][:26]
    (desk / "in" / "y.dcm").unlink()
    row = run(desk, out="alone")["files"][-1]
    assert pydicom.dcmread(desk / "alone" / row["product"]).SeriesDescription == "T1 mprage white grey"


def test_how_many_hands_there_are_changes_nothing(desk):
    one, two = run(desk), run(desk, "--jobs", "2", out="two")
    assert tree(desk / "out") == tree(desk / "two") and {**one, "accounts": 0} == {**two, "accounts": 0} and one["accounts"] == two["accounts"]
    account = next(iter(one["accounts"].values()))
    assert account["files"] and account["elements"] and account["profile"]


def test_a_killed_run_leaves_nothing_and_begun_again_gives_the_same_tree(desk):
    whole, chance = (run(desk, out="whole"), tree(desk / "whole")), random.Random(3)
    words = [sys.executable, "-m", "deid", "headers", str(desk / "in"), str(desk / "out"), "--key", str(desk / "key"), "--no-pixels"]
    for pause in (0.05 * chance.random(), 0.3 * chance.random()):  # as soon as there is something to lose; and once more while the run begun is gone on with
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and not (desk / ".out.myelin-work").exists():
            time.sleep(0.005)
        time.sleep(pause)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (desk / "out").exists() or tree(desk / "out") == whole[1], "the old state or the new"
    assert run(desk)["files"] == whole[0]["files"] and tree(desk / "out") == whole[1] and not (desk / ".out.myelin-work").exists()


def test_finished_people_are_not_done_again(desk, monkeypatch):
    """A run that ends before it publishes keeps its pieces; the next one takes them, and only them that are whole."""
    from deid import person, place

    whole = (run(desk, out="whole"), tree(desk / "whole"))[1]
    with monkeypatch.context() as broken:
        broken.setattr(place.Place, "publish", lambda self: 1 / 0)
        command.main(["headers", str(desk / "in"), str(desk / "out"), "--key", str(desk / "key"), "--no-pixels"])
    pieces = desk / ".out.myelin-work" / "pieces"
    assert len(list(pieces.iterdir())) == 2 and not (desk / "out").exists() and (desk / ".out.myelin-work").stat().st_mode & 0o77 == 0
    shutil.rmtree(next(pieces.iterdir()) / "tree")
    done = []
    monkeypatch.setattr(person, "_clean", lambda group, desk, clean=person._clean: done.extend(group) or clean(group, desk))
    run(desk)
    assert tree(desk / "out") == whole and len(done) == 1


def test_out_is_never_mixed_or_overwritten_by_surprise(desk, capsys):
    run(desk)
    before = tree(desk / "out")
    run(desk)  # the same again: fine
    shutil.copytree(desk / "in" / "Quibblewick", desk / "less")
    arguments = ["headers", str(desk / "less"), str(desk / "out"), "--key", str(desk / "key"), "--no-pixels"]
    assert command.main(arguments) == 2 and tree(desk / "out") == before, "the other person's results would be lost"
    pseudonyms.new_key(desk / "other")
    assert command.main(["headers", str(desk / "in"), str(desk / "out"), "--key", str(desk / "other"), "--no-pixels"]) == 2
    (desk / "out" / "mine.txt").write_text("x")
    assert command.main(["headers", str(desk / "in"), str(desk / "out"), "--key", str(desk / "key"), "--no-pixels"]) == 2
    assert tree(desk / "out") == before | {"mine.txt": b"x"} and "mine" not in capsys.readouterr().err


def test_the_command_refuses_wrong_usage(desk, capsys):
    inside, key = str(desk / "in"), str(desk / "key")
    shutil.copy(key, desk / "in" / "key")
    wrong = [
        [inside, str(desk / "o"), "--key", str(desk / "none")],
        [inside, str(desk / "in" / "o"), "--key", key],
        [inside, str(desk), "--key", key],
        [str(desk / "nothing"), str(desk / "o"), "--key", key],
        [inside, str(desk / "o"), "--key", str(desk / "in" / "key")],
        [inside, str(desk / "o"), "--key", key, "--names", str(desk / "o" / "names")],
        [inside, str(desk / "o"), "--key", key, "--people", str(desk / "none")],
        [inside, str(desk / "o"), "--key", key, "--profile", "none"],
        [inside, str(desk / "key"), "--key", key],
    ]
    for arguments in wrong:
        assert command.main(["headers", *arguments, "--no-pixels"]) == 2, arguments
    assert not (desk / "o").exists() and "Quibblewick" not in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        command.main(["headers", inside, str(desk / "o"), "--key", key, "--jobs", "0"])
    assert ended.value.code == 2
    assert command.main(["explain", "NoSuchThing"]) == 2 and command.main(["explain", "PatientName"]) == 0


def test_a_file_that_changes_meanwhile_is_not_taken(desk):
    from deid import errors, headers, inputs, tasks

    path, out = desk / "in" / "li.dcm", desk / "li.dcm"
    common = {"key": str(desk / "key"), "profile": "myelin-2026", "code": "a" * 26, "births": [], "starts": {}, "over_89": False, "identifiers": []}
    item = {"path": str(path), "stamp": list(inputs.stamp(path.stat())), "out": str(out)}
    assert tasks.cleaner(common)(item)["removed"] and headers.identify(out).patient_id == "a" * 26
    shutil.copy(desk / "in" / "Quibblewick" / "11.dcm", path)  # another person's, under the same name
    with pytest.raises(errors.Refused) as caught:
        tasks.cleaner(common)(item)
    assert caught.value.code == "changed"


def test_two_runs_do_not_work_on_one_out(desk):
    from deid.place import Place, Usage

    codes_of = pseudonyms.keys_from_file(desk / "key")[0]
    with Place(desk / "out", desk / "in", codes_of), pytest.raises(Usage), Place(desk / "out", desk / "in", codes_of):
        pass


def test_this_process_parses_nothing(desk, monkeypatch):
    """Whatever kills a parser kills a child."""

    def parsed(*_: object) -> None:
        raise AssertionError("the parent parsed a file")

    for name in ("parse", "read", "load"):
        monkeypatch.setattr(elements, name, parsed)
    assert run(desk)["totals"] == {"kept": 7}


def test_the_commands_of_the_how_to_work(desk):
    text = (ROOT / "docs" / "how-to" / "take-identity-out-of-headers.md").read_text(encoding="utf-8")
    blocks = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    commands = [line for line in blocks if line.startswith("python -m deid")]
    table = [line for line in blocks if "," in line and not line.startswith("python")]
    assert len(commands) == 3 and len(table) == 4
    (desk / "in").rename(desk / "IN")
    (desk / "people.csv").write_text("\n".join(table))
    for line in commands:
        words = [sys.executable, *line.split()[1:]]
        done = subprocess.run([*words, "--no-pixels"] if " headers " in line else words, cwd=desk, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
        assert done.returncode == 0, line
        shutil.rmtree(desk / "OUT", ignore_errors=True)
    assert json.loads((desk / "report.json").read_text())["totals"] == {"kept": 7}
