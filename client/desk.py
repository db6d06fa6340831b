"""What a desk remembers between commands: where the registry is, the token (mode 0600), and which upload a folder was being handed in as.

Lies in `$MYELIN_DESK`, else `$XDG_CONFIG_HOME/myelin`, else `~/.config/myelin`. Folders are remembered by hash: a path can identify.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client.errors import Usage


@dataclass(frozen=True)
class Desk:
    """The folder where this desk remembers."""

    home: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Desk:
        if "MYELIN_DESK" in environment:
            return cls(Path(environment["MYELIN_DESK"]))
        return cls(Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "myelin")

    def remember(self, url: str, token: str) -> None:
        self.write("login.json", {"url": url, "token": token})

    def login(self, environment: Mapping[str, str]) -> tuple[str, str]:
        """(url, token) from MYELIN_REGISTRY and MYELIN_TOKEN, else from the last login. Raises Usage when there is neither."""
        saved = self.read("login.json")
        url = environment.get("MYELIN_REGISTRY") or saved.get("url", "")
        # A token is given to the registry it was made by, never to another one named in the environment.
        own = saved.get("token", "") if url == saved.get("url") else ""
        token = environment.get("MYELIN_TOKEN") or own
        if not url or not token:
            raise Usage("not_logged_in", "No registry or no token is known here.", "Run: myelin login URL, or set MYELIN_REGISTRY and MYELIN_TOKEN.")
        return url, token

    def upload_of(self, key: str) -> str | None:
        return self.read("uploads.json").get(key)

    def remember_upload(self, key: str, upload: str | None) -> None:
        """Note which upload a folder is being handed in as; None forgets it."""
        known = self.read("uploads.json")
        known.pop(key, None)
        if upload:
            known[key] = upload
        self.write("uploads.json", known)

    def read(self, name: str) -> dict[str, str]:
        try:
            found = json.loads((self.home / name).read_text())
        except (OSError, ValueError):
            return {}
        return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}

    def write(self, name: str, data: Mapping[str, str]) -> None:
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self.home / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            json.dump(dict(data), out)
        temporary.replace(self.home / name)


def upload_key(url: str, dataset: str, site: str, folder: Path) -> str:
    """The name under which a hand-in is remembered."""
    return hashlib.sha256("\0".join((url, dataset, site, str(folder.resolve()))).encode()).hexdigest()
