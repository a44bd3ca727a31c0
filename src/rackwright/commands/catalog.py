"""``rackwright catalog lint|show|graph``: check, show and draw a catalog, with no server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from rackwright.cli.drawing import picture, role_named, to_dot, to_svg
from rackwright.cli.examples import examples
from rackwright.cli.output import Output, compact, fields, say, table, write_text
from rackwright.core.catalog import Catalog, Role, Selector, Task
from rackwright.core.errors import NotFound
from rackwright.core.lint.finding import Finding, did_you_mean, in_reading_order
from rackwright.core.resolution import selector_of
from rackwright.core.task_graph import task_graph
from rackwright.engine.catalogs import examine_catalog, find, folders, lint_catalog, stack

_ROLE_LISTS = ("requires", "precedes", "provides", "conflicts")
_ROLE_FLAGS = ("milestone", "abstract", "implicit", "discovery", "cluster", "service")


@examples(
    "rackwright catalog lint ./mycatalog",
    "rackwright catalog lint messaging ./mine     mine as a layer on the shipped one",
)
@click.command()
@click.argument("catalogs", metavar="NAME_OR_FOLDER...", nargs=-1, required=True)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--strict", is_flag=True, help="As if the catalog said strict: true.")
@click.pass_context
def lint(ctx: click.Context, *, catalogs: tuple[str, ...], form: str, strict: bool) -> None:
    """Report every fault of a catalog at once, with file and line.

    Several are layers, the most general first. Exit code: 1 when there is an error, else 0.
    """
    catalog, findings = examine(catalogs, strict=strict)
    counts = Counter(found.severity for found in findings)
    if form == "json":
        listed = [_as_item(found) for found in findings]
        Output("json").item(
            {"catalog": catalog.name, "findings": listed, "errors": counts["error"], "warnings": counts["warning"]},
            lambda: None,
        )
    else:
        if findings:
            table([_row(found) for found in findings], ["PLACE", "SEVERITY", "CODE", "FINDING"])
        say(f"catalog {catalog.name}: {_plural(counts['error'], 'error')}, {_plural(counts['warning'], 'warning')}")
    ctx.exit(1 if counts["error"] else 0)


@examples(
    "rackwright catalog show messaging",
    "rackwright catalog show messaging nats      its role, with the attributes",
)
@click.command()
@click.argument("catalog", metavar="NAME_OR_FOLDER")
@click.argument("thing", metavar="[TASK|ROLE]", required=False)
@click.option("-o", "--output", "form", type=click.Choice(["table", "json", "yaml"]), default="table")
def show(*, catalog: str, thing: str | None, form: str) -> None:
    """Show the roles with their attributes, the graphs and the tasks of a catalog; or one task or role."""
    found, output = find(catalog), Output(form)
    if thing is None:
        output.item(_plain(found), lambda: _show_catalog(found))
        return
    tasks = [(graph.type, task) for graph in found.graphs.values() for task in graph.tasks if task.id == thing]
    role = found.roles.get(thing)
    if role is None and not tasks:
        known = [*found.roles, *(task.id for graph in found.graphs.values() for task in graph.tasks)]
        mend = did_you_mean(thing, known) or f"see `rackwright catalog show {catalog}`"
        raise NotFound(f"the catalog {found.name} has no task and no role {thing}", mend=mend)
    if role is not None:
        output.item(_plain(role), lambda: _show_role(role))
    for graph, task in tasks:
        _show_one_task(output, graph, task)


@examples(
    "rackwright catalog graph messaging -o svg --file messaging.svg",
    "rackwright catalog graph ./mycatalog --type provision | dot -Tpng > provision.png",
)
@click.command()
@click.argument("catalog", metavar="NAME_OR_FOLDER")
@click.option("--type", "kind", metavar="TYPE", help="Which graph. Default: deploy, or the only one.")
@click.option("--role", metavar="ROLE", help="Only the tasks of this role or tag, and the stages.")
@click.option("-o", "--output", "form", type=click.Choice(["dot", "svg"]), default="dot", show_default=True)
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not to stdout.")
def graph(*, catalog: str, kind: str | None, role: str | None, form: str, file: Path | None) -> None:
    """Draw which task follows which; orders that others imply are left out."""
    found = find(catalog)
    kind = kind or (next(iter(found.graphs)) if len(found.graphs) == 1 else "deploy")
    if kind not in found.graphs:
        mend = f"it has: {', '.join(found.graphs) or 'none'}"
        raise NotFound(f"the catalog {found.name} has no graph of the type {kind}", mend=mend)
    tasks = task_graph(found.graphs[kind], found.roles)
    chosen = role_named(role, found.roles, tasks) if role else None
    title = f"{found.name}: {kind}{f', {role}' if role else ''}"
    drawn = picture(title, tasks, role=chosen)
    text = to_svg(drawn) if form == "svg" else to_dot(drawn)
    write_text(text, file)
    if file is not None:
        say(f"{file}: {_plural(len(drawn.tasks), 'task')}, {_plural(len(drawn.arrows), 'line')}")


def examine(catalogs: Sequence[str], *, strict: bool = False) -> tuple[Catalog, tuple[Finding, ...]]:
    """Read catalogs as layers and find everything that is wrong with them.

    When a file cannot be read at all, only the faults of reading are given: names may be missing for that reason alone.
    Raises NotFound for a catalog that is not there.
    """
    reads = [
        examine_catalog(folder, prefix=f"{folder}/", strict=strict) for name in catalogs for folder in folders(name)
    ]
    catalog = stack([read.catalog for read in reads])
    found = [finding for read in reads for finding in read.findings]
    if all(read.whole for read in reads):
        found += lint_catalog(catalog)
    return catalog, in_reading_order(found)


def _as_item(found: Finding) -> dict[str, Any]:
    return {
        "severity": found.severity,
        "code": found.code,
        "file": found.place.file,
        "line": found.place.line,
        "message": found.message,
        "mend": found.mend,
    }


def _row(found: Finding) -> list[str]:
    mend = f" ({found.mend})" if found.mend else ""
    return [str(found.place), found.severity, found.code, f"{found.message}{mend}"]


def _plain(thing: Catalog | Role | Task) -> Any:
    """A thing as plain data, without the lines of its keys."""
    return _without_lines(msgspec.to_builtins(thing))


def _without_lines(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_lines(below) for key, below in value.items() if key != "lines"}
    return [_without_lines(item) for item in value] if isinstance(value, list) else value


def _show_catalog(catalog: Catalog) -> None:
    fields([("Name", catalog.name), ("Description", catalog.description or "-"), ("Strict", _yes(catalog.strict))])
    if catalog.roles:
        roles = sorted(catalog.roles.values(), key=lambda role: not role.milestone)
        rows = [[role.name, _listed(role.tags or (role.name,)), _attributes(role)] for role in roles]
        _section([*rows], ["ROLE", "TAGS", "ATTRIBUTES"])
    graphs = [[graph.type, str(len(graph.tasks)), graph.node_filter or "-"] for graph in catalog.graphs.values()]
    _section(graphs, ["GRAPH", "TASKS", "NODE FILTER"])
    tasks = [(graph.type, task) for graph in catalog.graphs.values() for task in graph.tasks]
    rows = [[task.id, kind, task.type, _where(task), str(task.source)] for kind, task in tasks]
    _section(rows, ["TASK", "GRAPH", "TYPE", "WHERE", "SOURCE"])


def _section(rows: Sequence[Sequence[str]], titles: Sequence[str]) -> None:
    click.echo()
    table(rows, titles)


def _show_role(role: Role) -> None:
    pairs = [("Role", role.name), ("Description", " ".join(role.description.split()) or "-")]
    said = [(name.capitalize(), _listed(getattr(role, name))) for name in _ROLE_LISTS if getattr(role, name)]
    marks = [("Is", _listed(name for name in _ROLE_FLAGS if getattr(role, name)))] if _is_marked(role) else []
    fields([*pairs, ("Tags", _listed(role.tags or (role.name,))), *said, *marks, ("Source", str(role.source))])
    properties = role.attributes.get("properties", {})
    if properties:
        rows = [
            [name, _type(schema), compact(schema.get("default", "-")), schema.get("description", "-")]
            for name, schema in properties.items()
        ]
        _section(rows, ["ATTRIBUTE", "TYPE", "DEFAULT", "DESCRIPTION"])


def _is_marked(role: Role) -> bool:
    return any(getattr(role, name) for name in _ROLE_FLAGS)


def _show_one_task(output: Output, graph: str, task: Task) -> None:
    output.item({"graph": graph, **_plain(task)}, lambda: fields(_task_fields(graph, task)))


def _task_fields(graph: str, task: Task) -> Iterator[tuple[str, str]]:
    yield "Task", task.id
    yield "Graph", graph
    yield "Type", task.type + (f" (jig {task.jig})" if task.jig else "")
    yield "Where", _where(task)
    for name in ("requires", "required_for", "tasks"):
        if getattr(task, name):
            yield name.replace("_", " ").capitalize(), _listed(getattr(task, name))
    for name in ("cross_depends", "cross_depended_by"):
        for entry in getattr(task, name):
            yield name.replace("_", " ").capitalize(), compact(entry)
    for alias, read in task.reads.items():
        yield "Reads", f"{alias} = {read}"
    for write in task.writes:
        yield "Writes", f"{write.scope}:{write.path}" + (" (slow)" if write.slow else "")
    yield "Condition", compact(task.condition)
    yield "Parameters", compact(task.parameters)
    yield "Timeout", f"{task.timeout:g} s, {_plural(task.retry.attempts, 'attempt')}"
    yield "Source", str(task.source)


def _attributes(role: Role) -> str:
    return _listed(role.attributes.get("properties", ()))


def _type(schema: Any) -> str:
    said = schema.get("type", "one of " + compact(schema["enum"]) if "enum" in schema else "any")
    return said if isinstance(said, str) else " or ".join(said)


def _where(task: Task) -> str:
    selector: Selector | None = selector_of(task)
    nodes = selector if isinstance(selector, str) else _listed(selector or ())
    if task.type == "stage":
        return "the deployment"
    return nodes if task.scope == "node" else f"the {task.scope} of {nodes}"


def _listed(names: Any) -> str:
    return ", ".join(names) or "-"


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
