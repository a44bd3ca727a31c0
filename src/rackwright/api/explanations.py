"""Why: one node task with all that decides about it, and expressions evaluated where a node stands."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.engine.asking import ask
from rackwright.engine.explaining import explain

LONGEST = 100_000
"""Characters of an expression."""


class ExplanationQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which node task; the deployment may be left out where only one has it."""

    node: str
    task: str
    deployment: str | None = None


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An expression, and where to evaluate it; ``task`` says whose recorded reads are the old data."""

    expression: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST)]
    node: str
    deployment: str | None = None
    task: str | None = None


async def explanation(call: Call) -> Response:
    """Why a node task runs, is skipped or waits."""
    query, services = call.query(ExplanationQuery), call.services
    found = await explain(
        services.store, services.catalogs, query.node, query.task, deployment=query.deployment, now=services.clock()
    )
    return reply(found)


async def evaluate(call: Call) -> Response:
    """The value of an expression."""
    given, services = await call.body(Question), call.services
    return reply(
        await ask(
            services.store,
            services.catalogs,
            given.expression,
            given.node,
            deployment=given.deployment,
            task=given.task,
        )
    )


routes = [
    route("GET", f"{PREFIX}/explanation", explanation, "read"),
    route("POST", f"{PREFIX}/evaluations", evaluate, "admin"),
]
