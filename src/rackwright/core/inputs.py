"""What a node task sees: its reads resolved over the facts, and the fingerprint of it all.

A task says what it reads, or its expressions do: a path ``$.a.b`` in one is an optional read of the fact
``desired.a.b``. Everything read has a *place* in ``$``, the data that expressions see: its alias, or its path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.catalog import Catalog, Read, ScopeKind, Task
from rackwright.core.facts import lookup, touches
from rackwright.core.files import named_files

Leaves = Mapping[str, Any]
"""Facts of one scope by path."""
Path = tuple[str, ...]
"""Keys from ``$`` downwards; () is the whole."""
Known = dict[int, tuple[Any, str]]
"""Values with their fingerprints, by identity."""
ABSENT = "absent"
"""Stands for the fingerprint of what is not there."""
WHOLE = "$"
"""Place of the whole; a derived read has the alias ``$`` or ``$.a.b``, which no declared one can have."""
SURROUNDINGS = ("node", "deployment", "rack")
"""What every expression sees without a read."""
ITSELF = ("uid", "roles", "name", "fqdn")
"""What the expressions of a task with derived reads see of the node itself."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The scopes whose facts one node task may read, as facts by path.

    ``deployments`` goes from the task's own deployment up to its farthest ancestor; ``defaults`` are the attribute
    defaults of the catalog's roles; ``nodes`` are the members by name with their tags.
    """

    own: Leaves
    rack: Leaves = {}
    deployments: Sequence[Leaves] = ()
    defaults: Leaves = {}
    nodes: Mapping[str, tuple[Collection[str], Leaves]] = {}


class Inputs(msgspec.Struct, frozen=True):
    """Values by alias, the paths of required facts that are not there, what derived reads found, by place, and the
    places where they found nothing."""

    values: dict[str, Any]
    missing: tuple[str, ...] = ()
    found: dict[str, Any] = {}
    absent: tuple[str, ...] = ()

    @property
    def places(self) -> dict[str, Any]:
        """Everything that was read, by place."""
        return {**self.found, **self.values}


def defaults_of(catalog: Catalog) -> dict[str, Any]:
    """The attribute defaults of every role, as facts ``desired.<role>.<attribute>``."""
    return {
        f"desired.{role.name}.{name}": schema["default"]
        for role in catalog.roles.values()
        for name, schema in role.attributes.get("properties", {}).items()
        if isinstance(schema, dict) and "default" in schema
    }


def derive(task: Task, paths: Iterable[Path]) -> dict[str, Read]:
    """The reads that a task does not declare, for the paths under ``$`` that its expressions read.

    What is an alias of the task, or there without a read (SURROUNDINGS, ITSELF), needs none. The whole of ``$`` is the
    inputs of a task that declares any, and everything desired for one that does not.
    """
    scope: ScopeKind = "node" if task.scope == "node" else "deployment"
    known = {*task.reads, *SURROUNDINGS, *ITSELF}
    wanted = {path for path in paths if not path or path[0] not in known}
    if () in wanted:
        return {} if task.reads else {WHOLE: Read("desired", scope, optional=True)}
    shortest = sorted(path for path in wanted if not any(path[:end] in wanted for end in range(1, len(path))))
    return {".".join((WHOLE, *path)): Read(".".join(("desired", *path)), scope, optional=True) for path in shortest}


def resolve(task: Task, around: Surroundings) -> Inputs:
    """Resolve every read of the task.

    ``desired.*`` is inherited, the nearest wins: the node, its deployment, the deployment's ancestors, the role's
    default. Everything else is looked up on the scope that the read names and nowhere else. Where a derived read finds
    nothing its place is absent, not null.
    """
    inputs = Inputs({})
    missing: list[str] = []
    absent: list[str] = []
    seen: dict[tuple[str, bool], Leaves] = {}
    for alias, read in task.reads.items():
        if read.scope == "nodes":
            inputs.values[alias] = _gather(read, around)
            continue
        sight = (read.scope, (read.path + ".").startswith("desired."))
        if sight not in seen:
            seen[sight] = _visible(read, task, around)
        if alias.startswith(WHOLE):
            place = _place(seen[sight], alias, read.path)
            inputs.found.update(place)
            absent += [] if place else [alias.removeprefix(WHOLE + ".")]
            continue
        found, value = lookup(seen[sight], read.path)
        if not found and not read.optional:
            missing.append(str(read))
        inputs.values[alias] = value
    return Inputs(inputs.values, tuple(missing), inputs.found, tuple(absent))


def data(places: Mapping[str, Any], *, itself: bool, absent: Iterable[str] = ()) -> dict[str, Any]:
    """What expressions see as ``$``: everything read at its place. With ``itself`` also what the node is: ``uid``,
    ``name`` and ``fqdn`` are its name, ``roles`` are its tags.

    What is above an ``absent`` place is there: whoever asks ``$.a.get(b)`` takes ``a`` for a mapping, and only ``a.b``
    has been looked for.
    """
    tree: dict[str, Any] = dict(places.get(WHOLE, {}))
    node = places.get("node")
    if itself and isinstance(node, dict):
        tree |= dict.fromkeys(("uid", "name", "fqdn"), node["name"]) | {"roles": node["tags"]}
    for place in sorted(places.keys() - {WHOLE}):
        _plant(tree, place, places[place])
    for place in absent:
        _mapping_above(tree, place)
    return tree


def fingerprints(places: Mapping[str, Any], absent: Iterable[str] = (), known: Known | None = None) -> dict[str, str]:
    """The fingerprint (32 hexadecimal digits, or ABSENT) of everything that was read, by place.

    ``known`` spares work where places share values: it keeps the fingerprint of each mapping and list, which must not
    be changed as long as it is in use.
    """
    known = {} if known is None else known
    return {place: _known(value, known) for place, value in places.items()} | dict.fromkeys(absent, ABSENT)


def digest(task: Task, files: Mapping[str, str]) -> bytes:
    """16 bytes that differ when the task differs, or one of the catalog's texts (``files``) that it names."""
    texts = [(path, files[path]) for path in sorted(named_files(task.parameters)) if path in files]
    return hashlib.blake2b(task.digest + msgspec.msgpack.encode(texts), digest_size=16).digest()


