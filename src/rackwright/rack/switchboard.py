"""The power switches of a rack's machines: a queue for each BMC, a budget for all, and a look at each in turn."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import structlog

from rackwright.core.errors import DriverError, Permanent
from rackwright.core.power import Action, Device, NodePower, PowerDriver, PowerFactory, PowerSetting, PowerState
from rackwright.core.served import ServedNode
from rackwright.rack.together import Together

ROUND = 120.0
"""Seconds in which every machine's state is asked for once."""
TURN = 1.0
"""Seconds between two slices of such a round."""
SLICE = 32
"""Machines in a slice at the least: what the region is asked and told of them goes together."""
ASKED_AT_ONCE = 200
"""Nodes in one question to the region how they are switched."""
BUDGET = 64
"""Conversations with BMCs at the same time."""

log = structlog.get_logger()

T = TypeVar("T")


class Known(Protocol):
    """The machines that this rack serves."""

    def named(self, name: str) -> ServedNode | None:
        """A machine by its name."""

    def nodes(self) -> Iterable[ServedNode]:
        """All of them, by id."""


class _Line:
    """One machine's line: the driver, and what it was made from. BMCs take one conversation at a time."""

    def __init__(self, driver: PowerDriver, setting: PowerSetting, made_from: Any) -> None:
        self.driver, self.setting = driver, setting
        self.made_from = made_from
        self.free = asyncio.Lock()


class Switchboard:
    """See ``core.power.Switches``. ``ask`` tells how nodes are switched, with passwords, which are held in memory only;
    ``tell`` takes what is observed of a node."""

    def __init__(
        self,
        known: Known,
        ask: Callable[[Sequence[str]], Awaitable[list[NodePower]]],
        tell: Callable[[str, dict[str, Any]], None],
        drivers: Mapping[str, PowerFactory],
    ) -> None:
        self._known = known
        self._settings = Together(self._told, ASKED_AT_ONCE)
        self._ask = ask
        self._tell = tell
        self._drivers = dict(drivers)
        self._lines: dict[str, _Line] = {}
        self._budget = asyncio.Semaphore(BUDGET)
        self._seen: dict[str, PowerState] = {}

    async def state(self, node: str) -> PowerState:
        """See the port."""
        state = await self._speak(node, lambda driver: driver.state())
        if self._seen.get(node) != state:
            self._seen[node] = state
            self._tell(node, {"observed.power": state})
        return state

    async def act(self, node: str, action: Action) -> str:
        """See the port."""
        return await self._speak(node, lambda driver: driver.act(action))

    async def set_boot_device(self, node: str, device: Device, *, once: bool, uefi: bool | None) -> None:
        """See the port."""
        await self._speak(node, lambda driver: driver.set_boot_device(device, once=once, uefi=uefi))

    async def describe(self, node: str) -> dict[str, Any]:
        """See the port."""
        return await self._speak(node, lambda driver: driver.describe())

    async def set_bios(self, node: str, settings: dict[str, Any]) -> None:
        """See the port."""
        await self._speak(node, lambda driver: driver.set_bios(settings))

    async def setting(self, node: str) -> PowerSetting:
        """See ``core.power.Credentials``."""
        return (await self._line(node)).setting

    async def watch(self) -> None:
        """Ask every machine for its state, a slice at a time, for ever; what changed is told. A BMC that is silent
        makes its machine's state ``unknown``."""
        while True:
            names = [node.name for node in self._known.nodes() if node.power is not None]
            await self._forget_others(set(names))
            size = max(SLICE, math.ceil(len(names) * TURN / ROUND))
            slices = [names[first : first + size] for first in range(0, len(names), size)]
            for part in slices:
                await asyncio.gather(*map(self._look, part))
                await asyncio.sleep(TURN)
            await asyncio.sleep(max(TURN, ROUND - TURN * len(slices)))

    async def close(self) -> None:
        """Let go of all sessions."""
        for line in self._lines.values():
            with suppress(Exception):
                await line.driver.close()
        self._lines.clear()

    async def _forget_others(self, names: Set[str]) -> None:
        """Let go of machines that have left, with their passwords: what was last seen of them may be old when they come
        back."""
        self._seen = {name: state for name, state in self._seen.items() if name in names}
        for name in self._lines.keys() - names:
            line = self._lines.pop(name)
            with suppress(Exception):
                await line.driver.close()

    async def _look(self, node: str) -> None:
        try:
            await self.state(node)
        except DriverError as error:
            if self._seen.get(node) != "unknown":
                self._seen[node] = "unknown"
                self._tell(node, {"observed.power": "unknown"})
                log.warning("the state of a machine's power is not known", node=node, reason=str(error))
        except Exception:
            log.exception("a power driver broke", node=node)

    async def _speak(self, node: str, work: Callable[[PowerDriver], Awaitable[T]]) -> T:
        line = await self._line(node)
        async with self._budget, line.free:
            return await work(line.driver)

    async def _line(self, node: str) -> _Line:
        """The line to a node's BMC, made anew when its setting has changed."""
        served = self._known.named(node)
        if served is None or served.power is None:
            raise Permanent(
                f"nobody knows how {node} is switched", where=node, mend=f"say it with `rackwright node bmc {node}`"
            )
        if (line := self._lines.get(node)) is not None and line.made_from == served.power:
            return line
        setting = await self._settings.one(node)
        if setting is None:
            raise Permanent(f"the region knows no power setting of {node}", where=node)
        factory = self._drivers.get(setting.driver)
        if factory is None:
            names = ", ".join(sorted(self._drivers)) or "none"
            raise Permanent(f"there is no power driver {setting.driver!r} here (there are: {names})", where=node)
        # Who asked at the same time may have made it meanwhile.
        before = self._lines.get(node)
        if before is not None and before.made_from == served.power:
            return before
        line = self._lines[node] = _Line(factory(setting), setting, served.power)
        if before is not None:
            await before.driver.close()
        return line

    async def _told(self, nodes: Sequence[str]) -> list[PowerSetting | None]:
        """How the region says that these are switched."""
        found = {one.node: one.setting for one in await self._ask(list(dict.fromkeys(nodes)))}
        return [found.get(node) for node in nodes]
