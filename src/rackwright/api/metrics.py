"""Metrics for Prometheus: those of all processes, and those of the whole, in its text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.responses import Response

import rackwright
from rackwright.api.call import Call, route
from rackwright.core.services import Family, Queue, ServiceView

STATES = ("running", "draining", "lost")


async def metrics(call: Call) -> Response:
    """Every process's own numbers, at most a beat old, and what only the database knows. Any api gives the same."""
    roster = call.services.presence.roster
    services, samples, queues = await roster.services(), await roster.samples(), await roster.queues()
    tasks = _gauge(
        "rackwright_node_tasks",
        "Node tasks of the whole fleet by state.",
        [({"state": state}, float(count)) for state, count in (await call.services.views.fleet()).items()],
    )
    registry = CollectorRegistry()
    registry.register(_Collected([tasks, *_whole(services, queues), *_merged(samples)]))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Collected(Collector):
    """Metrics that were made elsewhere."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        """Give them."""
        return iter(self._metrics)


def _whole(services: list[ServiceView], queues: list[Queue]) -> Iterator[Metric]:
    yield _gauge("rackwright_build_info", "The version.", [({"version": rackwright.__version__}, 1.0)])
    counted = Counter((service.kind, service.state) for service in services)
    kinds = sorted({service.kind for service in services})
    numbers = [({"service": kind, "state": state}, float(counted[kind, state])) for kind in kinds for state in STATES]
    yield _gauge("rackwright_services", "Processes by kind and state.", numbers)
    worst = {kind: max(service.loop_lag for service in services if service.kind == kind) for kind in kinds}
    yield _gauge(
        "rackwright_loop_lag_worst_seconds",
        "The latest that the event loop of any process of a kind came, between its last two beats.",
        [({"service": kind}, lag) for kind, lag in worst.items()],
    )
    depths = [({"queue": queue.name}, float(queue.depth)) for queue in queues]
    yield _gauge("rackwright_queue_depth", "How much waits, counted up to a limit.", depths)
    ages = [({"queue": queue.name}, queue.oldest or 0.0) for queue in queues if queue.timed]
    yield _gauge("rackwright_queue_oldest_age_seconds", "For how long the oldest has waited; 0: nothing waits.", ages)


def _gauge(name: str, help: str, points: Iterable[tuple[dict[str, str], float]]) -> Metric:
    metric = Metric(name, help, "gauge")
    for labels, value in points:
        metric.add_sample(name, labels, value)
    return metric


def _merged(samples: list[tuple[ServiceView, list[Family]]]) -> list[Metric]:
    """The same metric of several processes is one metric, whose points say of which process they are."""
    merged: dict[str, Metric] = {}
    taken: set[tuple[str, str, str]] = set()
    # The newest keeps the plain name: of two with one name the older is about to end, or runs beside it by itself.
    for service, families in sorted(samples, key=lambda pair: -pair[0].started_at):
        name = service.name
        if (service.kind, service.host, name) in taken:
            name = f"{name} ({service.pid})"
        taken.add((service.kind, service.host, name))
        for family in families:
            metric = merged.setdefault(family.name, Metric(family.name, family.help, family.type))
            for point in family.points:
                labels = {"service": service.kind, "host": service.host, "process": name, **point.labels}
                metric.add_sample(point.name, labels, point.value)
    return list(merged.values())


routes = [route("GET", "/metrics", metrics, "read")]
