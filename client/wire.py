"""One HTTP exchange, tried again only when trying again is safe.

GET, PUT and DELETE mean the same when said twice, so they are repeated after a broken line or a 429, 502, 503 or 504, waiting twice as long each
time with jitter, or as long as `Retry-After` says (RFC 9110 10.2.3). A POST is repeated only when the registry said that it did nothing (429, 503),
or when no connection was made at all. Redirects are not followed: a token goes to the host it was given for and nowhere else.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests

from client.errors import Refused, Unreachable, Usage

SAFE_TWICE = frozenset({"GET", "PUT", "DELETE"})
TRY_LATER = frozenset({429, 502, 503, 504})
NOTHING_DONE = frozenset({429, 503})
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
LONGEST_WAIT_S = 60.0


class Wire:
    """The line to one registry. `url` is its root (https, or http on this machine), `token` its bearer token; one Wire per thread."""

    def __init__(
        self, url: str, token: str = "", *, attempts: int = 6, timeout_s: float = 60.0, pause_s: float = 0.5, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Usage("bad_url", "The registry's address is not a web address.", "Give it as https://host.")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise Usage("insecure_url", "A token would travel readable over http.", "Use https, or a tunnel to this machine.")
        self.base = url.rstrip("/")
        self.attempts, self.timeout_s, self.pause_s, self.sleep = attempts, timeout_s, pause_s, sleep
        self.session = requests.Session()
        self.session.headers["Accept"] = "application/json"
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def address(self, path: str) -> str:
        """The whole address of an API path (`/participants`), or of an address the registry gave; raises Usage when that leads to another host."""
        if path.startswith(("http://", "https://")):
            if urlsplit(path).netloc != urlsplit(self.base).netloc:
                raise Usage("foreign_address", "The registry named an address on another host.", "Tell its operators; nothing was sent there.")
            return f"{self.base}{urlsplit(path).path}" + (f"?{urlsplit(path).query}" if urlsplit(path).query else "")
        return self.base + (path if path.startswith("/api/") else f"/api/v1{path}")

    def send(self, method: str, path: str, *, ok: frozenset[int] | None = None, **options: Any) -> requests.Response:
        """One exchange with its repetitions. Raises Refused for an answer of 400 and above (but those in `ok`), Unreachable when attempts are used up."""
        url, last = self.address(path), "no answer"
        options.setdefault("timeout", (10.0, self.timeout_s))
        for attempt in range(self.attempts):
            if attempt:
                self.sleep(self.wait(attempt, None))
            try:
                response = self.once(method, url, options)
            except requests.exceptions.RequestException as error:
                last = type(error).__name__
                if method in SAFE_TWICE or never_connected(error):
                    continue
                raise Unreachable("line_broke", f"The line broke while the registry worked ({last}).", "Look what came of it before sending again.") from None
            if not self.again(method, response) or attempt == self.attempts - 1:
                return self.judged(response, ok or frozenset())
            last = f"HTTP {response.status_code}"
            self.sleep(max(0.0, self.wait(0, response)))
            response.close()
        raise Unreachable("unreachable", f"No answer after {self.attempts} attempts ({last}).", "Check the address and the network; what was sent is kept.")

    def once(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        """One attempt. A body given as a function is opened anew for each, for a stream can be read only once, and closed after."""
        if not callable(options.get("data")):
            return self.session.request(method, url, allow_redirects=False, **options)
        with options["data"]() as source:
            return self.session.request(method, url, allow_redirects=False, **{**options, "data": source})

    def close(self) -> None:
        self.session.close()

    def again(self, method: str, response: requests.Response) -> bool:
        return response.status_code in (TRY_LATER if method in SAFE_TWICE else NOTHING_DONE)

    def wait(self, attempt: int, response: requests.Response | None) -> float:
        """Seconds to wait: what Retry-After asks for beyond the back-off, else pause x 2^n with jitter."""
        if response is not None:
            asked = response.headers.get("Retry-After", "")
            return min(float(asked), LONGEST_WAIT_S) if asked.isdigit() else 0.0
        return float(min(self.pause_s * 2 ** (attempt - 1), LONGEST_WAIT_S) * random.uniform(0.7, 1.3))  # noqa: S311  (jitter, no secret)

    def judged(self, response: requests.Response, ok: frozenset[int]) -> requests.Response:
        """The response itself when it is good; raises Refused with the registry's own words otherwise."""
        if response.status_code in ok or 200 <= response.status_code < 300:
            return response
        problem = body(response)
        errors = tuple({str(k): str(v) for k, v in e.items()} for e in problem.get("errors") or () if isinstance(e, dict))
        code = str(problem.get("code") or f"http_{response.status_code}")
        reason = str(problem.get("detail") or f"The registry answered {response.status_code} without a reason.")
        raise Refused(code, reason, str(problem.get("advice") or ""), response.status_code, errors)

    def get(self, path: str, **query: Any) -> Any:
        """GET, decoded from JSON; query values of None are left out."""
        return content(self.send("GET", path, params={k: v for k, v in query.items() if v is not None}))

    def post(self, path: str, data: Mapping[str, Any] | None = None) -> Any:
        """POST of JSON, answer decoded (None when it has no body)."""
        return content(self.send("POST", path, json=dict(data or {})))

    def delete(self, path: str) -> None:
        self.send("DELETE", path)

    def pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every entry of a list, page after page. Raises Unreachable when an answer is not a list of ours."""
        page = self.get(path, **query)
        while True:
            if not isinstance(page, dict) or not isinstance(page.get("results"), list):
                raise Unreachable("not_a_registry", "The answer is not a registry's list.", "Check the address.")
            yield from page["results"]
            if not page.get("next"):
                return
            page = self.get(page["next"])


def content(response: requests.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        raise Unreachable("not_a_registry", "The answer is not JSON.", "Check the address: something else answers there.") from None


def body(response: requests.Response) -> dict[str, Any]:
    """The problem document (RFC 9457), or nothing when there is none."""
    try:
        found = response.json()
    except (ValueError, requests.exceptions.RequestException):
        return {}
    return found if isinstance(found, dict) else {}


def never_connected(error: requests.exceptions.RequestException) -> bool:
    """Whether no connection was made, so that the registry cannot have acted."""
    return isinstance(error, requests.exceptions.ConnectTimeout) or "NewConnectionError" in repr(error)
