"""`make show-faces`: the rows of the issue "Faces go, brains stay, and it is proven", with ANTs and SimpleITK of this very run beside ours.

Made heads and necks need nothing but the template; real heads need the shared scans, and peers their venv under build/peers/faces. QUICK=1 measures what
takes seconds: the other rows are then as good as the last full run.
"""

from __future__ import annotations

import sys

import faces_device_rows
import faces_margin_rows
import faces_proof_rows
import faces_register_rows
import faces_spine_rows
import faces_surface_rows
from table import Row, not_quick, show

ROWS = [
    Row(
        "displacement of the face box, perturbed real heads",
        "no worse than the best peer at median and 95th centile",
        not_quick(faces_register_rows.displacement),
    ),
    Row("displacement, heads as they are, reference within 2 mm", "median at most 2 mm", not_quick(faces_register_rows.displacement_as_they_are)),
    Row("failures over 5 mm that nothing flags", "0", not_quick(faces_register_rows.failures_unflagged)),
    Row("real heads withheld or sent to review", "at most 10 % unperturbed, 25 % perturbed", not_quick(faces_proof_rows.sent_to_people)),
    Row("cervical phantoms with chin and mouth in view", "at least 18 of 20 kept, faces gone, cord identical", not_quick(faces_spine_rows.spine_kept)),
    Row("children and pathology", "defaced, brain untouched", not_quick(faces_spine_rows.children_and_pathology)),
    Row("nose, mouth, chin, lids, brow, ears gone", "all, every head and contrast", not_quick(faces_surface_rows.features_gone)),
    Row(
        "surface check on other heads than it was calibrated on",
        "sensitivity at least 95 %, false alarms at most 5 %",
        not_quick(faces_surface_rows.surface_check),
    ),
    Row("rank-1 match of a defaced head to 50 others", "upper 95 % bound at most 10 %; void below 90 % undefaced", not_quick(faces_surface_rows.rank_one)),
    Row("brain drawn by others on a real head: smallest margin", "0 voxels changed; at least 3 mm", not_quick(faces_margin_rows.brain_margin)),
    Row("brain voxels changed; smallest margin", "0; at least 3 mm", not_quick(faces_proof_rows.brain_untouched)),
    Row("CPU seconds per 1 mm volume, one thread", "at most 4", not_quick(faces_register_rows.cpu_seconds)),
    Row("CPU seconds for a visit of four contrasts", "at most 10", not_quick(faces_proof_rows.visit_seconds)),
    Row("rendering of a head", "about 1 s", not_quick(faces_surface_rows.render_seconds)),
    Row("CUDA, batches of 16", "under 0.3 s a volume, within 0.1 mm; else said that it was not run", faces_device_rows.on_cuda),
    Row("tissue volumes before and after", "shift at most 0.5 %", not_quick(faces_proof_rows.downstream)),
    Row("bad input: each has its stated verdict", "all", faces_proof_rows.bad_input),
]

if __name__ == "__main__":
    sys.exit(show("faces", ROWS))
