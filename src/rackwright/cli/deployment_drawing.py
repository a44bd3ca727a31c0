"""The graph of a deployment as it stands, drawn: each task once, with its node tasks counted by state."""

from __future__ import annotations

import json
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from rackwright.cli.layout import Layout, lay_out

_LETTER = 7.25
"""Width of a letter of 12 px in a monospaced font, in px."""
_HEIGHT = 40.0
_MARGIN = 24.0
_STATES = ("error", "transition", "todo", "blocked", "proposed", "active")
"""The first of these that occurs among a task's node tasks is the task's."""
_COLOURS = {
    "error": ("#fde8e4", "#c8513b"), "transition": ("#e3f1fb", "#1f6fb2"), "todo": ("#eef4fa", "#6a93b8"),
    "blocked": ("#f1f1f1", "#9a9a9a"), "proposed": ("#fdf6e0", "#c09a2b"), "active": ("#eaf6ea", "#4c9a52"),
}  # fmt: skip

Edge = tuple[str, str]


@dataclass(frozen=True)
class TaskBox:
    """A task: its name, the state that matters most among its node tasks, and how many there are of each."""

    name: str
    state: str
    words: str


@dataclass(frozen=True)
class Drawing:
    """Tasks in the order of their node tasks, and the edges between them, without those that others imply."""

    title: str
    boxes: tuple[TaskBox, ...]
    edges: tuple[Edge, ...]


def draw(title: str, graph: dict[str, Any], node: str | None) -> Drawing:
    """Draw the api's graph; with ``node`` only the tasks on it (or on the rack or deployment of that name)."""
    tasks = {str(task["id"]): task for task in graph["tasks"]}
    several = len({task["graph"] for task in graph["tasks"]}) > 1

    def name_of(id: str) -> str:
        task = tasks[id]
        return f"{task['graph']}/{task['task']}" if several else str(task["task"])

    chosen = {id for id, task in tasks.items() if node is None or task["scope"] == node}
    states: dict[str, Counter[str]] = defaultdict(Counter)
    for id in chosen:
        states[name_of(id)][tasks[id]["state"]] += 1
    order = list(dict.fromkeys(name_of(id) for id in tasks if id in chosen))
    edges = _through_barriers(graph["edges"], chosen, name_of)
    boxes = tuple(TaskBox(name, _state(states[name]), _words(states[name])) for name in order)
    return Drawing(title, boxes, tuple(sorted(_needed(edges))))


def to_dot(drawn: Drawing) -> str:
    """The drawing in the language of Graphviz."""
    lines = [f"digraph {json.dumps(drawn.title)} {{", "  rankdir=LR;", '  node [fontname="monospace", shape=box];']
    for box in drawn.boxes:
        fill, edge = _COLOURS[box.state]
        label = json.dumps(f"{box.name}\n{box.words}")
        lines.append(f'  {json.dumps(box.name)} [label={label}, style=filled, fillcolor="{fill}", color="{edge}"];')
    lines += [f"  {json.dumps(before)} -> {json.dumps(after)};" for before, after in drawn.edges]
    return "\n".join([*lines, "}", ""])


def to_svg(drawn: Drawing) -> str:
    """The drawing as SVG."""
    sizes = {box.name: (max(len(box.name), len(box.words) * 0.85) * _LETTER + 24, _HEIGHT) for box in drawn.boxes}
    layout = lay_out(sizes, drawn.edges)
    width, height = layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(drawn.title)}">',
            f"<title>{escape(drawn.title)}</title>",
            "<style>text { font-family: monospace; font-size: 12px; text-anchor: middle; fill: #1b2430; }",
            ".words { font-size: 10px; } .line { fill: none; stroke: #8b97a7; stroke-width: 1.2; }</style>",
            '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path fill="#8b97a7" d="M0 0 8 4 0 8z"/></marker>',
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
            f'<g transform="translate({_MARGIN:.0f} {_MARGIN:.0f})">',
            *(_line(edge, layout) for edge in drawn.edges),
            *(_box(box, layout) for box in drawn.boxes),
            "</g>",
            "</svg>",
            "",
        ]
    )


def _through_barriers(edges: Iterable[dict[str, str]], chosen: set[str], name_of: Callable[[str], str]) -> set[Edge]:
    """Edges between tasks: those of their node tasks, with barriers replaced by what lies behind them."""
    children: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        children[edge["parent"]].append(edge["child"])
    behind: dict[str, set[str]] = {}
    found: set[Edge] = set()
    for id in chosen:
        for child in children.get(id, ()):
            if child.startswith("barrier:"):
                if child not in behind:
                    behind[child] = {name_of(one) for one in _leaves(child, children) if one in chosen}
                found |= {(name_of(id), name) for name in behind[child]}
            elif child in chosen:
                found.add((name_of(id), name_of(child)))
    return {(before, after) for before, after in found if before != after}


def _leaves(barrier: str, children: dict[str, list[str]]) -> set[str]:
    """Node tasks behind a barrier, also through further barriers."""
    seen, leaves, queue = {barrier}, set(), deque([barrier])
    while queue:
        for child in children.get(queue.popleft(), ()):
            if not child.startswith("barrier:"):
                leaves.add(child)
            elif child not in seen:
                seen.add(child)
                queue.append(child)
    return leaves


def _needed(edges: set[Edge]) -> set[Edge]:
    """Without the edges that others imply, and without those that close a ring: two tasks may follow each other on
    different nodes."""
    kept: set[Edge] = set()
    children: dict[str, set[str]] = defaultdict(set)
    for before, after in sorted(edges):
        if before not in _reached(after, children):
            kept.add((before, after))
            children[before].add(after)
    for before, after in sorted(kept):
        children[before].discard(after)
        if after in _reached(before, children):
            kept.discard((before, after))
        else:
            children[before].add(after)
    return kept


def _reached(start: str, children: dict[str, set[str]]) -> set[str]:
    seen, queue = {start}, deque([start])
    while queue:
        for child in children.get(queue.popleft(), ()):
            if child not in seen:
                seen.add(child)
                queue.append(child)
    return seen


def _state(states: Counter[str]) -> str:
    return next((state for state in _STATES if states[state]), "active")


def _words(states: Counter[str]) -> str:
    return ", ".join(f"{states[state]} {state}" for state in _STATES if states[state])


def _line(edge: Edge, layout: Layout) -> str:
    points = layout.lines[edge]
    steps = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (right, lower) in pairwise(points):
        middle = (x + right) / 2
        steps.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {lower:.1f} {right:.1f} {lower:.1f}")
    title = escape(f"{edge[0]} -> {edge[1]}")
    return f'<path class="line" marker-end="url(#head)" d="{" ".join(steps)}"><title>{title}</title></path>'


def _box(box: TaskBox, layout: Layout) -> str:
    place, (fill, edge) = layout.boxes[box.name], _COLOURS[box.state]
    middle = place.x + place.width / 2
    return (
        f'<g><rect x="{place.x:.1f}" y="{place.y:.1f}" width="{place.width:.1f}" height="{place.height:.1f}" rx="3" '
        f'fill="{fill}" stroke="{edge}"/>'
        f'<text x="{middle:.1f}" y="{place.y + 17:.1f}">{escape(box.name)}</text>'
        f'<text class="words" x="{middle:.1f}" y="{place.y + 31:.1f}">{escape(box.words)}</text></g>'
    )
