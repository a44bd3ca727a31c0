"""Restart the machine, or switch it off, from within."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rackwright.agent.job import Job

RESTART, OFF = "b", "o"
"""Letters of /proc/sysrq-trigger (kernel documentation, admin-guide/sysrq)."""


def reboot(job: Job) -> dict[str, Any]:
    """Restart, once the rack has taken the result."""
    return _later(job, partial(_go, "reboot", RESTART))


def power_off(job: Job) -> dict[str, Any]:
    """Switch off, once the rack has taken the result."""
    return _later(job, partial(_go, "poweroff", OFF))


def _later(job: Job, go: Callable[[], None]) -> dict[str, Any]:
    delay = min(60.0, job.seconds("delay"))

    def afterwards() -> None:
        time.sleep(delay)
        go()

    job.afterwards = afterwards
    return {}


def _go(verb: str, letter: str) -> None:
    """An installed system is asked by way of systemd; in a ramdisk nothing needs to be ended."""
    os.sync()
    if os.path.isdir("/run/systemd/system"):
        subprocess.run(["/usr/bin/systemctl", verb], check=False)
        return
    with open("/proc/sysrq-trigger", "w", encoding="ascii") as file:
        file.write(letter)
