"""The real Fuel catalog driven by facts: what the engine carries out is what serialisation says of the same data."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rackwright.core.node_task import State as NodeState
from rackwright.core.resolution import Member
from rackwright.engine import deployments, evaluation, machines, timers
from rackwright.engine.catalogs.read import read_catalog
from rackwright.engine.evaluation import NOTHING
from rackwright.engine.serialization import State, serialize
from rackwright.engine.situations import situations
from rackwright.store.memory import MemoryStore
from tests.integration.hands import Hands

Pairs = set[tuple[str, str]]
"""(node, task)."""


class Fuel(Hands):
    """Five real nodes in a deployment of the real catalog. Its tasks have no jig here, so a claim settles them."""

    def __init__(self, data: Path) -> None:
        super().__init__(store := MemoryStore(), store.views)
        self.memory = store
        self.data = data
        self.nodes = json.loads((data / "golden" / "nodes.json").read_bytes())
        self.new = json.loads((data / "golden" / "initial.state.json").read_bytes())["new"]

    async def set_up(self) -> None:
        """Make everything known, and apply it with all its data."""
        folder = self.data / "tree" / "deployment"
        files = {str(path.relative_to(folder)): path.read_text("utf-8") for path in folder.rglob("*.yaml")}
        files["catalog.yaml"] = "name: fuel\nstrict: false\n"
        files["roles.yaml"] = json.dumps([{"name": f"node-{n['uid']}", "tags": n["tags"]} for n in self.nodes])
        await self.library.add(self.store, "fuel", files)
        self.racks["r0"] = await machines.add_rack(self.store, "r0", b"." * 32)
        await machines.add_nodes(self.store, [machines.NewNode(name=n["uid"], rack="r0") for n in self.nodes])
        await deployments.create(self.store, self.library, "fuel", catalog="fuel")
        own = {name: part for name, part in self.new["nodes"].items() if name not in ("master", "null")}
        bind = {f"node-{n['uid']}": [n["uid"]] for n in self.nodes}
        await self.apply({"bind": bind, "set": self.new["common"], "set_nodes": own}, "fuel")

    async def carried_out(self) -> Pairs:
        """Let everything go on until it rests; what had something to be carried out."""
        before, seen = len(self.memory.tables.runs), -1
        while seen < len(self.memory.tables.runs):
            seen = len(self.memory.tables.runs)
            await self.claim()
            while await timers.wake(self.store):
                pass
        ended = [run for _, run in self.memory.tables.runs[before:]]
        assert {run.outcome for run in ended} <= {"skipped"}, [run.reason for run in ended if run.outcome == "failed"]
        names = self.memory.tables.name
        return {(self.place(names(run.scope)), run.task) for run in ended if run.reason == "nothing to carry out"}

    async def wanted(self) -> Pairs:
        """What would be carried out if all of it were evaluated now, against what is recorded."""
        async with self.store.transaction() as tx:
            id = (await tx.named("deployment", ["fuel"]))["fuel"].id
            near = await tx.lock(await tx.find(id, None, None, NodeState.ACTIVE))
            seen = await situations(tx, self.library, list(near.rows.values()))
            pasts = await evaluation.pasts(tx, seen)
            return {
                (self.place(at.scope.name), row.task)
                for row in near.rows.values()
                for at in [seen[row.id]]
                if evaluation.wanted(self.library, row, at, pasts.get(row.id, NOTHING)) is not None
            }

    def serialised(self, new: Any, old: Any) -> Pairs:
        """What serialisation says of these data."""
        catalog = read_catalog(self.data / "tree" / "deployment")
        members = [Member(node["uid"], tuple(node["tags"])) for node in self.nodes]
        state = msgspec.json.decode(json.dumps({"new": new, "old": old}), type=State)
        graph = serialize(catalog.graphs["deploy"].tasks, members, state)
        return {
            (self.place(one.node), one.id) for one in graph.instances() if one.type not in ("skipped", "stage", "group")
        }

    def place(self, name: str | None) -> str:
        """The control node's tasks stand on the deployment."""
        return "master" if name in (None, "fuel", "master") else str(name)

    def without_fillers(self, pairs: Pairs) -> Pairs:
        """Without tasks of the type ``skipped``, which only keep edges."""
        catalog = read_catalog(self.data / "tree" / "deployment")
        fillers = {task.id for task in catalog.graphs["deploy"].tasks if task.type == "skipped"}
        return {(node, task) for node, task in pairs if task not in fillers}


@pytest.fixture
async def fuel(fuel_data: Path) -> Fuel:
    made = Fuel(fuel_data)
    await made.set_up()
    return made


async def test_first_everything_is_carried_out_that_serialisation_names(fuel: Fuel) -> None:
    assert fuel.without_fillers(await fuel.carried_out()) == fuel.serialised(fuel.new, None)
    assert set((await fuel.states("fuel")).values()) == {"active"}


async def test_with_nothing_changed_the_conditions_hold_where_serialisation_says_so_and_nothing_runs(
    fuel: Fuel,
) -> None:
    await fuel.carried_out()
    assert fuel.without_fillers(await fuel.wanted()) == fuel.serialised(fuel.new, fuel.new)
    await fuel.apply({"set": fuel.new["common"]}, "fuel")
    assert await fuel.carried_out() == set()


@pytest.mark.parametrize(
    "change",
    [{"debug": True}, {"nova": {"num_networks": 9}}, {"mp": []}, {"access": {"email": "x@y", "user": "other"}}],
)
async def test_a_change_carries_out_what_serialisation_names_for_it(fuel: Fuel, change: dict[str, Any]) -> None:
    await fuel.carried_out()
    always = fuel.serialised(fuel.new, fuel.new)
    changed = copy.deepcopy(fuel.new)
    for section, values in change.items():
        if isinstance(values, dict):
            changed["common"].setdefault(section, {}).update(values)
        else:
            changed["common"][section] = values
    await fuel.apply({"set": change}, "fuel")
    ran, named = fuel.without_fillers(await fuel.carried_out()), fuel.serialised(changed, fuel.new)
    assert named - always, "the change means something"
    assert named - always <= ran <= named
