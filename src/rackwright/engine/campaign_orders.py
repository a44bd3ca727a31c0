"""What people order of campaigns that there are, and of the budgets that hold for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from rackwright.core import budgets
from rackwright.core.audit import Change
from rackwright.core.budgets import Budget
from rackwright.core.campaign import Campaign, Count
from rackwright.core.errors import Conflict, NotFound
from rackwright.core.ports import Store, Transaction
from rackwright.engine.campaigns import CampaignView, view
from rackwright.engine.transact import transact


async def listed(store: Store, ids: Sequence[int] | None = None) -> list[CampaignView]:
    """Campaigns that are not over, by id."""

    async def work(tx: Transaction) -> list[CampaignView]:
        counts = await tx.campaign_counts()
        return [view(campaign, counts.get(campaign.id, Count())) for campaign in await tx.campaigns(ids)]

    return await transact(store, work)


async def promote(store: Store, id: int) -> None:
    """Let the next wave begin as soon as this one rests and is well. Raises NotFound, or Conflict when there is no
    next one."""

    def change(campaign: Campaign) -> Campaign:
        if campaign.progress.last:
            raise Conflict(f"the campaign {id} has no wave to come", mend="see `rackwright campaign list`")
        progress = msgspec.structs.replace(campaign.progress, promoted=True)
        return msgspec.structs.replace(campaign, progress=progress)

    await _change(store, id, "campaign.promoted", "the next wave may begin", change)


async def forgive(store: Store, id: int) -> None:
    """Let a campaign that is halted go on with the failures that it has. Raises NotFound or Conflict."""

    def change(campaign: Campaign) -> Campaign:
        if not campaign.halted:
            raise Conflict(f"the campaign {id} is not halted", mend="see `rackwright campaign list`")
        progress = msgspec.structs.replace(campaign.progress, forgiven=campaign.progress.failed)
        return msgspec.structs.replace(campaign, progress=progress)

    await _change(store, id, "campaign.forgiven", "it goes on as it is", change)


async def cancel(store: Store, id: int) -> int:
    """Say its verb to no more machines; what is under way goes on. Gives how many waited. Raises NotFound."""

    async def work(tx: Transaction) -> int:
        await tx.lock_campaigns()
        await _found(tx, id)
        waiting = await tx.drop_turns(id)
        await tx.end_campaign(id)
        text = f"campaign {id}: cancelled, {waiting} machines waited"
        await tx.note([Change(kind="campaign.cancelled", text=text)])
        return waiting

    return await transact(store, work)


async def listed_budgets(store: Store) -> list[Budget]:
    """The budgets that hold for all."""
    return await transact(store, lambda tx: tx.budgets())


async def set_budget(store: Store, kind: str, place: str, amount: int | None) -> None:
    """Set the budget of a place or, with none named, of each place of a kind; None: take it away. Raises InvalidInput
    for what cannot be. What is under way is left alone."""
    budgets.check(Budget(kind=kind, place=place, amount=1 if amount is None else amount))
    budget = f"{kind}={place}" if place else kind

    async def work(tx: Transaction) -> None:
        await tx.lock_campaigns()
        await tx.set_budget(kind, place, amount)
        await tx.note([Change(kind="budget.set", text=f"budget of {budget}", after={budget: amount})])

    await transact(store, work)


async def _change(store: Store, id: int, kind: str, text: str, change: Callable[[Campaign], Campaign]) -> None:
    async def work(tx: Transaction) -> None:
        await tx.lock_campaigns()
        await tx.save_campaign(change(await _found(tx, id)))
        await tx.note([Change(kind=kind, text=f"campaign {id}: {text}")])

    await transact(store, work)


async def _found(tx: Transaction, id: int) -> Campaign:
    found = await tx.campaigns([id])
    if not found:
        raise NotFound(f"there is no campaign {id}", mend="`rackwright campaign list` lists those that are not over")
    return found[0]
