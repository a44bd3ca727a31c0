"""What ends a parked attempt: a person or a call-back, the facts that it awaits, or its deadline."""

from __future__ import annotations

from collections.abc import Sequence

from rackwright.core.audit import Change
from rackwright.core.errors import Conflict, NotFound
from rackwright.core.messages import Result
from rackwright.core.parking import Parked
from rackwright.core.ports import Store, Transaction
from rackwright.engine.intake import take
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.transact import transact

TEND = 500
"""Parked attempts per transaction."""


async def go_on(
    store: Store,
    library: CatalogLibrary,
    node_task: int,
    now: float,
    *,
    attempt: int | None = None,
    failed: str | None = None,
) -> str:
    """What a parked attempt waited for has come: it ended well, or ``failed`` for this reason. Gives what became of it.

    Raises NotFound when there is no such node task, Conflict when it is not parked, or not with this ``attempt``.
    """

    async def work(tx: Transaction) -> str:
        found = await tx.parked([node_task])
        if not found:
            raise await _not_parked(tx, node_task)
        if attempt is not None and attempt != found[0].attempt:
            raise Conflict(f"attempt {attempt} of node task {node_task} is not the parked one ({found[0].attempt})")
        (verdict,) = await _end(tx, library, [(found[0], found[0].ended(failed=failed))], now)
        await tx.note([await _said(tx, found[0], failed)])
        return verdict

    return await transact(store, work)


async def tend(store: Store, library: CatalogLibrary, now: float) -> int:
    """End parked attempts whose facts are there, or whose deadline has come; gives how many. Clears away what no
    longer counts."""

    async def work(tx: Transaction) -> int:
        ends = [(one, one.ended()) for one in await tx.answered(TEND)]
        known = {one.node_task for one, _ in ends}
        ends += [(one, one.overdue()) for one in await tx.overdue(now, TEND) if one.node_task not in known]
        await _end(tx, library, ends, now)
        await tx.clear_parked()
        return len(ends)

    return await transact(store, work)


async def _end(
    tx: Transaction, library: CatalogLibrary, ends: Sequence[tuple[Parked, Result]], now: float
) -> list[str]:
    """Take these results; the attempt fences what is no longer parked. Gives what became of them."""
    near = await tx.lock({one.node_task for one, _ in ends})
    by_rack: dict[int | None, list[Result]] = {}
    for one, result in ends:
        if one.node_task in near.rows:
            by_rack.setdefault(near.rows[one.node_task].rack, []).append(result)
    taken = await take(tx, library, list(by_rack.items()), now) if by_rack else []
    return [verdict.reason for verdicts in taken for verdict in verdicts.items]


async def _said(tx: Transaction, one: Parked, failed: str | None) -> Change:
    row = (await tx.lock([one.node_task])).rows[one.node_task]
    scopes = await tx.scopes({row.scope, row.deployment})
    text = f"{row.task} was told to go on" if failed is None else f"{row.task} was told that it failed: {failed}"
    return Change(
        kind="task.continued", text=text, deployment=scopes[row.deployment].name, scope=scopes[row.scope].name
    )


async def _not_parked(tx: Transaction, node_task: int) -> Conflict | NotFound:
    if await tx.existing([node_task]):
        return Conflict(f"node task {node_task} is not parked", mend="only what is parked can be told to go on")
    return NotFound(f"there is no node task {node_task}", mend="see `rackwright get tasks`")
