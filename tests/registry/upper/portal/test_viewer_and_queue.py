"""A real browser: the viewer has drawn a volume and not only a canvas, and the queue is worked through by keyboard alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import time
from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from numpy.typing import NDArray
from PIL import Image as Picture

from registry.audit.models import Line
from registry.imaging import store
from registry.imaging.models import Image
from tests.registry.upper.portal.browsing import Browsing

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.needs("chromium")]


def packed(voxels: NDArray[Any]) -> bytes:
    image = nib.Nifti1Image(voxels, np.diag([4.0, 4, 4, 1]))
    image.header.set_xyzt_units("mm", "sec")
    return gzip.compress(image.to_bytes(), mtime=0)


def head() -> tuple[bytes, bytes]:
    """A bright ball with a texture, and a mask of a part of it."""
    x, y, z = np.indices((40, 40, 40)) - 20
    ball = x**2 + y**2 + z**2 < 16**2
    voxels = (ball * (300 + 40 * ((x // 4 + y // 4 + z // 4) % 3))).astype(np.int16)
    mask = ((x - 4) ** 2 + y**2 + z**2 < 7**2).astype(np.uint8)
    return packed(voxels), packed(mask)


def keep(image: Image, path: str, kind: str, data: bytes) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    store.put(image.visit.participant, data, sha256)
    image.files.create(path=path, kind=kind, sha256=sha256, bytes=len(data))


def scan(house: Any) -> Image:
    """A proposed head with a mask that was drawn on it."""
    volume, mask = head()
    image: Image = house.image(house.person(), state="proposed")
    image.files.all().delete()
    keep(image, image.bids_path, "image", volume)
    lesion = house.image(image.visit.participant, image.visit, suffix="mask")
    lesion.files.all().delete()
    path = f"derivatives/annotations/{image.bids_path.replace('_T1w', '_space-T1w_label-lesion_mask')}"
    keep(lesion, path, "annotation", mask)
    keep(lesion, path.replace("nii.gz", "json"), "sidecar", json.dumps({"Sources": [f"bids:raw:{image.bids_path}"]}).encode())
    return image


def arrive(browse: Browsing, user: Any) -> Any:
    """Somebody's page, as after password, code and stepping up."""
    page = browse(user)
    session = SessionStore(next(one["value"] for one in page.context.cookies() if one["name"] == settings.SESSION_COOKIE_NAME))
    session.update({"myelin_factor": str(user.pk), "myelin_stepped_up": int(time.time())})
    session.save()
    return page


def pixels(page: Any) -> NDArray[np.float64]:
    """What a person sees of the canvas."""
    page.wait_for_timeout(300)  # the next frame
    return np.asarray(Picture.open(io.BytesIO(page.locator("#canvas").screenshot())).convert("RGB"), dtype=np.float64)


def redness(picture: NDArray[np.float64]) -> float:
    return float(np.clip(picture[..., 0] - picture[..., 1], 0, None).sum())


def test_the_viewer_draws_the_volume_and_its_mask(browse: Browsing, house: Any, axe: Callable[[Any], list[str]]) -> None:
    image = scan(house)
    page = arrive(browse, house.steward)
    page.goto(f"/images/{image.pk}")
    page.wait_for_selector("#viewer[data-state]", timeout=30_000)
    assert page.get_attribute("#viewer", "data-state") == "drawn" and "drawn" in page.inner_text("#viewer-said")
    first = pixels(page)
    bright = first.max(axis=2) > 60
    assert 0.02 < bright.mean() < 0.9 and first[bright].std() > 10  # something stands before the background, and has a texture
    half = redness(first)
    page.locator("#opacity").focus()
    page.keyboard.press("End")
    full = redness(pixels(page))
    page.keyboard.press("Home")
    none = redness(pixels(page))
    assert full > half * 1.2 and half > none * 1.2, (none, half, full)
    before = pixels(page)
    page.locator('[data-axis="2"]').focus()
    page.keyboard.press("Home")
    assert np.abs(pixels(page) - before).mean() > 1  # another slice
    page.locator('[name="plane"][value="4"]').check()
    turned = pixels(page)
    assert turned.max(axis=2).std() > 5 and np.abs(turned - before).mean() > 1  # in three dimensions
    assert axe(page) == []
    assert set(Line.objects.filter(act="image.view").values_list("detail__kind", flat=True)) == {"image", "annotation"}


def test_without_webgl_the_picture_and_the_words_stand_in(browse: Browsing, house: Any) -> None:
    image = scan(house)
    page = arrive(browse, house.steward)
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(f"/images/{image.pk}")
    page.wait_for_function("document.getElementById('viewer-said').textContent.includes('WebGL')")
    assert page.is_hidden("#canvas") and "40 by 40 by 40 voxels" in page.inner_text("#words")
    assert not Line.objects.filter(act="image.view").exists()


def test_the_queue_is_worked_through_by_keyboard_alone(browse: Browsing, house: Any, axe: Callable[[Any], list[str]]) -> None:
    images = [house.image(house.person(), state="proposed") for _ in range(5)]
    page = arrive(browse, house.steward)
    page.goto("/queue")
    assert axe(page) == []
    keys = page.keyboard
    keys.press("j")
    keys.press("a")  # the first is accepted
    page.wait_for_selector("text=The image was accepted.")
    keys.press("j")  # where the first was is the second; on to the third
    keys.press("r")
    keys.type("aardvark? motion")  # letters that are keys are typed
    keys.press("Enter")
    page.wait_for_selector("text=its site reads the reason")
    keys.press("k")
    keys.press("s")
    keys.type("Which visit?")
    keys.press("Enter")
    page.wait_for_selector("text=went back to its site, which is told")
    states = [Image.objects.get(pk=image.pk).state for image in images]
    assert states == ["accepted", "returned", "refused", "proposed", "proposed"]
    assert Image.objects.get(pk=images[2].pk).reason == "aardvark? motion"
    keys.press("?")
    assert page.is_visible("#keys-on")
    page.locator("#keys-on").focus()
    keys.press("Space")
    page.goto("/queue")  # switched off, and it stays so
    page.locator("#queue > li").first.focus()
    keys.press("a")
    page.wait_for_timeout(300)
    assert Image.objects.filter(state="accepted").count() == 1
    page.locator("#keys > summary").focus()
    keys.press("Enter")
    page.locator("#keys-on").focus()
    keys.press("Space")
    page.locator("#queue > li").first.focus()
    keys.press("Enter")
    page.wait_for_url(f"**/images/{images[3].pk}?from=queue")
