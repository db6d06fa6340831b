"""What can go wrong while identity is taken out, as a tree.

A refusal is an answer: it carries a stable code, a sentence that says why, and a sentence that says what to do. `REFUSALS` is the whole list, so the
documentation and the tests can walk it; raising a code that is not in the list is a programming error and fails at once.
"""

from __future__ import annotations

REFUSALS: dict[str, tuple[str, str]] = {
    "not_dicom": ("The file is not DICOM.", "Hand in the DICOM files as the scanner or the archive exported them."),
    "dicomdir": (
        "The file is a DICOMDIR, an index of other files.",
        "Nothing to do: the files it lists are read on their own; the index itself is never followed.",
    ),
    "truncated": ("The file ends before its own headers say it should.", "Export the file again; the copy is incomplete."),
    "malformed": ("The file breaks the DICOM encoding rules in a way that cannot be read safely.", "Export the file again from the archive."),
    "nested_too_deep": ("The file nests sequences deeper than 64 levels.", "Export the file again; no scanner writes such a file."),
    "too_many_elements": ("The file holds more elements than any scanner writes.", "Export the file again; no scanner writes such a file."),
    "inflates_too_much": ("The deflated file grows beyond the allowed size.", "Export the file again without the deflated transfer syntax."),
    "unknown_transfer_syntax": ("The file uses a transfer syntax that is not known here.", "Export the file again as Explicit VR Little Endian."),
    "encapsulated_document": ("The file is a document inside DICOM (for example a PDF), not an image.", "Leave documents out; they cannot be made clean."),
    "structured_report": ("The file is a structured report, not an image.", "Leave reports out; clinical facts belong in the clinical tables."),
    "presentation_state": ("The file is a presentation state, not an image.", "Leave presentation states out."),
    "not_an_image": ("The file holds no image.", "Leave out objects that hold no image (raw data, spectra, waveforms, plans)."),
    "not_mr": ("The file is an image, but not from an MR scanner.", "Only MR images and secondary captures of MR studies are taken."),
    "no_pixels": ("The file is an image object without pixel data.", "Export the file again with its pixel data."),
    "pixels_do_not_fit": (
        "The pixel data do not have the size that rows, columns, bits and frames ask for.",
        "Export the file again; the pixel data are incomplete or damaged.",
    ),
    "no_uids": ("The file lacks the identifiers of its study, series or instance.", "Export the file again from the archive, which assigns them."),
    "writing_in_pixels": (
        "Writing was found in the image and could not be hidden with certainty.",
        "Leave this image out, or hand in the series without the writing.",
    ),
    "pixels_unreadable": (
        "The image may hold writing, but its pixels could not be decoded to look.",
        "Export the file again uncompressed (Explicit VR Little Endian).",
    ),
    "no_text_reader": (
        "The image may hold writing, and the program that reads writing is not installed here.",
        "Install rapidocr-onnxruntime (requirements.txt says how), or hand in the images where it is installed.",
    ),
    "still_identifying": (
        "A value that was taken out was found again in the result.",
        "Tell the maintainers the kind and place named in the report; the result was withheld.",
    ),
    "own_output_altered": ("The file was made by this de-identification before and changed since.", "Hand in the original scan instead."),
    "orbits_need_stewards": (
        "A series made of the orbits is decided on by two stewards of a registry; a desk gives it to nobody.",
        "Leave orbits out of the policy, or hand the series in at a registry.",
    ),
    "bad_face_policy": (
        "The policy about faces is none.",
        "Give a name of a-z, 0-9 and -, exempt (a list of bold, cbv, dwi, sbref) and orbits (withheld or restricted), and nothing else.",
    ),
    "no_identity": ("The file carries no usable patient identifier.", "Bind the study to a registered participant, or refuse it."),
    "identity_conflict": (
        "Files under one patient identifier contradict each other about sex, birth date or name.",
        "Check at the site whose scans these are; hand in each person apart.",
    ),
    "two_patients": ("One study holds files of two patients.", "Check at the site whose scan this is; hand in each person apart."),
    "link": ("The file is a link, and links are not followed.", "Hand in the file that it points to."),
    "not_a_file": ("It is a device, a pipe or a socket, not a file.", "Hand in regular files."),
    "empty_file": ("The file holds no bytes.", "Export the file again from the scanner or the archive."),
    "unreadable": ("The file system would not let it be read.", "Check its permissions and the disk, and run the command again."),
    "archive_not_opened": ("The file is an archive (zip, tar, gzip or the like); this command opens none.", "Unpack it and hand in the folder."),
    "changed": ("The file changed while it was being worked on.", "Run the command again when nobody writes to the input."),
    "reader_died": ("The program that reads such files was ended by this one.", "Export the file again; if it is a real scan, tell the maintainers."),
    "memory_limit": ("Reading the file needed more memory than one file may use.", "Hand it in on its own; if it is a real scan, tell the maintainers."),
    "cpu_limit": ("Reading the file took more computing time than one file may use.", "Hand it in on its own; if it is a real scan, tell the maintainers."),
    "time_limit": ("Reading the file took longer than one file may take.", "Hand it in on its own; if it is a real scan, tell the maintainers."),
    "file_size_limit": ("Cleaning the file wrote more than one file may hold.", "Hand it in on its own; if it is a real scan, tell the maintainers."),
    "label_in_zone": ("A label of a mask lies inside the zone to remove.", "Choose a profile that keeps this region, or leave the volume out."),
    "bad_people_file": (
        "The file of declared people cannot be used: a line says nothing, or two lines say different things about one scan.",
        "Give it a column `person` and one or more of PatientID, IssuerOfPatientID, PatientBirthDate, StudyInstanceUID, folder.",
    ),
    "bad_key": ("The key file cannot be used.", "Make one with `python -m deid new-key FILE` and keep it readable for its owner alone."),
    "unknown_profile": ("There is no profile of this name.", "Use one of the profiles in deid/profiles."),
    "unknown_tag": ("There is no such attribute.", "Give a DICOM keyword, or a tag such as (0010,0010)."),
    "failed": ("An internal failure; the file was not written.", "Report this to the maintainers; the file itself may be in order."),
}


class DeidError(Exception):
    """A refusal or failure of this room: `.code` (stable, snake_case), `.reason` and `.advice` (sentences without any identifying value)."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.reason, self.advice = REFUSALS[code]
        super().__init__(f"{code}: {self.reason}")


class Refused(DeidError):
    """This input is not taken; the code says why."""


class KeyFileError(DeidError):
    """A key file is missing, too short or open to others."""


class ProfileError(DeidError):
    """The profile asked for does not exist, or an attribute asked about does not."""
