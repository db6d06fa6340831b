"""I measure how good an MRI volume is, and say why.

`measure` takes one image and returns a report: every measure its kind has, with unit, direction and version, or null with the reason; the grade
pass, review or fail with sentences. `qa.protocol.check` compares header facts with a protocol; `qa.report` makes what people read.
"""

from __future__ import annotations

from qa.errors import QaError
from qa.examine import Report, measure

__all__ = ["QaError", "Report", "measure"]
