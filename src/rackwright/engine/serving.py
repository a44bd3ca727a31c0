"""What racks ask for of what they are to serve, and what they say that they have done."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog

from rackwright.core.errors import Conflict, RackwrightError
from rackwright.core.ports import Event, Store, Transaction
from rackwright.core.served import Applied, Delta, ServedNode, ServedRack
from rackwright.core.serving import Serving, Step
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


class NotYet(RackwrightError):
    """What a rack serves has to be made first (see ``begin``)."""


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
    """What a replica of this rack at generation ``after`` lacks; None: nothing. Raises NotYet."""
    (found,) = await transact(store, lambda tx: deltas(tx, [(rack, after)]))
    if isinstance(found, NotYet):
        raise found
    return found


async def deltas(tx: Transaction, asked: Sequence[tuple[int, int]]) -> list[Delta | NotYet | None]:
    """The same for many (rack, generation) pairs in one transaction."""
    steps = await tx.steps(sorted(set(asked)))
    found: list[Delta | NotYet | None] = []
    for rack, after in asked:
        if (rack, after) not in steps:
            found.append(NotYet("not all that this rack serves has been made yet"))
            continue
        step = steps[rack, after]
        found.append(None if step is None else _delta(step, rack, after))
    return found


async def applied(store: Store, rack: int, said: Applied) -> float | None:
    """Take a rack's word of what it answers from. Gives the seconds from the commit of its newest change until it was
    answered; None when nothing new is. Raises Conflict for a generation that it was never given."""
    (effect,) = await transact(store, lambda tx: applied_all(tx, [(rack, said)]))
    if isinstance(effect, Conflict):
        raise effect
    return effect


async def applied_all(tx: Transaction, said: Sequence[tuple[int, Applied]]) -> list[float | Conflict | None]:
    """The same for many racks in one transaction. Of a rack that speaks twice in it the last word counts."""
    known = await tx.serving({rack for rack, _ in said}, lock=True)
    sound = {rack: each for rack, each in said if rack in known and each.generation <= known[rack].generation}
    await tx.record(await _foreign(tx, known, sound))
    effects = await tx.note_applied({rack: (each.generation, each.report) for rack, each in sound.items()})
    found: list[float | Conflict | None] = []
    for rack, each in said:
        if rack not in known or each.generation > known[rack].generation:
            what = f"the rack says that it answers from generation {each.generation}, which does not exist"
            found.append(Conflict(what, mend="ask for everything anew, with after=-1"))
        else:
            new = sound[rack] is each and each.generation != known[rack].applied
            found.append(effects[rack] if new else None)
    return found


async def check(store: Store, after: Place) -> tuple[Place, list[int]]:
    """Make the documents of the next nodes anew, a rack at a time. Gives the place to go on behind, and the racks where
    something had to be mended: there should be none."""
    left, mended = SLICE, list[int]()
    while left > 0:
        after, seen, wrong = await transact(store, _checking(after, left))
        mended += wrong
        left -= max(seen, 1)
        if after == Place():
            break
    return after, mended


async def watch(store: Store, stop: asyncio.Event) -> None:
    """Check all that racks serve, slice by slice and slowly, until ``stop`` is set."""
    place = Place()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EVERY * random.uniform(0.8, 1.2)):
                await stop.wait()
        if stop.is_set():
            return
        try:
            place, mended = await check(store, place)
        except RackwrightError as error:
            log.warning("what racks serve could not be checked", why=str(error))
        else:
            if mended:
                log.warning("the slow check found racks that served what is no longer true", racks=mended)


def _checking(after: Place, most: int) -> Callable[[Transaction], Awaitable[tuple[Place, int, list[int]]]]:
    """Look at the next rack, and at most so many nodes of it. Gives the place to go on behind, how many nodes were
    looked at, and the rack if something was wrong."""

    async def work(tx: Transaction) -> tuple[Place, int, list[int]]:
        rack = min((rack for rack in await tx.serving(None) if rack >= after.rack), default=None)
        if rack is None:
            return Place(), 0, []
        complete, nodes = await tx.lock_rack(rack)
        left = sorted(node for node in nodes if rack != after.rack or node > after.node) if complete else []
        part = left[:most]
        place = Place(rack, part[-1]) if len(part) < len(left) else Place(rack + 1)
        if not part:
            return place, 0, []
        before = (await tx.serving([rack]))[rack].generation
        await tx.serve(await documents(tx, [(rack, scope) for scope in (rack, *part)]))
        wrong = (await tx.serving([rack]))[rack].generation != before
        return place, len(part), [rack] if wrong else []

    return work


async def _make_all(tx: Transaction, rack: int) -> None:
    complete, nodes = await tx.lock_rack(rack)
    if complete:
        return
    for start in range(0, len(nodes) + 1, AT_ONCE):
        part = nodes[start : start + AT_ONCE]
        scopes = [rack, *part] if start == 0 else part
        await tx.serve(await documents(tx, [(rack, scope) for scope in scopes]))
    await tx.made_all(rack)


async def _foreign(tx: Transaction, before: Mapping[int, Serving], said: Mapping[int, Applied]) -> list[Event]:
    """Foreign DHCP servers that racks have seen, each once."""
    seen = [
        (rack, server)
        for rack, each in said.items()
        for server in each.report.get("foreign", ())
        if server not in before[rack].report.get("foreign", ())
    ]
    scopes = await tx.scopes({rack for rack, _ in seen}) if seen else {}
    return [
        Event(
            kind="dhcp.foreign",
            text=f"another DHCP server answers on the rack's network: {server}; machines may boot from it",
            scope=scopes[rack].name,
            data={"server": server},
        )
        for rack, server in seen
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
