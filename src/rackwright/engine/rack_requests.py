"""What racks ask of this process: requests of a kind that come at the same time share a transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rackwright.core.errors import NotFound, RackwrightError
from rackwright.core.machine_messages import Register
from rackwright.core.messages import Claim, ClaimRequest, Heartbeat, HeartbeatAnswer, Results, Verdicts
from rackwright.core.ports import Store, Transaction
from rackwright.core.served import Applied, Delta
from rackwright.engine import claims, enlisting, observing, seating, serving
from rackwright.engine.enlisting import Enlisted
from rackwright.engine.group_commit import GroupCommit, PutOff
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.observing import Observation

REQUESTS = 100
"""Requests that do little each, in one transaction."""
TASKS = 1000
"""Results in one transaction."""
MACHINES = 500
"""Machines that register, or of which something was seen, in one transaction."""


class RackRequests:
    """Carries out what racks ask for, on a store and with a library of catalogs; ``clock`` gives seconds since the
    epoch, ``lease`` is for how many seconds a claim is a rack's without a heartbeat. The rack's id comes first."""

    def __init__(self, store: Store, library: CatalogLibrary, clock: Callable[[], float], lease: float) -> None:
        self._store = store
        self._library = library
        self._clock = clock
        self._lease = lease
        self._results = GroupCommit(store, self._exchange, TASKS, lambda asked: 1 + len(asked[1].items))
        self._beats = GroupCommit(store, self._beat, REQUESTS)
        self._sights = GroupCommit(store, self._observe, MACHINES, lambda asked: 1 + len(asked[1]))
        self._strangers = GroupCommit(store, self._enlist, MACHINES, lambda asked: 1 + len(asked[1]))
        self._deltas = GroupCommit(store, serving.deltas, REQUESTS)
        self._words = GroupCommit(store, serving.applied_all, REQUESTS)

    async def claim(self, rack: int, request: ClaimRequest) -> list[Claim]:
        """See ``claims.claim``."""
        return claims.handed(await self._results.ask((rack, Results(request.incarnation, [], request))))

    async def exchange(self, rack: int, results: Results) -> Verdicts:
        """See ``claims.exchange``."""
        exchanged = self._results.ask((rack, results))
        return await claims.settled(self._store, self._library, rack, results, self._clock(), exchanged)

    async def heartbeat(self, rack: int, beat: Heartbeat) -> HeartbeatAnswer:
        """See ``seating.heartbeat``."""
        return await self._beats.ask((rack, beat))

    async def observe(self, rack: int, items: Sequence[Observation]) -> None:
        """See ``observing.observe``."""
        observing.check(items)
        await self._sights.ask((rack, items))

    async def enlist(self, rack: int, said: Sequence[Register]) -> list[Enlisted | None]:
        """See ``enlisting.enlist_many``."""
        return await self._strangers.ask((rack, said))

    async def delta(self, rack: int, after: int) -> Delta | None:
        """See ``serving.delta``. The first time a rack asks, what it is to serve is made."""
        while True:
            try:
                return await self._deltas.ask((rack, after))
            except serving.NotYet:
                await serving.begin(self._store, rack)

    async def applied(self, rack: int, said: Applied) -> float | None:
        """See ``serving.applied``."""
        return await self._words.ask((rack, said))

    async def _exchange(
        self, tx: Transaction, asked: Sequence[tuple[int, Results]]
    ) -> Sequence[Verdicts | RackwrightError | PutOff]:
        return await claims.exchange_all(tx, self._library, asked, self._clock(), self._lease)

    async def _beat(self, tx: Transaction, asked: Sequence[tuple[int, Heartbeat]]) -> Sequence[HeartbeatAnswer]:
        return await seating.heartbeats(tx, asked, self._clock(), self._lease)

    async def _observe(
        self, tx: Transaction, asked: Sequence[tuple[int, Sequence[Observation]]]
    ) -> Sequence[NotFound | None]:
        return await observing.observe_all(tx, self._library, asked, self._clock())

    async def _enlist(
        self, tx: Transaction, asked: Sequence[tuple[int, Sequence[Register]]]
    ) -> Sequence[list[Enlisted | None]]:
        return await enlisting.enlist_all(tx, self._library, asked, self._clock())
