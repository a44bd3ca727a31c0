"""A serialised graph: every task with its places, the outcomes there, and the relations between them."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.expansion import Expansion, FaultToleranceGroup, Instance, Near, references
from rackwright.core.relations import relations
from rackwright.core.resolution import NodeId
from rackwright.core.subgraph import Subgraph, within
from rackwright.engine.serialization.messages import Outcome, Outcomes

_outcomes = msgspec.msgpack.Decoder(Outcome)
_encode = msgspec.msgpack.Encoder().encode


class Serialized(msgspec.Struct, frozen=True, kw_only=True):
    """One instance, evaluated. ``type`` is ``skipped`` and ``parameters`` None for what is not carried out."""

    node: NodeId
    id: str
    type: str
    parameters: Any
    fail_on_error: bool
    requires: list[tuple[str, NodeId]]
    required_for: list[tuple[str, NodeId]]


class TaskOutcomes:
    """The outcomes of one task: each distinct one, packed (msgpack of Outcome), and which one each place has."""

    def __init__(self) -> None:
        self.packed: list[bytes] = []
        self.of = array("I")
        self._numbers: dict[bytes, int] = {}

    def add(self, found: Outcomes, of: array[int]) -> None:
        """Add those of the places that come next."""
        numbers = [self._number(packed) for packed in found.distinct]
        self.of.extend(of if numbers == list(range(len(numbers))) else array("I", map(numbers.__getitem__, of)))

    @cached_property
    def runs(self) -> list[bool]:
        """Whether each distinct outcome is carried out."""
        return [self.outcome(number).runs for number in range(len(self.packed))]

    def outcome(self, number: int) -> Outcome:
        """Give a distinct outcome."""
        return _outcomes.decode(self.packed[number])

    def relations(self) -> Iterator[tuple[Any, Any]]:
        """Give the computed relations of each place; places with the same ones get the same objects."""
        known = [(outcome.depends, outcome.depended_by) for outcome in map(_outcomes.decode, self.packed)]
        alike: dict[bytes, tuple[Any, Any]] = {}
        shared = [alike.setdefault(_encode(pair), pair) for pair in known]
        return map(shared.__getitem__, self.of)

    def only(self, chosen: Iterable[bool]) -> TaskOutcomes:
        """Give the same outcomes, with nothing carried out at places that are not chosen."""
        limited = TaskOutcomes()
        skipped = [
            _encode(msgspec.structs.replace(one, runs=False, parameters=None))
            for one in map(self.outcome, range(len(self.packed)))
        ]
        for number, stays in zip(self.of, chosen, strict=True):
            limited.of.append(limited._number(self.packed[number] if stays else skipped[number]))
        return limited

    def _number(self, packed: bytes) -> int:
        number = self._numbers.setdefault(packed, len(self.packed))
        if number == len(self.packed):
            self.packed.append(packed)
        return number


class SerializedGraph:
    """All instances of a graph, evaluated. Holds a few bytes for each, and every distinct outcome once."""

    def __init__(self, expansion: Expansion, outcomes: dict[str, TaskOutcomes], warnings: Sequence[str]) -> None:
        self.expansion = expansion
        self.outcomes = outcomes
        self.warnings = list(warnings)

    @property
    def groups(self) -> list[FaultToleranceGroup]:
        """The fault-tolerance groups."""
        return self.expansion.groups

    @property
    def count(self) -> int:
        """How many instances there are."""
        return self.expansion.count

    @property
    def running(self) -> int:
        """How many of them are carried out."""
        return sum(sum(map(found.runs.__getitem__, found.of)) for found in self.outcomes.values())

    @property
    def edges(self) -> int:
        """How many edges there are between instances and barriers: a relation of n places to m others is one barrier
        with n + m."""
        return sum(relation.edges for relation in relations(self.expansion))

    def instances(self, *, edges: bool = True) -> Iterator[Serialized]:
        """Give every instance in the order of the catalog and then of the nodes, with all its ``edges`` unless they are
        not wanted: they may be very many. The parameters of instances with the same outcome are one object."""
        for name, placement in self.expansion.placements.items():
            found = self.outcomes[name]
            known: dict[int, Outcome] = {}
            for index, instance in enumerate(self.expansion.of(placement)):
                number = found.of[index]
                if number not in known:
                    known.clear()
                    known[number] = found.outcome(number)
                yield _serialized(placement.task, instance, known[number], edges)

    def within(self, subgraphs: Sequence[Subgraph]) -> SerializedGraph:
        """Give the same graph in which only the instances of these parts run. Raises InvalidInput for an item that
        names no instance."""
        chosen = within(self.expansion, subgraphs)
        outcomes = {
            name: found.only(nodes in chosen[name] for nodes in self.expansion.placements[name].nodes)
            for name, found in self.outcomes.items()
        }
        return SerializedGraph(self.expansion, outcomes, self.warnings)

    def encode(self) -> bytes:
        """Give the whole as bytes (msgpack), which are the same for the same graph however it was made."""
        nodes: dict[tuple[NodeId, ...], int] = {}
        tasks = []
        for name, placement in self.expansion.placements.items():
            found = self.outcomes[name]
            links = [
                [
                    [(target.task, _where(target.where, nodes)) for target in side]
                    for side in (one.requires, one.required_for)
                ]
                for one in placement.links
            ]
            at = nodes.setdefault(placement.nodes, len(nodes))
            tasks.append((name, at, links, placement.linked.tobytes(), found.packed, found.of.tobytes()))
        return _encode((list(nodes), tasks, self.groups, self.warnings))

    @property
    def digest(self) -> str:
        """A fingerprint of it all."""
        return hashlib.blake2b(self.encode(), digest_size=16).hexdigest()


def _serialized(task: Task, instance: Instance, outcome: Outcome, edges: bool) -> Serialized:
    return Serialized(
        node=instance.node,
        id=task.id,
        type=task.type if outcome.runs else "skipped",
        parameters=outcome.parameters,
        fail_on_error=task.fail_on_error and outcome.runs,
        requires=references(instance, "requires") if edges else [],
        required_for=references(instance, "required_for") if edges else [],
    )


def _where(where: Near | tuple[NodeId, ...], nodes: dict[tuple[NodeId, ...], int]) -> str | int:
    return where.value if isinstance(where, Near) else nodes.setdefault(where, len(nodes))
