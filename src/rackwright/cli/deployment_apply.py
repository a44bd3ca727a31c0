"""``rackwright deployment apply``: carry changes out."""

from __future__ import annotations

from collections.abc import Callable

import click

from rackwright.cli import planning
from rackwright.cli.changes import Changes, change_options
from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.following import Follows, waiting
from rackwright.cli.options import consent, operator, output
from rackwright.cli.output import Item, Output, say
from rackwright.cli.plan_text import changes_something, needs_consent, show_plan
from rackwright.core.errors import RackwrightError

Agree = Callable[[str], None]


@examples(
    "rackwright deployment apply web --set front.port=8081 --wait --timeout 30m",
    "rackwright deployment apply web --plan 7",
)
@click.command(name="apply")
@click.argument("name")
@change_options
@click.option("--plan", "plan_id", type=int, metavar="ID", help="Exactly this plan; refused if anything moved since.")
@waiting
@consent
@output
@operator
def apply_(
    client: Client,
    *,
    name: str,
    changes: Callable[[Client], Changes],
    plan_id: int | None,
    follows: Follows,
    agree: Agree,
    output: Output,
) -> None:
    """Carry out changes. It asks first when something would be destroyed or removed."""
    wanted = changes(client)
    if plan_id is not None and wanted:
        raise click.UsageError("--plan carries out a plan as it is: leave the changes out")
    plan = planning.plan(client, name, wanted) if plan_id is None else planning.read_plan(client, name, plan_id)
    output.item(plan, lambda: show_plan(plan), f"plan/{plan['id']}")
    carry_out(client, plan, agree, exactly=plan_id is not None)
    if not follows(client, name) and changes_something(plan["summary"]):
        say(f"applied; watch it: rackwright wait deployment {name}")


def carry_out(client: Client, plan: Item, agree: Agree, *, exactly: bool) -> None:
    """Apply a computed plan; a person agrees first when it destroys or removes something. A plan that something moved
    away from is made anew at once, unless it was to be exactly this one or a person agreed to it."""
    asks = needs_consent(plan["summary"])
    if plan["state"] == "applied":
        return
    if asks:
        agree("Something will be destroyed or removed (signs ! and -). Go on?")
    try:
        planning.carry_out(client, plan["id"])
    except RackwrightError as error:
        if exactly or asks or not planning.moved(error):
            raise
        say("something moved since the plan was made; it is made anew")
        planning.plan(client, plan["deployment"], plan["changes"], apply=True)
