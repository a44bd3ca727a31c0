"""Acting for somebody: the same store, in whose transactions everything that is noted was asked for by one person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from rackwright.core.audit import NOBODY, Asked
from rackwright.core.ports import Store, Transaction


@dataclass(frozen=True)
class OnBehalf:
    """A store, used because ``asked`` wants something."""

    store: Store
    asked: Asked

    def transaction(self, asked: Asked = NOBODY) -> AbstractAsyncContextManager[Transaction]:
        """See the port."""
        return self.store.transaction(self.asked if asked is NOBODY else asked)

    def listen(self, *channels: str) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, str]]]:
        """See the port."""
        return self.store.listen(*channels)
