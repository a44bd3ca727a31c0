"""From the parsed expression to parts: what each piece of the language means, and what it reads.

Only what the closures do exactly as the language does is translated. Anything else raises Unsupported, and the whole
expression is left to the language itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from yaql.language import expressions as grammar

from rackwright.engine.expressions import collection_functions as collections
from rackwright.engine.expressions import difference_functions as differences
from rackwright.engine.expressions import operators, paths
from rackwright.engine.expressions.kinds import DATA, SCALARS
from rackwright.engine.expressions.parts import Closure, Part, Sharing
from rackwright.engine.expressions.reading import Path, Reading, Root

_DEEPEST: Final = 100
_MOST_COMPARED: Final = 3
_ROOTS: Final[dict[str, Root]] = {"$node": "node", "$common": "common"}


class Unsupported(Exception):
    """The language has more than the closures: this expression is for the language itself."""


class Scope(msgspec.Struct, frozen=True):
    """What ``$`` is: the new data, the old data, or the item of a lambda."""

    root: Root = "new"
    item: bool = False
    clean: bool = True
    """The item holds nothing lazy."""
    depth: int = 0
    compared: int = 0
    """How many ``changed`` and the like are around: each translates what is in it twice."""

    def deeper(self) -> Scope:
        """The same one level down. Raises Unsupported at the bottom."""
        if self.depth >= _DEEPEST:
            raise Unsupported
        return msgspec.structs.replace(self, depth=self.depth + 1)

    def about_item(self, *, clean: bool) -> Scope:
        """In a lambda."""
        return msgspec.structs.replace(self, item=True, clean=clean)

    def about(self, root: Root) -> Scope:
        """In an expression that is evaluated over new or old data."""
        if self.compared >= _MOST_COMPARED:
            raise Unsupported
        return Scope(root=root, depth=self.depth, compared=self.compared + 1)


class Translator:
    """Translates expressions for places whose own parts have no other first keys than those of the sharing."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing

    def whole(self, tree: Any) -> Part:
        """Translate a parsed expression. Raises Unsupported."""
        return self._sharing.shared(self._part(tree, Scope()))

    def _part(self, tree: Any, scope: Scope) -> Part:
        kind = type(tree)
        if kind is grammar.Wrap:
            return self._part(tree.expr, scope.deeper())
        if kind is grammar.Constant or kind is grammar.KeywordConstant:
            return _constant(tree.value)
        if kind is grammar.GetContextValue:
            return _variable(tree.path.value, scope)
        translate = _TRANSLATIONS.get(kind)
        if translate is None:
            raise Unsupported
        return translate(self, tree, scope.deeper())

    def _parts(self, trees: Sequence[Any], scope: Scope) -> list[Part]:
        return [self._part(tree, scope) for tree in trees]

    # ---- operators and literals

    def _binary(self, tree: Any, scope: Scope) -> Part:
        sign = tree.operator
        if sign in (".", "?."):
            return self._dot(tree, scope)
        parts = self._parts(tree.args, scope)
        if sign in ("=", "!=", "in"):
            return self._comparison(sign, parts)
        if sign not in _BINARY:
            raise Unsupported
        sure = sign in ("and", "or") and all(part.sure for part in parts)
        return self._sharing.compose(_text(sign, parts), parts, _BINARY[sign], sure=sure)

    def _comparison(self, sign: str, parts: list[Part]) -> Part:
        left, right = parts
        clean = left.clean and right.clean
        known = DATA if clean else SCALARS
        text = _text(sign, parts)
        if sign != "in":
            build: Callable[..., Closure] = partial(operators.equality, equal=sign == "=", known=known)
            return self._sharing.compose(text, parts, build, sure=clean and left.sure and right.sure, clean=True)
        build = partial(operators.membership, known=known)
        if self._sharing.shareable(right) and not self._sharing.shareable(left):
            build = partial(operators.membership_in_shared, known=known, key=right.text)
        return self._sharing.compose(text, parts, build, clean=True)

    def _unary(self, tree: Any, scope: Scope) -> Part:
        value = _known(tree.args[0])
        if tree.operator == "-" and type(value) in operators.NUMBERS:
            return _constant(-value)
        if tree.operator != "not":
            raise Unsupported
        inner = self._part(tree.args[0], scope)
        return self._sharing.compose(_text("not", [inner]), [inner], operators.negation, sure=inner.sure, clean=True)

    def _dot(self, tree: Any, scope: Scope) -> Part:
        left, right = tree.args
        inner = self._part(left, scope)
        if type(right) is grammar.KeywordConstant:
            return self._attribute(inner, right.value, tree.operator)
        if type(right) is grammar.Function and tree.operator == ".":
            return self._method(inner, right, scope)
        raise Unsupported

    def _attribute(self, inner: Part, key: str, sign: str) -> Part:
        text = f"{inner.text}{sign}{key}"
        if inner.path is None or sign != ".":
            reach = paths.attribute_of if sign == "." else paths.attribute_if_any
            return self._sharing.compose(text, [inner], partial(reach, key=key))
        reading = Reading("value", inner.path.root, (*inner.path.path, key))
        run = paths.path_of(reading.root, reading.path, own=self._sharing.varies(reading))
        return Part(text=text, run=run, reads=frozenset({reading}), cheap=True, path=reading)

    def _list(self, tree: Any, scope: Scope) -> Part:
        parts = self._parts(tree.args, scope)
        clean, sure = all(part.constant for part in parts), all(part.sure for part in parts)
        return self._sharing.compose(_text("[]", parts), parts, operators.list_of, sure=sure, clean=clean)

    def _map(self, tree: Any, scope: Scope) -> Part:
        parts = self._sides(tree.args, scope)
        clean = all(part.constant for part in parts)
        return self._sharing.compose(_text("{}", parts), parts, operators.mapping_of, clean=clean)

    def _sides(self, rules: Sequence[Any], scope: Scope) -> list[Part]:
        if not all(type(rule) is grammar.MappingRuleExpression for rule in rules):
            raise Unsupported
        return self._parts([side for rule in rules for side in (rule.source, rule.destination)], scope)

    # ---- functions and methods

    def _function(self, tree: Any, scope: Scope) -> Part:
        name, arguments = tree.name, tree.args
        if name in _COMPARING:
            return _COMPARING[name](self, arguments, scope)
        if not arguments:
            raise Unsupported
        if name in _ALSO_METHODS:
            return self._method(self._part(arguments[0], scope), grammar.Function(name, *arguments[1:]), scope)
        if name not in _FUNCTIONS:
            raise Unsupported
        parts = self._sides(arguments, scope) if name == "switch" else self._parts(arguments, scope)
        sure = name != "concat" and all(part.sure for part in parts)
        return self._sharing.compose(_text(f"{name}()", parts), parts, _FUNCTIONS[name], sure=sure)

    def _method(self, inner: Part, tree: Any, scope: Scope) -> Part:
        name, count = tree.name, len(tree.args)
        if name in _LAMBDAS and count in _LAMBDAS[name][0]:
            return self._with_lambda(inner, name, tree.args, scope.about_item(clean=inner.clean))
        if name not in _METHODS or count not in _METHODS[name][0]:
            raise Unsupported
        parts = [inner, *self._parts(tree.args, scope)]
        if name == "get":
            return self._get(parts, tree.args)
        text = _text(f".{name}", parts)
        if name in _WRITERS:
            build = partial(_WRITERS[name], finish=differences.finisher(clean=inner.clean))
            return self._sharing.compose(text, parts, build, sure=_is_root(inner), clean=True)
        clean = False if name == "items" else None
        return self._sharing.compose(text, parts, _METHODS[name][1], sure=name == "isUndef" and inner.sure, clean=clean)

    def _with_lambda(self, inner: Part, name: str, trees: Sequence[Any], scope: Scope) -> Part:
        bodies = self._parts(trees, scope)
        clean = {"where": inner.clean, "select": all(body.clean for body in bodies)}.get(name, True)
        text = _text(f".{name}", [inner, *bodies])
        build, (key, value) = _LAMBDAS[name][1], _searched(trees)
        if name == "where" and key is not None and self._sharing.shareable(inner):
            sought = self._part(value, scope.deeper())
            if not sought.item:
                bodies.append(sought)
                build = partial(collections.where_equal, key=key, name=inner.text)
        return self._sharing.compose(text, [inner], build, inner=bodies, clean=clean)

    def _get(self, parts: list[Part], trees: Sequence[Any]) -> Part:
        inner, text = parts[0], _text(".get", parts)
        key, default = _known(trees[0]), _known(trees[1]) if len(trees) > 1 else None
        if not isinstance(key, str) or default is _UNKNOWN:
            return self._sharing.compose(text, parts, collections.get)
        if inner.path is None:
            build = partial(collections.get_constant, key=key, default=default)
            return self._sharing.compose(text, [inner], build)
        reading = Reading("value", inner.path.root, (*inner.path.path, key))
        if not inner.path.path:
            run = paths.head_or(reading.root, key, default, own=self._sharing.varies(reading))
            return Part(text=text, run=run, reads=frozenset({reading}), cheap=True, sure=True)
        run = collections.get_constant(inner.run, key, default)
        return Part(text=text, run=run, reads=frozenset({reading}), cheap=True)

    # ---- new and old

    def _new(self, trees: Sequence[Any], scope: Scope) -> Part:
        return self._part(_only(trees), scope.about("new"))

    def _old(self, trees: Sequence[Any], scope: Scope) -> Part:
        old = self._part(_only(trees), scope.about("old"))
        if _is_root(old):
            return old
        build = partial(differences.old_value, finish=differences.finisher(clean=old.clean))
        return self._sharing.compose(_text("old()", [old]), [old], build, sure=True, clean=True)

    def _compared(self, name: str, trees: Sequence[Any], scope: Scope) -> Part:
        sides = [self._part(_only(trees), scope.about("new")), self._part(_only(trees), scope.about("old"))]
        new, old = sides
        text = _text(f"{name}()", sides)
        path = _compared_path(new, old)
        if name == "changed" and path is not None:
            reading = Reading("changed", "new", path)
            if self._sharing.varies(reading):
                run = differences.changed_path(new.run, old.run, reading)
                return Part(text=text, run=run, reads=frozenset({reading}), cheap=True, sure=new.sure)
        build = partial(_COMPARISONS[name], finish=differences.finisher(clean=new.clean and old.clean))
        return self._sharing.compose(text, sides, build, sure=name == "changed" and new.sure, clean=True)

    def _changed(self, trees: Sequence[Any], scope: Scope) -> Part:
        return self._compared("changed", trees, scope)

    def _added(self, trees: Sequence[Any], scope: Scope) -> Part:
        return self._compared("added", trees, scope)

    def _deleted(self, trees: Sequence[Any], scope: Scope) -> Part:
        return self._compared("deleted", trees, scope)

    def _changed_any(self, trees: Sequence[Any], scope: Scope) -> Part:
        return self._each("changedAny", operators.any_of, [self._changed([tree], scope) for tree in trees])

    def _changed_all(self, trees: Sequence[Any], scope: Scope) -> Part:
        return self._each("changedAll", operators.all_of, [self._changed([tree], scope) for tree in trees])

    def _each(self, name: str, build: Callable[..., Closure], parts: list[Part]) -> Part:
        """Neighbours that can be shared are shared as one."""
        groups: list[list[Part]] = []
        for part in parts:
            if groups and self._sharing.shareable(part) and self._sharing.shareable(groups[-1][-1]):
                groups[-1].append(part)
            else:
                groups.append([part])
        wholes = [self._sharing.compose(_text(name, group), group, build, clean=True) for group in groups]
        sure = all(part.sure for part in parts)
        return self._sharing.compose(_text(name, wholes), wholes, build, sure=sure, clean=True)


