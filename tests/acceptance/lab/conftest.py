"""One lab for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rackwright.commands.lab_site import NEEDED, Ground, namespace_of
from rackwright.sim import qemu, wires
from tests.acceptance.lab.running import RunningLab


@pytest.fixture(scope="package")
def lab(images_home: Path) -> Iterator[RunningLab]:
    """A lab with a BIOS machine by IPMI, a UEFI one by Redfish, and a third one that nobody has told the rack about.
    Afterwards its namespace, and all that ran in it, is gone."""
    if os.geteuid() != 0:
        pytest.skip("machines under emulation take root: network namespaces, bridges, taps")
    lacking = qemu.missing({**NEEDED, "mmdebstrap": "mmdebstrap"})
    if lacking:
        pytest.skip(f"machines under emulation take these Debian packages: {' '.join(sorted(set(lacking.values())))}")
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    made = RunningLab(folder / "lab", images_home)
    try:
        made.start()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder)
    assert namespace_of(Ground(made.folder).id) not in wires.namespaces()
