"""A load run in the terminal while it goes on: how far it is, how it does, and whether it holds its SLA.

Without a terminal there is a line now and then instead, so that logs tell the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rackwright.core.load.result import WHOLE, Health, Judgement, Part, Second
from rackwright.core.load.summary import percentile
from rackwright.load.report import words
from rackwright.load.report.live import KEPT, RECENT, LiveWorkload, latency_of

PAUSE = 0.25
"""Seconds between two pictures at least."""
LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""
_SHOWN = (0.5, 0.9, 0.99, 0.999)
_MOST_ACTIONS = 10
_MOST_LOST = 3
_BARS = "▁▂▃▄▅▆▇█"


class Dashboard:
    """Shows one run. ``console`` writes to stderr, so that data on stdout stays alone; ``clock`` gives seconds."""

    def __init__(self, title: str, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._console = console
        self._clock = clock
        self._running: list[LiveWorkload] = []
        self._shown_at = clock()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Dashboard:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def watcher(self) -> Watching:
        """Shows one workload; those that run at the same time are shown together."""
        return Watching(self)

    def add(self, workload: LiveWorkload) -> None:
        """Show a workload from now on."""
        self._running.append(workload)
        self.show()

    def remove(self, workload: LiveWorkload) -> None:
        """A workload is over: one line about it stays."""
        self._running.remove(workload)
        self._print(workload)
        if self._live:
            self.show()

    def show_in_time(self) -> None:
        """Something changed: show it, unless that was done a moment ago."""
        if self._clock() - self._shown_at >= (PAUSE if self._live else LINE_EVERY):
            self.show()

    def show(self) -> None:
        """Show everything as it is."""
        self._shown_at = self._clock()
        if self._live:
            self._live.update(Group(*(picture(self._title, workload) for workload in self._running)), refresh=True)
            return
        for workload in self._running:
            if workload.elapsed:
                self._print(workload)

    def _print(self, workload: LiveWorkload) -> None:
        self._console.print(line(workload), highlight=False, markup=False, soft_wrap=True)


class Watching:
    """One workload on a dashboard. What comes before ``begin`` and after ``end`` is not shown."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._workload: LiveWorkload | None = None

    def begin(self, name: str, *, duration: float | None = None, iterations: int | None = None) -> None:
        """It begins: it will last so long (seconds), or have so many iterations, if that is known."""
        self._workload = LiveWorkload(name, duration=duration, iterations=iterations)
        self._dashboard.add(self._workload)

    def take(self, second: Second) -> None:
        """Take what was done in a second, by all or by one of many."""
        if self._workload:
            self._workload.take(second)
            self._dashboard.show_in_time()

    def stand(self, judgements: Sequence[Judgement], health: Sequence[Health]) -> None:
        """The SLA and the generators as they stand now."""
        if self._workload:
            self._workload.judgements, self._workload.health = judgements, health
            self._dashboard.show_in_time()

    def judge(self, judgements: Sequence[Judgement]) -> None:
        """What became of the SLA."""
        if self._workload:
            self._workload.judgements = judgements
            self._dashboard.show_in_time()

    def end(self) -> None:
        """It is over."""
        if self._workload:
            self._dashboard.remove(self._workload)
            self._workload = None


def line(workload: LiveWorkload) -> str:
    """A workload in one line."""
    whole = workload.whole[WHOLE]
    p50, p99 = whole.latency.quantiles((0.5, 0.99))
    broken = [judgement.criterion for judgement in workload.judgements if not judgement.success]
    return (
        f"{workload.name}: {workload.elapsed} s, {whole.total:,} iterations, {whole.errors:,} failed, "
        f"p50 {words.duration(p50)}, p99 {words.duration(p99)}"
        + (f", {workload.missed:,} starts missed" if workload.missed else "")
        + (f", broken: {', '.join(broken)}" if broken else "")
    )


def picture(title: str, workload: LiveWorkload) -> RenderableType:
    """The whole picture of a moment."""
    return Group(
        Text(f"{title} · {workload.name}", style="bold", overflow="ellipsis", no_wrap=True),
        _progress(workload),
        _figures(workload),
        _actions(workload),
        *_verdicts(workload.judgements),
    )


def _progress(workload: LiveWorkload) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    done = workload.done
    told = words.duration(workload.elapsed)
    if workload.duration:
        told += f" of {words.duration(workload.duration)}"
    bar = ProgressBar(total=1.0, completed=done or 0.0, width=40, pulse=done is None)
    grid.add_row(bar, "" if done is None else f"{100 * done:.0f} %", told)
    return grid


def _figures(workload: LiveWorkload) -> RenderableType:
    recent, history = workload.recent(), workload.history()
    span = max(min(workload.elapsed, RECENT), 1)
    ended = (recent.parts.get(WHOLE) or Part()).total
    rates = [(second.parts.get(WHOLE) or Part()).total for second in history]
    tails = [latency_of(second).quantile(0.99) for second in history]
    asked = f" of {words.number(recent.intended / span)}/s intended" if recent.intended else ""
    grid = Table.grid(padding=(0, 2))
    grid.add_row("rate", f"{words.number(ended / span)}/s{asked}", spark(rates))
    grid.add_row("latency p99", words.duration(latency_of(recent).quantile(0.99)), spark(tails))
    grid.add_row("in flight", words.number(recent.in_flight), "")
    late = f"lag p99 {words.duration(recent.lag.quantile(0.99))}, {workload.missed:,} starts missed"
    grid.add_row("generator", Text(late, style="yellow" if workload.missed else ""), "")
    lost = [f"{each.name} at {words.number(each.lost_at)} s" for each in workload.health if each.lost_at is not None]
    if lost:
        grid.add_row("", Text(f"{len(lost)} of {len(workload.health)} lost: {', '.join(lost[:_MOST_LOST])}", "red"), "")
    return grid


def spark(values: Sequence[float]) -> str:
    """Values as little bars; the highest is full."""
    most = max(values, default=0) or 1
    return "".join(_BARS[min(int(value / most * len(_BARS)), len(_BARS) - 1)] for value in values[-KEPT:])


def _actions(workload: LiveWorkload) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("Since the start", no_wrap=True, overflow="ellipsis", max_width=40)
    for name in ("count", "failed", *map(percentile, _SHOWN), "max"):
        table.add_column(name, justify="right", no_wrap=True)
    names = sorted(workload.whole, key=lambda name: (name != WHOLE, -workload.whole[name].every.total))
    for name in names[: _MOST_ACTIONS + 1]:
        table.add_row(*_row(name, workload.whole[name]))
    if len(names) > _MOST_ACTIONS + 1:
        table.add_row(f"and {len(names) - _MOST_ACTIONS - 1} more")
    return table


def _row(name: str, part: Part) -> list[Text]:
    counts = part.latency if name == WHOLE else part.service
    cells = [*counts.quantiles(_SHOWN), counts.quantile(1.0)]
    failed = Text(f"{part.errors:,}", style="red" if part.errors else "")
    return [Text(words.action(name)), Text(f"{part.total:,}"), failed, *(Text(words.duration(cell)) for cell in cells)]


def _verdicts(judgements: Sequence[Judgement]) -> list[Text]:
    return [
        Text(f"{'✔ held  ' if judgement.success else '✘ broken'} {judgement.criterion}: {judgement.detail}",
             style="green" if judgement.success else "bold red", overflow="ellipsis", no_wrap=True)
        for judgement in judgements
    ]  # fmt: skip
