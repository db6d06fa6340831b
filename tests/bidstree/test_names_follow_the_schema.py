"""Our tables of names against the schema that the installed validator carries."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from bidstree import check, names, said
from bidstree.errors import BidsError
from bidstree.names import Named


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The schema inside the validator's bundle, read by running that one assignment."""
    command = check.command(Path())
    bundle = next(Path(part) for part in command if part.endswith("bids-validator.js"))
    text = bundle.read_text(encoding="utf-8")
    start = text.index("var schema_default = {")
    end = text.index('schema_version: "', start)
    end = text.index("};", end) + 2
    script = tmp_path_factory.mktemp("schema") / "schema.js"
    script.write_text(text[start:end] + "\nconsole.log(JSON.stringify(schema_default));", encoding="utf-8")
    done = subprocess.run([command[0], "run", "--no-config", str(script)], capture_output=True, check=True, timeout=60)
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def test_entities_stand_in_the_order_of_the_schema(schema: dict[str, Any]) -> None:
    short = {key: value["name"] for key, value in schema["objects"]["entities"].items()}
    assert list(names.ENTITIES) == [short[key] for key in schema["rules"]["entities"]]
    assert schema["bids_version"] == names.EDITION


def test_every_rule_allows_and_requires_what_the_schema_does(schema: dict[str, Any]) -> None:
    short = {key: value["name"] for key, value in schema["objects"]["entities"].items()}
    for (datatype, suffix), rule in names.RULES.items():
        theirs = [group for group in schema["rules"]["files"]["raw"][datatype].values() if suffix in group.get("suffixes", [])]
        allowed = {short[key] for group in theirs for key in group["entities"]} - {"sub", "ses"}
        required = set.intersection(*({short[key] for key, level in group["entities"].items() if level == "required"} for group in theirs)) - {"sub"}
        assert rule.allowed <= allowed, (datatype, suffix)
        assert rule.required == required, (datatype, suffix)


def test_every_template_space_is_one_of_the_schema(schema: dict[str, Any]) -> None:
    theirs = {name for key, values in schema["objects"]["enums"].items() if key.startswith("_") for name in values.get("enum", []) if isinstance(name, str)}
    theirs |= {name for values in schema["objects"]["enums"].values() if isinstance(values.get("value"), str) for name in [values["value"]]}
    assert set(said.SPACES) - theirs == {"PAM50"}  # of the cord; BIDS lists none


def test_a_name_has_its_parts_in_order() -> None:
    path = names.path("k3w9", "m00", "anat", "T2starw", {"part": "phase", "run": 2, "acq": "swi"}, ".nii.gz")
    assert path == PurePosixPath("sub-k3w9/ses-m00/anat/sub-k3w9_ses-m00_acq-swi_run-2_part-phase_T2starw.nii.gz")
    assert str(names.path("k3w9", None, "func", "bold", {"task": "rest"}, ".json")) == "sub-k3w9/func/sub-k3w9_task-rest_bold.json"


@pytest.mark.parametrize(
    ("label", "datatype", "suffix", "entities"),
    [
        ("k3", "anat", "bold", {}),
        ("k3", "anat", "T1w", {"task": "re st"}),
        ("k3", "func", "bold", {}),
        ("k-3", "anat", "T1w", {}),
        ("k3", "anat", "T1w", {"run": "two"}),
        ("k3", "anat", "T1w", {"dir": "AP"}),
        ("k3", "anat", "T1w", {"part": "magnitude"}),
        ("../k3", "anat", "T1w", {}),
    ],
)
def test_what_bids_has_no_name_for_gets_none(label: str, datatype: str, suffix: str, entities: dict[str, str | int]) -> None:
    assert names.path("k3", "m00", "anat", "T1w", {}, ".nii.gz")
    with pytest.raises(BidsError) as error:
        names.path(label, "m00", datatype, suffix, entities, ".nii.gz")
    assert error.value.code == "name_not_bids"


def test_runs_are_numbered_by_series_not_by_arrival() -> None:
    images = [Named("a", "m00", "anat", "T1w", {}, (number, f"uid{number}")) for number in (7, 3, 12)]
    single = Named("a", "m00", "anat", "T2w", {}, (5, "uid5"))
    runs = {(3, "uid3"): 1, (7, "uid7"): 2, (12, "uid12"): 3}
    for order in itertools.permutations(images):
        numbered = names.number_runs([single, *order])
        assert {one.key: one.entities.get("run") for one in numbered[1:]} == runs
        assert "run" not in numbered[0].entities


def test_a_later_scan_never_takes_a_name_that_is_in_use() -> None:
    later = Named("a", "m00", "anat", "T1w", {}, (1, "uid"))
    assert names.number_runs([later])[0].path().name == "sub-a_ses-m00_T1w.nii.gz"
    assert names.number_runs([later], taken=["sub-a/ses-m00/anat/sub-a_ses-m00_T1w.nii.gz"])[0].path().name == "sub-a_ses-m00_run-2_T1w.nii.gz"


def test_required_fields_are_those_of_the_schema(schema: dict[str, Any]) -> None:
    from bidstree import classify

    rules = [rule for group in schema["rules"]["sidecars"].values() for rule in group.values() if isinstance(rule, dict) and "fields" in rule]
    for suffix, ours in classify._REQUIRED.items():
        mine = [rule for rule in rules if any(f'"{suffix}"' in selector and "suffix" in selector for selector in rule["selectors"])]
        theirs = {
            name.split("__")[0]
            for rule in mine
            for name, level in rule["fields"].items()
            if (level if isinstance(level, str) else level["level"]) == "required"
        }
        # A BOLD series needs RepetitionTime or VolumeTiming; scanners give the first.
        assert ours == theirs - {"VolumeTiming"}, suffix
