"""What serialising Fuel's real catalog costs, at any number of nodes, against a plain evaluation of the same data.

The fleet is made of real nodes' data; it and the reading of the catalog are not counted. Counted is everything from
tasks and raw JSON to the finished graph: compiling expressions, reading the JSON, the processes of the policy.
The reference (``--reference``) evaluates every expression of every instance anew with the ``yaql`` package, over the
whole data of its node, and lists every edge; both must give the same graph, edge by edge.
A policy other than ``serial`` is compared with ``serial`` in the same run, after a small fleet has gone through both;
both must give the same bytes.

    python -m benchmarks.serialize --nodes 1000 --scenario redeploy --json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.fuel import fleet, policies
from benchmarks.fuel.meter import Cost, measured
from benchmarks.fuel.reference import reference
from rackwright.core.catalog import Task
from rackwright.engine.fuel_json import fuel_graph
from rackwright.engine.serialization import LOCAL, SerializedGraph, serialize
from rackwright.engine.serialization.policy import Policy

_FEW = 200
"""Nodes of the fleet that goes first where policies are compared."""
PUBLISHED = {
    ("initial", 5): 0.69, ("initial", 20): 2.75, ("initial", 50): 8.35, ("initial", 100): 25.4, ("initial", 500): 431.6,
    ("redeploy", 5): 1.69, ("redeploy", 20): 9.76, ("redeploy", 50): 34.3, ("redeploy", 100): 112.85,
}  # fmt: skip
"""Seconds of processor that Fuel's own serialiser (fuel-web 392f3859, one process, CPython 3.11.7, yaql 3.2.0) took for
the same fleets in a run of its own, by scenario and nodes."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--scenario", choices=fleet.scenarios, default="redeploy")
    parser.add_argument("--policy", choices=policies.names, default="serial")
    parser.add_argument("--workers", type=int, default=2, help="processes of the policy")
    parser.add_argument("--reference", action="store_true", help="evaluate plainly too, compare results and cost")
    parser.add_argument("--kill", action="store_true", help="kill -9 one worker half-way")
    parser.add_argument("--data", type=Path, default=fleet.DATA, help="the folder of Fuel's real data")
    parser.add_argument("--small", action="store_true", help="a size for a quick look: 20 nodes, with the reference")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    if given.small:
        given.nodes, given.reference = 20, True
    if given.kill and given.policy == "serial":
        parser.error("--kill needs a policy with workers: --policy processes or --policy dask")
    return given


