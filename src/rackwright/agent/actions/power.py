"""Restart the machine, or switch it off, from within."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rackwright.agent import disks, kexec, rootfs
from rackwright.agent.job import Job

RESTART, OFF = "b", "o"
"""Letters of /proc/sysrq-trigger (kernel documentation, admin-guide/sysrq)."""


def reboot(job: Job) -> dict[str, Any]:
    """Restart, once the rack has taken the result. With ``way`` kexec the system on ``disk`` is started without the
    firmware, where this system and that one can; else through the firmware."""
    if job.text("way") == "kexec" and _ready(job):
        return _later(job, _start)
    return _later(job, partial(_go, "reboot", RESTART))


def power_off(job: Job) -> dict[str, Any]:
    """Switch off, once the rack has taken the result."""
    return _later(job, partial(_go, "poweroff", OFF))


def _ready(job: Job) -> bool:
    """Load the newest kernel of the system on the job's disk; its root is the partition ``root``."""
    try:
        disk = disks.choose(disks.disks(), job.parameters.get("disk") or {})
        device = disks.partition_path(disk.path, int(job.seconds("root")))
        with rootfs.mounted(device, os.path.join(job.folder, "root")) as folder:
            kernel, ramdisk = _newest(folder)
            for source, name in ((kernel, "kernel"), (ramdisk, "ramdisk")):
                shutil.copyfile(source, os.path.join(job.folder, name))
        arguments = f"root=UUID={rootfs.identity(device)} {job.text('arguments')}".strip()
        kexec.load(os.path.join(job.folder, "kernel"), os.path.join(job.folder, "ramdisk"), arguments)
    except (LookupError, OSError, rootfs.Stuck) as error:
        job.say(f"its system cannot be started directly ({error}): it restarts through the firmware\n")
        return False
    job.say(f"starting {os.path.basename(kernel)} without the firmware: {arguments}\n")
    return True


def _newest(root: str) -> tuple[str, str]:
    """Kernel and ramdisk where Debian's and its relatives' packages put them. Raises LookupError."""
    for kernel in sorted(glob.glob(os.path.join(root, "boot/vmlinuz-*")), key=os.path.getmtime, reverse=True):
        version = os.path.basename(kernel).removeprefix("vmlinuz-")
        ramdisk = os.path.join(root, f"boot/initrd.img-{version}")
        if os.path.exists(ramdisk):
            return kernel, ramdisk
    raise LookupError("there is no kernel with a ramdisk in its /boot")


def _later(job: Job, go: Callable[[], None]) -> dict[str, Any]:
    delay = min(60.0, job.seconds("delay"))

    def afterwards() -> None:
        time.sleep(delay)
        go()

    job.afterwards = afterwards
    return {}


def _start() -> None:
    """A kernel that does not start after all is no reason to stay."""
    try:
        kexec.start()
    except OSError:
        _go("reboot", RESTART)


def _go(verb: str, letter: str) -> None:
    """An installed system is asked by way of systemd; in a ramdisk nothing needs to be ended."""
    os.sync()
    if os.path.isdir("/run/systemd/system"):
        subprocess.run(["/usr/bin/systemctl", verb], check=False)
        return
    with open("/proc/sysrq-trigger", "w", encoding="ascii") as file:
        file.write(letter)
