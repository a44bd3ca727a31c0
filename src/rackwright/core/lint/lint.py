"""Lint: every fault of a catalog at once."""

from __future__ import annotations

from rackwright.core.catalog import Catalog
from rackwright.core.lint.facts import facts
from rackwright.core.lint.finding import Finding, in_reading_order
from rackwright.core.lint.placement import placements
from rackwright.core.lint.relations import relations
from rackwright.core.lint.roles import roles
from rackwright.core.lint.shape import shapes
from rackwright.core.lint.texts import CheckExpression, CheckSchema, expressions, files, schemas


def lint(catalog: Catalog, *, check_expression: CheckExpression, check_schema: CheckSchema) -> tuple[Finding, ...]:
    """Give everything that is wrong with a catalog, in reading order.

    The checks of YAQL expressions and of JSON schemas come from outside: their parsers are no part of the core. Where
    the original format was silent, a strict catalog has an error and any other a warning.
    """
    found = [
        *shapes(catalog),
        *roles(catalog),
        *relations(catalog),
        *placements(catalog),
        *facts(catalog),
        *expressions(catalog, check_expression),
        *schemas(catalog, check_schema),
        *files(catalog),
    ]
    return in_reading_order(found)
