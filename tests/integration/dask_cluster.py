"""A Dask cluster of real processes for tests: scheduler and workers with TLS, and work for them to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rackwright.commands.demo_ground import free_port
from rackwright.engine.serialization.dask.certificates import make_certificates
from rackwright.engine.serialization.policy import PolicySettings
from rackwright.engine.serialization.processes import Work

PATIENCE = 60.0
ROOT = Path(__file__).resolve().parents[2]


def eventually(true: Callable[[], bool], what: str) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.02)


def work_of(folder: Path, body: str) -> Work:
    """Work that is a module of its own: ``body`` is the inside of ``answer(setup, chunk)``."""
    file = folder / "work_of_test.py"
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    file.write_text(
        "import hashlib, os, signal, time\nfrom pathlib import Path\nimport rackwright\n\n"
        f"def answer(setup, chunk):\n{lines}"
    )
    return Work("work_of_test:answer", (file,))


class Running:
    """A process of the product, with its log."""

    def __init__(self, log: Path, words: tuple[str, ...], environment: dict[str, str]) -> None:
        self.log = log
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rackwright", *words],
                env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            )  # fmt: skip

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log with this event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def until(self, event: str, count: int = 1) -> None:
        """Wait until the log tells of an event that many times."""

        def told() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return len(self.lines(event)) >= count

        eventually(told, f"{event} in {self.log.read_text()}")

    def kill(self) -> None:
        """End it by force."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """End it politely; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


class Cluster:
    """A scheduler, workers, and the settings of a client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificates = folder / "dask"
        make_certificates(self.certificates, ["127.0.0.1"])
        self.port = free_port()
        self.address = f"tls://127.0.0.1:{self.port}"
        self.running: list[Running] = []
        self.scheduler: Running
        self.start_scheduler()

    def run(self, *words: str, **environment: str) -> Running:
        """Run any command of the product until the cluster ends."""
        running = Running(self.folder / f"{len(self.running)}.log", words, environment)
        self.running.append(running)
        return running

    def start_scheduler(self) -> None:
        """Start a scheduler on the cluster's port."""
        scheduler = self.run(
            "dask", "scheduler", "--port", str(self.port), "--certificates", str(self.certificates)
        )  # fmt: skip
        scheduler.until("scheduler began")
        self.scheduler = scheduler

    def start(self, node: str, *words: str, **environment: str) -> Running:
        """Start a worker, without waiting for it."""
        settings = {"RACKWRIGHT_SCHEDULER": self.address, "RACKWRIGHT_CERTIFICATES": str(self.certificates)}
        return self.run("serializer", "--node", node, *words, **{**settings, "MARK": node, **environment})

    def worker(self, node: str, *words: str, **environment: str) -> Running:
        """Start a worker and wait until it is registered."""
        worker = self.start(node, *words, **environment)
        worker.until("serializer began")
        return worker

    def workers(self, nodes: dict[str, tuple[str, ...]]) -> list[Running]:
        """Start workers at once, by node with their options, and wait until all are registered."""
        started = [self.start(node, *words) for node, words in nodes.items()]
        for worker in started:
            worker.until("serializer began")
        return started

    def settings(self, **other: Any) -> PolicySettings:
        """A client's settings."""
        return PolicySettings(
            **{"policy": "dask", "scheduler": self.address, "certificates": self.certificates, "grace": 20.0, **other}
        )

    def end(self) -> None:
        """End all processes: the workers at once, then the scheduler."""
        for running in self.running:
            if running.process.poll() is None and running is not self.scheduler:
                running.process.send_signal(signal.SIGTERM)
        for running in reversed(self.running):
            running.end()
