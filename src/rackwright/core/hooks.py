"""Hooks: what happens that others may want to be told, who wants it, and when it is told again.

What happened is noted in the transaction in which it happens, one message for each subscription that wants it, and
nothing where nobody does. Messages are delivered after the commit: at least once, each time under the same key, those
of one object in order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.node_task import Moved, State

Kind = Literal["webhook", "python", "script"]
"""How a subscription is told: by HTTP, by a function of an installed package, by a script of its catalog."""

OBJECTS: dict[str, tuple[str, ...]] = {
    "node_task": tuple(state.word for state in sorted(State)),
    "node": ("created", "changed", "deleted"),
    "deployment": ("created", "changed", "deleted", "active", "error"),
}
"""What may happen, by what it happens to."""

WORDS = frozenset({"deployment.active", "deployment.error"})
"""What a deployment comes to as a whole: every node task active, some in error."""

EVENTS = tuple(f"{kind}.{word}" for kind, words in OBJECTS.items() for word in words)

_VERBS = {"create": "created", "change": "changed", "delete": "deleted"}

HOOKS: dict[str, str] = {
    **{f"on_{word}": f"node_task.{word}" for word in OBJECTS["node_task"]},
    **{f"on_{kind}_{verb}": f"{kind}.{word}" for kind in ("node", "deployment") for verb, word in _VERBS.items()},
    **{f"on_deployment_{word}": f"deployment.{word}" for word in ("active", "error")},
}
"""The event of each key of `hooks` in a catalog."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 3600.0
"""Seconds before the second try, doubled from try to try, and the most that it grows to."""
MOST_TRIES = 14
"""So many tries, spread over some three and a half hours; then the message is parked until a person has it retried."""

Wants = Mapping[str, frozenset[int] | None]
"""The events that anybody wants, each with the deployments that it is wanted of; None: of all."""

MessageState = Literal["waiting", "delivered", "parked"]


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to one object: a node task, a node or a deployment, by its id."""

    event: str
    """One of EVENTS."""
    id: int
    deployment: int | None = None
    """The deployment that it belongs to, or that it is."""
    scope: int | None = None
    """What a node task stands on, or the node itself."""
    rack: int | None = None
    task: str | None = None
    data: dict[str, Any] = {}
    """What else is told. The names of deployment, scope and rack are added when it is noted."""

    @property
    def object(self) -> str:
        """The object, as ``kind/id``: messages about one are delivered in order."""
        return f"{self.event.partition('.')[0]}/{self.id}"


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who wants to be told. Of a node's events one that is bound to a deployment gets those of its members."""

    id: int = 0
    name: str
    kind: Kind
    events: tuple[str, ...]
    deployment: int | None = None
    """None: of all."""
    tasks: tuple[str, ...] = ()
    """Of node tasks only those of these tasks; none: of all."""
    role: str = ""
    """Of node tasks and nodes only those on nodes with this role in the deployment; empty: of all."""
    target: str = ""
    """The URL of a webhook, the entry point of a function, the path of a script in its catalog."""
    catalog: str = ""
    """For scripts: digest of the catalog."""
    salt: bytes = b""
    """For webhooks: what its secret is derived from (see ``signing``)."""
    created_at: float = 0.0

    def wants(self, happening: Happening, roles: Collection[str] | None) -> bool:
        """Whether it wants to be told. ``roles`` are those of the node in the subscription's deployment, None when it
        is no member of it."""
        about = happening.object.partition("/")[0]
        if happening.event not in self.events or (
            self.tasks and about == "node_task" and happening.task not in self.tasks
        ):
            return False
        if self.role and about != "deployment" and self.role not in (roles or ()):
            return False
        if about == "node":
            return self.deployment is None or roles is not None
        return self.deployment in (None, happening.deployment)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that one subscription is to be told."""

    id: int
    """Its place in the order; greater is later."""
    key: str
    """The same at every delivery, and never that of another message: by it a receiver knows what it has had before."""
    subscription: int
    event: str
    object: str
    at: float
    """When it happened, seconds since the epoch."""
    data: dict[str, Any]
    state: MessageState = "waiting"
    tries: int = 0
    """Deliveries that were begun since it was last asked for."""
    not_before: float = 0.0
    """Earliest time of the next delivery; also the end of the time that one under way may take."""
    error: str = ""
    """Why the last delivery did not succeed."""

    def body(self) -> bytes:
        """What the receiver gets, as JSON: always the same bytes."""
        said = {"type": self.event, "timestamp": self.at, "sequence": self.id, "data": self.data}
        return msgspec.json.encode(said, order="deterministic")


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How one delivery ended: ``error`` is empty when it was taken. ``took`` is in seconds."""

    message: int
    number: int
    at: float
    took: float
    error: str = ""
    key: str = ""
    event: str = ""
    id: int = 0


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a message after a delivery: only if ``tries`` is still the message's own."""

    message: Message
    state: MessageState
    not_before: float
    delivery: Delivery


def of_moves(moves: Iterable[Moved], wants: Wants) -> list[Happening]:
    """What changes of state tell, as far as anybody wants it."""
    states = {state: wants[f"node_task.{state.word}"] for state in State if f"node_task.{state.word}" in wants}
    return [
        Happening(
            event=f"node_task.{move.to.word}",
            id=move.node_task,
            deployment=move.deployment,
            scope=move.scope,
            rack=move.rack,
            task=move.task,
            data={"graph": move.graph, "was": move.was.word},
        )
        for move in moves
        if move.to in states and ((within := states[move.to]) is None or move.deployment in within)
    ]


def events_of(wanted: Sequence[str]) -> tuple[str, ...]:
    """The events that a person names: each in full, or ``node_task.*`` for all of a kind. Raises InvalidInput."""
    found: dict[str, None] = {}
    for name in wanted:
        kind, _, word = name.partition(".")
        meant = [f"{kind}.{each}" for each in OBJECTS.get(kind, ())] if word == "*" else [name]
        unknown = [event for event in meant if event not in EVENTS]
        if unknown or not meant:
            raise InvalidInput(f"there is no event {name}", where="events", mend=f"events: {', '.join(EVENTS)}")
        found.update(dict.fromkeys(meant))
    if not found:
        raise InvalidInput("no event is named", where="events", mend=f"events: {', '.join(EVENTS)}")
    return tuple(found)


def settle(message: Message, delivery: Delivery, chance: float) -> Settled:
    """What becomes of a message after this delivery; ``chance`` (0 to 1) spreads the pauses of many by a fifth."""
    if not delivery.error:
        return Settled(message=message, state="delivered", not_before=0.0, delivery=delivery)
    if message.tries >= MOST_TRIES:
        return Settled(message=message, state="parked", not_before=0.0, delivery=delivery)
    pause = min(FIRST_PAUSE * 2.0 ** (message.tries - 1), LONGEST_PAUSE) * (0.9 + 0.2 * chance)
    until = delivery.at + delivery.took + pause
    return Settled(message=message, state="waiting", not_before=until, delivery=delivery)


class Courier(Protocol):
    """Hands that carry messages to subscriptions of one kind."""

    limit: float
    """Seconds that one delivery may take."""

    async def carry(self, subscription: Subscription, message: Message, catalog: dict[str, str]) -> None:
        """Deliver one message; ``catalog`` holds the texts of the deployment's catalog for scripts, else nothing.

        Raises DriverError when it was not taken. It may be cancelled at any time, and then ends what it has begun.
        """
