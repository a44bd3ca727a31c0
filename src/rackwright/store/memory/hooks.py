"""Subscriptions and their messages in memory."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from rackwright.core.hooks import WORDS, Delivery, Happening, Message, Settled, Subscription, of_moves
from rackwright.core.node_task import Moved, State
from rackwright.store.memory.work import Work
from rackwright.store.refusals import name_taken
from rackwright.store.texts import plain, stored


class HookWork(Work):
    """The part of a transaction that is about hooks."""

    async def announce(self, happenings: Sequence[Happening]) -> None:
        """See the port."""
        tables = self.tables
        for said in happenings:
            for wanting in list(tables.subscriptions.values()):
                if wanting.wants(said, self._roles(wanting, said)):
                    id = tables.fresh_id()
                    tables.messages[id] = Message(
                        id=id, key=str(uuid.uuid4()), subscription=wanting.id, event=said.event, object=said.object,
                        at=time.time(), data=self._data(said),
                    )  # fmt: skip
                    self.tell("hook", "")

    async def announce_moves(self, moves: Iterable[Moved]) -> None:
        """See the port."""
        events = [event for wanting in self.tables.subscriptions.values() for event in wanting.events]
        await self.announce(of_moves(moves, dict.fromkeys(events)))

    async def turned(self) -> list[tuple[int, str, str]]:
        """See the port."""
        tables = self.tables
        if WORDS.isdisjoint(event for wanting in tables.subscriptions.values() for event in wanting.events):
            return []
        counts: dict[int, Counter[State]] = {}
        for (deployment, _, state), n in tables.rollup.items():
            counts.setdefault(deployment, Counter())[state] += n
        now = {id: _word(counts[id]) for id in sorted(counts) if id in tables.deployments}
        turned = [(id, tables.name(id) or "", word) for id, word in now.items() if tables.words.get(id) != word]
        tables.words = now
        return turned

    async def subscriptions(self, ids: Collection[int] | None = None) -> list[Subscription]:
        """See the port."""
        found = [each for each in self.tables.subscriptions.values() if ids is None or each.id in ids]
        return sorted(found, key=lambda each: each.name)

    async def subscribe(self, subscription: Subscription) -> int:
        """See the port."""
        tables = self.tables
        before = next((each for each in tables.subscriptions.values() if each.name == subscription.name), None)
        if before is not None and before.kind != subscription.kind:
            raise name_taken("hook", subscription.name)
        id = tables.fresh_id() if before is None else before.id
        created = subscription.created_at if before is None else before.created_at
        tables.subscriptions[id] = msgspec.structs.replace(subscription, id=id, created_at=created)
        return id

    async def unsubscribe(self, ids: Collection[int]) -> None:
        """See the port."""
        tables = self.tables
        for id in ids:
            tables.subscriptions.pop(id, None)
        self._drop([message.id for message in tables.messages.values() if message.subscription in ids])

    async def due(self, now: float) -> list[int]:
        """See the port."""
        return sorted(id for id in self.tables.subscriptions if any(self._first(id, now)))

    async def take_messages(self, subscription: int, limit: int, now: float, until: float) -> list[Message]:
        """See the port."""
        taken = [
            msgspec.structs.replace(message, tries=message.tries + 1, not_before=until)
            for message in self._first(subscription, now)[:limit]
        ]
        self.tables.messages.update({message.id: message for message in taken})
        return taken

    async def settle_messages(self, settled: Sequence[Settled]) -> None:
        """See the port."""
        tables = self.tables
        for each in settled:
            found = tables.messages.get(each.message.id)
            if found is None:
                continue
            delivery = msgspec.structs.replace(
                each.delivery, id=tables.fresh_id(), key=found.key, event=found.event, error=plain(each.delivery.error)
            )
            tables.deliveries.append(delivery)
            if found.state == "waiting" and found.tries == each.message.tries:
                tables.messages[found.id] = msgspec.structs.replace(
                    found, state=each.state, not_before=each.not_before, error=delivery.error
                )

    async def messages(
        self, subscription: int, *, state: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[Message]:
        """See the port."""
        return [message for message in self._of(subscription, state) if message.id > after][:limit]

    async def deliveries(self, subscription: int, *, limit: int = 100) -> list[Delivery]:
        """See the port."""
        own = {message.id for message in self._of(subscription)}
        return [delivery for delivery in reversed(self.tables.deliveries) if delivery.message in own][:limit]

    async def backlog(self) -> dict[int, dict[str, int]]:
        """See the port."""
        found: dict[int, dict[str, int]] = {}
        for message in self.tables.messages.values():
            if message.state != "delivered":
                own = found.setdefault(message.subscription, {})
                own[message.state] = own.get(message.state, 0) + 1
        return found

    async def redeliver(self, subscription: int, keys: Collection[str] | None) -> int:
        """See the port."""
        found = [
            msgspec.structs.replace(message, state="waiting", tries=0, not_before=0.0)
            for message in self._of(subscription)
            if (message.state == "parked" if keys is None else message.key in keys)
        ]
        self.tables.messages.update({message.id: message for message in found})
        if found:
            self.tell("hook", "")
        return len(found)

    async def forget_messages(self, before: float, limit: int) -> int:
        """See the port."""
        tables = self.tables
        waited_for = {message.subscription for message in tables.messages.values() if message.state == "waiting"}
        gone = {
            each.id
            for each in tables.subscriptions.values()
            if each.deployment is not None and each.deployment not in tables.deployments
        }
        await self.unsubscribe(gone - waited_for)
        old = [
            message.id
            for message in sorted(tables.messages.values(), key=lambda message: message.at)
            if message.state == "delivered" and message.at < before
        ][:limit]
        self._drop(old)
        return len(old)

    def _drop(self, ids: Collection[int]) -> None:
        tables = self.tables
        for id in ids:
            del tables.messages[id]
        tables.deliveries = [delivery for delivery in tables.deliveries if delivery.message not in ids]

    def _of(self, subscription: int, state: str | None = None) -> list[Message]:
        return [
            self.tables.messages[id]
            for id in sorted(self.tables.messages)
            if self.tables.messages[id].subscription == subscription
            and (state is None or self.tables.messages[id].state == state)
        ]

    def _first(self, subscription: int, now: float) -> list[Message]:
        """Of every object the first message that waits, if its time has come."""
        first: dict[str, Message] = {}
        for message in self._of(subscription, "waiting"):
            first.setdefault(message.object, message)
        return [message for message in first.values() if message.not_before <= now]

    def _roles(self, wanting: Subscription, said: Happening) -> tuple[str, ...] | None:
        members = self.tables.members.get(wanting.deployment or 0, {})
        member = members.get(said.scope or 0)
        return None if member is None else member.roles

    def _data(self, said: Happening) -> dict[str, Any]:
        names = {"deployment": said.deployment, "scope": said.scope, "rack": said.rack}
        named = {key: self.tables.name(id) for key, id in names.items()} | {"task": said.task}
        return {**stored(said.data, "what is told"), **{key: name for key, name in named.items() if name is not None}}


def _word(counts: Counter[State]) -> str:
    if counts[State.ERROR]:
        return "error"
    return "active" if counts[State.ACTIVE] and counts.total() == counts[State.ACTIVE] else "open"
