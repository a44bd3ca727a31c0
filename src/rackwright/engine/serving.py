"""What racks ask for of what they are to serve, and what they say that they have done."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import structlog

from rackwright.core.errors import Conflict, RackwrightError
from rackwright.core.ports import Event, Scope, Store, Transaction
from rackwright.core.served import Applied, Delta, ServedNode, ServedRack
from rackwright.core.serving import Step
from rackwright.engine.documents import documents
from rackwright.engine.transact import transact

AT_ONCE = 5000
"""Nodes whose documents are made at the same time."""

PAUSE = 0.05
"""Seconds between two looks whether transactions that are under way have ended."""

SLICE = 1000
"""Nodes whose documents the slow check makes anew at the same time."""

EVERY = 30.0
"""Seconds between two slices of the slow check."""

log = structlog.get_logger()


class Place(NamedTuple):
    """How far the slow check is: it goes on behind this node of this rack."""

    rack: int = 0
    node: int = 0


async def begin(store: Store, rack: int) -> None:
    """See to it that everything that this rack serves is there and kept in step from now on. The first time it makes
    all documents, once those transactions have ended that did not know of it."""
    while not await transact(store, lambda tx: tx.ask_to_serve(rack)):
        await asyncio.sleep(PAUSE)
    await transact(store, lambda tx: _make_all(tx, rack))


async def delta(store: Store, rack: int, after: int) -> Delta | None:
    """What a replica of this rack at generation ``after`` lacks; None: nothing."""

    async def work(tx: Transaction) -> Step | None:
        return await tx.step(rack, after)

    step = await transact(store, work)
    return None if step is None else _delta(step, rack, after)


async def applied(store: Store, rack: int, said: Applied) -> float | None:
    """Take a rack's word of what it answers from. Gives the seconds from the commit of its newest change until it was
    answered; None when nothing new is. Raises Conflict for a generation that it was never given."""

    async def work(tx: Transaction) -> float | None:
        known = (await tx.serving([rack])).get(rack)
        if known is None or said.generation > known.generation:
            what = f"the rack says that it answers from generation {said.generation}, which does not exist"
            raise Conflict(what, mend="ask for everything anew, with after=-1")
        await tx.record(_told(await tx.scopes([rack]), known.report, said.report))
        await tx.note_applied(rack, said.generation, said.report)
        return (await tx.serving([rack]))[rack].effect if known.applied != said.generation else None

    return await transact(store, work)


async def check(store: Store, after: Place) -> tuple[Place, bool]:
    """Make the documents of the next nodes anew. Gives the place to go on behind, and whether something had to be
    mended: it should not."""

    async def work(tx: Transaction) -> tuple[Place, bool]:
        racks = sorted(await tx.serving(None))
        rack = next((rack for rack in racks if rack >= after.rack), None)
        if rack is None:
            return Place(), False
        first = after.node if rack == after.rack else 0
        complete, nodes = await tx.lock_rack(rack)
        part = [node for node in sorted(nodes) if node > first][:SLICE]
        if not complete or not part:
            return Place(rack + 1), False
        before = (await tx.serving([rack]))[rack].generation
        await tx.serve(await documents(tx, [(rack, scope) for scope in (rack, *part)]))
        return Place(rack, part[-1]), (await tx.serving([rack]))[rack].generation != before

    return await transact(store, work)


async def watch(store: Store, stop: asyncio.Event) -> None:
    """Check all that racks serve, slice by slice and slowly, until ``stop`` is set."""
    place = Place()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EVERY * random.uniform(0.8, 1.2))
        if stop.is_set():
            return
        try:
            place, mended = await check(store, place)
        except RackwrightError as error:
            log.warning("what racks serve could not be checked", why=str(error))
        else:
            if mended:
                log.warning("the slow check found a rack that served what is no longer true", rack=place.rack)


async def _make_all(tx: Transaction, rack: int) -> None:
    complete, nodes = await tx.lock_rack(rack)
    if complete:
        return
    for start in range(0, len(nodes) + 1, AT_ONCE):
        part = nodes[start : start + AT_ONCE]
        scopes = [rack, *part] if start == 0 else part
        await tx.serve(await documents(tx, [(rack, scope) for scope in scopes]))
    await tx.made_all(rack)


def _told(scopes: Mapping[int, Scope], before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Event]:
    """Foreign DHCP servers that a rack has seen, each once."""
    known = set(before.get("foreign", ()))
    return [
        Event(
            kind="dhcp.foreign",
            text=f"another DHCP server answers on the rack's network: {server}; machines may boot from it",
            scope=scope.name,
            data={"server": server},
        )
        for scope in scopes.values()
        for server in now.get("foreign", ())
        if server not in known
    ]


def _delta(step: Step, rack: int, after: int) -> Delta:
    nodes = [document for scope, document in step.documents if scope != rack and document is not None]
    own = next((document for scope, document in step.documents if scope == rack and document is not None), None)
    return Delta(
        after=after,
        generation=step.generation,
        full=step.full,
        rack=None if own is None else msgspec.json.decode(own, type=ServedRack),
        nodes=tuple(msgspec.json.decode(document, type=ServedNode) for document in nodes),
        gone=() if step.full else tuple(scope for scope, document in step.documents if document is None),
    )
