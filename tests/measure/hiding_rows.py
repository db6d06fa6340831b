"""The rows of `make show-headers` that the planted hospital answers: one set, made once a run, cleaned by us and by every peer, and judged by one score.

`quick` takes the small form of the set, no peers, and no search of the pixels; `usual` and `full` take the whole, with everything on.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import subprocess
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import desk_rows
import hiding
import hiding_score
import peers
from hiding import Set
from hiding_score import Score
from rich.console import Console
from rich.table import Table
from table import ROOT, Result

OURS = "Myelin"


@dataclass
class Together:
    """What every tool made of the set. `scores` by tool; `absent`: tool -> why it was not run; `errors`: files with new errors, of how many; `codes`: ours."""

    made: Set
    scores: dict[str, Score] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    errors: dict[str, tuple[int, int]] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def ours(self) -> Score:
        return self.scores[OURS]

    @property
    def others(self) -> dict[str, Score]:
        return {name: score for name, score in self.scores.items() if name != OURS}

    def beside(self, say: dict[str, str]) -> str:
        """The peers' figures behind ours, and who was not run."""
        told = [f"{name} {text}" for name, text in say.items()] + [f"{name} not run ({why})" for name, why in self.absent.items()]
        return f" | peers in this run: {'; '.join(told)}" if told else ""


def together(depth: str) -> Together:
    """Make the set, run everybody, judge everybody; once per run of the table, also where it breaks."""
    found = _together(depth)
    if isinstance(found, Exception):
        raise found
    return found


@functools.cache
def _together(depth: str) -> Together | Exception:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is planted is odd on purpose, and pydicom says so
            return _made_and_judged(depth)
    except Exception as error:  # told by every row that needs it
        return error


def _made_and_judged(depth: str) -> Together:
    with tempfile.TemporaryDirectory(prefix="myelin-hiding-") as scratch:
        here = Path(scratch)
        made = hiding.write(here / "in", form="small" if depth == "quick" else "whole")
        if lost := hiding_score.unplanted(made):
            raise RuntimeError(f"{len(lost)} tokens are not in their own file, the first at {lost[0].place}: {lost[0].detail}")
        result = Together(made)
        report = peers.run_ours(made.folder, here / OURS, *(["--no-pixels"] if depth == "quick" else []))
        result.codes = Counter(row["code"] for row in report["files"] if row["verdict"] != "kept")
        _judge(result, OURS, here / OURS)
        for name, run in _peers(made, here) if depth != "quick" else ():
            try:
                run()
            except peers.NotRun as why:
                result.absent[name] = str(why)
                continue
            _judge(result, name, here / name)
            shutil.rmtree(here / name)
    _print(result)
    return result


def _peers(made: Set, here: Path) -> Iterator[tuple[str, functools.partial[peers.Done]]]:
    files = [made.folder / one.path for one in made.files]
    for peer in peers.PEERS:
        yield peer.name, functools.partial(peers.run, peer, files, here / peer.name)
    yield "Orthanc (Debian)", functools.partial(peers.run_orthanc, files, here / "Orthanc (Debian)")


def _judge(result: Together, name: str, out: Path) -> None:
    result.scores[name] = hiding_score.score(result.made, out)
    if shutil.which("dciodvfy"):
        result.errors[name] = new_errors(result.made, out)


