"""A real browser hands in a folder: complete is said when both sides have the same hashes, a closed tab loses nothing, and no name leaves the desk."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from registry.intake import actions, quarantine
from registry.intake.models import Piece, Upload, UploadFile
from tests.registry.upper.portal.browsing import Browsing

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.needs("chromium", "shared-data")]
NAME = "Jensen^Anna_0101804321"


@pytest.fixture
def folder(mri: Path, tmp_path: Path) -> Path:
    """A few real scans in folders whose names name somebody, and one file that is larger than a chunk."""
    root = tmp_path / f"{NAME} export"
    scans = sorted((mri / "dicom" / "ge_bold").rglob("*"))
    for n, scan in enumerate([one for one in scans if one.is_file()][:12]):
        place = root / f"{NAME} {n % 2}" / "scan ünd blick"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(scan, place / f"{NAME}_{n:04d}.dcm")
    (root / f"{NAME} notes.bin").write_bytes(b"".join(hashlib.sha256(bytes([n % 251, n // 251])).digest() * 64 for n in range(9 * 512)))
    return root


def shas(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()}


def listen(page: Any) -> list[tuple[str, str, str]]:
    """Every request of a page from now on: method, address, all that it said, and what its metadata mean."""
    heard: list[tuple[str, str, str]] = []

    def hear(one: Any) -> None:
        words = [base64.b64decode(pair.split(" ")[1]).decode() for pair in one.headers.get("upload-metadata", "").split(",") if " " in pair]
        heard.append((one.method, one.url, f"{unquote(one.url)} {one.headers} {words} {one.post_data_buffer!r}"))

    page.context.on("request", hear)
    return heard


def choose(page: Any, house: Any, folder: Path, at: str = "") -> None:
    page.goto(at or f"/hand-in/new?where={house.dataset.slug}/{house.site.code}")
    page.wait_for_selector("#choose:visible")
    page.set_input_files("#folder", folder)
    page.wait_for_selector("#start:enabled")


def waited(page: Any, true: Callable[[], Any], seconds: float = 20) -> Any:
    """What becomes true while the browser's own events go on."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, page.inner_text("main")
        page.wait_for_timeout(50)
    return found


def test_a_folder_is_handed_in_and_complete_when_both_sides_agree(browse: Browsing, house: Any, carried: Any, folder: Path, axe: Any, caplog: Any) -> None:
    page = browse(house.contributor)
    heard = listen(page)
    choose(page, house, folder)
    assert axe(page) == []
    page.click("#start")
    upload = waited(page, lambda: Upload.objects.filter(state="received").first())
    page.wait_for_selector("#where:has-text('nothing is complete')")  # all is sent, and nobody has looked at it yet
    assert page.get_attribute("#hand-in", "data-complete") is None
    assert carried.really("sort") == 1
    page.wait_for_selector("#hand-in[data-complete]")
    assert "Complete: all 13 files" in page.inner_text("#where")
    here = shas(folder)
    stored = [hashlib.sha256(path.read_bytes()).hexdigest() for path in quarantine.folder(upload.pk).rglob("*") if path.is_file()]
    assert sorted(stored) == sorted(here.values()) == sorted(UploadFile.objects.filter(upload=upload).values_list("sha256", flat=True))
    assert {piece.kind for piece in Piece.objects.filter(upload=upload)} == {"bundle", "file"}
    page.wait_for_selector("#receipt:visible")
    assert axe(page) == []
    with page.expect_download() as down:
        page.click("#receipt-csv")
    rows = list(csv.DictReader(io.StringIO(Path(down.value.path()).read_text("utf-8-sig"))))
    assert {row["path"]: row["sha256"] for row in rows} == here and all(row["verdict"] for row in rows)
    assert [line for line in heard if "patch" in line[0].lower()] and not [line for line in heard if "Jensen" in line[2] or "blick" in line[2]]
    assert "Jensen" not in caplog.text


