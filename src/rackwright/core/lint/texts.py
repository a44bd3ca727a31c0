"""Faults inside texts: expressions, schemas of attributes, and files that tasks name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rackwright.core import legacy_expression
from rackwright.core.catalog import Catalog, Position, Role, Task
from rackwright.core.errors import InvalidInput
from rackwright.core.files import named_files
from rackwright.core.lint.finding import Finding, did_you_mean

CheckExpression = Callable[[str], str | None]
"""Gives the fault of a YAQL expression, None when it has none."""
CheckSchema = Callable[[dict[str, Any]], list[tuple[str, str]]]
"""Gives the faults of a JSON schema and of its defaults, each with its dotted path in the schema."""

_FIELDS = ("condition", "parameters", "cross_depends", "cross_depended_by")


def expressions(catalog: Catalog, check: CheckExpression) -> Iterator[Finding]:
    """Give every expression that cannot be parsed, with the key path at which it stands."""
    for graph in catalog.graphs.values():
        fault = check(graph.node_filter) if graph.node_filter else None
        if fault:
            yield _bad(f"graph {graph.type}: node_filter", fault, graph.source)
        for task in graph.tasks:
            if isinstance(task.condition, str):
                yield from _legacy(task, task.condition)
            for path, text in (found for field in _FIELDS for found in _expressions(getattr(task, field), field)):
                fault = check(text) if isinstance(text, str) else "it must be a text"
                if fault:
                    yield _bad(f"task {task.id}: {path}", fault, task.place(f"{path}.yaql_exp"))


def _legacy(task: Task, condition: str) -> Iterator[Finding]:
    try:
        legacy_expression.parse(condition)
    except InvalidInput as fault:
        message = f"task {task.id}: condition: {fault.what}"
        yield Finding("error", "bad-expression", task.place("condition"), message, fault.mend)


def _bad(where: str, fault: str, place: Position) -> Finding:
    return Finding("error", "bad-expression", place, f"{where} is no YAQL: {fault}", "correct the expression")


def _expressions(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and "yaql_exp" in value:
        yield path, value["yaql_exp"]
        return
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, below in pairs:
        yield from _expressions(below, f"{path}.{key}")


def schemas(catalog: Catalog, check: CheckSchema) -> Iterator[Finding]:
    """Give every fault of the attributes' schemas; they must be of an object, for each attribute is a fact."""
    for role in catalog.roles.values():
        if not role.attributes:
            continue
        if role.attributes.get("type", "object") != "object":
            message = f"role {role.name}: attributes must be a schema of an object"
            yield Finding("error", "bad-attribute-schema", role.place("attributes"), message, "write `type: object`")
        for path, fault in check(role.attributes):
            at = role.place(f"attributes.{path}" if path else "attributes")
            message = f"role {role.name}: attributes{f'.{path}' if path else ''}: {fault}"
            yield Finding("error", "bad-attribute-schema", at, message, "correct the schema or its default")
        for key in role.attributes:
            if "properties" not in role.attributes and isinstance(role.attributes[key], dict):
                message = f"role {role.name}: {key} stands where a keyword of JSON schema belongs"
                at = role.place(f"attributes.{key}")
                yield Finding("error", "bad-attribute-schema", at, message, "put the attributes below `properties:`")


def files(catalog: Catalog) -> Iterator[Finding]:
    """Give every file that a task with a jig, or a hook, names and the catalog does not hold."""
    for role in catalog.roles.values():
        yield from _missing_hooks(f"role {role.name}", role, catalog)
    for graph in catalog.graphs.values():
        for task in graph.tasks:
            yield from _missing_hooks(f"task {task.id}", task, catalog)
        for task in (task for task in graph.tasks if task.jig):
            yield from _missing(task, catalog)


def _missing_hooks(name: str, owner: Role | Task, catalog: Catalog) -> Iterator[Finding]:
    for key, file in owner.hooks.items():
        if file not in catalog.files:
            message = f"{name}: {key}: the catalog has no file {file}"
            mend = did_you_mean(file, catalog.files) or "add the file"
            yield Finding("error", "missing-file", owner.place(f"hooks.{key}"), message, mend)


def _missing(task: Task, catalog: Catalog) -> Iterator[Finding]:
    for file, path in named_files(task.parameters).items():
        if file not in catalog.files:
            message = f"task {task.id}: the catalog has no file {file}"
            mend = did_you_mean(file, catalog.files) or "add the file; a script written in place needs a line break"
            yield Finding("error", "missing-file", task.place(f"parameters.{path}"), message, mend)
