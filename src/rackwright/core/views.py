"""What people read: the objects of the API's answers, and the port through which the store gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from rackwright.core.estate import Estate
from rackwright.core.history import History
from rackwright.core.lifecycle import Machine, word
from rackwright.core.serving import Serving


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Which machines are asked for: by their word, and by where they stand on each axis; None: anywhere."""

    only: bool = False
    """Machines only, no plain nodes."""
    word: str | None = None
    allocation: str | None = None
    phase: str | None = None
    health: str | None = None

    def holds(self, machine: Machine | None) -> bool:
        """Whether a machine stands there; a plain node (None) does where nothing is asked."""
        if machine is None:
            return self == ANYWHERE
        asked = (self.word, self.allocation, self.phase, self.health)
        there = (word(machine), machine.allocation, machine.phase, machine.health)
        return all(wanted in (None, found) for wanted, found in zip(asked, there, strict=True))


ANYWHERE = Standing()
"""Every node."""


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A node: where it stands, its address, whether it lives, and its node tasks counted by state."""

    name: str
    rack: str | None
    address: str | None
    alive: bool
    available: bool
    labels: dict[str, str]
    roles: list[str]
    """``deployment/role`` pairs bound to it."""
    tasks: dict[str, int]
    state: str
    """error > transition > todo > blocked > proposed > active; idle without tasks."""
    word: str = ""
    """Of a machine: the one word for where it stands in its life (see ``lifecycle``); empty: a plain node."""
    machine: Machine | None = None
    """Where it stands on every axis."""
    pool: str = ""
    zone: str = ""
    """Its own, else its rack's."""
    tags: list[str] = []
    """Those that people gave and those that rules gave."""
    facts: dict[str, Any] = {}
    """By path; only when one node is asked for."""


class RackView(msgspec.Struct, frozen=True, kw_only=True):
    """A rack: when its process was last heard of, its nodes, and what it has to do."""

    name: str
    nodes: int
    last_seen: float | None
    tasks: dict[str, int]
    serving: Serving | None = None
    """How far it is with what it serves to machines; None: it serves none."""


class SteeringView(msgspec.Struct, frozen=True, kw_only=True):
    """What steers a deployment beside its graph."""

    held: str
    """Why nothing may begin now; empty: something may."""
    windows: list[str]
    time_zone: str
    paused_until: float | None
    waves: str
    """How far its roll-out is, empty without waves."""
    limit: int | None
    """At most so many of its node tasks run at the same time."""
    noop: bool


class DeploymentView(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment: its roll-up word, counts by state, and the reasons why it does not go on."""

    name: str
    catalog: str
    parent: str | None
    state: str
    """empty | proposed | annealing | stopped | held | blocked | error | active."""
    tasks: dict[str, int]
    members: int
    reasons: list[str]
    """At most 20: why it is held, then errors, then what is proposed or blocked and why."""
    created_at: float
    steering: SteeringView | None = None
    """None: nothing steers it."""


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A node task as people see it."""

    id: int
    deployment: str
    graph: str
    task: str
    scope: str
    rack: str | None
    state: str
    attempt: int
    runs: int
    waits: int
    reason: str
    claimed_at: float | None


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of the past."""

    id: int
    deployment: str
    task: str
    scope: str
    rack: str | None
    node_task: int
    attempt: int
    outcome: str
    reason: str
    started_at: float
    ended_at: float


class EdgeView(msgspec.Struct, frozen=True, kw_only=True):
    """One edge of a deployment's graph; barriers are named ``barrier:<id>``, node tasks by id."""

    parent: str
    child: str


class GraphView(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment's graph as it stands: node tasks, barriers (id, name, open) and edges."""

    tasks: list[TaskView]
    barriers: list[tuple[int, str, bool]]
    edges: list[EdgeView]


class LogView(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an attempt's log from ``offset`` on; ``complete``: nothing will follow after ``next_offset``."""

    attempt: int
    offset: int
    next_offset: int
    data: bytes
    complete: bool


class Views(History, Estate, Protocol):
    """Reading for people; none of it locks anything. Lists are in the order of their names or ids; ``after`` is the
    last key of the page before, ``limit`` the most to give."""

    async def nodes(
        self,
        *,
        names: list[str] | None = None,
        rack: str | None = None,
        state: str | None = None,
        standing: Standing = ANYWHERE,
        after: str = "",
        limit: int = 1000,
    ) -> list[NodeView]:
        """Nodes by name, of a rack, in a state, of machines that stand so; with exactly one name its facts are given
        too."""

    async def fleet(self) -> dict[str, int]:
        """All node tasks of all deployments, counted by state."""

    async def racks(self, *, names: list[str] | None = None) -> list[RackView]:
        """Racks by name."""

    async def deployments(self, *, names: list[str] | None = None) -> list[DeploymentView]:
        """Deployments by name, with their roll-up."""

    async def tasks(
        self,
        deployment: str,
        *,
        state: str | None = None,
        scope: str | None = None,
        task: str | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[TaskView]:
        """Node tasks of a deployment by id."""

    async def graph(self, deployment: str) -> GraphView:
        """The graph as it stands."""

    async def runs(
        self,
        deployment: str,
        *,
        scope: str | None = None,
        task: str | None = None,
        since: float = 0.0,
        after: int = 0,
        limit: int = 1000,
    ) -> list[RunView]:
        """Attempts of the past by id, those that ended at or after ``since``."""

    async def plans(self, deployment: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """Plans of a deployment, newest first: the fields of PlanRecord, the deployment by name."""

    async def events(self, *, after: int = 0, deployment: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """Events and ended attempts (kind ``run``) after the one with the id ``after``, in the order in which they
        became final: ids grow, but not strictly from one to the next. Only what no transaction still open can precede
        is given, so that a reader that goes on from the last one's id misses nothing. ``after`` -1: the newest
        ``limit``.
        """

    async def catalogs(self) -> list[dict[str, Any]]:
        """Catalogs that the store keeps: name, digest, created_at."""

    async def add_log(self, pieces: list[tuple[int, int, int, bytes, bool]], *, racks: Sequence[int] = ()) -> None:
        """Keep pieces (node task, attempt, offset, data, last) of logs; repeating a piece changes nothing. ``racks``
        says for each who brings it: what a rack says of node tasks that are not its own, or no more, is not kept."""

    async def log(self, node_task: int, *, attempt: int | None, offset: int, limit: int = 1 << 20) -> LogView:
        """A piece of the log of an attempt (None: the newest that has one)."""

    async def rack_secret(self, rack: str) -> tuple[int, bytes] | None:
        """A rack's id and the SHA-256 of its token."""

    async def add_token(self, name: str, secret: bytes, scope: str) -> None:
        """Keep the SHA-256 of an operator's token with what it may do: ``admin`` or ``read``."""

    async def token(self, secret: bytes) -> tuple[str, str] | None:
        """Name and scope of the token with this SHA-256; notes that it was used."""

    async def ready(self) -> list[str]:
        """Why the store cannot serve: empty when it is up and its migrations are at their head."""
