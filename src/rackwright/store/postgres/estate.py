"""What people read of networks, pools, zones and tags, out of PostgreSQL."""

from __future__ import annotations

from itertools import groupby

from rackwright.core.estate import GroupKind, GroupView, NetworkView, TagRuleView
from rackwright.core.networks import called, readable
from rackwright.store.networks import Standing, view
from rackwright.store.postgres.history import PostgresHistory


class PostgresEstate(PostgresHistory):
    """The port's Estate."""

    async def networks(self, *, names: list[str] | None = None) -> list[NetworkView]:
        """See the port."""
        rows = await self._rows("view_networks", names)
        found = [
            Standing(rack, network, held, given) for said, rack, held, given in rows for network in readable([said])
        ]
        return [view(name, list(group)) for name, group in groupby(found, key=lambda one: called(one.network))]

    async def groups(self, kind: GroupKind) -> list[GroupView]:
        """See the port."""
        found = await self._rows("view_groups", kind)
        return [GroupView(name=name, nodes=nodes, ready=ready) for name, nodes, ready in found]

    async def tag_rules(self) -> list[TagRuleView]:
        """See the port."""
        return [
            TagRuleView(name=name, expression=expression, reads=list(reads), nodes=nodes)
            for name, expression, reads, nodes in await self._rows("view_tag_rules")
        ]
