"""Clinical tables at a desk: read as text, cut down to what a mapping reads before anything is sent, and tables of the registry written to a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from client.errors import Broken, Usage


def text(path: Path) -> str:
    """The file as text, a byte order mark dropped. Raises Usage for what is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Usage("not_utf8", "The file is not text in UTF-8.", "Export it as UTF-8.") from None


def columns(spec: Mapping[str, Any]) -> Iterator[str]:
    """Every column that a mapping reads."""
    for record in spec["records"]:
        yield from record.get("when", {})
        for source in (*record["fields"].values(), record.get("number")):
            yield from _column(source)
    for place, names in (("participant", ("sex", "birth_year_band")), ("visit", ("date", "label"))):
        for name in names:
            yield from _column(spec[place].get(name))
    yield spec["participant"]["column"]


def _column(source: Any) -> Iterator[str]:
    found = source.get("column") if isinstance(source, Mapping) else source
    if isinstance(found, str):
        yield found


def cut(table: str, spec: Mapping[str, Any]) -> str:
    """The table with only the columns that the mapping reads (and REDCap's own). Raises Usage when it cannot be told apart into cells."""
    wanted = set(columns(spec)) | ({"redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance"} if spec.get("format") == "redcap" else set())
    delimiter = spec.get("delimiter", ",")
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    places: list[int] = []
    try:
        for n, row in enumerate(csv.reader(io.StringIO(table, newline=""), delimiter=delimiter, strict=True)):
            places = [place for place, name in enumerate(row) if name.strip() in wanted] if n == 0 else places
            # A row of another length stays wrong, so that the registry names it.
            writer.writerow([row[place] for place in places if place < len(row)])
    except csv.Error:
        raise Usage("not_a_table", "The file cannot be told apart into rows and cells.", "Export it anew as CSV.") from None
    return out.getvalue()


def lay_out(files: Mapping[str, str], folder: Path) -> None:
    """Write texts below a folder. Raises Broken for a path that would leave it."""
    for name, written in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise Broken("path_leaves", "The registry named a file outside the folder.", "Tell those who run it.")
        target = folder.joinpath(*path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(written, encoding="utf-8", newline="")
