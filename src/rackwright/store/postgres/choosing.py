"""Choosing machines, finding nodes, and the rules that tag them, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rackwright.core.facts import Fact
from rackwright.core.tag_rules import TagRule
from rackwright.core.whom import Whom
from rackwright.core.wishes import Criteria, Judgement
from rackwright.store.postgres.queries import limited
from rackwright.store.postgres.session import Json, columns
from rackwright.store.postgres.work import Work
from rackwright.store.traits import following


class ChoosingWork(Work):
    """The part of a transaction by which machines are chosen."""

    async def weigh(self, changed: Sequence[Fact]) -> None:
        """Keep traits in step with facts that have changed."""
        found = following(changed)
        if found:
            await self.run("put_traits", *columns([(scope, Json(found[scope])) for scope in sorted(found)], 2))

    async def pick(self, wanted: Criteria, count: int) -> list[int]:
        """See the port."""
        statement, _ = limited("pick", count)
        return [row[0] for row in await self.text_rows(statement, *_asked(wanted), wanted.spread)][:count]

    async def judged(self, wanted: Criteria) -> dict[Judgement, int]:
        """See the port."""
        return {tuple(judgement): count for judgement, count in await self.rows("judged", *_asked(wanted))}

    async def whom(self, wanted: Whom) -> list[str]:
        """See the port."""
        labels: Mapping[str, Any] = wanted.labels
        asked = (labels, wanted.rack, wanted.pool, wanted.zone, wanted.tags, wanted.word)
        return [name for (name,) in await self.rows("whom", *asked)]

    async def tag_rules(self) -> list[TagRule]:
        """See the port."""
        found = await self.rows("tag_rules")
        return [TagRule(name=name, expression=expression, reads=tuple(reads)) for name, expression, reads in found]

    async def put_tag_rule(self, rule: TagRule) -> None:
        """See the port."""
        await self.run("put_tag_rule", rule.name, rule.expression, list(rule.reads))

    async def drop_tag_rule(self, name: str) -> bool:
        """See the port."""
        return bool(await self.value("drop_tag_rule", name))

    async def tag_rule_settled(self, name: str) -> bool:
        """See the port."""
        return bool(await self.value("tag_rule_settled", name))

    async def nodes_after(self, id: int, limit: int) -> list[int]:
        """See the port."""
        return [row[0] for row in await self.rows("nodes_after", id, limit)]


def _asked(wanted: Criteria) -> tuple[Any, ...]:
    """The values of ``judged``."""
    names = (None if given is None else list(given) for given in (wanted.pools, wanted.zones, wanted.racks))
    return (
        list(wanted.lowest),
        list(wanted.highest),
        *names,
        list(wanted.tags),
        list(wanted.without),
        list(wanted.apart),
    )
