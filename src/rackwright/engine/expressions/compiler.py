"""The compiler: an expression as closures that know what they read.

Where the closures are not sure, the language itself answers: the value, or the fault, is always the language's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from rackwright.core.errors import InvalidInput
from rackwright.engine.expressions.difference_functions import finisher
from rackwright.engine.expressions.evaluator import Context, Evaluator
from rackwright.engine.expressions.parts import Closure, Part, Sharing
from rackwright.engine.expressions.reading import Path, Place, Reading
from rackwright.engine.expressions.translation import Translator, Unsupported
from rackwright.engine.expressions.values import freeze, union

_EVERYTHING: Final = (Reading("value", "new", ()), Reading("value", "old", ()), Reading("value", "node", ()))
_FROZEN: Final = "the common data, frozen", "the old common data, frozen"


class Compiled:
    """One expression, ready."""

    __slots__ = ("_evaluator", "_finish", "_run", "closed", "readings", "sure", "text")

    def __init__(self, text: str, part: Part | None, readings: tuple[Reading, ...], evaluator: Evaluator) -> None:
        self.text = text
        self.readings = readings
        """What places may differ in. Places with the same ``shared`` and the same answers give the same value."""
        self.sure = part is not None and part.sure
        """Evaluation never raises."""
        self.closed = part is not None
        """Closures answer; if not, the language itself does, each time."""
        self._run: Closure = _unsure if part is None else part.run
        self._finish = finisher(clean=part is None or part.clean)
        self._evaluator = evaluator

    def evaluate(self, place: Place, *, where: str = "") -> Any:
        """Give the value as plain data, not to be changed: it may be part of the place's.

        Raises InvalidInput with ``where``, expression and fault.
        """
        try:
            return self._finish(self._run(place, None))
        except Exception:
            return self._evaluator.evaluate(self.text, context_of(place), where=where)


class Compiler:
    """Compiles expressions, each once. For one thread."""

    def __init__(self, evaluator: Evaluator | None = None) -> None:
        self._evaluator = evaluator or Evaluator()
        self._compiled: dict[tuple[str, frozenset[str]], Compiled] = {}

    def compile(self, text: str, own: frozenset[str], *, where: str = "") -> Compiled:
        """Compile an expression for places whose own data, new and old, has no other first keys than ``own``.

        Raises InvalidInput, with ``where``, for a text that cannot be parsed.
        """
        key = text, own
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = self._compile(text, own, where)
        return found

    def paths(self, text: str) -> tuple[Path, ...]:
        """Give the paths under ``$``, new or old, that the expression may read; ((),) when that may be all."""
        try:
            part = Translator(Sharing(frozenset())).whole(self._evaluator.parse(text).expression)
        except (InvalidInput, Unsupported):
            return ((),)
        return shortest(reading.path for reading in part.reads)

    def _compile(self, text: str, own: frozenset[str], where: str) -> Compiled:
        sharing = Sharing(own)
        tree = self._evaluator.parse(text, where).expression
        try:
            part = Translator(sharing).whole(tree)
        except Unsupported:
            return Compiled(text, None, _EVERYTHING, self._evaluator)
        readings = _needed(filter(sharing.varies, part.reads))
        return Compiled(text, part, readings, self._evaluator)


def context_of(place: Place) -> Context:
    """Give the place's data as the language wants it. Made once; common data is frozen once for all places."""
    if place.frozen is None:
        common = _frozen(place, _FROZEN[0], place.common)
        old_common = _frozen(place, _FROZEN[1], place.old_common)
        place.frozen = Context(common, place.node, union(old_common, freeze(place.old_node)))
    context: Context = place.frozen
    return context


def shortest(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Give the paths, in order, without those that begin with another one."""
    found: list[Path] = []
    for path in sorted(set(paths)):
        if not found or path[: len(found[-1])] != found[-1]:
            found.append(path)
    return tuple(found)


def _frozen(place: Place, key: str, data: dict[str, Any]) -> Any:
    if key not in place.shared:
        place.shared[key] = freeze(data)
    return place.shared[key]


def _needed(readings: Iterable[Reading]) -> tuple[Reading, ...]:
    """Leave out what other readings tell already."""
    found = set(readings)
    told: set[Reading] = set()
    for root in ("new", "old", "node"):
        paths = [reading.path for reading in found if reading.kind == "value" and reading.root == root]
        told |= {Reading("value", root, path) for path in shortest(paths)}
    told |= {reading for reading in found if reading.kind == "changed"}
    return tuple(sorted(told, key=lambda reading: (reading.kind, reading.root, reading.path)))


def _unsure(place: Place, item: Any) -> Any:
    raise Unsupported
