"""Time moves, and nothing that was computed from it changes: order, differences, intervals between days, over midnight and over years."""

from __future__ import annotations

import datetime

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from deid import dates, headers, moments, profile, pseudonyms
from deid.moments import Start

DAY, NOON = dates.DAY_US, dates.NOON_US
HOUR = DAY // 24
SINCE = datetime.date(1970, 1, 1)
KEY = pseudonyms.PseudonymKey(b"p" * 32)

moment = st.datetimes(datetime.datetime(1995, 1, 1), datetime.datetime(2040, 1, 1))
offset = st.integers(1, 3650)


def shift_of(start: datetime.datetime, days: int) -> dates.Shift:
    micro = (start - datetime.datetime.combine(start.date(), datetime.time())) // datetime.timedelta(microseconds=1)
    return dates.Shift(days, dates.clock_shift(micro, 0), start.date())


def dt(when: datetime.datetime) -> str:
    return when.strftime("%Y%m%d%H%M%S.%f")


def point(date: str, time: str) -> int:
    """Microseconds on one line, of a DA and a TM."""
    return (dates.parse_date(date) - SINCE).days * DAY + dates.parse_time(time)


# --- alone ---


@given(moment, offset, st.lists(st.integers(-12 * HOUR, 12 * HOUR - 1), min_size=1, max_size=5))
def test_within_twelve_hours_every_difference_survives_to_the_microsecond(start, days, gaps):
    """As a DT and as a DA with its TM, over midnight in both directions; and the first acquisition is at noon of its own day."""
    shift = shift_of(start, days)
    assert dates.move_datetime(dt(start), shift) == f"{start.date() - datetime.timedelta(days=days):%Y%m%d}120000.000000"
    for gap in gaps:
        then = start + datetime.timedelta(microseconds=gap)
        moved = dates.move_datetime(dt(then), shift)
        date, time = then.strftime("%Y%m%d"), then.strftime("%H%M%S.%f")
        pair = dates.move_date(date, shift, carry_days=dates.carry(date, time, shift)), dates.move_time(time, shift)
        noon = point(dates.move_date(start.strftime("%Y%m%d"), shift), "120000")
        assert point(moved[:8], moved[8:]) - noon == gap == point(*pair) - noon


@given(st.dates(datetime.date(1940, 1, 1), datetime.date(2090, 1, 1)), st.dates(datetime.date(1940, 1, 1), datetime.date(2090, 1, 1)), moment, offset)
def test_intervals_between_days_survive_over_any_number_of_years(one, other, start, days):
    shift = shift_of(start, days)
    moved = [dates.parse_date(dates.move_date(day.strftime("%Y%m%d"), shift)) for day in (one, other)]
    assert moved[1] - moved[0] == other - one and moved[0] == one - datetime.timedelta(days=days)


@given(moment, moment, offset)
def test_a_day_far_from_the_study_moves_by_the_offset_alone_whatever_its_hour(start, then, days):
    shift = shift_of(start, days)
    if abs(then - start) >= datetime.timedelta(hours=12):
        date, time = then.strftime("%Y%m%d"), then.strftime("%H%M%S.%f")
        assert dates.carry(date, time, shift) == 0
        assert dates.move_datetime(dt(then), shift)[:8] == dates.move_date(date, shift)


@given(st.text("0123456789.:+- /", max_size=30), st.integers(-DAY, DAY))
@settings(max_examples=300)
def test_what_does_not_parse_is_none_and_what_does_stays_valid(text, clock):
    shift = dates.Shift(100, clock, datetime.date(2020, 1, 1))
    for move, parse in ((dates.move_date, dates.parse_date), (dates.move_time, dates.parse_time), (dates.move_datetime, dates.parse_datetime)):
        moved = move(text, shift)
        assert (moved is None) == (parse(text) is None)
        assert moved is None or parse(moved) is not None


@given(st.integers(0, DAY - 1), st.integers(-DAY, DAY), st.integers(0, 6))
def test_a_time_keeps_its_digits_and_loses_none(micro, clock, digits):
    """A whole second stays one; a fraction gets more digits only where the shift has them."""
    micro -= micro % 10 ** (6 - digits)
    text = dates.format_time(micro, "000000" + ("." + "0" * digits if digits else ""))
    moved = dates.move_time(text, dates.Shift(1, clock))
    assert dates.parse_time(moved) == (micro + clock) % DAY
    assert len(moved.partition(".")[2]) >= digits and len(moved) <= 13
    if clock % 10 ** (6 - digits) == 0:
        assert len(moved) == len(text)


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("20190314", "20190304"),  # a DT that stops at the day
        ("2019031409", "20190304120000"),
        ("20190314093000.5+0100", "20190304123000.5"),  # the zone would betray the place; it goes
        ("201903", None),
        ("2019", None),
        ("20190230093000", None),
        ("20190314250000", None),
        ("0001010100", None),
    ],
)
def test_forms_of_a_datetime(text, moved):
    assert dates.move_datetime(text, dates.Shift(10, 3 * HOUR, datetime.date(2019, 3, 14))) == moved


# --- in files ---


def cleaned(tmp_path, sources, starts=None):
    """The sets as they come out, all of one study, in order."""
    paths = []
    for n, data in enumerate(sources):
        paths.append(tmp_path / f"in{n}.dcm")
        data.save_as(paths[-1], enforce_file_format=True)
    found = headers.study_starts([headers.identify(path) for path in paths])
    subject = headers.Subject("a" * 26, KEY, starts=starts or found)
    out = []
    for n, path in enumerate(paths):
        headers.clean_file(path, tmp_path / f"out{n}.dcm", subject, profile.load())
        out.append(pydicom.dcmread(tmp_path / f"out{n}.dcm"))
    return out


