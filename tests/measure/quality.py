"""`make show-quality`: the rows of the issue "Quality that explains itself", with MRIQC's own functions and TorchIO's transforms of this very run beside ours.

Heads are real ones at 2 mm, varied as visits vary; peers have their environments under build/peers/. QUICK=1 leaves out what takes minutes.
"""

from __future__ import annotations

import sys

import quality_alarm_rows
import quality_corrupt_rows
import quality_peer_rows
import quality_shared_rows
from table import Row, not_quick, show

ROWS = [
    Row("MRIQC's own functions, same arrays and masks", "all within 0.5 %", quality_peer_rows.agree),
    Row("graded corruptions of real heads", "at least 20 of 22 kinds at rho 0.8 and AUC 0.95", not_quick(quality_corrupt_rows.graded)),
    Row("false alarms: clean, benignly varied volumes", "0 fail; at most 5 % review", not_quick(quality_alarm_rows.false_alarms)),
    Row("brain erased in part, slab of zeros, half a head", "all fail", not_quick(quality_alarm_rows.erased)),
    Row("cavity, resection, craniectomy, atrophy", "0 fail", not_quick(quality_alarm_rows.pathology)),
    Row("CPU and CUDA agree", "within 1 % on every metric; else said that it was not run", quality_shared_rows.devices),
    Row("CPU seconds per 256^3 volume, one thread, all metrics", "at most 15 s, under 2 GiB", not_quick(quality_peer_rows.whole_seconds)),
    Row("beside MRIQC's functions, metrics both have", "at most their time without qi_2; with it 3 times less", not_quick(quality_peer_rows.beside_mriqc)),
    Row("a GPU, 64 volumes in batches", "volumes per second and share of decompressing; else said that it was not run", quality_shared_rows.batches),
    Row("FLAIR, T2w, DWI, BOLD, cervical scans of the shared data", "all finite or null with a reason", not_quick(quality_shared_rows.modalities)),
]

if __name__ == "__main__":
    sys.exit(show("quality", ROWS))
