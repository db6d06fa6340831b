"""A little registry: real sockets and real bytes, speaking the few paths that sending and receiving need, and misbehaving on demand."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from client.api import Registry


class Little(ThreadingHTTPServer):
    """What it has, what it saw, and how it misbehaves: `trouble(method, path, nth)` names a status to answer with, "cut" to drop the line, or None."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str]] = []
        self.headers_seen: list[dict[str, str]] = []
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, str] = {}
        self.annotations: dict[int, str] = {}
        self.completed: dict[str, Any] | None = None
        self.package = b""
        self.cut_after: list[int] = []
        self.dead = False
        self.trouble: Callable[[str, str, int], int | str | None] = lambda method, path, nth: None
        self.answers: dict[str, Any] = {}
        self.retry_after = "0"
        self.lock = Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Little
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def handle_any(self) -> None:
        path = urlsplit(self.path).path.removeprefix("/api/v1")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.seen.append((self.command, path))
            self.server.headers_seen.append(dict(self.headers))
            trouble = self.server.trouble(self.command, path, self.server.seen.count((self.command, path)))
        if trouble == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif trouble == 302:
            self.reply(302, b"", {"Location": "http://127.0.0.1:9/"})
        elif isinstance(trouble, int):
            self.problem(trouble, "busy", "Come back later.")
        else:
            self.answer(path, body)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def answer(self, path: str, body: bytes) -> None:
        if match := re.fullmatch(r"/uploads/u1/files/(\d+)", path):
            self.store(int(match[1]), body)
        elif path == "/uploads/u1/files":
            rows = [{"number": n, "sha256": hashlib.sha256(d).hexdigest(), "bytes": len(d)} for n, d in sorted(self.server.files.items())]
            self.send_json({"next": None, "results": rows})
        elif path == "/uploads/u1/complete":
            self.server.completed = json.loads(body)
            self.send_json({"id": "u1", "dataset": "d", "site": "s", "state": "received"})
        elif path == "/packages/p1/download":
            self.download()
        elif path == "/annotations":
            self.send_json({"words": ["cord", "lesion"]})
        elif path in self.server.answers:
            self.send_json(self.server.answers[path])
        else:
            self.problem(404, "not_found", "There is no such thing.")

    def store(self, number: int, body: bytes) -> None:
        said = b64decode(self.headers["Content-Digest"].removeprefix("sha-256=:").removesuffix(":"))
        if said != hashlib.sha256(body).digest():
            self.problem(422, "digest_mismatch", "The bytes do not have the hash they came with.")
            return
        with self.server.lock:
            self.server.files[number] = body
            asked = parse_qs(urlsplit(self.path).query)
            self.server.folders[number] = "".join(asked.get("folder", [""]))
            self.server.annotations[number] = "".join(asked.get("annotation", [""]))
        self.send_json({"number": number, "sha256": said.hex(), "bytes": len(body)}, 201)

    def download(self) -> None:
        if self.server.dead:
            self.problem(410, "package_dead", "A participant left.")
            return
        data, etag = self.server.package, f'"{hashlib.sha256(self.server.package).hexdigest()}"'
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.headers.get("If-Range") == etag else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", etag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        stop = self.server.cut_after.pop(0) if self.server.cut_after else len(data)
        self.wfile.write(data[start : start + stop])
        if start + stop < len(data):
            self.close_connection = True

    def send_json(self, data: Any, status: int = 200) -> None:
        self.reply(status, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def problem(self, status: int, code: str, detail: str) -> None:
        data = {"status": status, "code": code, "detail": detail, "advice": "Ask.", "errors": [{"field": "a", "reason": "b"}]}
        self.reply(status, json.dumps(data).encode(), {"Content-Type": "application/problem+json", "Retry-After": self.server.retry_after})

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def little() -> Iterator[Little]:
    server = Little()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def registry(little: Little) -> Iterator[Registry]:
    found = Registry(little.url, "myl_secret", attempts=4, pause_s=0.01)
    yield found
    found.wire.session.close()


@pytest.fixture
def base64() -> Callable[[bytes], str]:
    return lambda data: b64encode(data).decode()
