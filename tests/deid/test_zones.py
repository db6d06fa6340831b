"""Each profile takes what its name says and keeps what research needs; ears go down to their canals, chins below the template, and no brain is near."""

from __future__ import annotations

import numpy as np
import pytest

from deid import facezones, headfit
from spatial import templates
from spatial.template_masks import ellipsoid
from spatial.volumes import Volume

SIDES = (-1, 1)
MARGINS = {"pydeface": 11.8, "face": 5.0, "face-eyes-ears": 5.0}  # mm, as the documentation of facezones says


def share(profile: str, place: tuple[float, float, float], radii: tuple[float, float, float]) -> float:
    """Share of an ellipsoid of the template that a profile takes."""
    zone = facezones.zone(profile).data > 0
    return float(zone[ellipsoid(zone.shape, place, radii)].mean())


@pytest.mark.parametrize("profile", facezones.BITS)
def test_the_margin_to_the_brain_is_the_one_that_is_documented(profile: str) -> None:
    assert facezones.margin_mm(profile) == pytest.approx(MARGINS[profile], abs=0.1)
    assert f"`{profile}` ({MARGINS[profile]:.1f} mm" in str(facezones.__doc__)


def test_the_margin_is_one_that_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = facezones._drawn()
    data = drawn.data.copy()
    data[tuple(np.argwhere(templates.head().brain)[0])] |= facezones.BITS["face"]
    monkeypatch.setattr(facezones, "_drawn", lambda: Volume(data, drawn.affine))
    assert facezones.margin_mm("face") == 0 and facezones.margin_mm("pydeface") > 11


@pytest.mark.parametrize("side", SIDES)
def test_the_orbit_behind_the_globe_is_kept_for_the_optic_nerve_unless_the_whole_orbit_is_asked_for(side: int) -> None:
    nerve = (88 + side * 24, 177, 91), (3, 7, 3)
    globe = (88 + side * 31, 193, 97), (9, 9, 9)
    lid = (88 + side * 31, 209, 97), (6, 3, 4)
    assert share("face", *nerve) == 0 and share("face-eyes-ears", *nerve) > 0.9
    assert share("face", *globe) < 0.6 and share("face-eyes-ears", *globe) > 0.9
    assert share("face", *lid) == share("face-eyes-ears", *lid) == 1
    assert share("pydeface", *lid) < 0.5, "pydeface's mask leaves the lids"


@pytest.mark.parametrize("side", SIDES)
def test_an_ear_goes_with_the_bowl_under_it_and_the_rim_of_its_canal(side: int) -> None:
    rim, helix = (88 + side * 66, 122, 72), (88 + side * 74, 98, 86)
    for place in (rim, helix):
        assert share("face", place, (2, 4, 4)) > 0.95
        assert share("pydeface", place, (2, 4, 4)) == 0
    inner = (88 + side * 44, 120, 74), (3, 3, 3)
    assert share("face-eyes-ears", *inner) == 0, "the inner ear stays"


def below(profile: str) -> np.ndarray:
    """What the profile takes in a plane 25 mm under the template, by looking up as defacing does."""
    zone = facezones.zone(profile)
    plane = np.zeros((*zone.shape[:2], 1), dtype=np.uint8)
    shift = np.eye(4)
    shift[2, 3] = -25
    return headfit.lookup(zone, Volume(plane, zone.affine @ shift), np.eye(4))[:, :, 0] > 0


def test_below_the_template_chin_and_jaw_go_and_the_neck_stays() -> None:
    ours, theirs = below("face"), below("pydeface")
    assert ours[88, 170:].all() and not theirs[88, 170]
    for side in SIDES:
        assert ours[88 + side * 45, 150:].all() and not theirs[88 + side * 45, 150]
    assert not ours[:, :140].any(), "throat, vertebrae and cord lie further back"


def test_what_one_profile_takes_the_stricter_one_takes_as_well() -> None:
    pydeface, face, strict = (facezones.zone(profile).data > 0 for profile in ("pydeface", "face", "face-eyes-ears"))
    assert not (pydeface & ~face).any() and not (face & ~strict).any()
    with pytest.raises(KeyError):
        facezones.zone("nobody")


@pytest.mark.parametrize("landmark", facezones.LANDMARKS)
def test_twelve_millimetres_of_skin_go_around_every_landmark(landmark: str) -> None:
    head = templates.head().head
    near = ellipsoid(head.shape, facezones.LANDMARKS[landmark], (12, 12, 12))
    from scipy import ndimage

    skin = near & head & ~ndimage.binary_erosion(head, border_value=1)
    if landmark in ("nose", "mouth", "chin", "brow", "forehead", "right_lid", "left_lid"):
        assert skin.any()
    assert (facezones.zone().data[skin] > 0).all()
