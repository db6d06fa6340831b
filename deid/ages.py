"""Age, kept for research up to 89 years; above, everybody is 090Y, in every visit.

A well-formed PatientAge is kept. An absent or malformed one is computed from birth date and study date before the birth date goes. Where any visit of a
person is above 89 (the caller knows the other visits), all their ages are 090Y: two visits and their interval would otherwise give the true age away.
Ages above 89 written out in free text go with the names.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

from deid.dates import years_between

CAP, CAPPED = 89, "090Y"
_AGE = re.compile(r"(\d{3})([DWMY])\Z")
_PER_YEAR = {"D": 365.2425, "W": 52.1775, "M": 12.0, "Y": 1.0}
OLD_IN_TEXT = re.compile(
    r"[\s,;(\[]*(?<!\d)(?:0?9\d|1[0-2]\d)[\s-]{0,2}(?:years?(?:[\s-]old)?|yrs?|y/?o|y|jahre?|jaar|ans|anni|años|år)(?![^\W\d_])"
    r"|[\s,;(\[]*(?<![^\W\d_])(?:age|aged|alter|edad|âge)[\s:=]{0,3}(?:0?9\d|1[0-2]\d)(?!\d)",
    re.I,
)


def written(said: str, births: Iterable[datetime.date | None], study: datetime.date | None, over_89: bool) -> str:
    """The PatientAge to write ("" for none). said: the one that stands; births: every birth date told of the person; over_89: of any visit."""
    form = _AGE.match(said.strip().upper())
    known = {birth for birth in births if birth}
    computed = years_between(known.pop(), study) if len(known) == 1 and study else None
    told = int(form[1]) / _PER_YEAR[form[2]] if form else None
    if over_89 or any(years is not None and years >= CAP + 1 for years in (computed, told)):
        return CAPPED
    if form:
        return form[1] + form[2]
    return f"{computed:03d}Y" if computed is not None and 0 <= computed <= CAP else ""
