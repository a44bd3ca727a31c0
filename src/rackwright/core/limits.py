"""Limits: how many node tasks may run at the same time on the site, in a rack, in a deployment, and of one task.

A limit is only ever asked where work is handed out: what runs already is left alone, even if the limit was lowered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from rackwright.core.catalog import Task
from rackwright.core.errors import InvalidInput
from rackwright.core.node_task import NodeTask
from rackwright.core.shares import share

SITE = 0
"""Stands for the whole site where others have the id of a rack or a deployment."""

Strategy = Mapping[str, Any]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``amount`` node tasks at the same time: of the site (``scope`` SITE), of a rack or a deployment; with
    ``task`` only those of this task of the deployment."""

    scope: int
    task: str = ""
    amount: int


class Running(NamedTuple):
    """So many node tasks of a task run in a rack for a deployment."""

    rack: int | None
    deployment: int
    task: str
    number: int


class Allowance:
    """What one rack may still be given, under the limits that concern it."""

    def __init__(self, limits: Iterable[Limit], running: Sequence[Running], rack: int) -> None:
        self._rack = rack
        self._left = {(limit.scope, limit.task): limit.amount for limit in limits}
        for one in running:
            for key in _concerned(one.rack, one.deployment, one.task):
                if key in self._left:
                    self._left[key] -= one.number

    def capacity(self, wanted: int) -> int:
        """How many node tasks the rack may be given at most, of the ``wanted`` ones."""
        return max(0, min([wanted, *(self._left[key] for key in ((SITE, ""), (self._rack, "")) if key in self._left)]))

    def full(self) -> list[tuple[int, str]]:
        """Deployments (with an empty task) and tasks of deployments of which nothing may start."""
        besides = ((SITE, ""), (self._rack, ""))
        return sorted(key for key, left in self._left.items() if left <= 0 and key not in besides)

    def admit(self, rows: Iterable[NodeTask]) -> list[NodeTask]:
        """Those of the rows that may start now, the first ones first; each takes its place from those after it."""
        admitted = []
        for row in rows:
            keys = [key for key in _concerned(row.rack, row.deployment, row.task) if key in self._left]
            if all(self._left[key] > 0 for key in keys):
                admitted.append(row)
                for key in keys:
                    self._left[key] -= 1
        return admitted


def strategy(task: Task) -> Strategy | None:
    """What a task says of how many nodes it works on at the same time: its key ``strategy``, or that of its
    parameters, as Fuel has it. None: nothing."""
    parameters = task.parameters if isinstance(task.parameters, dict) else {}
    said = task.extra.get("strategy", parameters.get("strategy"))
    return said if isinstance(said, dict) else None


def at_once(task: Task, places: int) -> int | None:
    """On how many of its places a task may run at the same time; None: on all of them.

    ``one_by_one`` is 1; ``parallel`` is its ``amount``: a number, or a percentage of the places, rounded down and at
    least 1. An amount that is an expression counts as 1, for it is known only once a node is at its turn. Raises
    InvalidInput for anything else.
    """
    said = strategy(task)
    if said is None:
        return None
    where = str(task.source)
    if said.get("type") == "one_by_one":
        return 1
    if said.get("type") != "parallel":
        raise InvalidInput(
            f"{task.id}: {said.get('type')!r} is no strategy", where=where, mend="write one_by_one or parallel"
        )
    amount = said.get("amount")
    if amount is None:
        return None
    if isinstance(amount, dict):
        return 1
    try:
        return share(amount, places, least=1)
    except InvalidInput as error:
        raise InvalidInput(
            f"{task.id}: the amount of its strategy: {error.what}", where=where, mend=error.mend
        ) from None


def _concerned(rack: int | None, deployment: int, task: str) -> list[tuple[int, str]]:
    """The limits that a node task may come under."""
    site = [(SITE, ""), (deployment, ""), (deployment, task)]
    return site if rack is None else [*site, (rack, "")]
