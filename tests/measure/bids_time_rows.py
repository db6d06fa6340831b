"""The rows of `make show-bids` about time: what our checks add to dcm2niix, and what the whole adds to both converters.

Everything in one run, one after the other, on the same series of dicom/ (the page cache is warmed first). Figures are CPU seconds of all processes, because
cores may be shared with others, and wall-clock seconds beside them. Bare dicom2nifti converts all series in one process, started once, its cheapest way.
"""

from __future__ import annotations

import functools
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bids_convert_rows import scratch, series
from table import ROOT, Result

from bidstree import convert, second
from bidstree import frames as reading

BARE_SECOND = """
import logging, sys, warnings
import dicom2nifti
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")
for n, folder in enumerate(sys.argv[2:]):
    try:
        dicom2nifti.dicom_series_to_nifti(folder, f"{sys.argv[1]}/{n}.nii", reorient_nifti=False)
    except Exception:
        pass
"""


def cpu() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def timed(work: Callable[[Path], None]) -> tuple[float, float]:
    """CPU and wall-clock seconds of one piece of work with a fresh folder."""
    out = scratch() / "timed"
    out.mkdir()
    before, started = cpu(), time.monotonic()
    work(out)
    spent = cpu() - before, time.monotonic() - started
    shutil.rmtree(out)
    return spent


@functools.cache
def chosen() -> list[Path]:
    """The series with an image in them that lie in folders of their own."""
    return [folder for name, folder in series().items() if "#" not in name and reading.read(folder).frames]


def bare_first(out: Path) -> None:
    for n, folder in enumerate(chosen()):
        (out / str(n)).mkdir()
        subprocess.run([convert._binary(), *convert.OPTIONS, "-o", str(out / str(n)), str(folder)], capture_output=True, check=False)


def bare_second(out: Path) -> None:
    subprocess.run([sys.executable, "-c", BARE_SECOND, str(out), *map(str, chosen())], capture_output=True, cwd=ROOT, check=False)


def ours(out: Path, *, ask_second: bool) -> None:
    for n, folder in enumerate(chosen()):
        convert.series(folder, out / str(n), ask_second=ask_second)
    second._DESK.close()  # its CPU counts when it has ended


def checks(depth: str) -> Result:
    """dcm2niix with completeness, geometry and values, over dcm2niix alone; the best of three rounds each, in turn."""
    rounds = 1 if depth == "quick" else 3
    timed(bare_first), timed(lambda out: ours(out, ask_second=False))
    pairs = [(timed(bare_first), timed(lambda out: ours(out, ask_second=False))) for _ in range(rounds)]
    bare, all_in = (tuple(min(pair[side][kind] for pair in pairs) for kind in (0, 1)) for side in (0, 1))
    ratio = all_in[0] / bare[0]
    figure = f"{ratio:.2f} ({all_in[0]:.2f} over {bare[0]:.2f} CPU s, {len(chosen())} series; wall clock {all_in[1]:.1f} over {bare[1]:.1f} s)"
    return Result(figure, met=ratio <= 2.0)


def whole(depth: str) -> Result:
    """Everything, dicom2nifti's opinion and the comparison included, over the sum of both bare converters."""
    first, other, everything = timed(bare_first), timed(bare_second), timed(lambda out: ours(out, ask_second=True))
    ratio = everything[0] / (first[0] + other[0])
    figure = f"{ratio:.2f} ({everything[0]:.1f} over {first[0]:.1f} + {other[0]:.1f} CPU s; wall clock {everything[1]:.0f} over {first[1] + other[1]:.0f} s)"
    return Result(figure, met=ratio <= 1.3)
