"""Changes to a deployment from the command line and from YAML files: what a plan is asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import yaml

from rackwright.cli.client import Client
from rackwright.cli.node import json_or_text, split_pair
from rackwright.core.errors import InvalidInput

F = TypeVar("F", bound=Callable[..., Any])
Changes = dict[str, Any]
KEYS = ("catalog", "graph", "bind", "unbind", "cascade", "set", "set_nodes", "tasks", "subgraphs", "then")


def change_options(function: F) -> F:
    """The command takes changes: it gets ``changes``, a function of the client that gives them (names resolved)."""

    @click.option("--bind", multiple=True, metavar="ROLE=NODES", help="Bind a role: n1,n2 or @rack:r1 or @all.")
    @click.option("--unbind", multiple=True, metavar="ROLE=NODES", help="Take a role away from nodes; *=n1: all of n1.")
    @click.option("--cascade", is_flag=True, help="With --unbind: what depends on it on the same node goes too.")
    @click.option("--set", "set_", multiple=True, metavar="ROLE.ATTR=VALUE", help="An attribute for all; JSON or text.")
    @click.option("--set-node", multiple=True, metavar="NODE:ROLE.ATTR=VALUE", help="An attribute for one node.")
    @click.option("--graph", "graphs", multiple=True, help="The type of graph, default: deploy. More of them: in turn.")
    @click.option("--task", "tasks", multiple=True, metavar="TASK[/NODES]", help="Let only this run; may be repeated.")
    @click.option("--subgraph", "subgraphs", multiple=True, metavar="A..B", help="Let only what lies between run.")
    @click.option("--catalog", help="Use the newest catalog of this name from now on.")
    @click.option("-f", "--file", "file", type=click.Path(exists=True, dir_okay=False), help="Changes in YAML.")
    @functools.wraps(function)
    def run(
        *args: Any,
        bind: tuple[str, ...],
        unbind: tuple[str, ...],
        cascade: bool,
        set_: tuple[str, ...],
        set_node: tuple[str, ...],
        graphs: tuple[str, ...],
        tasks: tuple[str, ...],
        subgraphs: tuple[str, ...],
        catalog: str | None,
        file: str | None,
        **options: Any,
    ) -> Any:
        def changes(client: Client) -> Changes:
            made = read_changes(file) if file else {}
            made = {**made, **_bindings(client, "bind", bind, made), **_bindings(client, "unbind", unbind, made)}
            made["set"] = _merged(made.get("set", {}), _attributes(set_), levels=2)
            made["set_nodes"] = _merged(made.get("set_nodes", {}), _node_attributes(set_node), levels=3)
            parts = _parts(graphs, tasks, subgraphs)
            made |= {key: value for key, value in (*_plain(catalog, cascade), *parts) if value}
            return {key: value for key, value in made.items() if value}

        return function(*args, changes=changes, **options)

    return cast(F, run)


def _plain(catalog: str | None, cascade: bool) -> list[tuple[str, Any]]:
    return [("catalog", catalog), ("cascade", cascade)]


def _parts(graphs: tuple[str, ...], tasks: tuple[str, ...], subgraphs: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Which graphs, and which parts of them."""
    between = []
    for text in subgraphs:
        start, dots, end = text.partition("..")
        if not dots or not (start or end):
            raise click.UsageError(f"--subgraph takes FIRST..LAST, either may be left out, not {text!r}")
        between.append({"start": start.split(), "end": end.split()})
    return [("graph", next(iter(graphs), None)), ("then", graphs[1:]), ("tasks", tasks), ("subgraphs", between)]


def read_yaml(path: str) -> dict[str, Any]:
    """A YAML file that holds a mapping. Raises InvalidInput with file and line."""
    try:
        read = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"this is not YAML: {error.problem}", where=f"{path}:{line}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"the file cannot be read: {error}", where=path) from None
    if not isinstance(read, dict):
        raise InvalidInput("a mapping is needed", where=path, mend="write it as `key: value` lines")
    return read


def read_changes(path: str) -> Changes:
    """The changes in a YAML file."""
    return check_keys(read_yaml(path), KEYS, path)


def check_keys(given: dict[str, Any], known: Iterable[str], where: str) -> dict[str, Any]:
    """Refuse keys that are not known."""
    strange = sorted(map(str, set(given) - set(known)))
    if strange:
        raise InvalidInput(f"unknown keys: {', '.join(strange)}", where=where, mend=f"known are {', '.join(known)}")
    return given


def resolve(client: Client, names: Iterable[str]) -> list[str]:
    """Names of nodes; ``@all`` and ``@rack:NAME`` mean those that are known now."""
    found: list[str] = []
    for name in names:
        if name == "@all":
            found += [node["name"] for node in client.items("/nodes")]
        elif name.startswith("@rack:"):
            rack = client.get(f"/racks/{name.removeprefix('@rack:')}")
            found += [node["name"] for node in client.items("/nodes", rack=rack["name"])]
        elif name.startswith("@"):
            raise InvalidInput(f"{name} means no nodes", where=name, mend="write @all or @rack:NAME")
        else:
            found.append(name)
    return list(dict.fromkeys(found))


def resolve_changes(client: Client, changes: Changes) -> Changes:
    """Changes with ``@all`` and ``@rack:NAME`` replaced by the nodes that they mean."""
    resolved = dict(changes)
    for key in ("bind", "unbind"):
        if key in changes:
            resolved[key] = {role: resolve(client, _names(nodes)) for role, nodes in changes[key].items()}
    return resolved


def _bindings(client: Client, key: str, given: tuple[str, ...], made: Changes) -> Changes:
    roles: dict[str, list[str]] = {role: _names(nodes) for role, nodes in made.get(key, {}).items()}
    for text in given:
        role, nodes = split_pair(text, f"--{key}")
        roles.setdefault(role, []).extend(_names(nodes))
    return {key: {role: resolve(client, nodes) for role, nodes in roles.items()}}


def _names(nodes: Any) -> list[str]:
    return [name for name in nodes.split(",") if name] if isinstance(nodes, str) else list(nodes)


def _attributes(given: Iterable[str]) -> dict[str, Any]:
    """Values by role and attribute, of a catalog that is not strict also by section and key, or by section alone."""
    values: dict[str, Any] = {}
    for text in given:
        key, value = split_pair(text, "--set")
        role, dot, attribute = key.partition(".")
        if not role or (dot and not attribute):
            raise click.UsageError(f"--set takes ROLE.ATTRIBUTE=VALUE, not {text!r}")
        if dot:
            values[role] = _merged(values.get(role), {attribute: json_or_text(value)}, levels=1)
        else:
            values[role] = json_or_text(value)
    return values


def _node_attributes(given: Iterable[str]) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for text in given:
        node, colon, rest = text.partition(":")
        if not node or not colon:
            raise click.UsageError(f"--set-node takes NODE:ROLE.ATTRIBUTE=VALUE, not {text!r}")
        values[node] = _merged(values.get(node, {}), _attributes([rest]), levels=2)
    return values


def _merged(old: Any, new: Any, levels: int) -> Any:
    """Both mappings; below ``levels`` levels values are replaced whole, also where they are mappings. A plain value
    replaces a mapping, and a mapping a plain value."""
    if levels == 0 or not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _merged(old.get(key), value, levels - 1) for key, value in new.items()}}
