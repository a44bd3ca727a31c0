"""The evaluator: parses each expression once, evaluates it over a context, and says clearly what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaql
from yaql.language import exceptions, specs
from yaql.language import expressions as grammar

from rackwright.core import legacy_expression
from rackwright.core.errors import InvalidInput
from rackwright.engine.expressions import functions
from rackwright.engine.expressions.template import fill, format_text
from rackwright.engine.expressions.values import LARGEST, freeze, plain, union

_SHOWN = 200


class Context:
    """What expressions look at. Made once for a place and shared by all expressions there.

    ``$`` and ``$%new`` are the new data, ``$%old`` the data of the last success (empty: never), ``$node`` and
    ``$common`` the two parts of the new data: the place's own, and what all places share.
    """

    def __init__(self, common: Any, node: Any, old: Any = None) -> None:
        self.common = freeze(common)
        self.node = freeze(node)
        self.new = union(self.common, self.node)
        self.old = freeze(old if old is not None else {})

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> Context:
        """Make the context of a task that has nothing but inputs."""
        return cls({}, inputs)


class Evaluator:
    """Evaluates expressions, conditions and templates. Keeps every parsed expression; for one thread."""

    def __init__(self) -> None:
        options = {
            "yaql.limitIterators": LARGEST,
            "yaql.convertTuplesToLists": True,
            "yaql.convertSetsToLists": True,
        }
        self._engine = yaql.YaqlFactory().create(options)
        self._functions = yaql.create_context(finalizer=_FINALIZER)
        functions.register(self._functions)
        self._parsed: dict[str, Any] = {}

    def evaluate(self, expression: str, context: Context, *, where: str = "") -> Any:
        """Give the value of an expression as plain data. Raises InvalidInput with ``where``, expression and fault."""
        statement = self.parse(expression, where)
        names = self._functions.create_child_context()
        names["$"] = names["$%new"] = context.new
        names["$%old"] = context.old
        names["$node"] = context.node
        names["$common"] = context.common
        try:
            return statement.evaluate(context=names)
        except Exception as error:
            raise InvalidInput(
                f"the expression {_shown(expression)} fails: {_reason(error)}",
                where=where,
                mend="give the data that it reads, or read it with .get(...)",
            ) from error

    def check(self, expression: str) -> str | None:
        """Give what is wrong with an expression before any data is known: its syntax or an unknown function."""
        try:
            statement = self.parse(expression, "")
        except InvalidInput as error:
            return error.what
        names = set(_functions_in(statement.expression))
        if names & {"def", "let"}:
            return None
        unknown = sorted(name for name in names if not self._functions.collect_functions(name))
        return f"the expression {_shown(expression)} calls unknown functions: {', '.join(unknown)}" if unknown else None

    def render(
        self,
        template: Any,
        inputs: Context | Mapping[str, Any],
        *,
        names: Mapping[str, Any] | None = None,
        where: str = "",
    ) -> Any:
        """Give a template with every ``{yaql_exp: ...}`` in it replaced by its value.

        With ``names`` other texts are formatted too (``{CLUSTER_ID}``), as Fuel does; texts that do not fit stay.
        """
        context = inputs if isinstance(inputs, Context) else Context.of(inputs)
        return fill(
            template,
            lambda expression: self.evaluate(expression, context, where=where),
            (lambda text: text) if names is None else (lambda text: format_text(text, names)),
        )

    def holds(self, condition: Any, inputs: Context | Mapping[str, Any], *, where: str = "") -> bool:
        """Decide a task's condition: true or false, ``{yaql_exp: ...}``, or a text in Fuel's old language."""
        context = inputs if isinstance(inputs, Context) else Context.of(inputs)
        if not isinstance(condition, str):
            return bool(self.render(condition, context, where=where))
        try:
            models = {"settings": context.new, "cluster": context.new.get("cluster")}
            return bool(legacy_expression.parse(condition)(models))
        except InvalidInput as error:
            place = ", ".join(part for part in (where, error.where) if part)
            raise InvalidInput(error.what, where=place, mend=error.mend) from error

    def parse(self, expression: Any, where: str = "") -> Any:
        """Give the parsed expression: its ``expression`` is the tree. Raises InvalidInput that shows the fault."""
        statement = self._parsed.get(expression) if isinstance(expression, str) else None
        if statement is not None:
            return statement
        if not isinstance(expression, str):
            raise InvalidInput(f"an expression is a text, not {expression!r}", where=where, mend="quote it")
        try:
            statement = self._parsed[expression] = self._engine(expression)
        except exceptions.YaqlParsingException as error:
            raise InvalidInput(
                f"the expression {_shown(expression)} cannot be read: {_syntax(expression, error)}",
                where=where,
                mend="correct its syntax",
            ) from error
        return statement


def _finalize(obj: Any) -> Any:
    return plain(obj)


_FINALIZER: Any = specs.name("#finalize")(_finalize)


def _functions_in(expression: Any) -> Iterator[str]:
    """Give the names of all functions that a parsed expression calls, operators left out."""
    if isinstance(expression, grammar.Wrap):
        yield from _functions_in(expression.expr)
    elif isinstance(expression, grammar.MappingRuleExpression):
        yield from _functions_in(expression.source)
        yield from _functions_in(expression.destination)
    elif isinstance(expression, grammar.Function):
        if not expression.name.startswith(("#", "*")):
            yield expression.name
        for argument in expression.args:
            yield from _functions_in(argument)


def _shown(expression: str) -> str:
    text = " ".join(expression.split())
    return f"`{text}`" if len(text) <= _SHOWN else f"`{text[:_SHOWN]}...`"


def _syntax(expression: str, error: Any) -> str:
    if error.position is None:
        return "it ends too early"
    before = expression[: error.position]
    line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
    return f"unexpected {error.value!r} at line {line}, column {column}"


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"there is no key {error.args[0]!r}" if error.args else "a key is not there"
    message = str(error)
    if isinstance(error, exceptions.MethodResolutionError):
        # The library's text quotes the whole value, which may be long and hold secrets.
        name = message.split('"')[1] if '"' in message else message
        return f"this value has no method {name}, or not with these arguments"
    shown = message if len(message) <= _SHOWN else f"{message[:_SHOWN]}..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
