"""The functions that Fuel added to YAQL: what changed between old and new data, and writing data as text.

``new(e)`` and ``old(e)`` evaluate ``e`` over the new or old data; where the old data gives no answer ``old`` is UNDEF,
which differs from everything. So ``changed($.x)`` is true for a task that never ran.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from yaql.language import specs, yaqltypes

from rackwright.engine.expressions.values import UNDEF, freeze, plain

Lambda = Callable[[Any], Any]
"""An expression that waits for the data it is about."""

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def register(context: Any) -> None:
    """Make the functions known to a YAQL context."""
    for name, function in _FUNCTIONS.items():
        context.register_function(function, name=name)


def _new(expression: Lambda, context: Any) -> Any:
    return expression(context["$%new"])


def _old(expression: Lambda, context: Any) -> Any:
    """Whatever goes wrong over old data means one thing: there is no old answer to compare with."""
    try:
        return freeze(plain(expression(context["$%old"])))
    except Exception:
        return UNDEF


def _changed(expression: Lambda, context: Any) -> bool:
    new = _new(expression, context)
    try:
        old = expression(context["$%old"])
        if old is new:
            return False
        old = plain(old)
    except Exception:
        return True
    return bool(plain(new) != old)


def _changed_any(context: Any, *expressions: Lambda) -> bool:
    return any(_changed(expression, context) for expression in expressions)


def _changed_all(context: Any, *expressions: Lambda) -> bool:
    return all(_changed(expression, context) for expression in expressions)


def _added(expression: Lambda, context: Any) -> Any:
    new, old = freeze(plain(_new(expression, context))), _old(expression, context)
    return new if old is UNDEF else _more(old, new)


def _deleted(expression: Lambda, context: Any) -> Any:
    new, old = freeze(plain(_new(expression, context))), _old(expression, context)
    return None if old is UNDEF else _more(new, old)


def _more(less: Any, more: Any) -> Any:
    """Give what of ``more`` is not in ``less``, one level deep; texts are taken by lines."""
    if type(less) is not type(more):
        return more
    if isinstance(more, Mapping):
        return freeze({key: value for key, value in more.items() if key not in less or less[key] != value})
    if isinstance(more, str):
        return _more_items(less.splitlines(), more.splitlines())
    if isinstance(more, tuple):
        return _more_items(less, more)
    return None if less == more else more


def _more_items(less: Any, more: Any) -> tuple[Any, ...]:
    left = Counter(less)
    left.subtract(Counter(more))
    found = []
    for item in reversed(more):
        if left[item] < 0:
            left[item] += 1
            found.append(item)
    return tuple(reversed(found))


def _is_undef(receiver: Any) -> bool:
    return receiver is UNDEF


def _to_yaml(receiver: Any) -> str:
    return str(yaml.dump(plain(receiver), Dumper=_DUMPER, default_flow_style=False))


def _to_json(receiver: Any) -> str:
    return json.dumps(plain(receiver))


def _lazy(parameter: str, function: Callable[..., Any]) -> Any:
    """Mark the parameter that takes an expression and not its value. The mark stays on the function: once is enough."""
    return specs.parameter(parameter, yaqltypes.Lambda())(function)


_FUNCTIONS: dict[str, Any] = {
    "new": _lazy("expression", _new),
    "old": _lazy("expression", _old),
    "changed": _lazy("expression", _changed),
    "added": _lazy("expression", _added),
    "deleted": _lazy("expression", _deleted),
    "changedAny": _lazy("expressions", _changed_any),
    "changedAll": _lazy("expressions", _changed_all),
    "isUndef": specs.method(_is_undef),
    "toYaml": specs.method(_to_yaml),
    "toJson": specs.method(_to_json),
}
