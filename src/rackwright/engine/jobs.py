"""The kinds of jobs: what each does, and what a person may ask for later. Never one job per node task."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from rackwright.core.errors import InvalidInput
from rackwright.core.facts import PEOPLE, WORLD, FactWrite, check_writer
from rackwright.core.jobs import MOST_ATTEMPTS, STALLED_AFTER, Job
from rackwright.core.ports import Store
from rackwright.engine import deployments, hooks, intake
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.machines import scope_named
from rackwright.engine.transact import transact

UPKEEP = "upkeep"
EVERY = {UPKEEP: "*/10 * * * *"}
"""Periodic jobs: crontab(5) lines by kind, in UTC."""
KEPT = 7 * 86400.0
"""Seconds for which delivered messages and jobs that have ended are kept."""
FORGET = 4096
"""Messages per transaction."""

Kinds = Mapping[str, Callable[..., Awaitable[object]]]
"""What to call for a job of each kind, with its arguments by name."""
Asked = TypeVar("Asked", bound="FactsPut | Steering")


class FactsPut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`facts.put`: facts of a node, by path; null deletes. ``desired.*`` and ``observed.*`` only."""

    node: str
    facts: dict[str, Any]

    @property
    def lock(self) -> str:
        """One writer per node."""
        return f"node:{self.node}"


class Steering(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A verb on a deployment: `deployment.retry` (a delayed reboot is one of the reboot's task) and
    `deployment.commit` take tasks and nodes, `deployment.stop` and `deployment.resume` none."""

    deployment: str
    tasks: list[str] | None = None
    nodes: list[str] | None = None

    @property
    def lock(self) -> str:
        """One writer per deployment."""
        return f"deployment:{self.deployment}"


ON_DEMAND: dict[str, type[FactsPut | Steering]] = {
    "facts.put": FactsPut,
    "deployment.retry": Steering,
    "deployment.commit": Steering,
    "deployment.stop": Steering,
    "deployment.resume": Steering,
}
"""The kinds that a person may ask for, with their arguments."""


async def ask(
    store: Store, kind: str, arguments: dict[str, Any], *, not_before: float | None, once: bool
) -> int | None:
    """Ask for a job; gives its id. With ``once`` an equal job that waits already is the one: None then.

    Raises InvalidInput for a kind that is not known, or arguments that it does not take.
    """
    shape = ON_DEMAND.get(kind)
    if shape is None:
        raise InvalidInput(f"there is no kind of job {kind}", where="/kind", mend=f"kinds: {', '.join(ON_DEMAND)}")
    asked = _read(shape, arguments, kind)
    same = hashlib.sha256(msgspec.json.encode([kind, arguments], order="deterministic")).hexdigest()[:32]
    job = Job(
        kind=kind,
        arguments=arguments,
        lock=asked.lock,
        queueing_lock=f"{kind}:{same}" if once else None,
        not_before=not_before,
    )
    return await transact(store, lambda tx: tx.defer(job))


def kinds(store: Store, library: CatalogLibrary, couriers: hooks.Couriers) -> Kinds:
    """What every kind of job does, on these."""

    async def deliver(subscription: int) -> None:
        await hooks.deliver(store, library, couriers, subscription)

    async def put_facts(**arguments: Any) -> None:
        await _put_facts(store, library, _read(FactsPut, arguments, "facts.put"))

    def steered(kind: str) -> Callable[..., Awaitable[object]]:
        async def steer(**arguments: Any) -> None:
            await _steer(store, kind.rpartition(".")[2], _read(Steering, arguments, kind))

        return steer

    async def tidy(timestamp: int) -> None:
        await upkeep(store, float(timestamp))

    verbs = {kind: steered(kind) for kind, shape in ON_DEMAND.items() if shape is Steering}
    return {hooks.DELIVER: deliver, "facts.put": put_facts, UPKEEP: tidy, **verbs}


async def upkeep(store: Store, now: float) -> int:
    """Drop what nobody looks at any more: delivered messages, jobs that have ended. Gives how many."""
    dropped = await transact(store, lambda tx: tx.forget_jobs(now - KEPT))
    while some := await transact(store, lambda tx: tx.forget_messages(now - KEPT, FORGET)):
        dropped += some
    return dropped


async def recover(store: Store) -> int:
    """Put jobs whose worker is gone back in the queue, or let them fail after MOST_ATTEMPTS. Gives how many."""
    again, given_up = await transact(store, lambda tx: tx.recover_jobs(STALLED_AFTER, MOST_ATTEMPTS))
    return again + given_up


async def _put_facts(store: Store, library: CatalogLibrary, asked: FactsPut) -> None:
    node = await transact(store, lambda tx: scope_named(tx, "node", asked.node))
    writes = [FactWrite(node.id, path, value, _writer(path)) for path, value in asked.facts.items()]
    await intake.put_facts(store, library, writes)


async def _steer(store: Store, verb: str, asked: Steering) -> None:
    if verb == "retry":
        await deployments.retry(store, asked.deployment, tasks=asked.tasks, nodes=asked.nodes)
    elif verb == "commit":
        await deployments.commit(store, asked.deployment, tasks=asked.tasks, nodes=asked.nodes)
    elif verb == "stop":
        await deployments.stop(store, asked.deployment)
    else:
        await deployments.resume(store, asked.deployment)


def _read(shape: type[Asked], arguments: dict[str, Any], kind: str) -> Asked:
    try:
        asked = msgspec.convert(arguments, shape)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"the arguments do not fit {kind}: {error}", where="/arguments", mend="see the docs"
        ) from None
    if isinstance(asked, FactsPut):
        for path in asked.facts:
            check_writer(path, _writer(path))
    return asked


def _writer(path: str) -> str:
    return WORLD if path.startswith("observed.") else PEOPLE
