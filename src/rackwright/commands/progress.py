"""A progress bar for long work: how much is done, how fast it goes, and how long it will take yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

_PAUSE = 2.0
"""Seconds between two messages where there is no terminal."""

Tell = Callable[[int, int], None]
"""Told how much is done, of how much."""


@contextmanager
def progress(things: str) -> Iterator[Tell]:
    """Show on stderr how work goes on: a bar on a terminal, else a line now and then; short work passes in silence.
    ``things`` are what is counted."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(things)
        return
    columns = (TextColumn(things), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(things, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(things: str) -> Tell:
    began = last = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PAUSE:
            last = now
            click.echo(f"{done} of {total} {things}, {done / (now - began):.0f} a second", err=True)

    return tell


class _Speed(ProgressColumn):
    """How many things a second."""

    def render(self, task: Task) -> Text:
        """Give the speed as text."""
        return Text(f"{task.speed:.0f}/s" if task.speed else "")
