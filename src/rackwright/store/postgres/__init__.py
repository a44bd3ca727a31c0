"""The store on PostgreSQL: plain SQL in named queries, a pool that heals by itself."""

from __future__ import annotations

from rackwright.store.postgres.migration import migrate
from rackwright.store.postgres.store import PostgresStore

__all__ = ["PostgresStore", "migrate"]
