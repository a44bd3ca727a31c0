"""Sealed secrets in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rackwright.store.postgres.work import Work


class SealedWork(Work):
    """The part of a transaction that is about sealed secrets."""

    async def put_sealed(self, name: str, secrets: Mapping[int, bytes]) -> None:
        """See the port."""
        if secrets:
            await self.run("put_sealed", list(secrets), name, list(secrets.values()))

    async def drop_sealed(self, name: str, scopes: Collection[int]) -> None:
        """See the port."""
        await self.run("drop_sealed", list(scopes), name)

    async def sealed(self, name: str, scopes: Collection[int]) -> dict[int, bytes]:
        """See the port."""
        return {row["scope_id"]: row["data"] for row in await self.rows("sealed", list(scopes), name)}
