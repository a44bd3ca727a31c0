"""One site for the tests of each module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`rackwright up` with two racks; ended in order at the end, with nothing left."""
    made = Site(tmp_path_factory.mktemp("site").resolve())
    yield made
    made.end()
