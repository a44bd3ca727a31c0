"""The jig ``agent``: has the agent on a machine carry out a task. The agent fetches it from the rack.

Parameters: ``action`` (what the agent does); ``systems`` (in which systems it may run: discovery, rescue, memory,
installed; default: any); ``until_fact`` and ``until`` (seconds): once the agent has done its part, the attempt waits
for these facts; ``credentials: bmc``: the agent gets the user and password of its machine's BMC. All other parameters
are the action's own. One of them, ``request``, also names the agent: only one that booted for this request gets the
task.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rackwright.core.desk import Desk, Recipient
from rackwright.core.errors import Permanent, Retryable
from rackwright.core.jig import Outcome, Wait, Work
from rackwright.core.machine_messages import AgentTask, Ended, System
from rackwright.core.messages import Claim
from rackwright.core.power import Credentials
from rackwright.drivers.jig.surroundings import parameters_as


class AgentParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What is the jig's of the parameters."""

    action: str
    systems: tuple[System, ...] = ()
    request: str | int = ""
    until_fact: dict[str, Any] = {}
    until: float = 600.0
    credentials: Literal["", "bmc"] = ""


OURS = frozenset({"action", "systems", "until_fact", "until", "credentials"})
"""Parameters that the agent does not get."""

SCRIPT = "script"


class AgentJig:
    """One rack's: the agents of its machines fetch their work at ``desk``."""

    def __init__(self, desk: Desk, credentials: Credentials) -> None:
        self.desk = desk
        self._credentials = credentials

    async def open(self) -> None:
        """Nothing is left here by a former process: agents end what nobody waits for any more."""

    async def run(self, work: Work) -> Outcome:
        """Hand over one attempt and wait for its end."""
        asked, claim = parameters_as(AgentParameters, work), work.claim
        task = AgentTask(
            id=claim.id, attempt=claim.attempt, action=asked.action, timeout=claim.timeout, files=claim.files,
            parameters=_parameters(asked.action, claim),
        )  # fmt: skip
        if asked.credentials:
            task = msgspec.structs.replace(task, parameters=await self._with_credentials(claim.scope, task.parameters))
        to = Recipient(node=claim.scope, systems=asked.systems, request=str(asked.request))
        return _outcome(await self.desk.carry_out(to, task, work.log), asked, claim.scope)

    async def _with_credentials(self, node: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters with the BMC's user and password; they go to the machine's own agent and nowhere else."""
        setting = await self._credentials.setting(node)
        if not (setting.user and setting.password):
            raise Permanent(
                f"nobody has said a user and password for the BMC of {node}", where=node,
                mend=f"say them with `rackwright node bmc {node} --user .. --password-file ..`",
            )  # fmt: skip
        return {**parameters, "user": setting.user, "password": setting.password}

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """There is nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing is kept."""


def _parameters(action: str, claim: Claim) -> dict[str, Any]:
    """What the agent gets: its own parameters, and for a script what the task reads."""
    inputs = {"inputs": claim.inputs} if action == SCRIPT else {}
    return inputs | {name: value for name, value in claim.parameters.items() if name not in OURS}


def _outcome(ended: Ended, asked: AgentParameters, node: str) -> Outcome:
    """What the agent's result means. Raises ``Permanent`` or ``Retryable`` for one that is not good."""
    if ended.outcome != "ok":
        kind = Retryable if ended.outcome == "retryable" else Permanent
        raise kind(ended.reason or f"{asked.action} did not work", where=f"agent on {node}")
    if not asked.until_fact:
        return Outcome(facts=ended.facts)
    awaited = ", ".join(sorted(asked.until_fact))
    wait = Wait(until=asked.until, until_fact=asked.until_fact, reason=f"{asked.action} done; waits for {awaited}")
    return Outcome(facts=ended.facts, parked=wait)
