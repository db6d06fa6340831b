"""A colour profile keeps its colours and loses its label; what cannot be read as one goes."""

from __future__ import annotations

import io

from PIL import ImageCms

from deid import colour, elements

ICC = 0x00282000


def described(raw: bytes) -> tuple[object, ...]:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(raw)).profile
    return profile.media_white_point, profile.red_colorant, profile.xcolor_space, profile.connection_space, profile.device_class


def test_the_colours_of_a_profile_stay_and_its_words_and_date_go(altered, clean):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for raw in (srgb, srgb.replace(b"\0s\0R\0G\0B", b"\0J\0o\0h\0n")):
        product, done = clean(altered(elements.Element(ICC, "OB", raw)))
        left = elements.read(product).top()[ICC].bytes
        assert described(left) == described(raw) and b"\0J\0o\0h\0n" not in left and b"lcms" not in left
        assert ImageCms.ImageCmsProfile(io.BytesIO(left)).profile.creation_date.year == 2000
        assert any(row["keyword"] == "ICCProfile" and row["done"] == "cleaned" for row in done.account["elements"])
        assert colour.rewrite(left) == left


def test_a_tag_that_is_no_colour_goes(altered, clean):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"bTRC", b"QUIB", 1)
    product, _ = clean(altered(elements.Element(ICC, "OB", srgb)))
    assert b"QUIB" not in product.read_bytes() and b"rTRC" in product.read_bytes()


def test_a_real_profile_stays_valid(mri):
    path = next((mri / "dicom" / "siemens_enh_xa30" / "14_DWI_dir80_PA").glob("0001*"))
    raw = elements.read(path).top()[ICC].bytes
    assert described(colour.rewrite(raw)) == described(raw)


def test_what_is_no_profile_goes(altered, clean):
    for raw in (b"Quibblewick " * 30, b"\0" * 36 + b"acsp" + b"\xff" * 200, b""):
        product, _ = clean(altered(elements.Element(ICC, "OB", raw)))
        left = elements.read(product).top().get(ICC)
        assert left is None or not left.bytes
