"""Random operations on random graphs, against a small interpreter of the table that keeps no counters at all."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rackwright.core import annealing
from rackwright.core.annealing import Ended
from rackwright.core.node_task import NodeTask, State
from tests.unit.fleets import NOW, fleet, task, validate

WANTED = "wanted"


class Reference:
    """What the table says, read slowly: a state by name, parents by name, and everything else worked out anew.

    ``wanted`` stands for todo and blocked: which of the two it is follows from the parents.
    """

    def __init__(self, parents: dict[str, set[str]], destructive: set[str]) -> None:
        self.parents = parents
        self.destructive = destructive
        self.state = dict.fromkeys(parents, "proposed")
        self.version = dict.fromkeys(parents, 0)
        self.claimed = dict.fromkeys(parents, -1)
        self.done: dict[str, int] = {}

    def word(self, name: str) -> str:
        if self.state[name] != WANTED:
            return self.state[name]
        return "todo" if all(self.state[parent] == "active" for parent in self.parents[name]) else "blocked"

    def below(self, name: str) -> set[str]:
        found: set[str] = set()
        queue = [name]
        while queue:
            at = queue.pop()
            for child, parents in self.parents.items():
                if at in parents and child not in found:
                    found.add(child)
                    queue.append(child)
        return found - {name}

    def finish(self, name: str, good: bool) -> None:
        moved_on = self.version[name] != self.claimed[name]
        if moved_on and good and name in self.destructive:
            self.done[name] = self.claimed[name]
            self.state[name] = "proposed"
        elif moved_on:
            self.state[name] = WANTED
        elif good:
            self.done[name] = self.claimed[name]
            self.state[name] = "active"
        else:
            self.state[name] = "error"
            for child in self.below(name):
                if self.state[child] not in ("proposed", "transition"):
                    self.state[child] = WANTED

    def change(self, name: str) -> None:
        self.version[name] += 1
        if self.state[name] == "active":
            self.state[name] = "proposed" if name in self.destructive else WANTED
        elif self.state[name] == "error":
            self.state[name] = WANTED


class Fleet(RuleBasedStateMachine):
    """The core and the interpreter side by side."""

    @initialize(data=st.data(), size=st.integers(2, 9))
    def build(self, data: Any, size: int) -> None:
        names = [f"t{number}" for number in range(size)]
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        edges = data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=12))
        middle = data.draw(st.integers(1, size - 1))
        barriers = {}
        if data.draw(st.booleans()):
            barriers = {"all": (names[:middle][-2:], names[middle:][-3:])}
        self.near, self.rows = fleet(names, edges, barriers)
        parents: dict[str, set[str]] = {name: {a for a, b in edges if b == name} for name in names}
        for above, below in barriers.values():
            for child in below:
                parents[child] |= set(above)
        self.tasks = {name: task(name, destructive=data.draw(st.booleans())) for name in names}
        self.reference = Reference(parents, {name for name, one in self.tasks.items() if one.destructive})
        self.revision = 0
        self.claimed_revision: dict[str, int] = {}
        for row in self.rows.values():
            annealing.commit(self.near, row)
            self.reference.state[row.task] = WANTED

    def pick(self, data: Any, *states: State) -> NodeTask | None:
        self.wake()
        found = [row for row in self.rows.values() if row.state in states]
        return data.draw(st.sampled_from(found)) if found else None

    def wake(self) -> None:
        for barrier in self.near.barriers.values():
            if barrier.open and barrier.released < len(barrier.children):
                barrier.released = len(barrier.children)
                for child in barrier.children:
                    annealing.settle(self.near, self.near.rows[child])
        for row in self.rows.values():
            annealing.settle(self.near, row)

    def start(self, row: NodeTask) -> None:
        annealing.claim(self.near, row, fingerprint=self.seen(row.task), incarnation="i", now=NOW, until=NOW + 30)
        self.reference.state[row.task] = "transition"
        self.reference.claimed[row.task] = self.reference.version[row.task]
        self.claimed_revision[row.task] = row.revision

    def end(self, row: NodeTask, good: bool) -> None:
        revision = self.claimed_revision[row.task]
        ended = Ended(attempt=row.attempt, revision=revision, outcome="ok" if good else "failed", reason="r")
        annealing.finish(self.near, row, self.tasks[row.task], ended, NOW)
        self.reference.finish(row.task, good)

    def seen(self, name: str) -> bytes:
        return str(self.reference.version[name]).encode()

    @rule()
    def run_all_that_may_run(self) -> None:
        for _ in self.rows:
            self.wake()
            for name, row in self.rows.items():
                if row.state is State.TODO:
                    self.start(row)
                    self.end(row, True)
                    assert self.reference.state[name] == "active"

    @rule(data=st.data())
    def commit(self, data: Any) -> None:
        row = self.pick(data, State.PROPOSED)
        if row is not None:
            annealing.commit(self.near, row)
            self.reference.state[row.task] = WANTED

    @rule(data=st.data())
    def claim(self, data: Any) -> None:
        row = self.pick(data, State.TODO)
        if row is not None:
            self.start(row)

    @rule(data=st.data(), good=st.booleans())
    def finish(self, data: Any, good: bool) -> None:
        row = self.pick(data, State.TRANSITION)
        if row is not None:
            self.end(row, good)

    @rule(data=st.data())
    def lose(self, data: Any) -> None:
        row = self.pick(data, State.TRANSITION)
        if row is not None:
            annealing.lose(self.near, row, "gone", NOW)
            self.reference.state[row.task] = WANTED

    @rule(data=st.data())
    def change(self, data: Any) -> None:
        row = self.pick(data, *State)
        if row is not None:
            self.revision += 1
            self.reference.change(row.task)
            fingerprint = self.seen(row.task)
            annealing.change(
                self.near, row, self.tasks[row.task], fingerprint=fingerprint, revision=self.revision, reason="r"
            )

    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        row = self.pick(data, State.ERROR, State.ACTIVE)
        if row is not None:
            annealing.retry(self.near, row)
            self.reference.state[row.task] = WANTED

    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        row = self.pick(data, State.ACTIVE, State.TODO, State.BLOCKED, State.ERROR, State.TRANSITION)
        if row is not None:
            annealing.deactivate(self.near, row, "gone", NOW)
            self.reference.state[row.task] = WANTED

    @precondition(lambda self: hasattr(self, "rows"))
    @invariant()
    def both_say_the_same(self) -> None:
        validate(self.near)
        self.wake()
        assert {name: row.state.word for name, row in self.rows.items()} == {
            name: self.reference.word(name) for name in self.rows
        }

    @precondition(lambda self: hasattr(self, "rows"))
    @invariant()
    def active_means_that_it_ran_on_the_newest_inputs(self) -> None:
        for name, row in self.rows.items():
            if row.state is State.ACTIVE:
                assert row.fingerprint == self.seen(name)


Fleet.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFleet = Fleet.TestCase