def at(data, date, time):
    data.AcquisitionDate = data.ContentDate = date
    data.AcquisitionTime = data.ContentTime = time
    return data


def line(data):
    return point(data.AcquisitionDate, data.AcquisitionTime)


def test_a_scan_over_midnight_keeps_its_order_and_its_study_day(mr, tmp_path):
    first, last = at(mr(n=1, date="20190314"), "20190314", "235930.25"), at(mr(n=2, date="20190314"), "20190315", "000030.75")
    before = line(last) - line(first)
    out = cleaned(tmp_path, [last, first])
    assert line(out[0]) - line(out[1]) == before == 60_500_000
    assert out[1].AcquisitionTime == "120000.00" and out[0].AcquisitionDate == out[1].AcquisitionDate == out[0].StudyDate == out[1].StudyDate
    assert out[0].ContentDate == out[0].AcquisitionDate


def test_time_since_contrast_survives_even_before_the_first_image(mr, tmp_path):
    data = at(mr(), "20190314", "000500.000")
    data.ContrastBolusAgent, data.ContrastBolusStartTime = "DOTAREM", "235900.000"
    out = cleaned(tmp_path, [data])[0]
    assert (dates.parse_time(out.AcquisitionTime) - dates.parse_time(out.ContrastBolusStartTime)) % DAY == 6 * 60 * 1_000_000


def test_the_study_starts_at_its_earliest_moment_in_any_file_and_any_frame(mr, tmp_path):
    """The earliest of all stands in a sequence of the file that says at its top to be the later one."""
    plain, deep = at(mr(n=1), "20190314", "094500.000"), at(mr(n=2), "20190314", "095000.000")
    item = Dataset()
    item.AcquisitionTime = "094200.000"
    deep.ReferencedImageSequence = Sequence([Dataset()])
    deep.ReferencedImageSequence[0].ReferencedSOPClassUID, deep.ReferencedImageSequence[0].ReferencedSOPInstanceUID = plain.SOPClassUID, plain.SOPInstanceUID
    block = deep.private_block(0x0021, "SIEMENS MR SDS 01", create=True)
    block.add_new(0xFE, "SQ", Sequence([item]))
    out = cleaned(tmp_path, [plain, deep])
    assert [data.AcquisitionTime for data in out] == ["120300.000", "120800.000"]


def test_frames_of_an_enhanced_object_set_the_clock(mri, tmp_path):
    path = next(p for p in sorted((mri / "dicom" / "siemens_enh_xa30").rglob("*")) if p.is_file() and "5_anat" in str(p))
    data = pydicom.dcmread(path)
    frames = [moments_in(item) for item in data.PerFrameFunctionalGroupsSequence]
    who = headers.identify(path)
    first = min(min(f) for f in frames)
    assert (who.start.date, who.start.micro) == dates.parse_datetime(first)
    headers.clean_file(path, tmp_path / "out.dcm", headers.Subject("a" * 26, KEY, starts=headers.study_starts([who])), profile.load())
    fresh = [moments_in(item) for item in pydicom.dcmread(tmp_path / "out.dcm").PerFrameFunctionalGroupsSequence]
    assert min(min(f) for f in fresh)[8:].startswith("120000")
    old, new = [[dates.parse_datetime(f[0]) for f in many] for many in (frames, fresh)]
    assert [(a[1] - old[0][1]) for a in old] == [(b[1] - new[0][1]) for b in new] and len(new) == len(old) > 1


def moments_in(item):
    return [str(content.FrameAcquisitionDateTime) for content in item.FrameContentSequence]


def test_a_capture_without_acquisition_does_not_set_the_clock(mr, tmp_path):
    capture = at(mr(n=1), "20190314", "090000")
    del capture.AcquisitionTime
    out = cleaned(tmp_path, [capture, at(mr(n=2), "20190314", "094500.000")])
    assert out[1].AcquisitionTime == "120000.000"
    assert cleaned(tmp_path, [capture])[0].ContentTime == "120000"  # alone, its content's time is all there is


def test_several_values_of_a_time_are_all_looked_at():
    from deid.elements import Element

    elements = [Element(0x00080022, "DA", b"20190314"), Element(0x00080032, "TM", b"100000\\093000.5")]
    assert moments.of(elements) == Start(datetime.date(2019, 3, 14), dates.parse_time("093000.5"))


@given(st.lists(st.tuples(st.dates(), st.integers(0, DAY - 1), st.booleans()), min_size=1, max_size=6), st.randoms())
def test_the_start_of_a_study_does_not_depend_on_the_order_of_its_files(found, draw):
    class One:
        study_uid = "1"

        def __init__(self, row):
            self.start = Start(*row)

    ones = [One(row) for row in found]
    expected = moments.study_starts(ones)
    draw.shuffle(ones)
    assert moments.study_starts(ones) == expected == {"1": min((one.start for one in ones), key=lambda s: s.order)}


def test_dates_of_devices_and_of_other_people_go_and_never_move(mr, tmp_path):
    data = mr()
    data.DateOfLastCalibration, data.TimeOfLastCalibration, data.DateOfManufacture = "20180102", "101112", "20100101"
    data.PatientBirthDate = "19620304"
    out = cleaned(tmp_path, [data])[0]
    for keyword in ("DateOfLastCalibration", "TimeOfLastCalibration", "DateOfManufacture"):
        assert keyword not in out
    assert not out.PatientBirthDate
