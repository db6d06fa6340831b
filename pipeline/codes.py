"""Every verdict of the pipeline has a code that never changes, a sentence why, and a sentence what to do.

Codes of the rooms below (`deid`, `bidstree`, `qa`, `spatial`) come with their own errors. `docs/reference/codes.md` lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from deid.errors import REFUSALS

__all__ = ["CODES", "Refused", "Verdict", "kept", "verdict"]

Word = Literal["kept", "refused", "waiting", "failed"]

AGAIN = "Export the scan again from the scanner or the archive, and hand it in again."
TELL = "Nothing is wrong with the file as far as is known. Run it again; if it happens again, tell the maintainers the code and the line."
ALONE = "Unpack the archive yourself, look at what it holds, and hand in the scans."
APART = "Hand the file in on its own; if it is a real scan, tell the maintainers."
ASK = "Look up whose scan it is, and bind or refuse the study."

# code -> (verdict, reason, advice)
CODES: dict[str, tuple[Word, str, str]] = {
    "ok": ("kept", "", ""),
    # Files that are not read at all.
    "link": ("refused", "It is a link, and links are not followed.", "Hand in the file that it points to."),
    "not_a_file": ("refused", "It is a device, a pipe or a socket, not a file.", "Hand in regular files."),
    "empty_file": ("refused", "It holds no bytes.", AGAIN),
    "unreadable": ("failed", "The file system would not let it be read.", "Check the file's permissions and the disk, and run it again."),
    "changed": ("refused", "Its bytes are not those that were sorted.", "Hand in the upload again; nobody may change it in between."),
    "other_study": ("refused", "It belongs to another study than the order says.", "Nothing need be done by the site; tell the maintainers."),
    # Archives.
    "archive_damaged": ("refused", "The archive, or this member of it, is damaged.", "Pack it again, and hand it in again."),
    "archive_encrypted": ("refused", "The archive is locked with a password.", "Hand it in without a password; the way to us is encrypted."),
    "archive_bomb": ("refused", "It unpacks to far more than scans ever do.", ALONE),
    "archive_too_many": ("refused", "The archive holds more members than is allowed.", "Hand it in as several archives, or as a folder."),
    "archive_too_large": ("refused", "The archive unpacks to more than there is room for.", "Hand it in as several archives, or as a folder."),
    "archive_overlap": ("refused", "Members of the archive lie over one another.", ALONE),
    "archive_size_lies": ("refused", "The archive says another size than the member has.", "Pack it again, and hand it in again."),
    "archive_link": ("refused", "It is a link inside an archive, and links are not followed.", "Pack the file that it points to."),
    "archive_special": ("refused", "It is a device or a pipe inside an archive.", "Pack regular files only."),
    "archive_traversal": ("refused", "Its name inside the archive points outside the archive.", "Pack it again with plain relative names."),
    "archive_nested": ("refused", "It is an archive inside an archive.", "Unpack the inner archive first."),
    "archive_method": ("refused", "It is compressed in a way that is not read here.", "Pack it as an ordinary zip (deflate)."),
    "archive_kind": ("refused", "Of archives, only zip is read.", "Hand in a zip or a folder."),
    "archive_path": ("refused", "Its name inside the archive cannot be a file name.", "Pack it again with plain relative names."),
    # Bundles of small files, on their way into a registry.
    "bundle_damaged": ("refused", "It is not made as a bundle must be.", "Make it anew as docs/reference/upload.md says, and send it again."),
    "bundle_order": ("refused", "The numbers in the bundle do not ascend from the one that it was announced with.", "Make it anew, and send it again."),
    "bundle_count": ("refused", "The bundle does not hold as much as was announced, or more than one may.", "Make it anew, and send it again."),
    "digest_mismatch": ("refused", "The bytes that arrived do not have the digest they were announced with.", "Send it again."),
    # Files that are no scan.
    "unknown_format": ("refused", "It is neither DICOM nor NIfTI.", "Nothing need be done; clinical tables are handed in by their own way."),
    "duplicate": ("refused", "The same image is in the upload already.", "Nothing need be done."),
    "uid_clash": ("refused", "Different images carry the same identifier.", "Find out which is the right one, and hand in only that."),
    "failed": ("failed", *REFUSALS["failed"]),
    # Whose is it?
    "no_identity": ("waiting", "The scan does not say whose it is, or names a placeholder.", ASK),
    "two_patients": ("waiting", "One study holds scans of two patients.", "Find out whose they are, and hand the study in apart."),
    "identity_conflict": ("waiting", "The same identifier comes with different birth dates, sexes or names.", ASK),
    "no_person_folder": (
        "waiting",
        "Nothing in its path is surely one person's: NIfTI does not say whose it is, and a folder must.",
        "Put the files of each person into a folder of their own, best called sub- and a label, directly in the input or in its archive.",
    ),
    # Masks.
    "mask_ambiguous": ("refused", "Scans of more than one study lie in its nearest folder.", "Put it into the folder of the one study it belongs to."),
    "no_mask_on_it": (
        "refused",
        "A registered or skull-stripped image is kept for the mask that was drawn on it, and none was.",
        "Hand in the image as the scanner made it, or the mask together with this one.",
    ),
    "no_native_image": (
        "refused",
        "Only derivatives came through, and no image as a scanner made it: BIDS has no dataset of them alone.",
        "Hand in the images as the scanner made them together with these.",
    ),
    "mask_in_zone": (
        "refused",
        "It marks voxels inside the zone where a face was taken from an image of its visit: it could show that face.",
        "Leave out of the mask what lies in the face; if it is an image and no mask, hand it in as an image.",
    ),
    "mask_off_image": (
        "refused",
        "More than a tenth of it lies where its image holds nothing: it was drawn on something else, or is an image itself.",
        "Hand it in together with the image that it was drawn on.",
    ),
    "companion_alone": (
        "refused",
        "It looks like a sidecar, a table of gradients or a transform, and belongs to no NIfTI file here.",
        "Put it into the folder of the NIfTI file that it belongs to; beside DICOM it is not needed.",
    ),
    "mask_waits": ("waiting", "The study it belongs to waits.", "See the reason at the study."),
    # Series and images.
    "no_image_made": ("refused", "No image came of its series.", AGAIN),
    "image_withheld": ("refused", "All images of its series were withheld.", "See the reason at the images."),
    "contrast_unsure": (
        "refused",
        "What is seen and what is said of this image do not make one contrast certain.",
        "Say which contrast it is: hand it in through a registry, where a person decides, or with a description that names it.",
    ),
    "perfusion_incomplete": (
        "refused",
        "BIDS needs the labelling of every volume and its delays, which the header does not tell.",
        "Say once what the volumes of this protocol are: it is remembered.",
    ),
    "converters_disagree": (
        "refused",
        "Two conversions of its series differ, and its headers do not settle it.",
        "Compare the images, or hand it in to a registry.",
    ),
    "identity_left": ("refused", "The last check found something of the person in the result.", "Tell the maintainers; nothing of it was published."),
    # Ours.
    "memory_limit": ("refused", "Reading it needed more memory than one file may use.", APART),
    "cpu_limit": ("refused", "Reading it took more computing time than one file may use.", APART),
    "time_limit": ("refused", "Reading it took longer than one file may take.", APART),
    "file_size_limit": ("refused", "Unpacking or converting it wrote more than one file may hold.", APART),
    "reader_died": ("refused", "The program that reads such files was ended by this one.", AGAIN),
    "nested_too_deep": ("refused", "It holds sequences nested deeper than any scanner writes.", AGAIN),
    "unforeseen_error": ("failed", "Reading it failed in a way nobody foresaw.", TELL),
    "bad_order": ("failed", "The order is not one this carrier understands.", "Compare it with docs/reference/order.schema.json."),
    "no_such_input": ("failed", "The order names an input or a key that is not there.", "Check the paths in the order, and who may read them."),
}


@dataclass(frozen=True)
class Verdict:
    """What came of a file, a study or an order, in words that hold nothing of the person."""

    verdict: Word
    code: str
    reason: str
    advice: str

    def as_json(self) -> dict[str, str]:
        return {"verdict": self.verdict, "code": self.code, "reason": self.reason, "advice": self.advice}


def verdict(code: str, reason: str = "", advice: str = "", *, otherwise: Word = "refused") -> Verdict:
    """The verdict of a code. A code of a room below brings its own sentences, and is `otherwise`."""
    word, ours, hint = CODES.get(code, (otherwise, *REFUSALS.get(code, ("", ""))))
    return Verdict(word, code, reason or ours, advice or hint)


def kept() -> Verdict:
    """All is well."""
    return verdict("ok")


class Refused(Exception):
    """A file is refused by the pipeline itself. `code` is a key of CODES."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        _, self.reason, self.advice = CODES[code]
