"""What follows from recorded values: computed by named, versioned code, never typed, and empty wherever the records do not suffice.

Two kinds. `of_record` looks at one record (the functional systems of an EDSS, the mean of two trials). `of_person` looks at all that is known of one
person and tells, for each visit, disease duration, relapse rate, confirmed progression and the functional composite. Days count from the person's day
zero; a partial date stands for the middle of its month or year, and what it cannot decide is left empty. Versions stand in `dictionary.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Values = dict[str, Any]
YEAR = 365.25
# How far from the middle the true day can be, in days, by precision.
SLACK = {"day": 0, "month": 16, "year": 184}

# Visual and bowel-bladder grades count less towards the total (Neurostatus scoring definitions): grade before -> after conversion.
VISUAL = {0: 0, 1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4}
BOWEL = {0: 0, 1: 1, 2: 2, 3: 3, 4: 3, 5: 4, 6: 5}
SYSTEMS = ("edss_visual", "edss_brainstem", "edss_pyramidal", "edss_cerebellar", "edss_sensory", "edss_bowel_bladder", "edss_cerebral")


def functional_step(grades: list[int]) -> float:
    """The step from 0 to 4 that seven converted grades imply for somebody who walks freely (Kurtzke 1983, table of steps 0 to 4; myelin-edss-1)."""
    count = [sum(grade == level for grade in grades) for level in range(4)]
    if max(grades) >= 4 or count[3] > 2 or (count[3] == 2 and count[2]) or (count[3] == 1 and count[2] > 2) or count[2] > 5:
        return 4.0
    if count[3] == 2 or (count[3] == 1 and count[2]) or count[2] == 5:
        return 3.5
    if count[3] == 1 or count[2] >= 3:
        return 3.0
    if count[2]:
        return 2.0 if count[2] == 1 else 2.5
    return {0: 0.0, 1: 1.0}.get(count[1], 1.5)


def of_record(name: str, values: Values) -> Values:
    """What follows from one record; only what can be told."""
    if name == "edss":
        return _edss(values)
    if name == "t25fw":
        return _known({"t25fw_mean": _mean(values, "trial_1", "trial_2")})
    if name == "nhpt":
        return _known({f"nhpt_{side}_mean": _mean(values, f"{side}_1", f"{side}_2") for side in ("dominant", "nondominant")})
    return {}


def _edss(values: Values) -> Values:
    if any(number(values, key) is None for key in SYSTEMS):
        return {}
    raw = {key: int(values[key]) for key in SYSTEMS}
    grades = [VISUAL[raw[key]] if key == "edss_visual" else BOWEL[raw[key]] if key == "edss_bowel_bladder" else raw[key] for key in SYSTEMS]
    step, total = functional_step(grades), float(values["edss_total"])
    agrees = total == step if total < 4 else total >= step
    return {"edss_fs_step": step, "edss_fs_mismatch": 0 if agrees else 1}


def _mean(values: Values, *keys: str) -> float | None:
    found = [one for key in keys if (one := number(values, key)) is not None]
    return round(sum(found) / len(found), 2) if found else None


def number(values: Values, key: str) -> float | None:
    """The value as a number, or None where it is missing for whatever reason."""
    value = values.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _known(values: dict[str, float | None]) -> Values:
    return {key: value for key, value in values.items() if value is not None}


# --- one person, all their records -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One record as it was found: the day of its visit, the instrument, the values."""

    day: int
    instrument: str
    values: Values


def of_person(days: Iterable[int], seen: Sequence[Seen]) -> dict[int, Values]:
    """What can be told at each of these visit days; a day of which nothing can be told is left out."""
    told = {}
    for day in days:
        duration = disease_duration(day, seen)
        found = {"disease_duration": duration, **_onset_age(day, duration, seen), "relapse_rate": relapse_rate(day, seen)}
        found |= {f"progression_{weeks}w": progressed(day, seen, weeks * 7) for weeks in (12, 24)}
        known = _known({**found, **composite(day, seen)})
        if known:
            told[day] = known
    return told


def _onset(seen: Sequence[Seen]) -> tuple[float, int] | None:
    """Day of onset as told last, and how far from it the truth can be."""
    for one in sorted((one for one in seen if one.instrument == "history"), key=lambda one: -one.day):
        day = number(one.values, "onset_day")
        if day is not None:
            return day, _slack(one.values, "onset")
    return None


def _slack(values: Values, what: str) -> int:
    return SLACK.get(values.get(f"{what}_precision") or "day", 0)


def disease_duration(day: int, seen: Sequence[Seen]) -> float | None:
    """Years from onset to this day, to a tenth; to a year where the onset is known to the year only (myelin-duration-1)."""
    onset = _onset(seen)
    if onset is None or onset[0] - onset[1] > day:
        return None
    years = max(0.0, (day - onset[0]) / YEAR)
    return float(round(years)) if onset[1] > 100 else round(years, 1)


