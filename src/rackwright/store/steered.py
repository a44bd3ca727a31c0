"""What steers a deployment, as people read it: the same in both stores."""

from __future__ import annotations

import msgspec

from rackwright.core import waves
from rackwright.core.steering import Steering
from rackwright.core.views import DeploymentView, SteeringView
from rackwright.store.rollup import REASONS


def steered(view: DeploymentView, steering: Steering | None, limit: int | None) -> DeploymentView:
    """The view with what steers the deployment: the reason why it is held comes first, and its state is ``error`` or
    ``held`` if nothing may begin that otherwise would."""
    if steering is None and limit is None:
        return view
    steering = steering or Steering(deployment=0)
    told = _waves(steering)
    shown = SteeringView(
        held=steering.held, windows=list(steering.windows), time_zone=steering.time_zone,
        paused_until=steering.paused_until, waves=told, limit=limit, noop=steering.noop,
    )  # fmt: skip
    reasons = [f"held: {steering.held}"] if steering.held else [told] if told and not _done(steering) else []
    reasons += [f"then: {', '.join(steering.sequence[1:])}"] if len(steering.sequence) > 1 else []
    reasons += ["rehearsal: node tasks are only told, not carried out"] if steering.noop else []
    state = view.state
    if steering.error and not view.tasks.get("transition"):
        state = "error"
    elif state == "annealing" and (steering.held or _waits(steering)) and not view.tasks.get("transition"):
        state = "held"
    return msgspec.structs.replace(view, state=state, reasons=(reasons + view.reasons)[:REASONS], steering=shown)


def _waves(steering: Steering) -> str:
    at = steering.progress
    return waves.told(steering.waves, at) if steering.waves is not None and at is not None else ""


def _done(steering: Steering) -> bool:
    at = steering.progress
    return at is not None and at.last and at.rested_at is not None


def _waits(steering: Steering) -> bool:
    """True when a wave waits for a person."""
    at, rule = steering.progress, steering.waves
    return rule is not None and at is not None and rule.manual and at.rested_at is not None and not at.last
