"""Steering deployments: whether they are held now, and which wave they are at."""

from __future__ import annotations

import datetime
import functools
import zoneinfo
from collections.abc import Sequence

import msgspec

from rackwright.core import waves
from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.expansion import Expansion
from rackwright.core.limits import at_once
from rackwright.core.ports import Event, Membership, PlanRecord, Store, Transaction
from rackwright.core.steering import Steering, judge
from rackwright.core.tolerance import tolerances
from rackwright.engine.transact import transact


async def keep(store: Store, now: float) -> int:
    """Look at every deployment that something steers: hold it or let it go on, and open its next wave. Gives how many
    of them changed. With none there is one query and nothing else."""
    async with store.transaction() as tx:
        deployments = await tx.steered()

    async def one(deployment: int, tx: Transaction) -> bool:
        found = await tx.steering(deployment, lock=True)
        return found is not None and await steer(tx, found, found, now)

    changed = 0
    for deployment in deployments:
        changed += await transact(store, functools.partial(one, deployment))
    return changed


async def limit_tasks(tx: Transaction, deployment: int, tasks: Sequence[Task], expansion: Expansion) -> None:
    """Let no task of a plan run on more nodes at the same time than its strategy says. Raises InvalidInput for a
    strategy that cannot be read."""
    amounts = {}
    for task in tasks:
        placement = expansion.placements.get(task.id)
        amounts[task.id] = None if placement is None else at_once(task, len(placement.nodes))
    await tx.set_task_limits(deployment, amounts)


async def begin(
    tx: Transaction,
    deployment: int,
    graph: str,
    expansion: Expansion,
    members: Sequence[Membership],
    now: float,
    sequence: tuple[str, ...] = (),
) -> None:
    """A plan was carried out: its groups say what is tolerated, its waves begin with the first, and the graphs of its
    ``sequence`` follow one another, in place of those of a plan before."""
    found = await tx.steering(deployment, lock=True)
    groups = tuple(tolerances(expansion.groups, {member.name: member.scope for member in members}))
    if found is None and not groups and not sequence:
        return
    found = found or Steering(deployment=deployment)
    others = {name: those for name, those in found.tolerances.items() if name != graph}
    new = msgspec.structs.replace(found, tolerances=others | ({graph: groups} if groups else {}), sequence=sequence)
    await steer(tx, found, await first_wave(tx, new, members), now)


def zone(name: str) -> datetime.tzinfo:
    """A time zone by its name. Raises InvalidInput."""
    if name == "UTC":
        return datetime.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise InvalidInput(f"{name!r} is no time zone that is known here", mend="write it like Europe/Berlin") from None


async def first_wave(tx: Transaction, steering: Steering, members: Sequence[Membership]) -> Steering:
    """The roll-out at its beginning, with every member in its wave."""
    if steering.waves is None:
        return steering
    ids = {member.name: member.scope for member in members}
    made = waves.assign(steering.waves, list(ids))
    await tx.assign_waves(
        steering.deployment, [(ids[name], number) for number, names in enumerate(made, start=1) for name in names]
    )
    return msgspec.structs.replace(steering, progress=waves.begin(made))


async def steer(tx: Transaction, was: Steering, steering: Steering, now: float) -> bool:
    """Carry a deployment to where it is ``now`` and keep that, if it differs from what it ``was``."""
    rule, at = steering.waves, steering.progress
    if rule is not None and at is not None and not (at.last and at.rested_at is not None):
        seen = await tx.wave_seen(steering.deployment, at.wave)
        steering = msgspec.structs.replace(steering, progress=waves.advance(rule, at, seen, now))
    if len(steering.sequence) > 1 and not await tx.unfinished_graph(steering.deployment, steering.sequence[0]):
        await _next_graph(tx, steering, now)
        steering = msgspec.structs.replace(steering, sequence=())
    failed = await tx.failed_scopes(steering.deployment) if steering.tolerances else set()
    steering = judge(steering, failed, now, zone)
    if steering == was:
        return False
    await tx.set_steering(steering)
    await tx.record(await _events(tx, was, steering))
    return True


async def _next_graph(tx: Transaction, steering: Steering, now: float) -> None:
    """Ask for the plan of the next graph; it carries those after it along."""
    _, graph, *then = steering.sequence
    changes = {"graph": graph, "then": then}
    plan = PlanRecord(
        id=0, deployment=steering.deployment, changes=changes, apply=True, created_by="sequence", created_at=now
    )
    await tx.add_plan(plan)


async def _events(tx: Transaction, was: Steering, steering: Steering) -> list[Event]:
    name = (await tx.deployments([steering.deployment]))[steering.deployment].name
    events = []
    if steering.held != was.held:
        kind = "deployment.held" if steering.held else "deployment.released"
        events.append(Event(kind=kind, text=steering.held or "it goes on", deployment=name))
    if steering.waves is not None and steering.progress is not None and steering.open_wave != was.open_wave:
        text = waves.told(steering.waves, steering.progress)
        events.append(Event(kind="deployment.wave", text=text, deployment=name))
    return events
