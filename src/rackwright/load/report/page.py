"""A run as one HTML file that needs nothing else: no network, no script to see it, any browser, light or dark."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from rackwright.core.load.summary import pairs, percentile
from rackwright.core.load.timeline import QUANTILES
from rackwright.core.load.track import Recording, Track
from rackwright.load.report import words
from rackwright.load.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from rackwright.load.report.following import Following
from rackwright.load.report.heat import HeatMap
from rackwright.load.report.trends import Trend
from rackwright.load.report.view import trend_view, view

MOST_FIRINGS = 200
"""Firings of hooks that are listed."""


def page(recordings: Sequence[Recording], against: Recording | None = None) -> Iterator[str]:
    """The page of one or more runs, piece by piece; each run is compared with ``against`` where that is given.

    All that a run says of itself is escaped: a page of a hostile service is as harmless as any other.
    """
    shown = [
        (each.run, [view(track, n, earlier) for n, (earlier, track) in enumerate(_paired(against, each), first)])
        for first, each in _numbered(recordings)
    ]
    earlier_run = against.run if against else None
    yield from _environment().get_template("page.html").generate(runs=shown, against=earlier_run)


def trends_page(trends: Sequence[Trend]) -> Iterator[str]:
    """The page of many runs, piece by piece: for each workload its charts and its table."""
    yield from _environment().get_template("trends.html").generate(views=[trend_view(trend) for trend in trends])


def picture(load: Following) -> str:
    """A load as it stands, as a part of the page on which loads are followed. All that it says of itself is escaped."""
    return _environment().get_template("picture.html").render(load=load)


def live_page() -> str:
    """The page on which loads are followed: it lists them, and shows pictures of one, both asked of the API."""
    return _environment().get_template("live.html").render()


def _numbered(recordings: Sequence[Recording]) -> Iterator[tuple[int, Recording]]:
    """Each run with the number of its first workload on the page."""
    first = 1
    for recording in recordings:
        yield first, recording
        first += len(recording.tracks)


def _paired(against: Recording | None, recording: Recording) -> Iterator[tuple[Track | None, Track]]:
    return pairs(against, recording) if against else ((None, track) for track in recording.tracks)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rackwright.load.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=words.duration,
        number=words.number,
        percent=words.percent,
        size=words.size,
        moment=words.moment,
        action=words.action,
        status=words.status,
        change=words.change,
        value=words.value,
    )
    environment.globals.update(
        stretches=words.stretches,
        most_firings=MOST_FIRINGS,
        quantile_names=[percentile(part) for part in QUANTILES],
        box={"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
    )
    environment.tests["heat_map"] = lambda drawing: isinstance(drawing, HeatMap)
    return environment
