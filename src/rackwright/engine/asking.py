"""An expression of a person, evaluated where a node stands: over the deployment's data, and what a task recorded."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.node_task import NodeTask
from rackwright.core.ports import Scope, Store, Transaction
from rackwright.engine import evaluation
from rackwright.engine.evaluation import NOTHING
from rackwright.engine.explaining import node_task, scope_called
from rackwright.engine.expressions import Compiler, Evaluator, Place
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.machines import scope_named
from rackwright.engine.sight import look
from rackwright.engine.situations import Situation, situations
from rackwright.engine.transact import transact


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The value of an expression, and where it was evaluated."""

    expression: str
    deployment: str
    node: str
    task: str | None
    value: Any


async def ask(
    store: Store, library: CatalogLibrary, expression: str, node: str, *, deployment: str | None, task: str | None
) -> Answer:
    """Evaluate an expression at a node. ``$`` is what a task there would see if the expression were its own; old data
    is what ``task`` read when it last ended well there, without a task there is none.

    Raises NotFound for what is not known, InvalidInput for an expression that fails, or where a deployment has to be
    named.
    """
    evaluator = Evaluator()
    fault = evaluator.check(expression)
    if fault is not None:
        raise InvalidInput(fault, where="expression", mend="correct the expression")

    async def work(tx: Transaction) -> tuple[Situation, dict[str, Any]]:
        row, basis = await _place(tx, library, node, deployment, task)
        seen = look(msgspec.structs.replace(basis, condition={"yaql_exp": expression}), library.paths)
        at = (await situations(tx, library, [row], {row.id: seen}))[row.id]
        past = (await evaluation.pasts(tx, {row.id: at}, everything=True)).get(row.id, NOTHING)
        return at, past.data

    at, old = await transact(store, work)
    where = f"{task} on {at.scope.name}" if task else at.scope.name
    # A long one must not keep others waiting: it has an evaluator and a thread of its own.
    place, template = Place({}, at.data, {}, old, {}), {"yaql_exp": expression}
    value = await asyncio.to_thread(evaluation.filled, Compiler(evaluator), template, place, where=where)
    return Answer(expression=expression, deployment=at.deployment.name, node=at.scope.name, task=task, value=value)


async def _place(
    tx: Transaction, library: CatalogLibrary, node: str, deployment: str | None, task: str | None
) -> tuple[NodeTask, Task]:
    """The row at which to evaluate, and the task whose declared reads are seen: without a task nobody's."""
    if task is not None:
        row = await node_task(tx, node, task, deployment)
        shelf = await library.shelf(tx, (await tx.deployments([row.deployment]))[row.deployment].catalog)
        return row, shelf.task(row.graph, row.task)
    scope = await scope_called(tx, node)
    id = await _deployment(tx, scope, deployment)
    rack = scope.id if scope.kind == "rack" else scope.rack
    row = NodeTask(id=0, deployment=id, task="", scope=scope.id, rack=rack)
    return row, Task(id="", type="noop", scope=scope.kind)


async def _deployment(tx: Transaction, scope: Scope, name: str | None) -> int:
    if name is not None:
        return (await scope_named(tx, "deployment", name)).id
    found = (await tx.deployments_of([scope.id])).get(scope.id, [])
    if scope.kind == "deployment":
        return scope.id
    if len(found) == 1:
        return found[0]
    names = sorted(one.name for id, one in (await tx.deployments(found)).items() if id in found)
    raise InvalidInput(
        f"{scope.name} is part of {len(names) or 'no'} deployments",
        mend="name a deployment" + (f": {', '.join(names)}" if names else ""),
    )
