"""The graph of a catalog's tasks as DOT for Graphviz, or as SVG with no other program."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from html import escape
from itertools import pairwise
from typing import Literal

import msgspec

from rackwright.cli.layout import Box, Layout, lay_out
from rackwright.core.catalog import Role, Task
from rackwright.core.digraph import without_shortcuts
from rackwright.core.errors import InvalidInput, NotFound
from rackwright.core.lint.finding import did_you_mean
from rackwright.core.resolution import Member, Resolution, selector_of
from rackwright.core.task_graph import TaskGraph

_LETTER = 7.25
"""Width of a letter of 12 px in a monospaced font, in px."""
_SMALL_LETTER = 6.05
_HEIGHT = 40.0
_MARGIN = 24.0
_LEGEND = 44.0
_OWN_LOOK = ("stage", "group", "skipped")
_LINES = {
    "same": "follows on the same node",
    "cross": "follows tasks of other nodes",
    "fact": "reads what it writes",
    "through": "follows, with others between",
}
_DOT_LINES = {
    "cross": ' [style=dashed, color="#1f6fb2"]',
    "fact": ' [color="#8a4fb0"]',
    "through": ' [style=dotted, color="#8b97a7"]',
}

_STYLE = """
svg { --paper: #ffffff; --ink: #1b2430; --soft: #5b6675; --line: #8b97a7; --cross: #1f6fb2; --fact: #8a4fb0;
  --box: #eef4fa;  --edge: #6a93b8; --stage: #fde8e4; --stage-edge: #c8513b; --group: #eaf6ea; --group-edge: #4c9a52;
  --skipped: #f1f1f1; --skipped-edge: #9a9a9a; background: var(--paper); }
@media (prefers-color-scheme: dark) { svg { --paper: #14191f; --ink: #e8edf3; --soft: #a3afbd; --line: #6b7888;
  --cross: #6db3ee; --fact: #c08be0;
  --box: #1d2a38; --edge: #54789b; --stage: #3d211c; --stage-edge: #e0705a; --group: #1b3020;
  --group-edge: #66b56c; --skipped: #262a2f; --skipped-edge: #7d848c; } }
text { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12px; fill: var(--ink); }
.kind { font-size: 10px; fill: var(--soft); }
.paper { fill: var(--paper); }
.task rect { fill: var(--box); stroke: var(--edge); }
.stage rect { fill: var(--stage); stroke: var(--stage-edge); stroke-width: 1.6; }
.group rect { fill: var(--group); stroke: var(--group-edge); stroke-dasharray: 6 3; }
.skipped rect { fill: var(--skipped); stroke: var(--skipped-edge); stroke-dasharray: 2 3; }
.same, .cross, .fact, .through { fill: none; stroke: var(--line); stroke-width: 1.2; }
.cross { stroke: var(--cross); stroke-dasharray: 5 3; }
.fact { stroke: var(--fact); }
.through { stroke-dasharray: 2 3; }
.same-head, .through-head { fill: var(--line); }
.cross-head { fill: var(--cross); }
.fact-head { fill: var(--fact); }
"""


class Arrow(msgspec.Struct, frozen=True):
    """A line of the picture; ``through`` tasks that are not drawn, or a kind of edge."""

    before: str
    after: str
    kind: Literal["same", "cross", "fact", "through"]


class Picture(msgspec.Struct, frozen=True):
    """What is drawn: tasks, and the fewest edges that show their order."""

    title: str
    tasks: tuple[Task, ...]
    arrows: tuple[Arrow, ...]


def picture(title: str, graph: TaskGraph, *, role: Role | None = None) -> Picture:
    """Choose what to draw: all tasks, or those of one role with the stages between them.

    Edges that others imply are left out. Raises InvalidInput when the graph has a cycle, NotFound when the role has no
    task in it.
    """
    chosen = [task for task in graph.tasks.values() if role is None or _is_of_role(task, role)]
    if role is not None and all(task.type == "stage" for task in chosen):
        raise NotFound(f"the role {role.name} has no task in this graph", mend="name another role or graph type")
    kinds = {(edge.before, edge.after): edge.kind for edge in graph.edges}
    through: Literal["through"] = "through"
    try:
        pairs = without_shortcuts([task.id for task in chosen], kinds)
    except ValueError as error:
        mend = "run `rackwright catalog lint`, which shows the cycle and where it is written"
        raise InvalidInput("the graph has a cycle and cannot be drawn in order", mend=mend) from error
    arrows = tuple(Arrow(before, after, kinds.get((before, after), through)) for before, after in pairs)
    return Picture(title, tuple(chosen), arrows)


def role_named(name: str, roles: Mapping[str, Role], graph: TaskGraph) -> Role:
    """The role of a name; where the catalog has none of that name, the tag of that name that some task runs on.

    Raises NotFound when there is neither.
    """
    if name in roles:
        return roles[name]
    tags = {tag for task in graph.tasks.values() for tag in _names(task) if not tag.startswith("/")}
    if name in tags:
        return Role(name=name)
    known = {*roles, *tags}
    raise NotFound(f"no role and no tag {name}", mend=did_you_mean(name, known) or f"known: {', '.join(sorted(known))}")


def to_dot(drawn: Picture) -> str:
    """The picture in the language of Graphviz."""
    looks = {
        "stage": 'shape=box, style="rounded,filled,bold", color="#c8513b", fillcolor="#fde8e4"',
        "group": 'shape=box, style="rounded,filled,dashed", color="#4c9a52", fillcolor="#eaf6ea"',
        "skipped": 'shape=box, style="filled,dotted", color="#9a9a9a", fillcolor="#f1f1f1"',
    }
    plain = 'shape=box, style=filled, color="#6a93b8", fillcolor="#eef4fa"'
    lines = [f"digraph {json.dumps(drawn.title)} {{", "  rankdir=LR;", '  node [fontname="monospace", fontsize=11];']
    for task in drawn.tasks:
        label = json.dumps(f"{task.id}\n{_kind(task)}")
        lines.append(f"  {json.dumps(task.id)} [label={label}, {looks.get(_look(task), plain)}];")
    for edge in drawn.arrows:
        style = _DOT_LINES.get(edge.kind, "")
        lines.append(f"  {json.dumps(edge.before)} -> {json.dumps(edge.after)}{style};")
    return "\n".join([*lines, "}", ""])


def to_svg(drawn: Picture) -> str:
    """The picture as SVG; it follows the reader's choice of light or dark."""
    sizes = {task.id: (_width(task), _HEIGHT) for task in drawn.tasks}
    layout = lay_out(sizes, [(edge.before, edge.after) for edge in drawn.arrows])
    width, height = max(layout.width, 640.0) + 2 * _MARGIN, layout.height + 2 * _MARGIN + _LEGEND
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(drawn.title)}">',
        f"<title>{escape(drawn.title)}</title>",
        f"<style>{_STYLE}</style>",
        *map(_head, _LINES),
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}"/>',
        f'<g transform="translate({_MARGIN:.0f} {_MARGIN:.0f})">',
        *(_line(edge, layout) for edge in drawn.arrows),
        *(_box(task, layout.boxes[task.id]) for task in drawn.tasks),
        *_legend(layout.height + _MARGIN, {_look(task) for task in drawn.tasks} | {line.kind for line in drawn.arrows}),
        "</g>",
        "</svg>",
        "",
    ]
    return "\n".join(parts)


