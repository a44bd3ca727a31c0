"""A node task evaluated: does it run, with which parameters; compared with what it saw when it last ended well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from rackwright.core import legacy_expression
from rackwright.core.expansion import has_expression
from rackwright.core.inputs import ABSENT, data
from rackwright.core.node_task import NodeTask
from rackwright.core.ports import KeptReads, NotedReads, Transaction
from rackwright.engine.expressions import UNDEF, Compiler, Place
from rackwright.engine.expressions.template import fill
from rackwright.engine.library import CatalogLibrary
from rackwright.engine.situations import Situation


class Past(msgspec.Struct, frozen=True):
    """What a node task had read when it last ended well; empty: it never did."""

    data: dict[str, Any] = {}
    """What its expressions saw as ``$``: the old data of the next evaluation."""
    reads: dict[str, str] = {}
    """Fingerprints by place."""
    values: dict[str, Any] = {}
    """By place, those that are known: kept, because expressions of the task compare, or still the same."""
    sure: bool = False
    """False: an attempt since then was begun and did not end well, so the world may be in another state."""


NOTHING = Past()
_UNREAD = Place({}, {}, None, None, {})
"""Of a task without any expression."""


async def pasts(tx: Transaction, seen: Mapping[int, Situation], *, everything: bool = False) -> dict[int, Past]:
    """The past of those of these node tasks, by id, whose expressions compare (``everything``: of all of them).

    A value that is still the same need not have been kept.
    """
    wanted = [id for id, at in seen.items() if everything or at.sight.compares]
    kept = await tx.kept_reads(wanted)
    current = {id: {seen[id].reads[place]: value for place, value in seen[id].places.items()} for id in kept}
    gone = {found for id, one in kept.items() for found in one.reads.values() if found not in current[id]}
    values = await tx.read_values(gone)
    return {id: _past(one, {**values, **current[id]}, itself=seen[id].sight.itself) for id, one in kept.items()}


def noted(row: NodeTask, at: Situation) -> NotedReads:
    """What the attempt that a row has just begun has read."""
    values = {at.reads[place]: value for place, value in at.places.items()} if at.sight.compares else {}
    return NotedReads(node_task=row.id, attempt=row.attempt, reads=at.reads, values=values)


def wanted(library: CatalogLibrary, row: NodeTask, at: Situation, past: Past) -> Place | None:
    """Decide the condition: the data over which it holds, None where it does not.

    One that does not hold against the past is asked again as if there were none where the past is no ground to do
    nothing: a person asked for this run, or what the last attempt left behind is not known. Raises InvalidInput.
    """
    if not at.sight.expressive:
        return _UNREAD if at.task.condition else None
    for old in _olds(row, past):
        place = Place({}, at.data, {}, old, {})
        if _holds(library, at.task.condition, place):
            return place
    return None


def parameters(library: CatalogLibrary, at: Situation, place: Place) -> Any:
    """The parameters of the task over the data for which it is wanted. Raises InvalidInput."""
    template = at.task.parameters
    return filled(library.compiler, template, place) if has_expression(template) else template


def filled(compiler: Compiler, template: Any, place: Place, *, where: str = "") -> Any:
    """The template with the value of every expression in it; null where it asks for old data that there is none of."""
    own = frozenset(place.node.keys() | place.old_node.keys())

    def evaluate(expression: str) -> Any:
        return _defined(compiler.compile(expression, own, where=where).evaluate(place, where=where))

    return fill(template, evaluate, str)


def _holds(library: CatalogLibrary, condition: Any, place: Place) -> bool:
    if isinstance(condition, str):
        return bool(legacy_expression.parse(condition)({"settings": place.new, "cluster": place.new.get("cluster")}))
    return bool(filled(library.compiler, condition, place))


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _defined(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_defined(inner) for inner in value]
    return None if value is UNDEF else value


def _olds(row: NodeTask, past: Past) -> Iterable[dict[str, Any]]:
    yield past.data
    if past.data and (row.forced or not past.sure):
        yield {}


def _past(kept: KeptReads, values: Mapping[str, Any], *, itself: bool) -> Past:
    known = {place: values[found] for place, found in kept.reads.items() if found in values}
    absent = [place for place, found in kept.reads.items() if found == ABSENT]
    return Past(data(known, itself=itself, absent=absent), kept.reads, known, kept.newest)
