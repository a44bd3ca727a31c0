"""Serialisation from beginning to end: place the tasks, have the chunks evaluated, join the answers, draw relations."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec

from rackwright.core.catalog import Graph, Task
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.expansion import Places
from rackwright.core.linking import link
from rackwright.core.resolution import Member, NodeId, Resolution
from rackwright.engine.expressions import Attributes, Context, Evaluator
from rackwright.engine.expressions.compiler import Compiler
from rackwright.engine.expressions.reading import fingerprint
from rackwright.engine.serialization.chunks import Cut, before
from rackwright.engine.serialization.graph import SerializedGraph, TaskOutcomes
from rackwright.engine.serialization.messages import Answer, Fault, Setup
from rackwright.engine.serialization.policy import Policy, PolicySettings, Serial, choose
from rackwright.engine.serialization.rendering import LOCAL
from rackwright.engine.serialization.state import Snapshot, State, check_members, read_part

Progress = Callable[[int, int], None]
"""Told how many instances are done, of how many."""

_answers = msgspec.msgpack.Decoder(Answer)
_setups = msgspec.msgpack.Encoder()


def serialize(
    tasks: Sequence[Task],
    members: Sequence[Member],
    state: State,
    *,
    policy: Policy | PolicySettings | None = None,
    master_ip: str = LOCAL,
    only: Collection[str] | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> SerializedGraph:
    """Expand and evaluate a graph; ``policy`` says who does the work (None: this process; settings: by size).

    ``master_ip`` is what texts in Fuel's parameters mean by ``{MASTER_IP}``. ``only`` names the tasks that may run: the
    others are skipped and keep their place in the order. ``force``: as if nothing had ever run.

    Raises InvalidInput for a member that the state does not know, and for any expression of a task that runs, with the
    task, the node, and the place in the catalog. An error in the parameters of a task that does not run is a warning.
    """
    check_members(members, state)
    if only is not None:
        _refuse_unknown(only, tasks)
    old = None if force else state.old
    plan = _Plan(tasks, members, state.new, old)
    setup = Setup(
        tasks=tuple(tasks),
        common=bytes(state.new.common),
        old_common=before(old.common if old is not None else None, state.new.common),
        master_ip=master_ip,
        only=frozenset(only) if only is not None else None,
    )
    joined, done = _Joined(tasks, plan), 0
    if isinstance(policy, PolicySettings):
        policy = choose(plan.total if policy.policy == "auto" else 0, policy)
    for answer in (policy or Serial()).answers(_setups.encode(setup), plan.chunks()):
        done += joined.add(_answers.decode(answer))
        if progress is not None:
            progress(done, plan.total)
    expansion = link(tasks, plan.places, relations=lambda task, nodes: joined.outcomes[task.id].relations())
    return SerializedGraph(expansion, joined.outcomes, [*expansion.warnings, *joined.warnings()])


def chosen_members(
    graph: Graph, members: Sequence[Member], state: State, evaluator: Evaluator | None = None
) -> list[Member]:
    """Give the members that the graph's node filter takes; the filter sees each node's own part of the new data, where
    a key that is not there is null. Raises InvalidInput for a filter that fails."""
    if not graph.node_filter:
        return list(members)
    evaluator = evaluator or Evaluator()
    heads = {path[0] if path else None for path in Compiler(evaluator).paths(graph.node_filter)}
    known: dict[Hashable, bool] = {}
    chosen = []
    for member in members:
        part = read_part(state.new.part(member.name), f"new.nodes.{member.name}")
        seen = part if None in heads else {head: part[head] for head in heads if head in part}
        key = fingerprint(seen)
        if key not in known:
            known[key] = _takes(graph, member, seen, evaluator)
        if known[key]:
            chosen.append(member)
    return chosen


def graph_of(graphs: Mapping[str, Graph], wanted: str) -> Graph:
    """Find a graph by type; Fuel's names ``default`` and ``deletion`` are known too. Raises NotFound."""
    graph = graphs.get({"default": "deploy", "deletion": "delete"}.get(wanted, wanted)) or graphs.get(wanted)
    if graph is None:
        raise NotFound(f"the catalog has no graph {wanted}", mend=f"it has: {', '.join(sorted(graphs)) or 'none'}")
    return graph


