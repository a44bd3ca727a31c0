"""A plan for people: what will run, on which nodes, and why."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click

from rackwright.cli.output import Item, compact

SYMBOLS = (("run", "+", "green"), ("again", "~", "cyan"), ("commit", "!", "yellow"), ("remove", "-", "red"))
"""Parts of a plan's summary, with the sign and colour of each."""
_MOST_NAMES = 12
"""More nodes than that in a row are told by the first, the last and their number."""


def show_plan(plan: Item) -> None:
    """Print a computed plan on stdout."""
    summary = plan["summary"]
    click.echo(f"Deployment {plan['deployment']}, plan {plan['id']}")
    _show_causes(summary)
    for part, sign, colour in SYMBOLS:
        _show_rows(summary.get(part, []), sign, colour)
    if summary.get("left"):
        click.echo("\nLeft out, until it is committed:")
        _show_rows(summary["left"], "?", "yellow")
    if summary.get("follow"):
        click.echo("\nAnd then, where what comes before writes something new:")
        _show_rows(summary["follow"], ">", "cyan", lead=False)
    for warning in summary.get("warnings", []):
        click.echo(click.style("warning: ", fg="yellow") + str(warning))
    if summary.get("forecast"):
        click.echo()
        show_forecast(summary["forecast"])
    click.echo(f"\n{last_line(summary)}")


def show_forecast(forecast: Item) -> None:
    """Print how long something will take, and why so long."""
    click.echo(f"Expected: {duration(forecast['seconds'])}, because of {forecast['because']}")
    links = [f"{link['task']}{'@' if link['node'] else ''}{link['node']}" for link in forecast["chain"]]
    if len(links) > _MOST_NAMES:
        links = [*links[: _MOST_NAMES // 2], "...", *links[-_MOST_NAMES // 2 :]]
    if links:
        click.echo(f"  longest chain: {' > '.join(links)}")
    if forecast["unknown"]:
        click.echo(f"  never ran before, taken for nothing: {', '.join(forecast['unknown'][:_MOST_NAMES])}")


def duration(seconds: float) -> str:
    """A length of time for people: ``40 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def last_line(summary: dict[str, Any]) -> str:
    """The plan in numbers."""
    more = summary.get("more", {})
    run, again, commit, remove, follow = (
        len(summary.get(part, [])) + more.get(part, 0) for part in (*(part for part, _, _ in SYMBOLS), "follow")
    )
    follows = f" and {follow} that may follow" if follow else ""
    return f"Plan: {run} to run, {again} to run again{follows}, {commit} to commit, {remove} removed"


def changes_something(summary: dict[str, Any]) -> bool:
    """True when carrying the plan out would do anything at all."""
    members = summary.get("members", {})
    parts = [summary.get(part) for part in ("run", "again", "commit", "remove", "facts", "bound", "unbound")]
    return any([*parts, members.get("added"), members.get("removed")])


def needs_consent(summary: dict[str, Any]) -> bool:
    """True when the plan destroys or removes something."""
    return bool(summary.get("commit") or summary.get("remove") or summary.get("members", {}).get("removed"))


def _show_causes(summary: dict[str, Any]) -> None:
    members = summary.get("members", {})
    for key, sign in (("added", "+"), ("removed", "-")):
        if members.get(key):
            click.echo(f"  members {sign} {_names([_member(member) for member in members[key]])}")
    for key, sign in (("bound", "+"), ("unbound", "-")):
        _show_roles(summary.get(key, []), sign)
    for fact in summary.get("facts", []):
        click.echo(f"  {fact['scope']}: {fact['path']} {compact(fact.get('old'))} -> {compact(fact.get('new'))}")


def _show_roles(items: list[Item], sign: str) -> None:
    """Print what came or went without having been asked for."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in items:
        groups[item["role"], item["why"]].append(item["node"])
    for (role, why), nodes in groups.items():
        click.echo(f"  role {sign} {role} on {_names(nodes)}: {why}")


def _show_rows(rows: list[Item], sign: str, colour: str, lead: bool = True) -> None:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows:
        groups[row["task"], row.get("why", "")].append(row["node"])
    if not groups:
        return
    if lead:
        click.echo()
    painted = click.style(sign, fg=colour)
    lines = [[task, f"on {_names(nodes)}", why] for (task, why), nodes in groups.items()]
    widths = [max(len(line[place]) for line in lines) for place in (0, 1)]
    for task, nodes, why in lines:
        click.echo(f"{painted} {task.ljust(widths[0])}   {nodes.ljust(widths[1])}   {why}".rstrip())


def _member(member: Any) -> str:
    return member if isinstance(member, str) else compact(member)


def _names(nodes: list[str]) -> str:
    if len(nodes) <= _MOST_NAMES:
        return ", ".join(nodes)
    return f"{nodes[0]} .. {nodes[-1]} ({len(nodes)})"
