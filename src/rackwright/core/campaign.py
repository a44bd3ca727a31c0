"""Campaigns: a verb that is said to many machines, to each when its turn has come, as waves and budgets let it.

Until then nothing about a machine changes: it may be used, and other verbs may be said to it. At its turn the verb is
said as a person would say it; if it cannot be, the machine counts as failed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from rackwright.core import waves
from rackwright.core.budgets import Budget, Turn
from rackwright.core.waves import Progress, Seen, WaveRule

AT_ONCE = WaveRule(steps=("100%",), tolerance="100%")
"""One wave of all, which never halts."""


class Campaign(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign as it stands. Times are seconds since the epoch."""

    id: int
    verb: str
    parameters: dict[str, Any] = {}
    rule: WaveRule = AT_ONCE
    budgets: tuple[Budget, ...] = ()
    """Of this campaign alone, beside those that hold for all."""
    progress: Progress
    refused: int = 0
    """Machines of this wave to which the verb could not be said at their turn."""
    force: bool = False
    """Deployments let go of its machines at their turn."""
    asked_by: str = ""
    began_at: float = 0.0

    @property
    def halted(self) -> str:
        """Why nothing of it may begin; empty: something may."""
        return waves.halted(self.rule, self.progress)

    @property
    def told(self) -> str:
        """How far it is, for people."""
        return waves.told(self.rule, self.progress)


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """Machines of a campaign that wait for their turn, with which something is done, and of which that has failed."""

    waiting: int = 0
    under_way: int = 0
    failed: int = 0


def advanced(campaign: Campaign, seen: Seen, now: float) -> Campaign:
    """The campaign after what was seen of its wave: at this one, or at the next."""
    seen = Seen(seen.busy, seen.failed + campaign.refused)
    progress = waves.advance(campaign.rule, campaign.progress, seen, now)
    refused = campaign.refused if progress.wave == campaign.progress.wave else 0
    return msgspec.structs.replace(campaign, progress=progress, refused=refused)


def is_over(campaign: Campaign, seen: Seen) -> bool:
    """Whether nothing of it is left to be done."""
    return campaign.progress.last and not seen.busy


class CampaignErrands(Protocol):
    """The part of the store's port that is about campaigns and budgets. A machine is in one campaign at most."""

    async def lock_campaigns(self) -> None:
        """Wait until nobody else works on campaigns, and keep others from it until this transaction ends. It is the
        first lock of a transaction."""

    async def budgets(self) -> list[Budget]:
        """The budgets that hold for all, by kind and place."""

    async def set_budget(self, kind: str, place: str, amount: int | None) -> None:
        """Set the budget of a place, or (empty) of each place of a kind; None: there is none."""

    async def add_campaign(self, campaign: Campaign, turns: Sequence[Turn]) -> int:
        """Keep a campaign (``id`` ignored) and give its id."""

    async def campaigns(self, ids: Collection[int] | None = None) -> list[Campaign]:
        """Campaigns by id; None: all."""

    async def save_campaign(self, campaign: Campaign) -> None:
        """Write a campaign as it stands."""

    async def end_campaign(self, id: int) -> None:
        """Forget a campaign and all its turns; what is under way goes on."""

    async def in_campaigns(self, scopes: Collection[int]) -> dict[int, int]:
        """The campaign that each of these machines waits or works in."""

    async def busy_places(self) -> dict[tuple[int, str], int]:
        """How many machines of a campaign are under way at a place, by campaign and place; under the campaign 0 on how
        many scopes a node task runs that takes a share there."""

    async def set_shares(self, deployment: int, graph: str, shares: Mapping[int, Sequence[str]]) -> None:
        """Note at which places node tasks of a graph take a share while they run, in place of all that was noted of
        the graph."""

    async def shares_of(self, ids: Collection[int]) -> dict[int, tuple[str, ...]]:
        """The places at which these node tasks take a share; those that take none are left out."""

    async def shares_wanted(self, rack: int) -> bool:
        """Whether a node task in the queue of a rack takes a share, and there are budgets."""

    async def next_turns(self, campaign: int, wave: int, full: Collection[str], limit: int) -> list[Turn]:
        """The first that wait, of the waves up to this one and at none of the ``full`` places."""

    async def begin_turns(self, activities: Mapping[int, str]) -> None:
        """Note by which activity these machines are under way."""

    async def drop_turns(self, campaign: int, scopes: Collection[int] | None = None) -> int:
        """Forget the turns of these machines that wait; None: of all that wait. Gives how many those were."""

    async def settle_turns(self, campaign: int) -> None:
        """Forget the turns of machines that are through, or with which something else is done by now."""

    async def campaign_seen(self, campaign: int, wave: int) -> Seen:
        """Whether anything of the waves up to this one waits or is under way, and on how many machines of this wave it
        has failed."""

    async def campaign_counts(self) -> dict[int, Count]:
        """The machines of each campaign, counted."""
