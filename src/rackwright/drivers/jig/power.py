"""The jig ``power``: switches the machine that the task is about.

Parameters: ``action`` (boot, on, off, soft, cycle, reset, state, describe, bios, device); ``device`` (network, disk,
setup, none) for ``boot`` and ``device``; ``once`` (default true); ``uefi`` (default: as the machine reported);
``until_fact`` and ``until`` (seconds): the attempt then waits for these facts; ``grace`` for ``soft``: seconds until
the power is cut; ``settings`` for ``bios``; ``into``: the fact that takes what ``describe`` or ``state`` found.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from rackwright.core.errors import Permanent, Retryable
from rackwright.core.jig import Outcome, Wait, Work
from rackwright.core.power import Action, Device, PowerState, Switches

LOOK = 1.0
"""Seconds between two looks at a machine that is to follow."""
FOLLOW = 60.0
"""Seconds that a machine may take to be on, or off, once its BMC was told."""


class PowerWork(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a task of this jig."""

    action: Literal["boot", "on", "off", "soft", "cycle", "reset", "state", "describe", "bios", "device"]
    device: Device = "network"
    once: bool = True
    uefi: bool | None = None
    until_fact: dict[str, Any] = {}
    until: float = 600.0
    grace: float = 120.0
    settings: dict[str, Any] = {}
    into: str = ""


class PowerJig:
    """One rack's: ``switches`` reach its machines."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    async def open(self) -> None:
        """Nothing is left behind by a former process."""

    async def run(self, work: Work) -> Outcome:
        """Carry out one attempt."""
        try:
            asked = msgspec.convert(work.claim.parameters or {}, PowerWork)
        except msgspec.ValidationError as error:
            raise Permanent(f"the parameters make no sense: {error}", where=f"task {work.claim.task}") from None
        said: list[str] = []
        try:
            async with asyncio.timeout(work.claim.timeout):
                return await _Attempt(self._switches, work, asked, said.append).run()
        except TimeoutError:
            raise Retryable(f"not done within {work.claim.timeout:g} s", where=work.claim.scope) from None
        finally:
            await asyncio.to_thread(Path(work.log).write_text, "".join(f"{line}\n" for line in said), "utf-8")

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """Nothing is kept."""

    async def close(self, grace: float) -> None:
        """Nothing is kept."""


class _Attempt:
    """One attempt: what is asked, and where it is told."""

    def __init__(self, switches: Switches, work: Work, asked: PowerWork, say: Callable[[str], None]) -> None:
        self.switches, self.work, self.asked, self.say = switches, work, asked, say
        self.node = work.claim.scope

    async def run(self) -> Outcome:
        """Do it, and say what is known then."""
        action = self.asked.action
        by_hand, facts = "", {}
        if action == "describe":
            facts = self._facts(await self.switches.describe(self.node))
        elif action == "state":
            facts = self._facts(await self.switches.state(self.node))
        elif action == "bios":
            await self.switches.set_bios(self.node, self.asked.settings)
        elif action == "device":
            await self._choose()
        elif action == "boot":
            by_hand = await self._boot()
        elif action == "soft":
            by_hand = await self._down()
        else:
            by_hand = await self._switch(action)
        return self._outcome(by_hand, facts)

    def _outcome(self, by_hand: str, facts: dict[str, Any]) -> Outcome:
        reason = f"somebody must: {by_hand}" if by_hand else "the machine is on its way"
        if by_hand or self.asked.until_fact:
            wait = Wait(until=self.asked.until, reason=reason, until_fact=self.asked.until_fact)
            return Outcome(facts=facts, parked=wait)
        return Outcome(facts=facts)

    def _facts(self, found: Any) -> dict[str, Any]:
        self.say(str(found))
        return {self.asked.into: found} if self.asked.into else {}

    async def _choose(self) -> None:
        uefi = self.asked.uefi
        if uefi is None:
            uefi = {"uefi": True, "bios": False}.get(str(self.work.claim.inputs.get("firmware")))
        await self.switches.set_boot_device(self.node, self.asked.device, once=self.asked.once, uefi=uefi)
        self.say(f"it boots from {self.asked.device} {'once' if self.asked.once else 'from now on'}")

    async def _boot(self) -> str:
        """Boot the machine anew, from the device that is asked for, whether it is on or off."""
        await self._choose()
        return await self._switch("on" if await self.switches.state(self.node) == "off" else "cycle")

    async def _down(self) -> str:
        """Ask the system to go down; cut the power of one that does not."""
        if await self.switches.state(self.node) == "off":
            return ""
        by_hand = await self._switch("soft")
        if by_hand:
            return by_hand
        if not await self._follows("off", self.asked.grace):
            self.say(f"it is not off after {self.asked.grace:g} s: its power is cut")
            return await self._switch("off")
        return ""

    async def _switch(self, action: Action) -> str:
        by_hand = await self.switches.act(self.node, action)
        if by_hand:
            return by_hand
        self.say(f"power {action}")
        wanted: PowerState = "off" if action == "off" else "on"
        if action != "soft" and not await self._follows(wanted, FOLLOW):
            raise Retryable(
                f"the BMC was told `{action}`, but the machine is not {wanted} after {FOLLOW:g} s",
                where=self.node, mend="look at the machine and its BMC",
            )  # fmt: skip
        return ""

    async def _follows(self, wanted: PowerState, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while await self.switches.state(self.node) != wanted:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(LOOK)
        return True
