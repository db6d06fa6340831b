"""`make show-headers`: the rows of the issue "De-identification nobody else reaches", with the peers of this very run beside ours.

Two kinds of input: the planted hospital (`hiding`), where what must go is known by construction, and the shared real scans, where what must stay is known by
converting them before and after. QUICK=1 needs neither the network nor the shared scans: those rows are then as good as the last full run.
"""

from __future__ import annotations

import sys

import conversion_rows
import desk_rows
import gate_rows
import hiding_rows
import kept_rows
import pixel_rows
from table import Row, not_quick, show

ROWS = [
    Row("planted identifiers left, all hiding places", "0 of all; best peer measured before 0.1 %", hiding_rows.leaks),
    Row("files written, of the planted images", "100 %, documents refused with a code", hiding_rows.files_written),
    Row("files written, of the shared images", "100 %, the rest refused with a code", not_quick(desk_rows.written)),
    Row("SeriesDescription cleaned and kept (planted)", "all; 0 of 60 by every peer", hiding_rows.descriptors),
    Row("descriptions: names, numbers, dates in all forms", "all cleaned, their words kept", gate_rows.descriptions),
    Row("references, one offset per person, intervals (planted)", "all", hiding_rows.references),
    Row("references, offsets, intervals (shared)", "all", not_quick(kept_rows.references)),
    Row("safe private kept, other private goes (planted)", "all kept, none left", hiding_rows.safe_private),
    Row("safe private kept, other private goes (shared)", "all kept, none left", not_quick(kept_rows.safe_private_kept)),
    Row("what research needs (planted)", "all kept, ages above 89 capped", hiding_rows.useful),
    Row("new errors by dciodvfy (planted)", "0", hiding_rows.valid),
    Row("new errors by dciodvfy (shared)", "0", not_quick(conversion_rows.dciodvfy)),
    Row("conversion costs nothing", "N of N shared series", not_quick(conversion_rows.conversion_costs_nothing)),
    Row("burned-in text hidden", "all", pixel_rows.burned_in),
    Row("text on one random slice of a 170-slice series", "found 100 of 100", not_quick(pixel_rows.planted_slice)),
    Row("ordinary slices that look like writing", "none masked or refused", not_quick(pixel_rows.false_alarms)),
    Row("good input refused, withheld or sent to review", "0 of the shared image series", not_quick(desk_rows.shared_series)),
    Row("last gate: false withholdings", "0 on the shared data", not_quick(gate_rows.false_withholdings)),
    Row("last gate: short and ordinary-word names", "50 of 50 as the rules say", gate_rows.ordinary_names),
    Row("last gate: planted values in products", "0 missed, no lawful twin withheld", gate_rows.gate_misses),
    Row("files per CPU-second, 500 plain 256x256 MR, no OCR", "at least 200; aim above 520", not_quick(hiding_rows.speed)),
    Row("10,000 seeded mutations of valid files", "0 deaths outside the child, 0 without verdict, under 1 GiB", desk_rows.mutations),
]

if __name__ == "__main__":
    sys.exit(show("headers", ROWS))
