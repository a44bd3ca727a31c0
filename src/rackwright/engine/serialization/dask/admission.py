"""Which workers may be used: those on nodes of an allowed status, and those of control hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

PROTOCOL = 3
"""How a client and a worker speak: one more with each change that the other side would not understand."""
STATUSES = ("ready", "provisioned", "discovered", "error")
"""What the status of a node may be."""
NAME = "rackwright"
"""Under this name a worker's registration stands in what the scheduler knows of it."""


class Registration(msgspec.Struct, frozen=True):
    """What a worker says of itself, anew with every heartbeat: its node and the node's status, whether it is a control
    host, whether it is about to end, how it speaks, and its versions of the libraries that shape answers."""

    node: str
    status: str = ""
    control: bool = False
    leaving: bool = False
    protocol: int = PROTOCOL
    libraries: dict[str, str] = {}

    def __str__(self) -> str:
        """The worker for people."""
        return f"node {self.node} ({'control' if self.control else self.status or 'no status'})"


class Admission(Protocol):
    """Of which status a node must be for its workers to be used."""

    @property
    def use_ready(self) -> bool:
        """Whether nodes that are in use are used."""

    @property
    def use_provisioned(self) -> bool:
        """Whether nodes that have a system but no deployment yet are used."""

    @property
    def use_discovered(self) -> bool:
        """Whether nodes that are only known are used."""

    @property
    def use_error(self) -> bool:
        """Whether nodes on which something failed are used."""


def registrations(workers: Mapping[str, Any]) -> dict[str, Registration | None]:
    """Read what the scheduler tells of its workers, by address; None for one that is not of this product."""
    return {address: _registration(worker.get("metrics", {}).get(NAME)) for address, worker in workers.items()}


def refusal(worker: Registration | None, admission: Admission, libraries: Mapping[str, str]) -> str:
    """Say why a worker may not be used; empty when it may."""
    if worker is None:
        return "it is not a `rackwright serializer`"
    if worker.protocol != PROTOCOL:
        return f"it speaks protocol {worker.protocol}, this program {PROTOCOL}: install the same release there"
    for name, ours in libraries.items():
        theirs = worker.libraries.get(name, "none")
        if theirs != ours:
            return f"it has {name} {theirs}, this program {ours}: install the same there"
    if worker.leaving:
        return "it is about to end"
    return "" if worker.control else _refusal_of_status(worker.status, admission)


def refusals(workers: Mapping[str, Registration | None], admission: Admission, libraries: Mapping[str, str]) -> str:
    """Name every worker that is there and say why it may not be used."""
    lines = [
        f"{worker or 'a worker'} at {address}: {why}"
        for address, worker in sorted(workers.items())
        if (why := refusal(worker, admission, libraries))
    ]
    return "; ".join(lines) or "there are no workers"


def _refusal_of_status(status: str, admission: Admission) -> str:
    if status not in STATUSES:
        return f"its status is not one of {', '.join(STATUSES)}"
    return "" if getattr(admission, f"use_{status}") else f"use_{status} is off"


def _registration(said: Any) -> Registration | None:
    try:
        return msgspec.convert(said, Registration)
    except msgspec.ValidationError:
        return None
