"""Pictures a person can look at: heads before and after defacing side by side, and the quality strip, fetched through the API as a steward would."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image as Pixels
from PIL import ImageDraw, ImageFont

from client.errors import ClientError
from client.records import Image
from registry.management.demo.stage import Stage

EACH = {"T1w": 2, "T2w": 1, "FLAIR": 1}


def draw(stage: Stage, images: list[Image]) -> int:
    """Write a pair for some images, and the quality strip of those and of every failed one, into `pictures/`. Returns how many PNG files were written."""
    folder, count, left = stage.folder / "pictures", 0, dict(EACH)
    for image in sorted(images, key=lambda i: i.bids_path):
        chosen = left.get(image.suffix, 0) > 0
        if not chosen and image.grade != "fail":
            continue
        left[image.suffix] = left.get(image.suffix, 0) - 1
        name = Path(image.bids_path).name.split(".")[0]
        count += pair(stage, image, folder / f"{name}_before_and_after_defacing.png")
        count += one(stage, image.pictures.get("quality"), folder / f"{name}_quality.png")
    return count


def pair(stage: Stage, image: Image, path: Path) -> int:
    """The head before (review zone, for the steward's eyes) and after, side by side. 0 when one of them is not there."""
    reviews = image.pictures.get("review") or []
    before = fetched(stage, reviews[0] if reviews else None)
    after = fetched(stage, image.pictures.get("after"))
    if before is None or after is None:
        return 0
    height = 24 + max(before.height, after.height)
    sheet = Pixels.new("RGB", (before.width + after.width + 12, height), "black")
    sheet.paste(before, (0, 24))
    sheet.paste(after, (before.width + 12, 24))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    pen.text((6, 3), "before", fill="white", font=font)
    pen.text((before.width + 18, 3), "after", fill="white", font=font)
    sheet.save(path)
    return 1


def one(stage: Stage, address: str | None, path: Path) -> int:
    found = fetched(stage, address)
    if found is None:
        return 0
    found.save(path)
    return 1


def fetched(stage: Stage, address: str | None) -> Pixels.Image | None:
    """The PNG at an address of the API, or None when the registry has none."""
    if not address:
        return None
    try:
        return Pixels.open(io.BytesIO(stage.steward.picture(address))).convert("RGB")
    except ClientError:
        return None
