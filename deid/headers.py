"""Apply a profile to one data set and write a new file that holds only what the profile names.

Three passes over one parsed file, each a module of its own: *gather* (`deid.gathering`: every value that identifies, at any depth), *rewrite*
(`deid.rewriting`: each element through the action its rule names, `deid.actions`; what has no rule is left behind), *sign* (`deid.signing`: what was done is
written into group 0012 and sealed). Our own output comes out byte-identical; a file that carries our identifiers but no true seal was changed after us, and
is refused, for its dates would be moved a second time.
"""

from __future__ import annotations

from pathlib import Path

from deid import elements, facts, objects, signing, writing
from deid.dates import Shift
from deid.errors import Refused
from deid.facts import FACTS
from deid.identity import Identity, identify
from deid.moments import Start, study_starts
from deid.profile import Profile
from deid.rewriting import Work
from deid.signing import SEAL_CHARS, SEAL_MARK, seal, with_pixels_cleaned
from deid.subject import Cleaned, Subject
from deid.tree import Buffer, Element
from deid.writing import IMPLEMENTATION_NAME, IMPLEMENTATION_UID, write

__all__ = [
    "FACTS",
    "IMPLEMENTATION_NAME",
    "IMPLEMENTATION_UID",
    "SEAL_CHARS",
    "SEAL_MARK",
    "Cleaned",
    "Identity",
    "Start",
    "Subject",
    "clean_file",
    "identify",
    "seal",
    "study_starts",
    "with_pixels_cleaned",
    "write",
]


def clean_file(src: Path | str, dst: Path | str, subject: Subject, profile: Profile) -> Cleaned:
    """Read `src`, write a clean new file to `dst` (parent must exist; written beside it and renamed, so never half).

    Raises `errors.Refused` (codes of `elements.read`, `objects.gate`, `streams.clean`, and own_output_altered).
    """
    data = elements.load(src)
    file = elements.parse(data)
    work = Work(file, objects.gate(file), subject, profile)
    pieces, fresh = _unchanged(work, data) if _is_ours(work) else _cleaned(work)
    write(Path(dst), [writing.head(work.syntax, work.sop, work.sop_uid), *pieces])
    return Cleaned(work.account.as_dict(profile), frozenset(work.removed), facts.of(fresh))


def _is_ours(work: Work) -> bool:
    """Whether the identifiers are ones this key made."""
    return work.key.recognises(work.who.sop_uid) and work.key.recognises(work.who.study_uid)


def _unchanged(work: Work, data: Buffer) -> tuple[list[Buffer], list[Element]]:
    """Our own output as it stands; refused where its seal does not hold."""
    if not signing.is_sealed(work.file, data, work.key):
        raise Refused("own_output_altered")
    work.shift = Shift(0, 0, None)
    return [signing.raw_body(data)], work.file.elements


def _cleaned(work: Work) -> tuple[list[Buffer], list[Element]]:
    """The pieces of the new data set, sealed; and its elements."""
    work.gather()
    work.note_surroundings()
    fresh = [e for e in work.dataset(work.file.elements, "") if e.tag not in signing.WRITTEN_ANEW] + signing.written(work)
    fresh.sort(key=lambda e: e.tag)
    pieces = signing.joined(writing.body(fresh, work.fragments))
    seal(pieces, work.key)
    return pieces, fresh
