"""Facts in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from rackwright.core.facts import Fact, FactWrite
from rackwright.core.serving import concerns
from rackwright.store.batches import addresses, connected, one_per_fact, readdressed, two_nodes, two_writers
from rackwright.store.postgres.choosing import ChoosingWork
from rackwright.store.postgres.networks import NetworkWork
from rackwright.store.postgres.session import Json, columns


class FactWork(NetworkWork, ChoosingWork):
    """The part of a transaction that is about facts."""

    async def put_facts(self, writes: Sequence[FactWrite]) -> list[Fact]:
        """See the port."""
        batch = one_per_fact(writes)
        if not batch:
            return []
        await self._check_addresses(batch)
        puts = [write for write in batch if write.value is not None]
        drops = [write for write in batch if write.value is None]
        if drops:
            await self.rows("lock_facts", *columns([(write.scope, write.path) for write in batch], 2))
        changed = [*await self._put(puts), *await self._drop(drops)]
        if len(changed) < len(batch):
            await self._check_writers(batch)
        by_key = {(write.scope, write.path): write for write in batch}
        revisions = {(scope, path): revision for scope, path, revision in changed}
        self.mark_served(scope for scope, path in revisions if concerns(path))
        facts = [
            Fact(scope, path, by_key[scope, path].value, revisions[scope, path], by_key[scope, path].writer)
            for scope, path in sorted(revisions)
        ]
        await self.connect(connected(revisions))
        await self.weigh(facts)
        return facts

    async def facts(self, scopes: Collection[int], paths: Collection[str]) -> list[Fact]:
        """See the port."""
        if not scopes or not paths:
            return []
        exact, below = patterns(paths)
        return [Fact(*row) for row in await self.rows("facts", list(scopes), exact, below)]

    async def _put(self, puts: list[FactWrite]) -> list[tuple[int, str, int]]:
        if not puts:
            return []
        values = columns([(write.scope, write.path, Json(write.value), write.writer) for write in puts], 4)
        return [tuple(row) for row in await self.rows("put_facts", *values)]

    async def _drop(self, drops: list[FactWrite]) -> list[tuple[int, str, int]]:
        if not drops:
            return []
        values = columns([(write.scope, write.path, write.writer) for write in drops], 3)
        return [tuple(row) for row in await self.rows("drop_facts", *values)]

    async def _check_writers(self, batch: list[FactWrite]) -> None:
        values = columns([(write.scope, write.path, write.writer) for write in batch], 3)
        other = await self.row("other_writers", *values)
        if other is not None:
            raise two_writers(*other)

    async def _check_addresses(self, batch: list[FactWrite]) -> None:
        given, twice = addresses(batch)
        if twice is not None:
            one, two, value = twice
            names = {row["id"]: row["name"] for row in await self.rows("scopes", [one, two])}
            raise two_nodes(value, names.get(one, str(one)), names.get(two, str(two)))
        if not given:
            return
        written = columns(readdressed(batch), 2)
        owner = await self.row("address_owners", [write.value for write in given], *written)
        if owner is not None:
            value, name = owner
            taker = next(write.scope for write in given if write.value == value)
            taking = await self.row("scopes", [taker])
            raise two_nodes(value, name, str(taker) if taking is None else taking["name"])


def patterns(paths: Collection[str]) -> tuple[list[str], list[str]]:
    """What the query ``facts`` takes: the paths with all those above them, and the beginnings of those below, none of
    which begins with another one. Both are in order."""
    exact = {path[:end] for path in paths for end in [*(dot.start() for dot in re.finditer(r"\.", path)), len(path)]}
    below: list[str] = []
    for beginning in sorted(f"{path}." for path in paths):
        if not below or not beginning.startswith(below[-1]):
            below.append(beginning)
    return sorted(exact), below
