"""Expressions for the reference: the ``yaql`` package as it is, and Fuel's functions in their plainest form.

Nothing is kept but parsed expressions: every evaluation walks all data that its expression names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

import msgspec
import yaml
import yaql
from yaql.language import specs, yaqltypes
from yaql.language.utils import FrozenDict, convert_input_data

_SCALARS = {str, int, float, bool, type(None)}
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class View(msgspec.Struct, frozen=True):
    """What expressions see at one place, as the package wants it: ``frozen`` data. ``old`` is empty for what never
    ran."""

    new: Any
    old: Any
    node: Any
    common: Any


class Language:
    """Evaluates expressions and fills templates. Each expression is parsed once."""

    def __init__(self) -> None:
        self._engine = yaql.YaqlFactory().create({"yaql.convertTuplesToLists": True, "yaql.convertSetsToLists": True})
        self._functions = yaql.create_context(finalizer=specs.name("#finalize")(_finalize))
        for name, function in _FUNCTIONS.items():
            self._functions.register_function(function, name=name)
        self._parsed: dict[str, Any] = {}

    def value(self, expression: str, view: View) -> Any:
        """Give the value of an expression as plain data."""
        if expression not in self._parsed:
            self._parsed[expression] = self._engine(expression)
        context = self._functions.create_child_context()
        context["$"] = context["$%new"] = view.new
        context["$%old"] = view.old
        context["$node"], context["$common"] = view.node, view.common
        return self._parsed[expression].evaluate(context=context)

    def filled(self, template: Any, view: View, names: Mapping[str, Any] | None = None) -> Any:
        """Give a template with every expression replaced by its value, and with ``names`` other texts formatted."""
        if isinstance(template, dict):
            if "yaql_exp" in template:
                return self.value(template["yaql_exp"], view)
            return {k: v if k == "regex" else self.filled(v, view, names) for k, v in template.items()}
        if isinstance(template, list | tuple):
            return [self.filled(inner, view, names) for inner in template]
        return _formatted(template, names) if isinstance(template, str) and names is not None else template


frozen: Callable[[Any], Any] = convert_input_data
"""Gives JSON data as the package wants it."""


def united(common: Any, own: Any) -> Any:
    """Merge two frozen values: mappings deeply, of anything else the own one stays."""
    if not (isinstance(common, Mapping) and isinstance(own, Mapping)):
        return own
    both = {key: united(common[key], own[key]) for key in common if key in own}
    return FrozenDict({**common, **own, **both})


def data(value: Any) -> Any:
    """Give a value of an expression as plain data: all that is lazy in it is computed."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Mapping):
        return {data(key): data(inner) for key, inner in value.items()}
    if isinstance(value, Set):
        return sorted(map(data, value))
    return [data(inner) for inner in value] if isinstance(value, Iterable) else value


def _formatted(text: str, names: Mapping[str, Any]) -> str:
    try:
        return text.format(**names)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError):
        return text


class _Undefined:
    """What ``old`` gives where the old data has no answer."""


_UNDEFINED = _Undefined()


def _finalize(obj: Any) -> Any:
    return data(obj)


def _before(expression: Any, context: Any) -> Any:
    try:
        return data(expression(context["$%old"]))
    except Exception:
        return _UNDEFINED


def _now(expression: Any, context: Any) -> Any:
    return data(expression(context["$%new"]))


def _new(expression: Any, context: Any) -> Any:
    return frozen(_now(expression, context))


def _old(expression: Any, context: Any) -> Any:
    return frozen(_before(expression, context))


def _changed(expression: Any, context: Any) -> bool:
    return bool(_now(expression, context) != _before(expression, context))


def _changed_any(context: Any, *expressions: Any) -> bool:
    return any(_changed(expression, context) for expression in expressions)


def _changed_all(context: Any, *expressions: Any) -> bool:
    return all(_changed(expression, context) for expression in expressions)


def _added(expression: Any, context: Any) -> Any:
    now, before = _now(expression, context), _before(expression, context)
    return frozen(now if before is _UNDEFINED else _beyond(now, before))


def _deleted(expression: Any, context: Any) -> Any:
    now, before = _now(expression, context), _before(expression, context)
    return None if before is _UNDEFINED else frozen(_beyond(before, now))


def _beyond(one: Any, other: Any) -> Any:
    """Give what ``one`` holds that ``other`` does not, one level deep; texts are taken by lines."""
    if type(one) is not type(other):
        return one
    if isinstance(one, dict):
        return {key: value for key, value in one.items() if key not in other or other[key] != value}
    if isinstance(one, str):
        one, other = one.splitlines(), other.splitlines()
    if not isinstance(one, list):
        return None if one == other else one
    left, rest = list(other), []
    for item in one:
        if item in left:
            left.remove(item)
        else:
            rest.append(item)
    return rest


def _is_undef(receiver: Any) -> bool:
    return receiver is _UNDEFINED


def _to_yaml(receiver: Any) -> str:
    return str(yaml.dump(data(receiver), Dumper=_DUMPER, default_flow_style=False))


def _to_json(receiver: Any) -> str:
    return json.dumps(data(receiver))


def _unevaluated(parameter: str, function: Callable[..., Any]) -> Any:
    """Let a function take an expression and not its value."""
    return specs.parameter(parameter, yaqltypes.Lambda())(function)


_FUNCTIONS: dict[str, Any] = {
    "new": _unevaluated("expression", _new),
    "old": _unevaluated("expression", _old),
    "changed": _unevaluated("expression", _changed),
    "changedAny": _unevaluated("expressions", _changed_any),
    "changedAll": _unevaluated("expressions", _changed_all),
    "added": _unevaluated("expression", _added),
    "deleted": _unevaluated("expression", _deleted),
    "isUndef": specs.method(_is_undef),
    "toYaml": specs.method(_to_yaml),
    "toJson": specs.method(_to_json),
}
