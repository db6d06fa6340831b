"""The whole of it at one desk: any folder or zip in, a BIDS dataset and an account of every file out, and no registry.

    OUT/bids            the dataset (absent when no image came through)
    OUT/outcome.json    every input file once, by number and hash, with its verdict

Everything happens in `.OUT-name.myelin-work` beside OUT (mode 0700). A study that is finished becomes a piece there, by one rename; OUT appears
by one rename at the very end; then the work folder goes. Whatever is killed, OUT holds the old state or the new, and running it again does what is missing.
The label of a participant is its code; the label of a session is the shifted date of its study, so that intervals survive and no true date is in it.
Labels and day zero are fixed when first given, in a file beside the key (`pipeline.labels`), and so are a person's decisions about protocols
(KEY.corrections.json, `python -m pipeline correct`). A visit handed in as NIfTI is that of the person whose folder it lies in (`pipeline.given`).
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bidstree import corrections, dataset
from bidstree.corrections import Correction
from bidstree.errors import BidsError
from deid import dates
from deid.errors import DeidError
from deid.pseudonyms import fingerprint, keys_from_file
from pipeline import given
from pipeline import outcome as outcomes
from pipeline.codes import Verdict, kept, verdict
from pipeline.inventory import Source
from pipeline.isolate import Pool
from pipeline.labels import Labels, Unreadable
from pipeline.order import Order
from pipeline.outcome import BadOutcome, FileRow, Outcome
from pipeline.sort import Sorted, Study, in_archives, sort
from pipeline.steps import run_study
from pipeline.workspace import Lock, Progress, Workspace, clear, private, publish, set_modes, silent, write_whole
from qa import tables

__all__ = ["Request", "Usage", "run"]

OURS = {"bids", "outcome.json"}


class Usage(ValueError):
    """The command was given what it cannot work with; the message says what to do."""


@dataclass(frozen=True)
class Request:
    """What the command line asks: `source` in, `out` out, `key` file, `site` (part of who a person is), `names`: where number -> path is written,
    `agreed`: protocol and policy about faces (`pipeline.agreed`)."""

    source: Path
    out: Path
    key: Path
    site: str = "local"
    jobs: int = 1
    device: str = "cpu"
    names: Path | None = None
    agreed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        """The private folder beside OUT."""
        return self.out.parent / f".{self.out.name}.myelin-work"

    def order(self) -> Order:
        """The order to sort the input."""
        return Order("standalone", 1, "sort", self.source, self.site, {"file": str(self.key)}, device=self.device, jobs=self.jobs, **self.agreed)


def settle(request: Request) -> Request:
    """The request with true absolute paths. Raises Usage for what cannot work or would be unsafe."""
    names = request.names.resolve() if request.names else None
    done = replace(request, source=request.source.resolve(), out=request.out.resolve(), key=request.key.resolve(), names=names)
    if not done.source.exists():
        raise Usage("There is no such input. Give a folder or a zip.")
    if done.out.is_relative_to(done.source) or done.source.is_relative_to(done.out):
        raise Usage("OUT and IN lie inside each other. Choose an OUT elsewhere.")
    if done.out.exists() and (not done.out.is_dir() or {path.name for path in done.out.iterdir()} - OURS):
        raise Usage("OUT holds something that is not a result of Myelin. Choose a new folder.")
    for path, what in ((names, "--names"), (done.key, "--key")):
        if path and any(path.is_relative_to(folder) for folder in (done.out, done.work, done.source)):
            raise Usage(f"The file of {what} must lie outside IN and OUT: it says who people are.")
    try:
        keys_from_file(done.key)
    except DeidError as error:
        raise Usage(f"{error.reason} {error.advice}") from None
    return done


def run(request: Request, progress: Progress = silent) -> Outcome:
    """Carry the request out; the outcome that was published. Raises Usage, and Taken when another run works on the same OUT."""
    asked = settle(request)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    private(asked.work)
    with Lock(asked.work / "lock"):
        sweep(asked.work)
        found, outcome = convert(asked, progress)
        if asked.names:
            write_names(asked.names, found.sources)
        finish(asked, outcome)
        clear(asked.work)
    return outcome


def sweep(work: Path) -> None:
    """Clear what a killed run left, but for its finished pieces."""
    for path in work.iterdir():
        if path.name not in ("lock", "pieces"):
            clear(path)


def convert(asked: Request, progress: Progress) -> tuple[Sorted, Outcome]:
    """Sort the input and take each study that has an owner to a piece."""
    with Pool(asked.jobs) as pool:
        found = sort(asked.order(), Workspace(asked.work, pool, progress))
    adopt(asked, found)
    labels = Labels(asked.key)
    try:
        labels.assign(found.studies)
        decided = corrections.Memory(corrections_of(asked.key)).rows
    except Unreadable:
        raise Usage("The file of session labels beside the key cannot be read. Restore it from a copy; without it visits would get new names.") from None
    except BidsError as error:
        raise Usage(f"{error.reason} {error.advice}") from None
    studies = [study for study in found.studies if study.verdict.verdict == "kept"]
    pieces = private(asked.work / "pieces")
    outcome = Outcome("standalone", 1, "run", studies=[study.as_json() for study in found.studies])
    outcome.files = list(found.rows.values())
    outcome.sessions = labels.rows()
    orders = [study_order(asked, study, found, decided) for study in studies]
    for value in in_turn(asked, orders, pieces, found.sources, progress):
        take(outcome, found.rows, value)
    return found, outcome


def adopt(asked: Request, found: Sorted) -> None:
    """Give each visit handed in as NIfTI to the person whom its folders name: at a desk nobody else can say, and a registry asks instead.

    Where no folder is surely one person's, or two are spelled alike, it waits.
    """
    codes, _ = keys_from_file(asked.key)
    handed = [study for study in found.studies if study.masks and not study.files]
    named = {id(study): codes.declared(asked.site, study.whose) for study in handed if study.whose}
    used = Counter(named.values())
    for study in handed:
        if used[code := named.get(id(study), "")] == 1:
            study.participant, study.verdict, study.session = code, kept(), "undated"
        else:
            study.whose, study.verdict = "", verdict("no_person_folder")
        for n in study.masks:
            found.rows[n].verdict = study.verdict


def corrections_of(key: Path) -> Path:
    """Where a desk keeps a person's decisions about protocols."""
    return key.with_name(key.name + ".corrections.json")