def place_of(task: Task, node: NodeId) -> str:
    """Name an instance for people: the place in the catalog, the task, the node."""
    at = f"{task.source}: " if task.source.file else ""
    return f"{at}task {task.id} on " + (f"node {node}" if node is not None else "the deployment")


class _Plan:
    """What is to be evaluated. It is made when it is first asked for: workers are sent the setup meanwhile."""

    def __init__(self, tasks: Sequence[Task], members: Sequence[Member], new: Snapshot, old: Snapshot | None) -> None:
        self._tasks, self._members = tasks, members
        self._new, self._old = new, old

    @cached_property
    def places(self) -> Places:
        """Where the tasks stand."""
        return Places(self._tasks, Resolution(self._members))

    @cached_property
    def cut(self) -> Cut:
        """The same, to be cut into chunks."""
        return Cut([task.id for task in self._tasks], self.places, self._new, self._old)

    @cached_property
    def total(self) -> int:
        """How many instances there are."""
        return sum(map(len, self.places.of.values()))

    def chunks(self) -> Iterator[bytes]:
        """Give the chunks."""
        yield from self.cut.chunks()


class _Joined:
    """The answers to the chunks so far, joined."""

    def __init__(self, tasks: Sequence[Task], plan: _Plan) -> None:
        self.outcomes: dict[str, TaskOutcomes] = {}
        self._tasks = tasks
        self._plan = plan
        self._idle: dict[tuple[int, str], tuple[Fault, int]] = {}
        self._end = 0
        self._early: dict[int, tuple[int, Answer]] = {}

    def add(self, answer: Answer) -> int:
        """Add the answer to the chunk that was cut next; gives how many instances could be joined by it. Answers are
        joined in the order of places. Raises InvalidInput for what failed: the first in the order of places and then
        of tasks."""
        start, end = self._plan.cut.answered(answer.seconds)
        self._early[start] = end, answer
        count = 0
        while self._end in self._early:
            start = self._end
            self._end, answer = self._early.pop(start)
            count += self._join(start, answer)
        return count

    def _join(self, start: int, answer: Answer) -> int:
        if answer.faults:
            raise self._error(min(answer.faults, key=lambda fault: (fault.place, fault.task)), start)
        count = 0
        for found in answer.outcomes:
            of = _numbers(found.of)
            self.outcomes.setdefault(self._tasks[found.task].id, TaskOutcomes()).add(found, of)
            count += len(of)
        for fault in answer.idle:
            first, times = self._idle.get(
                (fault.task, fault.what), (msgspec.structs.replace(fault, place=start + fault.place), 0)
            )
            self._idle[fault.task, fault.what] = first, times + fault.count
        return count

    def warnings(self) -> Iterator[str]:
        """Tell of faulty parameters of tasks that do not run."""
        for fault, times in sorted(self._idle.values(), key=lambda idle: (idle[0].task, idle[0].place, idle[0].what)):
            more = f" (nor on {times - 1} more places, where it fails too)" if times > 1 else ""
            yield f"{self._error(fault, 0)}; the task does not run{more}"

    def _error(self, fault: Fault, start: int) -> InvalidInput:
        where = fault.where
        if fault.task >= 0:
            where = place_of(self._tasks[fault.task], self._plan.cut.node(start + fault.place))
            where = f"{where}, {fault.where}" if fault.where else where
        return InvalidInput(fault.what, where=where, mend=fault.mend)


def _numbers(raw: bytes) -> array[int]:
    numbers = array("I", raw)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _refuse_unknown(only: Collection[str], tasks: Sequence[Task]) -> None:
    unknown = sorted(set(only) - {task.id for task in tasks})
    if unknown:
        raise NotFound(f"the graph has no task {', '.join(unknown[:5])}", mend="look at `rackwright catalog show`")


def _takes(graph: Graph, member: Member, part: dict[Any, Any], evaluator: Evaluator) -> bool:
    where = f"node filter of the graph {graph.type}, node {member.name}"
    return bool(evaluator.evaluate(graph.node_filter, Context(common=None, node=Attributes(part)), where=where))
