"""Numbers of load runs as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rackwright.core.load.result import WHOLE, RunResult, Status, WorkloadResult
from rackwright.core.load.summary import Change

MOST_STRETCHES = 20
ITERATIONS = "iterations"
"""What ``WHOLE`` is called."""
_STATUSES: dict[Status, str] = {
    "running": "still running",
    "finished": "finished",
    "aborted": "aborted by hand",
    "aborted_on_sla": "aborted because an SLA was broken",
    "crashed": "crashed",
}


def duration(seconds: float) -> str:
    """A duration with three digits in the unit that suits it: ``850 µs``, ``4.21 ms``, ``1.5 s``, ``2 m 5 s``."""
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
        return " ".join(f"{count} {unit}" for count, unit in parts if count)
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds * 1e9)} ns" if seconds else "0 s"


def number(value: float) -> str:
    """A number with three digits, and all of them before the point: ``0.123``, ``12.3``, ``12,345``."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(value: float) -> str:
    """A percentage; a small one never looks like none."""
    return f"{value:.2f} %" if value >= 0.01 or not value else "< 0.01 %"


def size(octets: int) -> str:
    """Bytes in their largest unit."""
    value = float(octets)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{number(value)} {unit}"
        value /= 1024
    return f"{number(value)} GiB"


def moment(seconds: float) -> str:
    """A time (seconds since the epoch) in UTC: a report is read in other places than it was made."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def action(name: str) -> str:
    """An action's name; that of the iterations themselves is empty."""
    return ITERATIONS if name == WHOLE else name


def workload(of: WorkloadResult) -> str:
    """A workload's name for people: its subtask and its scenario."""
    return f"{of.name}: {of.scenario}" if of.name != of.scenario else of.name


def status(run: RunResult) -> str:
    """How a run ended."""
    return _STATUSES[run.status]


def stretch(start: float, end: float | None) -> str:
    """A stretch of a workload's time: ``from 20 s to 23 s``."""
    return f"from {number(start)} s " + ("to the end" if end is None else f"to {number(end)} s")


def stretches(broken: Sequence[tuple[float, float | None]]) -> list[str]:
    """Stretches of time; of very many the first, and how many more there are."""
    told = [stretch(start, end) for start, end in broken[:MOST_STRETCHES]]
    more = len(broken) - len(told)
    return [*told, f"and {more:,} more"] if more else told


def change(of: Change) -> str:
    """By how much a number grew: ``+12 %``, ``25 times``, or what it was when there is nothing to divide by."""
    if of.percent is None:
        return "was 0" if of.after else "0 both times"
    return f"{number(of.after / of.before)} times" if of.percent >= 900 else f"{round(of.percent, 1) + 0.0:+.1f} %"


def value(of: float, unit: str) -> str:
    """A number of a comparison in its unit: ``seconds``, ``percent`` or ``per second``."""
    if unit == "seconds":
        return duration(of)
    return percent(of) if unit == "percent" else f"{number(of)}/s"
