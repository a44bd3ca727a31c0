"""Giving machines to somebody by what they are to be like: so many at once, and never one machine to two."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rackwright.core import lifecycle, wishes
from rackwright.core.errors import Conflict, InvalidInput, NotFound, TryAgain
from rackwright.core.ports import Store, Transaction
from rackwright.core.whom import Whom
from rackwright.core.wishes import Criteria, Judgement, Wish
from rackwright.engine import activities
from rackwright.engine.activities import Answer, Order
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.transact import transact

MOST = 10_000
"""Machines in one wish."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What there is for a wish: how many ready machines pass in everything, and constraint by constraint."""

    passing: int
    explanation: str


async def allocate(store: Store, library: CatalogLibrary, wish: Wish, now: float) -> list[Answer]:
    """Allocate as many machines as wished, all or none. Raises Conflict that tells how many pass each constraint where
    there are not enough, InvalidInput for a wish that makes no sense, NotFound for a rack or deployment in it."""
    _check(wish)
    order = Order(verb=lifecycle.verb_named("allocate"))

    async def work(tx: Transaction) -> list[Answer]:
        await tx.lock_places()
        wanted = await _criteria(tx, wish)
        picked = await tx.pick(wanted, wish.count)
        if len(picked) < wish.count:
            raise _too_few(wish, await tx.judged(wanted))
        scopes = await tx.scopes(picked)
        return await activities.say_in(tx, library, order, [scopes[id].name for id in picked], now)

    return await transact(store, work)


async def outlook(store: Store, wish: Wish) -> Outlook:
    """What there is for a wish. Nothing is done; raises as ``allocate`` does, but Conflict."""
    _check(wish)

    async def work(tx: Transaction) -> Outlook:
        judged = await tx.judged(await _criteria(tx, wish))
        return Outlook(passing=wishes.passing(judged), explanation=wishes.explained(wish, judged))

    return await transact(store, work)


async def names_of(store: Store, wanted: Whom) -> list[str]:
    """The names of the nodes that are meant, in order."""

    async def work(tx: Transaction) -> list[str]:
        return await tx.whom(wanted)

    return await transact(store, work)


async def _criteria(tx: Transaction, wish: Wish) -> Criteria:
    racks = await _ids(tx, "rack", wish.racks)
    apart: set[int] = set()
    for deployment in await _ids(tx, "deployment", wish.not_with):
        apart |= {member.rack for member in await tx.memberships(deployment) if member.rack is not None}
    return wishes.criteria(wish, racks if wish.racks else None, apart)


async def _ids(tx: Transaction, kind: str, names: Sequence[str]) -> list[int]:
    found = await tx.named(kind, names) if names else {}
    missing = [name for name in names if name not in found]
    if missing:
        raise NotFound(f"there is no {kind} {missing[0]}", mend=f"`rackwright get {kind}s` lists those that there are")
    return [scope.id for scope in found.values()]


def _too_few(wish: Wish, judged: dict[Judgement, int]) -> Exception:
    fit = wishes.passing(judged)
    if fit >= wish.count:
        return TryAgain("others are being given the same machines")
    return Conflict(
        f"{wish.count} machines are wished for, {fit} can be given: {wishes.explained(wish, judged)}",
        mend="ask for fewer, or for less",
    )


def _check(wish: Wish) -> None:
    if not 0 < wish.count <= MOST:
        raise InvalidInput(f"{wish.count} machines cannot be given at once", where="count", mend=f"from 1 to {MOST}")