def _onset_age(day: int, duration: float | None, seen: Sequence[Seen]) -> dict[str, float | None]:
    """Completed years at onset and whether it was in childhood (myelin-onset-age-1). Who is 89 or older has no age at onset: theirs stands for many."""
    now = [one.values for one in seen if one.instrument == "demographics" and one.day == day]
    onset = _onset(seen)
    if not now or duration is None or onset is None:
        return {}
    months, years = number(now[0], "age_months"), number(now[0], "age_years")
    if months is None and (years is None or years >= 89):
        return {}
    # Completed years are on average half a year short; months half a month.
    at_onset = ((months + 0.5) / 12 if months is not None else (years or 0) + 0.5) - (day - onset[0]) / YEAR
    unsure = (1 / 24 if months is not None else 0.5) + onset[1] / YEAR
    if at_onset < 0:
        return {}
    child = None if abs(at_onset - 18) < unsure else float(at_onset < 18)
    return {"onset_age": float(int(at_onset)), "onset_before_18": child}


def relapse_rate(day: int, seen: Sequence[Seen], years: float = 2.0, least: float = 0.5) -> float | None:
    """Relapses a year over the two years before this day, or since onset (myelin-arr-1).

    None unless somebody said that all relapses are on record, the time is at least half a year, and no relapse may lie on either side of its beginning or end.
    """
    complete = [one.day for one in seen if one.instrument == "history" and one.values.get("relapses_complete") == "yes"]
    onset = _onset(seen)
    if not complete or max(complete) < day or onset is None or onset[1] > 100:
        return None
    start = max(day - years * YEAR, onset[0])
    if day - start < least * YEAR:
        return None
    count = 0
    for one in seen:
        at = number(one.values, "onset_day") if one.instrument == "relapse" else None
        if at is None:
            continue
        slack = _slack(one.values, "onset")
        if any(at - slack <= edge < at + slack for edge in (start, day)):
            return None
        count += start <= at <= day
    return round(count / ((day - start) / YEAR), 2)


def rise(baseline: float) -> float:
    """The rise of EDSS that counts as progression: 1.5 from 0, 1.0 from up to 5.5, 0.5 above (myelin-cdp-1)."""
    return 1.5 if baseline == 0 else 1.0 if baseline <= 5.5 else 0.5


def progressed(day: int, seen: Sequence[Seen], confirm: int) -> float | None:
    """1 if by this day a rise of EDSS over the first was confirmed `confirm` days later and never fell below between, 0 if not (myelin-cdp-1).

    None with fewer than two examinations outside of relapses.
    """
    calm = [(one.day, total) for one in sorted(seen, key=lambda one: one.day) if (total := _calm(one, seen)) is not None and one.day <= day]
    if len(calm) < 2:
        return None
    bar = calm[0][1] + rise(calm[0][1])
    since: int | None = None
    for at, total in calm[1:]:
        since = None if total < bar else at if since is None else since
        if since is not None and at - since >= confirm:
            return 1.0
    return 0.0


def _calm(one: Seen, seen: Sequence[Seen]) -> float | None:
    """The total of an EDSS that no relapse of the 30 days before touches; None for all others."""
    if one.instrument != "edss" or one.values.get("edss_relapse_30d") == "yes":
        return None
    onsets = [(at, _slack(other.values, "onset")) for other in seen if other.instrument == "relapse" and (at := number(other.values, "onset_day")) is not None]
    near = any(0 <= one.day - at <= 30 for at, slack in onsets if slack == 0)
    return None if near else number(one.values, "edss_total")


def composite(day: int, seen: Sequence[Seen]) -> dict[str, float | None]:
    """The three z-scores of the functional composite and their mean, against the reference set recorded at this visit (myelin-msfc-1).

    The walk's z is turned round, so that in all three a lower score is worse; the hand's is of the mean of both hands' inverse times.
    """
    here = {one.instrument: one.values for one in seen if one.day == day and one.instrument in ("msfc", "t25fw", "nhpt", "pasat")}
    reference = here.get("msfc")
    if reference is None:
        return {}
    walk = of_record("t25fw", here.get("t25fw", {})).get("t25fw_mean")
    hands = of_record("nhpt", here.get("nhpt", {}))
    hand = sum(1 / time for time in hands.values()) / 2 if len(hands) == 2 else None
    pasat = here.get("pasat", {})
    cognition = number(pasat, "correct") if pasat.get("interval") == "3" else None
    z = {
        "msfc_walk_z": _z(walk, reference, "t25fw", -1),
        "msfc_hand_z": _z(hand, reference, "nhpt_inverse"),
        "msfc_cognition_z": _z(cognition, reference, "pasat"),
    }
    parts = [one for one in z.values() if one is not None]
    return {**z, "msfc_z": round(sum(parts) / 3, 3) if len(parts) == 3 else None}


def _z(value: float | None, reference: Values, name: str, sign: int = 1) -> float | None:
    mean, deviation = number(reference, f"{name}_mean"), number(reference, f"{name}_sd")
    return None if value is None or mean is None or not deviation else round(sign * (value - mean) / deviation, 3)
