"""The typed face of a registry's HTTP API (`/api/v1`): what a person may do there, one method each.

    registry = Registry("https://registry.example", token)
    for image in registry.images(dataset="ms", suffix="FLAIR"): ...

Every method may raise Refused (with the registry's code and reason), Unreachable, and where it sends or receives bytes Broken.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, TypeVar

import requests

from client.errors import Refused, Unreachable
from client.life import Life
from client.records import (
    Agreement,
    ClinicalRecord,
    Consent,
    Entitlement,
    File,
    Image,
    Notice,
    Package,
    Participant,
    Release,
    Request,
    Run,
    Study,
    TableMapping,
    TableReport,
    Upload,
    User,
    Visit,
    Withdrawal,
    record,
)
from client.wire import Wire

T = TypeVar("T")
Item = Mapping[str, Any]


class Registry(Life):
    """A registry as one person (or nobody, for `health`) sees it. `token` comes from the sign-in page or `client.api.sign_in`."""

    def __init__(self, url: str, token: str = "", **options: Any) -> None:
        """`options` go to `client.wire.Wire` (attempts, timeout_s, pause_s)."""
        self.url, self.token, self.options = url, token, options
        self.wire = Wire(url, token, **options)

    def twin(self) -> Registry:
        """The same registry on a line of its own, for another thread."""
        return Registry(self.url, self.token, **self.options)

    def close(self) -> None:
        """Let go of the line; the next call takes a new one."""
        self.wire.close()

    # --- who am I, what is there ---------------------------------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        return dict(self.wire.get("/health"))

    def me(self) -> User:
        return record(User, self.wire.get("/me"))

    def count_fields(self) -> dict[str, list[str]]:
        """What people can be counted by: field -> its values."""
        return {str(row["field"]): list(row["values"]) for row in self.wire.get("/count-fields")["results"]}

    def count(self, dataset: str, where: Iterable[str], *, by: str = "", site: str = "") -> dict[str, Any]:
        """How many people there are of whom all conditions (`field:value`) hold: `{"conditions", "counts": [{"value", "count"}], "exact", "left"}`."""
        given = {"where": list(where), **({"by": by} if by else {}), **({"site": site} if site else {})}
        return dict(self.wire.get(f"/datasets/{dataset}/count", **given))

    def create(self, what: str, **data: Any) -> dict[str, Any]:
        """One new thing of a kind that has no method of its own (datasets, sites, users, roles), as the API describes it."""
        return dict(self.wire.post(f"/{what}", data))

    def run(self, id: str) -> Run:
        return record(Run, self.wire.get(f"/runs/{id}"))

    # --- handing in ----------------------------------------------------------------------------------------------------------------------

    def register(self, dataset: str, site: str, people: Iterable[Item]) -> list[Participant]:
        """Register participants by the site's own identifiers; all or none, in the order given."""
        answer = self.wire.post("/participants", {"dataset": dataset, "site": site, "participants": list(people)})
        return [record(Participant, row) for row in answer["results"]]

    def participants(self, **query: Any) -> list[Participant]:
        return [record(Participant, row) for row in self.rows("participants", **query)]

    def add_visits(self, visits: Iterable[Item]) -> list[Visit]:
        return [record(Visit, row) for row in self.wire.post("/visits", {"visits": list(visits)})["results"]]

    def add_consents(self, consents: Iterable[Item]) -> list[Consent]:
        return [record(Consent, row) for row in self.wire.post("/consents", {"consents": list(consents)})["results"]]

    def add_clinical(self, records: Iterable[Item]) -> list[ClinicalRecord]:
        return [record(ClinicalRecord, row) for row in self.wire.post("/clinical-records", {"records": list(records)})["results"]]

    def save_mapping(self, dataset: str, site: str, name: str, spec: Mapping[str, Any]) -> TableMapping:
        """Say how a site's clinical table reads; the same again changes nothing."""
        return record(TableMapping, self.wire.post("/mappings", {"dataset": dataset, "site": site, "name": name, "spec": dict(spec)}))

    def mapping(self, dataset: str, site: str, name: str) -> TableMapping | None:
        """The mapping that holds under this name, or None."""
        found = [record(TableMapping, row) for row in self.rows("mappings", dataset=dataset, site=site, name=name)]
        return max(found, key=lambda one: one.number, default=None)

    def send_table(self, dataset: str, site: str, mapping: str, table: str, *, apply: bool = False) -> TableReport:
        """Try a site's clinical table (CSV as text), or with `apply` take it: all or none. Raises Refused `table_faulty`, whose errors name row and column."""
        body = {"dataset": dataset, "site": site, "mapping": mapping, "table": table, "apply": apply}
        return record(TableReport, self.wire.post("/tables", body))

    def clinical_tables(self, dataset: str) -> dict[str, str]:
        """Participants, sessions and phenotype of one's site or dataset: path -> text of TSV and JSON."""
        return {str(file["path"]): str(file["text"]) for file in self.wire.get(f"/datasets/{dataset}/clinical")["files"]}

    def open_upload(self, dataset: str, site: str) -> Upload:
        return record(Upload, self.wire.post("/uploads", {"dataset": dataset, "site": site}))

    def put_file(
        self, upload: str, number: int, data: bytes | Callable[[], BinaryIO], digest: bytes, folder: str = "", said: Mapping[str, str] | None = None
    ) -> str:
        """Send one file's bytes (or what opens them) with their SHA-256 `digest` (RFC 9530); returns the SHA-256 the registry saw, in hex.

        `said`: what goes along instead of its name, in words of `lists()`: annotation, contrast, body, visit, beside, rater, labels.
        """
        headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{b64encode(digest).decode()}:"}
        query = {name: value for name, value in {"folder": folder, **(said or {})}.items() if value}
        answer = self.wire.send("PUT", f"/uploads/{upload}/files/{number}", data=data, headers=headers, params=query).json()
        return str(answer["sha256"])

    def lists(self) -> dict[str, list[str]]:
        """The words that say what a file is: `words` (of masks), `contrasts`, `bodies`, `meanings` (of the values of a mask)."""
        return {str(name): [str(word) for word in words] for name, words in self.wire.get("/annotations").items()}

    def correct(self, image: str, **said: Any) -> dict[str, Any]:
        """Say what the images of this one's protocol are (datatype, suffix, entities, fields, context, code); later uploads of the site know it."""
        return dict(self.wire.post(f"/images/{image}/contrast", said))

    def complete_upload(self, upload: str, count: int, total: int) -> Upload:
        return record(Upload, self.wire.post(f"/uploads/{upload}/complete", {"count": count, "bytes": total}))

    def upload(self, id: str) -> Upload:
        return record(Upload, self.wire.get(f"/uploads/{id}"))

    def uploads(self, **query: Any) -> list[Upload]:
        return [record(Upload, row) for row in self.rows("uploads", **query)]

    def upload_files(self, id: str) -> list[File]:
        return [record(File, row) for row in self.rows(f"uploads/{id}/files", limit=1000)]

    def receipt(self, id: str) -> dict[str, Any]:
        return dict(self.wire.get(f"/uploads/{id}/receipt"))

    def studies(self, **query: Any) -> list[Study]:
        return [record(Study, row) for row in self.rows("studies", **query)]

    def bind(self, study: str, participant: str, visit: str) -> Study:
        return record(Study, self.wire.post(f"/studies/{study}/bind", {"participant": participant, "visit": visit}))

    def refuse_study(self, study: str, reason: str) -> Study:
        return record(Study, self.wire.post(f"/studies/{study}/refuse", {"reason": reason}))

    # --- looking and deciding ------------------------------------------------------------------------------------------------------------

    def images(self, **query: Any) -> list[Image]:
        return [record(Image, row) for row in self.rows("images", **query)]

    def image(self, id: str) -> Image:
        return record(Image, self.wire.get(f"/images/{id}"))

    def accept_images(self, images: Iterable[str], note: str = "") -> list[Image]:
        return [record(Image, row) for row in self.wire.post("/images/accept", {"images": list(images), "note": note})["results"]]

    def refuse_image(self, image: str, reason: str) -> Image:
        return record(Image, self.wire.post(f"/images/{image}/refuse", {"reason": reason}))

    def picture(self, path: str) -> bytes:
        """The PNG at an address an image's `pictures` names."""
        return self.wire.send("GET", path, headers={"Accept": "image/png"}).content

    def freeze(self, dataset: str, changes: str) -> Release:
        return record(Release, self.wire.post("/releases", {"dataset": dataset, "changes": changes}))

    def release(self, id: str) -> Release:
        return record(Release, self.wire.get(f"/releases/{id}"))

    def verify_audit(self) -> dict[str, Any]:
        return dict(self.wire.post("/audit/verify"))

    def withdraw(self, participant: str, reason: str = "") -> Withdrawal:
        return record(Withdrawal, self.wire.post(f"/participants/{participant}/withdraw", {"reason": reason}))

    def withdrawal(self, id: str) -> Withdrawal:
        return record(Withdrawal, self.wire.get(f"/withdrawals/{id}"))

    # --- asking and receiving ------------------------------------------------------------------------------------------------------------

    def draft(self, **request: Any) -> Request:
        """A new request (a draft): dataset, title, abstract, purpose, recipient_key and what else the API describes."""
        return record(Request, self.wire.post("/requests", request))

    def request(self, id: str) -> Request:
        return record(Request, self.wire.get(f"/requests/{id}"))

    def submit(self, request: str, participants: Iterable[str] | None = None) -> Request:
        """Send a draft in; the cohort (None: everybody in the dataset) is frozen and the rule is asked of each."""
        return record(Request, self.wire.post(f"/requests/{request}/submit", {"participants": None if participants is None else list(participants)}))

    def agreement(self, request: str) -> Agreement:
        return record(Agreement, self.wire.get(f"/requests/{request}/agreement"))

    def sign(self, request: str, version: int) -> Entitlement | Request:
        """The entitlement, or while others of the team have not signed, the request."""
        answer = self.wire.post(f"/requests/{request}/sign", {"version": version, "accept": True})
        return record(Entitlement, answer) if "starts" in answer else record(Request, answer)

    def entitlements(self) -> list[Entitlement]:
        return [record(Entitlement, row) for row in self.rows("entitlements")]

    def pack(self, entitlement: str, release: str | None = None) -> Package:
        return record(Package, self.wire.post("/packages", {"entitlement": entitlement, "release": release}))

    def package(self, id: str) -> Package:
        return record(Package, self.wire.get(f"/packages/{id}"))

    def package_manifest(self, id: str) -> dict[str, Any]:
        """`{"manifest", "signature", "key"}`: what the package holds, signed by the registry."""
        return dict(self.wire.get(f"/packages/{id}/manifest"))

    def signing_key(self) -> str:
        return str(self.wire.get("/keys")["signing"])

    def open_download(self, id: str, start: int = 0, etag: str = "") -> requests.Response:
        """The package's bytes from `start` on, as a stream; 200 instead of 206 when the registry starts anew (`etag` no longer fits)."""
        headers = {"Accept": "application/octet-stream", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if etag:
                headers["If-Range"] = etag
        return self.wire.send("GET", f"/packages/{id}/download", headers=headers, stream=True)

    def notices(self) -> list[Notice]:
        return [record(Notice, row) for row in self.rows("notices")]


def sign_in(
    url: str, email: str, password: str, *, name: str, scopes: Iterable[str] = ("read", "write", "download"), days: int = 30, code: str = "", **options: Any
) -> str:
    """A new token for the person with this password (and `code` of their authenticator), shown by the registry only now.

    Raises Refused (wrong_credentials, wrong_code, second_factor_needed) or Unreachable.
    """
    wire = Wire(url, **options)
    csrf = str(wire.get("/session")["csrf"])
    wire.session.headers.update({"X-CSRFToken": csrf, "Referer": f"{wire.base}/"})
    answer = wire.post("/session", {"email": email, "password": password, "code": code, "step_up": True})
    wire.session.headers["X-CSRFToken"] = str(answer["csrf"])
    try:
        return str(wire.post("/tokens", {"name": name, "scopes": list(scopes), "days": days})["token"])
    finally:
        wire.delete("/session")
        wire.close()


def wait_for(look: Callable[[], T], done: Callable[[T], bool], *, limit_s: float = 3600.0, pause_s: float = 0.5, seen: Callable[[T], None] | None = None) -> T:
    """Look again and again until `done`; returns the last look. Raises Unreachable (still_running) when the time is used up."""
    end = time.monotonic() + limit_s
    while True:
        found = look()
        if seen:
            seen(found)
        if done(found):
            return found
        if time.monotonic() > end:
            raise Unreachable("still_running", "The registry is still at work.", "Look again later.")
        time.sleep(pause_s)


__all__ = ["Refused", "Registry", "sign_in", "wait_for"]
