"""How a package's bytes go over HTTP, by the API's door and the portal's page alike: whole or one range, each 256 KiB asked for anew."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from registry.audit import actions as audit
from registry.releases import packing
from registry.releases.models import Package
from registry.rules import Denied

RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
SEND_BUFFER = 128 * 1024


def name(package: Package) -> str:
    """The package's name as a file, without its ending."""
    return f"{package.release.dataset.slug}-{package.release.version}"


def span(request: HttpRequest, package: Package) -> tuple[int, int, bool] | None:
    """(first, end, partial) of what is asked for; None when it cannot be had. What is no single byte range is read as no range (RFC 9110 14.2)."""
    whole = (0, package.bytes, False)
    found = RANGE.fullmatch(request.headers.get("Range", "").strip())
    condition = request.headers.get("If-Range")
    if not found or found.groups() == ("", "") or (condition is not None and condition.strip() != _etag(package)):
        return whole
    first, last = found.groups()
    if not first:
        start, end = max(0, package.bytes - int(last)), package.bytes
    else:
        start, end = int(first), min(int(last) + 1 if last else package.bytes, package.bytes)
        if last and int(last) < int(first):
            return whole
    return (start, end, True) if start < end else None


def _etag(package: Package) -> str:
    return f'"{package.sha256}"'


def streamed(request: HttpRequest, package: Package, start: int, end: int, partial: bool) -> HttpResponse | StreamingHttpResponse:
    headers = {
        "Content-Length": str(end - start),
        "Accept-Ranges": "bytes",
        "ETag": _etag(package),
        "Content-Disposition": f'attachment; filename="{name(package)}.tar.age"',
        "Cache-Control": "private, no-store",
        "X-Accel-Buffering": "no",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{package.bytes}"
    status = 206 if partial else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, content_type="application/octet-stream", headers=headers)
    _keep_little_in_flight(request)
    chunks = _asked_anew(request.user, package.pk, start, end)
    return StreamingHttpResponse(chunks, status=status, content_type="application/octet-stream", headers=headers)


def _keep_little_in_flight(request: HttpRequest) -> None:
    """What the kernel has taken cannot be called back: gunicorn lends us the socket, and its send buffer is kept small."""
    connection = request.META.get("gunicorn.socket")
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


def _asked_anew(user: Any, package: UUID, start: int, end: int) -> Iterator[bytes]:
    """The chunks; a denial becomes a line in the log and a broken connection, which no client can take for the end of the file."""
    try:
        yield from packing.chunks(package, start, end)
    except (Denied, FileNotFoundError) as error:
        code = error.code if isinstance(error, Denied) else "package_dead"
        audit.denied(user, "package.download", f"package:{package}", code)
        raise BrokenPipeError(errno.EPIPE, f"download ended: {code}") from None
