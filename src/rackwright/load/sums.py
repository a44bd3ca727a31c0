"""What a whole share has come to, as far as a promise can be proven broken by it alone."""

from __future__ import annotations

import math
import time

from rackwright.core.load.result import Second
from rackwright.core.load.sla.proof import Bounds
from rackwright.load.tally import Row


class Sums:
    """What the whole share has come to, as far as ``bounds`` ask for it."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.intended = 0
        self.started = 0
        self.ended = 0
        self.second = 0
        self._errors = 0
        self._missed = 0
        self._longest = 0.0
        self._actions = dict.fromkeys(bounds.actions, 0.0)
        self._cpu = time.process_time()

    def take(self, rows: list[Row], started: int, missed: int) -> None:
        """Add what was done: iterations that ended, how many started, how many of them too late."""
        self.started += started
        self._missed += missed
        self.ended += len(rows)
        if self._bounds.errors < math.inf:
            self._errors += sum(row.fault is not None for row in rows)
        if self._bounds.seconds < math.inf:
            self._longest = max([self._longest, *(row.ended - row.started for row in rows)])
        if self._actions:
            self._take_actions(rows)

    def _take_actions(self, rows: list[Row]) -> None:
        for row in rows:
            for action in row.actions:
                spent = action.ended - action.started
                if spent > self._actions.get(action.path, math.inf):
                    self._actions[action.path] = spent

    def spend(self, second: Second) -> None:
        """Add the processor's time since the last look to a second."""
        cpu = time.process_time()
        second.cpu += cpu - self._cpu
        self._cpu = cpu

    def proof(self) -> str:
        """Why the SLA cannot hold any more, as far as this share tells."""
        bounds = self._bounds
        if self._longest > bounds.seconds:
            return f"an iteration took {self._longest:.3f} s, {bounds.seconds:g} s are allowed"
        if self._errors > bounds.errors:
            return f"{self._errors} iterations failed, {bounds.errors:g} may"
        if self._missed > bounds.missed:
            return f"{self._missed} starts were missed, {bounds.missed:g} may be"
        for path, limit in bounds.actions.items():
            if self._actions[path] > limit:
                return f"{path} took {self._actions[path]:.3f} s, {limit:g} s are allowed"
        return ""
