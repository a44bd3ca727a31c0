"""What the core and the engine ask of the world: the store.

Two stores answer it, PostgreSQL and memory, and one suite of behaviour holds for both. All times are seconds since
the epoch, UTC. Every method may raise StoreUnavailable.

Locks are taken in one order everywhere, so that no two transactions wait for each other in a ring:
campaigns, then places of nodes, then deployments by id, then networks by range, then facts by (scope, path), then
limits by (scope, task), then node tasks by id, then barriers by id, then the steering of a deployment, then what racks
serve by rack.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

import msgspec

from rackwright.core.audit import NOBODY, Asked, Change
from rackwright.core.campaign import CampaignErrands
from rackwright.core.clocks import ClockErrands
from rackwright.core.errands import HookErrands, JobErrands, SealedErrands
from rackwright.core.facts import Fact, FactWrite
from rackwright.core.forecast import PastErrands
from rackwright.core.leases import LeaseErrands
from rackwright.core.limits import Limit, Running
from rackwright.core.machines import MachineErrands
from rackwright.core.networks import NetworkErrands
from rackwright.core.node_task import Barrier, Neighbourhood, NodeTask, Run
from rackwright.core.parking import ParkingErrands
from rackwright.core.retention import Arrangement, Part, Series
from rackwright.core.rollup import RollupErrands
from rackwright.core.seats import Holder
from rackwright.core.services import QueueErrands
from rackwright.core.serving import ServedErrands
from rackwright.core.spreading import SpreadingErrands
from rackwright.core.steering import Steering
from rackwright.core.tag_rules import TagErrands
from rackwright.core.waves import Seen
from rackwright.core.whom import WhomErrands
from rackwright.core.wishes import ChoosingErrands

Reach = Literal["self", "children", "descendants"]
Lease = tuple[int, str, int, int]
"""Rack, incarnation, node task and attempt."""


class Scope(msgspec.Struct, frozen=True, gc=False):
    """A node, a rack or a deployment: what facts hang on."""

    id: int
    kind: Literal["node", "rack", "deployment"]
    name: str
    rack: int | None = None
    """For nodes: the rack it stands in."""
    alive: bool = True
    available: bool = True
    labels: dict[str, str] = {}
    created_at: float = 0.0


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment: which catalog (by digest), under which parent, and whether its work is stopped."""

    id: int
    name: str
    parent: int | None = None
    catalog: str = ""
    """Digest of the merged catalog."""
    catalog_name: str = ""
    stopped: bool = False
    created_at: float = 0.0
    noop: bool = False
    """Its node tasks are only rehearsed."""


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """A node's part in a deployment: bound roles and the tags that they bring (primaries elected)."""

    deployment: int
    scope: int
    name: str
    rack: int | None
    roles: tuple[str, ...]
    tags: tuple[str, ...]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people may want to know. ``id`` and ``at`` are the store's when it is written."""

    kind: str
    """stale | proposed | error | retried | lost | run | plan.applied | plan.failed | deployment.stopped | ..."""
    text: str
    deployment: str | None = None
    scope: str | None = None
    task: str | None = None
    data: dict[str, Any] = {}
    id: int = 0
    at: float = 0.0


