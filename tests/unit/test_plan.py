"""Plans: edges, barriers, weights and rings; and what becomes of the rows that exist already."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rackwright.core.catalog import Read, Task, Write
from rackwright.core.errors import Conflict, InvalidInput
from rackwright.core.expansion import references
from rackwright.core.linking import expand
from rackwright.core.node_task import NodeTask, State
from rackwright.core.plan import Edges, Plan, build
from rackwright.core.resolution import Member
from rackwright.engine import summary
from rackwright.engine.reconcile import Shape, reconcile
from tests.unit.fleets import validate


def node_task(name: str, **fields: Any) -> Task:
    return Task(id=name, type="noop", jig="noop", roles="*", **fields)


def planned(tasks: list[Task], nodes: int = 3, racks: int = 1) -> Plan:
    members = [Member(name=f"n{i}", tags=("x",), rack=f"r{i % racks}") for i in range(nodes)]
    return build(expand(tasks, members), {member.name: member.rack for member in members})


def parents(plan: Plan, key: tuple[str | None, str]) -> set[tuple[str | None, str]]:
    """The node tasks that a vertex waits for, through barriers too."""
    index = next(i for i, vertex in enumerate(plan.vertices) if vertex.key == key)
    found = set()
    queue = list(plan.above[index])
    while queue:
        index = queue.pop()
        vertex = plan.vertices[index]
        if vertex.task is None:
            queue.extend(plan.above[index])
        else:
            found.add(vertex.key)
    return found


def test_a_task_waits_for_what_it_requires_on_its_own_node() -> None:
    plan = planned([node_task("a"), node_task("b", requires=("a",))])
    assert parents(plan, ("n1", "b")) == {("n1", "a")}


def test_an_all_to_all_relation_costs_n_plus_m_edges() -> None:
    tasks = [node_task("a"), node_task("b", cross_depends=({"name": "a"},))]
    plan = planned(tasks, nodes=200)
    assert plan.edges == 400
    assert len(parents(plan, ("n7", "b"))) == 200


def test_a_shared_parent_of_many_children_gets_a_barrier() -> None:
    tasks = [node_task("a", scope="deployment"), node_task("b", cross_depends=({"name": "a", "role": None},))]
    plan = planned(tasks, nodes=200)
    first = next(index for index, vertex in enumerate(plan.vertices) if vertex.key[1] == "a")
    assert len(plan.below[first]) == 1
    assert parents(plan, ("n7", "b")) == {(None, "a")}


def test_a_stage_is_a_barrier_and_no_node_task() -> None:
    stage = Task(id="middle", type="stage")
    plan = planned([node_task("a", required_for=("middle",)), stage, node_task("b", requires=("middle",))])
    assert next(vertex for vertex in plan.vertices if vertex.key == (None, "middle")).task is None
    assert parents(plan, ("n0", "b")) == {("n0", "a"), ("n1", "a"), ("n2", "a")}


def test_a_reader_follows_the_writer_of_what_it_reads() -> None:
    writer = node_task("w", writes=(Write("made.x"),))
    same_node = node_task("r", reads={"x": Read("made.x")})
    gather = node_task("g", scope="deployment", reads={"x": Read("made.x", scope="nodes")})
    plan = planned([gather, same_node, writer])
    assert parents(plan, ("n2", "r")) == {("n2", "w")}
    assert parents(plan, (None, "g")) == {("n0", "w"), ("n1", "w"), ("n2", "w")}


def test_what_a_rack_writes_holds_back_its_own_nodes_only() -> None:
    served = node_task("serve", scope="rack", writes=(Write("served", scope="nodes"),))
    plan = planned([served, node_task("r", reads={"s": Read("served")})], nodes=4, racks=2)
    assert parents(plan, ("n1", "r")) == {("rack:r1", "serve")}


def test_a_ring_is_named_with_its_path() -> None:
    tasks = [node_task("a", requires=("c",)), node_task("b", requires=("a",)), node_task("c", requires=("b",))]
    with pytest.raises(InvalidInput, match="wait for each other") as caught:
        planned(tasks, nodes=1)
    assert all(f"{name}@n0" in caught.value.what for name in "abc")


def test_the_longest_path_below_is_the_weight() -> None:
    plan = planned([node_task("c", requires=("b",)), node_task("b", requires=("a",)), node_task("a")], nodes=1)
    assert [(vertex.key[1], vertex.priority) for vertex in plan.vertices] == [("a", 2), ("b", 1), ("c", 0)]


@st.composite
def catalogs(draw: st.DrawFn) -> list[Task]:
    names = [f"t{i}" for i in range(draw(st.integers(1, 6)))]
    tasks = []
    for i, name in enumerate(names):
        earlier = st.lists(st.sampled_from(names[:i]), max_size=2) if i else st.just([])
        cross = [{"name": n} for n in draw(earlier)]
        stage = draw(st.integers(0, 4)) == 0
        if stage:
            tasks.append(Task(id=name, type="stage", requires=tuple(draw(earlier))))
        else:
            tasks.append(node_task(name, requires=tuple(draw(earlier)), cross_depends=tuple(cross)))
    return tasks


@settings(max_examples=60, deadline=None)
@given(catalogs(), st.integers(1, 6))
def test_barriers_change_how_many_edges_there_are_and_nothing_about_the_order(tasks: list[Task], nodes: int) -> None:
    members = [Member(name=f"n{i}", tags=("x",)) for i in range(nodes)]
    expansion = expand(tasks, members)
    plan = build(expansion, {})
    stages = {task.id for task in tasks if task.type == "stage"}

    def direct(key: tuple[str | None, str], seen: set[Any]) -> set[Any]:
        found = set()
        for name, node in references(expansion.instances[key], "requires"):
            if name not in stages:
                found.add((node, name))
            elif (node, name) not in seen:
                seen.add((node, name))
                found |= direct((node, name), seen)
        return found

    for key in expansion.instances:
        if key[1] not in stages:
            assert parents(plan, key) == direct(key, set())


def shaped(plan: Plan, rows: list[NodeTask]) -> Shape:
    places = {
        index: (int((vertex.key[0] or "n99")[1:]) + 1, 1)
        for index, vertex in enumerate(plan.vertices)
        if vertex.task is not None
    }
    top = max((row.id for row in rows), default=0) + 1
    fresh = (range(top, top + len(plan.vertices)), range(1, 1 + len(plan.vertices)))
    return reconcile(plan, rows, places, deployment=9, graph="deploy", fresh=fresh)


def test_new_rows_are_wanted_at_once_and_counters_are_right() -> None:
    shape = shaped(planned([node_task("a"), node_task("b", cross_depends=({"name": "a"},))]), [])
    validate(shape.near)
    assert sorted(row.state.word for row in shape.inserted) == ["blocked"] * 3 + ["todo"] * 3


def test_rows_keep_their_place_when_a_task_is_added_and_one_removed() -> None:
    first = shaped(planned([node_task("a"), node_task("b", requires=("a",))]), [])
    for row in first.inserted:
        row.state = State.ACTIVE
    second = shaped(planned([node_task("a"), node_task("c", requires=("a",))]), first.inserted)
    validate(second.near)
    assert {row.task for row in second.removed} == {"b"}
    assert {(row.task, row.state) for row in second.inserted} == {("c", State.TODO)}
    assert {row.id for row in second.kept} == {row.id for row in first.inserted if row.task == "a"}


def test_planning_the_same_again_changes_nothing() -> None:
    tasks = [node_task("a"), node_task("b", cross_depends=({"name": "a"},))]
    first = shaped(planned(tasks), [])
    second = shaped(planned(tasks), first.inserted)
    assert (second.inserted, second.removed) == ([], [])


def test_what_is_running_is_not_removed() -> None:
    first = shaped(planned([node_task("a"), node_task("b")]), [])
    next(row for row in first.inserted if row.task == "b").state = State.TRANSITION
    with pytest.raises(Conflict, match="while running"):
        shaped(planned([node_task("a")]), first.inserted)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40))
def test_edges_are_kept_in_order_and_each_once(pairs: list[tuple[int, int]]) -> None:
    edges = Edges(10, [origin for origin, _ in pairs], [end for _, end in pairs])
    assert len(edges) == len(set(pairs))
    for index in range(10):
        assert list(edges[index]) == sorted({end for origin, end in pairs if origin == index})


def test_a_large_plan_tells_its_first_node_tasks_and_how_many_more_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "MOST", 4)
    shape = shaped(planned([node_task("a"), node_task("b", requires=("a",))]), [])
    told = summary.rows(shape, {}, {}, lambda row: node_task(row.task))
    assert (len(told["run"]), told["more"]) == (4, {"run": 2})
    assert [summary.count(told, part) for part in ("run", "again")] == [6, 0]
