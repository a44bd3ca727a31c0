"""Parts of compiled expressions, and the sharing of those that only common data decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from rackwright.engine.expressions.kinds import Missing, Stream, Unsure, deeply_kept, kept
from rackwright.engine.expressions.reading import Place, Reading

Closure = Callable[[Place, Any], Any]
"""Gives the value of a part, from the place and the item that a lambda is about."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of an expression, ready to run."""

    text: str
    """What it means, the same for equal pieces of different expressions."""
    run: Closure
    reads: frozenset[Reading] = frozenset()
    item: bool = False
    """It is about the item of a lambda around it."""
    cheap: bool = False
    """Running it costs no more than remembering its value."""
    loops: bool = False
    """It goes through a collection item by item, and the collection may have an item for every node."""
    clean: bool = True
    """Lists and mappings in its value are data: they hold nothing lazy and no tuples."""
    sure: bool = False
    """It never raises, neither now nor when its value is used up."""
    constant: bool = False
    path: Reading | None = None
    """The path, when it is one and nothing else."""


class _Failure:
    """A shared part that failed: it fails alike for every place."""

    __slots__ = ("error",)

    def __init__(self, error: type[Exception]) -> None:
        self.error = error


_LAZY_FAILURE = object()
"""A shared part whose stream fails when it is used up: it is computed anew, so that it fails where it should."""


class Sharing:
    """Knows which parts are the same in every place with the same common data, and keeps their values."""

    def __init__(self, own: frozenset[str]) -> None:
        self.own = own

    def shareable(self, part: Part) -> bool:
        """Whether no place has a say in this part."""
        return not part.item and not any(map(self.varies, part.reads))

    def varies(self, reading: Reading) -> bool:
        """Whether places may differ in what a reading is about."""
        if reading.root == "common":
            return False
        return reading.root == "node" or not reading.path or reading.path[0] in self.own

    def shared(self, part: Part) -> Part:
        """Give the part so that its value is computed once for all places, if it is shareable and worth it."""
        if part.cheap or not self.shareable(part):
            return part
        return msgspec.structs.replace(part, run=_remembering(part), cheap=True)

    def compose(
        self,
        text: str,
        children: Sequence[Part],
        build: Callable[..., Closure],
        *,
        inner: Iterable[Part] = (),
        sure: bool = False,
        clean: bool | None = None,
    ) -> Part:
        """Make a part of parts. ``inner`` are the bodies of lambdas: the item in them is their own.

        Children that can be shared are, unless the whole can; those that loop are in any case, for many expressions
        have the same loops.
        """
        inner = tuple(inner)
        everything = (*children, *inner)
        whole = Part(
            text=text,
            run=build,
            reads=frozenset().union(*(part.reads for part in everything)),
            item=any(part.item for part in children),
            clean=all(part.clean for part in everything) if clean is None else clean,
            sure=sure,
            loops=bool(inner) or any(part.loops for part in children),
        )
        alone = not self.shareable(whole)
        everything = tuple(self.shared(part) if alone or part.loops else part for part in everything)
        return msgspec.structs.replace(whole, run=build(*(part.run for part in everything)))


def _remembering(part: Part) -> Closure:
    key, inner = part.text, part.run
    keep = kept if part.clean else deeply_kept

    def run(place: Place, item: Any) -> Any:
        shared = place.shared
        value = shared[key] if key in shared else _first(shared, key, inner, keep, place)
        kind = type(value)
        if kind is _Failure:
            raise value.error
        if value is _LAZY_FAILURE:
            return inner(place, item)
        return Stream(value.items) if kind is Stream else value

    return run


def _first(shared: dict[object, Any], key: str, run: Closure, keep: Callable[[Any], Any], place: Place) -> Any:
    try:
        value = run(place, None)
    except Missing:
        shared[key] = _Failure(Missing)
        return shared[key]
    except Exception:
        shared[key] = _Failure(Unsure)
        return shared[key]
    try:
        shared[key] = keep(value)
    except Exception:
        # The language may never use it up: only the part that does may fail.
        shared[key] = _LAZY_FAILURE
    return shared[key]
