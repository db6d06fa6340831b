"""The steps of the hospital and of the steward in the whole story: each presses what a page offers, and needs what it should then say."""

from __future__ import annotations

import hashlib
from typing import Any

from portal_story_desk import WORK_S, drawn, need

PLACE = "/hand-in/sheath/nordvik"
DAY = "2021-09-14"


def stranger(told: Any) -> None:
    page = told.anybody()
    told.gallery.take(page, "start")
    page.goto("/datasets")
    need("Sheath trial" in page.inner_text("main"), "the catalogue does not name the dataset")
    told.gallery.take(page, "catalogue-of-a-stranger")
    page.goto("/queue")
    need(page.locator("input[type=password]").count(), "a stranger is not asked to sign in")


def contributor_arrives(told: Any) -> None:
    desk = told.contributor
    desk.go("/sign-in")
    desk.shot("sign-in")
    desk.sign_in()
    desk.shows("What you can do here")
    desk.shot("start-of-the-contributor")
    desk.follow("Your account")
    desk.shows("Sheath trial, Nordvik hospital")
    desk.shot("account-of-the-contributor")
    desk.follow("Hand in")
    desk.shot("hand-in-empty")


def registers(told: Any) -> None:
    """Three tables, each looked at before it is taken."""
    desk, people, visits, consents = told.contributor, ["patient_id\tissuer\tsex\tbirth_year_band"], ["participant\tissuer\tvisit\tdate"], []
    consents.append("participant\tissuer\tkind\tpermission\tmodifiers\ttransfer\talso\tevidence_sha256")
    for one in told.cast:
        low = one.birth_date.year // 5 * 5
        people.append("\t".join([one.source_id, one.issuer, one.sex, f"{low}-{low + 4}"]))
        visits.append("\t".join([one.source_id, one.issuer, "m00", DAY]))
        paper = hashlib.sha256(f"signed by {one.name}".encode()).hexdigest()
        also = " ".join(name for name in ("commercial", "ai_training") if getattr(one.consent, name))
        consents.append(
            "\t".join([one.source_id, one.issuer, "given", one.consent.permission, " ".join(one.consent.modifiers), one.consent.transfer, also, paper])
        )
    for kind, rows in (("people", people), ("visits", visits), ("consents", consents)):
        desk.go(f"{PLACE}/people")
        desk.follow({"people": "Participants from a table", "visits": "Visits from a table", "consents": "Consents from a table"}[kind])
        desk.fill("Table", "\n".join(rows))
        desk.press("Look at it")
        desk.shows("3 rows can be taken")
        desk.shot(f"paste-{kind}")
        desk.press("Take it")
        desk.shows("3 rows were taken")
    desk.shot("participants")


def hands_in(told: Any) -> None:
    desk = told.contributor
    desk.go("/hand-in")
    desk.press("Choose files")
    desk.page.wait_for_selector("#choose:visible")
    desk.shot("choose-a-folder")
    desk.page.set_input_files("#folder", told.scans)
    desk.page.wait_for_selector("#start:enabled")
    desk.shot("chosen")
    desk.page.click("#start")
    desk.page.wait_for_selector("#progress:visible")
    desk.shot("sending")
    desk.page.wait_for_selector("#hand-in[data-complete]", timeout=WORK_S * 1000)
    desk.page.wait_for_selector("#receipt:visible")
    files = sum(1 for path in told.scans.rglob("*") if path.is_file())
    desk.shows(f"Complete: all {files} files")
    desk.shot("complete-with-receipt")


def sees_grouping(told: Any) -> None:
    desk = told.contributor
    desk.page.click("#next")
    desk.page.wait_for_load_state()
    desk.shows("1 study waits for you")
    told.seen["upload"] = desk.page.url
    desk.shot("grouping")
    desk.page.locator("#waiting ~ form th a, section[aria-labelledby=waiting] th a").first.click()
    desk.shows("Say whose it is")
    desk.shot("study-that-waits")
    told.gallery.phone(desk.page, "study-that-waits")


def images_come(told: Any) -> None:
    desk = told.contributor
    desk.go("/images")
    desk.until(lambda: desk.page.locator("main tbody tr").count() == 3, "three images")
    desk.shot("images-of-the-contributor")
    desk.go(told.seen["upload"])
    desk.shot("grouping-when-converted")
    desk.go("/images")
    desk.page.locator("main tbody th a").first.click()
    drawn(desk.page)
    desk.shot("image-of-the-contributor")


def steward_arrives(told: Any) -> None:
    desk = told.steward
    desk.sign_in()
    desk.shows("Set up an authenticator")
    desk.shot("set-up-an-authenticator")
    desk.secret = desk.page.locator("main ol code").inner_text()
    desk.fill("Code", desk.code())
    desk.press("Set it up")
    desk.shows("Your recovery codes")
    desk.shot("recovery-codes")
    desk.follow("I have written them down")
    desk.follow("To decide")
    desk.shot("queue")
    told.gallery.phone(desk.page, "queue")


