"""What every part of a transaction in memory builds on."""

from __future__ import annotations

from collections.abc import Iterable

from rackwright.store.memory.tables import Tables


class Work:
    """A transaction's working copy of the tables; its news are kept until the end, each once."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._over = False
        self.news: dict[tuple[str, str], None] = {}
        self._to_serve: set[int] = set()

    @property
    def tables(self) -> Tables:
        """The working copy, until the transaction is over."""
        if self._over:
            raise RuntimeError("the transaction is over")
        return self._tables

    @property
    def over(self) -> bool:
        """True once the transaction has ended."""
        return self._over

    def end(self) -> None:
        """Let nothing follow."""
        self._over = True

    def tell(self, channel: str, *payloads: object) -> None:
        """Send news when the transaction commits."""
        for payload in payloads:
            self.news[channel, str(payload)] = None

    def tell_racks(self, racks: Iterable[int | None]) -> None:
        """Wake racks that have new work."""
        self.tell("work", *(rack for rack in racks if rack is not None))

    def mark_served(self, scopes: Iterable[int]) -> None:
        """See the port."""
        self._to_serve.update(scopes)
