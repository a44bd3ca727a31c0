"""``rackwright serialize``: the evaluated graph of a catalog for given nodes and data, with no server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import yaml

from rackwright.cli.output import write_text
from rackwright.core.catalog import Catalog
from rackwright.core.errors import InvalidInput, RackwrightError
from rackwright.core.resolution import MASTER, RACK_PREFIX, Member
from rackwright.engine import serialization
from rackwright.engine.catalogs.read import read_catalog
from rackwright.engine.expressions import Evaluator
from rackwright.engine.fuel_json import NOWHERE, fuel_graph
from rackwright.engine.serialization import LOCAL, Progress, SerializedGraph, State, chosen_members, graph_of

_PAUSE = 2.0
"""Seconds between two messages of progress."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_Decoded = TypeVar("_Decoded")


class _Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the nodes file."""

    uid: str
    tags: tuple[str, ...]
    rack: str | None = None


@click.command()
@click.option("--catalog", "folder", type=_FOLDER, required=True, help="Folder of the catalog.")
@click.option("--nodes", "nodes_file", type=_FILE, required=True, help="JSON: a list of {uid, tags, rack}.")
@click.option(
    "--state", "state_file", type=_FILE, required=True, help="JSON: {new: {common, nodes}, old: null or same}."
)
@click.option("--format", "form", type=click.Choice(["fuel-json", "json", "yaml"]), default="json", show_default=True)
@click.option("--graph", "wanted", default="deploy", show_default=True, metavar="TYPE", help="Which graph.")
@click.option("--master-ip", default=LOCAL, show_default=True, help="What {MASTER_IP} means in Fuel's parameters.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not to stdout.")
def serialize(
    *, folder: Path, nodes_file: Path, state_file: Path, form: str, wanted: str, master_ip: str, output: Path | None
) -> None:
    """Print every task on every node with evaluated parameters, and what each must follow.

    Example: rackwright serialize --catalog ./catalog --nodes nodes.json --state state.json --format fuel-json
    """
    try:
        graph = _serialized(read_catalog(folder), nodes_file, state_file, wanted, master_ip)
        write_text(_WRITERS[form](graph), output)
    except RackwrightError as error:
        faults = error.faults[1:] if isinstance(error, InvalidInput) else ()
        raise click.ClickException("\n".join([str(error), *faults])) from error
    except RecursionError as error:
        raise click.ClickException(f"{state_file}: the data is nested too deeply to be evaluated") from error


def _serialized(catalog: Catalog, nodes_file: Path, state_file: Path, wanted: str, master_ip: str) -> SerializedGraph:
    graph = graph_of(catalog.graphs, wanted)
    members = _members(nodes_file)
    state = _decoded(state_file, State)
    evaluator = Evaluator()
    chosen = chosen_members(graph, members, state, evaluator)
    if members and not chosen:
        click.echo(f"the node filter of the graph {graph.type} takes none of the {len(members)} nodes", err=True)
    result = serialization.serialize(
        graph.tasks, chosen, state, evaluator=evaluator, master_ip=master_ip, progress=_progress(time.monotonic)
    )
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    return result


def _members(file: Path) -> list[Member]:
    nodes = _decoded(file, list[_Node])
    seen: set[str] = set()
    for number, node in enumerate(nodes):
        if node.uid in seen:
            raise InvalidInput(f"the node {node.uid} is there twice", where=f"{file}: $[{number}]", mend="name it once")
        if node.uid in ("", MASTER, NOWHERE) or node.uid.startswith(RACK_PREFIX):
            raise InvalidInput(
                f"no node can be called {node.uid!r}", where=f"{file}: $[{number}]", mend="give it another uid"
            )
        seen.add(node.uid)
    return [Member(name=node.uid, tags=node.tags, rack=node.rack) for node in nodes]


def _decoded(file: Path, kind: type[_Decoded]) -> _Decoded:
    """Read a JSON file of a known form. Raises InvalidInput with file and place of the first fault."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(file), mend="give a readable file") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(error), where=str(file), mend="see docs/reference/serialize.md for the form") from error


def _progress(clock: Callable[[], float]) -> Progress:
    """Tell now and then how far the work is, on stderr; short work passes in silence."""
    last = clock()

    def tell(done: int, total: int) -> None:
        nonlocal last
        if clock() - last >= _PAUSE:
            last = clock()
            click.echo(f"evaluated {done} of {total} instances", err=True)

    return tell


def _own_form(graph: SerializedGraph) -> Any:
    return msgspec.to_builtins(
        {
            "instances": [
                {
                    "node": instance.node,
                    "task": instance.id,
                    "type": instance.type,
                    "parameters": instance.parameters,
                    "fail_on_error": instance.fail_on_error,
                    "requires": [{"task": task, "node": node} for task, node in instance.requires],
                    "required_for": [{"task": task, "node": node} for task, node in instance.required_for],
                }
                for instance in graph.instances
            ],
            "fault_tolerance_groups": graph.groups,
            "warnings": graph.warnings,
        }
    )


_WRITERS: dict[str, Callable[[SerializedGraph], str]] = {
    "fuel-json": lambda graph: json.dumps(fuel_graph(graph), indent=1, sort_keys=True) + "\n",
    "json": lambda graph: json.dumps(_own_form(graph), indent=2) + "\n",
    "yaml": lambda graph: str(yaml.dump(_own_form(graph), Dumper=_DUMPER, sort_keys=False)),
}