def complaints(path: Path) -> set[str]:
    """What dciodvfy calls an error, without the values it quotes."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    return {re.sub(r"<[^>]*>|\[[^\]]*\]", "<>", line) for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")}


def new_errors(made: Set, out: Path) -> tuple[int, int]:
    """(plain files with an error that their original has not, plain files written)."""
    known, _ = hiding_score.outputs(made, out)
    plain = [one for one in made.files if one.words and one.number in known]
    return sum(bool(complaints(known[one.number]) - complaints(made.folder / one.path)) for one in plain), len(plain)


def _print(result: Together) -> None:
    """Leaks by hiding place, a column per tool; kept in build/show/hiding.json too."""
    places = sorted({place for score in result.scores.values() for place in score.planted})
    table = Table(title="left / planted in the files that each tool wrote", show_lines=False)
    for column in ("hiding place", *result.scores):
        table.add_column(column, overflow="fold")
    for place in places:
        table.add_row(place, *(f"{score.left[place]}/{score.planted[place]}" if score.planted[place] else "-" for score in result.scores.values()))
    Console(width=220).print(table)
    folder = ROOT / "build" / "show"
    folder.mkdir(parents=True, exist_ok=True)
    told = {name: {place: [score.left[place], score.planted[place]] for place in places} for name, score in result.scores.items()}
    (folder / "hiding.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")


# --- rows ----------------------------------------------------------------------------------------------------------------------------------------------


def leaks(depth: str) -> Result:
    """Planted identifiers left, over all hiding places."""
    all_ = together(depth)
    ours = all_.ours
    figure = f"{ours.left.total()} of {ours.planted.total()} tokens in {len(ours.planted)} kinds of places, {ours.written} of {ours.cleanable} files written"
    if ours.left:
        figure += f" ({'; '.join(f'{count} {place}' for place, count in (+ours.left).most_common(8))})"
    figure += all_.beside(
        {name: f"{score.rate:.1%} ({score.left.total()} of {score.planted.total()}, {score.written} files)" for name, score in all_.others.items()}
    )
    return Result(figure, met=ours.left.total() == 0 and ours.written > 0, sample=depth == "quick")


def files_written(depth: str) -> Result:
    """Files that hold an image and can be cleaned, and were."""
    all_ = together(depth)
    ours = all_.ours
    rest = len(all_.made.files) - ours.cleanable
    figure = f"{ours.written} of {ours.cleanable}; of {rest} documents {ours.refused_right} refused"
    codes = Counter(all_.codes)
    figure += f" ({', '.join(f'{count} {code}' for code, count in codes.most_common())})"
    figure += all_.beside({name: f"{score.written}" for name, score in all_.others.items()})
    return Result(figure, met=ours.written == ours.cleanable and ours.refused_right == rest and "failed" not in codes, sample=depth == "quick")


def descriptors(depth: str) -> Result:
    """SeriesDescription without the person and with every word of the sequence."""
    all_ = together(depth)
    kept, removed, leaked = all_.ours.descriptors
    figure = f"{kept} of {all_.ours.plain} cleaned and kept, {removed} lost words, {leaked} with something of the person"
    figure += all_.beside({name: "/".join(map(str, score.descriptors)) for name, score in all_.others.items()})
    return Result(figure, met=kept == all_.ours.plain, sample=depth == "quick")


def references(depth: str) -> Result:
    """References that meet their target; one day offset per person, no two alike; days between studies."""
    all_ = together(depth)

    def say(score: Score) -> str:
        resolve, dangle, gone = score.references
        text = (
            f"{resolve} references resolve, {dangle} dangle, {gone} gone; day offsets per person {score.offsets}, {score.apart} persons with one of their own; "
        )
        return text + f"intervals kept {score.intervals[0]} of {score.intervals[1]}; PatientIDs {score.codes[0]} of {score.codes[1]} one per person"

    ours = all_.ours
    met = ours.references[0] > 0 and ours.references[1:] == (0, 0) and set(ours.offsets) == {1} and ours.apart == len(ours.offsets)
    met = met and ours.intervals[0] == ours.intervals[1] > 0 and ours.codes[0] == ours.codes[1]
    short = {name: f"{'/'.join(map(str, s.references))}, offsets {s.offsets}, apart {s.apart}, intervals {s.intervals[0]}" for name, s in all_.others.items()}
    return Result(say(ours) + all_.beside(short), met=met, sample=depth == "quick")


def safe_private(depth: str) -> Result:
    """Safe private values kept while the other private ones beside them go."""
    all_ = together(depth)

    def private(score: Score) -> tuple[int, int]:
        places = [
            place
            for place in score.planted
            if place.startswith("private") or place in ("CSA blob", "MrPhoenixProtocol", "GE protocol block", "gzip header", "GE user data")
        ]
        return sum(score.left[place] for place in places), sum(score.planted[place] for place in places)

    left, planted = private(all_.ours)
    figure = f"{all_.ours.safe[0]} of {all_.ours.safe[1]} safe values kept, {left} of {planted} private identifiers left"
    figure += all_.beside({name: f"{score.safe[0]} kept, {private(score)[0]} left" for name, score in all_.others.items()})
    return Result(figure, met=all_.ours.safe[0] == all_.ours.safe[1] > 0 and not left, sample=depth == "quick")


def valid(depth: str) -> Result:
    """Errors by dciodvfy that the original has not, over the plain images."""
    all_ = together(depth)
    if OURS not in all_.errors:
        return Result("not run now: needs dciodvfy (Debian package dicom3tools)", met=None, sample=True)
    figure = f"{all_.errors[OURS][0]} of {all_.errors[OURS][1]} plain files with a new error"
    figure += all_.beside({name: f"{all_.errors[name][0]} of {all_.errors[name][1]}" for name in all_.others if name in all_.errors})
    return Result(figure, met=all_.errors[OURS][0] == 0 and all_.errors[OURS][1] > 0, sample=depth == "quick")


def useful(depth: str) -> Result:
    """What research needs: attributes of a BIDS sidecar, sex, weight, size and age; ages above 89 capped; pixels untouched."""
    all_ = together(depth)

    def say(score: Score) -> str:
        parts = (
            ("BIDS attributes", score.needed),
            ("sex, weight, size, age", score.people),
            ("ages above 89 as 090Y", score.old),
            ("pixels identical", score.pixels),
        )
        return ", ".join(f"{name} {kept} of {total}" for name, (kept, total) in parts)

    ours = all_.ours
    lost = ", ".join(sorted(+ours.lost))
    figure = say(ours) + (f" (lost: {lost})" if lost else "")
    figure += all_.beside({name: f"{s.needed[0]}, {s.people[0]}, {s.old[0]}, {s.pixels[0]}" for name, s in all_.others.items()})
    met = all(kept == total > 0 for kept, total in (ours.needed, ours.people, ours.old, ours.pixels))
    return Result(figure, met=met, sample=depth == "quick")


def speed(depth: str) -> Result:
    """Ours and pydicom's bare read-and-write (desk_rows), and each peer over the same kind of files, by its own process's CPU time."""
    ours = desk_rows.speed(depth)
    if depth == "quick":
        return ours
    told = []
    with tempfile.TemporaryDirectory(prefix="myelin-speed-") as scratch:
        (Path(scratch) / "in").mkdir()
        files = desk_rows.plain_files(Path(scratch) / "in", 500)
        for peer in peers.PEERS:
            with contextlib.suppress(peers.NotRun):
                done = peers.run(peer, files, Path(scratch) / peer.name)
                written = sum(1 for _ in (Path(scratch) / peer.name).glob("*"))
                told.append(f"{peer.name} {written / done.cpu:.0f}")
                shutil.rmtree(Path(scratch) / peer.name)
    return Result(f"{ours.figure} | peers in this run: {'; '.join(told) or 'none could be run'}", ours.met, ours.sample)
