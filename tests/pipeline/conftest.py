"""Children are kept between tests, for most of a small test is their start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.isolate import Pool


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """One child at a time, shared by the tests that do not care which."""
    with Pool(1) as pool:
        yield pool
