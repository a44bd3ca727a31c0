"""What every simulated BMC has, whichever protocol it speaks: a machine, who may use it, and its faults."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Coroutine
from typing import Any, Literal, Protocol

import msgspec

from rackwright.sim.shape import Device, Shape


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a BMC. The default: nothing."""

    slow: float = 0.0
    """Seconds before each answer, and between a switch's answer and its effect."""
    password: str = ""
    """The password that counts instead of the one that was told; empty: that one."""
    lies: Literal["", "on", "off"] = ""
    """The state that it tells whatever is true."""
    gone: bool = False
    """It answers nothing at all."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who may use a BMC."""

    user: str
    password: str


class Switched(Protocol):
    """The machine as its BMC sees it."""

    @property
    def shape(self) -> Shape:
        """What it is made of."""

    @property
    def is_on(self) -> bool:
        """Whether it has power."""

    @property
    def starts(self) -> int:
        """How often its firmware has begun."""

    @property
    def next_device(self) -> tuple[Device, bool]:
        """What it tries first at the next start, and whether that is for one start only."""

    async def on(self) -> None:
        """Give it power."""

    async def off(self) -> None:
        """Cut its power."""

    async def cycle(self) -> None:
        """Cut its power and give it again."""

    async def reset(self) -> None:
        """Restart it at once."""

    async def press(self) -> None:
        """Press the power button."""

    async def boot_from(self, device: Device | None, *, once: bool) -> None:
        """Set what it tries first."""


class Bmc:
    """The part that all protocols share. Switching is asked for and then goes on by itself, as in real BMCs: who wants
    to know asks for the state."""

    def __init__(self, machine: Switched, account: Account) -> None:
        self.machine, self.account = machine, account
        self.faults = Faults()
        self._loop = asyncio.get_running_loop()
        self._going: set[asyncio.Task[None]] = set()

    @property
    def says_on(self) -> bool:
        """The state that it tells."""
        return self.faults.lies == "on" if self.faults.lies else self.machine.is_on

    @property
    def password(self) -> str:
        """The password that counts."""
        return self.faults.password or self.account.password

    def lets_in(self, user: str, password: str) -> bool:
        """Whether these are the right user and password."""
        return user == self.account.user and hmac.compare_digest(password.encode(), self.password.encode())

    def switch(self, action: Coroutine[Any, Any, None]) -> None:
        """Let a switch of the machine go on. Any thread may call it."""
        self._loop.call_soon_threadsafe(self._begin, action)

    def _begin(self, action: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(self._carry_out(action))
        self._going.add(task)
        task.add_done_callback(self._going.discard)

    async def _carry_out(self, action: Coroutine[Any, Any, None]) -> None:
        await asyncio.sleep(self.faults.slow)
        await action
