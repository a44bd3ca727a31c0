"""``rackwright plan``: what the plan of a deployment comes to for one node task, and why."""

from __future__ import annotations

import click

from rackwright.cli.lazy import Lazy, LazyGroup


@click.group(
    cls=LazyGroup,
    lazy={"explain": Lazy("rackwright.cli.plan_explain:explain", "Tell why a task runs on a node, or does not.")},
)
def plan() -> None:
    """Ask why. Plans themselves are made by `rackwright deployment plan`."""
