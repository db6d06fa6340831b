"""Files that come with a form: kept in memory, ten MiB of them in one request and no byte on a disk that nobody wipes. Scans come another way."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadhandler import MemoryFileUploadHandler

MOST_BYTES = 10 * 1024 * 1024


class InMemory(MemoryFileUploadHandler):
    """What is beyond is read and let go; the file's size still tells the truth, so that its form says that it was too large."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated, self.kept = True, 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        room = MOST_BYTES + 1 - self.kept
        if room > 0:
            self.file.write(raw_data[:room])
            self.kept += min(room, len(raw_data))
