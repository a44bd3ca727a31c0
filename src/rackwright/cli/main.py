"""``rackwright``: every command by its place. Nothing here loads one before it is asked for."""

from __future__ import annotations

import os
from typing import Any

import click

import rackwright
from rackwright.cli import exits
from rackwright.cli.examples import examples
from rackwright.cli.lazy import Lazy, LazyGroup
from rackwright.core.errors import RackwrightError

COMMANDS = {
    "get": Lazy("rackwright.cli.get:get", "List nodes, machines, racks, roles, catalogs, deployments, tasks or plans."),
    "describe": Lazy("rackwright.cli.describe:describe", "Show everything about one thing."),
    "apply": Lazy("rackwright.cli.apply:apply", "Make what a file says true."),
    "delete": Lazy("rackwright.cli.delete:delete", "Delete nodes, racks or deployments."),
    "wait": Lazy("rackwright.cli.wait:wait", "Wait until things are in a state."),
    "events": Lazy("rackwright.cli.events:events", "Show what happened, and go on with -f."),
    "logs": Lazy("rackwright.cli.logs:logs", "Show what a task said on a node."),
    "node": Lazy("rackwright.cli.node:node", "Add nodes; change what is known of them."),
    "campaign": Lazy("rackwright.cli.campaign:campaign", "See and steer verbs that go over many machines."),
    "budget": Lazy("rackwright.cli.budget:budget", "Say how many machines may work at once on a feed, a rack, ..."),
    "task": Lazy("rackwright.cli.task:task", "Look at the past of a task on one node; let a parked one go on."),
    "network": Lazy("rackwright.cli.network:network", "Make networks; give addresses of them to nodes."),
    "pool": Lazy("rackwright.cli.grouping:pool", "Put nodes into pools."),
    "zone": Lazy("rackwright.cli.grouping:zone", "Say in which zone nodes and racks stand."),
    "tag": Lazy("rackwright.cli.grouping:tag", "Tag nodes, by hand or by rules."),
    "rack": Lazy("rackwright.cli.rack:rack", "Add a rack; run the process beside its machines."),
    "catalog": Lazy("rackwright.cli.catalog:catalog", "Add, check, show and draw catalogs."),
    "deployment": Lazy("rackwright.cli.deployment:deployment", "Create, plan, apply and steer deployments."),
    "plan": Lazy("rackwright.cli.plan:plan", "Tell why a task runs on a node, or does not."),
    "yaql": Lazy("rackwright.commands.yaql:yaql", "Evaluate an expression where a node stands."),
    "service": Lazy("rackwright.cli.service:service", "Show the processes of the product."),
    "image": Lazy("rackwright.cli.image:image", "Build, import, check and list what machines boot."),
    "webhook": Lazy("rackwright.cli.webhook:webhook", "Tell others what happens; see how that went."),
    "job": Lazy("rackwright.cli.job:job", "Ask for work now or later; retry or cancel it."),
    "load": Lazy("rackwright.commands.load:load", "Prove what a service bears, and report on it."),
    "load-agent": Lazy("rackwright.commands.load_agent:load_agent", "Generate load for a controller."),
    "up": Lazy("rackwright.commands.up:up", "Run api, conductor and racks on this machine."),
    "demo": Lazy("rackwright.commands.demo:demo", "From nothing to a running cluster, and through its troubles."),
    "lab": Lazy("rackwright.commands.lab:lab", "Machines without hardware, on this host."),
    "sim": Lazy("rackwright.commands.sim:sim", "Thousands of machines and racks that are not there."),
    "serialize": Lazy(
        "rackwright.commands.serialize:serialize_command", "Evaluate a catalog for nodes, without a server."
    ),
    "api": Lazy("rackwright.commands.api:api", "Run the api."),
    "conductor": Lazy("rackwright.commands.conductor:conductor", "Run a conductor."),
    "serializer": Lazy("rackwright.commands.serializer:serializer", "Run a worker that shares the serialisation."),
    "dask": Lazy("rackwright.commands.dask:dask", "Run a Dask scheduler; make its certificates."),
    "postgres": Lazy("rackwright.commands.postgres:postgres", "Run the embedded PostgreSQL."),
}


class Root(LazyGroup):
    """The root: it turns every error into its words on stderr and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
            ctx.color = False
        try:
            return super().invoke(ctx)
        except RackwrightError as error:
            exits.tell(error)
            ctx.exit(exits.code_of(error))
        except (KeyboardInterrupt, click.Abort):
            click.echo("interrupted", err=True)
            ctx.exit(exits.INTERRUPTED)


@examples(
    "rackwright up                                          run everything here",
    "rackwright get nodes -o wide",
    "rackwright deployment plan web --bind front=n1,n2      what would run, and why",
    "rackwright deployment apply web --bind front=n1,n2 --wait",
    "rackwright logs -d web n1 install",
)
@click.group(
    cls=Root,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Data goes to stdout, messages to stderr. Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 conflict, "
    "5 not allowed, 6 some failed, 124 timeout, 130 interrupted.",
)
@click.version_option(rackwright.__version__, prog_name="rackwright")
def cli() -> None:
    """Turn racks of bare machines into working clusters: facts in, tasks that read facts, facts out."""


def main() -> None:
    """The entry point of the program."""
    cli(prog_name="rackwright")
