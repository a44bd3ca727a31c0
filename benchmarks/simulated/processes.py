"""Processes of the product, and what they take of memory and processors."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.simulated.account import Stopped, Usage

PATIENCE = 120.0
"""Seconds for a process to end."""


class Process:
    """A process of the product, with its words in a file."""

    def __init__(self, name: str, folder: Path, *words: str) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RACKWRIGHT_")}
        environment |= {"RACKWRIGHT_DATA": str(folder / "region")}
        with self._log.open("wb") as log:
            # A session of its own: who is to stop all this by Ctrl-C stops the benchmark, which ends them in order.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rackwright", *words], env=environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def check(self) -> None:
        """Raise Stopped if it has ended."""
        if self._process.poll() is not None:
            raise Stopped(f"{self.name} ended:\n{self._log.read_text(errors='replace')[-2000:]}")

    def end(self) -> None:
        """End it in order; by force when it takes too long."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid


def usage(pids: Sequence[int]) -> Usage:
    """What processes and all below them hold and have used, what they share with others left out: by what they are."""
    found = Usage()
    for what, size, seconds in (member for pid in pids for member in _family(pid)):
        found.memory_mb.setdefault(what, []).append(size)
        found.cpu_seconds[what] = found.cpu_seconds.get(what, 0.0) + seconds
    found.memory_mb["postgres"] = [sum(found.memory_mb.get("postgres", []))]
    return found


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[tuple[str, int, float]]:
    """A process and all below it: what it is, its MB, and the seconds that it and its dead children took."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        times = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:15]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    own = sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")) // 1024
    what = words[words.index("rackwright") + 1] if "rackwright" in words else "postgres"
    below = [found for child in children for found in _family(int(child))]
    return [(what, own, sum(map(int, times)) / os.sysconf("SC_CLK_TCK")), *below]
