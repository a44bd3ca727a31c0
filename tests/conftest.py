"""What every test may use: where the checkout is, and the real data beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the host than about the product.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

ROOT = Path(__file__).resolve().parent.parent


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
