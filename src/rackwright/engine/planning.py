"""Plans: asked for by people, computed by a conductor in one transaction, kept or undone."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import structlog

from rackwright.core.audit import Asked, Change
from rackwright.core.errors import Conflict, InvalidInput, RackwrightError, StoreUnavailable, TryAgain
from rackwright.core.machines import METAL
from rackwright.core.ports import Event, PlanRecord, Store, Transaction
from rackwright.engine.changes import Changes
from rackwright.engine.documents import keep_in_step
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.machines import scope_named
from rackwright.engine.rollout import roll_out
from rackwright.engine.serialization.policy import BY_SIZE, PolicySettings
from rackwright.engine.summary import count
from rackwright.engine.transact import transact

log = structlog.get_logger()


async def request_plan(store: Store, deployment: str, changes: dict[str, Any], *, apply: bool, by: str) -> int:
    """Ask for a plan of these changes; gives its id. Nothing happens before a conductor has computed it; with
    ``apply`` it is then carried out at once.

    Raises NotFound for an unknown deployment, InvalidInput for changes of a wrong form.
    """
    try:
        msgspec.convert(changes, Changes)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"these changes cannot be read: {error}", mend="see the reference of plans") from None

    if deployment == METAL:
        raise Conflict(
            f"the deployment {METAL} is not planned: verbs begin what is done in it",
            mend="see `rackwright node --help`; to change its tasks, add a catalog of its catalog's name",
        )

    async def work(tx: Transaction) -> int:
        scope = await scope_named(tx, "deployment", deployment)
        plan = PlanRecord(
            id=0, deployment=scope.id, changes=changes, apply=apply, created_by=by, created_at=time.time()
        )
        id = await tx.add_plan(plan)
        asked = {"plan": id, "apply": apply, "changes": changes}
        await tx.note([Change(kind="plan.requested", text=f"plan {id}", deployment=deployment, after=asked)])
        return id

    return await transact(store, work)


async def apply_plan(store: Store, plan: int) -> None:
    """Let a computed plan be carried out; a conductor refuses it if anything has moved since. Raises Conflict unless
    the plan is ready."""

    async def work(tx: Transaction) -> None:
        found = await tx.plan(plan, lock=True)
        if found.state != "ready":
            raise Conflict(f"plan {plan} is {found.state}: only a ready plan can be applied", mend="make a new plan")
        await tx.set_plan(msgspec.structs.replace(found, apply=True, state="requested"))
        name = await _name(tx, found)
        await tx.note([Change(kind="plan.approved", text=f"plan {plan} is to be applied", deployment=name)])

    await transact(store, work)


async def compute_next(store: Store, library: CatalogLibrary, settings: PolicySettings = BY_SIZE) -> bool:
    """Compute the oldest plan that waits for it; False when there is none. ``settings`` say who evaluates its graph.

    A plan that is only looked at is computed to the end and undone, so that it says exactly what would happen.
    """
    plan: PlanRecord | None = None
    try:
        async with store.transaction() as tx:
            plan = await tx.next_plan()
            if plan is None:
                return False
            ended = await _compute(tx, library, plan, settings)
            if plan.apply:
                await _keep_applied(tx, ended)
                await keep_in_step(tx)
            else:
                await tx.rollback()
    except (TryAgain, StoreUnavailable):
        raise
    except Exception as error:
        if plan is None:
            raise
        if not isinstance(error, RackwrightError):
            log.exception("a plan could not be computed", plan=plan.id)
        ended = _failed(plan, error)
    if not plan.apply or ended.state == "failed":
        await transact(store, lambda tx: _keep(tx, ended))
    return True


async def carry_out(
    tx: Transaction, library: CatalogLibrary, deployment: int, changes: dict[str, Any], by: str
) -> None:
    """Plan and apply changes within a transaction that is open already and has asked for ``lock_places``. They stay in
    the history as a plan of their own. Raises as ``roll_out`` does."""
    wanted = PlanRecord(id=0, deployment=deployment, changes=changes, apply=True, created_by=by, created_at=time.time())
    plan = msgspec.structs.replace(wanted, id=await tx.add_plan(wanted))
    await _keep_applied(tx, await _compute(tx, library, plan, BY_SIZE))


async def _keep_applied(tx: Transaction, ended: PlanRecord) -> None:
    await tx.set_plan(ended)
    told = _applied(ended, await _name(tx, ended))
    await tx.record([told])
    await tx.note([_changed(ended, told)], Asked(ended.created_by))


async def _compute(tx: Transaction, library: CatalogLibrary, plan: PlanRecord, settings: PolicySettings) -> PlanRecord:
    await tx.lock_places()
    await tx.lock_deployment(plan.deployment)
    fence = await tx.fence(plan.deployment)
    if plan.fence not in (-1, fence):
        raise Conflict(
            f"something has moved since plan {plan.id} was computed: it would not do what it said", mend="plan again"
        )
    summary = await roll_out(tx, library, plan.deployment, msgspec.convert(plan.changes, Changes), settings)
    state = "applied" if plan.apply else "ready"
    return msgspec.structs.replace(plan, state=state, summary=summary, fence=fence, finished_at=time.time())


async def _keep(tx: Transaction, ended: PlanRecord) -> None:
    found = await tx.plan(ended.id, lock=True)
    if found.state == "requested":
        await tx.set_plan(ended)
        if ended.state == "failed":
            text = f"plan {ended.id}: {ended.error}"
            name = await _name(tx, ended)
            await tx.record([Event(kind="plan.failed", text=text, deployment=name, data={"plan": ended.id})])
            await tx.note([Change(kind="plan.failed", text=text, deployment=name)], Asked(ended.created_by))


def _failed(plan: PlanRecord, error: Exception) -> PlanRecord:
    """The plan with its error; a fault of the product itself ends the plan too, so that it is not tried for ever."""
    faults = error.faults if isinstance(error, InvalidInput) else ()
    what = str(error) if isinstance(error, RackwrightError) else f"a fault of Rackwright itself: {error!r}"
    text = "\n".join([what, *(f"- {fault}" for fault in faults)])
    return msgspec.structs.replace(plan, state="failed", error=text, finished_at=time.time())


async def _name(tx: Transaction, plan: PlanRecord) -> str:
    return (await tx.deployments([plan.deployment]))[plan.deployment].name


def _changed(plan: PlanRecord, told: Event) -> Change:
    """What an applied plan changed of what is desired: facts from old to new, and the members."""
    facts = plan.summary["facts"]
    return Change(
        kind="plan.applied",
        text=told.text,
        deployment=told.deployment,
        before={f"{fact['scope']}: {fact['path']}": fact["old"] for fact in facts},
        after={
            "plan": plan.id,
            "members": plan.summary["members"],
            "facts": {f"{fact['scope']}: {fact['path']}": fact["new"] for fact in facts},
        },
    )


def _applied(plan: PlanRecord, deployment: str) -> Event:
    counts = {key: count(plan.summary, key) for key in ("run", "again", "follow", "commit", "remove")}
    text = ", ".join(f"{count} {key}" for key, count in counts.items())
    data = {"plan": plan.id, "by": plan.created_by, **counts}
    return Event(kind="plan.applied", text=f"plan {plan.id}: {text}", deployment=deployment, data=data)
