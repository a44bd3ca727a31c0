"""What the demo has seen: told act by act, and as a table or one JSON object at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import click


@dataclass
class Step:
    """One thing that was done and proved: what came of it, and the seconds that it took."""

    act: str
    step: str
    result: str
    seconds: float


@dataclass
class Report:
    """The steps so far; ``quiet``: nothing but messages is told before the end."""

    quiet: bool
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """Numbers for programs, beside the steps."""
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, act: str, step: str) -> Iterator[Result]:
        """Do one step; it counts as done when the block ends well."""
        self.say(f"{act}: {step} ...")
        began = time.monotonic()
        result = Result()
        yield result
        seconds = time.monotonic() - began
        self.steps.append(Step(act, step, result.text, seconds))
        self.say(f"{act}: {step}: {result.text} ({seconds:.1f} s)")

    def say(self, text: str) -> None:
        """A message for people, on stderr."""
        click.echo(text, err=True)

    def show(self, form: str, *, fault: str) -> None:
        """Print the end of it all on stdout: a table, or one JSON object. ``fault`` is empty when all went well."""
        seconds = time.monotonic() - self.began
        if form == "json":
            steps = [asdict(step) for step in self.steps]
            said = {"ok": not fault, "fault": fault, "seconds": round(seconds, 2), "steps": steps, **self.facts}
            click.echo(json.dumps(said, ensure_ascii=False))
            return
        _table(self.steps, seconds)
        verdict = f"It failed: {fault}" if fault else "Everything was seen to be as promised."
        click.echo(click.style(verdict, fg="red" if fault else "green", bold=True))


@dataclass
class Result:
    """What came of a step, in words; the step fills it in."""

    text: str = "done"


@contextmanager
def progress(report: Report, words: str, total: int) -> Iterator[Progress]:
    """A bar on stderr while something goes on; without a terminal, a line now and then."""
    bar = Progress(report, words, total)
    try:
        yield bar
    finally:
        bar.close()


class Progress:
    """Shows how many of ``total`` are done."""

    def __init__(self, report: Report, words: str, total: int) -> None:
        self._report, self._words, self._total = report, words, total
        self._told = -1
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(words, total=total)

    def show(self, done: int, more: str = "") -> None:
        """So many are done; ``more`` says what else there is to say."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=f"{self._words} {more}".strip())
        elif done != self._told:
            self._told = done
            self._report.say(f"  {self._words}: {done} of {self._total} {more}".rstrip())

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def _table(steps: list[Step], seconds: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="rackwright demo", title_justify="left", show_footer=True)
    table.add_column("Act")
    table.add_column("Step")
    table.add_column("Seen", footer="in all")
    table.add_column("Time", justify="right", footer=f"{seconds:.1f} s")
    last = ""
    for step in steps:
        table.add_row("" if step.act == last else step.act, step.step, step.result, f"{step.seconds:.1f} s")
        last = step.act
    Console().print(table)
