"""``rackwright deployment``: the group of the words for deployments."""

from __future__ import annotations

import click

from rackwright.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={
        "create": Lazy("rackwright.cli.deployment_steer:create", "Make an empty deployment of a catalog."),
        "plan": Lazy("rackwright.cli.deployment_plan:plan_", "Show what changes would make run, where and why."),
        "apply": Lazy("rackwright.cli.deployment_apply:apply_", "Carry out changes, or exactly a plan."),
        "status": Lazy("rackwright.cli.deployment_read:status", "Show how it stands, and why it does not go on."),
        "graph": Lazy("rackwright.cli.deployment_graph:graph", "Show its node tasks and what follows what."),
        "history": Lazy("rackwright.cli.deployment_history:history", "Show who changed what, or every attempt."),
        "timeline": Lazy("rackwright.cli.deployment_history:timeline", "Draw what ran when."),
        "critical-path": Lazy("rackwright.cli.deployment_history:critical_path", "Show what decided how long it took."),
        "stop": Lazy("rackwright.cli.deployment_steer:stop", "Begin nothing new; what runs ends by itself."),
        "resume": Lazy("rackwright.cli.deployment_steer:resume", "Go on after a stop or a pause."),
        "pause": Lazy("rackwright.cli.deployment_roll:pause", "Begin nothing for a time."),
        "abort": Lazy("rackwright.cli.deployment_roll:abort", "End what runs; all that was to run waits for commit."),
        "window": Lazy("rackwright.cli.deployment_roll:window", "Let work begin in windows of the week only."),
        "limit": Lazy("rackwright.cli.deployment_roll:limit", "Limit how many node tasks run at the same time."),
        "waves": Lazy("rackwright.cli.deployment_roll:waves", "Go over some nodes first, then over more."),
        "rehearse": Lazy("rackwright.cli.deployment_rehearse:rehearse", "Show what all that is to come would do."),
        "noop": Lazy("rackwright.cli.deployment_roll:noop", "Only rehearse what would run."),
        "retry": Lazy("rackwright.cli.deployment_steer:retry", "Run failed node tasks again."),
        "commit": Lazy("rackwright.cli.deployment_steer:commit", "Agree to proposed (destructive) node tasks."),
        "delete": Lazy("rackwright.cli.deployment_steer:delete", "Delete it with its facts."),
    },
)
def deployment() -> None:
    """Create, plan, apply and steer deployments."""
