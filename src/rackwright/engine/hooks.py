"""Telling what happened: who is to be told, and the delivery of what waits for one of them."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Collection, Mapping

import msgspec
import structlog

from rackwright.core import signing
from rackwright.core.catalog import Catalog
from rackwright.core.errors import DriverError, NotFound
from rackwright.core.hooks import HOOKS, WORDS, Courier, Delivery, Kind, Message, Settled, Subscription, settle
from rackwright.core.jobs import Job
from rackwright.core.node_task import Moved, State
from rackwright.core.ports import Deployment, Store, Transaction
from rackwright.engine.happenings import of_deployment
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.machines import scope_named
from rackwright.engine.reconcile import Shape
from rackwright.engine.transact import transact

DELIVER = "hooks.deliver"
"""Kind of the job that delivers what waits for one subscription."""
AT_ONCE = 16
"""Messages on their way to one subscription; each is about another object."""
MARGIN = 5.0
"""Seconds beside a delivery's own time limit after which a message may be given to another process."""
TURN = 30.0
"""Seconds after which a job lets the next subscription have its place."""

log = structlog.get_logger()

Couriers = Mapping[Kind, Courier]


async def dispatch(store: Store, now: float) -> int:
    """Ask for a job for every subscription that something waits for and none is asked for yet. Gives how many."""

    async def work(tx: Transaction) -> int:
        asked = [await tx.defer(_job(id)) for id in await tx.due(now)]
        return sum(id is not None for id in asked)

    return await transact(store, work)


async def watch(store: Store) -> int:
    """Tell which deployments have become active, or have errors now. Gives of how many another word is true."""

    async def work(tx: Transaction) -> int:
        turned = await tx.turned()
        said = [of_deployment(word, id, name) for id, name, word in turned if f"deployment.{word}" in WORDS]
        await tx.announce([each for some in said for each in some])
        return len(turned)

    return await transact(store, work)


async def deliver(store: Store, library: CatalogLibrary, couriers: Couriers, subscription: int) -> int:
    """Deliver what waits for a subscription, for TURN seconds at most; gives how many deliveries were tried."""
    tried, end = 0, time.monotonic() + TURN
    while time.monotonic() < end:
        taken = await transact(store, lambda tx: _take(tx, library, couriers, subscription))
        if taken is None:
            break
        receiver, messages, texts = taken
        carried = (_carried(couriers[receiver.kind], receiver, message, texts) for message in messages)
        ended = await asyncio.gather(*carried)
        settled = [settle(message, end, random.random()) for message, end in zip(messages, ended, strict=True)]
        await _keep(store, settled)
        tried += len(settled)
    return tried


async def add_webhook(store: Store, key: bytes, webhook: Subscription, deployment: str | None) -> str:
    """Keep a webhook, bound to a deployment by its name or to none; gives its secret, which is shown this once: only
    who holds the installation's key can derive it again. A webhook of this name gets a new secret."""
    salt = signing.new_salt(key, secrets.token_bytes(signing.KEY_LENGTH))

    async def work(tx: Transaction) -> None:
        bound = None if deployment is None else (await scope_named(tx, "deployment", deployment)).id
        await tx.subscribe(msgspec.structs.replace(webhook, deployment=bound, salt=salt, created_at=time.time()))

    await transact(store, work)
    return signing.shown(signing.secret(key, salt))


async def subscription_named(tx: Transaction, name: str) -> Subscription:
    """A subscription by its name. Raises NotFound."""
    known = await tx.subscriptions()
    found = next((each for each in known if each.name == name), None)
    if found is None:
        there = ", ".join(each.name for each in known) or "none"
        raise NotFound(f"there is no hook {name}", mend=f"hooks: {there}")
    return found


async def register(store: Store, hooks: Mapping[str, Collection[str]]) -> None:
    """Let the installed functions be told: events by the name of their entry point. Those of other installations stay:
    another conductor may have them."""

    async def work(tx: Transaction) -> None:
        for name, events in sorted(hooks.items()):
            made = Subscription(
                name=f"python:{name}", kind="python", events=tuple(events), target=name, created_at=time.time()
            )
            await tx.subscribe(made)

    if hooks:
        await transact(store, work)


