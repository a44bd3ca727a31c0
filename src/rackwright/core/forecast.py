"""How long something will take, by how long its tasks took before.

Two things bound it from below: the longest chain of tasks that wait for each other, and the work that has to go through
a narrow place (a node, which carries out one task at a time, or a limit). The larger of them is told, with what makes
it so. What never ran counts as nothing, and is named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from rackwright.core.budgets import Budget, Shares
from rackwright.core.limits import Limit
from rackwright.core.node_task import Barrier, NodeTask, State
from rackwright.core.waves import WaveRule

TO_RUN = (State.TODO, State.BLOCKED, State.TRANSITION)


class Link(msgspec.Struct, frozen=True):
    """One task of the longest chain, on which scope (empty: any machine), and how many seconds it takes."""

    task: str
    node: str
    seconds: float


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that something will take, what makes it so long, the longest chain, and tasks that never ran before."""

    seconds: float
    because: str
    chain: tuple[Link, ...] = ()
    waves: int = 1
    unknown: tuple[str, ...] = ()


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What work has to go through: limits, and budgets of places, with those at which rows take a share."""

    limits: Sequence[Limit] = ()
    budgets: Sequence[Budget] = ()
    taken: Mapping[int, tuple[str, ...]] = {}
    """By row."""


class PastErrands(Protocol):
    """The part of the store's port that is about how long things took, and what they have to go through."""

    async def typical_seconds(self, deployment: int) -> dict[str, float]:
        """How long the tasks of a deployment take: the median of the newest attempts that ended well, by task."""

    async def limits_of(self, scopes: Collection[int]) -> list[Limit]:
        """The limits of these scopes (``limits.SITE``, racks, deployments). Reads without locking."""


class _Done(NamedTuple):
    """When a row is done at the earliest, and which row came before it on the longest way there."""

    at: float
    before: int | None


def forecast(
    rows: Mapping[int, NodeTask],
    barriers: Mapping[int, Barrier],
    seconds: Mapping[str, float],
    room: Room,
    names: Mapping[int, str],
    rule: WaveRule | None = None,
    waves: int = 1,
) -> Forecast | None:
    """Of the rows of a graph that are to run; None: there are none. ``seconds`` is how long each task takes; ``rule``
    and ``waves`` say in how many waves the nodes come, one after the other."""
    running = [row for row in rows.values() if row.state in TO_RUN]
    if not running:
        return None
    done = _done(rows, barriers, seconds)
    last = max(running, key=lambda row: done[row.id].at)
    chain, work = done[last.id].at, _narrowest(running, seconds, room, names)
    repeated = chain * waves
    pauses = rule.pause * (waves - 1) if rule is not None else 0.0
    because = "the longest chain of tasks" if repeated >= work.seconds else work.because
    if waves > 1 and repeated >= work.seconds:
        because += f", in {waves} waves"
    return Forecast(
        seconds=max(repeated, work.seconds) + pauses,
        because=because,
        chain=tuple(_chain(last.id, rows, done, seconds, names)),
        waves=waves,
        unknown=tuple(sorted({row.task for row in running} - seconds.keys())),
    )


def _done(
    rows: Mapping[int, NodeTask], barriers: Mapping[int, Barrier], seconds: Mapping[str, float]
) -> dict[int, _Done]:
    """When each row is done at the earliest. Rows that do not run take no time. Each edge is looked at once, after all
    that lead to where it begins."""
    waits = _waits(rows, barriers)
    began: dict[tuple[bool, int], _Done] = {}
    done: dict[int, _Done] = {}
    ready = [place for place, count in waits.items() if not count]
    for is_barrier, id in ready:
        at = began.get((is_barrier, id), _Done(0.0, None))
        if not is_barrier:
            row = rows[id]
            took = seconds.get(row.task, 0.0) if row.state in TO_RUN else 0.0
            done[id] = _Done(at.at + took, at.before)
            at = _Done(at.at + took, id)
        for child in _below(barriers[id] if is_barrier else rows[id]):
            if child not in waits:
                continue
            if child not in began or began[child].at < at.at:
                began[child] = at
            waits[child] -= 1
            if not waits[child]:
                ready.append(child)
    return done


