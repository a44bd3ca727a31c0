"""Jobs: coarse work of the control plane, now or later."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import Limit, after, page
from rackwright.core.jobs import JobState
from rackwright.engine import jobs
from rackwright.engine.transact import transact


class NewJob(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job: its kind, what it is told, and its earliest start (seconds since the epoch). ``once``: an equal one that
    waits already is this one."""

    kind: str
    arguments: dict[str, Any] = {}
    not_before: float | None = None
    once: bool = False


class JobsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs: in one state, or all; a page of them."""

    state: JobState | None = None
    cursor: str | None = None
    limit: Limit = 500


async def list_jobs(call: Call) -> Response:
    """A page of jobs by id. Those that succeeded are no longer there."""
    query = call.query(JobsQuery)
    above = after(query.cursor, 0)
    found = await transact(
        call.services.store, lambda tx: tx.jobs(state=query.state, after=above, limit=query.limit + 1)
    )
    return page(call, found, query.limit, lambda job: job.id)


async def add_job(call: Call) -> Response:
    """Ask for a job; ``id`` is null when an equal one waits already."""
    asked = await call.body(NewJob)
    id = await jobs.ask(call.services.store, asked.kind, asked.arguments, not_before=asked.not_before, once=asked.once)
    return reply({"id": id}, 202)


async def retry_job(call: Call) -> Response:
    """Let a job that failed run again."""
    await transact(call.services.store, lambda tx: tx.retry_job(call.path["id"]))
    return reply({})


async def cancel_job(call: Call) -> Response:
    """Let a job that waits never run."""
    await transact(call.services.store, lambda tx: tx.cancel_job(call.path["id"]))
    return reply({})


routes = [
    route("GET", f"{PREFIX}/jobs", list_jobs, "read"),
    route("POST", f"{PREFIX}/jobs", add_job, "admin"),
    route("POST", f"{PREFIX}/jobs/{{id:int}}/retry", retry_job, "admin"),
    route("POST", f"{PREFIX}/jobs/{{id:int}}/cancel", cancel_job, "admin"),
]
