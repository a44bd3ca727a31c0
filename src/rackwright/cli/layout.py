"""Places for the boxes and lines of a layered drawing: what follows stands further right.

The method is that of Sugiyama, Tagawa and Toda (1981): layers by the longest path, long lines bent through points in
the layers that they pass, the order within a layer by barycentres, then heights as near to the neighbours as they fit.
Written here because boxes of text want columns of their own width, and the drawing must need no program or library.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

_Edge = tuple[str, str]
_Point = tuple[float, float]

BETWEEN_COLUMNS = 56.0
BETWEEN_ROWS = 14.0
LINE_HEIGHT = 4.0
"""Room that a line takes where it passes through a layer."""
_SWEEPS = 12


class Box(msgspec.Struct, frozen=True):
    """A rectangle: its left upper corner and its size."""

    x: float
    y: float
    width: float
    height: float


class Layout(msgspec.Struct, frozen=True):
    """Boxes by name, and for each line the points through which it goes, from the right side of the first box to the
    left side of the second. Between two points a line runs level or from column to column."""

    boxes: dict[str, Box]
    lines: dict[_Edge, tuple[_Point, ...]]
    width: float
    height: float


def lay_out(sizes: Mapping[str, tuple[float, float]], edges: Collection[_Edge]) -> Layout:
    """Lay out boxes of these sizes (width, height); edges go from the earlier to the later and form no cycle."""
    if not sizes:
        return Layout({}, {}, 0, 0)
    grid = _Grid(sizes, edges)
    grid.order()
    grid.settle()
    return grid.layout()


class _Grid:
    """Vertices (boxes, and bends of long lines) in layers."""

    def __init__(self, sizes: Mapping[str, tuple[float, float]], edges: Collection[_Edge]) -> None:
        self._sizes = dict(sizes)
        layers = _layers(list(sizes), edges)
        self._paths: dict[_Edge, list[str]] = {}
        self._rows: list[list[str]] = [[] for _ in range(max(layers.values()) + 1)]
        for name in sizes:
            self._rows[layers[name]].append(name)
        self._before: dict[str, list[str]] = defaultdict(list)
        self._after: dict[str, list[str]] = defaultdict(list)
        for number, (start, end) in enumerate(sorted(edges)):
            self._paths[start, end] = self._bend(number, start, end, layers)
        self._y: dict[str, float] = {}

    def _bend(self, number: int, start: str, end: str, layers: Mapping[str, int]) -> list[str]:
        """Lead an edge through the layers between its ends."""
        bends = []
        for layer in range(layers[start] + 1, layers[end]):
            bend = f"\0{number} {layer}"
            self._sizes[bend] = (0.0, LINE_HEIGHT)
            self._rows[layer].append(bend)
            bends.append(bend)
        path = [start, *bends, end]
        for one, other in pairwise(path):
            self._after[one].append(other)
            self._before[other].append(one)
        return path

    def order(self) -> None:
        """Order each layer so that few lines cross: by the mean place of the neighbours, left to right and back."""
        best, fewest = [list(row) for row in self._rows], self._crossings()
        for sweep in range(_SWEEPS):
            forward = sweep % 2 == 0
            rows = range(1, len(self._rows)) if forward else range(len(self._rows) - 2, -1, -1)
            for layer in rows:
                beside = self._rows[layer - 1 if forward else layer + 1]
                self._sort(layer, self._before if forward else self._after, beside)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(row) for row in self._rows], crossings
        self._rows = best

    def _sort(self, layer: int, neighbours: Mapping[str, list[str]], beside: Sequence[str]) -> None:
        place = {name: number for number, name in enumerate(beside)}
        row = self._rows[layer]
        stay = {name: number * len(beside) / len(row) for number, name in enumerate(row)}
        near = {name: [place[other] for other in neighbours.get(name, ())] for name in row}
        row.sort(key=lambda name: sum(near[name]) / len(near[name]) if near[name] else stay[name])

    def _crossings(self) -> int:
        total = 0
        for row, following in pairwise(self._rows):
            place = {name: number for number, name in enumerate(following)}
            ends = [end for name in row for end in sorted(place[other] for other in self._after.get(name, ()))]
            total += _inversions(ends, len(following))
        return total

    def settle(self) -> None:
        """Give each vertex its height: near the mean of its neighbours, without touching the one above or below."""
        for row in self._rows:
            self._stack(row, [0.0] * len(row))
        for sweep in range(_SWEEPS):
            forward = sweep % 2 == 0
            neighbours = self._before if forward else self._after
            for row in self._rows if forward else reversed(self._rows):
                wanted = [self._mean(neighbours.get(name, ()), self._y[name]) for name in row]
                self._stack(row, wanted)
        top = min(self._y[name] - self._sizes[name][1] / 2 for name in self._y)
        self._y = {name: y - top for name, y in self._y.items()}

    def _mean(self, names: Iterable[str], otherwise: float) -> float:
        heights = [self._y[name] for name in names]
        return sum(heights) / len(heights) if heights else otherwise

    def _stack(self, row: Sequence[str], wanted: Sequence[float]) -> None:
        """Put a layer's vertices as near to the wanted heights as their order and sizes allow (least squares)."""
        offsets, offset = [], 0.0
        for one, other in pairwise([*row, ""]):
            offsets.append(offset)
            offset += self._distance(one, other) if other else 0.0
        blocks: list[tuple[float, int]] = []
        for want, gone in zip(wanted, offsets, strict=True):
            total, count = want - gone, 1
            while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
                above = blocks.pop()
                total, count = total + above[0], count + above[1]
            blocks.append((total, count))
        starts = [total / count for total, count in blocks for _ in range(count)]
        for name, start, gone in zip(row, starts, offsets, strict=True):
            self._y[name] = start + gone

    def _distance(self, one: str, other: str) -> float:
        return (self._sizes[one][1] + self._sizes[other][1]) / 2 + BETWEEN_ROWS

    def layout(self) -> Layout:
        """The finished drawing."""
        lefts, rights, x = [], [], 0.0
        for row in self._rows:
            lefts.append(x)
            rights.append(x + max((self._sizes[name][0] for name in row), default=0.0))
            x = rights[-1] + BETWEEN_COLUMNS
        column = {name: number for number, row in enumerate(self._rows) for name in row}
        boxes = {
            name: Box(lefts[column[name]], self._y[name] - height / 2, width, height)
            for name, (width, height) in self._sizes.items()
            if not name.startswith("\0")
        }
        lines: dict[_Edge, tuple[_Point, ...]] = {}
        for edge, path in self._paths.items():
            first = boxes[edge[0]]
            points = [(first.x + first.width, self._y[edge[0]]), (rights[column[edge[0]]], self._y[edge[0]])]
            for bend in path[1:-1]:
                points += [(lefts[column[bend]], self._y[bend]), (rights[column[bend]], self._y[bend])]
            lines[edge] = (*points, (lefts[column[edge[1]]], self._y[edge[1]]))
        bottom = max(self._y[name] + self._sizes[name][1] / 2 for name in self._y)
        return Layout(boxes, lines, rights[-1], bottom)


