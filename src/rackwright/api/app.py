"""The application: every resource's routes under one roof."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from rackwright.api import (
    campaigns,
    catalogs,
    choosing,
    deployments,
    events,
    explanations,
    health,
    history,
    hooks,
    images,
    jobs,
    leases,
    loads,
    logs,
    machines,
    metrics,
    networks,
    nodes,
    places,
    plans,
    power,
    problems,
    processes,
    racks,
    rehearsal,
    served,
    steering,
    tasks,
    verbs,
    work,
)
from rackwright.api.requests import Requests
from rackwright.api.services import Services
from rackwright.core.errors import RackwrightError

ROUTES: list[Route] = [
    route
    for resource in (
        health,
        metrics,
        processes,
        work,
        nodes,
        verbs,
        campaigns,
        machines,
        choosing,
        networks,
        places,
        racks,
        served,
        leases,
        catalogs,
        deployments,
        steering,
        rehearsal,
        plans,
        power,
        tasks,
        explanations,
        history,
        events,
        logs,
        loads,
        hooks,
        images,
        jobs,
    )
    for route in resource.routes
]


def build(services: Services, pages: Sequence[Route] = ()) -> Starlette:
    """The application on these services, and pages beside it; while it runs it listens for the store's news."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loops = (services.news.run(), work.look_for_work(services))
        running = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            services.news.stop()
            for loop in running:
                loop.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    app = Starlette(
        routes=[*ROUTES, *pages],
        middleware=[Middleware(Requests)],
        exception_handlers={RackwrightError: problems.answer, HTTPException: problems.answer},
        lifespan=lifespan,
    )
    app.state.services = services
    return app