def _waits(rows: Mapping[int, NodeTask], barriers: Mapping[int, Barrier]) -> dict[tuple[bool, int], int]:
    """For how many others each row and barrier (True) waits."""
    waits = {**{(False, id): 0 for id in rows}, **{(True, id): 0 for id in barriers}}
    above: list[NodeTask | Barrier] = [*rows.values(), *barriers.values()]
    for each in above:
        for child in _below(each):
            if child in waits:
                waits[child] += 1
    return waits


def _below(above: NodeTask | Barrier) -> Iterable[tuple[bool, int]]:
    yield from ((False, child) for child in above.children)
    yield from ((True, barrier) for barrier in above.feeds)


class _Narrow(NamedTuple):
    seconds: float
    because: str


def _narrowest(rows: Sequence[NodeTask], seconds: Mapping[str, float], room: Room, names: Mapping[int, str]) -> _Narrow:
    """The place through which the work takes longest."""
    per_scope: dict[int, float] = {}
    under: dict[tuple[int, str], float] = {(limit.scope, limit.task): 0.0 for limit in room.limits}
    for row in rows:
        took = seconds.get(row.task, 0.0)
        per_scope[row.scope] = per_scope.get(row.scope, 0.0) + took
        for key in ((0, ""), (row.rack or 0, ""), (row.deployment, ""), (row.deployment, row.task)):
            if key in under and (key != (0, "") or row.rack is not None):
                under[key] += took
    scope = max(per_scope, key=lambda id: per_scope[id])
    found = [_Narrow(per_scope[scope], f"{names.get(scope, scope)} carries out one task at a time")]
    for limit in room.limits:
        if limit.amount:
            where = " ".join(filter(None, (limit.task, names.get(limit.scope, "the site"))))
            work = under[limit.scope, limit.task] / limit.amount
            found.append(_Narrow(work, f"the limit of {where}: {limit.amount} at the same time"))
    return max([*found, *_through_places(rows, seconds, room)])


def _through_places(rows: Sequence[NodeTask], seconds: Mapping[str, float], room: Room) -> Iterable[_Narrow]:
    """The work under the budget of each place that has one."""
    shares, work = Shares(room.budgets, {}), dict[str, float]()
    for row in rows if room.taken else ():
        for place in room.taken.get(row.id, ()):
            work[place] = work.get(place, 0.0) + seconds.get(row.task, 0.0)
    for place, took in work.items():
        amount = shares.amount(place)
        if amount:
            yield _Narrow(took / amount, f"the budget of {place}: {amount} at the same time")


def _chain(
    last: int,
    rows: Mapping[int, NodeTask],
    done: Mapping[int, _Done],
    seconds: Mapping[str, float],
    names: Mapping[int, str],
) -> list[Link]:
    """The longest chain, the first task first, without those that take no time."""
    links: list[Link] = []
    at: int | None = last
    while at is not None:
        row = rows[at]
        took = seconds.get(row.task, 0.0) if row.state in TO_RUN else 0.0
        if took:
            links.append(Link(row.task, names.get(row.scope, str(row.scope)), took))
        at = done[at].before
    return links[::-1]


def of_machines(
    steps: Sequence[tuple[str, Collection[int]]],
    seconds: Mapping[str, float],
    rounds: Sequence[tuple[int, str]],
    rule: WaveRule | None,
) -> Forecast:
    """Of a verb for machines, each of which goes through the same ``steps`` (a task and the numbers of those that wait
    for it, parents first). ``rounds`` tells of each wave how often machines of one place have to wait for one another
    there, and at which place."""
    done = [0.0] * len(steps)
    before: list[int | None] = [None] * len(steps)
    for number, (task, below) in enumerate(steps):
        done[number] += seconds.get(task, 0.0)
        for child in below:
            if done[number] > done[child]:
                done[child], before[child] = done[number], number
    at: int | None = max(range(len(steps)), key=done.__getitem__) if steps else None
    each, links = (0.0 if at is None else done[at]), []
    while at is not None:
        task = steps[at][0]
        links.append(Link(task, "", seconds.get(task, 0.0)))
        at = before[at]
    times, place = max(rounds, default=(1, ""))
    pauses = rule.pause * (len(rounds) - 1) if rule is not None else 0.0
    return Forecast(
        seconds=each * sum(count for count, _ in rounds) + pauses,
        because=f"the budget of {place}" if times > 1 else "the longest chain of tasks",
        chain=tuple(link for link in links[::-1] if link.seconds),
        waves=len(rounds),
        unknown=tuple(sorted({task for task, _ in steps} - seconds.keys())),
    )