def study_order(asked: Request, study: Study, found: Sorted, decided: Mapping[str, Correction]) -> Order:
    """The order for one study of the sorted input."""
    assert study.participant
    files = tuple((n, found.rows[n].sha256) for n in sorted(study.files + study.masks))
    order = replace(asked.order(), kind="study", study=study.code, participant=study.participant, label=study.participant)
    names = {n: name for n, (_, name) in in_archives(found.sources).items() if n in set(study.masks)}
    _, pseudonyms = keys_from_file(asked.key)
    shift = dates.Shift(pseudonyms.offset_days(study.participant))
    labels = given.sessions(names, study.session, lambda day: dates.move_date(day, shift) or "undated") if study.whose else {}
    said = {n: {"session": label} for n, label in labels.items()}
    rows = {mark: {**asdict(row), "context": list(row.context)} for mark, row in decided.items()}
    return replace(order, session=study.session, files=files, said=said, corrections=rows)


def in_turn(asked: Request, orders: Sequence[Order], pieces: Path, sources: Sequence[Source], progress: Progress) -> list[dict[str, Any]]:
    """The outcomes of all studies, `jobs` at a time, each thread with children of its own."""
    abreast = max(1, min(asked.jobs, len(orders)))
    pools: queue.SimpleQueue[Pool] = queue.SimpleQueue()
    made = [Pool(max(1, asked.jobs // abreast)) for _ in range(abreast)]
    for pool in made:
        pools.put(pool)
    done: list[dict[str, Any]] = []

    def work(order: Order) -> dict[str, Any]:
        pool = pools.get()
        try:
            return piece(asked, order, pieces, sources, pool, progress)
        finally:
            pools.put(pool)

    # Children belong to the thread that started them (PR_SET_PDEATHSIG), so the pools are closed before the threads end.
    with ThreadPoolExecutor(abreast) as threads:
        try:
            for value in threads.map(work, orders):
                done.append(value)
                progress("studies", len(done), len(orders))
        finally:
            threads.shutdown(cancel_futures=True)
            for pool in made:
                pool.close()
    return done


def piece(asked: Request, order: Order, pieces: Path, sources: Sequence[Source], pool: Pool, progress: Progress) -> dict[str, Any]:
    """The outcome of one study: of the piece that an earlier run finished, or of one made now."""
    target = pieces / mark(order)
    if not target.exists():
        folder = private(asked.work / f"study-{order.study}")
        result = folder / "piece"
        outcome = run_study(order, Workspace(folder, pool, progress), result, sources, steward=False)
        outcome.write(result / "outcome.json")
        publish(result, target)
        clear(folder)
    try:
        value: dict[str, Any] = outcomes.read(target / "outcome.json")
    except BadOutcome:
        clear(target)
        raise
    return value | {"piece": str(target / "bids")}


def mark(order: Order) -> str:
    """A name for the piece of an order: the same for the same files, person, session, key, settings and versions, and for nothing else."""
    value = order.as_json() | {"versions": outcomes.versions(), "key": fingerprint(order.keys["file"]), "input": "", "keys": "", "jobs": 1}
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def take(outcome: Outcome, rows: dict[int, FileRow], value: dict[str, Any]) -> None:
    """Put what came of one study into the whole. Pictures of faces are not part of it, and die with the work folder."""
    for row in value["files"]:
        word = Verdict(row["verdict"], row["code"], row["reason"], row["advice"])
        mine = rows[row["n"]]
        mine.verdict, mine.product, mine.where = word, row["product"], row.get("where", "")
    outcome.images += [image | {"review": []} for image in value["images"]]
    outcome.products += value["products"]
    outcome.pieces.append(Path(value["piece"]))


def finish(asked: Request, outcome: Outcome) -> None:
    """Assemble the dataset, and put it and the outcome in the place of OUT by one rename."""
    final = private(asked.work / "final")
    final.chmod(0o755)
    pieces = [path for path in sorted(outcome.pieces) if any(path.rglob("*.nii.gz"))]
    if pieces and not going_out(outcome):
        stay(outcome)
    elif pieces:
        about = {"Name": "De-identified MRI", "GeneratedBy": [{"Name": "myelin", "Version": outcomes.ours()}]}
        dataset.assemble(pieces, final / "bids", about, sessions=aged(outcome), scans=scans(outcome), derived={"qa": measured(outcome)})
    outcome.write(final / "outcome.json")
    set_modes(final, folders=0o755, files=0o644)
    if asked.out.exists():
        asked.out.rename(asked.work / "old")
    publish(final, asked.out)


def stay(outcome: Outcome) -> None:
    """Nothing goes out: every file that would have, and its image, say why."""
    word = verdict("no_native_image")
    for row in outcome.files:
        if row.product:
            row.verdict, row.product = word, None
    for image in outcome.images:
        if image["products"]:
            image["products"], image["deid"] = [], image["deid"] | {"withheld": word.as_json()}
    outcome.products = []


def going_out(outcome: Outcome) -> list[dict[str, Any]]:
    """The images of the dataset itself that came through."""
    return [image for image in outcome.images if image["products"] and not image["bids"].startswith("derivatives/")]


def measured(outcome: Outcome) -> dict[str, str]:
    """The tables of derivatives/qa."""
    return tables.texts(tables.row(image["bids"], image["quality"], image["protocol"]) for image in going_out(outcome))


def scans(outcome: Outcome) -> list[dict[str, Any]]:
    """What the scans tables say of each image: how it was measured, defaced and converted."""
    going = going_out(outcome)
    verdicts = [
        {"quality": image["quality"]["grade"], "deface": image["deface"]["verdict"], "conversion": image["conversion"].get("verdict")} for image in going
    ]
    return [{"filename": image["bids"], **row} for image, row in zip(going, verdicts, strict=True)]


def aged(outcome: Outcome) -> list[dict[str, Any]]:
    """The rows of the sessions tables, with the age at the visit where its images tell it."""
    ages: dict[tuple[str, str], Any] = {}
    for image in outcome.images:
        if image["bids"] and "age" in image["deid"]:
            folders = image["bids"].removeprefix("derivatives/scanner/").split("/")
            ages.setdefault((folders[0], folders[1]), image["deid"]["age"])
    rows = {(row["participant_id"], row["session_id"]): row for row in outcome.sessions}
    return [row | ({"age": ages[key]} if key in ages else {}) for key, row in rows.items()]


def write_names(path: Path, sources: Sequence[Source]) -> None:
    """Number and input path of every file, one a line, for the owner's eyes (mode 0600). Backslash, tab and line end are escaped."""
    lines = ["n\tpath"]
    for one in sources:
        lines.append(f"{one.n}\t" + one.name.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, os.fsencode("\n".join(lines) + "\n"), mode=0o600)
