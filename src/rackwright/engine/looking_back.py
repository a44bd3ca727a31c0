"""Why a run took as long as it did."""

from __future__ import annotations

import asyncio

import msgspec

from rackwright.core.history import StepView
from rackwright.core.views import Views


class CriticalPath(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of node tasks that decided how long a deployment's last run took. ``attempts``: how many node tasks ran
    in it; ``waited`` and ``ran``: seconds that the chain waited and ran, which together are the whole time from the
    first start to the last end. ``since``: when the change was made from which on attempts were looked at."""

    deployment: str
    since: float
    attempts: int
    waited: float
    ran: float
    steps: list[StepView]


async def critical_path(views: Views, deployment: str, since: float | None = None) -> CriticalPath:
    """The critical path of what ran since a time; None: since the change that let the newest attempt run. Only attempts
    that began after it and ended well are looked at. NotFound when there is no such deployment."""
    began = await views.last_run_began(deployment) if since is None else since
    course = await views.course(deployment, began)
    # It may be millions: other requests go on meanwhile.
    steps = await asyncio.to_thread(course.decisive)
    names = await views.names_of([step.node_task for step in steps])
    told = []
    for step in steps:
        task, scope = names.get(step.node_task, (f"#{step.node_task}", "-"))
        told.append(StepView(task=task, scope=scope, **step._asdict()))
    return CriticalPath(
        deployment=deployment,
        since=began,
        attempts=len(course),
        waited=sum(step.waited for step in steps),
        ran=sum(step.ran for step in steps),
        steps=told,
    )
