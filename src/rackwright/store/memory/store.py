"""The store in memory: for tests, and for trying things out. Transactions come one after the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from rackwright.core.audit import NOBODY, Asked
from rackwright.store.memory.campaigns import CampaignWork
from rackwright.store.memory.claims import ClaimWork
from rackwright.store.memory.deployments import DeploymentWork
from rackwright.store.memory.facts import FactWork
from rackwright.store.memory.graphs import GraphWork
from rackwright.store.memory.history import HistoryWork
from rackwright.store.memory.jobs import JobWork
from rackwright.store.memory.leases import LeaseWork
from rackwright.store.memory.machines import MachineWork
from rackwright.store.memory.plans import PlanWork
from rackwright.store.memory.reads import ReadWork
from rackwright.store.memory.roster import MemoryRoster
from rackwright.store.memory.sealed import SealedWork
from rackwright.store.memory.served import ServedWork
from rackwright.store.memory.steering import SteeringWork
from rackwright.store.memory.tables import Tables
from rackwright.store.memory.views import MemoryViews
from rackwright.store.news import Board


class MemoryTransaction(
    FactWork,
    HistoryWork,
    ReadWork,
    ClaimWork,
    CampaignWork,
    GraphWork,
    DeploymentWork,
    PlanWork,
    SteeringWork,
    JobWork,
    SealedWork,
    ServedWork,
    LeaseWork,
    MachineWork,
):
    """The port's Transaction on a working copy."""

    async def rollback(self) -> None:
        """See the port."""
        self.end()


class MemoryStore:
    """The port's Store in memory. A transaction inside another one would wait for ever."""

    def __init__(self) -> None:
        self.tables = Tables()
        """What is committed."""
        self.views = MemoryViews(lambda: self.tables)
        """Reading for people."""
        self.roster = MemoryRoster(lambda: self.tables)
        """The processes of the product."""
        self._one_by_one = asyncio.Lock()
        self._board = Board()

    async def close(self) -> None:
        """Nothing to do: it is gone when it is forgotten."""

    @contextlib.asynccontextmanager
    async def transaction(self, asked: Asked = NOBODY) -> AsyncIterator[MemoryTransaction]:
        """See the port."""
        async with self._one_by_one:
            working = self.tables.copied()
            work = MemoryTransaction(working)
            work.asked = asked
            try:
                yield work
                if work.over:
                    return
                self.tables = working
            finally:
                work.end()
            for channel, payload in work.news:
                self._board.tell(channel, payload)

    @contextlib.asynccontextmanager
    async def listen(self, *channels: str) -> AsyncIterator[AsyncIterator[tuple[str, str]]]:
        """See the port."""
        with self._board.subscribed(channels) as subscription:
            yield subscription
