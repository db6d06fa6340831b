"""Third pass: what was done is written into groups 0012 and 0028 and sealed.

PatientIdentityRemoved, DeidentificationMethod (at most 64 characters a value) and DeidentificationMethodCodeSequence say it (PS3.15 E.1.1; PS3.3 C.7.1.1 and
C.7.6.1). What somebody else claimed is never believed, but kept beside ours, cleaned. 113101 and BurnedInAnnotation NO are for images whose pixels were
looked at: written by `with_pixels_cleaned` after the look, or at once where the caller promises one (`Subject.searched`). A YES stays YES until then.

The seal is an HMAC over the whole data set under the pseudonym key, the last value of DeidentificationMethod. By it our own output is known again and comes
out byte-identical; a file that carries our identifiers but no true seal was changed after us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deid import ages, coding, identity, values
from deid.account import WRITTEN
from deid.envelope import read_meta
from deid.pseudonyms import PseudonymKey
from deid.tree import CHARSET, DEFLATED, EXPLICIT, PIXEL_DATA, Buffer, Element, File, Item
from deid.writing import body, head

if TYPE_CHECKING:
    from deid.rewriting import Work

SEAL_MARK = b"seal "
SEAL_CHARS = 43
METHOD_CHARS = 64
AGE, METHOD, METHOD_CODES, REMOVED_FLAG = 0x00101010, 0x00120063, 0x00120064, 0x00120062
BURNED_IN, VISUAL, LONGITUDINAL = 0x00280301, 0x00280302, 0x00280303
BODY_PART, PLANAR, PHOTOMETRIC = 0x00180015, 0x00280006, 0x00280004
WRITTEN_ANEW = frozenset(
    {
        CHARSET,
        identity.SOP_CLASS,
        identity.PATIENT_ID,
        identity.PATIENT_NAME,
        identity.BIRTH_DATE,
        REMOVED_FLAG,
        METHOD,
        METHOD_CODES,
        LONGITUDINAL,
        VISUAL,
        BURNED_IN,
        AGE,
    }
)
_FACELESS = "KNEE ABDOMEN CHEST PELVIS LIVER HEART FOOT HAND LSPINE TSPINE SPINE EXTREMITY LEG ARM HIP ANKLE WRIST SHOULDER BREAST PROSTATE KIDNEY"
_BODY_WITHOUT_FACE = frozenset(_FACELESS.split())
PIXELS_CLEANED = ("113101", "Clean Pixel Data Option")


def written(work: Work) -> list[Element]:
    """The elements that state whose the file is and what was done to it."""
    said = work.first(BURNED_IN).upper()
    claimed = [*work.profile.claimed, PIXELS_CLEANED] if work.subject.searched and said != "YES" else work.profile.claimed
    out = [
        Element(CHARSET, "CS", b"ISO_IR 192"),
        Element(identity.SOP_CLASS, "UI", work.sop.encode()),
        Element(identity.PATIENT_ID, "LO", work.subject.code.encode()),
        Element(identity.PATIENT_NAME, "PN", work.subject.code.encode()),
        Element(identity.BIRTH_DATE, "DA", b""),
        Element(REMOVED_FLAG, "CS", b"YES"),
        Element(METHOD, "LO", values.encode_text([*_earlier_methods(work), *work.profile.method, SEAL_MARK.decode() + "0" * SEAL_CHARS])),
        Element(METHOD_CODES, "SQ", None, [*_earlier_codes(work, claimed), *(coding.item(code, meaning) for code, meaning in claimed)]),
        Element(LONGITUDINAL, "CS", b"MODIFIED"),
    ]
    if work.first(BODY_PART).upper().replace(" ", "") not in _BODY_WITHOUT_FACE:
        out.append(Element(VISUAL, "CS", b"YES"))
    if burned_in := _burned_in(work, said, PIXELS_CLEANED in claimed):
        out.append(Element(BURNED_IN, "CS", burned_in))
    if age := ages.written(work.first(AGE), {work.who.birth_date, *work.subject.birth_dates}, work.who.study_date, work.subject.over_89):
        out.append(Element(AGE, "AS", age.encode()))
    for element in out:
        work.account.note(WRITTEN, element.tag)
    return out


def _burned_in(work: Work, said: str, claimed: bool) -> bytes:
    """BurnedInAnnotation: NO where that is claimed, YES where somebody said so, else nothing, if the object lets us say nothing.

    Enhanced MR (Type 1C) knows no other value than NO (PS3.3 C.8.13.1); captures (Type 1) that nobody has looked at say YES.
    """
    kind = work.profile.type_of(work.iod, "", "BurnedInAnnotation")
    if claimed or (kind == "1C" and said != "YES" and BURNED_IN in work.top):
        return b"NO"
    return b"YES" if said == "YES" or (kind == "1" and BURNED_IN in work.top) else b""


def _earlier_methods(work: Work) -> list[str]:
    """What others wrote as their method, cleaned like any free text."""
    element = work.top.get(METHOD)
    said = values.texts(element, work.codecs) if element is not None and element.items is None else []
    ours = (*work.profile.method, SEAL_MARK.decode())  # of a run under another key: said anew, and no value of the person
    found = [work.scrub.clean(text, free=False) for text in said if values.ESCAPE not in text and not text.startswith(ours)]
    work.removed.update(piece for one_ in found for piece in one_.gone)
    return [one_.text[:METHOD_CHARS] for one_ in found if one_.text]


def _earlier_codes(work: Work, claimed: Sequence[tuple[str, str]]) -> list[Item]:
    """Method items of whoever was here before, those we claim ourselves left out: codes of public schemes, and others whose every word is vocabulary."""
    element = work.top.get(METHOD_CODES)
    ours = {code for code, _ in (*claimed, PIXELS_CLEANED)}  # what others say about pixels is not taken over: we look ourselves
    out = []
    for old in (element.items or []) if element is not None else []:
        scheme, value = coding.of(old) or ("", "")
        if not value or (scheme == "DCM" and value in ours):
            continue
        said = {e.tag: values.text(e, work.codecs) for e in old.elements if e.tag in (coding.VALUE, coding.SCHEME, coding.MEANING) and e.items is None}
        if coding.is_public(scheme, value):
            out.append(coding.item(value, coding.meaning(scheme, value) or _cleaned(work, said.get(coding.MEANING, "")) or "method", scheme))
        elif all(len(text) <= METHOD_CHARS and _cleaned(work, text) == text for text in said.values()) and len(said) == 3:
            out.append(coding.item(value, said[coding.MEANING], scheme))
    return out


def _cleaned(work: Work, text: str) -> str:
    return work.scrub.clean(text, free=False).text


def seal(pieces: list[Buffer], key: PseudonymKey) -> None:
    """Replace the blank seal in the pieces of a data set by the true one over all of them."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    blank = SEAL_MARK + b"0" * SEAL_CHARS
    for at, piece in enumerate(pieces):
        if len(piece) < 1 << 20 and blank in (whole := bytes(piece)):
            pieces[at] = whole.replace(blank, SEAL_MARK + key.seal(digest.digest()).encode(), 1)
            return


