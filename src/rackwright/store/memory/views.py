"""What people read, out of memory."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from rackwright.core.addresses import ADDRESS
from rackwright.core.lifecycle import word
from rackwright.core.node_task import Barrier, NodeTask, Run, State
from rackwright.core.ports import Deployment, Scope
from rackwright.core.traits import tags
from rackwright.core.views import (
    ANYWHERE,
    DeploymentView,
    EdgeView,
    GraphView,
    LogView,
    NodeView,
    RackView,
    RunView,
    Standing,
    TaskView,
)
from rackwright.store.logs import assemble
from rackwright.store.memory.choosing import zone_of
from rackwright.store.memory.estate import MemoryEstate
from rackwright.store.memory.tables import Tables
from rackwright.store.rollup import REASONS, SILENT, deployment_state, node_state, reason, silence, told, words
from rackwright.store.steered import steered


class MemoryViews(MemoryEstate):
    """The port's Views. Logs and tokens are kept here: they are no part of transactions."""

    def __init__(self, committed: Callable[[], Tables]) -> None:
        super().__init__(committed)
        self._logs: dict[tuple[int, int], dict[int, tuple[bytes, bool]]] = {}
        self._tokens: dict[bytes, tuple[str, str]] = {}

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
        """See the port."""
        tables = self._committed()
        nodes = [
            scope
            for scope in _scopes(tables, "node", names)
            if scope.name > after
            and (rack is None or tables.name(scope.rack) == rack)
            and standing.holds(tables.machines.get(scope.id))
        ]
        with_facts = names is not None and len(names) == 1
        found = (_node(tables, scope, with_facts=with_facts) for scope in nodes)
        return list(itertools.islice((node for node in found if state is None or node.state == state), limit))

    async def fleet(self) -> dict[str, int]:
        """See the port."""
        return words(_summed(self._committed(), lambda _, __: True))

    async def racks(self, *, names: list[str] | None = None) -> list[RackView]:
        """See the port."""
        tables = self._committed()
        return [
            RackView(
                name=rack.name,
                nodes=sum(scope.rack == rack.id for scope in tables.scopes.values()),
                last_seen=tables.heard.get(rack.id),
                tasks=words(_summed(tables, functools.partial(_in_rack, rack.id))),
                serving=tables.serving.get(rack.id),
            )
            for rack in _scopes(tables, "rack", names)
        ]

    async def deployments(self, *, names: list[str] | None = None) -> list[DeploymentView]:
        """See the port."""
        tables = self._committed()
        return [
            steered(
                _deployment(tables, tables.deployments[scope.id]),
                tables.steering.get(scope.id),
                tables.limits.get((scope.id, "")),
            )
            for scope in _scopes(tables, "deployment", names)
        ]

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
        """See the port. NotFound when there is no such deployment."""
        tables = self._committed()
        found = [
            _task(tables, row) for row in tables.rows_of(deployment=self._deployment(deployment)) if row.id > after
        ]
        wanted = {"state": state, "scope": scope, "task": task}
        return _matching(found, wanted)[:limit]

    async def graph(self, deployment: str) -> GraphView:
        """See the port. NotFound when there is no such deployment."""
        tables = self._committed()
        id = self._deployment(deployment)
        rows = tables.rows_of(deployment=id)
        barriers = [barrier for _, barrier in sorted(tables.barriers.items()) if barrier.deployment == id]
        edges = [edge for row in rows for edge in _edges(str(row.id), row)]
        edges += [edge for barrier in barriers for edge in _edges(f"barrier:{barrier.id}", barrier)]
        return GraphView(
            tasks=[_task(tables, row) for row in rows],
            barriers=[(barrier.id, barrier.name, barrier.open) for barrier in barriers],
            edges=edges,
        )

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
        """See the port. NotFound when there is no such deployment."""
        tables, wanted = self._committed(), self._deployment(deployment)
        found = [
            _run(tables, id, run, deployment)
            for id, run in tables.runs
            if run.deployment == wanted and id > after and run.ended_at >= since
        ]
        return _matching(found, {"scope": scope, "task": task})[:limit]

    async def plans(self, deployment: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """See the port. NotFound when there is no such deployment."""
        wanted = self._deployment(deployment)
        plans = sorted(self._committed().plans.items(), reverse=True)
        return [
            {**msgspec.structs.asdict(plan), "deployment": deployment} for _, plan in plans if plan.deployment == wanted
        ][:limit]

    async def events(self, *, after: int = 0, deployment: str | None = None, limit: int = 1000) -> list[dict[str, Any]]:
        """See the port."""
        tables = self._committed()
        entries = [msgspec.structs.asdict(event) for event in tables.events]
        entries += [told(_ended(tables, id, run)) for id, run in tables.runs]
        if deployment is not None:
            entries = [entry for entry in entries if entry["deployment"] == deployment]
        entries.sort(key=lambda entry: int(entry["id"]))
        if after < 0:
            return entries[max(len(entries) - limit, 0) :]
        return [entry for entry in entries if entry["id"] > after][:limit]

    async def catalogs(self) -> list[dict[str, Any]]:
        """See the port."""
        return [
            {"name": name, "digest": digest, "created_at": created_at}
            for name, (digest, created_at) in sorted(self._committed().catalog_names.items())
        ]

    async def add_log(self, pieces: list[tuple[int, int, int, bytes, bool]], *, racks: Sequence[int] = ()) -> None:
        """See the port."""
        rows = self._committed().rows
        for (node_task, attempt, start, data, last), rack in itertools.zip_longest(pieces, racks):
            if rack is not None and (node_task not in rows or rows[node_task].rack != rack):
                continue
            self._logs.setdefault((node_task, attempt), {}).setdefault(start, (data, last))

    async def log(self, node_task: int, *, attempt: int | None, offset: int, limit: int = 1 << 20) -> LogView:
        """See the port."""
        if attempt is None:
            attempt = max((number for id, number in self._logs if id == node_task), default=0)
        pieces = sorted(self._logs.get((node_task, attempt), {}).items())
        following = [(start, data, last) for start, (data, last) in pieces if start + len(data) >= offset]
        return assemble(attempt, offset, limit, following)

    async def rack_secret(self, rack: str) -> tuple[int, bytes] | None:
        """See the port."""
        tables = self._committed()
        found = tables.scope_named("rack", rack)
        return (found.id, tables.secrets[found.id]) if found is not None and found.id in tables.secrets else None

    async def add_token(self, name: str, secret: bytes, scope: str) -> None:
        """See the port."""
        self._tokens = {old: said for old, said in self._tokens.items() if said[0] != name} | {secret: (name, scope)}

    async def token(self, secret: bytes) -> tuple[str, str] | None:
        """See the port."""
        return self._tokens.get(secret)

    async def ready(self) -> list[str]:
        """See the port."""
        return []


def _scopes(tables: Tables, kind: str, names: list[str] | None) -> list[Scope]:
    found = [scope for scope in tables.scopes.values() if scope.kind == kind and (names is None or scope.name in names)]
    return sorted(found, key=lambda scope: scope.name)


def _in_rack(wanted: int, _: int, rack: int) -> bool:
    return rack == wanted


def _matching(found: list[Any], wanted: dict[str, str | None]) -> list[Any]:
    return [
        view for view in found if all(value is None or getattr(view, field) == value for field, value in wanted.items())
    ]


def _summed(tables: Tables, wanted: Callable[[int, int], bool]) -> Counter[int]:
    """Counts by state out of the roll-ups of the deployments and racks that are wanted."""
    counts: Counter[int] = Counter()
    for (deployment, rack, state), n in tables.rollup.items():
        if wanted(deployment, rack):
            counts[int(state)] += n
    return counts


def _counts(rows: Iterable[NodeTask]) -> Counter[int]:
    return Counter(int(row.state) for row in rows)


def _node(tables: Tables, scope: Scope, *, with_facts: bool) -> NodeView:
    leaves = tables.facts.get(scope.id, {})
    address = leaves[ADDRESS].value if ADDRESS in leaves else None
    counts = _counts(tables.rows_of(scope=scope.id))
    roles = [
        f"{tables.name(deployment)}/{role}"
        for deployment, members in tables.members.items()
        if scope.id in members
        for role in members[scope.id].roles
    ]
    machine, about = tables.machines.get(scope.id), tables.traits.get(scope.id, {})
    return NodeView(
        name=scope.name,
        rack=tables.name(scope.rack),
        address=address if address is None or isinstance(address, str) else msgspec.json.encode(address).decode(),
        alive=scope.alive,
        available=scope.available,
        labels=scope.labels,
        roles=sorted(roles),
        tasks=words(counts),
        state=node_state(counts),
        word="" if machine is None else word(machine),
        machine=machine,
        pool=about.get("pool", ""),
        zone=zone_of(tables, scope),
        tags=tags(about),
        facts={path: leaves[path].value for path in sorted(leaves)} if with_facts else {},
    )


def _deployment(tables: Tables, deployment: Deployment) -> DeploymentView:
    rows = tables.rows_of(deployment=deployment.id)
    counts = _summed(tables, lambda where, _: where == deployment.id)
    return DeploymentView(
        name=deployment.name,
        catalog=deployment.catalog_name or deployment.catalog,
        parent=tables.name(deployment.parent),
        state=deployment_state(counts, stopped=deployment.stopped, going=_going(tables, deployment.id, rows)),
        tasks=words(counts),
        members=len(tables.members.get(deployment.id, {})),
        reasons=_reasons(tables, rows),
        created_at=deployment.created_at,
    )


def _gone(tables: Tables, row: NodeTask) -> bool:
    scope = tables.scopes[row.scope]
    return not ((scope.alive or row.offline) and scope.available)


def _going(tables: Tables, deployment: int, rows: Sequence[NodeTask]) -> bool:
    waking = any(
        barrier.open and barrier.released < len(barrier.children)
        for barrier in tables.barriers.values()
        if barrier.deployment == deployment
    )
    return waking or any(row.state is State.TODO and not _stuck(tables, row) for row in rows)


def _stuck(tables: Tables, row: NodeTask) -> bool:
    return _gone(tables, row) or any(other.critical for other in tables.rows_of(scope=row.scope, state=State.ERROR))


def _silent(tables: Tables, rows: Sequence[NodeTask]) -> list[str]:
    counts = Counter(row.rack for row in rows if row.state in (State.TODO, State.TRANSITION))
    racks = [tables.scopes[rack] for rack in counts if rack in tables.scopes]
    since = time.time() - SILENT
    quiet = sorted(
        (rack.name, counts[rack.id]) for rack in racks if (tables.heard.get(rack.id) or rack.created_at) < since
    )
    return [silence(name, count) for name, count in quiet[:REASONS]]


def _reasons(tables: Tables, rows: Sequence[NodeTask]) -> list[str]:
    order = [State.ERROR, State.PROPOSED, State.BLOCKED, State.TODO]
    stopped = {row.scope for row in tables.rows.values() if row.state is State.ERROR and row.critical}
    held = [
        row
        for row in rows
        if row.state in order[:3] or (row.state is State.TODO and (row.scope in stopped or _gone(tables, row)))
    ]
    silent = _silent(tables, rows)
    held.sort(key=lambda row: (order.index(row.state), row.reason == "", row.id))
    return silent + [_reason(tables.scopes[row.scope], row) for row in held[: REASONS - len(silent)]]


def _reason(scope: Scope, row: NodeTask) -> str:
    alive = scope.alive or row.offline
    return reason(row.state, row.task, scope.name, row.reason, row.waits, alive=alive, available=scope.available)


def _task(tables: Tables, row: NodeTask) -> TaskView:
    return TaskView(
        id=row.id,
        deployment=tables.name(row.deployment) or "",
        graph=row.graph,
        task=row.task,
        scope=tables.name(row.scope) or "",
        rack=tables.name(row.rack),
        state=row.state.word,
        attempt=row.attempt,
        runs=row.runs,
        waits=row.waits,
        reason=row.reason,
        claimed_at=row.claimed_at or None,
    )


def _run(tables: Tables, id: int, run: Run, deployment: str) -> RunView:
    return RunView(
        id=id,
        deployment=deployment,
        task=run.task,
        scope=tables.name(run.scope) or f"#{run.scope}",
        rack=tables.name(run.rack),
        node_task=run.node_task,
        attempt=run.attempt,
        outcome=run.outcome,
        reason=run.reason,
        started_at=run.started_at,
        ended_at=run.ended_at,
    )


def _ended(tables: Tables, id: int, run: Run) -> dict[str, Any]:
    return {
        "id": id,
        "at": run.ended_at,
        "kind": "run",
        "text": None,
        "deployment": tables.name(run.deployment),
        "scope": tables.name(run.scope),
        "task": run.task,
        "data": {
            "node_task": run.node_task,
            "rack": tables.name(run.rack),
            "attempt": run.attempt,
            "outcome": run.outcome,
            "reason": run.reason,
            "started_at": run.started_at,
        },
    }


def _edges(parent: str, row: NodeTask | Barrier) -> list[EdgeView]:
    below = [str(child) for child in row.children] + [f"barrier:{feed}" for feed in row.feeds]
    return [EdgeView(parent=parent, child=child) for child in below]
