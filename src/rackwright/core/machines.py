"""What the engine asks of the store about machines and their activities."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from rackwright.core.lifecycle import Machine
from rackwright.core.node_task import NodeTask

METAL = "metal"
"""Name of the system deployment in which activities are carried out, and of the catalog that is shipped for it."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A node that may be a machine that registers: its MACs and its serial number, as people and its agent said."""

    id: int
    name: str
    rack: int | None
    macs: frozenset[str]
    serial: str


class MachineErrands(Protocol):
    """The part of the store's port that is about machines."""

    async def machines(self, nodes: Collection[int], *, lock: bool = False) -> dict[int, Machine]:
        """The machines among these nodes, by id; with ``lock`` nobody else changes them meanwhile."""

    async def save_machines(self, machines: Sequence[Machine]) -> None:
        """Write these machines; a node that was none becomes one."""

    async def known_by(self, macs: Collection[str], serials: Collection[str]) -> list[Known]:
        """Nodes of which one of these MACs is known (as written in ``desired.macs`` or ``observed.macs``), or one of
        these serial numbers (``observed.serial``), by id."""

    async def note_seen(self, seen: Mapping[int, float]) -> list[int]:
        """Note when the agents of these machines beat last; times never go back. Gives those that were missing."""

    async def silent(self, before: float, limit: int) -> list[int]:
        """Machines whose agents beat, but not since ``before``, although they are up, and since then nothing was done
        with them."""

    async def add_rows(self, deployment: int, rows: Sequence[NodeTask]) -> None:
        """Add node tasks to a deployment, beside those that are there; wake the racks concerned."""

    async def drop_rows(self, ids: Collection[int]) -> None:
        """Forget these node tasks, with what is recorded of their reads. None of them may be running."""

    async def join(self, deployment: int, nodes: Collection[int], roles: Sequence[str], tags: Sequence[str]) -> None:
        """Let these nodes be members of a deployment too, all with the same roles and tags."""

    async def lock_places(self, *, moving: bool = False) -> None:
        """Wait until nobody moves nodes between racks, and let nobody do so until this transaction ends; ``moving``:
        wait until nobody relies on where nodes stand either. It is taken before it is read where they stand."""

    async def leave(self, deployment: int, nodes: Collection[int]) -> None:
        """Let these nodes be members of a deployment no longer."""

    async def set_living(self, nodes: Collection[int], alive: bool) -> list[int]:
        """Note that these nodes live, or do not. Gives those for which it was otherwise."""
