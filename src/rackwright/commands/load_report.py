"""``rackwright load report``, ``export`` and ``trends``: what runs tell people and programs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from rackwright.cli.examples import examples
from rackwright.cli.options import output
from rackwright.cli.output import Column, Item, Output, say, write_texts
from rackwright.commands.load_runs import runs_folder
from rackwright.core.load.track import Recording
from rackwright.load.report import words
from rackwright.load.report.export import FORMATS
from rackwright.load.report.page import page, trends_page
from rackwright.load.report.reading import read_recording
from rackwright.load.report.trends import trends

STDOUT = Path("-")
into = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


def write_pieces(pieces: Iterable[str], to: Path) -> None:
    """Write to stdout (``-``) or to a file: whole or not at all, for others (a collector, a web server) may read it at
    any moment."""
    if to == STDOUT or (to.exists() and not to.is_file()):
        write_texts(pieces, None if to == STDOUT else to)
        return
    part = to.with_name(f".{to.name}.part")
    try:
        write_texts(pieces, part)
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)


@examples(
    "rackwright load report 20261121-1804 --html report.html           a run by its id, or its beginning",
    "rackwright load report ./new --against ./old --html report.html    by their folders",
)
@click.command
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--html", required=True, type=into, help="Where the page goes; - for stdout.")
@click.option("--against", metavar="RUN", help="An earlier run to compare with.")
def report(runs: tuple[str, ...], html: Path, against: str | None) -> None:
    """Make one HTML page of runs that needs nothing else: no network, no other file."""
    read = [_read(name) for name in runs]
    write_pieces(page(read, _read(against) if against else None), html)
    if html != STDOUT:
        say(f"{html}: {', '.join(map(_verdict, read))}")


@examples(
    "rackwright load export runs/42 --format junit --to junit.xml",
    "rackwright load export runs/42 --format csv | head",
)
@click.command
@click.argument("run")
@click.option(
    "--format", "form", required=True, type=click.Choice(list(FORMATS)),
    help="json: verdicts, table and timeline. counts: all that is known, to read back. junit: for CI. "
    "csv: a line for each second and action. prometheus: for the textfile collector.",
)  # fmt: skip
@click.option("--to", type=into, default=STDOUT, help="Where it goes.  [default: stdout]")
def export(run: str, form: str, to: Path) -> None:
    """Write a run in the format of another program."""
    write_pieces(FORMATS[form](_read(run)), to)


TREND = [
    Column("WORKLOAD", lambda item: str(item["workload"])),
    Column("SCENARIO", lambda item: str(item["scenario"])),
    Column("RUN", lambda item: str(item["run"])),
    Column("STARTED", lambda item: words.moment(item["started_at"])),
    Column("SLA", lambda item: "ok" if item["success"] else "failed"),
    Column("ITERATIONS", lambda item: f"{item['iterations']:,}", wide=True),
    Column("RATE", lambda item: f"{words.number(item['rate'])}/s"),
    Column("ERRORS", lambda item: words.percent(item["error_percent"])),
    Column("P50", lambda item: words.duration(item["p50"])),
    Column("P90", lambda item: words.duration(item["p90"]), wide=True),
    Column("P99", lambda item: words.duration(item["p99"])),
    Column("P99 GREW", lambda item: "" if item["growth"] is None else f"{item['growth']:+.1f} %"),
]


@examples("rackwright load trends 20261118 20261119 20261120", "rackwright load trends runs/* --html trends.html")
@click.command("trends")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--html", type=into, help="Make a page with charts too; - for stdout, in place of the table.")
@output
def trends_command(runs: tuple[str, ...], html: Path | None, output: Output) -> None:
    """Show how the same workloads did in many runs, the oldest first. Durations are latencies."""
    found = trends([_read(name) for name in runs])
    if html is not None:
        write_pieces(trends_page(found), html)
    if html == STDOUT:
        return
    items: list[Item] = [
        {
            "workload": trend.workload,
            "scenario": trend.scenario,
            **msgspec.to_builtins(step),
            "growth": trend.growth if step is trend.steps[-1] else None,
        }
        for trend in found
        for step in trend.steps
    ]
    output.items(items, TREND, "run", "run")


def _read(name: str) -> Recording:
    return read_recording(name, runs_folder())


def _verdict(recording: Recording) -> str:
    return f"{recording.run.id} {'passed' if recording.run.success else 'failed'}"
