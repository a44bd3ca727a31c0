"""Bars along time, in text."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import NamedTuple

import click

from rackwright.cli.output import moment, span

LEAST = 20
"""Letters that the time takes at least, however narrow the terminal is."""


class Bar(NamedTuple):
    """A line: its name, from when to when (seconds since the epoch; no end: it still goes on), and a note."""

    name: str
    start: float
    end: float | None
    note: str


def draw(bars: Sequence[Bar], now: float) -> list[str]:
    """Lines of text for bars, above them the time of the first start and how long it is to the last end."""
    if not bars:
        return []
    first, last = min(bar.start for bar in bars), max(now if bar.end is None else bar.end for bar in bars)
    names, notes = max(len(bar.name) for bar in bars), max(len(bar.note) for bar in bars)
    room = max(shutil.get_terminal_size((100, 24)).columns - names - notes - 6, LEAST)
    scale = (last - first) / room or 1.0
    lines = [f"{'':{names}}   {moment(first)} + {seconds(last - first)}"]
    for bar in bars:
        start = min(int((bar.start - first) / scale), room - 1)
        width = max(round(((now if bar.end is None else bar.end) - bar.start) / scale), 1)
        letters = "#" * min(width, room - start) if bar.end is not None else "#" * (room - start - 1) + ">"
        lines.append(f"{bar.name:{names}}  |{' ' * start}{letters:{room - start}}|  {bar.note}".rstrip())
    return lines


def show(bars: Sequence[Bar], now: float) -> None:
    """Print bars."""
    for line in draw(bars, now):
        click.echo(line)


def seconds(length: float) -> str:
    """A length of time: with a tenth of a second below a minute, else in its largest unit."""
    return f"{length:.1f}s" if length < 60 else span(length)
