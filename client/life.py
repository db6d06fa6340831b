"""Calls of a request's whole life: its team, keys, document, reports and end; the views of a dataset; and calling back or moving what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from client.records import Member, Naming, Notice, Recall, Report, Request, Study, View, record
from client.wire import Wire


class Life:
    """The part of `client.api.Registry` that is about requests once they are written, and about what went wrong after. Raises what that raises."""

    wire: Wire

    def rows(self, what: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Any list of the API as plain rows, every page: datasets, participants, visits, images, studies, requests, notices, audit/lines…"""
        return self.wire.pages(f"/{what}", **query)

    # --- the team ------------------------------------------------------------------------------------------------------------------------

    def team(self, request: str) -> list[Member]:
        """The other members of a request's team."""
        return [record(Member, row) for row in self.rows(f"requests/{request}/members")]

    def name_member(self, request: str, email: str, country: str = "") -> Member | Naming:
        """Name somebody: a colleague of one's institution is a member at once, anybody else once they say so (a Naming)."""
        answer = self.wire.post(f"/requests/{request}/members", {"email": email, "country": country})
        return record(Naming, answer) if "request" in answer else record(Member, answer)

    def drop_member(self, member: str) -> None:
        self.wire.delete(f"/members/{member}")

    def namings(self) -> list[Naming]:
        """Teams one was named for, and whom one named, as long as nobody answered."""
        return [record(Naming, row) for row in self.rows("namings")]

    def join(self, naming: str) -> Member:
        return record(Member, self.wire.post(f"/namings/{naming}", {"join": True}))

    def decline(self, naming: str) -> None:
        self.wire.send("POST", f"/namings/{naming}", json={"join": False})

    def take_naming_back(self, naming: str) -> None:
        self.wire.delete(f"/namings/{naming}")

    # --- a request of one's own ----------------------------------------------------------------------------------------------------------

    def change(self, request: str, **fields: Any) -> Request:
        """Change a draft, or a request that came back."""
        return record(Request, self.wire.post(f"/requests/{request}/change", {"change": fields}))

    def take_back(self, request: str) -> Request:
        return record(Request, self.wire.post(f"/requests/{request}/withdraw"))

    def give_key(self, request: str, recipient_key: str) -> Request:
        """Give the public key that one's own packages are encrypted to."""
        return record(Request, self.wire.post(f"/requests/{request}/key", {"recipient_key": recipient_key}))

    def attach(self, request: str, paper: Path) -> dict[str, Any]:
        """Put the document of an ethics board (PDF) to a draft: `{"sha256", "bytes", "created_at"}`. Its name is not sent."""
        headers = {"Content-Type": "application/octet-stream"}
        return dict(self.wire.send("PUT", f"/requests/{request}/ethics", data=paper.read_bytes(), headers=headers).json())

    def paper(self, request: str) -> bytes:
        """The document of an ethics board. Whoever opens it trusts whoever wrote it."""
        return self.wire.send("GET", f"/requests/{request}/ethics", headers={"Accept": "application/octet-stream"}).content

    def report(self, request: str, done: str, *, publications: str = "", incidents: str = "", months: int = 12) -> Report:
        """Say what was done with the data, and ask for more time."""
        body = {"done": done, "publications": publications, "incidents": incidents, "months": months}
        return record(Report, self.wire.post(f"/requests/{request}/reports", body))

    def reports(self, request: str) -> list[Report]:
        return [record(Report, row) for row in self.rows(f"requests/{request}/reports")]

    def close_request(self, request: str) -> Request:
        """Be done: what it entitles to ends now."""
        return record(Request, self.wire.post(f"/requests/{request}/close"))

    def attest(self, request: str, statement: str) -> Request:
        """Say that the team has deleted everything."""
        return record(Request, self.wire.post(f"/requests/{request}/attest", {"statement": statement}))

    def acknowledge(self, notice: str, statement: str = "") -> Notice:
        """Attest that what a notice names is deleted."""
        return record(Notice, self.wire.post(f"/notices/{notice}/acknowledge", {"deleted": True, "statement": statement}))

    # --- deciding ------------------------------------------------------------------------------------------------------------------------

    def decide(self, read: Request, verdict: str, reason: str, leave_out: Iterable[str] = (), settle: Iterable[str] = ()) -> Request:
        """Decide (`approve`, `reject`, `return`) on a request as it was read. Raises Refused `request_changed` where it was handed in anew since."""
        data = {"verdict": verdict, "reason": reason, "leave_out": list(leave_out), "settle": list(settle)}
        if read.submitted_at:
            data["submitted_at"] = read.submitted_at
        return record(Request, self.wire.post(f"/requests/{read.id}/decide", data))

    def renew(self, request: str, report: str) -> Request:
        """Accept the report that was read: a new end."""
        return record(Request, self.wire.post(f"/requests/{request}/renew", {"report": report}))

    def views(self, dataset: str) -> list[View]:
        """A dataset's views: kinds of file with a level of their own."""
        return [record(View, row) for row in self.rows(f"datasets/{dataset}/views")]

    def open_view(self, dataset: str, name: str, title: str, kinds: Iterable[str], level: str) -> View:
        return record(View, self.wire.post(f"/datasets/{dataset}/views", {"name": name, "title": title, "kinds": list(kinds), "level": level}))

    def end_view(self, view: str) -> None:
        """No new request names it."""
        self.wire.delete(f"/views/{view}")

    # --- what is wrong -------------------------------------------------------------------------------------------------------------------

    def recall(self, image: str, cause: str, reason: str, path: str = "") -> Recall:
        """Call an image back, or with `path` one of its masks: nobody is given it from now on. `cause`: face, text, mask, quality or wrong_person."""
        return record(Recall, self.wire.post(f"/images/{image}/recall", {"cause": cause, "reason": reason, "path": path}))

    def recalls(self, **query: Any) -> list[Recall]:
        return [record(Recall, row) for row in self.rows("recalls", **query)]

    def move(self, study: str, reason: str, visit: str | None = None) -> Study:
        """Take a wrongly bound study from where it is, to the right visit, or back to be handed in again."""
        return record(Study, self.wire.post(f"/studies/{study}/move", {"visit": visit, "reason": reason}))
