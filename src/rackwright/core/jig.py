"""What a jig is: the hands that carry out one kind of node task beside the machines.

A jig is found by an entry point of the group ``rackwright.jig``; its name there is the name that tasks use. The entry
point is a ``JigFactory``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from rackwright.core.messages import Claim


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a node task, and the places on the rack's disk that belong to it. All are absolute paths."""

    claim: Claim
    rack: str
    """The rack's name."""
    folder: str
    """An empty folder for this attempt alone; the rack removes it once the result is taken."""
    state: str
    """A folder that stays from task to task: one for each deployment and scope."""
    log: str
    """The file that takes all that the attempt says. The jig makes it; the rack ships and removes it."""


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that goes on by itself: for at most ``until`` seconds, then it has failed. ``until_fact`` are facts of
    the task's own scope, by path, that end it well when all are there; null: with any value."""

    until: float
    reason: str = ""
    """What it waits for, for people."""
    until_fact: dict[str, Any] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a successful attempt found or made: ``facts`` by path on the task's own scope, ``node_facts`` by node name
    and path for tasks that write per member node. With ``parked`` the attempt has not ended: nobody on the rack waits
    for it, and the facts are put once it ends well."""

    facts: dict[str, Any] = {}
    node_facts: dict[str, dict[str, Any]] = {}
    parked: Wait | None = None


class Jig(Protocol):
    """Carries out node tasks of one kind. One object serves one rack; its ``run`` is called many times at once."""

    async def open(self) -> None:
        """Called once, before any ``run``: end or take over what a former process of this rack left behind."""

    async def run(self, work: Work) -> Outcome:
        """Carry out one attempt and give its facts.

        Raises ``Permanent`` when it failed, ``Retryable`` when the same may succeed later; the rack counts an
        ``OSError`` (a full disk) as a failure of this attempt, and anything else as a fault of the jig. When it is
        cancelled it ends every process that the attempt started, then lets the cancellation pass.
        """

    def kept(self) -> list[int]:
        """Ids of the node tasks for which something is kept running after their ``run`` has ended."""

    async def drop(self, ids: list[int]) -> None:
        """Stop what is kept for these node tasks: they are no longer part of any deployment."""

    async def close(self, grace: float) -> None:
        """Called once, after the last ``run``: stop all that the jig keeps, in at most ``grace`` seconds politely."""


JigFactory = Callable[[str], Jig]
"""Makes a jig; takes the absolute path of a folder that is the jig's own and stays (made by the rack)."""


def check_facts(outcome: Outcome, claim: Claim) -> str:
    """The fault in what an attempt wants to write on its own scope: a path that its task does not declare, or ''."""
    strange = sorted(set(outcome.facts) - set(claim.writes))
    if not strange:
        return ""
    declared = ", ".join(claim.writes) or "none"
    return (
        f"the task gave facts that it does not declare: {', '.join(strange)} (declared: {declared}); "
        f"add them to `writes` of task {claim.task}, or do not give them"
    )


_plain_bytes = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


def folder_name(name: str) -> str:
    """A file name for any name of a scope, deployment or task: no separators, never hidden, never '..'."""
    plain = [chr(byte) if byte in _plain_bytes else f"%{byte:02X}" for byte in name.encode()]
    if plain and plain[0] == ".":
        plain[0] = "%2E"
    return "".join(plain)
