"""Campaigns and budgets in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from rackwright.core.budgets import Budget, Turn
from rackwright.core.campaign import Campaign, Count
from rackwright.core.waves import Seen
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.work import Work

_TURN = ("scope_id", "campaign_id", "number", "wave", "places")
_SHARE = ("id", "deployment_id", "graph", "places")


class CampaignWork(Work):
    """The part of a transaction that is about campaigns and budgets."""

    async def lock_campaigns(self) -> None:
        """See the port."""
        await self.run("lock_campaigns")

    async def budgets(self) -> list[Budget]:
        """See the port."""
        return [Budget(kind=row[0], place=row[1], amount=row[2]) for row in await self.rows("budgets")]

    async def set_budget(self, kind: str, place: str, amount: int | None) -> None:
        """See the port."""
        if amount is None:
            await self.run("drop_budget", kind, place)
        else:
            await self.run("put_budget", kind, place, amount)

    async def add_campaign(self, campaign: Campaign, turns: Sequence[Turn]) -> int:
        """See the port."""
        id: int = await self.value("add_campaign", Json(msgspec.to_builtins(campaign)))
        rows = ((turn.scope, id, turn.number, turn.wave, list(turn.places)) for turn in turns)
        await self.copy("campaign_turn", _TURN, rows)
        return id

    async def campaigns(self, ids: Collection[int] | None = None) -> list[Campaign]:
        """See the port."""
        rows = await self.rows("campaigns", None if ids is None else list(ids))
        return [msgspec.convert({**document, "id": id}, Campaign) for id, document in rows]

    async def save_campaign(self, campaign: Campaign) -> None:
        """See the port."""
        await self.run("save_campaign", campaign.id, Json(msgspec.to_builtins(campaign)))

    async def end_campaign(self, id: int) -> None:
        """See the port."""
        await self.run("end_campaign", id)

    async def in_campaigns(self, scopes: Collection[int]) -> dict[int, int]:
        """See the port."""
        return {row[0]: row[1] for row in await self.rows("in_campaigns", list(scopes))}

    async def busy_places(self) -> dict[tuple[int, str], int]:
        """See the port."""
        return {(row[0], row[1]): row[2] for row in await self.rows("busy_places")}

    async def set_shares(self, deployment: int, graph: str, shares: Mapping[int, Sequence[str]]) -> None:
        """See the port."""
        await self.run("drop_shares", deployment, graph)
        if shares:
            rows = ((id, deployment, graph, list(places)) for id, places in shares.items())
            await self.copy("work_share", _SHARE, rows)

    async def shares_of(self, ids: Collection[int]) -> dict[int, tuple[str, ...]]:
        """See the port."""
        return {row[0]: tuple(row[1]) for row in await self.rows("shares_of", list(ids))}

    async def shares_wanted(self, rack: int) -> bool:
        """See the port."""
        return bool(await self.value("shares_wanted", rack))

    async def next_turns(self, campaign: int, wave: int, full: Collection[str], limit: int) -> list[Turn]:
        """See the port."""
        statement, _ = limited("next_turns", limit)
        rows = await self.text_rows(statement, campaign, wave, sorted(full))
        return [
            Turn(scope=row[0], name=row[1], number=row[2], wave=row[3], places=tuple(row[4])) for row in rows[:limit]
        ]

    async def begin_turns(self, activities: Mapping[int, str]) -> None:
        """See the port."""
        await self.run("begin_turns", *columns(sorted(activities.items()), 2))

    async def drop_turns(self, campaign: int, scopes: Collection[int] | None = None) -> int:
        """See the port."""
        return len(await self.rows("drop_turns", campaign, None if scopes is None else list(scopes)))

    async def settle_turns(self, campaign: int) -> None:
        """See the port."""
        await self.run("settle_turns", campaign)

    async def campaign_seen(self, campaign: int, wave: int) -> Seen:
        """See the port."""
        row = await self.row("campaign_seen", campaign, wave)
        return Seen(False, 0) if row is None else Seen(row[0], row[1])

    async def campaign_counts(self) -> dict[int, Count]:
        """See the port."""
        return {
            row[0]: Count(waiting=row[1], under_way=row[2], failed=row[3]) for row in await self.rows("campaign_counts")
        }
