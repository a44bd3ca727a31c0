"""What one process can prove alone, before seconds are merged: that a promise is broken whatever the others do."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from rackwright.core.load.result import WHOLE
from rackwright.core.load.sla.criterion import TOLERANCE, Criterion
from rackwright.core.load.sla.own import ErrorBudget, MaxMissedStarts
from rackwright.core.load.sla.rally import FailureRate, MaxSeconds


class Bounds(msgspec.Struct, frozen=True):
    """A process that passes one of these has broken the promise of the whole run. Errors, missed starts and seconds are
    those of its own; infinite where nothing was promised."""

    seconds: float = math.inf
    """Of one iteration, failed or not."""
    errors: float = math.inf
    missed: float = math.inf
    actions: dict[str, float] = {}
    """Seconds of one atomic action, by its path."""


def bounds(criteria: Iterable[Criterion], planned: int | None) -> Bounds:
    """The bounds of those criteria that hold over all of a run of ``planned`` iterations (None: not known)."""
    seconds: dict[str, float] = {}
    errors = missed = math.inf
    for criterion in criteria:
        if criterion.after or criterion.min_samples > 1:
            continue
        if isinstance(criterion, MaxSeconds):
            limit = criterion.max * (1 + TOLERANCE)
            seconds[criterion.action] = min(limit, seconds.get(criterion.action, math.inf))
        elif criterion.window is None and criterion.action == WHOLE:
            errors = min(errors, _errors(criterion, planned))
            missed = min(missed, _missed(criterion))
    return Bounds(seconds.pop(WHOLE, math.inf), errors, missed, seconds)


def _errors(criterion: Criterion, planned: int | None) -> float:
    if isinstance(criterion, ErrorBudget):
        budget = criterion.budget
        return math.inf if budget is None else budget
    if isinstance(criterion, FailureRate) and planned is not None:
        return criterion.max * planned / 100 * (1 + TOLERANCE)
    return math.inf


def _missed(criterion: Criterion) -> float:
    if isinstance(criterion, MaxMissedStarts) and criterion.max is not None:
        return criterion.max
    return math.inf