async def fit_scripts(tx: Transaction, deployment: int, name: str, catalog: Catalog, digest: str) -> None:
    """Let a deployment's scripts be told what its catalog says, and no others."""
    wanted = scripts(catalog, deployment, name, digest)
    known = [each for each in await tx.subscriptions() if each.kind == "script" and each.deployment == deployment]
    names = {each.name for each in wanted}
    old = [each.id for each in known if each.name not in names]
    if old:
        await tx.unsubscribe(old)
    same = {msgspec.structs.replace(each, id=0, created_at=0.0) for each in known}
    for each in wanted:
        if each not in same:
            await tx.subscribe(msgspec.structs.replace(each, created_at=time.time()))


def scripts(catalog: Catalog, deployment: int, name: str, digest: str) -> list[Subscription]:
    """The subscriptions that a catalog's `hooks` mean for a deployment of this name."""
    tasks = [task for graph in catalog.graphs.values() for task in graph.tasks]
    owners = [(f"role:{role.name}", role.hooks, role.name, "") for role in catalog.roles.values()]
    owners += [(f"task:{task.id}", task.hooks, "", task.id) for task in tasks]
    found = {
        f"{name}:{owner}:{key}": Subscription(
            name=f"{name}:{owner}:{key}",
            kind="script",
            events=(HOOKS[key],),
            deployment=deployment,
            tasks=(task,) if task else (),
            role=role,
            target=path,
            catalog=digest,
        )
        for owner, hooks, role, task in owners
        for key, path in hooks.items()
    }
    return list(found.values())


async def announce_plan(tx: Transaction, deployment: Deployment, catalog: Catalog, shape: Shape, changed: bool) -> None:
    """Tell what a new shape of a deployment's graph means: rows that are new, and those that moved. ``changed``: the
    catalog, the members or facts of the deployment did."""
    await fit_scripts(tx, deployment.id, deployment.name, catalog, deployment.catalog)
    await tx.announce_moves(
        Moved(row.id, row.deployment, row.graph, row.task, row.scope, row.rack, State.PROPOSED, row.state)
        for row in shape.inserted
    )
    await tx.announce_moves(shape.near.moves)
    if changed:
        await tx.announce(of_deployment("changed", deployment.id, deployment.name))


def _job(subscription: int) -> Job:
    lock = f"{DELIVER}:{subscription}"
    return Job(kind=DELIVER, arguments={"subscription": subscription}, lock=lock, queueing_lock=lock)


async def _take(
    tx: Transaction, library: CatalogLibrary, couriers: Couriers, subscription: int
) -> tuple[Subscription, list[Message], dict[str, str]] | None:
    receivers = await tx.subscriptions([subscription])
    if not receivers:
        return None
    now = time.time()
    until = now + couriers[receivers[0].kind].limit + MARGIN
    messages = await tx.take_messages(subscription, AT_ONCE, now, until)
    if not messages:
        return None
    digest = receivers[0].catalog
    texts = (await library.shelf(tx, digest)).catalog.files if digest else {}
    return receivers[0], messages, texts


async def _keep(store: Store, settled: list[Settled]) -> None:
    await transact(store, lambda tx: tx.settle_messages(settled))


async def _carried(courier: Courier, receiver: Subscription, message: Message, texts: dict[str, str]) -> Delivery:
    """How one delivery ended. A hook that hangs is ended at its time limit."""
    at, began = time.time(), time.monotonic()
    error = ""
    try:
        async with asyncio.timeout(courier.limit):
            await courier.carry(receiver, message, texts)
    except TimeoutError:
        error = f"it took longer than {courier.limit:g} s and was ended"
    except DriverError as refused:
        error = str(refused)
    except Exception as fault:
        log.exception("a hook is at fault", hook=receiver.name, event_of=message.event)
        error = f"the hook is at fault: {type(fault).__name__}: {fault}"
    took = time.monotonic() - began
    return Delivery(message=message.id, number=message.tries, at=at, took=took, error=error)
