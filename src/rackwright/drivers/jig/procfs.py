"""What Linux says about processes: the few fields of /proc that telling our processes from others needs.

Source: proc_pid_stat(5), proc_pid_environ(5), proc_sys_kernel(5). Reading never raises for a process that is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessStat:
    """Fields of /proc/PID/stat; ``start`` is in clock ticks since boot and, with the boot id, names a process for
    good, while a pid alone is used again."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start: int

    @property
    def alive(self) -> bool:
        """False for a zombie: it runs no code any more."""
        return self.state not in "ZX"


def boot_id() -> str:
    """The identity of this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def read_stat(pid: int) -> ProcessStat | None:
    """The state of process ``pid``; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses itself; the fields begin after the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    state, parent, group, session = fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3])
    return ProcessStat(pid, state, parent, group, session, start=int(fields[19]))


def read_environ(pid: int) -> list[bytes]:
    """The environment that process ``pid`` was started with, as ``NAME=value``; empty when it cannot be read."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def command_line(pid: int) -> str:
    """The words of process ``pid``, joined by blanks and cut at 200 characters; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            text = file.read(2048)
    except OSError:
        return ""
    return text.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")[:200]


def live_processes() -> Iterator[ProcessStat]:
    """Every process that still runs."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = read_stat(int(name))
            if stat is not None and stat.alive:
                yield stat
