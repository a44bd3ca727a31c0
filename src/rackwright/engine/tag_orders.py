"""What people say about tag rules: made, taken away; all nodes follow, some at a time."""

from __future__ import annotations

import asyncio
import functools

import msgspec

from rackwright.core.audit import Change
from rackwright.core.errors import NotFound
from rackwright.core.facts import Fact, FactWrite
from rackwright.core.node_task import Neighbourhood
from rackwright.core.ports import Store, Transaction
from rackwright.core.tag_rules import WRITER, TagRule
from rackwright.core.traits import RULES
from rackwright.engine import tagging
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.ripple import ripple
from rackwright.engine.transact import transact

AT_ONCE = 2000
"""Nodes that are judged in one transaction."""
PAUSE = 0.05
"""Seconds between two looks whether transactions that are under way have ended."""


class Outcome(msgspec.Struct, kw_only=True):
    """What a rule says of all nodes; ``failed`` counts those for which it fails, and ``fault`` is the first reason."""

    name: str
    nodes: int = 0
    changed: int = 0
    failed: int = 0
    fault: str = ""


async def put(store: Store, library: CatalogLibrary, name: str, expression: str) -> Outcome:
    """Make a rule, or change it, and judge every node by it. Raises InvalidInput for what is no expression."""
    rule = tagging.rule_of(library.compiler, name, expression)

    async def keep(tx: Transaction) -> None:
        await tx.put_tag_rule(rule)
        await tx.note([Change(kind="tag_rule.put", text=f"the tag {name} is given by a rule", after=expression)])

    await transact(store, keep)
    while not await transact(store, lambda tx: tx.tag_rule_settled(name)):
        await asyncio.sleep(PAUSE)
    return await _over_all(store, library, name, rule)


async def delete(store: Store, library: CatalogLibrary, name: str) -> Outcome:
    """Take a rule away, and its tag from every node. Raises NotFound."""

    async def drop(tx: Transaction) -> None:
        if not await tx.drop_tag_rule(name):
            raise NotFound(f"no rule gives the tag {name}", mend="`rackwright tag rule get` lists the rules")
        await tx.note([Change(kind="tag_rule.deleted", text=f"the tag {name} is given by no rule any more")])

    await transact(store, drop)
    return await _over_all(store, library, name, None)


async def _over_all(store: Store, library: CatalogLibrary, name: str, rule: TagRule | None) -> Outcome:
    done, after = Outcome(name=name), 0
    while nodes := await transact(store, functools.partial(_next, after)):
        changed, faults = await transact(store, functools.partial(_some, library, name, rule, nodes))
        done.nodes += len(nodes)
        done.changed += changed
        done.failed += len(faults)
        done.fault = done.fault or next(iter(faults), "")
        after = nodes[-1]
    return done


async def _next(after: int, tx: Transaction) -> list[int]:
    return await tx.nodes_after(after, AT_ONCE)


async def _some(
    library: CatalogLibrary, name: str, rule: TagRule | None, nodes: list[int], tx: Transaction
) -> tuple[int, list[str]]:
    """Judge some nodes; without a rule they lose the tag. What reads it runs again."""
    faults: list[str] = []
    if rule is None:
        changed: list[Fact] = await tx.put_facts([FactWrite(id, f"{RULES}.{name}", None, WRITER) for id in nodes])
    else:
        changed, faults = await tagging.judge(tx, library.compiler, rule, nodes)
    near = Neighbourhood()
    await tx.record(await ripple(tx, library, near, changed))
    await tx.save(near)
    return len(changed), faults