def is_sealed(file: File, data: Buffer, key: PseudonymKey) -> bool:
    """Whether the seal of an earlier run still holds over the data set as it stands in the file's bytes, and nothing follows it."""
    element = file.top().get(METHOD)
    last = values.texts(element)[-1].encode("ascii", "replace") if element is not None and element.items is None else b""
    if not last.startswith(SEAL_MARK) or len(last) != len(SEAL_MARK) + SEAL_CHARS or file.trailing or file.syntax == DEFLATED:
        return False
    whole = bytes(raw_body(data))
    at = whole.find(last)
    blank = whole[:at] + SEAL_MARK + b"0" * SEAL_CHARS + whole[at + len(last) :]
    return key.seal(hashlib.sha256(blank).digest()).encode() == last[len(SEAL_MARK) :]


def raw_body(data: Buffer) -> Buffer:
    """The data set as it stands in the bytes of a file with preamble and meta information."""
    return memoryview(data)[read_meta(data, 132)[2] :]


def with_pixels_cleaned(file: File, key: PseudonymKey | None, *, pixels: Buffer | None = None, photometric: str = "") -> list[Buffer]:
    """A file of ours as the pieces to write (`writing.write`), with the statement that its pixels were looked at: 113101 and BurnedInAnnotation NO.

    key: renews the seal (without it the file carries none). pixels: new native picture values (rows, columns, samples interleaved, little endian) where
    writing was hidden; None keeps the picture as it is. photometric: what they are now, where that changed (`RGB`). Saying it twice changes nothing.
    """
    out = [_with_pixels(element, pixels, photometric, key) for element in file.elements if element.tag != BURNED_IN]
    out.append(Element(BURNED_IN, "CS", b"NO"))
    out.sort(key=lambda e: e.tag)
    fragments = file.fragments if pixels is None else None
    pieces = joined(body(out, fragments))
    if key:
        seal(pieces, key)
    top = file.top()
    sop, uid = (values.text(top[tag]) for tag in (identity.SOP_CLASS, identity.SOP_UID))
    return [head(file.syntax if fragments is not None else EXPLICIT, sop, uid), *pieces]


def _with_pixels(element: Element, pixels: Buffer | None, photometric: str, key: PseudonymKey | None) -> Element:
    if element.tag == METHOD_CODES and element.items is not None:
        told = {coding.of(item) for item in element.items}
        more = [] if ("DCM", PIXELS_CLEANED[0]) in told else [coding.item(*PIXELS_CLEANED)]
        return Element(METHOD_CODES, "SQ", None, [*element.items, *more], element.undefined)
    if element.tag == METHOD:
        lines = [line for line in values.texts(element, ("utf-8",)) if not line.startswith(SEAL_MARK.decode())]
        if pixels is not None and "Writing in pixels hidden" not in lines:
            lines.append("Writing in pixels hidden")
        return Element(METHOD, "LO", values.encode_text([*lines, *([SEAL_MARK.decode() + "0" * SEAL_CHARS] if key else [])]))
    if pixels is not None and element.tag == PIXEL_DATA:
        return Element(PIXEL_DATA, "OW", pixels)
    if pixels is not None and element.tag == PLANAR:
        return Element(PLANAR, "US", b"\0\0")
    if photometric and element.tag == PHOTOMETRIC:
        return Element(PHOTOMETRIC, "CS", photometric.encode("ascii"))
    return element


def joined(pieces: list[Buffer]) -> list[Buffer]:
    """The same bytes in few pieces: neighbours that are small are put together."""
    out: list[Buffer] = []
    run: list[Buffer] = []
    for piece in pieces:
        if len(piece) < 65536:
            run.append(piece)
            continue
        out += [b"".join(run), piece]
        run = []
    return [*out, b"".join(run)] if run else out
