"""What the jigs of machines ask of their rack: hand work to a machine's agent, wait until what it boots is served."""

from __future__ import annotations

from typing import Protocol

import msgspec

from rackwright.core.bootenv import Kind
from rackwright.core.machine_messages import AgentTask, Ended, System

RESTARTS = frozenset({"reboot", "poweroff", "kexec"})
"""Actions of the agent that end the agent: a machine that comes up anew has done them."""


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """Which agent may have a task: the one of this node, in one of these systems (empty: any), that booted for this
    request (empty: any)."""

    node: str
    systems: tuple[System, ...] = ()
    request: str = ""


class Desk(Protocol):
    """Hands tasks to the agents of machines."""

    async def carry_out(self, to: Recipient, task: AgentTask, log: str) -> Ended:
        """Hand over a task and give its result; what the agent says is written to the file ``log``. An agent that is
        not there yet is waited for. When this is cancelled the agent is told to end the task.

        Raises ``Retryable`` when no agent comes for it in ``task.timeout`` seconds, or when the one that had it is
        gone: the machine restarted, or is silent. Raises ``Permanent`` when the agent is not done in that time.
        """


class NowServed(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine boots, as its rack answers from now on."""

    request: str
    kind: Kind
    generation: int


class BootService(Protocol):
    """Answers what machines boot."""

    async def served(self, node: str, request: str, kind: Kind | None) -> NowServed:
        """Wait until the node boots what this request asks for (of this kind, if one is given), and the files of it are
        on the rack. Raises ``Retryable`` when those cannot be had."""

    def missing(self, node: str, request: str, kind: Kind | None) -> str:
        """What is still missing for this, for people."""
