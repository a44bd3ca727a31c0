"""Tags by rule: whenever a fact changes that a rule reads, the node is judged anew; what it says is a fact again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rackwright.core import tag_rules
from rackwright.core.errors import InvalidInput
from rackwright.core.facts import Fact, FactWrite, nest
from rackwright.core.ports import Transaction
from rackwright.core.tag_rules import ROOTS, WRITER, TagRule
from rackwright.engine.expressions import UNDEF, Compiler, Place
from rackwright.engine.situations import by_scope

_OWN = frozenset(ROOTS)


def rule_of(compiler: Compiler, name: str, expression: str) -> TagRule:
    """A rule, with what its expression reads. Raises InvalidInput for a text that is no expression."""
    compiler.compile(expression, _OWN, where=f"the rule {name}")
    reads = tag_rules.reads_of(compiler.paths(expression))
    return TagRule(name=tag_rules.named(name), expression=expression, reads=reads)


async def follow(tx: Transaction, compiler: Compiler, changed: Sequence[Fact]) -> list[Fact]:
    """Judge the nodes anew for which a rule reads one of these changed facts; gives the facts that changed by it."""
    rules = await tx.tag_rules()
    concerned = [(rule, scopes) for rule in rules if (scopes := tag_rules.concerned(rule, changed))]
    if not concerned:
        return []
    known = await tx.scopes({id for _, ids in concerned for id in ids})
    nodes = {id for id, scope in known.items() if scope.kind == "node"}
    facts = await _facts(tx, (rule for rule, _ in concerned), nodes)
    writes = [write for rule, ids in concerned for write in judged(compiler, rule, ids & nodes, facts)[0]]
    return await tx.put_facts(writes)


async def judge(
    tx: Transaction, compiler: Compiler, rule: TagRule, nodes: Collection[int]
) -> tuple[list[Fact], list[str]]:
    """Judge these nodes by one rule; gives the facts that changed by it, and why it failed where it did."""
    writes, faults = judged(compiler, rule, nodes, await _facts(tx, [rule], nodes))
    return await tx.put_facts(writes), faults


def judged(
    compiler: Compiler, rule: TagRule, nodes: Iterable[int], facts: Mapping[int, Mapping[str, Any]]
) -> tuple[list[FactWrite], list[str]]:
    """The tag of each node as facts to be put, out of all that the rule reads. One for which the expression fails has
    no tag; why is given too."""
    compiled, writes, faults = compiler.compile(rule.expression, _OWN), list[FactWrite](), list[str]()
    for node in sorted(nodes):
        tree = nest((path, value) for path, value in facts.get(node, {}).items() if path.partition(".")[0] in _OWN)
        try:
            value = compiled.evaluate(Place({}, tree, None, None, {}))
        except InvalidInput as error:
            faults.append(str(error))
            value = None
        writes.append(FactWrite(node, rule.fact, True if value and value is not UNDEF else None, WRITER))
    return writes, faults


def is_read(changed: Sequence[Fact]) -> bool:
    """Whether any rule could read one of these facts."""
    return any(fact.path.partition(".")[0] in _OWN for fact in changed)


async def _facts(tx: Transaction, rules: Iterable[TagRule], nodes: Collection[int]) -> dict[int, dict[str, Any]]:
    return by_scope(await tx.facts(nodes, {read for rule in rules for read in rule.reads}))
