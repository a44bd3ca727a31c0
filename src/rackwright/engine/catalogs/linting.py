"""Lint with the product's own parsers of expressions and schemas."""

from __future__ import annotations

from rackwright.core.catalog import Catalog
from rackwright.core.errors import InvalidInput
from rackwright.core.lint.finding import Finding, has_errors
from rackwright.core.lint.lint import lint
from rackwright.engine.catalogs.attributes import check_schema
from rackwright.engine.expressions import Evaluator


def lint_catalog(catalog: Catalog, evaluator: Evaluator | None = None) -> tuple[Finding, ...]:
    """Give everything that is wrong with a catalog, in reading order. ``evaluator``: one to be used again."""
    return lint(catalog, check_expression=(evaluator or Evaluator()).check, check_schema=check_schema)


def refuse_unsound(catalog: Catalog) -> None:
    """Raise InvalidInput with every error that lint finds in a catalog; warnings pass."""
    findings = lint_catalog(catalog)
    if has_errors(findings):
        faults = tuple(str(found) for found in findings if found.severity == "error")
        mend = "`rackwright catalog lint` shows them all"
        raise InvalidInput(f"catalog {catalog.name} cannot be used: {faults[0]}", mend=mend, faults=faults)
