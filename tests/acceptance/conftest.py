"""One site for the tests of each module, and one place for the images of all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """`rackwright up` with two racks; ended in order at the end, with nothing left."""
    made = Site(tmp_path_factory.mktemp("site").resolve())
    yield made
    made.end()


@pytest.fixture(scope="session")
def images_home(root: Path) -> Path:
    """The data folder in which all tests build images: one that was built is used again, also by the next run."""
    return root / ".cache" / "lab-images"


@pytest.fixture(scope="session")
def image_cache(images_home: Path) -> Path:
    """Where `rackwright image build` keeps packages and images in that folder."""
    cache = images_home / "image-cache"
    cache.mkdir(parents=True, exist_ok=True)
    return cache
