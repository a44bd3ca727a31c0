"""What a process measures of itself, as Prometheus wants it (https://prometheus.io/docs/concepts/metric_types/).

Each process has its own numbers and gives them with its beats; the api tells those of all. Labels are bounded: no node,
no rack, no path stands in one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import msgspec
from prometheus_client import CollectorRegistry, Gauge, Histogram

from rackwright.core.services import Family, Point

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds."""
LOOK = 0.25
"""Seconds between two looks at how late the loop is."""
_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD"})


class Telemetry:
    """The numbers of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._worst = 0.0
        self._lag = Histogram(
            "rackwright_loop_lag_seconds", "How late the event loop came.", buckets=BUCKETS, registry=self._registry
        )
        self._wait = Histogram(
            "rackwright_db_pool_wait_seconds",
            "How long work waited for a connection to the database.",
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._requests = Histogram(
            "rackwright_http_request_duration_seconds",
            "How long requests took. Claims and streams wait as long as they were asked to.",
            ["method", "status"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._effect = Histogram(
            "rackwright_served_effect_seconds",
            "From the commit of a change of what a rack serves until the rack answered with it.",
            buckets=BUCKETS,
            registry=self._registry,
        )
        started = Gauge(
            "rackwright_process_start_time_seconds", "When the process began, since 1970.", registry=self._registry
        )
        started.set(time.time())

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Measure as long as the block lasts how late the loop comes."""
        watching = asyncio.create_task(self._watch_loop())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch_loop(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + LOOK
            await asyncio.sleep(LOOK)
            late = max(clock() - due, 0.0)
            self._lag.observe(late)
            self._worst = max(self._worst, late)

    def worst_lag(self) -> float:
        """The longest time in seconds by which the loop came late since this was asked before."""
        worst, self._worst = self._worst, 0.0
        return worst

    def took_effect(self, seconds: float) -> None:
        """A rack answers from a newer generation, whose newest change was committed that long ago."""
        self._effect.observe(seconds)

    def waited(self, seconds: float) -> None:
        """Work got its connection to the database after that long."""
        self._wait.observe(seconds)

    def answered(self, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(method if method in _METHODS else "other", str(status)).observe(seconds)

    def sample(self) -> bytes:
        """All numbers as they are now: JSON, a list of ``Family``."""
        return msgspec.json.encode(
            [
                Family(
                    metric.name,
                    metric.documentation,
                    metric.type,
                    [
                        Point(point.name, dict(point.labels), point.value)
                        for point in metric.samples
                        if not point.name.endswith("_created")
                    ],
                )
                for metric in self._registry.collect()
            ]
        )
