"""Catalogs from files: read with the place of every key, stacked in layers, found by name or folder."""

from __future__ import annotations

from rackwright.engine.catalogs.attributes import check_schema, validate_attributes
from rackwright.engine.catalogs.installed import find, folders, shipped
from rackwright.engine.catalogs.linting import lint_catalog, refuse_unsound
from rackwright.engine.catalogs.read import examine_catalog, examine_texts, read_catalog, read_texts
from rackwright.engine.catalogs.stack import stack

__all__ = [
    "check_schema",
    "examine_catalog",
    "examine_texts",
    "find",
    "folders",
    "lint_catalog",
    "read_catalog",
    "read_texts",
    "refuse_unsound",
    "shipped",
    "stack",
    "validate_attributes",
]
