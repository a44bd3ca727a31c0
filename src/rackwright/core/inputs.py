"""What a node task sees: its reads resolved over the facts, and the fingerprint of it all."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from rackwright.core.catalog import Catalog, Read, Task
from rackwright.core.facts import lookup, touches
from rackwright.core.files import named_files

Leaves = Mapping[str, Any]
"""Facts of one scope by path."""


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
    """Values by alias, and the paths of required facts that are not there."""

    values: dict[str, Any]
    missing: tuple[str, ...] = ()


def defaults_of(catalog: Catalog) -> dict[str, Any]:
    """The attribute defaults of every role, as facts ``desired.<role>.<attribute>``."""
    return {
        f"desired.{role.name}.{name}": schema["default"]
        for role in catalog.roles.values()
        for name, schema in role.attributes.get("properties", {}).items()
        if isinstance(schema, dict) and "default" in schema
    }


def resolve(task: Task, around: Surroundings) -> Inputs:
    """Resolve every read of the task.

    ``desired.*`` is inherited, the nearest wins: the node, its deployment, the deployment's ancestors, the role's
    default. Everything else is looked up on the scope that the read names and nowhere else.
    """
    values: dict[str, Any] = {}
    missing: list[str] = []
    for alias, read in task.reads.items():
        if read.scope == "nodes":
            values[alias] = _gather(read, around)
            continue
        found, value = lookup(_visible(read, task, around), read.path)
        if not found and not read.optional:
            missing.append(str(read))
        values[alias] = value
    return Inputs(values, tuple(missing))


def digest(task: Task, files: Mapping[str, str]) -> bytes:
    """16 bytes that differ when the task differs, or one of the catalog's texts (``files``) that it names."""
    texts = [(path, files[path]) for path in sorted(named_files(task.parameters)) if path in files]
    return hashlib.blake2b(task.digest + msgspec.msgpack.encode(texts), digest_size=16).digest()


def fingerprint(task: bytes, inputs: Inputs, context: Any) -> bytes:
    """16 bytes that differ when the task (its ``digest``), what it reads or its ``context`` (tags of the node)
    differ."""
    said = (task, inputs.values, inputs.missing, context)
    return hashlib.blake2b(msgspec.msgpack.encode(said, order="deterministic"), digest_size=16).digest()


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
