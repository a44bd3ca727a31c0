"""YAQL expressions: evaluated over new and old data, with the functions that Fuel added to the language."""

from __future__ import annotations

from rackwright.engine.expressions.compiler import Compiled, Compiler
from rackwright.engine.expressions.evaluator import Context, Evaluator
from rackwright.engine.expressions.reading import Place, Reading
from rackwright.engine.expressions.template import expressions_in
from rackwright.engine.expressions.values import UNDEF, Attributes, freeze, plain, union

__all__ = [
    "UNDEF",
    "Attributes",
    "Compiled",
    "Compiler",
    "Context",
    "Evaluator",
    "Place",
    "Reading",
    "expressions_in",
    "freeze",
    "plain",
    "union",
]
