"""The end of a lab: in order where its keeper lives, by force where it was killed. Nothing stays."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress

from rackwright.commands.lab_site import Ground, namespace_of
from rackwright.sim import wires
from rackwright.sim.qemu import found

ORDERLY = 150.0
"""Seconds for the keeper to end all that it keeps."""
POLITE = 15.0
"""Seconds for what is left after that."""
FORCED = 10.0
LOOK = 0.1


def end(ground: Ground) -> bool:
    """End the lab of the folder, and remove what it made; gives whether there was anything."""
    namespace = namespace_of(ground.id)
    was_there = ground.file.exists() or namespace in wires.namespaces()
    keeper = _keeper(ground)
    if keeper is not None:
        _until_gone({keeper}, signal.SIGTERM, ORDERLY)
    for number, patience in ((signal.SIGTERM, POLITE), (signal.SIGKILL, FORCED)):
        _until_gone(inhabitants(namespace), number, patience)
    wires.tear(namespace)
    _remove(ground)
    return was_there


def inhabitants(namespace: str) -> set[int]:
    """The processes in the namespace: all of them were started by the lab."""
    if namespace not in wires.namespaces():
        return set()
    said = subprocess.run([found("ip"), "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return {int(word) for word in said.stdout.split()}


def _keeper(ground: Ground) -> int | None:
    """The keeper's process, if it lives: a number alone may be another's by now, the namespace tells."""
    with suppress(OSError, ValueError):
        pid = int(ground.pid.read_text())
        if pid in inhabitants(namespace_of(ground.id)):
            return pid
    return None


def _until_gone(pids: set[int], number: signal.Signals, patience: float) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    end_at = time.monotonic() + patience
    while any(_lives(pid) for pid in pids) and time.monotonic() < end_at:
        time.sleep(LOOK)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _remove(ground: Ground) -> None:
    """Remove what the lab made; the folder too, when nothing else is in it."""
    for folder in (ground.site, ground.machines):
        shutil.rmtree(folder, ignore_errors=True)
    names = (ground.file, ground.control, ground.log, ground.happenings, ground.pid)
    for file in (*names, *(ground.folder / name for name in ("bmc.crt", "bmc.key"))):
        file.unlink(missing_ok=True)
    with suppress(OSError):
        ground.folder.rmdir()
