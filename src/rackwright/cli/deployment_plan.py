"""``rackwright deployment plan``: what would happen, before anything does."""

from __future__ import annotations

from collections.abc import Callable

import click

from rackwright.cli import exits, planning
from rackwright.cli.changes import Changes, change_options
from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.options import operator, output
from rackwright.cli.output import Output, say
from rackwright.cli.plan_text import changes_something, show_plan


@examples(
    "rackwright deployment plan web --bind front=n1,n2 --set front.port=8080",
    "rackwright deployment plan web -f web.yaml -o json",
)
@click.command(name="plan")
@click.argument("name")
@change_options
@click.option("--detailed-exitcode", is_flag=True, help="Exit 0: nothing to do; 2: there is; 1: error.")
@output
@operator
def plan_(
    client: Client, *, name: str, changes: Callable[[Client], Changes], detailed_exitcode: bool, output: Output
) -> None:
    """Show what would run, on which nodes and why. Nothing happens.

    Signs: + first run, ~ again, ! destructive: waits for a commit, - removed, > follows if its inputs change.
    """
    plan = planning.plan(client, name, changes(client))
    output.item(plan, lambda: show_plan(plan), f"plan/{plan['id']}")
    something = changes_something(plan["summary"])
    if output.for_people and something:
        say(f"apply exactly this: rackwright deployment apply {name} --plan {plan['id']}")
    if detailed_exitcode and something:
        raise click.exceptions.Exit(exits.CHANGES)