def _layers(names: Sequence[str], edges: Collection[_Edge]) -> dict[str, int]:
    """Each one past the last of those before it; then what nothing precedes moves up to what follows it."""
    before: dict[str, list[str]] = defaultdict(list)
    after: dict[str, list[str]] = defaultdict(list)
    for start, end in edges:
        before[end].append(start)
        after[start].append(end)
    waiting = {name: len(before[name]) for name in names}
    ready = [name for name in names if not waiting[name]]
    layers = dict.fromkeys(ready, 0)
    for name in ready:
        for other in after[name]:
            layers[other] = max(layers.get(other, 0), layers[name] + 1)
            waiting[other] -= 1
            if not waiting[other]:
                ready.append(other)
    for name in reversed(ready):
        if not before[name] and after[name]:
            layers[name] = min(layers[other] for other in after[name]) - 1
    return layers


def _inversions(numbers: Sequence[int], size: int) -> int:
    """How many pairs stand in the wrong order, counted with a Fenwick tree over the values 0 to ``size`` - 1."""
    tree = [0] * (size + 1)
    total = 0
    for seen, number in enumerate(numbers):
        index, smaller = number + 1, 0
        while index:
            smaller += tree[index]
            index -= index & -index
        total += seen - smaller
        index = number + 1
        while index <= size:
            tree[index] += 1
            index += index & -index
    return total
