"""Subscriptions and their messages in PostgreSQL."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterable, Sequence

import asyncpg

from rackwright.core.hooks import WORDS, Delivery, Happening, Message, Settled, Subscription, Wants, of_moves
from rackwright.core.node_task import Moved
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.wanted import Wanted
from rackwright.store.postgres.work import Work
from rackwright.store.refusals import name_taken
from rackwright.store.texts import plain


class HookWork(Work):
    """The part of a transaction that is about hooks."""

    wanted: Wanted
    """What anybody wants to be told, as this process knows it."""
    _subscribed = False

    async def announce(self, happenings: Sequence[Happening]) -> None:
        """See the port."""
        if not happenings:
            return
        wanted = await self._wanted()
        rows = [
            (said.event, said.object, said.deployment, said.scope, said.rack, said.task, Json(said.data))
            for said in happenings
            if said.event in wanted and ((within := wanted[said.event]) is None or said.deployment in within)
        ]
        if rows and await self.row("announce", time.time(), *columns(rows, 7)) is not None:
            self.tell("hook", "")

    async def announce_moves(self, moves: Iterable[Moved]) -> None:
        """See the port."""
        wanted = await self._wanted()
        if any(event.startswith("node_task.") for event in wanted):
            await self.announce(of_moves(moves, wanted))

    async def turned(self) -> list[tuple[int, str, str]]:
        """See the port."""
        if WORDS.isdisjoint(await self._wanted()) or not await self.value("lock_turned"):
            return []
        return [(row[0], row[1], row[2]) for row in await self.rows("turned")]

    async def subscriptions(self, ids: Collection[int] | None = None) -> list[Subscription]:
        """See the port."""
        return [_subscription(row) for row in await self.rows("subscriptions", None if ids is None else list(ids))]

    async def subscribe(self, subscription: Subscription) -> int:
        """See the port."""
        said = subscription
        id = await self.value(
            "subscribe", said.name, said.kind, list(said.events), said.deployment, list(said.tasks), said.role,
            said.target, said.catalog, said.salt, said.created_at,
        )  # fmt: skip
        if id is None:
            raise name_taken("hook", subscription.name)
        self._subscribed = True
        return int(id)

    async def unsubscribe(self, ids: Collection[int]) -> None:
        """See the port."""
        await self.run("unsubscribe", list(ids))

    async def due(self, now: float) -> list[int]:
        """See the port."""
        return [row[0] for row in await self.rows("due", now)]

    async def take_messages(self, subscription: int, limit: int, now: float, until: float) -> list[Message]:
        """See the port."""
        statement, _ = limited("take_messages", limit)
        taken = await self.text_rows(statement, subscription, now, until)
        return sorted((_message(row) for row in taken), key=lambda message: message.id)

    async def settle_messages(self, settled: Sequence[Settled]) -> None:
        """See the port."""
        rows = [
            (
                each.message.id, each.message.tries, each.state, each.not_before, each.delivery.at, each.delivery.took,
                plain(each.delivery.error),
            )
            for each in settled
        ]  # fmt: skip
        await self.run("settle_messages", *columns(rows, 7))

    async def messages(
        self, subscription: int, *, state: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[Message]:
        """See the port."""
        return [_message(row) for row in await self.rows("messages", subscription, after, state, limit)]

    async def deliveries(self, subscription: int, *, limit: int = 100) -> list[Delivery]:
        """See the port."""
        return [_delivery(row) for row in await self.rows("deliveries", subscription, limit)]

    async def backlog(self) -> dict[int, dict[str, int]]:
        """See the port."""
        found: dict[int, dict[str, int]] = {}
        for id, state, count in await self.rows("backlog"):
            found.setdefault(id, {})[state] = count
        return found

    async def redeliver(self, subscription: int, keys: Collection[str] | None) -> int:
        """See the port."""
        if keys is None:
            changed = await self.rows("redeliver_parked", subscription)
        else:
            known = [key for key in map(_uuid, keys) if key is not None]
            changed = await self.rows("redeliver", subscription, known)
        if changed:
            self.tell("hook", "")
        return len(changed)

    async def forget_messages(self, before: float, limit: int) -> int:
        """See the port."""
        await self.run("forget_subscriptions")
        await self.run("forget_words")
        statement, _ = limited("forget_messages", limit)
        return len(await self.text_rows(statement, before))

    def remember_hooks(self) -> None:
        """After the commit: a subscription that was made counts at once in this process."""
        if self._subscribed:
            self.wanted.forget()

    async def _wanted(self) -> Wants:
        """What a subscription of this very transaction wants is known to nobody else yet."""
        if self._subscribed or self.wanted.old:
            self.wanted.learn((row[0], row[1]) for row in await self.rows("wanted_events"))
        return self.wanted.events


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _subscription(row: asyncpg.Record) -> Subscription:
    return Subscription(
        id=row[0], name=row[1], kind=row[2], events=tuple(row[3]), deployment=row[4], tasks=tuple(row[5]), role=row[6],
        target=row[7], catalog=row[8], salt=row[9], created_at=row[10],
    )  # fmt: skip


def _message(row: asyncpg.Record) -> Message:
    return Message(
        id=row[0], key=str(row[1]), subscription=row[2], event=row[3], object=row[4], at=row[5], data=row[6],
        state=row[7], tries=row[8], not_before=row[9], error=row[10],
    )  # fmt: skip


def _delivery(row: asyncpg.Record) -> Delivery:
    return Delivery(
        message=row[0], number=row[1], at=row[2], took=row[3], error=row[4], key=str(row[5]), event=row[6], id=row[7]
    )
