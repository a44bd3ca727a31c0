"""Hooks: who is told what happened, what waits for them, and how deliveries went."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import nothing, reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.names import Name
from rackwright.api.pages import Limit, whole
from rackwright.core.errors import InvalidInput
from rackwright.core.hooks import Message, MessageState, Subscription, events_of
from rackwright.core.ports import Transaction
from rackwright.engine import hooks
from rackwright.engine.transact import transact

ID = "msg_"
"""What the header webhook-id begins with; a message's key follows."""


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook: where to post, which events, and of which deployment and tasks (without: of all)."""

    name: Name
    url: str
    events: list[str]
    deployment: str | None = None
    tasks: list[str] = []


class Again(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages are to be delivered again, by id; null: all that are parked."""

    ids: list[str] | None = None


class DeliveriesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many deliveries, the newest first."""

    limit: Limit = 100


class MessagesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which messages: in one state, or all; the oldest first."""

    state: MessageState | None = None
    limit: Limit = 500


async def list_hooks(call: Call) -> Response:
    """Every hook by name, with what waits for it and what is parked."""

    async def work(tx: Transaction) -> list[dict[str, Any]]:
        known, backlog = await tx.subscriptions(), await tx.backlog()
        names = await tx.scopes({each.deployment for each in known if each.deployment is not None})
        return [_hook(each, names, backlog.get(each.id, {})) for each in known]

    return whole(await transact(call.services.store, work))


async def add_webhook(call: Call) -> Response:
    """Keep a webhook. The answer holds its secret: this once. One of the same name is changed, with a new secret."""
    asked = await call.body(NewWebhook)
    key = call.services.webhook_key
    if key is None:
        raise InvalidInput("this api has no key for webhooks", mend="start it with `rackwright api`")
    if urlsplit(asked.url).scheme not in ("http", "https") or not urlsplit(asked.url).hostname:
        raise InvalidInput(f"{asked.url!r} is no URL", where="/url", mend="give one as https://host/path")
    made = Subscription(
        name=asked.name, kind="webhook", events=events_of(asked.events), tasks=tuple(asked.tasks), target=asked.url
    )
    secret = await hooks.add_webhook(call.services.store, key, made, asked.deployment)
    return reply({"name": asked.name, "secret": secret}, 201, {"Cache-Control": "no-store"})


async def delete_hook(call: Call) -> Response:
    """Forget a hook with all that waits for it. One of a script comes back with the next plan of its deployment."""

    async def work(tx: Transaction) -> None:
        found = await hooks.subscription_named(tx, call.path["name"])
        await tx.unsubscribe([found.id])

    await transact(call.services.store, work)
    return nothing()


async def list_deliveries(call: Call) -> Response:
    """The newest deliveries of a hook."""
    query = call.query(DeliveriesQuery)

    async def work(tx: Transaction) -> list[dict[str, Any]]:
        found = await hooks.subscription_named(tx, call.path["name"])
        return [
            {
                "id": f"{ID}{each.key}", "event": each.event, "try": each.number, "at": each.at, "took": each.took,
                "error": each.error,
            }
            for each in await tx.deliveries(found.id, limit=query.limit)
        ]  # fmt: skip

    return whole(await transact(call.services.store, work))


async def list_messages(call: Call) -> Response:
    """Messages of a hook: what waits, what is parked, what was delivered."""
    query = call.query(MessagesQuery)

    async def work(tx: Transaction) -> list[dict[str, Any]]:
        found = await hooks.subscription_named(tx, call.path["name"])
        messages = await tx.messages(found.id, state=query.state, limit=query.limit)
        return [_message(message) for message in messages]

    return whole(await transact(call.services.store, work))


async def redeliver(call: Call) -> Response:
    """Let messages be delivered again, under the same id."""
    asked = await call.body(Again)
    keys = None if asked.ids is None else [id.removeprefix(ID) for id in asked.ids]

    async def work(tx: Transaction) -> int:
        found = await hooks.subscription_named(tx, call.path["name"])
        return await tx.redeliver(found.id, keys)

    return reply({"redelivered": await transact(call.services.store, work)})


def _hook(each: Subscription, names: dict[int, Any], backlog: dict[str, int]) -> dict[str, Any]:
    bound = names.get(each.deployment) if each.deployment is not None else None
    return {
        "name": each.name, "kind": each.kind, "events": each.events, "target": each.target,
        "deployment": None if bound is None else bound.name, "tasks": each.tasks, "role": each.role or None,
        "waiting": backlog.get("waiting", 0), "parked": backlog.get("parked", 0), "created_at": each.created_at,
    }  # fmt: skip


def _message(message: Message) -> dict[str, Any]:
    return {
        "id": f"{ID}{message.key}", "event": message.event, "object": message.object, "at": message.at,
        "state": message.state, "tries": message.tries, "not_before": message.not_before, "error": message.error,
        "data": message.data,
    }  # fmt: skip


_ONE = f"{PREFIX}/hooks/{{name}}"
routes = [
    route("GET", f"{PREFIX}/hooks", list_hooks, "read"),
    route("POST", f"{PREFIX}/hooks", add_webhook, "admin"),
    route("DELETE", _ONE, delete_hook, "admin"),
    route("GET", f"{_ONE}/deliveries", list_deliveries, "read"),
    route("GET", f"{_ONE}/messages", list_messages, "read"),
    route("POST", f"{_ONE}/redeliver", redeliver, "admin"),
]
