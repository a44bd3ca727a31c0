"""``rackwright serialize``: the evaluated graph of a catalog for given nodes and data, with no server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from rackwright.cli.output import write_texts
from rackwright.commands.configuration import read_policy
from rackwright.commands.progress import progress
from rackwright.core.catalog import Catalog
from rackwright.core.errors import InvalidInput, RackwrightError
from rackwright.core.resolution import MASTER, RACK_PREFIX, Member
from rackwright.core.role_order import arranged
from rackwright.core.subgraph import Subgraph
from rackwright.engine.catalogs.read import read_catalog
from rackwright.engine.serialization import LOCAL, NOWHERE, State, chosen_members, graph_of, serialize
from rackwright.engine.serialization.forms import FORMS, Mode, Named
from rackwright.engine.serialization.policy import POLICIES, PolicySettings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_Decoded = TypeVar("_Decoded")


class _Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the nodes file."""

    uid: str
    tags: tuple[str, ...]
    rack: str | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be serialised, and how: the graphs in their order, the only tasks that may run (none named: all), the
    parts of the graph, whether old data is ignored, and what ``{MASTER_IP}`` means."""

    graphs: tuple[str, ...]
    tasks: tuple[str, ...] = ()
    subgraphs: tuple[Subgraph, ...] = ()
    force: bool = False
    master_ip: str = LOCAL


@click.command("serialize")
@click.option("--catalog", "folder", type=_FOLDER, required=True, help="Folder of the catalog.")
@click.option("--nodes", "nodes_file", type=_FILE, required=True, help="JSON: a list of {uid, tags, rack}.")
@click.option(
    "--state", "state_file", type=_FILE, required=True, help="JSON: {new: {common, nodes}, old: null or same}."
)
@click.option("--format", "form", type=click.Choice(list(FORMS)), default="json", show_default=True)
@click.option(
    "--edges",
    type=click.Choice(["relations", "full"]),
    default="relations",
    show_default=True,
    help="Each relation once, or every edge of every instance (fuel-json has them always).",
)
@click.option(
    "--graph",
    "graphs",
    multiple=True,
    default=("deploy",),
    show_default=True,
    metavar="TYPE",
    help="Which graph; several make a sequence.",
)
@click.option("--task", "tasks", multiple=True, metavar="TASK", help="Only these tasks run; the others are skipped.")
@click.option(
    "--subgraph",
    "subgraphs",
    multiple=True,
    metavar="START:END",
    help="Only what follows START and comes before END runs: task, or task/1-3,5; either may be empty.",
)
@click.option("--force", is_flag=True, help="As if nothing had ever run.")
@click.option(
    "--mode",
    type=click.Choice(["run", "dry-run", "noop"]),
    default="run",
    show_default=True,
    help="What whoever carries the graph out is told to do.",
)
@click.option("--policy", type=click.Choice(POLICIES), help="Who does the work.  [default: the setting, or auto]")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Folder with the settings.")
@click.option("--master-ip", default=LOCAL, show_default=True, help="What {MASTER_IP} means in Fuel's parameters.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not to stdout.")
def serialize_command(
    *, folder: Path, nodes_file: Path, state_file: Path, form: str, edges: str, mode: Mode, output: Path | None,
    policy: str | None, data: Path | None, subgraphs: tuple[str, ...], **wanted: Any,
) -> None:  # fmt: skip
    """Print every task on every node with evaluated parameters, and what each must follow.

    Example: rackwright serialize --catalog ./catalog --nodes nodes.json --state state.json --format fuel-json
    """
    try:
        asked = Wanted(**wanted, subgraphs=tuple(map(_subgraph, subgraphs)))
        catalog, members = read_catalog(folder), _members(nodes_file)
        state = _decoded(state_file, State)
        settings = read_policy({"policy": policy, "data": data}, os.environ)
        graphs = [_serialized(catalog, name, members, state, asked, settings) for name in asked.graphs]
        write_texts(FORMS[form](graphs, mode, full=edges == "full"), output)
    except RackwrightError as error:
        faults = error.faults[1:] if isinstance(error, InvalidInput) else ()
        raise click.ClickException("\n".join([str(error), *faults])) from error
    except RecursionError as error:
        raise click.ClickException(f"{state_file}: the data is nested too deeply to be evaluated") from error


def _serialized(
    catalog: Catalog, name: str, members: list[Member], state: State, asked: Wanted, policy: PolicySettings
) -> Named:
    graph = arranged(graph_of(catalog.graphs, name), catalog.roles)
    chosen = chosen_members(graph, members, state)
    if members and not chosen:
        click.echo(f"the node filter of the graph {graph.type} takes none of the {len(members)} nodes", err=True)
    with progress("node tasks") as tell:
        made = serialize(
            graph.tasks,
            chosen,
            state,
            policy=policy,
            only=asked.tasks or None,
            force=asked.force,
            master_ip=asked.master_ip,
            progress=tell,
        )
    if asked.subgraphs:
        made = made.within(asked.subgraphs)
    for warning in made.warnings:
        click.echo(f"warning: {warning}", err=True)
    return Named(graph.type, made)


def _subgraph(text: str) -> Subgraph:
    start, colon, end = text.partition(":")
    if not colon or not (start or end):
        raise InvalidInput(f"{text!r} is no part of a graph", where="--subgraph", mend="write START:END")
    return Subgraph(start=(start,) if start else (), end=(end,) if end else ())


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
