"""What hooks, jobs and secrets ask of a transaction of the store: part of the port (see ``ports``)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from rackwright.core.hooks import Delivery, Happening, Message, Settled, Subscription
from rackwright.core.jobs import Job, JobRecord, JobState
from rackwright.core.node_task import Moved


class HookErrands(Protocol):
    """Subscriptions, and the messages that wait for them."""

    async def announce(self, happenings: Sequence[Happening]) -> None:
        """Note these, in order, for every subscription that wants them; wake the conductors when the transaction
        commits. A subscription counts at the latest a second after it was made. ``save`` does so for moves."""

    async def announce_moves(self, moves: Iterable[Moved]) -> None:
        """The same for changes of state; they are not looked at where nobody wants any."""

    async def turned(self) -> list[tuple[int, str, str]]:
        """Deployments (id, name) of which another word is true than when this was last asked: ``active`` when every
        node task is, ``error`` when some are, else ``open``. Nothing where nobody wants to be told, or somebody else
        is asking."""

    async def subscriptions(self, ids: Collection[int] | None = None) -> list[Subscription]:
        """Subscriptions by name; None: all."""

    async def subscribe(self, subscription: Subscription) -> int:
        """Keep a subscription (``id`` ignored) and give its id. One of the same name and kind changes into it and keeps
        its id; one of another kind raises Conflict."""

    async def unsubscribe(self, ids: Collection[int]) -> None:
        """Forget subscriptions and all their messages."""

    async def due(self, now: float) -> list[int]:
        """Ids of the subscriptions for which a message can be delivered now."""

    async def take_messages(self, subscription: int, limit: int, now: float, until: float) -> list[Message]:
        """Take at most ``limit`` messages that can be delivered now, of every object only the first that waits; until
        ``until`` nobody else is given them. Counts a try for each."""

    async def settle_messages(self, settled: Sequence[Settled]) -> None:
        """Write what became of deliveries; one whose message has been taken again since is logged only."""

    async def messages(
        self, subscription: int, *, state: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[Message]:
        """Messages of a subscription by id."""

    async def deliveries(self, subscription: int, *, limit: int = 100) -> list[Delivery]:
        """The newest deliveries of a subscription, newest first."""

    async def backlog(self) -> dict[int, dict[str, int]]:
        """How many messages wait and are parked, by subscription and state."""

    async def redeliver(self, subscription: int, keys: Collection[str] | None) -> int:
        """Let these messages be delivered again whatever they are, or, for None, all that are parked. Gives how
        many."""

    async def forget_messages(self, before: float, limit: int) -> int:
        """Drop at most ``limit`` messages that were delivered and happened before then, with the log of their
        deliveries. Gives how many."""


class JobErrands(Protocol):
    """Jobs."""

    async def defer(self, job: Job) -> int | None:
        """Ask for a job in this transaction; gives its id, None when its queueing lock is taken already."""

    async def jobs(self, *, state: JobState | None = None, after: int = 0, limit: int = 1000) -> list[JobRecord]:
        """Jobs by id."""

    async def retry_job(self, id: int, not_before: float | None = None) -> None:
        """Let a job that failed run again. Raises NotFound; Conflict when it did not fail."""

    async def cancel_job(self, id: int) -> None:
        """Let a job that waits never run. Raises NotFound; Conflict when it does not wait."""

    async def recover_jobs(self, silent: float, most: int) -> tuple[int, int]:
        """Put jobs whose worker has given no sign of life for ``silent`` seconds back in the queue, or, after ``most``
        attempts, let them fail. Gives how many of each. One whose queueing lock another one has by now is dropped."""

    async def forget_jobs(self, before: float) -> int:
        """Drop jobs that ended before then; gives how many."""


class SealedErrands(Protocol):
    """Secrets of scopes, sealed: the store cannot read them."""

    async def put_sealed(self, name: str, secrets: Mapping[int, bytes]) -> None:
        """Keep the secret of this name of each scope, in place of the one that it had."""

    async def drop_sealed(self, name: str, scopes: Collection[int]) -> None:
        """Forget the secret of this name of these scopes."""

    async def sealed(self, name: str, scopes: Collection[int]) -> dict[int, bytes]:
        """The secrets of this name, by scope; scopes that have none are left out."""