_UNKNOWN: Final = object()


def _known(tree: Any) -> Any:
    """Give the value of a constant or an empty literal."""
    kind = type(tree)
    if kind is grammar.Constant or kind is grammar.KeywordConstant:
        return tree.value
    if kind in _EMPTY and not tree.args:
        return _EMPTY[kind]()
    return _UNKNOWN


def _constant(value: Any) -> Part:
    return Part(text=repr(value), run=operators.constant(value), cheap=True, sure=True, constant=True)


def _variable(name: str, scope: Scope) -> Part:
    if name == "$" and scope.item:
        return Part(text="@", run=operators.the_item, item=True, cheap=True, clean=scope.clean)
    root = scope.root if name == "$" else _ROOTS.get(name)
    if root is None:
        raise Unsupported
    whole = Reading("value", root, ())
    return Part(text=root, run=paths.whole(root), reads=frozenset({whole}), cheap=True, sure=True, path=whole)


def _is_root(part: Part) -> bool:
    return part.path is not None and not part.path.path


def _compared_path(new: Part, old: Part) -> Path | None:
    """Give the path, if the parts are the same one over new and over old data."""
    if new.path is None or old.path is None or (new.path.root, old.path.root) != ("new", "old"):
        return None
    return new.path.path


def _searched(trees: Sequence[Any]) -> tuple[str | None, Any]:
    """Of the condition ``$.key = value`` give key and value."""
    if not trees or not _is_binary(trees[0], "=") or not _is_binary(trees[0].args[0], "."):
        return None, None
    (item, key), value = trees[0].args[0].args, trees[0].args[1]
    of_item = type(item) is grammar.GetContextValue and item.path.value == "$"
    return (key.value, value) if of_item and type(key) is grammar.KeywordConstant else (None, None)


