"""``rackwright deployment graph``: node tasks and what follows what, as a table, JSON, DOT or SVG."""

from __future__ import annotations

import json
from pathlib import Path

import click

from rackwright.cli.client import Client
from rackwright.cli.deployment_drawing import draw, to_dot, to_svg
from rackwright.cli.examples import examples
from rackwright.cli.kinds import TASK
from rackwright.cli.options import operator
from rackwright.cli.output import Item, Output, paint, table


@examples(
    "rackwright deployment graph web -o svg --into web.svg",
)
@click.command()
@click.argument("name")
@click.option("-o", "--output", "form", type=click.Choice(["table", "dot", "svg", "json"]), default="table")
@click.option("--node", help="The node tasks of this node, instead of tasks with their counts.")
@click.option("--into", type=click.Path(dir_okay=False, path_type=Path), help="Write there, not to stdout.")
@operator
def graph(client: Client, *, name: str, form: str, node: str | None, into: Path | None) -> None:
    """Show the graph of a deployment as it stands. Each task stands once, with its node tasks counted by state."""
    found: Item = client.get(f"/deployments/{name}/graph")
    if form == "table":
        _table(found, node)
        return
    if form == "json":
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    else:
        drawn = draw(name, found, node)
        text = to_svg(drawn) if form == "svg" else to_dot(drawn)
    if into is None:
        click.echo(text, nl=False)
    else:
        into.write_text(text, encoding="utf-8")


def _table(found: Item, node: str | None) -> None:
    if node is not None:
        tasks = [task for task in found["tasks"] if task["scope"] == node]
        Output().items(tasks, TASK.columns)
        return
    drawn = draw("", found, None)
    rows = [
        [
            box.name,
            paint(box.state),
            box.words,
            ", ".join(sorted({e[0] for e in drawn.edges if e[1] == box.name})) or "-",
        ]
        for box in drawn.boxes
    ]
    table(rows, ("TASK", "STATE", "NODE TASKS", "FOLLOWS"))
