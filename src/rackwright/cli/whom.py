"""Whom a command means: nodes by name, or all that have something in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from rackwright.cli.client import Client
from rackwright.cli.node import split_pair

F = TypeVar("F", bound=Callable[..., Any])

_PLAIN = ("rack", "pool", "zone", "word")
OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option("-l", "--selector", multiple=True, metavar="KEY=VALUE", help="Nodes with this label."),
    click.option("--rack", metavar="NAME", help="Nodes of this rack."),
    click.option("--pool", metavar="NAME", help="Nodes of this pool."),
    click.option("--zone", metavar="NAME", help="Nodes of this zone."),
    click.option("--tag", "tags", multiple=True, metavar="NAME", help="Nodes with this tag."),
    click.option("--state", "word", metavar="WORD", help="Machines of this word: ready, deployed, ..."),
    click.option("--all", "everyone", is_flag=True, help="All nodes, or all that these options mean."),
)
"""To be laid on a command, the first one last."""


def whom(function: F) -> F:
    """The command means nodes: it gets their NAMES, and the options for those that have something in common."""
    for option in reversed(OPTIONS):
        function = option(function)
    named: F = click.argument("names", nargs=-1)(function)
    return named


def said(names: Sequence[str], how: dict[str, Any]) -> dict[str, Any]:
    """The part of a request that says whom, out of a command's options, which are taken away from ``how``. Raises a
    usage error where nobody is meant, or names and something else."""
    wanted: dict[str, Any] = {key: how.pop(key) for key in _PLAIN}
    wanted |= {"tags": list(how.pop("tags")), "labels": dict(split_pair(pair, "-l") for pair in how.pop("selector"))}
    everyone, common = how.pop("everyone"), {key: value for key, value in wanted.items() if value}
    if bool(names) is (everyone or bool(common)):
        raise click.UsageError("name nodes, or choose them: with -l, --rack, --pool, --zone, --tag, --state or --all")
    return {"names": list(names)} if names else {"whom": common}


def told(chosen: dict[str, Any]) -> str:
    """In words, whom ``said`` means."""
    if "names" in chosen:
        return ", ".join(chosen["names"])
    common = [f"{key} {_value(value)}" for key, value in chosen["whom"].items()]
    return f"all nodes with {', '.join(common)}" if common else "all nodes"


def names_of(client: Client, chosen: dict[str, Any]) -> list[str]:
    """The names of those whom ``said`` means."""
    if "names" in chosen:
        return list(chosen["names"])
    common = dict(chosen["whom"])
    labels, tags = common.pop("labels", {}), common.pop("tags", [])
    query = {
        **common,
        "tags": ",".join(tags) or None,
        "labels": ",".join(f"{k}={v}" for k, v in labels.items()) or None,
    }
    return [item["name"] for item in client.items("/nodes", **query)]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={inner}" for key, inner in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)