def _is_binary(tree: Any, sign: str) -> bool:
    return type(tree) is grammar.BinaryOperator and tree.operator == sign


def _only(trees: Sequence[Any]) -> Any:
    if len(trees) != 1:
        raise Unsupported
    return trees[0]


def _text(name: str, parts: Sequence[Part]) -> str:
    return f"{name}({', '.join(part.text for part in parts)})"


_EMPTY: Final[dict[type, type]] = {grammar.ListExpression: list, grammar.MapExpression: dict}
_TRANSLATIONS: Final[dict[type, Callable[[Translator, Any, Scope], Part]]] = {
    grammar.BinaryOperator: Translator._binary,
    grammar.UnaryOperator: Translator._unary,
    grammar.ListExpression: Translator._list,
    grammar.MapExpression: Translator._map,
    grammar.Function: Translator._function,
}
_BINARY: Final[dict[str, Callable[..., Closure]]] = {
    "and": operators.both,
    "or": operators.either,
    "+": operators.addition,
    **{sign: partial(operators.arithmetic, sign) for sign in ("-", "*")},
    **{sign: partial(operators.order, sign) for sign in ("<", "<=", ">", ">=")},
}
_FUNCTIONS: Final[dict[str, Callable[..., Closure]]] = {
    "switch": operators.switch,
    "coalesce": operators.coalesce,
    "concat": collections.concat,
}
_ALSO_METHODS: Final = frozenset({"any", "all", "len"})
_COMPARING: Final[dict[str, Callable[[Translator, Sequence[Any], Scope], Part]]] = {
    "new": Translator._new,
    "old": Translator._old,
    "changed": Translator._changed,
    "changedAny": Translator._changed_any,
    "changedAll": Translator._changed_all,
    "added": Translator._added,
    "deleted": Translator._deleted,
}
_COMPARISONS: Final[dict[str, Callable[..., Closure]]] = {
    "changed": differences.changed,
    "added": differences.added,
    "deleted": differences.deleted,
}
_LAMBDAS: Final[dict[str, tuple[tuple[int, ...], Callable[..., Closure]]]] = {
    "where": ((1,), collections.where),
    "select": ((1,), collections.select),
    "any": ((0, 1), collections.any_item),
    "all": ((0, 1), collections.all_items),
}
"""Methods whose arguments are lambdas: how many they take, and what makes the closure."""
_WRITERS: Final[dict[str, Callable[..., Closure]]] = {"toYaml": differences.as_yaml, "toJson": differences.as_json}
_METHODS: Final[dict[str, tuple[tuple[int, ...], Callable[..., Closure]]]] = {
    "get": ((1, 2), collections.get),
    "keys": ((0,), partial(collections.view, of=dict.keys)),
    "values": ((0,), partial(collections.view, of=dict.values)),
    "items": ((0,), partial(collections.view, of=dict.items)),
    "len": ((0,), collections.length),
    "matches": ((1,), collections.matches),
    "concat": (tuple(range(1, 10)), collections.concat_collections),
    "flatten": ((0,), collections.flatten),
    "toSet": ((0,), collections.to_set),
    "intersect": ((1,), collections.intersect),
    "first": ((0, 1), collections.first),
    "last": ((0, 1), collections.last),
    "isUndef": ((0,), differences.is_undefined),
    "toYaml": ((0,), differences.as_yaml),
    "toJson": ((0,), differences.as_json),
}
"""Other methods: how many arguments they take, and what makes the closure."""
