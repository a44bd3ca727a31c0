"""The store in memory: the twin that tests run on; one suite of behaviour holds for it and for PostgreSQL."""

from __future__ import annotations

from rackwright.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
