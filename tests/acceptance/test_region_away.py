"""The region is away for as long as AWAY_SECONDS says (`make away`): DHCP, DNS and boot are asked twice a second all
the time, and the rack's process is killed and started anew meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from rackwright.commands.demo_machine import patiently
from tests.acceptance.rack_process import MAC, ServedRack, served_rack
from tests.acceptance.site import eventually
from tests.integration.dhcp_wire import asked

pytestmark = pytest.mark.slow

AWAY = float(os.environ.get("AWAY_SECONDS", "20"))
TURN = 0.5
"""Seconds between two rounds of questions."""
PATIENCE = 10.0
"""Seconds within which an answer must come: a busy host takes its time."""


class Questions:
    """What machines ask all the time, and how often each was answered as it should be, not at all, or otherwise."""

    def __init__(self, rack: ServedRack, address: str) -> None:
        self.rack, self.address = rack, address
        self.right: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.strangers = 0
        offered = self._node()
        self.boot = offered["67"].replace("${netX/mac}", MAC).replace("${platform}", "pcbios")
        self.door = httpx.Client(trust_env=False, verify=False, timeout=PATIENCE)
        assert self._booted(), self.boot
        self._kinds: dict[str, Callable[[], bool]] = {
            "DHCP": lambda: self._node().get("address") == self.address,
            "a stranger's lease": self._stranger,
            "DNS": lambda: rack.address_of("n7.rack.test", PATIENCE) == self.address,
            "boot": self._booted,
        }

    def round(self) -> None:
        """Ask everything once."""
        begun = time.monotonic()
        for kind, ask in self._kinds.items():
            (self.right if ask() else self.wrong)[kind] += 1
        time.sleep(max(0.0, begun + TURN - time.monotonic()))

    def _node(self) -> dict[str, Any]:
        return asked(self.rack.line, MAC, user="iPXE", vendor="PXEClient:Arch:00000", arch="0")

    def _stranger(self) -> bool:
        """Each comes once and is not seen again: without the leases that end there would soon be nothing left. One
        comes in every fourth round."""
        self.strangers += 1
        mac = f"52:54:00:01:{self.strangers // 4 >> 8:02x}:{self.strangers // 4 & 255:02x}"
        address: str = asked(self.rack.line, mac, lease="yes").get("address", "")
        return "10.77.0.200" <= address <= "10.77.0.209"

    def _booted(self) -> bool:
        with suppress(httpx.HTTPError):
            script: str = self.door.get(self.boot).text
            return script.startswith("#!ipxe")
        return False

    def __enter__(self) -> Questions:
        return self

    def __exit__(self, *_: object) -> None:
        self.door.close()


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRack]:
    with served_rack(tmp_path_factory.mktemp("rack").resolve()) as made:
        yield made


def test_with_the_region_away_machines_are_answered_all_the_time_also_after_the_racks_own_restart(
    rack: ServedRack,
) -> None:
    def is_current() -> bool:
        now = patiently(lambda: rack.site.client.get("/racks/h1"))["serving"]
        return bool(now["applied"] == now["generation"])

    eventually(is_current, "everything is applied")
    eventually(lambda: rack.address_of("n7.rack.test") == "10.77.0.7", "DNS")
    with Questions(rack, "10.77.0.7") as asking:
        _asked_while_the_region_is_away(rack, asking)
    # `make away` shows it.
    sys.stdout.write(f"answered: {dict(asking.right)}; not: {dict(asking.wrong)}\n")
    assert min(asking.right.values()) > AWAY / 4, asking.right
    # The door is closed from the kill until the next process has opened it; whoever boots then asks again.
    closed = asking.wrong.pop("boot", 0)
    assert (asking.wrong, 1 <= closed <= 30) == (Counter(), True), (asking.right, closed)
    patiently(lambda: rack.site.client.patch("/nodes/n7", {"address": "10.77.0.71"}))
    rack.answers(8481, "10.77.0.71")


def _asked_while_the_region_is_away(rack: ServedRack, asking: Questions) -> None:
    api = rack.site.machine.child("api")
    assert api is not None
    os.kill(api, signal.SIGSTOP)
    try:
        end, restart = time.monotonic() + AWAY, time.monotonic() + AWAY / 3
        while time.monotonic() < end:
            asking.round()
            if restart and time.monotonic() > restart:
                restart = 0.0
                rack.first.kill()
                # Its servers go on without it; only its door is closed.
                asking.round()
                rack.first.start()
    finally:
        os.kill(api, signal.SIGCONT)
