"""`python -m client`, also installed as `myelin`."""

from __future__ import annotations

from client.cli import run


def main() -> int:
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
