"""JSON from strangers: of bounded size and depth, and nothing that only Python calls JSON. Everything else is a 400, never a 500."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http.request import RawPostDataException
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser

from registry.api.errors import TooLarge

MAX_DEPTH = 32
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def depth(text: str) -> int:
    """How deep brackets nest, strings left out; told without recursion, so that no text can exhaust the stack."""
    deepest = now = 0
    for found in TOKEN.finditer(text):
        mark = found.group()
        if mark in "[{":
            now += 1
            deepest = max(deepest, now)
        elif mark in "]}":
            now -= 1
    return deepest


class CarefulJSON(JSONParser):
    """JSON of at most `DATA_UPLOAD_MAX_MEMORY_SIZE` bytes and 32 levels, UTF-8, without NaN and Infinity, without a NUL in any text."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The value. Raises ParseError (`malformed_json`, `nested_too_deep`), TooLarge."""
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            raw = stream.read(limit + 1)
        except (RawPostDataException, OSError) as error:
            raise ParseError("The body could not be read.", code="malformed_json") from error
        if len(raw) > limit:
            raise TooLarge
        try:
            text = raw.decode("utf-8")
            if depth(text) > MAX_DEPTH:
                raise ParseError("This JSON nests deeper than anything this API takes.", code="nested_too_deep")
            if "\\u0000" in text or "\0" in text:
                raise ParseError("This JSON holds a NUL character.", code="malformed_json")
            return json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ParseError("The body is not JSON in UTF-8.", code="malformed_json") from error


class Bytes(BaseParser):
    """A body of plain bytes, left in the stream for the act to read."""

    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The stream itself: nothing is read here."""
        return stream