class Bench:
    """One fleet, serialised in one way and another."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._tasks: tuple[Task, ...] = fleet.tasks(given.data)
        self._fleet = fleet.build(given.nodes, given.scenario, given.data)

    def run(self) -> dict[str, Any]:
        """Measure all that was asked for."""
        given = self._given
        graph, cost = self._by_policy()
        found = {
            "benchmark": "serialize",
            "nodes": given.nodes,
            "scenario": given.scenario,
            "policy": given.policy,
            **self._told(graph, cost),
        }
        if given.policy != "serial":
            found |= {"workers": given.workers, "killed": given.kill, **self._against_serial(graph, cost)}
        if given.reference:
            found |= self._against_reference(graph, cost)
        published = PUBLISHED.get((given.scenario, given.nodes))
        return found | ({"published_fuel_cpu_s": published} if published else {})

    def _by_policy(self) -> tuple[SerializedGraph, Cost]:
        given = self._given
        with policies.running(given.policy, given.workers) as (policy, workers):
            self._warm_up(policy)
            killer = _Killer(workers) if given.kill else None
            graph, cost = measured(lambda: self._serialized(policy, killer))
        if killer is not None and killer.killed is None:
            sys.exit("serialize: the work was done before a worker could be killed: give it more nodes")
        return graph, cost

    def _warm_up(self, policy: Policy) -> None:
        """Policies are compared as they are in a service that runs: the catalog is compiled, on both sides. What one
        policy costs alone is counted from nothing."""
        if self._given.policy != "serial":
            few = fleet.build(_FEW, self._given.scenario, self._given.data)
            serialize(self._tasks, few.members, few.state, policy=policy)

    def _serialized(self, policy: Policy, progress: Callable[[int, int], None] | None = None) -> SerializedGraph:
        return serialize(self._tasks, self._fleet.members, self._fleet.state, policy=policy, progress=progress)

    def _told(self, graph: SerializedGraph, cost: Cost) -> dict[str, Any]:
        return {
            "instances": graph.count,
            "running": graph.running,
            "edges": graph.edges,
            "cpu_s": round(cost.cpu_s, 3),
            "wall_s": round(cost.wall_s, 3),
            "cpu_us_per_instance": round(cost.cpu_s / graph.count * 1e6, 1),
            "state_mib": round(fleet.size_of(self._fleet.state) / 2**20, 1),
            "start_rss_mib": round(cost.start_mib, 1),
            "peak_rss_mib": round(cost.peak_mib, 1),
            "peak_rss_worker_mib": round(cost.worker_mib, 1),
            "bytes_per_node_task": round((cost.peak_mib - cost.start_mib) * 2**20 / graph.count),
            "encoded_bytes_per_node_task": round(len(graph.encode()) / graph.count),
        }

    def _against_serial(self, graph: SerializedGraph, cost: Cost) -> dict[str, Any]:
        with policies.running("serial", 1) as (policy, _):
            self._warm_up(policy)
            alone, serial = measured(lambda: self._serialized(policy))
        if alone.encode() != graph.encode():
            sys.exit(f"serialize: the policy {self._given.policy} gives other bytes than serial")
        return {
            "serial_cpu_s": round(serial.cpu_s, 3),
            "serial_wall_s": round(serial.wall_s, 3),
            "speed_up": round(serial.wall_s / cost.wall_s, 2),
        }

    def _against_reference(self, graph: SerializedGraph, cost: Cost) -> dict[str, Any]:
        plain, bill = measured(lambda: reference(self._tasks, self._fleet.members, self._fleet.state, LOCAL))
        if plain != fuel_graph(graph):
            sys.exit("serialize: the plain evaluation gives another graph")
        return {"reference_cpu_s": round(bill.cpu_s, 3), "ratio": round(bill.cpu_s / cost.cpu_s, 1)}


class _Killer:
    """Kills one worker once half of the instances are done."""

    def __init__(self, workers: Callable[[], list[int]]) -> None:
        self._workers = workers
        self.killed: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Take in how far the work is."""
        if self.killed is None and done < total <= 2 * done:
            self.killed = self._workers()[0]
            os.kill(self.killed, signal.SIGKILL)


def show(found: dict[str, Any]) -> None:
    """Print for people."""
    print(f"graph      {found['instances']:,} instances, {found['running']:,} run; {found['edges']:,} edges")
    print(f"state      {found['state_mib']:,} MiB of JSON")
    print(
        f"engine     {found['cpu_s']:,} s of CPU, {found['wall_s']:,} s on the clock ({found['policy']});"
        f" {found['cpu_us_per_instance']:,} us of CPU per instance"
    )
    print(
        f"memory     {found['peak_rss_mib']:,} MiB at the worst moment, {found['start_rss_mib']:,} MiB before;"
        f" {found['bytes_per_node_task']:,} bytes per instance, {found['encoded_bytes_per_node_task']:,} encoded"
    )
    if "speed_up" in found:
        after = "one worker killed half-way; " if found["killed"] else ""
        print(f"serial     {found['serial_wall_s']:,} s on the clock: speed-up {found['speed_up']}; {after}same bytes")
    if "ratio" in found:
        print(f"reference  {found['reference_cpu_s']:,} s of CPU, {found['ratio']:,} times the engine; same graph")
    if "published_fuel_cpu_s" in found:
        print(
            f"Fuel       its own serialiser took {found['published_fuel_cpu_s']:,} s of CPU for this fleet"
            " (fuel-web 392f3859, CPython 3.11.7, measured in another run: context, no ratio)"
        )


def main() -> None:
    """Measure and print."""
    given = arguments()
    if not given.data.is_dir():
        missing = f"serialize: Fuel's real data is not there: no folder {given.data}; name it with --data"
        if not given.small:
            sys.exit(missing)
        print(missing)
        return
    found = Bench(given).run()
    show(found)
    if given.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
