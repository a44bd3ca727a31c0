"""What every test may use: where the checkout is, and the real data beside it; and how the tests are shared out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer

from tests.side_by_side import ByFile

# How long an example takes says more about the host than about the product.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

pytest_plugins = ["tests.left_open"]

ROOT = Path(__file__).resolve().parent.parent


def pytest_xdist_auto_num_workers() -> int:
    """One more than this process has processors: most tests wait for a process, a disk or a beat."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Who runs which tests."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def fuel_data() -> Path:
    """The folder of the real Fuel catalog with its golden results; tests that need it are skipped without it."""
    folder = ROOT.parent / "shared" / "data" / "fuel"
    if not folder.is_dir():
        pytest.skip(f"the real catalog is not beside this checkout: no folder {folder}")
    return folder
