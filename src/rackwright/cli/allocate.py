"""``rackwright node allocate``: machines by name, or so many of a kind."""

from __future__ import annotations

from typing import Any

import click

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.kinds import ANSWER
from rackwright.cli.machine import tell
from rackwright.cli.options import operator, output
from rackwright.cli.output import Output, say
from rackwright.cli.whom import whom
from rackwright.core.lifecycle import VERBS

_AMOUNTS = ("cpu", "memory", "disk", "nics", "speed")
_HELP = {
    "cpu": "Threads, like '>=16'.",
    "memory": "Like '>=64G'; G is 1,024 M.",
    "disk": "Of the largest disk, like '>=1T'.",
    "nics": "How many interfaces.",
    "speed": "Of the fastest interface, like '>=25G'.",
}


def _wish(function: Any) -> Any:
    """The command may wish for machines: the options of a wish."""
    options = [click.option(f"--{name}", metavar="AMOUNT", help=_HELP[name]) for name in _AMOUNTS]
    options += [
        click.option("--count", type=click.IntRange(1), help="So many ready machines that are as these options say."),
        click.option("--not-with", multiple=True, metavar="DEPLOYMENT", help="In no rack that has a member of it."),
        click.option("--spread", type=click.Choice(["rack", "zone"]), help="As evenly as can be over these."),
        click.option("--dry-run", is_flag=True, help="Only tell how many pass each of these."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@examples(
    "rackwright node allocate n1 n2",
    "rackwright node allocate --count 40 --cpu '>=16' --memory '>=64G' --tag gpu --pool x --spread rack",
    "rackwright node allocate --count 3 --zone east --tag '!slow' --not-with web",
)
@click.command(help=VERBS["allocate"].does)
@_wish
@whom
@output
@operator
def allocate(client: Client, *, names: tuple[str, ...], output: Output, **how: Any) -> None:
    """By name or by what they have in common; with --count, as many as are wished for, all or none."""
    wish = {key: how.pop(key) for key in (*_AMOUNTS, "count", "not_with", "spread", "dry_run")}
    if wish["count"] is None:
        if any(wish.values()):
            raise click.UsageError("a wish needs --count")
        tell(client, VERBS["allocate"], names, how, output)
        return
    if names or how["everyone"] or how["selector"] or how["word"]:
        raise click.UsageError("--count chooses among ready machines: give no names, -l, --state or --all")
    body = _body(wish, how)
    if wish["dry_run"]:
        found = client.post("/nodes:outlook", body)
        output.item(found, lambda: say(f"{found['passing']} can be given: {found['explanation']}"))
        return
    output.items(client.post("/nodes:allocate", body)["items"], ANSWER.columns, ANSWER.name)


def _body(wish: dict[str, Any], how: dict[str, Any]) -> dict[str, Any]:
    said = {key: value for key, value in wish.items() if value and key != "dry_run"}
    lists = {f"{kind}s": how[kind].split(",") for kind in ("rack", "pool", "zone") if how[kind]}
    return {**said, **lists, "tags": list(how["tags"])}
