"""One transaction: all parts of the work together, as the port asks for them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import asyncpg

from rackwright.core.errors import RackwrightError
from rackwright.store.postgres.campaigns import CampaignWork
from rackwright.store.postgres.claims import ClaimWork
from rackwright.store.postgres.deployments import DeploymentWork
from rackwright.store.postgres.facts import FactWork
from rackwright.store.postgres.graphs import GraphWork
from rackwright.store.postgres.history import HistoryWork
from rackwright.store.postgres.jobs import JobWork
from rackwright.store.postgres.leases import LeaseWork
from rackwright.store.postgres.machines import MachineWork
from rackwright.store.postgres.moves import MoveWork
from rackwright.store.postgres.plans import PlanWork
from rackwright.store.postgres.reads import ReadWork
from rackwright.store.postgres.scopes import ScopeWork
from rackwright.store.postgres.sealed import SealedWork
from rackwright.store.postgres.served import ServedWork
from rackwright.store.postgres.session import Connection
from rackwright.store.postgres.steering import SteeringWork
from rackwright.store.postgres.wanted import Wanted


class PostgresTransaction(
    FactWork,
    MoveWork,
    HistoryWork,
    ReadWork,
    ClaimWork,
    CampaignWork,
    GraphWork,
    ScopeWork,
    DeploymentWork,
    PlanWork,
    SteeringWork,
    JobWork,
    ServedWork,
    LeaseWork,
    MachineWork,
    SealedWork,
):
    """The port's Transaction on one connection."""

    async def rollback(self) -> None:
        """See the port."""
        await self.run("rollback")
        self.over = True


@contextlib.asynccontextmanager
async def transaction(connection: Connection, wanted: Wanted) -> AsyncIterator[PostgresTransaction]:
    """Begin; commit and send the news when the block ends well; undo everything when it raises. ``wanted`` is what the
    process knows of the hooks."""
    work = PostgresTransaction(connection)
    work.wanted = wanted
    await work.run("begin")
    try:
        yield work
        if not work.over:
            await work.write_released()
            await work.write_counts()
            await work.send_news()
            await work.run("commit")
            work.remember_hooks()
    except BaseException:
        if not work.over:
            # What went wrong is on its way up already; a connection that is lost has nothing to roll back.
            with contextlib.suppress(RackwrightError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await work.run("rollback")
        raise
    finally:
        work.over = True
