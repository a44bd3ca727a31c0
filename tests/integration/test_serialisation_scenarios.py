"""The engine against a plain evaluation written apart from it, on fleets of real nodes' data, in three scenarios."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from benchmarks.fuel import fleet
from benchmarks.fuel.fleet import Scenario
from benchmarks.fuel.meter import measured
from benchmarks.fuel.reference import reference

from rackwright.core.catalog import Task
from rackwright.core.resolution import Member
from rackwright.engine.fuel_json import fuel_graph
from rackwright.engine.serialization import LOCAL, Snapshot, State, serialize
from rackwright.engine.serialization.messages import Answer
from rackwright.engine.serialization.work import answer

COUNTED = {
    ("initial", 5): (357, 253), ("initial", 20): (1244, 907), ("initial", 50): (2765, 2035),
    ("redeploy", 5): (357, 18), ("redeploy", 20): (1244, 65), ("redeploy", 50): (2765, 155),
}  # fmt: skip
"""Instances, and how many of them run, that Fuel's own serialiser gave for the same fleets."""


@pytest.fixture(scope="module")
def tasks(fuel_data: Path) -> tuple[Task, ...]:
    return fleet.tasks(fuel_data)


@pytest.mark.parametrize("scenario", fleet.scenarios)
@pytest.mark.parametrize("nodes", [5, 20, pytest.param(50, marks=pytest.mark.slow)])
def test_every_instance_equals_a_plain_evaluation(
    nodes: int, scenario: Scenario, tasks: tuple[Task, ...], fuel_data: Path
) -> None:
    made = fleet.build(nodes, scenario, fuel_data)
    graph = serialize(tasks, made.members, made.state)
    ours, plain = fuel_graph(graph), reference(tasks, made.members, made.state, LOCAL)
    assert _differences(ours["graph"], plain["graph"]) == {}
    assert ours == plain
    counted = (graph.count, graph.running)
    assert counted == COUNTED.get((scenario, nodes), counted)


def _differences(ours: Any, plain: Any) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Each instance that is not the same on both sides, for a message that a person can read."""
    one, other = ({(node, t["id"]): t for node, some in graph.items() for t in some} for graph in (ours, plain))
    return {key: (one.get(key), other.get(key)) for key in one.keys() | other if one.get(key) != other.get(key)}


def test_a_new_node_runs_all_that_is_its_own_and_the_others_only_what_it_touches(
    tasks: tuple[Task, ...], fuel_data: Path
) -> None:
    first, delta, again = (_running(tasks, fuel_data, scenario) for scenario in ("initial", "delta", "redeploy"))
    assert again < delta
    assert len(delta) < len(first)
    assert {task for node, task in delta if node == "5"} == {task for node, task in first if node == "5"}


def _running(tasks: tuple[Task, ...], data: Path, scenario: Scenario) -> set[tuple[str | None, str]]:
    made = fleet.build(5, scenario, data)
    graph = serialize(tasks, made.members, made.state)
    return {(instance.node, instance.id) for instance in graph.instances() if instance.type != "skipped"}


# ---- how the work is cut


class _Reckoning:
    """Answers in this process, and says that every chunk took so long: chunks after a long one are made smaller."""

    name = "serial"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def answers(self, setup: bytes, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
        for chunk in chunks:
            found = msgspec.msgpack.decode(answer(setup, chunk), type=Answer)
            yield msgspec.msgpack.encode(msgspec.structs.replace(found, seconds=self._seconds))


@pytest.mark.parametrize("scenario", fleet.scenarios)
def test_how_the_work_is_cut_does_not_show_in_the_result(
    scenario: Scenario, tasks: tuple[Task, ...], fuel_data: Path
) -> None:
    made = fleet.build(150, scenario, fuel_data)
    small, large = (serialize(tasks, made.members, made.state, policy=_Reckoning(s)) for s in (100.0, 0.0001))
    assert small.encode() == large.encode()


def test_how_the_work_is_cut_does_not_show_in_the_warnings() -> None:
    """The first task fails on later nodes than the second."""
    said = [
        Task(id=key, type="noop", roles="*", condition={"yaql_exp": "false"}, parameters=_reads(key)) for key in "ab"
    ]
    members = [Member(str(number), ("x",)) for number in range(1, 101)]
    parts = {m.name: {key: 1 for key, first in (("a", 60), ("b", 40)) if int(m.name) < first} for m in members}
    state = State(new=Snapshot.of({}, parts))
    small, large = (serialize(said, members, state, policy=_Reckoning(s)) for s in (100.0, 0.0001))
    assert len(large.warnings) == 2
    assert small.warnings == large.warnings


def _reads(key: str) -> dict[str, Any]:
    return {"value": {"yaql_exp": f"$.{key}"}}


# ---- the reference


def test_the_plain_evaluation_gives_what_fuel_gave_but_for_its_one_arbitrary_choice(
    tasks: tuple[Task, ...], fuel_data: Path
) -> None:
    golden = fuel_data / "golden"
    state = msgspec.json.decode((golden / "initial.state.json").read_bytes(), type=State)
    members = [Member(node["uid"], tuple(node["tags"])) for node in json.loads((golden / "nodes.json").read_bytes())]
    plain, original = reference(tasks, members, state, LOCAL), json.loads((golden / "initial.graph.json").read_bytes())
    different = _differences(plain["graph"], original["graph"])
    assert set(different) == {("3", "ntp-client"), ("4", "ntp-client"), ("5", "ntp-client")}
    for ours, theirs in different.values():
        assert {"name": "ntp-server", "node_id": "1"} in ours["requires"]
        assert {"name": "ntp-server", "node_id": "2"} in theirs["requires"]
        assert {**ours, "requires": None} == {**theirs, "requires": None}
    assert plain["metadata"] == original["metadata"]


# ---- the fleet


def test_the_new_node_of_a_delta_is_nowhere_in_the_old_data(fuel_data: Path) -> None:
    state = json.loads(msgspec.json.encode(fleet.build(5, "delta", fuel_data).state))
    new, old = state["new"], state["old"]
    assert new["nodes"].keys() - old["nodes"].keys() == {"5"}
    assert new["common"]["network_metadata"]["nodes"].keys() - old["common"]["network_metadata"]["nodes"] == {"node-5"}
    assert {row["uid"] for row in new["common"]["nodes"]} - {row["uid"] for row in old["common"]["nodes"]} == {"5"}
    assert new["common"]["public_ssl"]["hostname"] != old["common"]["public_ssl"]["hostname"]


def test_data_that_old_and_new_share_counts_once(fuel_data: Path) -> None:
    initial, again = (fleet.size_of(fleet.build(5, scenario, fuel_data).state) for scenario in ("initial", "redeploy"))
    assert initial == again > 5 * 1000


# ---- the benchmark


def test_work_of_child_processes_is_counted() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    _, cost = measured(lambda: subprocess.run([sys.executable, "-c", busy], check=True))
    assert cost.cpu_s >= 0.3
    assert cost.worker_mib > 1


def test_the_benchmark_ends_with_a_line_of_json(root: Path, fuel_data: Path) -> None:
    what = ["--nodes", "5", "--scenario", "redeploy", "--data", str(fuel_data)]
    command = [sys.executable, "-m", "benchmarks.serialize", *what, "--reference", "--json"]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert (found["instances"], found["running"]) == (357, 18)
    assert found["cpu_s"] > 0
    assert found["reference_cpu_s"] > 0
    assert found["published_fuel_cpu_s"] == 1.69
