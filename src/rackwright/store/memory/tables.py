"""The tables of the store in memory. A transaction works on a copy that replaces the whole when it commits."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from rackwright.core.audit import ChangeView
from rackwright.core.budgets import Turn
from rackwright.core.campaign import Campaign
from rackwright.core.facts import Fact
from rackwright.core.hooks import Delivery, Message, Subscription
from rackwright.core.jobs import JobRecord
from rackwright.core.lifecycle import Machine
from rackwright.core.networks import Claim
from rackwright.core.node_task import Barrier, NodeTask, Run
from rackwright.core.parking import Parked
from rackwright.core.ports import Deployment, Event, Membership, PlanRecord, Scope
from rackwright.core.retention import Span
from rackwright.core.rollup import Place
from rackwright.core.seats import Holder
from rackwright.core.serving import Serving
from rackwright.core.steering import Steering
from rackwright.core.tag_rules import TagRule


class CampaignTurn(msgspec.Struct, frozen=True):
    """A machine of a campaign; without an activity it waits."""

    campaign: int
    turn: Turn
    activity: str = ""


class Tables(msgspec.Struct):
    """Everything that is kept. What a dict holds is never changed in place, so that a shallow copy is a copy."""

    last_id: int = 0
    """One sequence for all ids: rows of one kind still get ascending ones."""
    revision: int = 0
    scopes: dict[int, Scope] = {}
    secrets: dict[int, bytes] = {}
    sealed: dict[tuple[int, str], bytes] = {}
    facts: dict[int, dict[str, Fact]] = {}
    """By scope and path."""
    deployments: dict[int, Deployment] = {}
    generations: dict[int, int] = {}
    members: dict[int, dict[int, Membership]] = {}
    """By deployment and scope."""
    rows: dict[int, NodeTask] = {}
    barriers: dict[int, Barrier] = {}
    noted: dict[int, tuple[int, dict[str, str]]] = {}
    """By node task: an attempt and the fingerprints of what it read; ``kept`` alike."""
    kept: dict[int, tuple[int, dict[str, str]]] = {}
    values: dict[str, bytes] = {}
    """JSON by fingerprint."""
    runs: list[tuple[int, Run]] = []
    events: list[Event] = []
    changes: list[ChangeView] = []
    parts: dict[str, tuple[Span, ...]] = {}
    """By table of history: how it is cut along time."""
    catalogs: dict[str, bytes] = {}
    catalog_names: dict[str, tuple[str, float]] = {}
    plans: dict[int, PlanRecord] = {}
    subscriptions: dict[int, Subscription] = {}
    messages: dict[int, Message] = {}
    deliveries: list[Delivery] = []
    words: dict[int, str] = {}
    """What hooks were last told of a deployment."""
    jobs: dict[int, JobRecord] = {}
    limits: dict[tuple[int, str], int] = {}
    """By scope (0: the site) and task."""
    rollup: dict[Place, int] = {}
    jumps: list[tuple[float, float]] = []
    """Of the clock: when, by how many seconds."""
    heads: dict[tuple[str, int], tuple[int, float]] = {}
    """By queue and place in it: what is the first in line, and since when."""
    holders: dict[int, Holder] = {}
    """By rack: the process that works for it."""
    heard: dict[int, float] = {}
    """By rack: when its process was heard of last."""
    spreading: dict[tuple[int, bool], tuple[int, int, str]] = {}
    """By node task, and whether it is a source: deployment, priority and reason."""
    parked: dict[int, Parked] = {}
    """By node task."""
    machines: dict[int, Machine] = {}
    """By node."""
    serving: dict[int, Serving] = {}
    """By rack."""
    served: dict[tuple[int, int], tuple[int, bytes | None]] = {}
    """By rack and scope: generation and document."""
    served_steps: frozenset[tuple[int, int]] = frozenset()
    """Rack and generation."""
    leases: dict[tuple[int, str], tuple[str, str, float]] = {}
    """By rack and address: who told of it, to whom it was given, and until when."""
    traits: dict[int, dict[str, Any]] = {}
    """By scope."""
    tag_rules: dict[str, TagRule] = {}
    networks: list[Claim] = []
    """In the order in which each rack has them."""
    served_whole: frozenset[int] = frozenset()
    """Racks of which all documents have been made."""
    budgets: dict[tuple[str, str], int] = {}
    """By kind and place."""
    campaigns: dict[int, Campaign] = {}
    turns: dict[int, CampaignTurn] = {}
    """By node."""
    shares: dict[int, tuple[int, str, tuple[str, ...]]] = {}
    """By node task: deployment, graph and places."""
    steering: dict[int, Steering] = {}
    waves: dict[int, dict[int, int]] = {}
    """By deployment and node."""

    def copied(self) -> Tables:
        """A copy with tables of its own."""
        return Tables(**{name: copy.copy(getattr(self, name)) for name in self.__struct_fields__})

    def fresh_id(self) -> int:
        """The next id."""
        self.last_id += 1
        return self.last_id

    def scope_named(self, kind: str, name: str) -> Scope | None:
        """A scope by kind and name."""
        return next((scope for scope in self.scopes.values() if (scope.kind, scope.name) == (kind, name)), None)

    def name(self, scope: int | None) -> str | None:
        """A scope's name, None when it is gone or none is asked for."""
        found = self.scopes.get(scope) if scope is not None else None
        return None if found is None else found.name

    def drop_row(self, id: int) -> None:
        """Delete a node task and what is recorded of its reads."""
        del self.rows[id]
        self.forget_reads(id)

    def forget_reads(self, id: int) -> None:
        """Delete what is recorded of a node task's reads."""
        self.noted.pop(id, None)
        self.kept.pop(id, None)

    def rows_of(self, **wanted: Any) -> list[NodeTask]:
        """Node tasks whose fields have these values, by id."""
        return [
            self.rows[id]
            for id in sorted(self.rows)
            if all(getattr(self.rows[id], field) == value for field, value in wanted.items())
        ]


def copied(row: NodeTask) -> NodeTask:
    """A node task that its receiver may change."""
    return copy.copy(row)


def is_waking(barrier: Barrier) -> bool:
    """Whether a barrier is open and has children that are yet to be woken."""
    return barrier.open and barrier.released < len(barrier.children)


def without_children(barrier: Barrier) -> Barrier:
    """A barrier that its receiver may change, without its children."""
    return msgspec.structs.replace(barrier, children=())
