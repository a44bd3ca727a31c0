"""The kinds of things that the verbs know: their names, where the api has them, and their columns."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import click

from rackwright.cli.client import Client
from rackwright.cli.output import Column, Item, ago, compact, moment, span


@dataclass(frozen=True)
class Kind:
    """A kind of thing. ``within``: it is found in one deployment, and ``--deployment`` names it."""

    name: str
    also: tuple[str, ...]
    columns: tuple[Column, ...]
    within: bool = False
    key: str = "name"
    place: str = ""
    """Where the api has it; empty: under its plural."""

    @property
    def path(self) -> str:
        """The path of the list of them."""
        return f"/{self.place or self.name + 's'}"


def done(item: Item) -> str:
    """How many node tasks are active, of all."""
    return f"{item['tasks'].get('active', 0)}/{sum(item['tasks'].values())}"


def counts(item: Item) -> str:
    """Node tasks by state, those that are there."""
    return ", ".join(f"{number} {state}" for state, number in item["tasks"].items() if number) or "none"


def labels(item: Item) -> str:
    """Labels as ``key=value``."""
    return ",".join(f"{key}={value}" for key, value in sorted(item["labels"].items())) or "-"


def _plain(title: str, name: str, wide: bool = False) -> Column:
    return Column(title, lambda item: "-" if item.get(name) is None else str(item[name]), wide)


def _joined(title: str, name: str, wide: bool = False) -> Column:
    return Column(title, lambda item: ",".join(item[name]) or "-", wide)


def _filled(title: str, name: str) -> Column:
    return Column(title, lambda item: item[name] or "-", wide=True)


def _yes(title: str, name: str) -> Column:
    return Column(title, lambda item: "yes" if item[name] else "no", wide=True)


def _standing(title: str, name: str, wide: bool = False) -> Column:
    return Column(title, lambda item: item["machine"][name] or "-", wide)


def _age(title: str, name: str) -> Column:
    return Column(title, lambda item: ago(item.get(name)))


def _took(item: Item) -> str:
    seconds = item["ended_at"] - item["started_at"]
    return f"{seconds:.1f}s" if seconds < 60 else span(seconds)


NODE = Kind(
    "node", ("nodes", "no"),
    (
        _plain("NAME", "name"), _plain("RACK", "rack"), _plain("ADDRESS", "address"), _plain("STATE", "state"),
        Column("DONE", done), _joined("ROLES", "roles"), _joined("TAGS", "tags"), _yes("ALIVE", "alive"),
        _yes("AVAILABLE", "available"), _filled("POOL", "pool"), _filled("ZONE", "zone"),
        Column("LABELS", labels, wide=True),
    ),
)  # fmt: skip


def _served(item: Item) -> str:
    """How far a rack is with what it serves to machines."""
    serving = item.get("serving")
    if not serving:
        return "-"
    if serving["report"].get("foreign"):
        return "foreign-dhcp"
    if serving["report"].get("trouble"):
        return "trouble"
    return "current" if serving["applied"] == serving["generation"] else "behind"


def _effect(item: Item) -> str:
    """How long its newest change took from commit to answer."""
    effect = (item.get("serving") or {}).get("effect")
    return "-" if effect is None else f"{effect * 1000:.0f}ms"


RACK = Kind(
    "rack", ("racks", "ra"),
    (
        _plain("NAME", "name"), _plain("NODES", "nodes"), _age("SEEN", "last_seen"), Column("SERVES", _served),
        Column("EFFECT", _effect), Column("TASKS", counts),
    ),
)  # fmt: skip
ROLE = Kind(
    "role", ("roles", "ro"),
    (
        _plain("CATALOG", "catalog"), _plain("NAME", "name"), _joined("TAGS", "tags"),
        Column("ATTRIBUTES", lambda item: ",".join(item["attributes"].get("properties", {})) or "-", wide=True),
        _plain("SOURCE", "source", wide=True), _plain("DESCRIPTION", "description"),
    ),
)  # fmt: skip
CATALOG = Kind(
    "catalog", ("catalogs", "cat"),
    (_plain("NAME", "name"), Column("DIGEST", lambda item: str(item["digest"])[:12]), _age("AGE", "created_at")),
)  # fmt: skip
DEPLOYMENT = Kind(
    "deployment", ("deployments", "dep"),
    (
        _plain("NAME", "name"), _plain("STATE", "state"), Column("DONE", done), _plain("MEMBERS", "members"),
        _plain("CATALOG", "catalog"), _plain("PARENT", "parent"), _age("AGE", "created_at"),
        Column("TASKS", counts, wide=True),
    ),
)  # fmt: skip
TASK = Kind(
    "task", ("tasks", "ta"),
    (
        _plain("ID", "id"), _plain("TASK", "task"), _plain("ON", "scope"), _plain("STATE", "state"),
        _plain("ATTEMPT", "attempt"), _plain("RUNS", "runs"), _plain("GRAPH", "graph", wide=True),
        _plain("RACK", "rack", wide=True), _plain("WAITS", "waits", wide=True), _plain("REASON", "reason"),
    ),
    within=True, key="id",
)  # fmt: skip
PLAN = Kind(
    "plan", ("plans", "pl"),
    (
        _plain("ID", "id"), _plain("STATE", "state"), _plain("BY", "created_by"), _age("AGE", "created_at"),
        _plain("ERROR", "error"),
    ),
    within=True, key="id",
)  # fmt: skip
RUN = Kind(
    "run", (),
    (
        _plain("ID", "id"), _plain("TASK", "task"), _plain("ON", "scope"), _plain("ATTEMPT", "attempt"),
        _plain("OUTCOME", "outcome"), _plain("RACK", "rack", wide=True), _age("STARTED", "started_at"),
        Column("TOOK", _took), _plain("REASON", "reason"),
    ),
    within=True, key="id",
)  # fmt: skip
SERVICE = Kind(
    "service", (),
    (
        _plain("KIND", "kind"), _plain("NAME", "name"), _plain("HOST", "host"), _plain("PID", "pid"),
        _plain("VERSION", "version"), _plain("STATE", "state"), _age("STARTED", "started_at"), _age("SEEN", "seen_at"),
        Column("LAG", lambda item: f"{item['loop_lag'] * 1000:.0f}ms"),
    ),
)  # fmt: skip
ATTEMPT = Kind(
    "attempt", (),
    (
        _plain("ATTEMPT", "attempt"), _plain("DEPLOYMENT", "deployment"), _plain("OUTCOME", "outcome"),
        _age("STARTED", "started_at"), Column("TOOK", _took), _plain("RACK", "rack"),
        _plain("PROCESS", "incarnation", wide=True), _plain("INPUTS", "fingerprint", wide=True),
        Column("WROTE", lambda item: ",".join(item["outputs"]) or "-"), _plain("REASON", "reason"),
    ),
    key="id",
)  # fmt: skip
CHANGE = Kind(
    "change", (),
    (
        Column("TIME", lambda item: moment(item["at"])), Column("BY", lambda item: item["by"] or "-"),
        Column("FROM", lambda item: item["address"] or "-", wide=True), _plain("REQUEST", "request", wide=True),
        _plain("KIND", "kind"), _plain("TEXT", "text"),
        Column("BEFORE", lambda item: compact(item["before"]), wide=True),
        Column("AFTER", lambda item: compact(item["after"]), wide=True),
    ),
    key="id",
)  # fmt: skip

MACHINE = Kind(
    "machine", ("machines", "ma"),
    (
        _plain("NAME", "name"), _plain("WORD", "word"), _standing("HEALTH", "health"), _plain("ADDRESS", "address"),
        _plain("RACK", "rack"), _standing("ACTIVITY", "verb"), _standing("PHASE", "phase", wide=True),
        _standing("ALLOCATION", "allocation", wide=True), Column("SINCE", lambda item: ago(item["machine"]["since"])),
        Column("SEEN", lambda item: ago(item["machine"]["last_seen"]), wide=True), _standing("REASON", "reason"),
    ),
    place="nodes",
)  # fmt: skip

NETWORK = Kind(
    "network", ("networks", "net"),
    (
        _plain("NAME", "name"), _plain("CIDR", "cidr"), _joined("RACKS", "racks"), _plain("VLAN", "vlan"),
        _plain("HELD", "held"), _plain("FREE", "free"), _plain("GATEWAY", "gateway", wide=True),
        Column("STATIC", lambda item: "-".join(item["static"] or ()) or "-", wide=True),
        Column("DYNAMIC", lambda item: "-".join(item["dynamic"] or ()) or "-", wide=True),
        _yes("SHARED", "shared"),
    ),
)  # fmt: skip
GROUP = Kind("group", (), (_plain("NAME", "name"), _plain("NODES", "nodes"), _plain("READY", "ready")))
TAG_RULE = Kind(
    "tag-rule", (),
    (_plain("NAME", "name"), _plain("NODES", "nodes"), _plain("EXPRESSION", "expression"), _joined("READS", "reads")),
)  # fmt: skip
ANSWER = Kind(
    "answer", (), (_plain("NAME", "name"), _plain("WORD", "word"), Column("ERROR", lambda item: item["error"] or "-"))
)

KINDS = (NODE, MACHINE, RACK, NETWORK, ROLE, CATALOG, DEPLOYMENT, TASK, PLAN)


class KindName(click.ParamType[Kind]):
    """A kind by its name, plural or short form."""

    name = "kind"

    def __init__(self, kinds: Sequence[Kind] = KINDS) -> None:
        self._kinds = {word: kind for kind in kinds for word in (kind.name, *kind.also)}

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Kind:
        """The kind of a word; a usage error names the nearest."""
        if isinstance(value, Kind):
            return value
        word = str(value).lower()
        if word not in self._kinds:
            near = difflib.get_close_matches(word, self._kinds, n=1) or sorted({k.name for k in self._kinds.values()})
            self.fail(f"{word!r} is no kind of thing here. Did you mean {', '.join(near)}?", param, ctx)
        return self._kinds[word]


def named(client: Client, kind: Kind, names: Sequence[str]) -> list[Item]:
    """Things of a kind by name, each with all that the api tells of it."""
    return [client.get(f"{kind.path}/{name}") for name in names]
