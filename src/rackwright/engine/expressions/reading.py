"""Places and readings: what a compiled expression looks at, and what its value depends on.

A reading names a part of the data. Two places that share their common data and give the same answer to every reading
of an expression give the same value, so the expression is evaluated once for all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from typing import Any, Final, Literal

import msgspec

Root = Literal["new", "old", "node", "common"]
"""Where a path begins: the merged new data (``$``), the merged old data, or a part of the new data alone."""

Path = tuple[str, ...]
"""Keys from a root downwards; () is the whole."""

_NO_DATA: Final[dict[str, Any]] = {}
_encode = msgspec.msgpack.Encoder().encode


class Reading(msgspec.Struct, frozen=True, cache_hash=True):
    """A part of the data that a value depends on: what it holds, or only whether it differs from the old data."""

    kind: Literal["value", "changed"]
    root: Root
    path: Path

    @property
    def head(self) -> str | None:
        """The first key, None for the whole."""
        return self.path[0] if self.path else None


class Layers:
    """Common data with a place's own over it. Mappings merge deeply, anything else is the own one.

    Only what is asked for is merged. Most heads are common or own, and are given as they are.
    """

    __slots__ = ("_common", "_heads", "_own", "_whole")

    def __init__(self, common: dict[str, Any], own: dict[str, Any]) -> None:
        self._common = common
        self._own = own
        self._heads: dict[str, Any] = {}
        self._whole: dict[str, Any] | None = None

    @property
    def whole(self) -> dict[str, Any]:
        """All of it, as one dict: common keys first, in their order, then the own ones."""
        if self._whole is None:
            heads = {key: self.head(key) for key in self._own}
            self._whole = {**self._common, **heads} if heads else self._common
        return self._whole

    def head(self, key: str) -> Any:
        """Give the value of a first key. Raises KeyError."""
        own = self._own
        if key not in own:
            return self._common[key]
        value = own[key]
        if type(value) is not dict:
            return value
        common = self._common.get(key)
        if type(common) is not dict:
            return value
        heads = self._heads
        if key not in heads:
            heads[key] = merged(common, value)
        return heads[key]

    def get(self, key: str, default: Any) -> Any:
        """Give the value of a first key, or the default."""
        return self.head(key) if key in self._own else self._common.get(key, default)

    def find(self, path: Path) -> tuple[int, Any]:
        """Walk down and give how many keys were found and where the walk ended."""
        if not path:
            return 0, self.whole
        try:
            value = self.head(path[0])
        except KeyError:
            return 0, _NO_DATA
        for depth in range(1, len(path)):
            if type(value) is not dict or path[depth] not in value:
                return depth, value
            value = value[path[depth]]
        return len(path), value


class Place:
    """What expressions look at in one place (a node, the control node or none): plain dicts, lists and scalars.

    ``shared`` keeps what was computed from common data alone. It is one dict for all places with the same common data
    and the same old common data. Places without old data (``old_node`` is None: the task never ran there) need a dict
    of their own: nothing is old there, not even what is common.
    """

    __slots__ = ("_answers", "common", "frozen", "new_data", "node", "old_common", "old_data", "old_node", "shared")

    def __init__(
        self,
        common: dict[str, Any],
        node: dict[str, Any],
        old_common: dict[str, Any] | None,
        old_node: dict[str, Any] | None,
        shared: dict[object, Any],
    ) -> None:
        self.common = common
        self.node = node
        self.shared = shared
        self.new_data = Layers(common, node)
        self.old_common = _NO_DATA if old_node is None or old_common is None else old_common
        self.old_node = _NO_DATA if old_node is None else old_node
        self.old_data = Layers(self.old_common, self.old_node)
        self.frozen: Any = None
        """The same data for the yaql engine, made when an expression first needs the engine here."""
        self._answers: dict[Reading, Hashable] = {}

    @property
    def stands(self) -> bool:
        """Whether new and old data are the same objects: no expression over them can tell them apart."""
        return self.old_common is self.common and self.old_node is self.node

    @property
    def new(self) -> dict[str, Any]:
        """The new data: common and own merged."""
        return self.new_data.whole

    @property
    def old(self) -> dict[str, Any]:
        """The old data, merged alike; empty where there is none."""
        return self.old_data.whole

    def answer(self, reading: Reading) -> Hashable:
        """Give what this place says to a reading; of places that share their common data, equal answers mean equal
        data as far as the reading goes."""
        answers = self._answers
        if reading in answers:
            return answers[reading]
        found = self._changed(reading.path) if reading.kind == "changed" else self._value(reading)
        answers[reading] = found
        return found

    def _value(self, reading: Reading) -> Hashable:
        if not reading.path:
            return self._whole(reading.root)
        return _told(self._find(reading.root, reading.path), len(reading.path))

    def _whole(self, root: Root) -> Hashable:
        """All of a root by the place's own part: the common one is the same for all places that are told apart."""
        return None if root == "common" else fingerprint(self.old_node if root == "old" else self.node)

    def _once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Compute what depends on common data alone, once for all places that share it."""
        if name not in self.shared:
            self.shared[name] = compute()
        return self.shared[name]

    def _find(self, root: Root, path: Path) -> tuple[int, Any]:
        if root == "new":
            return self.new_data.find(path)
        if root == "old":
            return self.old_data.find(path)
        return Layers(_NO_DATA, self.node if root == "node" else self.common).find(path)

    def _changed(self, path: Path) -> Hashable:
        if not path:
            return True, True, not self._differs()
        new, old = self.new_data.find(path), self.old_data.find(path)
        whole = len(path)
        if new[0] == old[0] == whole:
            return True, True, bool(new[1] == old[1])
        if new[0] == whole and type(old[1]) is dict:
            return True, False, False
        return _told(new, whole), _told(old, whole)

    def _differs(self) -> bool:
        """True when anything differs between the new and the old data. Common heads are compared once."""
        own = self.node.keys() | self.old_node.keys()
        if self._once("common heads that differ", lambda: _differing(self.common, self.old_common)) - own:
            return True
        return any(self.new_data.find((head,)) != self.old_data.find((head,)) for head in own)


def _differing(one: dict[str, Any], other: dict[str, Any]) -> frozenset[str]:
    return frozenset(
        head for head in one.keys() | other.keys() if head not in one or head not in other or one[head] != other[head]
    )


def fingerprint(value: Any) -> Hashable:
    """Give something small that is equal for equal data only: types count (1 is not true), and the order of keys too.

    A text is its own fingerprint; of lists and mappings it is 16 bytes (BLAKE2b of their MessagePack form).
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        answer: Hashable = value
        return answer
    if kind is int or kind is float:
        return kind.__name__, repr(value)
    try:
        packed = _encode(value)
    except (OverflowError, TypeError):
        # Numbers beyond 64 bits have no MessagePack form.
        packed = b"\xc1" + repr(value).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(packed, digest_size=16).digest()


def merged(common: Any, own: Any) -> Any:
    """Merge plain data: mappings deeply, anything else is the own one. Unchanged parts are shared, not copied."""
    if type(common) is not dict or type(own) is not dict:
        return own
    whole = dict(common)
    for key, value in own.items():
        whole[key] = merged(whole[key], value) if key in whole else value
    return whole


def _told(found: tuple[int, Any], depth: int) -> Hashable:
    """A value that ends the walk too early counts as a whole, unless it is a mapping that lacks the next key."""
    if found[0] == depth:
        return fingerprint(found[1])
    return (found[0],) if type(found[1]) is dict else (found[0], fingerprint(found[1]))