def _is_of_role(task: Task, role: Role) -> bool:
    """True for stages, and for tasks whose selector means a tag of the role or its primary."""
    if task.type == "stage":
        return True
    tags = role.tags or (role.name,)
    member = Member(name="any", tags=(*tags, *(f"primary-{tag}" for tag in tags)))
    return bool(Resolution([member]).nodes(selector_of(task) or ()))


def _names(task: Task) -> tuple[str, ...]:
    selector = selector_of(task) or ()
    return (selector,) if isinstance(selector, str) else selector


def _look(task: Task) -> str:
    return "skipped" if task.condition is False else task.type if task.type in _OWN_LOOK else "task"


def _kind(task: Task) -> str:
    """The second line of a box: what carries the task out, and on what where that is no node."""
    kind = task.type if task.jig in ("", task.type) else f"{task.type} by {task.jig}"
    return kind if task.scope == "node" else f"{kind} on the {task.scope}"


def _width(task: Task) -> float:
    return max(len(task.id) * _LETTER, len(_kind(task)) * _SMALL_LETTER) + 24


def _head(kind: str) -> str:
    return (
        f'<marker id="{kind}-head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="{kind}-head" d="M0 0 8 4 0 8z"/></marker>'
    )


def _line(edge: Arrow, layout: Layout) -> str:
    points = layout.lines[edge.before, edge.after]
    steps = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (right, lower) in pairwise(points):
        middle = (x + right) / 2
        level = abs(y - lower) < 0.05
        steps.append(
            f"H{right:.1f}" if level else f"C{middle:.1f} {y:.1f} {middle:.1f} {lower:.1f} {right:.1f} {lower:.1f}"
        )
    title = escape(f"{edge.before} -> {edge.after}")
    path = f'<path class="{edge.kind}" marker-end="url(#{edge.kind}-head)" d="{" ".join(steps)}">'
    return f"{path}<title>{title}</title></path>"


def _box(task: Task, box: Box) -> str:
    radius = {"stage": box.height / 2, "group": 10.0}.get(_look(task), 3.0)
    middle, kind = box.x + box.width / 2, escape(_kind(task))
    return (
        f'<g class="{_look(task)}"><title>{escape(task.id)} ({kind}) {escape(str(task.source))}</title>'
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius:g}"/>'
        f'<text x="{middle:.1f}" y="{box.y + 17:.1f}" text-anchor="middle">{escape(task.id)}</text>'
        f'<text class="kind" x="{middle:.1f}" y="{box.y + 31:.1f}" text-anchor="middle">{kind}</text></g>'
    )


def _legend(y: float, looks: Collection[str]) -> Iterator[str]:
    x = 0.0
    for look in (look for look in ("task", *_OWN_LOOK) if look in looks):
        yield (
            f'<g class="{look}"><rect x="{x:.0f}" y="{y:.0f}" width="26" height="16" '
            f'rx="{ {"stage": 8, "group": 6}.get(look, 3) }"/>'
            f'<text class="kind" x="{x + 34:.0f}" y="{y + 12:.0f}">{look}</text></g>'
        )
        x += 52 + len(look) * _SMALL_LETTER
    for kind, said in ((kind, said) for kind, said in _LINES.items() if kind in looks):
        line = f'<path class="{kind}" marker-end="url(#{kind}-head)" d="M{x:.0f} {y + 8:.0f} h30"/>'
        yield f'{line}<text class="kind" x="{x + 38:.0f}" y="{y + 12:.0f}">{said}</text>'
        x += 62 + len(said) * _SMALL_LETTER
