"""The heat map of latencies: time from left to right, latency from bottom to top, more iterations are denser.

It is an image of one pixel for each cell (PNG, ISO/IEC 15948): some kilobytes, where shapes would take a megabyte.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from rackwright.core.load.counts import bucket
from rackwright.core.load.timeline import Point, row_start
from rackwright.load.report import words
from rackwright.load.report.chart import BOTTOM, HEIGHT, TOP, Axis

COLOUR = (0, 114, 178)
"""Its opacity tells how many: one colour is seen on light and on dark pages."""
_LEVELS = 64
_FAINTEST = 40
"""Opacity, of 255, of a cell with a single iteration."""
_ROW = bucket(row_start(1))
"""Buckets in one row."""
_FEWEST_ROWS = 8


@dataclass(frozen=True)
class HeatMap:
    """A heat map to draw."""

    title: str
    summary: str
    axis: Axis
    image: str
    """A data URL."""
    x: float
    width: float
    ticks: list[tuple[float, str]]


def heat_map(title: str, axis: Axis, points: Sequence[Point]) -> HeatMap | None:
    """Draw the latencies of all points; nothing of nothing."""
    seen = [row for point in points for row in point.heat]
    if not seen:
        return None
    low, high = min(seen), max(seen)
    high = max(high, low + _FEWEST_ROWS - 1)
    end = points[-1].at + points[-1].width
    left, right = axis.place(points[0].at), axis.place(end)
    return HeatMap(
        title=title,
        summary=f"Latencies between {words.duration(row_start(low))} and {words.duration(row_start(max(seen) + 1))}.",
        axis=axis,
        image="data:image/png;base64," + base64.b64encode(png(_pixels(points, low, high))).decode(),
        x=round(left, 1),
        width=round(right - left, 1),
        ticks=_ticks(low, high),
    )


def png(rows: Sequence[bytes]) -> bytes:
    """An image with one palette index for each pixel: 0 is transparent, ``_LEVELS - 1`` is opaque."""
    opacities = [0] + [_FAINTEST + (255 - _FAINTEST) * level // (_LEVELS - 1) for level in range(1, _LEVELS)]
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 3, 0, 0, 0)
    # Each line begins with the number of its filter; 0 is none.
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    chunks = ((b"IHDR", header), (b"PLTE", bytes(COLOUR) * _LEVELS), (b"tRNS", bytes(opacities)), (b"IDAT", data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _pixels(points: Sequence[Point], low: int, high: int) -> list[bytes]:
    most = max(count for point in points for count in point.heat.values())
    return [bytes(_level(point.heat.get(row, 0), most) for point in points) for row in range(high, low - 1, -1)]


def _level(count: int, most: int) -> int:
    """By the logarithm: what is rare is what one looks for."""
    if not count:
        return 0
    return 1 + round((_LEVELS - 2) * math.log1p(count) / math.log1p(most))


def _ticks(low: int, high: int) -> list[tuple[float, str]]:
    """Places of 1, 2 and 5 of each power of ten, as many as there is room for."""
    room = HEIGHT - TOP - BOTTOM
    rows = high + 1 - low
    factors = (1, 2, 5) if rows < 28 else (1,)
    values = [factor * 10.0**power for power in range(-9, 6) for factor in factors]
    places = [(TOP + room * (1 - (bucket(value) / _ROW - low) / rows), words.duration(value)) for value in values]
    return [(round(place, 1), label) for place, label in places if TOP <= place <= TOP + room]
