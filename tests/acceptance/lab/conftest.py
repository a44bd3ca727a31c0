"""One lab for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.commands.lab_site import NEEDED
from rackwright.sim import qemu, wires
from tests.acceptance.lab.running import RunningLab


@pytest.fixture(scope="package")
def lab(root: Path) -> Iterator[RunningLab]:
    """A lab with a BIOS machine by IPMI, a UEFI one by Redfish, and a third one that nobody has told the rack about.
    Afterwards no namespace and no process of it is left."""
    if os.geteuid() != 0:
        pytest.skip("machines under emulation take root: network namespaces, bridges, taps")
    lacking = qemu.missing({**NEEDED, "mmdebstrap": "mmdebstrap"})
    if lacking:
        pytest.skip(f"machines under emulation take these Debian packages: {' '.join(sorted(set(lacking.values())))}")
    before = wires.namespaces()
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    made = RunningLab(folder / "lab", root / ".cache" / "lab-images")
    try:
        made.start()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)
    assert wires.namespaces() == before
