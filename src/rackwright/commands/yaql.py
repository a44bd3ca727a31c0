"""``rackwright yaql``: the value of an expression at a node of a deployment, or over a state file without a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from rackwright.cli.client import Client
from rackwright.cli.examples import examples
from rackwright.cli.options import output, reachable
from rackwright.cli.output import Output, compact
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.resolution import MASTER
from rackwright.engine.expressions import Context, Evaluator


class _Snapshot(msgspec.Struct, frozen=True):
    """The data of one moment; only the node that is asked for is decoded."""

    common: Any
    nodes: dict[str, msgspec.Raw]

    def own(self, node: str) -> Any:
        """The part of a node; None where there is none."""
        return msgspec.json.decode(self.nodes[node]) if node in self.nodes else None


class _State(msgspec.Struct, frozen=True):
    """A state file."""

    new: _Snapshot
    old: _Snapshot | None = None


@examples(
    "rackwright yaql '$.web.port' --node n1",
    "rackwright yaql 'changed($.web.port)' --node n1 --task configure -d web",
    "rackwright yaql '$.roles' --node 3 --state state.json",
)
@click.command()
@click.argument("expression", metavar="EXPR")
@click.option("--node", required=True, help="Where to evaluate: a node, a rack or a deployment, by its name.")
@click.option("-d", "--deployment", help="The deployment. Needed where the node is part of several.")
@click.option("--task", help="Old data is what this task read when it last ended well there.")
@click.option(
    "--state",
    "state_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Over this state file (JSON: {new: {common, nodes}, old}), without a server.",
)
@output
@reachable
def yaql(
    connect: Callable[[], Client],
    *,
    expression: str,
    node: str,
    deployment: str | None,
    task: str | None,
    state_file: Path | None,
    output: Output,
) -> None:
    """Evaluate a YAQL expression where a node stands, and print its value. An expression that fails ends with code 1.

    $ is what a task there would see. Without --task there is no old data: everything has changed.
    """
    if state_file is not None:
        if deployment or task:
            raise click.UsageError("--state has no deployments and no tasks: leave out --deployment and --task")
        found = {"expression": expression, "node": node, "value": _over(state_file, expression, node)}
    else:
        found = connect().post(
            "/evaluations", {"expression": expression, "node": node, "deployment": deployment, "task": task}
        )
    output.item(found, lambda: click.echo(compact(found["value"])), compact(found["value"]))


def _over(file: Path, expression: str, node: str) -> Any:
    try:
        state = msgspec.json.decode(file.read_bytes(), type=_State)
        new, old = state.new.own(node), state.old.own(node) if state.old is not None else None
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(file), mend="give a readable file") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(error), where=str(file), mend="see docs/reference/serialize.md for the form") from error
    if new is None:
        if node != MASTER:
            raise NotFound(f"the state has no node {node}", where=str(file), mend=f"it has: {_some(state.new.nodes)}")
        new = {"uid": MASTER, "roles": [MASTER]}
    before = None if state.old is None or old is None else Context(state.old.common, old).new
    return Evaluator().evaluate(expression, Context(state.new.common, new, before), where=f"{file}: node {node}")


def _some(names: dict[str, Any]) -> str:
    shown = sorted(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
