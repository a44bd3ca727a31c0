"""How history is cut along time: which parts are to be made ahead, and which are old enough to go as a whole.

The parts of a table always cover all of time, from minus to plus infinity, without a gap: nothing that is written is
ever refused, even if nobody has made parts for weeks. Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

Series = Literal["run", "event", "audit", "log_piece"]
"""What is kept by time: attempts, events, changes, and pieces of logs."""

DAY = 86400.0
WEEK = 7 * DAY
MONDAY = 4 * DAY
"""The first Monday of the epoch: parts of a week begin on Mondays."""
AHEAD = 4
"""So many parts after the present one are made before they are needed."""


class Span(NamedTuple):
    """A part of time from ``start`` to before ``end``."""

    start: float
    end: float


class Part(NamedTuple):
    """A part of a table as it is: its time, and whether it holds nothing."""

    span: Span
    empty: bool


class Arrangement(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done to the parts, in this order. ``narrow``: the last part, which has no end, gets this one."""

    drop: tuple[Span, ...] = ()
    narrow: Span | None = None
    make: tuple[Span, ...] = ()


def length(keep: float) -> float:
    """How long a part is: a day where only weeks are kept, else a week. What is kept lives so much longer at most."""
    return WEEK if keep >= 4 * WEEK else DAY


def following(at: float, step: float) -> float:
    """The first boundary after a time: midnight, or for parts of a week the midnight before a Monday."""
    return (math.floor((at - MONDAY) / step) + 1) * step + MONDAY


def arrange(parts: Sequence[Part], now: float, keep: float) -> Arrangement:
    """What is to be done to these parts, given in the order of time, so that all that is older than ``keep`` seconds is
    dropped and AHEAD parts wait for what comes. Nothing, when it was done a moment ago."""
    old = _old(parts, now - keep)
    drop = [part.span for part in old]
    make = [Span(-math.inf, drop[-1].end)] if drop else []
    narrow = None
    last, step = parts[-1], length(keep)
    edges = _edges(max(last.span.start, now), following(now, step) + AHEAD * step, step)
    if edges:
        first = Span(last.span.start, edges[0])
        if last.empty:
            drop.append(last.span)
            make.append(first)
        else:
            narrow = first
        make += [Span(start, end) for start, end in zip(edges, [*edges[1:], math.inf], strict=True)]
    return Arrangement(drop=tuple(drop), narrow=narrow, make=tuple(make))


def _old(parts: Sequence[Part], horizon: float) -> Sequence[Part]:
    """The parts that end before the horizon, unless all that there is of them is the empty one before the others."""
    old = [part for part in parts if part.span.end <= horizon]
    return [] if len(old) == 1 and old[0].empty and old[0].span.start == -math.inf else old


def _edges(after: float, to: float, step: float) -> list[float]:
    """The boundaries after a time, up to and with another."""
    edge = following(after, step)
    edges = []
    while edge <= to:
        edges.append(edge)
        edge = following(edge, step)
    return edges
