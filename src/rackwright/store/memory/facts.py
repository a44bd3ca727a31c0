"""Facts in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rackwright.core.facts import Fact, FactWrite, touches
from rackwright.core.serving import concerns
from rackwright.store.batches import addresses, connected, one_per_fact, readdressed, two_nodes, two_writers
from rackwright.store.memory.choosing import ChoosingWork
from rackwright.store.memory.networks import NetworkWork
from rackwright.store.refusals import unknown
from rackwright.store.texts import same


class FactWork(NetworkWork, ChoosingWork):
    """The part of a transaction that is about facts."""

    async def put_facts(self, writes: Sequence[FactWrite]) -> list[Fact]:
        """See the port."""
        batch = one_per_fact(writes)
        self._check_addresses(batch)
        for write in batch:
            self._check_writer(write)
        changed = [fact for write in batch if (fact := self._put(write)) is not None]
        self.mark_served(fact.scope for fact in changed if concerns(fact.path))
        self.connect(connected((fact.scope, fact.path) for fact in changed))
        self.weigh(changed)
        return changed

    async def facts(self, scopes: Collection[int], paths: Collection[str]) -> list[Fact]:
        """See the port."""
        return [
            fact
            for scope in sorted(set(scopes))
            for path, fact in sorted(self.tables.facts.get(scope, {}).items())
            if any(touches(wanted, path) for wanted in paths)
        ]

    def _put(self, write: FactWrite) -> Fact | None:
        tables = self.tables
        if write.scope not in tables.scopes:
            raise unknown("scope", write.scope)
        leaves = dict(tables.facts.get(write.scope, {}))
        before = leaves.get(write.path)
        if (before is None and write.value is None) or (before is not None and same(before.value, write.value)):
            return None
        tables.revision += 1
        fact = Fact(write.scope, write.path, write.value, tables.revision, write.writer)
        if write.value is None:
            del leaves[write.path]
        else:
            leaves[write.path] = fact
        tables.facts[write.scope] = leaves
        return fact

    def _check_writer(self, write: FactWrite) -> None:
        before = self.tables.facts.get(write.scope, {}).get(write.path)
        if before is not None and before.writer != write.writer:
            raise two_writers(self._called(write.scope), write.path, before.writer, write.writer)

    def _check_addresses(self, batch: list[FactWrite]) -> None:
        given, twice = addresses(batch)
        if twice is not None:
            one, two, value = twice
            raise two_nodes(value, self._called(one), self._called(two))
        taking = set(readdressed(batch))
        wanted = {write.value: write for write in given}
        for fact in self.held_addresses():
            if fact.value in wanted and (fact.scope, fact.path) not in taking:
                raise two_nodes(fact.value, self._called(fact.scope), self._called(wanted[fact.value].scope))

    def _called(self, scope: int) -> str:
        return self.tables.name(scope) or str(scope)
