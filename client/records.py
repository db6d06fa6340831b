"""What a registry answers, as typed records. Unknown keys are ignored, so that a newer registry still speaks to an older desk.

Ids are UUID strings, times RFC 3339 in UTC, datasets are named by slug, sites by code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from client.errors import Unreachable

T = TypeVar("T")


def record(kind: type[T], data: Any) -> T:
    """`data` as a record of this kind. Raises Unreachable when a needed key is missing: then something else than a registry answered."""
    if not isinstance(data, Mapping):
        raise Unreachable("not_a_registry", f"The answer is not a {kind.__name__}.", "Check the address.")
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    try:
        return kind(**{f.name: data[f.name] for f in fields if f.name in data})
    except TypeError:
        missing = sorted(f.name for f in fields if f.name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING)
        raise Unreachable("not_a_registry", f"The answer is a {kind.__name__} without {', '.join(missing)}.", "Check the registry's version.") from None


@dataclass(frozen=True)
class User:
    id: str
    email: str
    institution: str = ""
    country: str = ""
    roles: list[dict[str, Any]] = field(default_factory=list)
    administrator: bool = False


@dataclass(frozen=True)
class Run:
    """Work that goes on: `state` is ready, running, done or dead."""

    id: str
    kind: str
    state: str
    attempt: int = 0
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Participant:
    id: str
    dataset: str
    site: str
    label: str
    sex: str = ""
    birth_year_band: str | None = None
    state: str = "active"


@dataclass(frozen=True)
class Visit:
    id: str
    participant: str
    label: str
    day: int | None = None


@dataclass(frozen=True)
class Consent:
    id: str
    participant: str
    kind: str
    permission: str = ""
    modifiers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClinicalRecord:
    id: str
    visit: str
    instrument: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TableMapping:
    """How a site's table reads: the last `number` under a name holds."""

    id: str
    dataset: str
    site: str
    name: str
    number: int = 1
    spec: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TableReport:
    """What taking a table would change, or changed (`applied`); each fault names row, column, rule, reason and advice."""

    rows: int
    applied: bool
    faulty: int
    faults: list[dict[str, Any]] = field(default_factory=list)
    changes: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Upload:
    """One hand-in: `state` receiving, received, sorting, sorted, done or failed; `files` and `studies` count by verdict and state."""

    id: str
    dataset: str
    site: str
    state: str
    files: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    studies: dict[str, int] = field(default_factory=dict)
    run: dict[str, Any] | None = None
    wipe_after: str | None = None


@dataclass(frozen=True)
class File:
    """One handed-in file: `number` is the sender's (None for a member of an archive), `n` the carrier's."""

    sha256: str
    bytes: int
    number: int | None = None
    n: int | None = None
    verdict: str = ""
    code: str = ""
    reason: str = ""
    advice: str = ""
    product: str | None = None


@dataclass(frozen=True)
class Study:
    """One examination of an upload: `state` waiting, ready, processing, recorded or refused, and the reason."""

    id: str
    upload: str
    dataset: str
    state: str
    participant: str | None = None
    visit: str | None = None
    code: str = ""
    reason: str = ""
    advice: str = ""
    files: int = 0
    run: dict[str, Any] | None = None


@dataclass(frozen=True)
class Image:
    """One converted image: `grade` pass, review or fail; `state` proposed, returned (to its site, with a question), accepted, refused or withdrawn."""

    id: str
    participant: str
    visit: str
    dataset: str
    bids_path: str
    suffix: str
    datatype: str
    grade: str
    state: str
    deface: str = ""
    conversion: str = ""
    reasons: list[Any] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Release:
    """One frozen state of a dataset: `state` freezing, frozen, validated, invalid or failed."""

    id: str
    dataset: str
    number: int
    version: str
    state: str
    sha256: str = ""
    participants: int = 0
    files: int = 0
    bytes: int = 0
    validator: dict[str, Any] | None = None
    run: dict[str, Any] | None = None


@dataclass(frozen=True)
class Request:
    """One access request: `state` as in docs/reference/requests.md; `answers` counts whom the consents allow, with reasons."""

    id: str
    dataset: str
    title: str
    state: str
    purpose: str = ""
    reason: str = ""
    asked: int | None = None
    answers: dict[str, Any] = field(default_factory=dict)
    participants: list[dict[str, Any]] = field(default_factory=list)
    entitlement: str | None = None
    submitted_at: str | None = None
    view: str | None = None
    level: str = ""


@dataclass(frozen=True)
class Member:
    """Another member of a request's team."""

    id: str
    email: str
    country: str = ""


@dataclass(frozen=True)
class Naming:
    """Somebody was named for a team, and is of it once they say so."""

    id: str
    request: str
    dataset: str
    requester: str
    title: str
    email: str
    country: str = ""


@dataclass(frozen=True)
class Report:
    """What was done with the data, by which `months` more are asked for."""

    id: str
    done: str
    publications: str = ""
    incidents: str = ""
    months: int = 12
    created_at: str = ""
    accepted_at: str | None = None


@dataclass(frozen=True)
class View:
    """Kinds of file of a dataset with a level of their own."""

    id: str
    dataset: str
    name: str
    title: str
    level: str
    kinds: list[str] = field(default_factory=list)
    ended_at: str | None = None


@dataclass(frozen=True)
class Agreement:
    dataset: str
    version: int
    text: str
    signed_at: str | None = None


@dataclass(frozen=True)
class Entitlement:
    id: str
    request: str
    dataset: str
    starts: str = ""
    ends: str | None = None
    revoked_at: str | None = None
    alive: bool = True


@dataclass(frozen=True)
class Package:
    """One package for one recipient: `state` building, ready, dead or failed; `sha256` is of the encrypted whole."""

    id: str
    entitlement: str
    release: str
    state: str
    version: str = ""
    code: str = ""
    reason: str = ""
    participants: int | None = None
    files: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    download: str | None = None
    manifest: str | None = None
    run: dict[str, Any] | None = None


@dataclass(frozen=True)
class Notice:
    id: str
    kind: str
    dataset: str
    label: str
    package: str | None
    text: str
    files: list[dict[str, Any]] = field(default_factory=list)
    created_at: str = ""
    acknowledged_at: str | None = None
    statement: str = ""
    reminded_days: int = 0
    suspended_at: str | None = None


@dataclass(frozen=True)
class Recall:
    """An image or a file that was called back, and how far that is."""

    id: str
    dataset: str
    label: str
    state: str
    image: str
    cause: str = ""
    reason: str = ""
    at: str = ""
    files: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    certificate: dict[str, Any] | None = None
    run: dict[str, Any] | None = None


@dataclass(frozen=True)
class Withdrawal:
    id: str
    dataset: str
    label: str
    state: str
    at: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    certificate: dict[str, Any] | None = None
    run: dict[str, Any] | None = None
