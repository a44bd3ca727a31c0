"""The processes of the product, in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from rackwright.core.node_task import State
from rackwright.core.services import ENDED_FOR, FORGET_AFTER, Beat, Family, Queue, ServiceView, service_state
from rackwright.store.memory.tables import Tables, is_waking


class MemoryRoster:
    """The port's Roster. Beats are kept here: they are no part of transactions. ``clock`` gives seconds since the
    epoch."""

    def __init__(self, committed: Callable[[], Tables], clock: Callable[[], float] = time.time) -> None:
        self._committed = committed
        self._clock = clock
        self._beats: dict[str, tuple[Beat, float]] = {}

    async def beat(self, beats: Sequence[Beat]) -> None:
        """See the port."""
        now = self._clock()
        for beat in beats:
            known = self._beats.get(beat.process.id)
            if known is None or known[0].number < beat.number:
                self._beats[beat.process.id] = beat, now
        self._beats = {
            id: (beat, seen)
            for id, (beat, seen) in self._beats.items()
            if seen >= now - (ENDED_FOR if beat.state == "ended" else FORGET_AFTER)
        }

    async def services(self) -> list[ServiceView]:
        """See the port."""
        return [service for service, _ in self._shown()]

    async def samples(self) -> list[tuple[ServiceView, list[Family]]]:
        """See the port."""
        return [
            (service, msgspec.json.decode(beat.sample, type=list[Family]))
            for service, beat in self._shown()
            if service.state != "lost"
        ]

    async def queues(self) -> list[Queue]:
        """See the port."""
        tables, now = self._committed(), self._clock()
        plans = [
            plan.created_at
            for plan in tables.plans.values()
            if plan.state == "requested" or (plan.state == "ready" and plan.apply)
        ]
        leases = [
            row.lease_until for row in tables.rows.values() if row.state is State.TRANSITION and row.lease_until < now
        ]
        ready = sum(row.state is State.TODO for row in tables.rows.values())
        waking = sum(is_waking(barrier) for barrier in tables.barriers.values())
        hooks = [message.at for message in tables.messages.values() if message.state == "waiting"]
        jobs = [job.not_before or job.changed_at or now for job in tables.jobs.values() if job.state == "todo"]
        timed = {"plan": plans, "lease": leases, "hook": hooks, "job": [due for due in jobs if due <= now]}
        return [
            *(Queue(name=name, depth=len(at), oldest=now - min(at) if at else None) for name, at in timed.items()),
            *(
                Queue(name=name, depth=depth, oldest=_oldest(tables, name, now))
                for name, depth in (("barrier", waking), ("node_task", ready))
            ),
        ]

    def _shown(self) -> list[tuple[ServiceView, Beat]]:
        now = self._clock()
        shown = [(_view(beat, seen, now), beat) for beat, seen in self._beats.values() if beat.state != "ended"]
        return sorted(shown, key=lambda pair: (pair[0].kind, pair[0].host, pair[0].name, pair[0].started_at))


def _oldest(tables: Tables, queue: str, now: float) -> float | None:
    since = [since for (name, _), (_, since) in tables.heads.items() if name == queue]
    return now - min(since) if since else None


def _view(beat: Beat, seen: float, now: float) -> ServiceView:
    process = beat.process
    return ServiceView(
        kind=process.kind,
        name=process.name,
        host=process.host,
        pid=process.pid,
        version=process.version,
        state=service_state(process.kind, beat.state, now - seen),
        started_at=process.started_at,
        seen_at=seen,
        loop_lag=beat.loop_lag,
    )
