"""Options of verbs that go over many machines: waves, budgets, turns between places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from rackwright.cli.following import Seconds
from rackwright.cli.node import split_pair

OPTIONS: tuple[Callable[[click.Command], object], ...] = (
    click.option("--waves", metavar="1,10%,100%", help="Machines that may begin, in all: numbers or percentages."),
    click.option("--canary", metavar="N1,N2", help="With waves: machines that come first of all."),
    click.option("--tolerance", metavar="N|N%", help="With waves: so many of one may fail.  [default: 0]"),
    click.option("--pause", type=Seconds(), help="With waves: wait so long between two."),
    click.option("--manual", is_flag=True, help="With waves: each waits for `rackwright campaign promote`."),
    click.option(
        "--max-per", multiple=True, metavar="KIND=N", help="At most N at once on each rack, feed, uplink, zone, ..."
    ),
    click.option("--spread", metavar="KIND", help="Take turns between racks, feeds, uplinks, zones, ..."),
    click.option("--plan", is_flag=True, help="Do nothing; tell how it would go, and how long it would take."),
)
"""To be laid on a command, the first one last."""


def said(how: dict[str, Any]) -> dict[str, Any]:
    """The part of the request that these options make; empty without them."""
    found: dict[str, Any] = {}
    rule = {name: how[name] for name in ("tolerance", "pause", "manual") if how.get(name)}
    if how.get("canary"):
        rule["canary"] = _list(how["canary"])
    if how.get("waves") or how.get("canary"):
        steps = _list(how.get("waves") or "")
        found["waves"] = {**rule, "steps": [int(step) if step.isdecimal() else step for step in steps]}
    elif rule:
        raise click.UsageError("--tolerance, --pause and --manual are about waves: give --waves or --canary too")
    if how.get("max_per"):
        found["max_per"] = dict(_amount(pair) for pair in how["max_per"])
    if how.get("spread"):
        found["spread"] = how["spread"]
    return found


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _amount(pair: str) -> tuple[str, int]:
    key, amount = split_pair(pair, "--max-per")
    place, equals, number = amount.rpartition("=")
    if not number.isdecimal():
        raise click.UsageError(f"{pair!r} is no budget: write feed=20, or feed=A=20 for one of them")
    return f"{key}={place}" if equals else key, int(number)
