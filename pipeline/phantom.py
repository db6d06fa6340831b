"""The demo's scans: heads that never existed, for demo and tests, written as a hospital would hand them in.

Four participants of two sites at two visits, and five things that go wrong on purpose. Deterministic by seed. The returned
`Story` says who is who and which identifying values were planted, so that a demo or a test can search for them afterwards.
Every folder of a site is one upload; each visit's folder is one study; a lesion mask lies in its visit's folder.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import nibabel as nib
import numpy as np

from pipeline import phantom_dicom as dicom
from pipeline import phantom_head as heads
from pipeline import phantom_people as people
from pipeline.phantom_head import Array, Grid, Matrix
from pipeline.phantom_people import Consent, Extra, Participant, Person, Planted, Site, Visit

__all__ = ["ODD_DAY", "Consent", "Extra", "Participant", "Person", "Planted", "Site", "Story", "Visit", "write"]

SERIES = (("T1w", 2), ("T2w", 3), ("FLAIR", 4))
# The day of the studies that go wrong.
ODD_DAY = date(2021, 9, 14)
NOISE = {"T1w": 15.0, "T2w": 14.0, "FLAIR": 13.0}
# Jones-like scheme: one image without, six with diffusion weighting along non-collinear directions.
ROOT2 = 2**-0.5
GRADIENTS = (
    (0, (0.0, 0.0, 0.0)), (1000, (ROOT2, ROOT2, 0.0)), (1000, (ROOT2, -ROOT2, 0.0)), (1000, (ROOT2, 0.0, ROOT2)),
    (1000, (-ROOT2, 0.0, ROOT2)), (1000, (0.0, ROOT2, ROOT2)), (1000, (0.0, ROOT2, -ROOT2)),
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """What was written: the sites with their upload folders (`folder / site.code`), participants, what goes wrong on purpose, planted identifiers, files."""

    folder: Path
    sites: tuple[Site, ...]
    participants: tuple[Participant, ...]
    extras: tuple[Extra, ...]
    planted: tuple[Planted, ...]
    files: int

    def gone_wrong(self, kind: str) -> Extra:
        """The one extra of this kind. Raises StopIteration when there is none."""
        return next(e for e in self.extras if e.kind == kind)


Progress = Callable[[int, int], None]


def write(folder: Path, *, seed: int = 0, full: bool = False, progress: Progress | None = None) -> Story:
    """Write the scans into `folder` (made; its site folders must not exist) and tell what was written.

    `full` gives every participant 1 mm in all directions; else the first alone. Equal arguments write equal bytes.
    `progress(done, total)` is called after each study. Raises FileExistsError rather than mix two stories.
    """
    base = heads.average()
    folder = Path(folder)
    for site in people.SITES:
        (folder / site.code).mkdir(parents=True)
    jobs = len(people.PARTICIPANTS) * 2 + 3
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, jobs)

    extras: list[Extra] = []
    participants = []
    for n, person in enumerate(people.PARTICIPANTS):
        author = Author(base, heads.head(base, seed * 100 + n), person, seed, n)
        visits = []
        for v in range(2):
            visits.append(author.visit(folder, v, fine=full or n == 0, extras=extras))
            tick()
        participants.append(Participant(person, tuple(visits)))
    for kind, cast in (("no_consent", (people.P5,)), ("stranger", (people.STRANGER,)), ("two_patients", (people.P3, people.NEIGHBOUR))):
        extras.append(write_odd_study(base, folder, kind, cast, seed))
        tick()
    planted = people.identifiers(people.EVERYBODY, people.SITES) + study_values(participants)
    return Story(folder, people.SITES, tuple(participants), tuple(extras), tuple(planted), sum(1 for p in folder.rglob("*") if p.is_file()))


def write_small(folder: Path, *, seed: int = 0) -> int:
    """One visit of the second participant (T1w, T2w, FLAIR with its lesion mask, a screen save with a name) into `folder`; the number of files.

    Raises FileExistsError where the visit is there already.
    """
    base, person = heads.average(), people.PARTICIPANTS[1]
    author = Author(base, heads.head(base, seed * 100 + 1), person, seed, 1)
    return author.visit(Path(folder), 0, fine=False, extras=[]).files


def write_head(path: Path, *, seed: int = 0) -> None:
    """One T1w of a head with a face as NIfTI (2 x 2 x 4 mm, 112 x 120 x 46)."""
    base, rng = heads.average(), np.random.default_rng(seed)
    person, grid = heads.head(base, seed * 100 + 1), thick_grid(rng)
    image = heads.mix(heads.sample(person, person.lesion_map(3), grid, heads.pose(rng)), "T1w", rng, noise=NOISE["T1w"])
    nib.save(nib.Nifti1Image(np.rint(image).astype(np.int16), grid.affine), path)


def study_values(participants: Sequence[Participant]) -> list[Planted]:
    """Dates and accession numbers of the visits."""
    visits = [v for p in participants for v in p.visits]
    return [Planted(f"{v.date:%Y%m%d}", "study date") for v in visits] + [Planted(v.accession, "accession number") for v in visits]


@dataclass(frozen=True)
class Author:
    """Writes the visits of one person."""

    base: heads.Average
    head: heads.Head
    person: Person
    seed: int
    number: int

    def visit(self, root: Path, v: int, *, fine: bool, extras: list[Extra]) -> Visit:
        """Write visit `v` (0 or 1): three contrasts, a lesion mask, at the first visit of each site's first participant a diffusion series."""
        rng = np.random.default_rng([self.seed, self.number, v])
        site = next(s for s in people.SITES if s.code == self.person.site)
        day = date(2021, 2, 3) + timedelta(days=37 * self.number + 371 * v)
        folder = root / site.code / f"{self.person.family}_{self.person.given}".upper() / f"{day:%Y-%m-%d}"
        study = dicom.Study(self.person, site, day, f"{self.seed + 1}.{self.number + 1}0{v + 1}")
        lesions = 5 + self.number % 2 + v
        field = self.head.lesion_map(lesions)
        at = heads.pose(rng)
        tissue, grid = None, fine_grid() if fine else thick_grid(rng)
        files = 0
        for contrast, number in SERIES:
            tissue = tissue or heads.sample(self.head, field, grid, at)
            image = heads.mix(tissue, contrast, rng, noise=NOISE[contrast])
            spoiled = (self.person.key, v, contrast) == ("p4", 1, "T2w")
            here = folder / f"{number:03d}_{dicom.WORDS[contrast].replace(' ', '_')}"
            count = dicom.write_scan(study, dicom.Scan(number, contrast, grid, [lose_slices(image) if spoiled else image]), here)
            files += count
            if spoiled:
                extras.append(Extra("spoiled", site.code, here, count, (self.person,)))
        assert tissue is not None
        mask = write_mask(folder / f"lesions_{self.person.family}.nii.gz", tissue.lesion > 0.5, grid.affine, self.person)
        if v == 0 and self.person.key in ("p1", "p3"):
            files += self.diffusion(study, folder, field, at, rng)
        if v == 0 and self.person.key == "p2":
            extras.append(self.screens(study, folder, tissue))
            files += extras[-1].files
        return Visit(f"m{12 * v:02d}", day, folder, study.uid, study.accession, files + 1, lesions, mask, measures(rng, v))

    def diffusion(self, study: dicom.Study, folder: Path, field: Array, at: Matrix, rng: np.random.Generator) -> int:
        """Seven coarse volumes, 3 x 3 x 5 mm."""
        grid = axial_grid((76, 76, 30), (3.0, 3.0, 5.0), top=92.0, samples=2)
        volumes = heads.diffusion(heads.sample(self.head, field, grid, at), list(GRADIENTS), rng, noise=9.0)
        return dicom.write_scan(study, dicom.Scan(6, "dwi", grid, volumes, GRADIENTS), folder / "006_diff")

    def screens(self, study: dicom.Study, folder: Path, tissue: heads.Tissue) -> Extra:
        """A screen save with the person's name and birth date drawn into the pixels."""
        middle = (tissue.white[:, :, tissue.white.shape[2] // 2].T * 170 + tissue.grey[:, :, tissue.grey.shape[2] // 2].T * 110).astype(np.uint8)
        big = middle.repeat(4, 0).repeat(4, 1)
        text = (self.person.name.replace("^", " "), f"{self.person.birth_date:%d.%m.%Y}  {self.person.sex}", self.person.source_id)
        here = folder / "090_screen"
        return Extra("burned_in", study.site.code, here, dicom.write_screen(study, here, text, big), (self.person,))


def write_odd_study(base: heads.Average, folder: Path, kind: str, cast: tuple[Person, ...], seed: int) -> Extra:
    """One T1w per person of `cast`, all under one study UID, at 2 x 2 x 5 mm."""
    number = 60 + ("no_consent", "stranger", "two_patients").index(kind)
    site = next(s for s in people.SITES if s.code == cast[0].site)
    here = folder / site.code / f"{kind}_{cast[-1].family}"
    rng = np.random.default_rng([seed, number])
    files = 0
    for n, person in enumerate(cast):
        head = heads.head(base, seed * 100 + number + n)
        grid = axial_grid((112, 120, 34), (2.0, 2.0, 5.0), top=98.0, samples=2)
        image = heads.mix(heads.sample(head, head.lesion_map(0), grid, heads.pose(rng)), "T1w", rng, noise=NOISE["T1w"])
        study = dicom.Study(person, site, ODD_DAY, f"{seed + 1}.{number}01")
        files += dicom.write_scan(study, dicom.Scan(2 + n, "T1w", grid, [image]), here / f"{n + 1:03d}")
    return Extra(kind, site.code, here, files, cast)


def fine_grid() -> Grid:
    """Sagittal, 1 mm: columns run to the back, rows down, slices to the right. World mm RAS+."""
    affine = np.array([[0, 0, -1.0, 83.5], [-1.0, 0, 0, 112.0], [0, -1.0, 0, 120.0], [0, 0, 0, 1]])
    return Grid((224, 232, 168), affine)


def thick_grid(rng: np.random.Generator) -> Grid:
    """Axial, tilted by a few degrees as a radiographer tilts it: 2 x 2 mm, slices of 4 mm."""
    return axial_grid((112, 120, 46), (2.0, 2.0, 4.0), top=100.0, samples=2, tilt=float(rng.uniform(2, 8)))


def axial_grid(shape: tuple[int, int, int], step: tuple[float, float, float], *, top: float, samples: int, tilt: float = 0.0) -> Grid:
    """Columns to the left, rows to the back, slices upwards, the last at `top` mm in the middle; tilted about the left-right axis by `tilt` degrees."""
    axes = np.diag([-step[0], -step[1], step[2]])
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    axes = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ axes
    middle = (np.array(shape) - 1) / 2
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = np.array([0.0, -2.0, top - middle[2] * step[2]]) - axes @ middle
    return Grid(shape, affine, samples)


def lose_slices(image: Array) -> Array:
    """A slab of nothing through the brain, as a reconstruction that lost a packet leaves it."""
    out = image.copy()
    first = image.shape[2] * 6 // 10
    out[:, :, first : first + max(4, image.shape[2] // 8)] = 0
    return out


def write_mask(path: Path, inside: np.ndarray[tuple[int, int, int], np.dtype[np.bool_]], affine: Matrix, person: Person) -> Path:
    """A lesion mask as NIfTI, rows flipped as dcm2niix does; the person's name stands in `descrip` and in the gzip header."""
    flip = np.eye(4)
    flip[1, 1], flip[1, 3] = -1, inside.shape[1] - 1
    image = nib.Nifti1Image(inside[:, ::-1].astype(np.uint8), affine @ flip)
    image.header["descrip"] = f"drawn for {person.family}".encode()[:79]
    image.header.set_xyzt_units("mm")
    with path.open("wb") as raw, gzip.GzipFile(f"{person.family}.nii", "wb", 6, raw, mtime=0) as packed:
        packed.write(image.to_bytes())
    return path


def measures(rng: np.random.Generator, visit: int) -> tuple[tuple[str, float], ...]:
    """What the clinic measured that day: EDSS (half steps, Kurtzke 1983), timed 25-foot walk in s, symbol digit modalities score."""
    edss = round(float(rng.uniform(1.5, 4.0) + 0.5 * visit) * 2) / 2
    return (("edss", edss), ("t25fw", round(4.2 + edss * 0.8, 1)), ("sdmt", float(rng.integers(38, 62))))


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m pipeline.phantom OUT [--seed N] [--full | --small | --head]`."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.phantom", description="Write the demo's scans: heads that never existed, as DICOM.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="1 mm for everybody")
    size.add_argument("--small", action="store_true", help="one visit of one person")
    size.add_argument("--head", action="store_true", help="one T1w image: OUT is a NIfTI file")
    args = parser.parse_args(argv)
    try:
        if args.head:
            write_head(args.out, seed=args.seed)
            return 0
        if args.small:
            show(f"{write_small(args.out, seed=args.seed)} files in {args.out}\n")
            return 0
        story = write(args.out, seed=args.seed, full=args.full, progress=lambda done, total: show(f"\r{done} of {total} studies"))
    except FileExistsError:
        show("OUT already holds a story: name a new folder\n")
        return 2
    show(f"\n{story.files} files of {len(story.participants)} participants and {len(story.extras)} things that go wrong, in {story.folder}\n")
    return 0


def show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
