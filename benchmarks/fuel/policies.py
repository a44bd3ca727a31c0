"""The policies, ready to be measured: for ``dask`` with a scheduler and workers of our own, over TLS on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.fuel.meter import descendants
from rackwright.engine.serialization.dask.archive import Archive
from rackwright.engine.serialization.dask.certificates import make_certificates
from rackwright.engine.serialization.dask.link import Link, Seen
from rackwright.engine.serialization.policy import Policy, PolicySettings, choose

names = ("serial", "processes", "dask")

_LOCAL = "127.0.0.1"
_PATIENCE = 60.0

Workers = Callable[[], list[int]]
"""Gives the processes that work for a policy now."""


@contextmanager
def running(name: str, workers: int) -> Iterator[tuple[Policy, Workers]]:
    """Give a policy with that many workers, and those workers."""
    if name == "dask":
        with _cluster(workers) as (settings, pids):
            yield choose(0, settings), lambda: pids
        return
    yield choose(0, PolicySettings(policy=name, processes=workers)), lambda: descendants(os.getpid())


@contextmanager
def _cluster(workers: int) -> Iterator[tuple[PolicySettings, list[int]]]:
    with tempfile.TemporaryDirectory(prefix="rackwright-bench-") as folder, ExitStack() as stack:
        certificates, port = Path(folder) / "certificates", str(_free_port())
        make_certificates(certificates, [_LOCAL])
        own = ("--certificates", str(certificates))
        stack.enter_context(_process("dask", "scheduler", "--port", port, *own))
        address = f"tls://{_LOCAL}:{port}"
        common = ("serializer", "--scheduler", address, *own, "--data", folder, "--control")
        pids = [stack.enter_context(_process(*common, "--node", f"bench-{n}")).pid for n in range(workers)]
        _wait_for(workers, address, certificates)
        yield PolicySettings(policy="dask", scheduler=address, certificates=certificates), pids


def _wait_for(workers: int, address: str, certificates: Path) -> None:
    """Wait until the scheduler knows all workers: their start is not what is measured."""
    end, seen = time.monotonic() + _PATIENCE, 0
    with Link(address, certificates, Archive("", b"")) as link:
        while seen < workers:
            event = link.hear(1)
            seen = len(event.workers) if isinstance(event, Seen) else seen
            if time.monotonic() > end:
                sys.exit(f"serialize: of {workers} Dask workers {seen} started")


@contextmanager
def _process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of the product until the end of the block."""
    process = subprocess.Popen([sys.executable, "-m", "rackwright", *command], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOCAL, 0))
        return int(probe.getsockname()[1])