class NotedReads(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt that is carried out has read: fingerprints by place (see ``inputs.fingerprints``), and by
    fingerprint the values that its expressions may want back as old data."""

    node_task: int
    attempt: int
    reads: dict[str, str]
    values: dict[str, Any] = {}


class KeptReads(msgspec.Struct, frozen=True):
    """What the last attempt that ended well has read, by place. ``newest`` is False when another one has begun since
    and not ended well: nobody knows what it left behind."""

    reads: dict[str, str]
    newest: bool


PlanState = Literal["requested", "ready", "applied", "failed"]


class PlanRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A plan: the changes that somebody asked for, and what the conductor made of them."""

    id: int
    deployment: int
    changes: dict[str, Any]
    apply: bool
    """True: it is to be carried out as soon as it is computed."""
    state: PlanState = "requested"
    summary: dict[str, Any] = {}
    """What will run, on which nodes and why; empty until computed."""
    fence: int = -1
    """Newest revision of any fact, and generation of the deployment, when it was computed (see Transaction.fence)."""
    error: str = ""
    created_by: str = ""
    created_at: float = 0.0
    finished_at: float | None = None


class Transaction(
    HookErrands,
    JobErrands,
    RollupErrands,
    ParkingErrands,
    SpreadingErrands,
    QueueErrands,
    ClockErrands,
    SealedErrands,
    ServedErrands,
    LeaseErrands,
    MachineErrands,
    CampaignErrands,
    PastErrands,
    NetworkErrands,
    ChoosingErrands,
    WhomErrands,
    TagErrands,
    Protocol,
):
    """One unit of work: all of it is kept, or nothing."""

    async def put_facts(self, writes: Sequence[FactWrite]) -> list[Fact]:
        """Store what really differs (None deletes) and give only that, each with its new revision. A fact that another
        writer owns raises Conflict naming both; so does a second node with the same address (see ``addresses``), and a
        network of a rack that lies in one of another rack, unless both are shared. InvalidInput for an address that
        is none."""

    async def facts(self, scopes: Collection[int], paths: Collection[str]) -> list[Fact]:
        """Every fact of these scopes at, above or below one of these paths."""

    async def find(
        self, deployment: int, tasks: Collection[str] | None, scopes: Collection[int] | None, state: int | None = None
    ) -> list[int]:
        """Ids of the node tasks of a deployment: of these tasks, on these scopes, in this state; None: of any."""

    async def note_reads(self, noted: Sequence[NotedReads]) -> None:
        """Note what new attempts have read, in place of what the attempts before them did."""

    async def keep_reads(self, attempts: Collection[tuple[int, int]]) -> None:
        """What these (node task, attempt) pairs have read is what counts from now on: they ended well. Pairs of which
        nothing is noted, or of which another attempt is, change nothing."""

    async def kept_reads(self, ids: Collection[int]) -> dict[int, KeptReads]:
        """What these node tasks had read when they last ended well; those of which nothing is kept are left out."""

    async def read_values(self, fingerprints: Collection[str]) -> dict[str, Any]:
        """Values that node tasks have read, by fingerprint; those that are not kept are left out."""

    async def forget_reads(self, ids: Collection[int]) -> None:
        """Nothing is known any more of what these node tasks have read."""

    async def drop_values(self) -> int:
        """Drop the values that no node task refers to; gives how many. New notes wait as long as it takes."""

    async def standing_on(self, scope: int) -> list[NodeTask]:
        """Every node task on a scope, of any deployment, by id. Reads without locking."""

    async def to_come(self, deployment: int, after: tuple[int, int], limit: int) -> list[NodeTask]:
        """At most ``limit`` node tasks of a deployment that are not active, heaviest first, from the one with this
        (priority, id) on, which is left out. Reads without locking."""

    async def waited_for(self, id: int, barriers: Collection[int], limit: int) -> list[NodeTask]:
        """At most ``limit`` node tasks, by id, that are not active and that this one waits for: its parents, and those
        that feed one of the barriers directly. Reads without locking."""

    async def last_run(self, id: int) -> Run | None:
        """The newest attempt of a node task that has ended."""

    async def existing(self, ids: Collection[int]) -> set[int]:
        """Those of the ids that are node tasks."""

    async def slice(self, after: int, limit: int) -> list[int]:
        """The next ``limit`` ids of node tasks above ``after``, of any deployment."""

    async def unfinished(self, deployment: int, graph: str, scopes: Collection[int]) -> set[int]:
        """Those of the scopes that have a node task of this graph that is not active."""

    async def reach(self, ids: Collection[int], reach: Reach) -> list[int]:
        """``ids`` and what lies below them: the direct children, or every descendant (through barriers too).
        Reads without locking."""

    async def lock(self, ids: Collection[int], reach: Literal["self", "children"] = "self") -> Neighbourhood:
        """Lock these node tasks, or these and their direct children, in the order of their ids, then the barriers that
        they feed with all barriers below those; the barriers that gate them are read only. Ids that are gone are left
        out. Of a barrier's children, who may be very many, only those are given that are among these node tasks."""

    async def save(self, near: Neighbourhood, handing: Collection[int] = ()) -> None:
        """Write every touched row and barrier and the runs, each kind in one statement; wake the racks that have new
        work when the transaction commits. ``handing`` are racks whose work is handed out next in this transaction: what
        was released for them may be written with its claim."""

    async def claimable(
        self,
        room: Mapping[int, int],
        now: float,
        full: Collection[tuple[int, str]] = (),
        crowded: Collection[str] = (),
    ) -> list[NodeTask]:
        """Lock (skipping what others hold) node tasks that may run now, of each rack at most its ``room``: todo, past
        ``not_before``, at most one per scope, none of a scope that has one in transition or a critical error, none of
        a node that is not alive or not available, none of a stopped or held deployment, none of a node whose wave is
        still to come, none of ``full`` (tasks of deployments; an empty task: all of one), none that takes a share at a
        place that is ``crowded``; heaviest first. Claims of one rack come one after the other (the racks' rows are
        locked). Gates are not looked at: the caller does."""

    async def barriers(self, ids: Collection[int]) -> dict[int, Barrier]:
        """Read barriers by id, without locking and without their children."""

    async def wakeable(self, limit: int) -> tuple[Barrier, list[int]] | None:
        """Some open barrier with children yet to wake, and the next ``limit`` of their ids; None: there is none."""

    async def released(self, barrier: int, before: int, after: int) -> bool:
        """Lock the barrier; if it is still open and ``released`` is still ``before``, set it to ``after``."""

    async def ready(self, racks: Mapping[int, int], now: float) -> dict[int, int]:
        """Of each rack how many node tasks are in the queue whose back-off is over, counted up to the given number;
        racks without any are left out. What else may hold these back is not looked at."""

    async def held(self, rack: int, besides: str) -> list[int]:
        """Node tasks in transition that an incarnation of this rack other than ``besides`` holds."""

    async def expired(self, now: float, limit: int) -> dict[int, float]:
        """Node tasks in transition whose lease is over, or that are HELD by a rack whose process is gone, with their
        leases, oldest first; the seats of such racks are locked."""

    async def seats_ending(self, after: float, before: float) -> int:
        """How many racks' seats end between these moments."""

    async def hold(self, named: Collection[Lease], before: float) -> set[Lease]:
        """Give those of these attempts that there still are. Of these, each whose lease ends before this moment, or so
        long after it that it is of a clock that was set back since, is HELD from now on; one that is locked may be left
        out."""

    async def seats(self, racks: Collection[int]) -> tuple[bool, dict[int, Holder | None], set[int]]:
        """Lock the racks' rows, but those that another transaction has, unless it has them all. Gives whether any limit
        is set, or any budget that node tasks come under (then these are to be asked), who works for each rack that is
        locked, and the racks that another transaction has."""

    async def holders(self, racks: Collection[int]) -> dict[int, Holder]:
        """Who works for these racks, where anybody does; without locking."""

    async def seat(self, holders: Mapping[int, tuple[Holder | None, Holder]], now: float) -> None:
        """Write who works for racks from now on, and who did before. Raises TryAgain when that one has just said that
        it lives."""

    async def keep_seats(self, kept: Collection[tuple[int, str, float]], now: float) -> set[tuple[int, str]]:
        """Let these processes (rack, incarnation) keep their seats until then; gives those that do. Waits for nobody: a
        seat that is locked is left out."""

    async def heard(self, rack: int) -> float | None:
        """When the process that works for a rack was heard of last; None: nobody was."""

    async def limits(self, rack: int) -> tuple[list[Limit], list[Running]]:
        """Lock the limits that concern what a rack may be given now, and count what runs under them. Claims under the
        same limit come one after the other; what is under none is not touched."""

    async def set_limit(self, scope: int, amount: int | None) -> None:
        """Let at most ``amount`` node tasks of the site (``limits.SITE``), a rack or a deployment run at the same time;
        None: as many as there are."""

    async def set_task_limits(self, deployment: int, amounts: Mapping[str, int | None]) -> None:
        """Replace the limits of these tasks of a deployment; None: as many as there are."""

    async def steering(self, deployment: int, *, lock: bool = False) -> Steering | None:
        """What steers a deployment; None: nothing does."""

    async def set_steering(self, steering: Steering) -> None:
        """Let this steer a deployment, or, if it is empty, nothing; wake the racks that have work in it, unless it is
        held."""

    async def steered(self) -> list[int]:
        """Deployments that something steers."""

    async def unfinished_graph(self, deployment: int, graph: str) -> bool:
        """Whether any node task of a graph is not active."""

    async def assign_waves(self, deployment: int, waves: Sequence[tuple[int, int]]) -> None:
        """Put nodes into waves: (scope, wave) pairs. Members that are not named are in none."""

    async def wave_of(self, deployment: int, scope: int) -> int | None:
        """The wave of a member; None: it is in none."""

    async def failed_scopes(self, deployment: int) -> set[int]:
        """Scopes on which a node task of the deployment is in error."""

    async def wave_seen(self, deployment: int, wave: int) -> Seen:
        """Whether anything of the deployment can go on by itself in the waves up to this one, and how many places of
        this wave have failed: nodes, racks or the deployment with an error, and, once it rests, nodes that are gone
        before they have done all of theirs."""

    async def record(self, events: Sequence[Event]) -> None:
        """Append events."""

    async def note(self, changes: Sequence[Change], asked: Asked | None = None) -> None:
        """Append changes of what is desired, with who asked for them; None: who asked for this transaction."""

    async def parts(self, series: Series) -> list[Part] | None:
        """How a table of history is cut along time, in order; None while another transaction does this work."""

    async def arrange(self, series: Series, done: Arrangement) -> None:
        """Drop, narrow and make parts of a table of history."""

    async def scopes(self, ids: Collection[int]) -> dict[int, Scope]:
        """Scopes by id."""

    async def named(self, kind: str, names: Collection[str] | None) -> dict[str, Scope]:
        """Scopes of one kind by name; names that are not known are left out; None: all of them."""

    async def deployments(self, ids: Collection[int]) -> dict[int, Deployment]:
        """Deployments by id, with all their ancestors."""

    async def memberships(self, deployment: int, scopes: Collection[int] | None = None) -> list[Membership]:
        """The members of a deployment (only those of ``scopes``, if given), by name."""

    async def deployments_of(self, scopes: Collection[int]) -> dict[int, list[int]]:
        """Per given scope the deployments it concerns: those that a node is a member of, those with members in a rack,
        a deployment itself and all below it."""

    async def set_members(self, deployment: int, members: Sequence[Membership]) -> None:
        """Replace the members of a deployment."""

    async def set_deployment(self, deployment: int, *, catalog: str | None = None, stopped: bool | None = None) -> None:
        """Change a deployment; None leaves a field as it is. Raises its generation (see ``fence``)."""

    async def fence(self, deployment: int) -> int:
        """A number that differs once any fact of the deployment, its members, its ancestors, or its membership,
        catalog or node tasks' set has changed: a plan computed at one fence is refused at another."""

    async def lock_deployment(self, deployment: int) -> None:
        """Let no other plan of this deployment go on until this transaction ends."""

    async def graph_rows(self, deployment: int, graph: str) -> list[NodeTask]:
        """Lock and give every node task of one graph, by id."""

    async def reserve(self, node_tasks: int, barriers: int) -> tuple[range, range]:
        """Fresh ids for new node tasks and new barriers, each a range in ascending order."""

    async def replace_graph(
        self,
        deployment: int,
        graph: str,
        *,
        insert: Sequence[NodeTask],
        update: Sequence[NodeTask],
        delete: Collection[int],
        barriers: Sequence[Barrier],
    ) -> None:
        """Write a new shape of a graph: new rows (binary COPY), rows with changed edges or state, rows to drop, and
        the whole new set of barriers in place of the old; wake the racks concerned."""

    async def catalog(self, digest: str) -> bytes:
        """The stored catalog document; NotFound when there is none."""

    async def put_catalog(self, digest: str, name: str | None, document: bytes) -> None:
        """Keep a catalog document, and let ``name`` mean it from now on (None: it is found by its digest only)."""

    async def catalog_digest(self, name: str) -> str | None:
        """Digest of the catalog that ``name`` means now."""

    async def next_plan(self) -> PlanRecord | None:
        """Lock (skipping what others hold) the oldest plan that is to be computed."""

    async def plan(self, id: int, *, lock: bool = False) -> PlanRecord:
        """A plan; NotFound when there is none."""

    async def add_plan(self, plan: PlanRecord) -> int:
        """Store a plan request (its ``id`` is ignored), wake the conductors, give its id."""

    async def set_plan(self, plan: PlanRecord) -> None:
        """Write state, apply, summary, fence, error and finished_at of a plan."""

    async def add_scope(self, scope: Scope, *, secret: bytes | None = None) -> int:
        """Create a node or rack (``id`` ignored); ``secret`` is the SHA-256 of a rack's token. A name that is taken
        raises Conflict."""

    async def add_nodes(self, nodes: Sequence[Scope]) -> list[int]:
        """Create many nodes at once (``id`` ignored); gives their ids in order. A name that is taken, or given twice,
        raises Conflict, and none is created."""

    async def add_deployment(self, deployment: Deployment) -> int:
        """Create a deployment (``id`` ignored). A name that is taken raises Conflict."""

    async def remove(self, scope: int) -> None:
        """Delete a node, rack or deployment with its facts and node tasks; Conflict while something runs on it or
        stands in it."""

    async def set_alive(self, scope: int, *, alive: bool | None = None, available: bool | None = None) -> None:
        """Note what is known or wished of a node."""

    async def set_rack(self, node: int, rack: int) -> None:
        """Let a node, on which there are no node tasks, stand in another rack."""

    async def rollback(self) -> None:
        """End the transaction's work without keeping any of it: the context then ends quietly."""


class Store(Protocol):
    """The database: transactions for the engine, reading for people (see ``views``), and being told of news."""

    def transaction(self, asked: Asked = NOBODY) -> AbstractAsyncContextManager[Transaction]:
        """A transaction: committed when the block ends well, undone when it raises. What it notes as changed is noted
        as asked for by ``asked``."""

    def listen(self, *channels: str) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, str]]]:
        """News as (channel, payload): ``work`` or ``served`` with a rack's id, ``rack`` with that of one
        that is gone, ``plan``, ``barrier``, ``event``. News may be lost while the connection is; it never carries what
        a query would not also find."""
