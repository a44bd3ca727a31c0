"""Choosing machines, finding nodes, and the rules that tag them, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rackwright.core.facts import Fact
from rackwright.core.lifecycle import word
from rackwright.core.machines import METAL
from rackwright.core.ports import Scope
from rackwright.core.tag_rules import TagRule
from rackwright.core.traits import has_tag
from rackwright.core.whom import Whom
from rackwright.core.wishes import READY, Criteria, Judgement
from rackwright.store.memory.tables import Tables
from rackwright.store.memory.work import Work
from rackwright.store.traits import following


class Ready(NamedTuple):
    """A machine that can be given to somebody."""

    node: Scope
    zone: str
    traits: dict[str, Any]

    def size(self) -> tuple[float, float, str]:
        """The least come first; of what is not known it has very much."""
        return self.traits.get("cpu", 1e300), self.traits.get("memory", 1e300), self.node.name


class ChoosingWork(Work):
    """The part of a transaction by which machines are chosen."""

    def weigh(self, changed: Sequence[Fact]) -> None:
        """Keep traits in step with facts that have changed."""
        for scope, said in following(changed).items():
            after = {**self.tables.traits.get(scope, {}), **said}
            self.tables.traits[scope] = {name: value for name, value in after.items() if value is not None}

    async def pick(self, wanted: Criteria, count: int) -> list[int]:
        """See the port."""
        fit = [each for each in self._ready() if all(wanted.judge(each.node.rack, each.zone, each.traits))]
        places: Counter[object] = Counter()
        turns: list[tuple[int, Ready]] = []
        for each in sorted(fit, key=Ready.size):
            place = {"": each.node.id, "rack": each.node.rack, "zone": each.zone}[wanted.spread]
            places[place] += 1
            turns.append((places[place], each))
        turns.sort(key=lambda pair: (pair[0], pair[1].size()))
        return [each.node.id for _, each in turns[:count]]

    async def judged(self, wanted: Criteria) -> dict[Judgement, int]:
        """See the port."""
        return dict(Counter(wanted.judge(each.node.rack, each.zone, each.traits) for each in self._ready()))

    async def whom(self, wanted: Whom) -> list[str]:
        """See the port."""
        tables = self.tables
        return sorted(
            node.name for node in tables.scopes.values() if node.kind == "node" and _is_meant(tables, node, wanted)
        )

    async def tag_rules(self) -> list[TagRule]:
        """See the port."""
        return [self.tables.tag_rules[name] for name in sorted(self.tables.tag_rules)]

    async def put_tag_rule(self, rule: TagRule) -> None:
        """See the port."""
        self.tables.tag_rules[rule.name] = rule

    async def drop_tag_rule(self, name: str) -> bool:
        """See the port."""
        return self.tables.tag_rules.pop(name, None) is not None

    async def tag_rule_settled(self, name: str) -> bool:
        """See the port."""
        return True

    async def nodes_after(self, id: int, limit: int) -> list[int]:
        """See the port."""
        nodes = (scope.id for scope in self.tables.scopes.values() if scope.kind == "node" and scope.id > id)
        return sorted(nodes)[:limit]

    def _ready(self) -> Iterator[Ready]:
        tables = self.tables
        held = {
            id for deployment, members in tables.members.items() if tables.name(deployment) != METAL for id in members
        }
        for id, machine in tables.machines.items():
            if word(machine) == READY and not machine.installed and id not in held:
                node = tables.scopes[id]
                yield Ready(node, zone_of(tables, node), tables.traits.get(id, {}))


def zone_of(tables: Tables, node: Scope) -> str:
    """The zone of a node: its own, else its rack's; empty: it has none."""
    own, around = (tables.traits.get(id or 0, {}).get("zone", "") for id in (node.id, node.rack))
    return str(own or around)


def _is_meant(tables: Tables, node: Scope, wanted: Whom) -> bool:
    machine, about = tables.machines.get(node.id), tables.traits.get(node.id, {})
    asked = (wanted.rack, wanted.pool, wanted.zone, wanted.word)
    there = (
        tables.name(node.rack),
        about.get("pool", ""),
        zone_of(tables, node),
        None if machine is None else word(machine),
    )
    return (
        all(want in (None, found) for want, found in zip(asked, there, strict=True))
        and wanted.labels.items() <= node.labels.items()
        and all(has_tag(about, tag) for tag in wanted.tags)
    )
