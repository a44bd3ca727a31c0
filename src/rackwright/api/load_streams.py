"""Loads that go on, as server-sent events: their lines one by one, or the picture that these make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import msgspec
import structlog

from rackwright.api.services import Services
from rackwright.api.streaming import HEARTBEAT, OPENING, STILL_HERE, message
from rackwright.core.errors import StoreUnavailable
from rackwright.core.load.lines import Line, lines
from rackwright.core.views import LogView
from rackwright.load.report.following import Following
from rackwright.load.report.page import picture

LOOK_AGAIN = 1.0
"""Seconds between looks at what a load has told since: it tells something every second."""

log = structlog.get_logger()


async def spoken(services: Services, node_task: int, first: LogView) -> AsyncIterator[bytes]:
    """Each line as an event of its kind; ``id`` is the place in the log behind it."""
    yield OPENING
    async for piece in _heard(services, node_task, first):
        for place, line in _placed(piece):
            yield message(msgspec.json.encode(line), str(line.__struct_config__.tag), place)
        if not piece.data:
            yield STILL_HERE


async def pictures(services: Services, node_task: int, first: LogView) -> AsyncIterator[bytes]:
    """The load as it stands, whenever something was told: ``{html, over}``."""
    yield OPENING
    load = Following()
    async for piece in _heard(services, node_task, first):
        for _, line in _placed(piece):
            load.take(line)
        if piece.data or piece.complete:
            yield message(msgspec.json.encode({"html": picture(load), "over": piece.complete}), "picture")
        else:
            yield STILL_HERE


async def _heard(services: Services, node_task: int, piece: LogView) -> AsyncIterator[LogView]:
    """The log in pieces of whole lines, as they come; an empty one where nothing has come for HEARTBEAT seconds. The
    last one is complete, unless this process stops or the store is away."""
    rest, quiet = b"", 0.0
    # Nobody tells of lines. The bell rings when the process stops.
    with services.news.watch("load") as bell:
        while not services.news.stopping:
            data = rest + piece.data
            end = len(data) if piece.complete else data.rfind(b"\n") + 1
            rest = data[end:]
            if end or piece.complete or quiet >= HEARTBEAT:
                quiet = 0.0
                yield msgspec.structs.replace(piece, offset=piece.next_offset - len(data), data=data[:end])
            if piece.complete:
                return
            if not piece.data:
                await bell.wait(LOOK_AGAIN)
                quiet += LOOK_AGAIN
            try:
                piece = await services.views.log(node_task, attempt=piece.attempt, offset=piece.next_offset)
            except StoreUnavailable as error:
                log.warning("the stream of a load ends", why=error.what)
                return


def _placed(piece: LogView) -> Iterator[tuple[int, Line]]:
    """The lines in a piece, each with the place behind it."""
    place = piece.offset
    for text in piece.data.splitlines(keepends=True):
        place += len(text)
        for line in lines([text]):
            yield place, line
