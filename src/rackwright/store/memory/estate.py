"""What people read of networks, pools, zones and tags, out of memory."""

from __future__ import annotations

import ipaddress
from collections import Counter
from itertools import groupby

from rackwright.core import addresses
from rackwright.core.addresses import holds_address
from rackwright.core.estate import GroupKind, GroupView, NetworkView, TagRuleView
from rackwright.core.lifecycle import word
from rackwright.core.networks import Claim, called
from rackwright.core.ports import Scope
from rackwright.core.traits import RULE, tags
from rackwright.core.wishes import READY
from rackwright.store.memory.choosing import zone_of
from rackwright.store.memory.history import MemoryHistory
from rackwright.store.memory.tables import Tables
from rackwright.store.networks import Standing, view


class MemoryEstate(MemoryHistory):
    """The port's Estate."""

    async def networks(self, *, names: list[str] | None = None) -> list[NetworkView]:
        """See the port."""
        tables = self._committed()
        found = [
            _standing(tables, claim) for claim in tables.networks if names is None or called(claim.network) in names
        ]
        found.sort(key=lambda one: (called(one.network), one.network.cidr, one.rack))
        return [view(name, list(group)) for name, group in groupby(found, key=lambda one: called(one.network))]

    async def groups(self, kind: GroupKind) -> list[GroupView]:
        """See the port."""
        tables = self._committed()
        nodes, ready = Counter[str](), Counter[str]()
        for node in tables.scopes.values():
            machine = tables.machines.get(node.id)
            for name in _names(tables, node, kind) if node.kind == "node" else ():
                nodes[name] += 1
                ready[name] += machine is not None and word(machine) == READY
        return [GroupView(name=name, nodes=nodes[name], ready=ready[name]) for name in sorted(nodes)]

    async def tag_rules(self) -> list[TagRuleView]:
        """See the port."""
        tables = self._committed()
        return [
            TagRuleView(
                name=name,
                expression=rule.expression,
                reads=list(rule.reads),
                nodes=sum(RULE + name in about for about in tables.traits.values()),
            )
            for name, rule in sorted(tables.tag_rules.items())
        ]


def _names(tables: Tables, node: Scope, kind: GroupKind) -> list[str]:
    about = tables.traits.get(node.id, {})
    if kind == "tag":
        return tags(about)
    name = zone_of(tables, node) if kind == "zone" else about.get("pool", "")
    return [name] if name else []


def _standing(tables: Tables, claim: Claim) -> Standing:
    leaves = (fact for facts in tables.facts.values() for fact in facts.values())
    taken = [str(fact.value) for fact in leaves if holds_address(fact.path)]
    within = ipaddress.ip_network(claim.network.cidr)
    own = [(address, address) for address in taken]
    given = len(addresses.spans(*claim.network.static, own)) if claim.network.static else 0
    held = sum(ipaddress.ip_address(address) in within for address in taken)
    return Standing(tables.name(claim.rack) or "", claim.network, held, given)
