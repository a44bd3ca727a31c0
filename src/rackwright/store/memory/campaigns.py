"""Campaigns and budgets in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from rackwright.core.budgets import Budget, Turn
from rackwright.core.campaign import Campaign, Count
from rackwright.core.node_task import State
from rackwright.core.waves import Seen
from rackwright.store.memory.tables import CampaignTurn
from rackwright.store.memory.work import Work


class CampaignWork(Work):
    """The part of a transaction that is about campaigns and budgets."""

    async def lock_campaigns(self) -> None:
        """See the port."""

    async def budgets(self) -> list[Budget]:
        """See the port."""
        items = sorted(self.tables.budgets.items())
        return [Budget(kind=kind, place=place, amount=amount) for (kind, place), amount in items]

    async def set_budget(self, kind: str, place: str, amount: int | None) -> None:
        """See the port."""
        self.tables.budgets.pop((kind, place), None)
        if amount is not None:
            self.tables.budgets[kind, place] = amount

    async def add_campaign(self, campaign: Campaign, turns: Sequence[Turn]) -> int:
        """See the port."""
        id = self.tables.fresh_id()
        self.tables.campaigns[id] = msgspec.structs.replace(campaign, id=id)
        self.tables.turns |= {turn.scope: CampaignTurn(id, turn) for turn in turns}
        return id

    async def campaigns(self, ids: Collection[int] | None = None) -> list[Campaign]:
        """See the port."""
        return [one for id, one in sorted(self.tables.campaigns.items()) if ids is None or id in ids]

    async def save_campaign(self, campaign: Campaign) -> None:
        """See the port."""
        self.tables.campaigns[campaign.id] = campaign

    async def end_campaign(self, id: int) -> None:
        """See the port."""
        self.tables.campaigns.pop(id, None)
        self._keep({scope: one for scope, one in self.tables.turns.items() if one.campaign != id})

    async def in_campaigns(self, scopes: Collection[int]) -> dict[int, int]:
        """See the port."""
        return {scope: self.tables.turns[scope].campaign for scope in scopes if scope in self.tables.turns}

    async def busy_places(self) -> dict[tuple[int, str], int]:
        """See the port."""
        under_way = [one for one in self.tables.turns.values() if self._phase(one) in ("running", "waiting", "held")]
        found = Counter((one.campaign, place) for one in under_way for place in one.turn.places)
        running = (row.id for row in self.tables.rows_of(state=State.TRANSITION) if row.id in self.tables.shares)
        return found + Counter((0, place) for id in running for place in self.tables.shares[id][2])

    async def set_shares(self, deployment: int, graph: str, shares: Mapping[int, Sequence[str]]) -> None:
        """See the port."""
        others = {id: one for id, one in self.tables.shares.items() if one[:2] != (deployment, graph)}
        mine = {id: (deployment, graph, tuple(places)) for id, places in shares.items()}
        self.tables.shares.clear()
        self.tables.shares.update(others | mine)

    async def shares_of(self, ids: Collection[int]) -> dict[int, tuple[str, ...]]:
        """See the port."""
        return {id: self.tables.shares[id][2] for id in ids if id in self.tables.shares}

    async def shares_wanted(self, rack: int) -> bool:
        """See the port."""
        waiting = self.tables.rows_of(rack=rack, state=State.TODO)
        return bool(self.tables.budgets) and any(row.id in self.tables.shares for row in waiting)

    async def next_turns(self, campaign: int, wave: int, full: Collection[str], limit: int) -> list[Turn]:
        """See the port."""
        waiting = [one.turn for one in self._turns_of(campaign) if not one.activity and one.turn.wave <= wave]
        free = [turn for turn in waiting if not set(turn.places) & set(full)]
        return sorted(free, key=lambda turn: turn.number)[:limit]

    async def begin_turns(self, activities: Mapping[int, str]) -> None:
        """See the port."""
        for scope, activity in activities.items():
            self.tables.turns[scope] = msgspec.structs.replace(self.tables.turns[scope], activity=activity)

    async def drop_turns(self, campaign: int, scopes: Collection[int] | None = None) -> int:
        """See the port."""
        waiting = [one.turn.scope for one in self._turns_of(campaign) if not one.activity]
        gone = {scope for scope in waiting if scopes is None or scope in scopes}
        self._keep({scope: one for scope, one in self.tables.turns.items() if scope not in gone})
        return len(gone)

    async def settle_turns(self, campaign: int) -> None:
        """See the port."""
        over = {one.turn.scope for one in self._turns_of(campaign) if one.activity and not self._phase(one)}
        self._keep({scope: one for scope, one in self.tables.turns.items() if scope not in over})

    async def campaign_seen(self, campaign: int, wave: int) -> Seen:
        """See the port."""
        opened = [one for one in self._turns_of(campaign) if one.turn.wave <= wave]
        busy = any(not one.activity or self._phase(one) not in ("", "failed") for one in opened)
        failed = [one for one in opened if one.turn.wave == wave and self._phase(one) == "failed"]
        return Seen(busy, len(failed))

    async def campaign_counts(self) -> dict[int, Count]:
        """See the port."""
        found: dict[int, Counter[str]] = {}
        for one in self.tables.turns.values():
            word = (
                "waiting" if not one.activity else {"": "over", "failed": "failed"}.get(self._phase(one), "under_way")
            )
            found.setdefault(one.campaign, Counter())[word] += 1
        return {
            id: Count(waiting=count["waiting"], under_way=count["under_way"], failed=count["failed"])
            for id, count in found.items()
        }

    def _turns_of(self, campaign: int) -> Iterator[CampaignTurn]:
        return (one for one in self.tables.turns.values() if one.campaign == campaign)

    def _phase(self, one: CampaignTurn) -> str:
        """The phase of the activity of its turn; empty: that has not begun, or is over."""
        machine = self.tables.machines.get(one.turn.scope)
        return machine.phase if one.activity and machine is not None and machine.activity == one.activity else ""

    def _word(self, one: CampaignTurn) -> str:
        if not one.activity:
            return "waiting"
        return {"": "over", "failed": "failed"}.get(self._phase(one), "under_way")

    def _keep(self, turns: dict[int, CampaignTurn]) -> None:
        self.tables.turns.clear()
        self.tables.turns.update(turns)
