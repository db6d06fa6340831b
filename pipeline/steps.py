"""The order of the steps, the only place it is written, with the reason for each place.

A step takes the study as the step before left it, hands untrusted bytes to children, and gives each file, series or image that cannot go on its verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import drawn, handed, made, measuring, named
from pipeline.inside import open_keys
from pipeline.inventory import NoInput, Source, inventory
from pipeline.order import Order
from pipeline.outcome import FileRow, Outcome
from pipeline.study import Work
from pipeline.workspace import Workspace, private

__all__ = ["STEPS", "Step", "run_study"]


@dataclass(frozen=True)
class Step:
    """One step: its name, what it does to a study, and why it stands where it stands."""

    name: str
    run: Callable[[Work], None]
    why: str


STEPS: tuple[Step, ...] = (
    Step("headers", made.headers, "First, so that nothing after it ever sees who the person is; the facts that conversion needs are read in the same pass."),
    Step("pixels", made.pixels, "On DICOM, where each slice still says what it is, and before conversion melts the slices into a volume."),
    Step("convert", made.convert, "On de-identified DICOM: no name can reach a NIfTI header, a sidecar or a file name, whatever a converter copies."),
    Step("handed", handed.images, "Beside conversion: what a site holds as NIfTI alone is cleaned as well, and goes the same way from here on."),
    Step(
        "protocol",
        made.protocol,
        "When the contrast is known, for each has rules of its own; of the facts only the verdict is kept.",
    ),
    Step("faces", made.faces, "After all images of the visit exist, for the visit is aligned once and one mask serves all of them."),
    Step(
        "quality",
        measuring.quality,
        "Of the whole head, for measures of air mean nothing once the face is gone; after the visit was aligned, which says where its first brain lies.",
    ),
    Step("quality_after", measuring.quality_after, "Again, to show that defacing harmed nothing; the zone that was taken is left out of the measures."),
    Step(
        "names",
        named.names,
        "When contrasts are settled; a withheld image is named too, so that its siblings keep their numbers if it is set right.",
    ),
    Step("masks", drawn.masks, "When images have names: a mask is named after the image it lies on, and lies on the image that is published."),
    Step("pictures", named.pictures, "When images have names; pictures with a face go to review/, never among the products."),
    Step("verify", named.verify, "Last, for it searches what will be stored, file names included, for every value that was removed."),
)


def run_study(order: Order, workspace: Workspace, result: Path, sources: Sequence[Source] | None = None, *, steward: bool = True) -> Outcome:
    """Take one study to BIDS: products to `result`/bids, pictures to `result`/review. `sources`: the inventory, where the caller has it already.
    `steward`: whether a person will look at each image before it goes out; without one, what two converters disagree about is withheld.

    Raises NoInput when the input or a file of the order is not there, KeyFileError for a bad key.
    """
    open_keys(order.keys)
    wanted = dict(order.files)
    found = inventory(order.input, workspace, wanted) if sources is None else sources
    mine = {one.n: one for one in found if one.n in wanted}
    if len(mine) != len(wanted):
        raise NoInput
    with workspace.scratch() as scratch:
        rows = {n: FileRow(n, digest, mine[n].bytes, mine[n].verdict) for n, digest in order.files}
        work = Work(order, workspace, mine, rows, private(result), scratch, steward)
        for step in STEPS:
            step.run(work)
        return work.outcome()
