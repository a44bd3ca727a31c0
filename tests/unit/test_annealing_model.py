"""Random operations on random graphs: the core beside an interpreter of the table, until every cell was visited."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rackwright.core import annealing
from rackwright.core.annealing import Ended
from rackwright.core.catalog import Retry
from rackwright.core.errors import Conflict
from rackwright.core.node_task import NodeTask, State
from tests.unit.annealing_reference import STATES, WANTED, Cell, Nature, Reference, cells, drawn, refusals
from tests.unit.fleets import NOW, fleet, task, validate

SEEN: Counter[Cell] = Counter()
REFUSED: Counter[tuple[str, str]] = Counter()
WALKS = 900
"""Of 30 steps each."""
T = TypeVar("T")


def chosen(data: Any, among: Sequence[T]) -> T:
    """One of them, by hypothesis or by a seeded chance."""
    found: T = data.choice(among) if isinstance(data, Random) else data.draw(st.sampled_from(among))
    return found


class Fleet(RuleBasedStateMachine):
    """The core and the interpreter side by side."""

    @initialize(size=st.integers(2, 7), seed=st.integers(0, 2**32 - 1))
    def build(self, size: int, seed: int) -> None:
        chance = Random(seed)
        names = [f"t{number}" for number in range(size)]
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        edges = [pair for pair in pairs if chance.random() < 0.4]
        middle = chance.randint(1, size - 1)
        barriers = {}
        if chance.random() < 0.5:
            barriers = {"all": (names[:middle][-2:], names[middle:][-3:])}
        self.near, self.rows = fleet(names, edges, barriers)
        parents: dict[str, set[str]] = {name: {a for a, b in edges if b == name} for name in names}
        for above, below in barriers.values():
            for child in below:
                parents[child] |= set(above)
        natures = {
            name: Nature(chance.random() < 0.3, chance.choice([1, 1, 2]), chance.random() < 0.7) for name in names
        }
        self.tasks = {
            name: task(name, destructive=one.destructive, fail_on_error=one.fail_on_error, retry=Retry(one.attempts))
            for name, one in natures.items()
        }
        self.reference = Reference(parents, natures)
        self.revision = 0
        self.claimed_revision: dict[str, int] = {}
        for row in self.rows.values():
            annealing.commit(self.near, row)
            self.reference.want(row.task)
        if chance.random() < 0.5:
            self.run_all_that_may_run()

    def pick(self, data: Any, *states: State) -> NodeTask | None:
        found = [row for row in self.rows.values() if row.state in states]
        return chosen(data, found) if found else None

    def wake(self) -> None:
        for barrier in self.near.barriers.values():
            if barrier.open and barrier.released < len(barrier.children):
                barrier.released = len(barrier.children)
                for child in barrier.children:
                    annealing.settle(self.near, self.near.rows[child])
        for row in self.rows.values():
            annealing.settle(self.near, row)

    def words(self) -> dict[str, str]:
        return {name: row.state.word for name, row in self.rows.items()}

    def move(self, verb: str, row: NodeTask, core: Callable[[], Any], reference: Callable[[], None]) -> None:
        """One verb on both sides; what it does is counted."""
        before = self.words()
        core()
        self.wake()
        reference()
        for name, to in self.words().items():
            if name == row.task:
                SEEN[verb, before[name], to] += 1
            elif before[name] != to:
                SEEN[self.side(verb, row, before[name], to), before[name], to] += 1

    def side(self, verb: str, row: NodeTask, was: str, to: str) -> str:
        if verb == "finish badly":
            return "(an error above)"
        return "(a parent goes active)" if (was, to) == ("blocked", "todo") else "(a parent leaves active)"

    def start(self, row: NodeTask, noop: bool = False) -> None:
        core = partial(annealing.claim, self.near, row, fingerprint=self.seen(row.task), incarnation="i")
        self.move(
            "claim",
            row,
            lambda: core(now=NOW, until=NOW + 30, noop=noop),
            lambda: self.reference.claim(row.task, noop),
        )
        self.claimed_revision[row.task] = row.revision

    def end(self, row: NodeTask, good: bool, alive: bool = True) -> None:
        outcome: annealing.Outcome = "ok" if good else "failed"
        revision = self.claimed_revision[row.task]
        ended = Ended(attempt=row.attempt, revision=revision, outcome=outcome, reason="r", alive=alive)
        self.move(
            self.reference.kind(row.task, good, alive),
            row,
            lambda: annealing.finish(self.near, row, self.tasks[row.task], ended, NOW),
            lambda: self.reference.finish(row.task, good, alive),
        )

    def seen(self, name: str) -> bytes:
        return str(self.reference.version[name]).encode()

    @rule()
    def run_all_that_may_run(self) -> None:
        for _ in self.rows:
            for name, row in self.rows.items():
                if row.state is State.TODO:
                    self.start(row)
                    self.end(row, True)
                    assert self.reference.state[name] == "active"

    @rule(data=st.data())
    def propose(self, data: Any) -> None:
        row = self.pick(data, *annealing.LEGAL["propose"])
        if row is not None:
            self.move("propose", row, lambda: annealing.propose(self.near, row), lambda: self.turn(row, "proposed"))

    @rule(data=st.data())
    def commit(self, data: Any) -> None:
        row = self.pick(data, State.PROPOSED)
        if row is not None:
            self.move("commit", row, lambda: annealing.commit(self.near, row), lambda: self.reference.want(row.task))

    @rule(data=st.data())
    def claim(self, data: Any) -> None:
        row = self.pick(data, State.TODO)
        if row is not None:
            self.start(row)

    @rule(data=st.data(), good=st.booleans(), alive=st.sampled_from([True, True, False]))
    def finish(self, data: Any, good: bool, alive: bool) -> None:
        row = self.pick(data, State.TRANSITION)
        if row is not None:
            self.end(row, good, alive)

    @rule(data=st.data())
    def fail(self, data: Any) -> None:
        """What runs, or else what may, ends badly."""
        row = self.pick(data, State.TRANSITION) or self.pick(data, State.TODO)
        if row is not None:
            if row.state is State.TODO:
                self.start(row)
            self.end(row, False)

    @rule(data=st.data())
    def rehearse(self, data: Any) -> None:
        row = self.pick(data, State.TODO)
        if row is not None:
            self.start(row, noop=True)

    @rule(data=st.data())
    def park(self, data: Any) -> None:
        row = self.pick(data, State.TRANSITION)
        if row is not None:
            core = partial(annealing.park, self.near, row, attempt=row.attempt, until=NOW + 90, reason="reboots")
            self.move("park", row, core, lambda: self.reference.parked.add(row.task))

    @rule(data=st.data())
    def lose(self, data: Any) -> None:
        row = self.pick(data, State.TRANSITION)
        if row is not None:
            self.part(row)

    @rule(data=st.data(), really=st.sampled_from([True, True, False]))
    def change(self, data: Any, really: bool) -> None:
        row = self.pick(data, *State)
        if row is not None:
            self.alter(row, really)

    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        row = self.pick(data, *annealing.LEGAL["retry"])
        if row is not None:
            self.again(row)

    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        row = self.pick(data, *annealing.LEGAL["deactivate"])
        if row is not None:
            self.gone(row)

    @rule(data=st.data(), how=st.sampled_from(["well", "badly", "dead", "lost", "changed", "left"]))
    def end_while_a_parent_is_not_active(self, data: Any, how: str) -> None:
        """A parent is asked to run again while it runs; only then it ends."""
        row = self.pick(data, State.TRANSITION) or self.pick(data, State.TODO)
        if row is None:
            return
        if row.state is State.TODO:
            self.start(row)
        self.stir_parents(data, row)
        if how == "changed":
            self.alter(row, True)
        if how == "lost":
            self.part(row)
        elif how == "left":
            self.gone(row)
        else:
            self.end(row, how in ("well", "dead", "changed"), how != "dead")

    @rule(data=st.data(), verb=st.sampled_from(["retry", "change", "nothing", "leave", "fail"]))
    def move_an_error_below_what_is_not_active(self, data: Any, verb: str) -> None:
        row = self.pick(data, State.ERROR)
        if row is None:
            return
        stirred = self.stir_parents(data, row)
        if verb == "retry":
            self.again(row)
        elif verb == "leave":
            self.gone(row)
        elif verb != "fail":
            self.alter(row, verb == "change")
        elif stirred is not None and stirred.state is State.TODO:
            self.start(stirred)
            self.end(stirred, False)

    @rule(data=st.data())
    def fail_above(self, data: Any) -> None:
        """Something that was active runs again and ends badly, whatever has become of those below."""
        row = self.pick(data, State.ACTIVE)
        if row is not None:
            self.again(row)
            if row.state is State.TODO:
                self.start(row)
                self.end(row, False)

    @rule(data=st.data(), good=st.booleans())
    def end_on_old_inputs(self, data: Any, good: bool) -> None:
        row = self.pick(data, State.TRANSITION) or self.pick(data, State.TODO)
        if row is not None:
            if row.state is State.TODO:
                self.start(row)
            self.alter(row, True)
            self.end(row, good)

    @rule(seed=st.integers(0, 2**32 - 1))
    def wander(self, seed: int) -> None:
        """Many moves by chance, for hypothesis prefers few and simple ones."""
        chance = Random(seed)
        for _ in range(30):
            chance.choice(self.steps(chance))()
            self.both_say_the_same()

    def steps(self, chance: Random) -> list[Callable[[], None]]:
        often = [
            partial(self.claim, chance),
            partial(self.finish, chance, True, True),
            partial(self.fail_above, chance),
        ]
        how = chance.choice(["well", "badly", "dead", "lost", "changed", "left"])
        verb = chance.choice(["retry", "change", "nothing", "leave", "fail"])
        return [
            *often,
            *often,
            partial(self.propose, chance),
            partial(self.commit, chance),
            partial(self.fail, chance),
            partial(self.park, chance),
            partial(self.rehearse, chance),
            partial(self.finish, chance, False, chance.random() < 0.5),
            partial(self.change, chance, chance.random() < 0.5),
            partial(self.retry, chance),
            partial(self.leave, chance),
            partial(self.end_while_a_parent_is_not_active, chance, how),
            partial(self.move_an_error_below_what_is_not_active, chance, verb),
            partial(self.end_on_old_inputs, chance, chance.random() < 0.5),
            partial(self.ask_for_what_is_not_legal, chance),
        ]

    def stir_parents(self, data: Any, row: NodeTask) -> NodeTask | None:
        parents = [self.rows[name] for name in sorted(self.reference.parents[row.task])]
        active = [parent for parent in parents if parent.state is State.ACTIVE]
        if not active:
            return None
        parent = chosen(data, active)
        self.again(parent)
        return parent

    def again(self, row: NodeTask) -> None:
        self.move("retry", row, lambda: annealing.retry(self.near, row), lambda: self.reference.want(row.task))

    def part(self, row: NodeTask) -> None:
        core = partial(annealing.lose, self.near, row, "gone", NOW)
        self.move("lose", row, core, lambda: self.reference.want(row.task))

    def gone(self, row: NodeTask) -> None:
        core = partial(annealing.deactivate, self.near, row, "gone", NOW)
        if row.state is State.TRANSITION and row.task in self.reference.parked:
            self.move("(deactivate what is parked)", row, core, lambda: None)
        else:
            self.move("deactivate", row, core, lambda: self.reference.want(row.task))

    def alter(self, row: NodeTask, really: bool) -> None:
        self.revision += 1
        now = str(self.reference.version[row.task] + really).encode()
        core = partial(annealing.change, self.near, row, self.tasks[row.task])
        self.move(
            "change" if really else "change nothing",
            row,
            lambda: core(fingerprint=now, revision=self.revision, reason="r"),
            lambda: self.reference.change(row.task, really),
        )

    @rule(data=st.data())
    def ask_for_what_is_not_legal(self, data: Any) -> None:
        verb, word = chosen(data, sorted(refusals()))
        row = self.pick(data, State[word.upper()])
        if row is None:
            return
        before, runs, moves = self.words(), len(self.near.runs), len(self.near.moves)
        try:
            self.refused(verb, row)
        except Conflict:
            REFUSED[verb, word] += 1
        else:
            raise AssertionError(f"{verb} was taken from {word}")
        assert (before, runs, moves) == (self.words(), len(self.near.runs), len(self.near.moves))

    def refused(self, verb: str, row: NodeTask) -> None:
        ended = Ended(attempt=row.attempt, revision=row.revision, outcome="ok")
        calls: dict[str, Callable[[], Any]] = {
            "propose": lambda: annealing.propose(self.near, row),
            "commit": lambda: annealing.commit(self.near, row),
            "retry": lambda: annealing.retry(self.near, row),
            "claim": lambda: annealing.claim(self.near, row, fingerprint=b"", incarnation="i", now=NOW, until=NOW),
            "finish": lambda: annealing.finish(self.near, row, self.tasks[row.task], ended, NOW),
            "park": lambda: annealing.park(self.near, row, attempt=row.attempt, until=NOW, reason=""),
            "lose": lambda: annealing.lose(self.near, row, "gone", NOW),
            "deactivate": lambda: annealing.deactivate(self.near, row, "gone", NOW),
        }
        calls[verb.split(maxsplit=1)[0]]()

    def turn(self, row: NodeTask, state: str) -> None:
        self.reference.state[row.task] = state

    @precondition(lambda self: hasattr(self, "rows"))
    @invariant()
    def both_say_the_same(self) -> None:
        validate(self.near)
        assert self.words() == self.reference.words()
        assert {name: row.tries for name, row in self.rows.items() if row.state in (State.TODO, State.BLOCKED)} == {
            name: self.reference.tries[name] for name in self.rows if self.reference.state[name] == WANTED
        }

    @precondition(lambda self: hasattr(self, "rows"))
    @invariant()
    def active_means_that_it_ran_on_the_newest_inputs(self) -> None:
        for name, row in self.rows.items():
            if row.state is State.ACTIVE:
                assert row.fingerprint == self.seen(name)

    @precondition(lambda self: hasattr(self, "rows"))
    @invariant()
    def the_moves_lead_to_where_everything_is(self) -> None:
        at = dict.fromkeys(self.near.rows, State.PROPOSED)
        for move in self.near.moves:
            assert at[move.node_task] is move.was
            at[move.node_task] = move.to
        assert at == {id: row.state for id, row in self.near.rows.items()}


Fleet.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestFleet = Fleet.TestCase


def test_walks_by_chance_visit_every_cell_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    SEEN.clear()
    REFUSED.clear()
    for seed in range(WALKS):
        made = Fleet()
        made.build(size=2 + seed % 6, seed=seed)
        made.wander(seed=seed)
        made.active_means_that_it_ran_on_the_newest_inputs()
        made.the_moves_lead_to_where_everything_is()
    with capsys.disabled():
        sys.stdout.write(f"\n{drawn(SEEN, REFUSED)}\n")
    assert set(SEEN) - cells() == set(), "these are not in the table"
    assert cells() - set(SEEN) == set(), "these were never visited"
    assert refusals() - set(REFUSED) == set(), "these were never refused"
    assert {was for _, was, _ in SEEN} == set(STATES)