def fingerprint(task: bytes, reads: Mapping[str, str], missing: Sequence[str] = ()) -> bytes:
    """16 bytes that differ when the task (its ``digest``), what it reads (``fingerprints``) or what it lacks differ."""
    return _hash((task, reads, missing))


def concerned(tasks: Collection[Task], scope: str, path: str) -> list[tuple[Task, str]]:
    """Tasks that may read the fact ``path`` of a scope of kind ``scope``, each with how it is reached: ``own`` (node
    tasks of that very scope), ``gathered`` (tasks that read it of all members) or ``all`` (every node task of the
    task: a fact of the deployment, or one that nodes inherit)."""
    found = []
    for task in tasks:
        for read in task.reads.values():
            reach = _reached(task, read, scope) if touches(read.path, path) else None
            if reach is not None:
                found.append((task, reach))
                break
    return found


def _hash(value: Any) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(value, order="deterministic"), digest_size=16).digest()


def _known(value: Any, known: Known) -> str:
    if not isinstance(value, dict | list):
        return _hash(value).hex()
    if id(value) not in known:
        known[id(value)] = value, _hash(value).hex()
    return known[id(value)][1]


def _reached(task: Task, read: Read, scope: str) -> str | None:
    if read.scope == "nodes":
        return "gathered" if scope == "node" else _inherits(read, scope)
    if read.scope == scope:
        return "own" if scope == task.scope else "all"
    return _inherits(read, scope)


def _inherits(read: Read, scope: str) -> str | None:
    return "all" if scope == "deployment" and (read.path + ".").startswith("desired.") else None


def _visible(read: Read, task: Task, around: Surroundings) -> Leaves:
    if read.scope == "rack":
        return around.own if task.scope == "rack" else around.rack
    own = around.own if read.scope == task.scope else {}
    if (read.path + ".").startswith("desired."):
        return _inherited(around, own)
    if read.scope == "deployment":
        return around.deployments[0] if around.deployments else around.own
    return own


def _inherited(around: Surroundings, own: Leaves) -> Leaves:
    seen: dict[str, Any] = dict(around.defaults)
    for leaves in reversed(around.deployments):
        seen.update(_desired(leaves))
    seen.update(_desired(own))
    return seen


def _place(leaves: Leaves, alias: str, path: str) -> dict[str, Any]:
    """What a derived read finds, by its place; nothing where there is nothing. Where its way ends early, at something
    that is no mapping (a list, whose items may have the key), this is what the expression has to see."""
    found, value = lookup(leaves, path)
    place = alias.removeprefix(WHOLE + ".")
    if found:
        return {place: value}
    parts = path.split(".")
    above = next((end for end in range(len(parts) - 1, 1, -1) if ".".join(parts[:end]) in leaves), 0)
    value = leaves[".".join(parts[:above])] if above else {}
    while isinstance(value, dict) and above < len(parts):
        value = value.get(parts[above], {})
        above += 1
    return {} if isinstance(value, dict) else {".".join(parts[1:above]): value}


def _plant(tree: dict[str, Any], place: str, value: Any) -> None:
    above = _mapping_above(tree, place)
    if above is not None:
        above[place.rpartition(".")[2]] = value


def _mapping_above(tree: dict[str, Any], place: str) -> dict[str, Any] | None:
    """The mapping in which a place is, made where there is none; None where something else stands in the way."""
    for part in place.split(".")[:-1]:
        inner = tree.setdefault(part, {})
        if not isinstance(inner, dict):
            return None
        tree = inner
    return tree


def _gather(read: Read, around: Surroundings) -> dict[str, Any]:
    wanted = set(read.tags)
    gathered = {}
    for name, (tags, leaves) in around.nodes.items():
        if wanted and wanted.isdisjoint(tags):
            continue
        found, value = lookup(_inherited(around, leaves) if read.path.startswith("desired.") else leaves, read.path)
        if found:
            gathered[name] = value
    return gathered


def _desired(leaves: Leaves) -> dict[str, Any]:
    return {path: value for path, value in leaves.items() if path.startswith("desired.")}
