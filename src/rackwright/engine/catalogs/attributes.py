"""Attributes of roles by JSON schema (draft 2020-12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match

from rackwright.core.catalog import Role
from rackwright.core.lint.finding import did_you_mean


def validate_attributes(role: Role, values: Mapping[str, Any]) -> list[str]:
    """Give the faults of values for a role's attributes, each as ``role.attribute: what is wrong``.

    A value may be given for some attributes only: what is absent comes from elsewhere (a deployment, the default).
    An attribute that the role does not declare is a fault.
    """
    properties = role.attributes.get("properties", {})
    faults = [_undeclared(role, name, properties) for name in values if name not in properties and not _is_open(role)]
    schema = {key: value for key, value in role.attributes.items() if key != "required"}
    for error in sorted(Draft202012Validator(schema).iter_errors(dict(values)), key=lambda error: error.json_path):
        if error.validator not in ("additionalProperties", "unevaluatedProperties") or error.absolute_path:
            faults.append(f"{'.'.join([role.name, *map(str, error.absolute_path)])}: {error.message}")
    return faults


def check_schema(schema: dict[str, Any]) -> list[tuple[str, str]]:
    """Give the faults of a schema, and of defaults that their own schema refuses, with their dotted paths in it."""
    error = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema))
    if error is not None:
        return [(".".join(map(str, error.absolute_path)), error.message)]
    return list(_bad_defaults(schema))


def _bad_defaults(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, below in schema.get("properties", {}).items():
        if not isinstance(below, dict) or "default" not in below:
            continue
        try:
            error = best_match(
                Draft202012Validator({"$defs": schema.get("$defs", {}), **below}).iter_errors(below["default"])
            )
        except (SchemaError, ValidationError) as fault:
            yield f"properties.{name}", str(fault.message)
            continue
        if error is not None:
            yield f"properties.{name}.default", f"the default does not fit: {error.message}"


def _undeclared(role: Role, name: str, properties: Mapping[str, Any]) -> str:
    mend = did_you_mean(name, properties) or f"it has: {', '.join(sorted(properties)) or 'none'}"
    return f"{role.name}.{name}: the role has no such attribute ({mend})"


def _is_open(role: Role) -> bool:
    """True when the schema itself says what becomes of attributes that it does not list."""
    return bool({"additionalProperties", "patternProperties", "unevaluatedProperties"} & set(role.attributes)) and (
        role.attributes.get("additionalProperties") is not False
    )
