"""Sealed secrets in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rackwright.store.memory.work import Work
from rackwright.store.refusals import unknown


class SealedWork(Work):
    """The part of a transaction that is about sealed secrets."""

    async def put_sealed(self, name: str, secrets: Mapping[int, bytes]) -> None:
        """See the port."""
        for scope, data in secrets.items():
            if scope not in self.tables.scopes:
                raise unknown("scope", scope)
            self.tables.sealed[scope, name] = data

    async def drop_sealed(self, name: str, scopes: Collection[int]) -> None:
        """See the port."""
        for scope in scopes:
            self.tables.sealed.pop((scope, name), None)

    async def sealed(self, name: str, scopes: Collection[int]) -> dict[int, bytes]:
        """See the port."""
        found = ((scope, self.tables.sealed.get((scope, name))) for scope in scopes)
        return {scope: data for scope, data in found if data is not None}
