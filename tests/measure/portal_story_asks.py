"""The steps of the researcher in the whole story: from a count to a package that the key of the browser opens, and to the notice."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

from portal_story_desk import WORK_S, need


def counts(told: Any) -> None:
    desk = told.researcher
    desk.go("/datasets")
    desk.follow("Sheath trial")
    desk.shot("dataset")
    desk.sign_in()
    desk.follow("Datasets")
    desk.follow("Sheath trial")
    desk.follow("Build a cohort")
    desk.page.locator("#where-1").fill("Contrast: T1w")
    desk.page.wait_for_selector("#answer h2")
    desk.shot("cohort-counted")
    told.gallery.phone(desk.page, "cohort-counted")
    desk.page.fill("#cohort-name", "All with a T1w")
    desk.press("Keep this cohort")
    desk.shows("The cohort is kept")
    desk.shot("cohort")


def asks(told: Any) -> None:
    """For the whole dataset: of three people no count is told, and a cohort that is not told cannot be asked for."""
    desk = told.researcher
    desk.go("/datasets")
    desk.follow("Sheath trial")
    desk.follow("Ask for all of it")
    desk.fill("Title", "Lesion detection for a product")
    desk.fill("What you want to find out, and how", "A company tests how well its lesion counter works on scans of other hospitals.")
    desk.page.locator("[name=purpose][value=HMB]").check()
    desk.field("The use is commercial").check()
    desk.field("Our institution does not work for profit").uncheck()
    desk.shot("request-new")
    desk.press("Keep the draft")
    desk.shot("request-draft")
    desk.press("Hand it in")
    told.seen["request"] = desk.page.url
    desk.shot("request-handed-in")


def makes_key(told: Any) -> None:
    """In the browser; the private half is saved as a file, and never leaves it otherwise."""
    desk = told.researcher
    desk.go(told.seen["request"])
    desk.shot("request-story")
    desk.press("Make a key in this browser")
    desk.page.wait_for_selector("[data-key-file]:visible")
    with desk.page.expect_download() as down:
        desk.page.click("[data-key-file]")
    text = Path(down.value.path()).read_text("utf-8")
    told.seen["key"] = next(line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY"))
    desk.page.check("[data-key-saved]")
    told.gallery.part(desk.page.locator("#key"), "key", mask=[desk.page.locator("#key pre")])
    desk.press("Give this public key")
    desk.step_up()
    desk.shows("Packages are encrypted to this public key")


def signs(told: Any) -> None:
    desk = told.researcher
    desk.follow("Read and sign the agreement")
    desk.shot("agreement")
    desk.field("I have read the whole agreement, and I agree to it.").check()
    desk.press("Sign")
    desk.step_up()
    desk.go(told.seen["request"])
    desk.shows("You have access until")
    desk.shot("request-signed")


def has_built(told: Any) -> None:
    desk = told.researcher
    desk.follow("Packages")
    desk.shot("packages")
    desk.page.locator("main form button").first.click()
    desk.page.wait_for_load_state()
    desk.step_up()
    desk.shot("package-is-made")
    desk.page.wait_for_selector("#get", timeout=WORK_S * 1000)  # the page looks by itself
    told.seen["package"] = desk.page.url
    desk.shot("package-ready")
    told.gallery.phone(desk.page, "package-ready")


def decrypts(told: Any) -> None:
    """After stepping up; the key that the browser made opens it, and it holds the two whose consent allows it."""
    desk = told.researcher
    desk.go(told.seen["package"])
    people = download(told)
    need(len(people) == 2, f"the package holds {len(people)} participants, not 2")
    told.seen["people"] = people
    desk.go(told.seen["package"])


def download(told: Any) -> set[str]:
    import pyrage

    desk = told.researcher
    link = desk.page.locator("section[aria-labelledby=get] a").first
    with desk.page.expect_download(timeout=120_000) as down:
        if told.seen.get("stepped"):
            link.click(no_wait_after=True)
        else:
            link.click()
            desk.page.wait_for_selector("[name=step_up-password]")
            desk.shot("step-up-before-download")
            desk.page.fill("[name=step_up-password]", desk.password)
            desk.page.get_by_role("button", name="Go on").click(no_wait_after=True)
    told.seen["stepped"] = True
    sealed = Path(down.value.path()).read_bytes()
    need(sealed.startswith(b"age-encryption.org/v1"), "what was downloaded is not encrypted")
    plain = pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(told.seen["key"])])
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        return {part for name in tar.getnames() for part in name.split("/")[:2] if part.startswith("sub-")}


def refused(told: Any) -> None:
    desk = told.researcher
    answer = desk.page.goto(told.seen["package"] + "/download")
    need(answer.status == 410, f"the old package answers {answer.status}")
    desk.shot("old-package-refused")
    desk.go("/packages")
    desk.shot("packages-when-dead")


def attests(told: Any) -> None:
    desk = told.researcher
    desk.go("/notices")
    desk.until(lambda: "Somebody has left" in desk.text(), "the notice")
    desk.shot("notice")
    told.gallery.phone(desk.page, "notice")
    desk.field("I deleted every file that this notice names, from every copy.").check()
    desk.fill("What was deleted, and where", "All copies on our cluster, with its backups.")
    desk.press("Say that they are deleted")
    desk.step_up()
    desk.shows("that the files are deleted")
    desk.shot("notice-attested")


def again(told: Any) -> None:
    desk = told.researcher
    desk.go("/packages")
    desk.page.locator("main form button").first.click()
    desk.page.wait_for_load_state()
    desk.step_up()
    desk.page.wait_for_selector("#get", timeout=WORK_S * 1000)
    people = download(told)
    need(len(people) == 1 and told.seen["left"] not in people, f"the next package holds {len(people)} participants, not 1")
    desk.go("/requests")
    desk.shot("requests")
