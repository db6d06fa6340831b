"""pydeface itself, where FSL is installed: its own call of FSL's flirt finds the place, and everything after it is as with our own engine.

pydeface (MIT) prints, leaves files in the temporary folder, asks for a launcher `fsl` that it never calls, and imports nipype, which calls home unless told
not to. So it runs in a child of its own, with a folder that is gone afterwards. FSL is never shipped, fetched or looked for elsewhere than FSLDIR and PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from spatial import affines, templates, volumes
from spatial.affines import Matrix
from spatial.errors import SpatialError
from spatial.volumes import Volume

LIMIT_S = 1800.0
QUIET = {"NO_ET": "1", "NIPYPE_NO_ET": "1"}  # neither etelemetry nor nipype calls home
# The matrix is the third of what deface_image gives back: (mask, its path, registered template, matrix).
CALL = "import shutil, sys; from pydeface import utils; out = utils.deface_image(sys.argv[1], sys.argv[2], force=True); shutil.copy(out[3], sys.argv[3])"


def available() -> bool:
    """Whether FSL is installed: FSLDIR is set and flirt is found."""
    return _flirt() is not None


def place(volume: Volume) -> Matrix:
    """World of the volume -> the template's world, by pydeface's own registration (4D: of the mean over time).

    Raises SpatialError `no_fsl` where FSL is not installed, `fsl_failed` where flirt gives no affine.
    """
    program = _flirt()
    if program is None:
        raise SpatialError("no_fsl", "FSL (FSLDIR and flirt) is not installed.", "Install FSL where its licence allows you to, or use another backend.")
    mean = volume.mean3d()
    with tempfile.TemporaryDirectory(prefix="myelin-flirt-") as name:
        folder = Path(name)
        volumes.save(Volume(np.asarray(mean.data, dtype=np.float32), mean.affine), folder / "in.nii.gz")
        (folder / "bin").mkdir()
        (folder / "bin" / "fsl").symlink_to(program)  # asked for by name only
        (folder / "bin" / "flirt").symlink_to(program)
        path = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", "")])
        words = [sys.executable, "-c", CALL, str(folder / "in.nii.gz"), str(folder / "out.nii.gz"), str(folder / "found.mat")]
        around = {**os.environ, **QUIET, "PATH": path, "TMPDIR": name, "FSLOUTPUTTYPE": "NIFTI_GZ"}
        try:
            subprocess.run(words, env=around, cwd=name, capture_output=True, check=True, timeout=LIMIT_S)
            found = affines.check(np.loadtxt(folder / "found.mat"))
        except (subprocess.SubprocessError, OSError, ValueError, SpatialError) as error:
            raise SpatialError("fsl_failed", "FSL's flirt found no place for the head.", "Use another backend.") from error
    template = templates.head().volume
    return affines.inverse(_world(mean) @ found @ affines.inverse(_world(template)))


def _flirt() -> str | None:
    folder = os.environ.get("FSLDIR")
    if not folder:
        return None
    beside = Path(folder) / "bin" / "flirt"
    return str(beside) if os.access(beside, os.X_OK) else shutil.which("flirt")


def _world(volume: Volume) -> Matrix:
    """From FSL's millimetres (voxel edges from one corner; x mirrored where the axes are right-handed) to the world."""
    scaled = affines.scaling(volume.zooms)
    if np.linalg.det(volume.affine[:3, :3]) > 0:
        mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
        mirror[0, 3] = (volume.shape[0] - 1) * volume.zooms[0]
        scaled = mirror @ scaled
    return np.asarray(volume.affine @ affines.inverse(scaled), dtype=np.float64)
