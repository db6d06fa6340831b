"""What is no whole MR image is refused for what it is, and in words that name nobody."""

from __future__ import annotations

import pytest

from deid import elements, errors, objects, profile


def refusal(data: bytes) -> str:
    with pytest.raises(errors.Refused) as caught:
        objects.gate(elements.parse(data))
    return caught.value.code


@pytest.mark.parametrize(
    ("sop", "code"),
    [("88.11", "structured_report"), ("104.1", "encapsulated_document"), ("11.1", "presentation_state"), ("66", "not_an_image"), ("2", "not_mr")],
)
def test_what_is_no_mr_image_is_refused_by_kind(mr, saved, sop, code):
    data = mr()
    assert objects.gate(elements.parse(saved(data).read_bytes())) == objects.MR_IMAGE
    data.SOPClassUID = objects.STORAGE + sop
    assert refusal(saved(data).read_bytes()) == code


def test_an_image_without_all_its_pixels_is_refused(mr, saved):
    data = mr()
    data.PixelData = data.PixelData[:-64]
    assert refusal(saved(data).read_bytes()) == "pixels_do_not_fit"
    del data.PixelData
    assert refusal(saved(data).read_bytes()) == "no_pixels"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_an_image_that_belongs_to_nothing_is_refused(mr, saved, keyword):
    data = mr()
    setattr(data, keyword, "")
    assert refusal(saved(data).read_bytes()) == "no_uids"


def test_no_refusal_text_holds_more_than_its_words():
    for code, (reason, advice) in errors.REFUSALS.items():
        assert code == code.lower() and reason.endswith(".") and advice.endswith(".")
    assert profile.load().version
