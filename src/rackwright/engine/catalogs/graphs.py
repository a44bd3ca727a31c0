"""A graph's own data from metadata.yaml: for which nodes it is, and what becomes of them."""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec

from rackwright.core.catalog import BootKind, Position
from rackwright.core.lint.finding import Finding
from rackwright.engine.catalogs.fields import Fields, shown
from rackwright.engine.catalogs.yaml_text import Document

_Outcome = Literal["success", "error", "stop"]
_OUTCOMES: tuple[_Outcome, ...] = ("success", "error", "stop")
aliases = {"default": "deploy", "deletion": "delete"}
"""Names of graph types in Fuel, and here."""


class Metadata(msgspec.Struct, frozen=True):
    """As in ``core.catalog.Graph``."""

    node_filter: str = ""
    outcome: dict[_Outcome, dict[str, Any]] = {}
    bootenv: BootKind = ""
    source: Position = Position()


def metadata_of(document: Document, findings: list[Finding]) -> Metadata:
    """The metadata of a graph; keys that the format does not know are left alone, as in the original."""
    entry = document.whole()
    if not isinstance(entry.value, dict):
        message = f"the metadata of a graph must be a mapping, not {shown(entry.value)}"
        findings.append(Finding("error", "bad-value", entry.place, message, "write node_filter: ..."))
        return Metadata()
    fields = Fields(entry, "graph", findings)
    node_filter = fields.text("node_filter").strip()
    outcome: dict[_Outcome, dict[str, Any]] = {}
    for name in _OUTCOMES:
        said = fields.mapping(f"on_{name}")
        if said is not None:
            attributes = fields.inner(f"on_{name}", said).mapping("node_attributes")
            outcome[name] = attributes or {}
    bootenv = cast("BootKind", fields.choice("bootenv", ("discovery", "rescue", "local")))
    return Metadata(node_filter, outcome, bootenv, fields.place("node_filter"))