def test_a_closed_tab_loses_nothing_and_the_receipt_is_joined_later(browse: Browsing, house: Any, carried: Any, folder: Path, axe: Any) -> None:
    page = browse(house.contributor)
    page.context.route("**/tus/*", lambda route: None if Piece.objects.filter(state="done").exists() else route.continue_())  # then the line hangs
    choose(page, house, folder)
    page.click("#start")
    waited(page, lambda: Piece.objects.filter(state="done").exists() and Piece.objects.count() == 2)
    page.close(run_before_unload=False)
    upload = Upload.objects.get()
    kept = set(Piece.objects.filter(state="done").values_list("number", flat=True))
    page = browse(house.contributor)
    heard = listen(page)
    page.goto("/hand-in")
    page.click("text=Choose the folder again and continue")
    page.wait_for_selector("#choose:visible")
    page.set_input_files("#folder", folder)
    page.wait_for_selector("#start:enabled")
    page.click("#start")
    waited(page, lambda: Upload.objects.get().state == "received")
    begun = [line for line in heard if line[0] == "POST" and line[1].endswith("/tus")]
    assert len(begun) <= 2 - len(kept)  # what was under way may have arrived after all; what arrived is never begun again
    page.wait_for_selector("#where:has-text('nothing is complete')")
    assert carried.really("sort") == 1
    page.wait_for_selector("#hand-in[data-complete]")
    page.goto(f"/uploads/{upload.pk}")
    assert axe(page) == []
    page.set_input_files("#folder", folder)
    page.wait_for_selector("#receipt:visible")
    assert "now has your names" in page.inner_text("#join-status") and f"{NAME}_0003.dcm" in page.inner_text("#receipt-rows")
    (folder / f"{NAME} notes.bin").write_bytes(b"something else")
    page.reload()
    page.set_input_files("#folder", folder)
    waited(page, lambda: "not the folder" in page.inner_text("#join-status"))
    assert not [line for line in heard if "Jensen" in line[2]]


