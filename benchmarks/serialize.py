"""What serialising Fuel's real catalog costs, at any number of nodes, against a plain evaluation of the same data.

The fleet is made of real nodes' data; it and the reading of the catalog are not counted. Counted is everything from
tasks and raw JSON to the finished graph: compiling expressions, reading the JSON, the processes of the policy.
The reference (``--reference``) evaluates every expression of every instance anew with the ``yaql`` package, over the
whole data of its node, and lists every edge; both must give the same graph, edge by edge.
A policy other than ``serial`` is compared with ``serial`` in a few rounds, after a small fleet has gone through both;
both must give the same bytes. No round finds anything ready that an earlier one has left behind: what all nodes
share is another text in each. The medians count. Beside them stands what the machine itself gives: how much more work
as many processes do that share nothing.

    python -m benchmarks.serialize --nodes 1000 --scenario redeploy --json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fuel import fleet, policies
from benchmarks.fuel.meter import Cost, measured
from benchmarks.fuel.reference import reference
from benchmarks.fuel.timeline import Timeline
from rackwright.core.catalog import Task
from rackwright.engine.fuel_json import fuel_graph
from rackwright.engine.serialization import LOCAL, SerializedGraph, State, serialize
from rackwright.engine.serialization.policy import Policy, Serial

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
    parser.add_argument("--scenario", choices=fleet.scenarios, default="initial")
    parser.add_argument("--policy", choices=policies.names, default="serial")
    parser.add_argument("--workers", type=int, default=2, help="processes of the policy")
    parser.add_argument("--rounds", type=int, default=5, help="in which a policy is compared with serial")
    parser.add_argument("--reference", action="store_true", help="evaluate plainly too, compare results and cost")
    parser.add_argument("--timeline", action="store_true", help="tell what each round's time goes into")
    parser.add_argument("--kill", action="store_true", help="kill -9 one worker half-way")
    parser.add_argument("--data", type=Path, default=fleet.DATA, help="the folder of Fuel's real data")
    parser.add_argument("--small", action="store_true", help="a size for a quick look: 20 nodes, with the reference")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    given = parser.parse_args()
    if given.small:
        given.nodes, given.reference, given.rounds = 20, True, 1
    if given.kill:
        given.rounds = 1
        if given.policy == "serial":
            parser.error("--kill needs a policy with workers: --policy processes or --policy dask")
    if given.rounds < 1 or given.workers < 1:
        parser.error("at least one round, and one worker")
    return given


class Bench:
    """One fleet, serialised in one way and another."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._tasks: tuple[Task, ...] = fleet.tasks(given.data)
        self._fleet = fleet.build(given.nodes, given.scenario, given.data)
        self._last: tuple[SerializedGraph, Cost] | None = None

    def run(self) -> dict[str, Any]:
        """Measure all that was asked for."""
        given = self._given
        compared = {} if given.policy == "serial" else self._compared()
        graph, cost = self._last or measured(lambda: self._serialized(Serial(), self._fleet.state))
        found = {
            "benchmark": "serialize",
            "nodes": given.nodes,
            "scenario": given.scenario,
            "policy": given.policy,
            **self._told(graph, cost),
            **compared,
        }
        if given.reference:
            found |= self._against_reference(graph, cost)
        published = PUBLISHED.get((given.scenario, given.nodes))
        return found | ({"published_fuel_cpu_s": published} if published else {})

    def _compared(self) -> dict[str, Any]:
        """The policy and ``serial`` in turn; what the policy gave last is kept."""
        given, serial = self._given, Serial()
        costs: list[tuple[Cost, Cost]] = []
        timelines = []
        with policies.running(given.policy, given.workers) as (policy, workers):
            few = fleet.build(_FEW, given.scenario, given.data)
            for each in (policy, serial):
                serialize(self._tasks, few.members, few.state, policy=each)
            killer = _Killer(workers) if given.kill else None
            for number in range(given.rounds):
                state = fleet.marked(self._fleet.state, number)
                timeline = Timeline(policy)
                work = partial(self._serialized, timeline if given.timeline else policy, state, killer)
                graph, cost = measured(partial(timeline.during, work) if given.timeline else work)
                alone, own = measured(partial(self._serialized, serial, state))
                if alone.encode() != graph.encode():
                    sys.exit(f"serialize: the policy {given.policy} gives other bytes than serial")
                costs.append((cost, own))
                timelines.append(timeline.told())
                self._last = graph, cost
        if killer is not None and killer.killed is None:
            sys.exit("serialize: the work was done before a worker could be killed: give it more nodes")
        wall, serial_wall = (statistics.median(cost.wall_s for cost in each) for each in zip(*costs, strict=True))
        cpu, serial_cpu = (statistics.median(cost.cpu_s for cost in each) for each in zip(*costs, strict=True))
        return {
            "workers": given.workers,
            "rounds": given.rounds,
            "killed": given.kill,
            "cpu_s": round(cpu, 3),
            "wall_s": round(wall, 3),
            "serial_cpu_s": round(serial_cpu, 3),
            "serial_wall_s": round(serial_wall, 3),
            "speed_up": round(serial_wall / wall, 2),
            "speed_ups": [round(own.wall_s / cost.wall_s, 2) for cost, own in costs],
            "machine_speed_up": round(self._side_by_side(serial_wall), 2),
            **({"timelines": timelines} if given.timeline else {}),
        }

    def _side_by_side(self, alone: float) -> float:
        """How much more is done in the same time by as many processes that share nothing than by one."""
        began = time.perf_counter()
        children = []
        for number in range(self._given.workers):
            child = os.fork()
            if child == 0:
                try:
                    self._serialized(Serial(), fleet.marked(self._fleet.state, number))
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(child)
        if any(os.waitpid(child, 0)[1] for child in children):
            sys.exit("serialize: a process that was to share nothing has failed")
        taken = time.perf_counter() - began
        return float(self._given.workers * alone / taken)

    def _serialized(
        self, policy: Policy, state: State, progress: Callable[[int, int], None] | None = None
    ) -> SerializedGraph:
        return serialize(self._tasks, self._fleet.members, state, policy=policy, progress=progress)

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
        print(f"machine    {found['workers']} processes that share nothing: speed-up {found['machine_speed_up']}")
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
