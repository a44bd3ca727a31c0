"""The rows that move: node tasks and barriers, and the small neighbourhood in which one move is decided."""

from __future__ import annotations

import enum
import math
from typing import Any

import msgspec

PARKED = "parked"
"""Stands for the rack's process where an attempt is parked: nobody holds it (see ``parking``)."""
HELD = math.inf
"""Lease of an attempt that its rack has named: it lasts for as long as the rack's process has its seat."""


class State(enum.IntEnum):
    """The six states of a node task; the numbers are OpenCrowbar's."""

    ERROR = -1
    ACTIVE = 0
    TODO = 1
    TRANSITION = 2
    BLOCKED = 3
    PROPOSED = 4

    @property
    def word(self) -> str:
        """The state as people read it: lower case."""
        return self.name.lower()


class NodeTask(msgspec.Struct, gc=False):
    """One task on one scope in one deployment.

    ``children`` are the node tasks that wait for this one directly; ``feeds`` the barriers that do; ``gates`` the
    barriers that this one waits for. ``waits`` counts direct parents that are not active.
    """

    id: int
    deployment: int
    task: str
    scope: int
    """Id of the node, rack or deployment that it works on."""
    rack: int | None
    """Id of the rack that carries it out."""
    graph: str = "deploy"
    state: State = State.PROPOSED
    waits: int = 0
    priority: int = 0
    """Length of the longest path below: higher runs first."""
    critical: bool = False
    attempt: int = 0
    """Number of the newest attempt; fences late results."""
    tries: int = 0
    """Failures in a row since it was last wanted anew."""
    runs: int = 0
    """How often it became active."""
    revision: int = 0
    """Newest revision of what it reads that made it stale while it ran; fences results of older inputs."""
    fingerprint: bytes | None = None
    """Of the task and the inputs when it last became active."""
    claimed: bytes | None = None
    """Of the task and the inputs of the newest attempt."""
    forced: bool = False
    """A person asked for this run: a destructive task runs although it has run before."""
    incarnation: str | None = None
    """Start of the rack's process that holds it."""
    claimed_at: float = 0.0
    """Seconds since the epoch."""
    lease_until: float = 0.0
    """Seconds since the epoch, by which its rack must have named it; HELD from then on."""
    not_before: float = 0.0
    """Earliest start of the next attempt (back-off), seconds since the epoch."""
    reason: str = ""
    """Why it is where it is, for people: the error, what it waits for, which fact changed."""
    children: tuple[int, ...] = ()
    feeds: tuple[int, ...] = ()
    gates: tuple[int, ...] = ()
    offline: bool = False
    """It may run, and stays active, while its node is not alive."""

    @property
    def parked(self) -> bool:
        """True while its attempt waits for an event or a deadline, and no process holds it."""
        return self.state is State.TRANSITION and self.incarnation == PARKED


class Barrier(msgspec.Struct, kw_only=True):
    """An all-to-all relation or a stage: open when nothing it waits for is left.

    ``children`` are woken in batches once it is open (``released`` of them so far); ``feeds`` are further barriers.
    There may be very many children: they are written with the plan, and not read with every move.
    """

    id: int
    deployment: int
    graph: str = "deploy"
    name: str
    waits: int = 0
    released: int = 0
    children: tuple[int, ...] = ()
    feeds: tuple[int, ...] = ()

    @property
    def open(self) -> bool:
        """True when every parent is active."""
        return self.waits == 0


class Run(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """History of one attempt: what ran where, from when to when (seconds since the epoch), and how it ended."""

    node_task: int
    deployment: int
    task: str
    scope: int
    rack: int | None
    attempt: int
    outcome: str
    """active | failed | retried | lost | superseded (inputs changed) | skipped | tolerated | unchanged | rehearsed."""
    reason: str = ""
    revision: int = 0
    fingerprint: bytes | None = None
    started_at: float
    ended_at: float
    incarnation: str | None = None
    """Start of the rack's process that carried it out."""
    outputs: dict[str, Any] = {}
    """The facts that it wrote, by path (see ``outputs.kept``)."""


class Moved(msgspec.Struct, frozen=True, gc=False):
    """A change of state: where it happened, and from which state to which."""

    node_task: int
    deployment: int
    graph: str
    task: str
    scope: int
    rack: int | None
    was: State
    to: State


class Neighbourhood(msgspec.Struct):
    """The locked rows that one decision may touch, and the barriers around them. Rows are changed in place;
    ``touched`` and ``touched_barriers`` name those to be saved; ``runs`` is the history that came to be, and ``moves``
    is every change of state, in order."""

    rows: dict[int, NodeTask] = {}
    barriers: dict[int, Barrier] = {}
    touched: set[int] = msgspec.field(default_factory=set)
    touched_barriers: set[int] = msgspec.field(default_factory=set)
    runs: list[Run] = msgspec.field(default_factory=list)
    moves: list[Moved] = msgspec.field(default_factory=list)
    later: set[int] = msgspec.field(default_factory=set)
    """Rows with very much below them: if they fail, it is blocked in slices (see ``spreading``)."""
    spread: dict[int, str] = msgspec.field(default_factory=dict)
    """Those of them that have failed, with the reason for what is below."""

    def moved(self, row: NodeTask, was: State) -> None:
        """Note that a row has changed its state."""
        moved = Moved(row.id, row.deployment, row.graph, row.task, row.scope, row.rack, was, row.state)
        self.moves.append(moved)
