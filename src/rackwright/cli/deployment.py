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
        "history": Lazy("rackwright.cli.deployment_read:history", "Show every attempt of the past."),
        "stop": Lazy("rackwright.cli.deployment_steer:stop", "Begin nothing new; what runs ends by itself."),
        "resume": Lazy("rackwright.cli.deployment_steer:resume", "Go on after a stop."),
        "retry": Lazy("rackwright.cli.deployment_steer:retry", "Run failed node tasks again."),
        "commit": Lazy("rackwright.cli.deployment_steer:commit", "Agree to proposed (destructive) node tasks."),
        "delete": Lazy("rackwright.cli.deployment_steer:delete", "Delete it with its facts."),
    },
)
def deployment() -> None:
    """Create, plan, apply and steer deployments."""
