"""One study on its way from DICOM to BIDS: what is known of its files, series and images between two steps.

Nothing here names a step's place; `pipeline.steps` does. A file leaves the way with a verdict (`Work.refuse`), an image with one as well
(`Image.withheld`); what has left is skipped by every later step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bidstree import tables
from deid.account import add_up
from pipeline.codes import Verdict, verdict
from pipeline.inventory import Source
from pipeline.isolate import Answer, Death, Limits
from pipeline.order import Order
from pipeline.outcome import FileRow, Outcome, products
from pipeline.workspace import Workspace, private

__all__ = ["Image", "Series", "Work", "part"]

# A converter works through thousands of files of a series; a fit holds several float32 copies of a 256^3 volume.
READ = Limits(memory_mb=2048, cpu_s=120, wall_s=240, file_mb=4096)
CONVERT = Limits(memory_mb=6144, cpu_s=1800, wall_s=2400)
COMPUTE = Limits(memory_mb=10240, cpu_s=1800, wall_s=2400, address_space=False)


# Codes of contrasts that nobody needs to correct: no image of a person's anatomy was lost with them.
PLANNING = ("localizer", "secondary_capture")


@dataclass
class Series:
    """One series: clean DICOM in `folder`, named by number; `files`: clean file name -> number of the input file."""

    uid: str
    number: int
    folder: Path
    files: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    accounts: list[dict[str, Any]] = field(default_factory=list)
    masked: int = 0


@dataclass
class Image:
    """One image of a series. `nifti`: the file to go on with (after defacing another than before); `zone`: what was taken, on its grid."""

    key: str
    series: Series
    files: list[int]
    nifti: Path
    sidecar: dict[str, Any]
    bval: str | None
    bvec: str | None
    conversion: dict[str, Any]
    contrast: dict[str, Any]
    session: str = ""
    zone: str | None = None
    whole: str | None = None  # the volume before its face was taken, once it was
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    deface: dict[str, Any] = field(default_factory=lambda: {"verdict": "withheld", "code": "not_reached"})
    pictures: dict[str, str] = field(default_factory=dict)
    bids: str = ""
    products: list[str] = field(default_factory=list)
    review: list[str] = field(default_factory=list)
    withheld: Verdict | None = None

    @property
    def space(self) -> str:
        """The template space that its site brought it to; empty for an image in a space of the person's own."""
        return str(self.contrast.get("space") or "")

    @property
    def moved(self) -> bool:
        """Whether its site registered, stripped or normalised it: a derivative."""
        return bool(self.contrast.get("processed") or self.space)


