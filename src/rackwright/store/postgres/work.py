"""What every part of a transaction builds on: queries, and news that are sent when it commits."""

from __future__ import annotations

from collections.abc import Iterable

from rackwright.store.postgres.session import Connection, Session


class Work(Session):
    """A transaction's session; its news are kept until the end, each once."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._news: dict[tuple[str, str], None] = {}
        self._to_serve: set[int] = set()

    def tell(self, channel: str, *payloads: object) -> None:
        """Send news when the transaction commits."""
        for payload in payloads:
            self._news[channel, str(payload)] = None

    def tell_racks(self, racks: Iterable[int | None]) -> None:
        """Wake racks that have new work."""
        self.tell("work", *(rack for rack in racks if rack is not None))

    def mark_served(self, scopes: Iterable[int]) -> None:
        """See the port."""
        self._to_serve.update(scopes)

    async def send_news(self) -> None:
        """Hand the news to PostgreSQL, which delivers them after the commit and only then."""
        if self._news:
            await self.run("tell", [channel for channel, _ in self._news], [payload for _, payload in self._news])
