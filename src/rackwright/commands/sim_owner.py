"""The owner of simulated machines: tells the region how each that becomes known is switched, and what it is to have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Any

import structlog

from rackwright.cli.client import Client
from rackwright.core.errors import RackwrightError
from rackwright.core.served import ServedNode

POWER = "desired.power"
GATHER = 0.5
"""Seconds for which nodes are gathered."""
AT_ONCE = 1000
"""Nodes in one request."""

log = structlog.get_logger()


class Owner:
    """``power`` gives how a machine with this Ethernet address is switched, None for one that is not ours; ``image``
    is the one that all shall have. It speaks in a thread of ``threads``."""

    def __init__(
        self, client: Client, threads: Executor, power: Callable[[str], dict[str, Any] | None], image: str
    ) -> None:
        self._client = client
        self._threads = threads
        self._power = power
        self._image = image
        self._waiting: dict[str, dict[str, Any]] = {}
        self._told: set[str] = set()
        self._some = asyncio.Event()

    def heard(self, nodes: Iterable[ServedNode]) -> None:
        """A rack was told of these nodes."""
        for node in nodes:
            power = self._power(node.macs[0]) if node.macs and node.power is None else None
            if power is not None and node.name not in self._told:
                self._told.add(node.name)
                self._waiting[node.name] = {POWER: power, "desired.os": {"image": self._image}}
                self._some.set()

    async def run(self) -> None:
        """Tell for ever."""
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER)
            self._some.clear()
            while self._waiting:
                batch = [(name, self._waiting.pop(name)) for name in list(self._waiting)[:AT_ONCE]]
                await self._tell(batch)

    async def _tell(self, batch: list[tuple[str, dict[str, Any]]]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._say, batch)
        except RackwrightError as error:
            log.warning("the region was not told of machines; it is repeated", count=len(batch), reason=str(error))
            self._waiting |= dict(batch)
            self._some.set()
            await asyncio.sleep(1.0)

    def _say(self, batch: list[tuple[str, dict[str, Any]]]) -> None:
        """All in one request, but for what has a password: that is no fact, and is told one by one."""
        for name, facts in batch:
            if facts[POWER].get("password"):
                self._client.put(f"/nodes/{name}/power", facts[POWER])
        items = [{"name": name, "facts": _without_secrets(facts)} for name, facts in batch]
        self._client.patch("/nodes", {"items": items})


def _without_secrets(facts: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in facts.items() if path != POWER or not value.get("password")}
