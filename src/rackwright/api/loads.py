"""Load runs that are tasks: their numbers second by second while they go on, and their verdict."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.logs import node_task_of
from rackwright.core.load.lines import Line, lines
from rackwright.core.views import LogView


class LoadQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node task with the jig `load`: its deployment, its scope (``node``) and task; of an attempt (null: the newest)
    from a byte of its log on."""

    deployment: str
    node: str
    task: str
    attempt: Annotated[int, msgspec.Meta(ge=1)] | None = None
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


class LoadView(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of a load from a place on. Ask again with ``next_offset`` until it is ``complete``."""

    attempt: int
    next_offset: int
    complete: bool
    lines: list[Line]


async def get_load(call: Call) -> Response:
    """What a load has told so far: that it begins, each second, its verdicts, its end."""
    query = call.query(LoadQuery)
    views = call.services.views
    node_task = await node_task_of(views, query.deployment, query.node, query.task)
    return reply(whole_lines(await views.log(node_task, attempt=query.attempt, offset=query.offset)))


def whole_lines(piece: LogView) -> LoadView:
    """The lines in a piece of a log. One that is not whole yet is left for the next piece."""
    end = len(piece.data) if piece.complete else piece.data.rfind(b"\n") + 1
    return LoadView(
        attempt=piece.attempt,
        next_offset=piece.offset + end,
        complete=piece.complete,
        lines=list(lines(piece.data[:end].splitlines())),
    )


routes = [route("GET", f"{PREFIX}/loads", get_load, "read")]