@dataclass
class Work:
    """The state of one study. `result`/bids and /review: what is being made; `scratch`: private, gone with the run; `steward`: somebody looks at the images.

    `volumes`: all NIfTI files, by number; `masks`: those that are no image; `companions`: number -> kind (sidecar, table, transform) of the small files.
    """

    order: Order
    workspace: Workspace
    sources: dict[int, Source]
    rows: dict[int, FileRow]
    result: Path
    scratch: Path
    steward: bool = True
    series: list[Series] = field(default_factory=list)
    all_images: list[Image] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    masks: list[int] = field(default_factory=list)
    companions: dict[int, str] = field(default_factory=dict)
    volumes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bids, self.review = self.result / "bids", self.result / "review"
        for folder in (self.bids, self.review):
            folder.mkdir(parents=True)

    def place(self, name: str) -> Path:
        """A private folder of this study's run."""
        return private(self.scratch / name)

    def arrays(self, image: Image, stage: str) -> str:
        """Where the pictures of one measurement of an image wait, as arrays (.npz), until its strip is drawn."""
        return str(self.place("pictures") / f"{image.key.replace('/', '_')}_{stage}.npz")

    @property
    def images(self) -> list[Image]:
        """The images that are still on their way."""
        return [image for image in self.all_images if image.withheld is None]

    def open_files(self) -> Iterator[int]:
        """The numbers of files that still have no refusal."""
        return (n for n, row in self.rows.items() if row.verdict.verdict == "kept")

    def refuse(self, numbers: Iterable[int], word: Verdict, where: str = "") -> None:
        """Give files their verdict, unless they have left already."""
        for n in numbers:
            if self.rows[n].verdict.verdict == "kept":
                self.rows[n].verdict, self.rows[n].where = word, where

    def withhold(self, image: Image, word: Verdict) -> None:
        """An image leaves the way."""
        image.withheld = word

    def each(self, step: str, function: str, items: list[Any], limits: Limits) -> list[Answer]:
        """Run a function of `pipeline.rooms` over items; CUDA work gets no limit on address space."""
        return self.workspace.each(step, f"pipeline.rooms:{function}", items, limits)

    def outcome(self) -> Outcome:
        """The answer: files that are in no image that came through get the reason of the image that took them."""
        for image in self.all_images:
            word = image.withheld
            for n in image.files:
                row = self.rows[n]
                if word is None and row.verdict.verdict == "kept":
                    row.product = row.product or image.bids
        for image in self.all_images:
            if image.withheld:
                self.refuse([n for n in image.files if self.rows[n].product is None], image.withheld)
        self.refuse([n for n in self.companions if self.rows[n].product is None], verdict("companion_alone"))
        self.refuse([n for n in self.rows if self.rows[n].product is None], verdict("no_image_made"))
        self.tidy()
        found = Outcome(self.order.run, self.order.attempt, "study", files=list(self.rows.values()))
        # What has no name yet is told too, with its protocol, so that a person can name it; what serves planning only is not.
        found.images = [self.describe(image) for image in self.all_images if image.bids or image.contrast["code"] not in ("ok", *PLANNING)]
        found.products = products(self.bids, [path for path in self.bids.rglob("*") if path.is_file()])
        return found

    def tidy(self) -> None:
        """Take away what a child that died left behind: whatever lies there is a product of an image or a picture of one."""
        for root, listed in ((self.bids, "products"), (self.review, "review")):
            mine = {root / name for image in self.all_images for name in getattr(image, listed)}
            for path in sorted(root.rglob("*"), reverse=True):
                if path.is_dir():
                    with contextlib.suppress(OSError):
                        path.rmdir()
                elif path not in mine:
                    path.unlink()

    def describe(self, image: Image) -> dict[str, Any]:
        """One row of `images`. A withheld image keeps the name that it would have had, and has no products."""
        row: dict[str, Any] = {"bids": image.bids or None, "contrast": image.contrast, "conversion": image.conversion, "deface": image.deface}
        row |= {"quality": graded(image.before, image.after), "protocol": image.protocol, "deid": self.deid(image), "files": sorted(image.files)}
        return row | {"products": sorted(image.products), "review": sorted(image.review)}

    def deid(self, image: Image) -> dict[str, Any]:
        """What was done to the headers of an image's files, and, for a withheld image, why nothing of it was published."""
        row: dict[str, Any] = {"profile": self.order.profile, "masked_files": image.series.masked, "account": add_up(image.series.accounts)}
        row |= {"age": age} if (age := tables.years(image.series.facts.get("PatientAge"))) is not None else {}
        return row | ({"withheld": image.withheld.as_json()} if image.withheld else {})


def graded(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The quality of an image: the measures of the whole head, with those after defacing as `after`; the grade is the worse one."""
    worst = max((report.get("grade", "fail") for report in (before, after) if report), key=("pass", "review", "fail").index, default="fail")
    reasons = list(dict.fromkeys([*before.get("reasons", ()), *after.get("reasons", ())]))
    return before | {"grade": worst, "reasons": reasons} | ({"after": after} if after else {})


def part(death: Death) -> tuple[Verdict, str]:
    """The verdict of a child's death, and the line of our source where an unforeseen one happened."""
    return verdict(death.code, death.reason, death.advice), " ".join(filter(None, (death.error, death.where)))
