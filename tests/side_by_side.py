"""How tests are shared out to the processes that run them side by side (pytest-xdist)."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

ACCEPTANCE = "tests/acceptance"
LAB = f"{ACCEPTANCE}/lab/"
EMULATED = tuple(f"{ACCEPTANCE}/test_{name}.py" for name in ("boot_by_ipxe", "discovery_image", "layouts"))


class ByFile(LoadFileScheduling):
    """A file of tests is never split: what its module starts is started once. All files of the lab are one share, for
    there is one lab; so are the others that emulate machines for minutes, for each takes a whole processor.

    ByFile are given out in the order of collection, which begins with the longest: what comes last is short, so that
    all processes end at about the same time.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if file.startswith(LAB):
            return LAB
        return "emulated machines" if file in EMULATED else file