def looks(told: Any) -> None:
    desk = told.steward
    desk.page.locator("#queue li[data-kind=image] a.open, #queue li[data-kind=doubt] a.open").first.click()
    told.seen["bright"] = drawn(desk.page)
    desk.shot("image")
    told.gallery.phone(desk.page, "image")
    drawn(desk.page)
    desk.page.locator('[name="plane"][value="4"]').check()
    desk.page.wait_for_timeout(1500)
    told.gallery.part(desk.page.locator("#viewer"), "image-in-3d")


def compares(told: Any) -> None:
    """The faces are shown after stepping up, and they are pictures that differ."""
    desk = told.steward
    desk.follow("Before and after")
    desk.step_up("step-up")
    pair = desk.page.locator(".pair img")
    need(pair.count() >= 2, "there is no pair of pictures")
    for n in range(pair.count()):
        pair.nth(n).scroll_into_view_if_needed()
        end = 100
        while not pair.nth(n).evaluate("one => one.complete && one.naturalWidth") and (end := end - 1):
            desk.page.wait_for_timeout(100)
        need(pair.nth(n).evaluate("one => one.naturalWidth") > 50, "a rendered surface does not load")
    need(pair.first.screenshot() != pair.last.screenshot(), "before and after are the same picture")
    desk.shot("before-and-after")


def accepts(told: Any) -> None:
    """The oldest first; where an image is in doubt it is opened, looked at and accepted with a note."""
    desk = told.steward
    for _ in range(6):
        desk.go("/queue")
        waiting = desk.page.locator("#queue > li[data-kind=image], #queue > li[data-kind=doubt]")
        if not waiting.count():
            break
        kind = waiting.first.get_attribute("data-kind")
        if kind == "image":
            waiting.first.locator("form.accept button").click()
        else:
            waiting.first.locator("a.open").click()
            if desk.page.get_by_role("link", name="Before and after").count():
                desk.follow("Before and after")
                desk.step_up()
            desk.fill("Note or reason", "Looked at: no face is left.")
            desk.press("Accept")
        desk.page.wait_for_load_state()
        desk.step_up()
        desk.shows("The image was accepted.")
        told.seen["accepted"] = told.seen.get("accepted", 0) + 1
    need(told.seen.get("accepted") == 3, f"{told.seen.get('accepted')} images were accepted, not 3")
    desk.go("/queue")
    desk.shot("queue-when-accepted")


def freezes(told: Any) -> None:
    desk = told.steward
    desk.follow("Releases")
    desk.follow("Sheath trial")
    desk.fill("What is new in it", "First release")
    desk.press("See what it would hold")
    desk.step_up()
    desk.shows("would hold 3 participants")
    desk.shot("release-as-it-would-be")
    desk.press("Freeze the release")
    desk.step_up()
    desk.until(lambda: "One is under way" not in desk.text(), "the release")
    desk.shows("valid: can be given out")
    desk.shot("release-valid")


def decides(told: Any) -> None:
    desk = told.steward
    desk.go("/queue")
    desk.shows("Lesion detection for a product")
    desk.follow("Lesion detection for a product")
    desk.shows("permits")
    desk.shows("denies")
    desk.shot("request-to-decide")
    told.gallery.phone(desk.page, "request-to-decide")
    desk.fill("Reason, or question", "The purpose is sound.")
    desk.press("Grant what is ticked")
    desk.step_up()
    desk.shows("The request was granted.")
    desk.shot("request-granted")


def withdraws(told: Any) -> None:
    """The second of the cast leaves: found by the site's own identifier, and the label is typed."""
    desk, leaves = told.contributor, told.cast[1]
    desk.go(f"{PLACE}/people")
    desk.fill("Find by label or by your own identifier", leaves.source_id)
    desk.fill("Issuer of the identifier, if it has one", leaves.issuer)
    desk.press("Find")
    need("/participants/" in desk.page.url, "the person is not found by the identifier that the site gave")
    told.seen["left"] = desk.page.inner_text("h1").strip()
    desk.shot("participant")
    desk.follow("Withdraw this participant")
    desk.step_up("withdraw-step-up")
    desk.fill("Type the label of the participant", told.seen["left"].removeprefix("sub-"))
    desk.shot("withdraw")
    desk.press("Withdraw this participant")
    desk.shows("Consent has ended")
    desk.shot("participant-who-left")
    desk.follow("How far it is, and the certificate")
    told.seen["withdrawal"] = desk.page.url
    desk.shows("A participant has left")
    desk.shot("withdrawal")


def certified(told: Any) -> None:
    desk = told.contributor
    desk.go(told.seen["withdrawal"])
    desk.until(lambda: "Open the certificate" in desk.text(), "the certificate")
    desk.shot("withdrawal-done")
    desk.follow("Open the certificate")
    desk.shot("certificate")
    steward = told.steward
    steward.go("/releases/sheath")
    steward.until(lambda: "One is under way" not in steward.text(), "the next release")
    need(steward.page.locator("main tbody tr").count() == 2, "there is no second release")
    need("valid: can be given out" in steward.page.locator("main tbody tr").first.inner_text(), "the second release is not valid")
    steward.shot("releases-after-the-departure")