def test_every_page_of_handing_in_stands_before_axe_and_fits_a_telephone(browse: Browsing, house: Any, carried: Any, axe: Any) -> None:
    from tests.registry.upper.conftest import DAY, volume

    person = house.person(patient_id="A-1")
    house.image(person, house.visit(person))
    upload = actions.begin_upload(house.contributor, house.dataset, house.site)
    for n, body in enumerate([volume("1"), volume("2"), b"junk"], 1):
        actions.receive_file(house.contributor, upload, n, "1", io.BytesIO(body), len(body), hashlib.sha256(body).hexdigest())
    upload = actions.complete_upload(house.contributor, upload, 3, sum(upload.files.values_list("bytes", flat=True)))
    carried.sort(str(upload.pk), ["no_identity", ("A-1", DAY), "junk"])
    place = f"/hand-in/{house.dataset.slug}/{house.site.code}"
    waiting = upload.studies.get(state="waiting").pk
    page = browse(house.contributor, width=360)
    for path in (
        "/hand-in", f"/hand-in/new?where={house.dataset.slug}/{house.site.code}", f"{place}/people", f"{place}/paste/consents", f"{place}/tables",
        f"/participants/{person.pk}", f"/participants/{person.pk}/withdraw", f"/uploads/{upload.pk}", f"/studies/{waiting}",
    ):  # fmt: skip
        page.goto(path)
        for one in page.query_selector_all("details"):
            one.evaluate("node => { node.open = true }")
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_the_browser_orders_numbers_bundles_and_guesses_as_the_others_do(browse: Browsing, house: Any, tmp_path: Path) -> None:
    """Paths in the order of their bytes, headers as the server makes them, words of names as the command line takes them."""
    from client import said
    from pipeline import bundle

    names = [
        "b/2.nii.gz",
        "b/2_lesionseg.nii.gz",
        "b/2.json",
        "ä/FLAIR_x.nii",
        "\U0001f9e0/1",
        "\uff5e/1",
        "a/b/c/d/e/f/g/h/i/j/k/l/m/n/o",
        "a/b/1",
        "Z/T1w.nii",
        "Z/sub-1_space-MNI152NLin2009cAsym_T1w.nii.gz",
        "Z/sub-1_space-Hansen_T1w.nii.gz",
    ]
    lists = actions.words()
    page = browse(house.contributor)
    told = page.evaluate(
        """async ([names, lists]) => {
            const {numbered, pieces} = await import('/static/portal/handing/order.js');
            const {header, bundle} = await import('/static/portal/handing/bundle.js');
            const {guessed} = await import('/static/portal/handing/said.js');
            const entries = numbered(names.map((path) => ({path, file: new File([path], 'x')})));
            const said = guessed(entries.map((one) => one.path), lists);
            const made = pieces(entries, said);
            const tar = await bundle(made.find((one) => one.kind === 'bundle').entries, async (one) => new Uint8Array(await one.file.arrayBuffer()));
            const small = Array.from({length: 250}, (_, n) => ({path: `${n}`.padStart(4, '0'), file: {size: n % 3 ? 100 : 9 << 20}}));
            return {
                order: entries.map((one) => [one.number, one.path, one.folder]), said: [...said], headers: entries.map((one) => [...header(one)]),
                bundles: made.map((one) => [one.kind, one.entries.map((entry) => entry.number)]), tar: [...tar],
                sizes: pieces(numbered(small)).map((one) => [one.kind, one.entries.length]),
            };
        }""",
        [names, {key: list(value) for key, value in lists.items()}],
    )
    assert [path for _, path, _ in told["order"]] == sorted(names, key=lambda name: name.encode())
    assert all(folder.count(".") < 12 for _, _, folder in told["order"]) and {path: folder for _, path, folder in told["order"]}["a/b/1"] == "2.1"
    for (number, path, folder), header in zip(told["order"], told["headers"], strict=True):
        assert bytes(header) == bundle.header(number, len(path.encode()), folder)
    numbers = {number: tmp_path / path for number, path, _ in told["order"]}
    guesses = {number: {key: str(value) for key, value in words.items()} for number, words in told["said"]}
    assert guesses == {number: words for number, words in said.of(tmp_path, numbers, lists).items() if words}
    first = next(numbers for kind, numbers in told["bundles"] if kind == "bundle")
    files = [(number, folder, path.encode()) for number, path, folder in told["order"] if number in first]
    assert bytes(told["tar"]) == b"".join(bundle.header(n, len(b), f) + b + bytes(-len(b) % 512) for n, f, b in files) + bundle.END
    assert [size for kind, size in told["sizes"] if kind == "bundle"] == [100, 66] and sum(kind == "file" for kind, _ in told["sizes"]) == 84


def test_what_has_no_room_is_refused_before_the_first_byte_and_plain_http_at_once(browse: Browsing, house: Any, tmp_path: Path, settings: Any) -> None:
    from tests.registry.upper.conftest import volume

    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "x_T1w.nii.gz").write_bytes(volume("x") * 400)
    (tmp_path / "scans" / "x_T1w_lesionseg.nii.gz").write_bytes(volume("y"))
    settings.MYELIN_MAX_UPLOAD_MB = 1
    page = browse(house.contributor)
    choose(page, house, tmp_path / "scans")
    assert page.eval_on_selector_all("#masks-rows select", "all => all.map(one => one.value)") == ["", "T1w", "", "", "lesion", "", "", ""]
    assert "x_T1w.nii.gz" in page.inner_text("#masks-rows tr:nth-child(2) td:last-child")
    page.click("#start")
    page.wait_for_selector("#again:visible")
    assert "more than this registry takes" in page.inner_text("#problem") and not Upload.objects.exists()
    settings.MYELIN_MAX_UPLOAD_MB = 100
    page.click("#again")
    waited(page, lambda: Upload.objects.filter(state="received").exists())
    assert list(UploadFile.objects.order_by("number").values_list("annotation", "said")) == [("", {"contrast": "T1w"}), ("lesion", {"beside": 1})]
    plain = browse(house.contributor)
    plain.add_init_script("Object.defineProperty(window, 'isSecureContext', {value: false})")
    plain.goto(f"/hand-in/new?where={house.dataset.slug}/{house.site.code}")
    plain.wait_for_selector("#insecure:visible")
    assert "plain HTTP" in plain.inner_text("#insecure") and not plain.is_visible("#folder")
