"""One postmaster: found, started, waited for and stopped.

A server counts as ours when it works in our cluster: a process whose working folder is the cluster and whose program is
``postgres``. So a recycled process id is never taken for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rackwright.store.embedded.folder import SOCKET_NAME, Folder
from rackwright.store.embedded.identity import Identity
from rackwright.store.embedded.log import Log
from rackwright.store.embedded.programs import Programs

STATUS_LINE = 7  # of postmaster.pid: "ready" once connections are taken (PostgreSQL, miscadmin.h)
TICK = 0.05  # seconds
PATIENCE_WITH_ORPHANS = 2.0  # seconds before each stronger signal
PATIENCE_WITH_STOP = 120.0  # seconds for the checkpoint of a fast shutdown


class Server:
    """A running postmaster, either our child or one found running."""

    def __init__(self, cluster: Path, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.pid = pid
        self._cluster = cluster
        self._child = child

    def is_alive(self) -> bool:
        """Whether the postmaster runs; a dead child is buried by the way."""
        if self._child is not None:
            return self._child.poll() is None
        return works_in(self.pid, self._cluster)

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        return self.is_alive() and read_status(self._cluster) == (self.pid, "ready")

    def stop(self, note: Callable[[str], None]) -> None:
        """End it in order (fast shutdown); at once, to recover at the next start, if that takes too long."""
        for signal_number, patience in ((signal.SIGINT, PATIENCE_WITH_STOP), (signal.SIGQUIT, PATIENCE_WITH_ORPHANS)):
            if not self.is_alive():
                return
            note(f"stopping PostgreSQL, process {self.pid}, with {signal_number.name}")
            os.kill(self.pid, signal_number)
            _wait(lambda: not self.is_alive(), patience)


def found(cluster: Path) -> Server | None:
    """The server that already runs in ``cluster``."""
    pid, _ = read_status(cluster)
    return Server(cluster, pid) if works_in(pid, cluster) else None


def started(folder: Folder, identity: Identity, programs: Programs) -> Server:
    """Start a server in the folder's cluster. No other may be running in it: ``clear_remains`` goes before."""
    log = Log(folder.log)
    says = log.open()
    try:
        child = identity.launch([str(programs.postgres), "-D", str(folder.cluster)], says=says)
    finally:
        os.close(says)
    return Server(folder.cluster, child.pid, child)


def clear_remains(folder: Folder, note: Callable[[str], None]) -> None:
    """After the death of a postmaster: let its orphans leave, make them if they will not, remove its lock files.

    To be called by the holder of the guard's lock only.
    """
    cluster = folder.cluster
    for signal_number in (None, signal.SIGQUIT, signal.SIGKILL):
        for pid in _workers_in(cluster):
            if signal_number is not None:
                note(f"ending process {pid}, left over by a dead PostgreSQL, with {signal_number.name}")
                with suppress(ProcessLookupError):
                    os.kill(pid, signal_number)
        if _wait(lambda: not _workers_in(cluster), PATIENCE_WITH_ORPHANS):
            break
    (folder.socket() / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
    pid, _ = read_status(cluster)
    if pid and _exists(pid):
        # PostgreSQL would refuse to start for any process of that number, and this one is dead or something else.
        note(f"removing a stale postmaster.pid: process {pid} is no server of this folder")
        (cluster / "postmaster.pid").unlink()


def read_status(cluster: Path) -> tuple[int, str]:
    """The process id and the status (starting, ready, stopping) in ``postmaster.pid``; (0, "") without one."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        return int(lines[0]), lines[STATUS_LINE].strip()
    except (OSError, ValueError, IndexError):
        return 0, ""


def works_in(pid: int, cluster: Path) -> bool:
    """Whether ``pid`` is a PostgreSQL process of ``cluster``."""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        return Path(program).name.startswith("postgres") and os.path.samefile(f"/proc/{pid}/cwd", cluster)
    except OSError:
        return False


def _workers_in(cluster: Path) -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and works_in(int(name), cluster)]


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _wait(is_done: Callable[[], bool], patience: float) -> bool:
    end = time.monotonic() + patience
    while not is_done():
        if time.monotonic() > end:
            return False
        time.sleep(TICK)
    return True
