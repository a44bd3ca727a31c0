"""``rackwright plan explain``: why a node task runs, is skipped or waits."""

from __future__ import annotations

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.options import operator, output
from rackwright.cli.output import Item, Output, ago, compact, fields, paint, span, table

_LONGEST = 40
"""Characters of a value that a table shows."""
_MARKS = {"different": "*", "new": "+", "gone": "-"}


@examples(
    "rackwright plan explain n1 install",
    "rackwright plan explain n1 install -d web -o json",
)
@click.command()
@click.argument("scope", metavar="NODE")
@click.argument("task")
@click.option("-d", "--deployment", help="The deployment. Needed where several have the task on the node.")
@output
@operator
def explain(client: Client, *, scope: str, task: str, deployment: str | None, output: Output) -> None:
    """Tell why a TASK runs, is skipped or waits on a NODE (or on a rack or deployment, by its name).

    Marks: * differs from what the last good run read, + was not there, - is not there any more.
    """
    found: Item = client.get("/explanation", node=scope, task=task, deployment=deployment)
    output.item(found, lambda: _people(found), f"task/{found['node']}/{found['task']}")


def _people(found: Item) -> None:
    condition = found["condition"]
    value = f"fails: {condition['error']}" if condition["value"] is None else compact(condition["value"])
    fields(
        [
            ("task", f"{found['task']} on {found['node']} in {found['deployment']}"),
            ("state", paint(found["state"])),
            ("verdict", f"{found['verdict']}: {found['why']}"),
            ("condition", f"{' '.join(condition['text'].split())}  ->  {value}"),
            ("last run", _run(found["last_run"])),
        ]
    )
    if found["waits_for"]:
        click.echo("waits for:")
        table([["", obstacle["kind"], obstacle["what"]] for obstacle in found["waits_for"]])
    if found["reads"]:
        click.echo("reads:")
        table(
            [_read(read) for read in found["reads"]],
            ["", "", "PLACE", "READ", "RECORDED", "NOW"],
        )


def _read(read: Item) -> list[str]:
    mark = _MARKS.get(read["change"], "")
    return ["", mark, read["place"], read["read"] or "-", _recorded(read), _value(read, "now", "absent")]


def _recorded(read: Item) -> str:
    return "-" if read["change"] in ("new", "unrecorded") else _value(read, "recorded", "not kept")


def _value(read: Item, key: str, without: str) -> str:
    return _short(compact(read[key])) if key in read else without


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _run(run: Item | None) -> str:
    if run is None:
        return "never"
    took = span(run["ended_at"] - run["started_at"])
    why = f": {run['reason']}" if run["reason"] else ""
    return f"attempt {run['attempt']}, {run['outcome']} {ago(run['ended_at'])} ago after {took}{why}"
