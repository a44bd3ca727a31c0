"""What people order of a deployment beside its graph: pauses, windows, waves, limits and rehearsals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from rackwright.core import waves, windows
from rackwright.core.audit import Change
from rackwright.core.errors import Conflict, InvalidInput
from rackwright.core.limits import SITE
from rackwright.core.ports import Event, Membership, Store, Transaction
from rackwright.core.steering import Steering
from rackwright.core.waves import WaveRule
from rackwright.engine.machines import scope_named
from rackwright.engine.steering import first_wave, steer, zone
from rackwright.engine.transact import transact


async def pause(store: Store, name: str, seconds: float, now: float) -> None:
    """Let nothing new start for so many seconds; what runs ends."""
    if not 0 < seconds < 10 * 365 * 86400:
        raise InvalidInput(f"a pause of {seconds:g} seconds cannot be", mend="stop the deployment instead")
    await _change(
        store, name, now, Change(kind="deployment.paused", text=f"paused for {seconds:g} seconds", deployment=name),
        lambda found: msgspec.structs.replace(found, paused_until=now + seconds),
    )  # fmt: skip


async def unpause(store: Store, name: str, now: float) -> None:
    """End a pause before its time; without one nothing happens."""

    async def work(tx: Transaction) -> None:
        scope = await scope_named(tx, "deployment", name)
        found = await tx.steering(scope.id, lock=True)
        if found is not None:
            await steer(tx, found, msgspec.structs.replace(found, paused_until=None), now)

    await transact(store, work)


async def set_windows(store: Store, name: str, said: Sequence[str], time_zone: str, now: float) -> None:
    """Let work start in these windows only, by the clocks of a time zone; none: at any time. Raises InvalidInput."""
    for text in said:
        windows.read(text)
    zone(time_zone)
    after = {"windows": list(said), "time_zone": time_zone}
    await _change(
        store, name, now, Change(kind="deployment.windows", text="windows set", deployment=name, after=after),
        lambda found: msgspec.structs.replace(found, windows=tuple(said), time_zone=time_zone),
    )  # fmt: skip


async def set_noop(store: Store, name: str, noop: bool, now: float) -> None:
    """Only rehearse node tasks from now on, or carry them out again."""
    text = "node tasks are only rehearsed" if noop else "node tasks are carried out"
    await _change(
        store, name, now, Change(kind="deployment.noop", text=text, deployment=name, after={"noop": noop}),
        lambda found: msgspec.structs.replace(found, noop=noop),
    )  # fmt: skip


async def set_waves(store: Store, name: str, rule: WaveRule | None, now: float) -> None:
    """Let every plan from now on, and what is still to be done, go over the nodes in waves; None: over all at once.

    Raises InvalidInput for steps that cannot be read, or for a canary that is no member."""
    if rule is not None:
        waves.check(rule)

    async def work(tx: Transaction) -> None:
        scope = await scope_named(tx, "deployment", name)
        await tx.lock_deployment(scope.id)
        members = await tx.memberships(scope.id)
        _check_canary(rule, members)
        found = await tx.steering(scope.id, lock=True) or Steering(deployment=scope.id)
        new = msgspec.structs.replace(found, waves=rule, progress=None)
        await steer(tx, found, await first_wave(tx, new, members), now)
        after = None if rule is None else msgspec.to_builtins(rule)
        await tx.note([Change(kind="deployment.waves", text="waves set", deployment=name, after=after)])

    await transact(store, work)


async def promote(store: Store, name: str, now: float) -> None:
    """Let the next wave begin as soon as this one rests and is well. Raises Conflict when there is no next one."""

    def change(found: Steering) -> Steering:
        if found.progress is None or found.progress.last:
            raise Conflict(f"the deployment {name} has no wave to come", mend="see `rackwright deployment status`")
        return msgspec.structs.replace(found, progress=msgspec.structs.replace(found.progress, promoted=True))

    said = Change(kind="deployment.promoted", text="the next wave may begin", deployment=name)
    await _change(store, name, now, said, change)


async def forgive(store: Store, name: str, now: float) -> None:
    """Let a wave that is halted go on with the failures that it has. Raises Conflict when none is halted."""

    def change(found: Steering) -> Steering:
        at, rule = found.progress, found.waves
        if at is None or rule is None or not waves.halted(rule, at):
            raise Conflict(f"no wave of the deployment {name} is halted", mend="see `rackwright deployment status`")
        return msgspec.structs.replace(found, progress=msgspec.structs.replace(at, forgiven=at.failed))

    said = Change(kind="deployment.forgiven", text="the halted wave goes on", deployment=name)
    await _change(store, name, now, said, change)


async def set_limit(
    store: Store, amount: int | None, *, rack: str | None = None, deployment: str | None = None
) -> None:
    """Let at most so many node tasks of a rack, a deployment, or, if neither is named, of the site run at the same
    time; None: any number. Raises NotFound."""
    if amount is not None and amount < 0:
        raise InvalidInput("a limit is a number from 0 up", mend="0 lets nothing start; leave it out for no limit")

    async def work(tx: Transaction) -> None:
        scope = SITE
        for kind, name in (("rack", rack), ("deployment", deployment)):
            if name is not None:
                scope = (await scope_named(tx, kind, name)).id
        await tx.set_limit(scope, amount)
        where = f"rack {rack}" if rack else f"deployment {deployment}" if deployment else "the site"
        text = f"{where} may run {'any number of' if amount is None else f'at most {amount}'} node tasks"
        await tx.record([Event(kind="limit", text=text, deployment=deployment, scope=rack)])
        await tx.note([Change(kind="limit", text=text, deployment=deployment, scope=rack, after={"amount": amount})])

    await transact(store, work)


async def _change(store: Store, name: str, now: float, said: Change, change: Callable[[Steering], Steering]) -> None:
    async def work(tx: Transaction) -> None:
        scope = await scope_named(tx, "deployment", name)
        found = await tx.steering(scope.id, lock=True) or Steering(deployment=scope.id)
        await steer(tx, found, change(found), now)
        await tx.note([said])

    await transact(store, work)


def _check_canary(rule: WaveRule | None, members: Sequence[Membership]) -> None:
    known = {member.name for member in members}
    strange = [name for name in rule.canary if name not in known] if rule is not None and known else []
    if strange:
        raise InvalidInput(f"{', '.join(strange)} cannot come first: no member of the deployment")
